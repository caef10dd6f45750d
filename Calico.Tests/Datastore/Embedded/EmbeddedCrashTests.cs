using System.Globalization;
using Calico.Datastore;
using Calico.Datastore.Embedded;

namespace Calico.Tests.Datastore.Embedded;

[Layer("kernel")]
public sealed class EmbeddedCrashTests : IDisposable
{
    private const int Kills = 12;

    private readonly TemporaryDirectory _directory = new();

    private sealed record Acknowledged(int Writer, int Counter, long Revision);

    [Fact]
    public async Task After_a_kill_in_the_middle_every_acknowledged_write_is_there_whole_under_its_own_revision()
    {
        var random = new Random(20);
        List<Acknowledged> all = [];
        long before = 1;
        for (var kill = 0; kill < Kills; kill++)
        {
            var run = await RunAndKillAsync(random.Next(1, 400));

            Assert.All(run, a => Assert.True(a.Revision > before, $"revision {a.Revision} was given out before"));
            all.AddRange(run);
            before = await CheckAsync(all);
        }

        Assert.Equal(all.Count, all.Select(a => a.Revision).Distinct().Count());
    }

    private async Task<List<Acknowledged>> RunAndKillAsync(int after)
    {
        List<Acknowledged> run = [];
        using var child = ChildProcess.Start(ChildProcess.Command("embedded-stress", _directory.Path));
        try
        {
            // Lines that were printed before the kill but not read yet are acknowledgements as well.
            while (await child.StandardOutput.ReadLineAsync() is { } line)
            {
                if (line.Split(' ') is [var writer, var counter, var revision])
                    run.Add(new(Number(writer), Number(counter), Number(revision)));
                if (run.Count == after)
                    child.Kill();
            }
        }
        finally
        {
            child.Kill();
        }
        await child.WaitForExitAsync();
        Assert.True(run.Count >= after, await child.StandardError.ReadToEndAsync());
        return run;
    }

    private static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);

    // Returns the revision the store came back with: the next run starts above it.
    private async Task<long> CheckAsync(List<Acknowledged> all)
    {
        await using var store = EmbeddedDatastore.Open(new EmbeddedOptions { Directory = _directory.Path, CompactionInterval = TimeSpan.Zero });
        var status = await store.GetStatusAsync();
        for (var writer = 0; writer < EmbeddedStress.Writers; writer++)
        {
            var last = all.Where(a => a.Writer == writer).Select(a => a.Counter).DefaultIfEmpty().Max();
            var left = await store.GetAsync(EmbeddedStress.Left(writer));
            var right = await store.GetAsync(EmbeddedStress.Right(writer));

            // The last one may have been committed and not acknowledged any more.
            var stored = left is null ? 0 : EmbeddedStress.Parse(left);
            Assert.InRange(stored, last, last + 1);
            Assert.Equal(left?.ModRevision, right?.ModRevision);
            Assert.Equal(left?.Value.ToArray(), right?.Value.ToArray());
            Assert.True((left?.ModRevision ?? 0) <= status.Revision);
        }
        await CheckHistoryAsync(store, all, status.Revision);
        return status.Revision;
    }

    // What history still has must be what was acknowledged at that revision.
    private static async Task CheckHistoryAsync(EmbeddedDatastore store, List<Acknowledged> all, long newest)
    {
        var compacted = await store.Reader.CompactedAsync(default);
        var expected = all.Where(a => a.Revision > compacted).ToDictionary(a => a.Revision);
        if (newest <= compacted)
            return;
        await foreach (var batch in store.WatchAsync("/stress/", compacted))
        {
            foreach (var revision in batch.GroupBy(e => e.Revision))
            {
                Assert.Equal(2, revision.Count());
                if (!expected.Remove(revision.Key, out var acknowledged))
                    continue;
                Assert.Equal([EmbeddedStress.Left(acknowledged.Writer), EmbeddedStress.Right(acknowledged.Writer)],
                    revision.Select(e => e.Key));
                Assert.All(revision, e => Assert.Equal(acknowledged.Counter, EmbeddedStress.Parse(e.Current!)));
            }
            if (batch[^1].Revision == newest)
                break;
        }
        Assert.Empty(expected);
    }

    [Fact]
    public async Task A_second_process_is_told_who_owns_the_store_and_gets_it_when_that_one_is_killed()
    {
        using var child = ChildProcess.Start(ChildProcess.Command("embedded-stress", _directory.Path));
        try
        {
            Assert.NotNull(await child.StandardOutput.ReadLineAsync());

            var fault = Assert.Throws<DatastoreException>(() => EmbeddedDatastore.Open(new EmbeddedOptions { Directory = _directory.Path }));

            Assert.Equal(DatastoreFault.Unavailable, fault.Fault);
            Assert.Contains($"pid {child.Id} ", fault.Message, StringComparison.Ordinal);
        }
        finally
        {
            child.Kill();
        }
        await child.WaitForExitAsync();
        await using var store = EmbeddedDatastore.Open(new EmbeddedOptions { Directory = _directory.Path });
        Assert.NotNull(await store.GetAsync(EmbeddedStress.Left(0)));
    }

    [Fact]
    public async Task A_full_disk_refuses_writes_keeps_what_was_acknowledged_and_says_so()
    {
        var (status, output, errors) = await RunOnTmpfsAsync("size=3m", "store");

        Assert.True(status == 0, errors);
        var lines = output.Trim().Split('\n');
        Assert.StartsWith("Exhausted: embedded store ", lines[0], StringComparison.Ordinal);
        Assert.Contains("full", lines[0], StringComparison.Ordinal);
        var words = lines[1].Split(' ');
        Assert.Equal(words[1], words[3]);
        Assert.True(Number(words[1]) > 5, output);
    }

    [Fact]
    public async Task A_read_only_disk_is_reported_as_denied()
    {
        var (status, output, errors) = await RunOnTmpfsAsync("ro", "store");

        Assert.True(status == 0, errors);
        Assert.StartsWith("Denied: embedded store ", output, StringComparison.Ordinal);
        Assert.Contains("read-only", output, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task A_disk_that_became_read_only_is_reported_as_denied()
    {
        await EmbeddedDatastore.Open(new EmbeddedOptions { Directory = _directory.Path }).DisposeAsync();

        var (status, output, errors) = await ChildProcess.RunAsync(["unshare", "--mount", "sh", "-c",
            "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"", _directory.Path,
            .. ChildProcess.Command("embedded-open", _directory.Path)]);

        Assert.True(status == 0, errors);
        Assert.StartsWith("Denied: embedded store ", output, StringComparison.Ordinal);
    }

    // A small disk in a mount namespace of its own: the machine's mounts are not touched, and it goes with the process.
    private Task<(int Status, string Output, string Errors)> RunOnTmpfsAsync(string options, string name) =>
        ChildProcess.RunAsync(["unshare", "--mount", "sh", "-c", "mount -t tmpfs -o \"$0\" tmpfs \"$1\" && shift && exec \"$@\"",
            options, _directory.Path, .. ChildProcess.Command("embedded-open", Path.Combine(_directory.Path, name))]);

    public void Dispose() => _directory.Dispose();
}

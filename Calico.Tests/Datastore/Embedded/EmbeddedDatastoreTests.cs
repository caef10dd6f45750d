using System.Text;
using Calico.Datastore;
using Calico.Datastore.Embedded;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Time.Testing;

namespace Calico.Tests.Datastore.Embedded;

[Layer("unit")]
public sealed class EmbeddedDatastoreTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    private readonly TemporaryDirectory _directory = new();
    private readonly FakeTimeProvider _time = new();

    private EmbeddedDatastore Open(Func<EmbeddedOptions, EmbeddedOptions>? configure = null)
    {
        var options = new EmbeddedOptions { Directory = _directory.Path, Time = _time };
        return EmbeddedDatastore.Open(configure?.Invoke(options) ?? options);
    }

    private static async Task<long> PutAsync(EmbeddedDatastore store, string key, string value = "v", TimeSpan? ttl = null) =>
        (await store.CommitAsync(new Transaction([], [Write.Put(key, Encoding.UTF8.GetBytes(value), ttl)]))).Revision;

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        using var patience = new CancellationTokenSource(Patience);
        while (!await condition())
            await Task.Delay(5, patience.Token);
    }

    private static async Task<DatastoreFault> FaultOf(Func<Task> action) =>
        (await Assert.ThrowsAsync<DatastoreException>(action)).Fault;

    private static async Task FirstAsync(EmbeddedDatastore store, long after)
    {
        await foreach (var _ in store.WatchAsync("/", after))
            break;
    }

    [Fact]
    public async Task A_reopened_store_goes_on_where_it_was()
    {
        long written;
        ulong cluster;
        await using (var store = Open())
        {
            Assert.Equal(2, await PutAsync(store, "/a", "one"));
            written = await PutAsync(store, "/a", "two");
            cluster = store.File.ClusterId;
        }

        await using var again = Open();

        Assert.Equal(written, (await again.GetAsync("/a"))!.ModRevision);
        Assert.Equal(written + 1, await PutAsync(again, "/b"));
        Assert.Equal(cluster, again.File.ClusterId);
        Assert.Equal("one", Encoding.UTF8.GetString((await again.ListAsync("/a", revision: 2)).Items[0].Value.Span));
    }

    [Fact]
    public async Task A_second_owner_in_the_same_process_is_refused()
    {
        await using var store = Open();

        var fault = Assert.Throws<DatastoreException>(() => Open());

        Assert.Equal(DatastoreFault.Unavailable, fault.Fault);
        Assert.Contains($"pid {Environment.ProcessId} ", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_schema_of_another_version_is_refused_by_number()
    {
        await Open().DisposeAsync();
        using (var raw = new SqliteConnection($"Data Source={_directory.Path}/calico.db;Pooling=false"))
        {
            raw.Open();
            StoreFile.Execute(raw, "PRAGMA user_version = 7");
        }

        var fault = Assert.Throws<DatastoreException>(() => Open());

        Assert.Equal(DatastoreFault.Invalid, fault.Fault);
        Assert.Contains("version 7", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_file_that_is_no_store_is_refused_and_left_alone()
    {
        var file = Path.Combine(_directory.Path, "calico.db");
        var text = string.Concat(Enumerable.Repeat("not a database at all\n", 300));
        await File.WriteAllTextAsync(file, text);

        var fault = Assert.Throws<DatastoreException>(() => Open());

        Assert.Equal(DatastoreFault.Invalid, fault.Fault);
        Assert.Equal(text, await File.ReadAllTextAsync(file));
    }

    [Fact]
    public async Task At_its_quota_the_store_refuses_puts_and_takes_them_again_after_deletes_and_a_compaction()
    {
        await using var store = Open(o => o with { MaxBytes = 2 << 20, CompactionInterval = TimeSpan.Zero });
        var value = new string('x', 60_000);
        var stored = 0;
        DatastoreException? full = null;
        while (full is null && stored < 100)
        {
            try
            {
                await PutAsync(store, $"/fill/{stored:d3}", value);
                stored++;
            }
            catch (DatastoreException e)
            {
                full = e;
            }
        }

        Assert.Equal(DatastoreFault.Exhausted, full!.Fault);
        Assert.Equal(stored, (await store.ListAsync("/fill/")).Items.Length);
        long deleted = 0;
        for (var i = 0; i < stored; i++)
            deleted = (await store.CommitAsync(new Transaction([], [Write.Delete($"/fill/{i:d3}")]))).Revision;
        await store.CompactAsync(deleted);
        await SweptAsync(store, deleted);
        for (var i = 0; i < stored; i++)
            await PutAsync(store, $"/fill/{i:d3}", value);
    }

    // The writer thins history whenever it has nothing else to do.
    private async Task SweptAsync(EmbeddedDatastore store, long revision)
    {
        using var raw = store.File.OpenReader();
        using var swept = raw.Prepare("SELECT value FROM meta WHERE name = 'swept'");
        await UntilAsync(() => Task.FromResult((long)swept.ExecuteScalar()! == revision << StoreFile.PositionBits));
    }

    [Fact]
    public async Task Thinned_history_holds_what_exists_and_what_came_after_and_nothing_else()
    {
        await using var store = Open();
        for (var i = 0; i < 1_200; i++)
            await PutAsync(store, $"/{i % 7}", $"{i}");
        await store.CommitAsync(new Transaction([], [Write.Delete("/3"), Write.Delete("/4")]));
        var cut = await PutAsync(store, "/5", "cut");
        await PutAsync(store, "/5", "after");

        await store.CompactAsync(cut);
        await SweptAsync(store, cut);

        using var raw = store.File.OpenReader();
        using var count = raw.Prepare("SELECT count(*) FROM history");
        Assert.Equal(6L, count.ExecuteScalar());
        Assert.Equal(["/0", "/1", "/2", "/5", "/6"], (await store.ListAsync("/")).Items.Select(k => k.Key));
        Assert.Equal(["/0", "/1", "/2", "/5", "/6"], (await store.ListAsync("/", revision: cut)).Items.Select(k => k.Key));
    }

    [Fact]
    public async Task History_is_kept_for_its_time_and_then_forgotten()
    {
        await using var store = Open(o => o with { KeepHistoryFor = TimeSpan.FromMinutes(10) });
        var first = await PutAsync(store, "/a", "one");
        var last = await PutAsync(store, "/a", "two");
        for (var minute = 0; minute < 9; minute++)
            _time.Advance(TimeSpan.FromMinutes(1));

        Assert.Single((await store.ListAsync("/", revision: first)).Items);

        // Ticks that nobody has waited for yet become one: time goes on until the store has seen enough of them.
        await UntilAsync(async () =>
        {
            _time.Advance(TimeSpan.FromMinutes(1));
            return await store.Reader.CompactedAsync(default) >= last;
        });
        Assert.Equal(DatastoreFault.Compacted, await FaultOf(() => store.ListAsync("/", revision: first)));
        Assert.Equal(DatastoreFault.Compacted, await FaultOf(() => FirstAsync(store, first - 1)));
        Assert.Equal(last, (await store.GetAsync("/a"))!.ModRevision);
    }

    [Fact]
    public async Task Young_history_is_forgotten_when_there_is_too_much_of_it()
    {
        await using var store = Open(o => o with { KeepRevisions = 10 });
        long last = 0;
        for (var i = 0; i < 50; i++)
            last = await PutAsync(store, "/a");

        _time.Advance(TimeSpan.FromMinutes(1));
        await UntilAsync(async () => await store.Reader.CompactedAsync(default) > 0);

        Assert.Equal(last - 10, await store.Reader.CompactedAsync(default));
    }

    [Fact]
    public async Task A_watch_that_is_overtaken_by_compaction_ends_as_compacted()
    {
        await using var store = Open();
        var start = await PutAsync(store, "/a");
        await using var watch = store.WatchAsync("/", start).GetAsyncEnumerator();
        await PutAsync(store, "/a");
        Assert.True(await watch.MoveNextAsync());

        // More than its queue holds, while nobody reads.
        long last = 0;
        for (var i = 0; i < 60; i++)
        {
            last = (await store.CommitAsync(new Transaction([],
                [.. Enumerable.Range(0, 100).Select(k => Write.Put($"/{k}", new byte[8]))]))).Revision;
        }
        await store.CompactAsync(last);

        Assert.Equal(DatastoreFault.Compacted, await FaultOf(async () =>
        {
            while (await watch.MoveNextAsync())
                Assert.NotEmpty(watch.Current);
        }));
    }

    [Fact]
    public async Task A_lease_outlives_a_restart_and_then_its_time_starts_anew()
    {
        await using (var store = Open())
        {
            await PutAsync(store, "/status", "up", TimeSpan.FromSeconds(30));
            _time.Advance(TimeSpan.FromSeconds(20));
        }
        await using var again = Open();
        _time.Advance(TimeSpan.FromSeconds(20));

        Assert.NotNull(await again.GetAsync("/status"));
        _time.Advance(TimeSpan.FromSeconds(11));
        await UntilAsync(async () => await again.GetAsync("/status") is null);
        Assert.Empty(again.Leases.All());
    }

    [Fact]
    public async Task A_key_that_is_put_again_lives_for_its_new_time()
    {
        await using var store = Open();
        await PutAsync(store, "/status", "up", TimeSpan.FromSeconds(10));
        await PutAsync(store, "/status", "up", TimeSpan.FromSeconds(100));
        await PutAsync(store, "/probe", "up", TimeSpan.FromSeconds(50));

        _time.Advance(TimeSpan.FromSeconds(51));
        await UntilAsync(async () => await store.GetAsync("/probe") is null);

        Assert.NotNull(await store.GetAsync("/status"));
    }

    [Fact]
    public async Task Closing_ends_watches_and_refuses_calls()
    {
        var store = Open();
        var watch = FirstAsync(store, await PutAsync(store, "/a"));

        await store.DisposeAsync();

        Assert.Equal(DatastoreFault.Unavailable, await FaultOf(() => watch));
        await Assert.ThrowsAsync<ObjectDisposedException>(() => store.GetAsync("/a"));
        await Assert.ThrowsAsync<ObjectDisposedException>(() => PutAsync(store, "/a"));
    }

    [Fact]
    public async Task Writes_that_were_accepted_before_closing_are_carried_out()
    {
        var store = Open();
        var writes = Enumerable.Range(0, 100).Select(i => PutAsync(store, $"/{i}")).ToList();
        await store.DisposeAsync();
        var revisions = await Task.WhenAll(writes);

        await using var again = Open();

        Assert.Equal(100, (await again.ListAsync("/")).Items.Length);
        Assert.Equal(revisions.Max(), again.Hub.Revision);
    }

    [Fact]
    public void Wrong_options_are_all_named_at_once()
    {
        var fault = Assert.Throws<DatastoreException>(() => Open(o => o with { MaxBytes = 1, KeepRevisions = 0 }));

        Assert.Contains("MaxBytes", fault.Message, StringComparison.Ordinal);
        Assert.Contains("KeepRevisions", fault.Message, StringComparison.Ordinal);
    }

    public void Dispose() => _directory.Dispose();
}

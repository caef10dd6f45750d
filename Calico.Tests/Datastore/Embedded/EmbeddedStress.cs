using System.Globalization;
using System.Text;
using Calico.Datastore;
using Calico.Datastore.Embedded;

namespace Calico.Tests.Datastore.Embedded;

/// <summary>
/// The victim of the crash tests, in a process of its own. Each of its writers counts up by compare-and-swap in two keys at
/// once and prints <c>writer counter revision</c> only when the store has acknowledged; now and then history is compacted,
/// so that a kill meets that too.
/// </summary>
internal static class EmbeddedStress
{
    public const int Writers = 6;

    public static string Left(int writer) => $"/stress/{writer}/left";

    public static string Right(int writer) => $"/stress/{writer}/right";

    public static async Task<int> RunAsync(string[] args)
    {
        await using var store = EmbeddedDatastore.Open(new EmbeddedOptions { Directory = args[0], CompactionInterval = TimeSpan.Zero });
        using var output = Console.OpenStandardOutput();
        var gate = new SemaphoreSlim(1);
        await Task.WhenAll(Enumerable.Range(0, Writers).Select(w => CountAsync(store, w, async line =>
        {
            await gate.WaitAsync();
            output.Write(Encoding.ASCII.GetBytes(line));
            output.Flush();
            gate.Release();
        })));
        return 0;
    }

    private static async Task CountAsync(EmbeddedDatastore store, int writer, Func<string, Task> acknowledgeAsync)
    {
        var left = await store.GetAsync(Left(writer));
        var right = await store.GetAsync(Right(writer));
        var counter = left is null ? 0 : Parse(left);
        (long Left, long Right) at = (left?.ModRevision ?? 0, right?.ModRevision ?? 0);
        while (true)
        {
            counter++;
            var value = Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{counter} {new string('x', counter % 3_000)}"));
            var result = await store.CommitAsync(new Transaction(
                [new Compare(Left(writer), at.Left), new Compare(Right(writer), at.Right)],
                [Write.Put(Left(writer), value), Write.Put(Right(writer), value)]));
            if (!result.Succeeded)
                throw new InvalidOperationException($"writer {writer}: somebody else wrote its keys");
            await acknowledgeAsync(string.Create(CultureInfo.InvariantCulture, $"{writer} {counter} {result.Revision}\n"));
            at = (result.Revision, result.Revision);
            if (writer == 0 && counter % 20 == 0)
                await store.CompactAsync(result.Revision - 60);
        }
    }

    public static int Parse(KeyValue stored) =>
        int.Parse(Encoding.ASCII.GetString(stored.Value.Span).Split(' ')[0], CultureInfo.InvariantCulture);

    /// <summary>Opens a store, fills it while it lets us, and prints the fault that ends that.</summary>
    public static async Task<int> OpenAsync(string[] args)
    {
        try
        {
            await using var store = EmbeddedDatastore.Open(new EmbeddedOptions { Directory = args[0] });
            var page = new byte[64 << 10];
            Random.Shared.NextBytes(page);
            var i = 0;
            try
            {
                for (; i < 1_000; i++)
                    await store.CommitAsync(new Transaction([Compare.Absent($"/fill/{i}")], [Write.Put($"/fill/{i}", page)]));
            }
            catch (DatastoreException e)
            {
                await Console.Out.WriteLineAsync($"{e.Fault}: {e.Message}");
            }
            // Reads go on, and show exactly what was acknowledged.
            var stored = (await store.ListAsync("/fill/", limit: 2_000)).Items.Length;
            await Console.Out.WriteLineAsync($"acknowledged {i} stored {stored}");
        }
        catch (DatastoreException e)
        {
            await Console.Out.WriteLineAsync($"{e.Fault}: {e.Message}");
        }
        return 0;
    }
}

using System.Collections.Concurrent;
using System.Collections.Immutable;
using Calico.Datastore;

namespace Calico.Tests.Datastore;

/// <summary>What every <see cref="IDatastore"/> promises about watches and history.</summary>
public abstract class WatchContractTests : DatastoreContractTests
{
    // Reads a watch until it has this many events; they may come in fewer batches.
    protected async Task<List<ImmutableArray<WatchEvent>>> WatchAsync(string prefix, long after, int events)
    {
        using var patience = new CancellationTokenSource(Patience);
        List<ImmutableArray<WatchEvent>> batches = [];
        await foreach (var batch in Store.WatchAsync(prefix, after, patience.Token))
        {
            batches.Add(batch);
            if (batches.Sum(b => b.Length) >= events)
                break;
        }
        return batches;
    }

    private static IEnumerable<string> Show(IEnumerable<ImmutableArray<WatchEvent>> batches) =>
        batches.SelectMany(b => b).Select(e => e.IsDelete ? $"-{e.Key[^1]}" : $"{e.Key[^1]}={Text(e.Current)}");

    /// <summary>Forgets the history before a revision.</summary>
    protected virtual Task CompactAsync(long revision) => Maintenance.CompactAsync(revision);

    [SkippableFact]
    public async Task A_watch_from_the_past_tells_what_happened_since()
    {
        var start = await PutAsync("a", "0");
        await PutAsync("a", "1");
        await PutAsync("b", "1");
        await DeleteAsync("a");

        Assert.Equal(["a=1", "b=1", "-a"], Show(await WatchAsync(Root, start, 3)));
    }

    [SkippableFact]
    public async Task A_watch_tells_what_happens_from_now_on()
    {
        var start = await PutAsync("a", "0");

        var watch = WatchAsync(Root, start, 3);
        await PutAsync("a", "1");
        await DeleteAsync("a");
        await PutAsync("a", "2");

        Assert.Equal(["a=1", "-a", "a=2"], Show(await watch));
    }

    [SkippableFact]
    public async Task A_watch_has_the_values_before_and_after_and_the_revisions()
    {
        var created = await PutAsync("a", "0");
        var changed = await PutAsync("a", "1");
        var deleted = await DeleteAsync("a");

        var events = (await WatchAsync(Root, created - 1, 3)).SelectMany(b => b).ToList();

        Assert.Equal([created, changed, deleted], events.Select(e => e.Revision));
        Assert.Equal((null, "0", created), (events[0].Previous, Text(events[0].Current), events[0].Current!.CreateRevision));
        Assert.Equal(("0", "1", created, changed),
            (Text(events[1].Previous), Text(events[1].Current), events[1].Current!.CreateRevision, events[1].Current!.ModRevision));
        Assert.Equal(("1", changed), (Text(events[2].Previous), events[2].Previous!.ModRevision));
    }

    [SkippableFact]
    public async Task A_watch_tells_of_its_prefix_only()
    {
        var start = await PutAsync("x/0", "0");
        await PutAsync("x0", "1");
        await PutAsync("w/9", "1");
        await PutAsync("x/a", "1");

        Assert.Equal(["a=1"], Show(await WatchAsync(Root + "x/", start, 1)));
    }

    [SkippableFact]
    public async Task All_changes_of_a_transaction_arrive_in_one_batch()
    {
        var start = await PutAsync("gone", "0");
        Write[] writes = [.. Enumerable.Range(0, 100).Select(i => Write.Put($"{Root}{i:d3}", Text("v"))), Write.Delete(Root + "gone")];

        var live = WatchAsync(Root, start, 101);
        var result = await CommitAsync([], writes);
        var past = WatchAsync(Root, start, 101);

        foreach (var batches in (List<ImmutableArray<WatchEvent>>[])[await live, await past])
        {
            Assert.Equal(101, Assert.Single(batches).Length);
            Assert.All(batches[0], e => Assert.Equal(result.Revision, e.Revision));
        }
    }

    [SkippableFact]
    public async Task A_transaction_larger_than_a_message_still_arrives_in_one_batch()
    {
        for (var round = 0; round < 2; round++)
        {
            var start = await PutAsync("start", $"{round}");
            // With the values before it is a good deal more than what was written.
            await CommitAsync([], [.. Enumerable.Range(0, 100).Select(i => Write.Put($"{Root}{i:d3}", new byte[14_000]))]);

            Assert.Equal(100, Assert.Single(await WatchAsync(Root, start, 100)).Length);
        }
    }

    [SkippableFact]
    public async Task Events_come_in_the_order_of_revisions_and_none_twice()
    {
        var start = await PutAsync("start", "0");
        var watch = WatchAsync(Root, start, 500);

        await Task.WhenAll(Enumerable.Range(0, 10).Select(w => Task.Run(async () =>
        {
            for (var i = 0; i < 50; i++)
                await PutAsync($"{w}", $"{i}");
        })));

        var revisions = (await watch).SelectMany(b => b).Select(e => e.Revision).ToList();
        Assert.Equal(500, revisions.Count);
        Assert.Equal(revisions.Distinct().Order(), revisions);
    }

    [SkippableFact]
    public async Task A_list_and_the_watch_after_it_leave_no_gap()
    {
        using var patience = new CancellationTokenSource(Patience);
        var writer = Task.Run(async () =>
        {
            for (var i = 0; i < 300; i++)
                await PutAsync($"{i % 20:d2}", $"{i}");
            await PutAsync("end", "end");
        });

        var views = Task.WhenAll(Enumerable.Range(0, 5).Select(async _ =>
        {
            var page = await Store.ListAsync(Root);
            var view = page.Items.ToDictionary(k => k.Key, k => Text(k));
            if (view.ContainsKey(Root + "end"))
                return view;
            await foreach (var batch in Store.WatchAsync(Root, page.Revision, patience.Token))
            {
                foreach (var change in batch)
                    view[change.Key] = Text(change.Current);
                if (view.ContainsKey(Root + "end"))
                    break;
            }
            return view;
        }));
        // First: without its last write nobody would ever be done.
        await writer;

        var truth = (await ListAllAsync(Root)).ToDictionary(k => k.Key, k => Text(k));
        Assert.All(await views, view => Assert.Equal(truth, view));
    }

    [SkippableFact]
    public async Task A_watch_from_a_revision_to_come_waits_for_it()
    {
        var start = await PutAsync("a", "0");

        var watch = WatchAsync(Root, start + 2, 1);
        await PutAsync("a", "1");
        await PutAsync("a", "2");
        await PutAsync("a", "3");

        Assert.Equal(["a=3"], Show(await watch));
    }

    [SkippableFact]
    public async Task Many_watches_all_get_every_event()
    {
        var start = await PutAsync("a", "0");
        var watches = Enumerable.Range(0, 50).Select(_ => WatchAsync(Root, start, 20)).ToList();

        for (var i = 0; i < 20; i++)
            await PutAsync("a", $"{i}");

        Assert.All(await Task.WhenAll(watches), w => Assert.Equal(20, w.Sum(b => b.Length)));
    }

    [SkippableFact]
    public async Task A_consumer_that_pauses_gets_everything_in_the_end()
    {
        using var patience = new CancellationTokenSource(Patience);
        var start = await PutAsync("a", "0");
        await using var watch = Store.WatchAsync(Root, start, patience.Token).GetAsyncEnumerator(patience.Token);
        await PutAsync("first", "0");
        Assert.True(await watch.MoveNextAsync());

        // More than any queue on the way holds.
        for (var i = 0; i < 6_000; i += 120)
            await CommitAsync([], [.. Enumerable.Range(i, 120).Select(k => Write.Put($"{Root}{k:d5}", new byte[2_000]))]);
        List<WatchEvent> events = [];
        while (events.Count < 6_000 && await watch.MoveNextAsync())
            events.AddRange(watch.Current);

        Assert.Equal(Enumerable.Range(0, 6_000).Select(k => $"{Root}{k:d5}"), events.Select(e => e.Key));
    }

    [SkippableFact]
    public async Task A_cancelled_watch_ends()
    {
        using var stop = new CancellationTokenSource();
        var start = await PutAsync("a", "0");
        await PutAsync("a", "1");
        var seen = new ConcurrentQueue<WatchEvent>();

        async Task RunAsync()
        {
            await foreach (var batch in Store.WatchAsync(Root, start, stop.Token))
            {
                seen.Enqueue(batch[0]);
                await stop.CancelAsync();
            }
        }

        await Assert.ThrowsAnyAsync<OperationCanceledException>(RunAsync);
        Assert.Single(seen);
    }

    /// <summary>Whether the server may also refuse a revision that has not been compacted, because it reads its own cache anew.</summary>
    protected virtual bool ForgetsByItself => false;

    [SkippableFact]
    public async Task After_a_compaction_old_revisions_are_refused_and_new_ones_complete()
    {
        var old = await PutAsync("a", "0");
        await PutAsync("b", "0");
        await PutAsync("a", "1");
        var kept = await DeleteAsync("b");
        var last = await PutAsync("c", "2");

        await CompactAsync(kept);

        Assert.Equal(DatastoreFault.Compacted, await FaultOf(() => Store.ListAsync(Root, revision: old)));
        Assert.Equal(DatastoreFault.Compacted, await FaultOf(() => WatchAsync(Root, old, 1)));
        Assert.Equal(["1"], (await ListAllAsync(Root, revision: kept)).Select(k => Text(k)));
        Assert.Equal(["1", "2"], (await ListAllAsync(Root)).Select(k => Text(k)));
        try
        {
            Assert.Equal(["c=2"], Show(await WatchAsync(Root, kept, 1)));
        }
        catch (DatastoreException e) when (ForgetsByItself && e.Fault == DatastoreFault.Compacted)
        {
            // Who is told so lists again, and that works.
        }
        Assert.Equal(last, (await Store.GetAsync(Root + "c"))!.ModRevision);
    }

    [SkippableFact]
    public virtual async Task A_compaction_is_done_once_and_not_of_the_future()
    {
        var revision = await PutAsync("a", "0");
        await Maintenance.CompactAsync(revision);

        Assert.Equal(DatastoreFault.Compacted, await FaultOf(() => Maintenance.CompactAsync(revision)));
        Assert.Equal(DatastoreFault.Invalid, await FaultOf(() => Maintenance.CompactAsync(revision + 1_000)));
    }
}

using System.Collections.Immutable;
using System.Text;
using Calico.Datastore;

namespace Calico.Tests.Datastore;

/// <summary>
/// What every <see cref="IDatastore"/> promises: reads, transactions, limits. One store for all tests of a class, a prefix
/// each. A class whose store may not be there skips in its constructor.
/// </summary>
public abstract class DatastoreContractTests
{
    protected static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    // A prefix of one's own, so that tests may share a store.
    protected string Root { get; } = $"/calico/test/{Guid.NewGuid():N}/";

    protected abstract IDatastore Store { get; }

    protected IDatastoreMaintenance Maintenance => (IDatastoreMaintenance)Store;

    /// <summary>The status says how large the store is.</summary>
    protected virtual bool TellsSize => true;

    protected static ReadOnlyMemory<byte> Text(string text) => Encoding.UTF8.GetBytes(text);

    protected static string Text(KeyValue? stored) => Encoding.UTF8.GetString(stored!.Value.Span);

    protected async Task<long> PutAsync(string name, string value) =>
        (await CommitAsync([], Write.Put(Root + name, Text(value)))).Revision;

    protected async Task<long> DeleteAsync(string name) => (await CommitAsync([], Write.Delete(Root + name))).Revision;

    protected Task<TransactionResult> CommitAsync(Compare[] compares, params Write[] writes) =>
        Store.CommitAsync(new Transaction([.. compares], [.. writes]));

    protected async Task<List<KeyValue>> ListAllAsync(string prefix, int limit = 500, long revision = 0)
    {
        List<KeyValue> all = [];
        string? next = null;
        do
        {
            var page = await Store.ListAsync(prefix, next, revision, limit);
            revision = page.Revision;
            all.AddRange(page.Items);
            next = page.Next;
        }
        while (next is not null);
        return all;
    }

    protected static async Task<DatastoreFault> FaultOf(Func<Task> action) =>
        (await Assert.ThrowsAsync<DatastoreException>(action)).Fault;

    [SkippableFact]
    public async Task A_key_that_was_never_written_is_null() => Assert.Null(await Store.GetAsync(Root + "none"));

    [SkippableFact]
    public async Task A_put_is_read_back_with_the_revision_that_wrote_it()
    {
        var revision = await PutAsync("a", "one");

        var stored = await Store.GetAsync(Root + "a");

        Assert.Equal((Root + "a", "one", revision, revision), (stored!.Key, Text(stored), stored.ModRevision, stored.CreateRevision));
    }

    [SkippableFact]
    public async Task An_overwrite_keeps_the_create_revision_and_a_new_life_does_not()
    {
        var created = await PutAsync("a", "one");
        var overwritten = await PutAsync("a", "two");
        var first = await Store.GetAsync(Root + "a");
        await DeleteAsync("a");
        var reborn = await PutAsync("a", "three");
        var second = await Store.GetAsync(Root + "a");

        Assert.Equal((created, overwritten), (first!.CreateRevision, first.ModRevision));
        Assert.Equal((reborn, reborn), (second!.CreateRevision, second.ModRevision));
    }

    [SkippableFact]
    public async Task An_empty_value_is_a_value()
    {
        await PutAsync("empty", "");

        Assert.Equal(0, (await Store.GetAsync(Root + "empty"))!.Value.Length);
    }

    [SkippableFact]
    public async Task A_deleted_key_is_gone()
    {
        await PutAsync("a", "one");
        await DeleteAsync("a");

        Assert.Null(await Store.GetAsync(Root + "a"));
        Assert.Empty(await ListAllAsync(Root));
    }

    [SkippableFact]
    public async Task Deleting_nothing_takes_no_revision()
    {
        var before = await PutAsync("a", "one");

        var result = await CommitAsync([], Write.Delete(Root + "none"));
        var after = await PutAsync("b", "two");

        Assert.True(result.Succeeded);
        Assert.Equal((before, before + 1), (result.Revision, after));
    }

    [SkippableFact]
    public async Task Keys_are_listed_in_the_order_of_their_bytes()
    {
        string[] names = ["b", "a", "a/b", "a-b", "é", "Z", "€", "a0", "𐍈", "ﬀ"];
        foreach (var name in names)
            await PutAsync(name, name);

        var listed = (await ListAllAsync(Root)).Select(k => k.Key[Root.Length..]);

        Assert.Equal(names.OrderBy(Encoding.UTF8.GetBytes, Comparer<byte[]>.Create((x, y) => x.AsSpan().SequenceCompareTo(y))), listed);
    }

    [SkippableFact]
    public async Task A_list_holds_what_starts_with_the_prefix_and_nothing_else()
    {
        foreach (var name in (string[])["blok", "block", "block/1", "block/2", "block0", "blocl"])
            await PutAsync(name, name);

        var listed = (await ListAllAsync(Root + "block")).Select(k => k.Key[Root.Length..]);
        var slash = (await ListAllAsync(Root + "block/")).Select(k => k.Key[Root.Length..]);

        Assert.Equal(["block", "block/1", "block/2", "block0"], listed);
        Assert.Equal(["block/1", "block/2"], slash);
    }

    [SkippableFact]
    public async Task The_empty_prefix_lists_every_key()
    {
        await PutAsync("a", "one");

        Assert.Contains(await ListAllAsync(""), k => k.Key == Root + "a");
    }

    [SkippableTheory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(10)]
    [InlineData(11)]
    public async Task Pages_of_any_size_hold_every_key_once(int limit)
    {
        for (var i = 0; i < 10; i++)
            await PutAsync($"{i}", "v");

        var listed = (await ListAllAsync(Root, limit)).Select(k => k.Key[Root.Length..]);

        Assert.Equal(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"], listed);
    }

    [SkippableFact]
    public async Task Pages_at_one_revision_do_not_see_what_happens_between_them()
    {
        for (var i = 0; i < 6; i++)
            await PutAsync($"{i}", "old");

        var first = await Store.ListAsync(Root, limit: 2);
        await PutAsync("3", "new");
        await DeleteAsync("4");
        await PutAsync("2a", "new");
        var second = await Store.ListAsync(Root, first.Next, first.Revision, 2);
        var third = await Store.ListAsync(Root, second.Next, first.Revision, 5);

        Assert.Equal(["0", "1", "2", "3", "4", "5"],
            first.Items.Concat(second.Items).Concat(third.Items).Select(k => k.Key[Root.Length..]));
        Assert.All(second.Items.Concat(third.Items), k => Assert.Equal("old", Text(k)));
        Assert.Null(third.Next);
        Assert.Equal(first.Revision, third.Revision);
    }

    [SkippableFact]
    public async Task A_list_at_an_old_revision_shows_the_values_of_then()
    {
        await PutAsync("a", "one");
        var then = await PutAsync("b", "one");
        await PutAsync("a", "two");
        await DeleteAsync("b");

        var listed = await ListAllAsync(Root, revision: then);

        Assert.Equal(["one", "one"], listed.Select(k => Text(k)));
    }

    [SkippableFact]
    public async Task A_revision_to_come_cannot_be_listed()
    {
        var now = await PutAsync("a", "one");

        Assert.Equal(DatastoreFault.Invalid, await FaultOf(() => Store.ListAsync(Root, revision: now + 1_000)));
    }

    [SkippableFact]
    public async Task A_create_succeeds_once_and_then_tells_what_is_there()
    {
        var first = await CommitAsync([Compare.Absent(Root + "a")], Write.Put(Root + "a", Text("mine")));
        var second = await CommitAsync([Compare.Absent(Root + "a")], Write.Put(Root + "a", Text("yours")));

        Assert.True(first.Succeeded);
        Assert.Empty(first.Actual);
        Assert.False(second.Succeeded);
        Assert.Equal(("mine", first.Revision), (Text(second.Actual[0]), second.Actual[0]!.ModRevision));
        Assert.Equal("mine", Text(await Store.GetAsync(Root + "a")));
    }

    [SkippableFact]
    public async Task An_update_from_a_stale_revision_changes_nothing()
    {
        var stale = await PutAsync("a", "one");
        await PutAsync("a", "two");

        var result = await CommitAsync([Compare.At(Root + "a", stale)], Write.Put(Root + "a", Text("lost")));

        Assert.False(result.Succeeded);
        Assert.Equal("two", Text(await Store.GetAsync(Root + "a")));
    }

    [SkippableFact]
    public async Task A_compare_with_a_deleted_key_fails_and_shows_it_absent()
    {
        var written = await PutAsync("a", "one");
        await DeleteAsync("a");

        var result = await CommitAsync([Compare.At(Root + "a", written)], Write.Put(Root + "a", Text("two")));

        Assert.False(result.Succeeded);
        Assert.Null(Assert.Single(result.Actual));
    }

    [SkippableFact]
    public async Task One_failed_compare_of_several_stops_every_write()
    {
        var a = await PutAsync("a", "one");
        var b = await PutAsync("b", "one");

        var result = await CommitAsync([Compare.At(Root + "a", a), Compare.At(Root + "b", b + 1), Compare.Absent(Root + "c")],
            Write.Put(Root + "a", Text("two")), Write.Delete(Root + "b"), Write.Put(Root + "c", Text("two")));

        Assert.False(result.Succeeded);
        Assert.Equal([a, b, null], result.Actual.Select(k => k?.ModRevision));
        Assert.Equal(["one", "one"], (await ListAllAsync(Root)).Select(k => Text(k)));
    }

    [SkippableFact]
    public async Task All_writes_of_a_transaction_have_its_revision()
    {
        await PutAsync("gone", "one");

        var result = await CommitAsync([], Write.Put(Root + "a", Text("1")), Write.Put(Root + "b", Text("2")),
            Write.Delete(Root + "gone"));

        Assert.Equal([result.Revision, result.Revision], (await ListAllAsync(Root)).Select(k => k.ModRevision));
    }

    [SkippableFact]
    public async Task A_transaction_may_only_compare()
    {
        var revision = await PutAsync("a", "one");

        var holds = await CommitAsync([Compare.At(Root + "a", revision)]);
        var fails = await CommitAsync([Compare.Absent(Root + "a")]);

        Assert.Equal((true, revision), (holds.Succeeded, holds.Revision));
        Assert.False(fails.Succeeded);
    }

    [SkippableFact]
    public async Task A_key_cannot_be_written_twice_in_one_transaction()
    {
        Assert.Equal(DatastoreFault.Invalid,
            await FaultOf(() => CommitAsync([], Write.Put(Root + "a", Text("1")), Write.Put(Root + "a", Text("2")))));
        Assert.Equal(DatastoreFault.Invalid,
            await FaultOf(() => CommitAsync([], Write.Put(Root + "a", Text("1")), Write.Delete(Root + "a"))));
    }

    [SkippableFact]
    public async Task A_transaction_of_128_writes_is_carried_out_and_one_of_129_is_refused()
    {
        Write[] writes = [.. Enumerable.Range(0, 129).Select(i => Write.Put($"{Root}{i:d3}", Text("v")))];

        await CommitAsync([], writes[..128]);

        Assert.Equal(128, (await ListAllAsync(Root)).Count);
        Assert.Equal(DatastoreFault.Invalid, await FaultOf(() => CommitAsync([], writes)));
    }

    [SkippableFact]
    public async Task A_value_of_a_mebibyte_is_stored_and_one_of_two_is_refused()
    {
        var large = new byte[1 << 20];
        Random.Shared.NextBytes(large);

        await CommitAsync([], Write.Put(Root + "large", large));

        Assert.True((await Store.GetAsync(Root + "large"))!.Value.Span.SequenceEqual(large));
        Assert.Equal(DatastoreFault.Invalid, await FaultOf(() => CommitAsync([], Write.Put(Root + "l", new byte[2 << 20]))));
        Assert.Null(await Store.GetAsync(Root + "l"));
    }

    [SkippableFact]
    public async Task A_list_of_large_values_comes_in_pages_that_end_early()
    {
        for (var i = 0; i < 20; i++)
            await CommitAsync([], Write.Put($"{Root}{i:d2}", new byte[1 << 20]));

        var listed = await ListAllAsync(Root);

        Assert.Equal(Enumerable.Range(0, 20).Select(i => $"{Root}{i:d2}"), listed.Select(k => k.Key));
        Assert.All(listed, k => Assert.Equal(1 << 20, k.Value.Length));
    }

    [SkippableFact]
    public async Task Keys_that_are_empty_or_too_long_or_no_text_are_refused()
    {
        Assert.Equal(DatastoreFault.Invalid, await FaultOf(() => Store.GetAsync("")));
        Assert.Equal(DatastoreFault.Invalid, await FaultOf(() => Store.GetAsync(new string('k', 4097))));
        Assert.Equal(DatastoreFault.Invalid, await FaultOf(() => Store.GetAsync("\ud800")));
        Assert.Equal(DatastoreFault.Invalid, await FaultOf(() => Store.ListAsync(Root, limit: 0)));
        Assert.Equal(DatastoreFault.Invalid, await FaultOf(() => Store.ListAsync(Root, next: "/elsewhere")));
    }

    [SkippableFact]
    public async Task Ten_thousand_keys_are_listed_completely()
    {
        for (var i = 0; i < 10_000; i += 128)
        {
            await CommitAsync([], [.. Enumerable.Range(i, Math.Min(128, 10_000 - i))
                .Select(k => Write.Put($"{Root}{k:d5}", Text($"{k}")))]);
        }

        var listed = await ListAllAsync(Root, 1_000);

        Assert.Equal(Enumerable.Range(0, 10_000).Select(k => $"{k}"), listed.Select(k => Text(k)));
    }

    [SkippableFact]
    public async Task Many_writers_that_increment_one_counter_lose_no_update()
    {
        const int Writers = 16;
        const int Increments = 25;
        await PutAsync("counter", "0");

        await Task.WhenAll(Enumerable.Range(0, Writers).Select(_ => Task.Run(async () =>
        {
            for (var done = 0; done < Increments;)
            {
                var stored = (await Store.GetAsync(Root + "counter"))!;
                var result = await CommitAsync([Compare.At(stored.Key, stored.ModRevision)],
                    Write.Put(stored.Key, Text($"{int.Parse(Text(stored), null) + 1}")));
                done += result.Succeeded ? 1 : 0;
            }
        })));

        Assert.Equal($"{Writers * Increments}", Text(await Store.GetAsync(Root + "counter")));
    }

    [SkippableFact]
    public async Task Concurrent_transactions_get_a_revision_each()
    {
        var revisions = await Task.WhenAll(Enumerable.Range(0, 200).Select(i => PutAsync($"{i}", "v")));

        Assert.Equal(200, revisions.Distinct().Count());
        Assert.Equal(revisions.Order(), (await ListAllAsync(Root)).Select(k => k.ModRevision).Order());
    }

    [SkippableFact]
    public async Task A_reader_never_sees_half_a_transaction()
    {
        await CommitAsync([], Write.Put(Root + "a", Text("0")), Write.Put(Root + "b", Text("0")));
        using var done = new CancellationTokenSource();
        var writer = Task.Run(async () =>
        {
            for (var i = 1; i <= 200; i++)
                await CommitAsync([], Write.Put(Root + "a", Text($"{i}")), Write.Put(Root + "b", Text($"{i}")));
            await done.CancelAsync();
        });

        var seen = 0;
        do
        {
            var pair = (await Store.ListAsync(Root)).Items;
            Assert.Equal(Text(pair[0]), Text(pair[1]));
            seen++;
        }
        while (!done.IsCancellationRequested);
        await writer;

        Assert.NotEqual(0, seen);
    }

    [SkippableFact]
    public async Task A_read_after_an_acknowledged_write_sees_it()
    {
        for (var i = 0; i < 100; i++)
        {
            await PutAsync("a", $"{i}");

            Assert.Equal($"{i}", Text(await Store.GetAsync(Root + "a")));
        }
    }

    [SkippableFact]
    public async Task A_key_with_a_time_to_live_goes_away_by_itself()
    {
        await CommitAsync([], Write.Put(Root + "status", Text("alive"), TimeSpan.FromSeconds(1)), Write.Put(Root + "other", Text("stays")));
        var after = (await Store.GetAsync(Root + "status"))!.ModRevision;

        using var patience = new CancellationTokenSource(Patience);
        var deleted = false;
        await foreach (var batch in Store.WatchAsync(Root, after, patience.Token))
        {
            deleted = batch.Single() is { IsDelete: true } e && e.Key == Root + "status";
            break;
        }

        Assert.True(deleted);
        Assert.Equal([Root + "other"], (await ListAllAsync(Root)).Select(k => k.Key));
    }

    [SkippableFact]
    public async Task A_cancelled_call_ends_as_cancelled()
    {
        using var cancelled = new CancellationTokenSource();
        await cancelled.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Store.GetAsync(Root + "a", cancelled.Token));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => Store.CommitAsync(new Transaction([], [Write.Put(Root + "a", Text("v"))]), cancelled.Token));
        Assert.Null(await Store.GetAsync(Root + "a"));
    }

    [SkippableFact]
    public async Task The_status_names_the_newest_revision()
    {
        var revision = await PutAsync("a", "one");

        var status = await Maintenance.GetStatusAsync();

        Assert.Equal(revision, status.Revision);
        Assert.Equal(TellsSize, status.SizeBytes > 0);
        Assert.NotEmpty(status.Endpoint);
    }
}

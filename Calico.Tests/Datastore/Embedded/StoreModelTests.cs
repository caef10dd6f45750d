using System.Collections.Immutable;
using Calico.Datastore;
using Calico.Datastore.Embedded;
using CsCheck;

namespace Calico.Tests.Datastore.Embedded;

/// <summary>Random transactions against the naive store: every revision's whole content, kept in memory.</summary>
[Layer("unit")]
public class StoreModelTests
{
    private static readonly string[] Keys = ["/a", "/a/1", "/a/2", "/b", "/b/1", "/c"];

    // A negative number is a delete.
    private static readonly Gen<(string Key, int? Value)[]> Writes =
        Gen.Select(Gen.Int[0, Keys.Length - 1], Gen.Int[-40, 99]).Array[0, 4].Select(writes => writes
            .DistinctBy(w => w.Item1)
            .Select(w => (Keys[w.Item1], w.Item2 < 0 ? (int?)null : w.Item2))
            .ToArray());

    private sealed record Stored(int Value, long Mod, long Create);

    private sealed class Model
    {
        public SortedDictionary<long, ImmutableSortedDictionary<string, Stored>> Moments { get; } = new()
        {
            [1] = ImmutableSortedDictionary.Create<string, Stored>(StringComparer.Ordinal),
        };

        public long Revision => Moments.Keys.Max();

        public ImmutableSortedDictionary<string, Stored> Now => Moments[Revision];

        public void Apply((string Key, int? Value)[] writes)
        {
            var next = Now;
            foreach (var (key, value) in writes)
            {
                next = value is { } v
                    ? next.SetItem(key, new Stored(v, Revision + 1, next.TryGetValue(key, out var old) ? old.Create : Revision + 1))
                    : next.Remove(key);
            }
            if (next != Now)
                Moments[Revision + 1] = next;
        }
    }

    [Fact]
    public async Task The_store_agrees_with_the_model_at_every_revision() => await
        Gen.Select(Writes, Gen.Int[0, 20]).Array[1, 40].SampleAsync(async steps =>
        {
            using var directory = new TemporaryDirectory();
            var options = new EmbeddedOptions { Directory = directory.Path, CompactionInterval = TimeSpan.Zero };
            var store = EmbeddedDatastore.Open(options);
            try
            {
                var model = new Model();
                long compacted = 1;
                foreach (var (writes, dice) in steps)
                {
                    // A compare that holds, or one that does not.
                    var key = writes.Length > 0 ? writes[0].Key : "/a";
                    var mod = model.Now.TryGetValue(key, out var stored) ? stored.Mod : 0;
                    var holds = dice != 1;
                    var result = await store.CommitAsync(new Transaction([new Compare(key, holds ? mod : mod + 1_000)],
                        [.. writes.Select(w => w.Value is { } v ? Write.Put(w.Key, new[] { (byte)v }) : Write.Delete(w.Key))]));
                    Assert.Equal(holds, result.Succeeded);
                    if (holds)
                        model.Apply(writes);
                    Assert.Equal(model.Revision, result.Revision);

                    if (dice == 2 && model.Revision > compacted)
                    {
                        compacted += (model.Revision - compacted + 1) / 2;
                        await store.CompactAsync(compacted);
                    }
                    if (dice == 3)
                    {
                        await store.DisposeAsync();
                        store = EmbeddedDatastore.Open(options);
                    }
                }
                await CheckAsync(store, model, compacted);
            }
            finally
            {
                await store.DisposeAsync();
            }
        }, iter: 40, threads: 1);

    private static async Task CheckAsync(EmbeddedDatastore store, Model model, long compacted)
    {
        for (var revision = compacted; revision <= model.Revision; revision++)
        {
            foreach (var prefix in (string[])["", "/a", "/a/", "/b/1", "/d"])
            {
                List<KeyValue> listed = [];
                string? next = null;
                do
                {
                    var page = await store.ListAsync(prefix, next, revision, 2);
                    listed.AddRange(page.Items);
                    next = page.Next;
                }
                while (next is not null);
                Assert.Equal(
                    model.Moments[revision].Where(k => k.Key.StartsWith(prefix, StringComparison.Ordinal)).Select(k => (k.Key, k.Value)),
                    listed.Select(k => (k.Key, new Stored(k.Value.Span[0], k.ModRevision, k.CreateRevision))));
            }
        }
        await CheckWatchAsync(store, model, compacted);
    }

    // Replaying the events on the oldest content there is gives every later one.
    private static async Task CheckWatchAsync(EmbeddedDatastore store, Model model, long compacted)
    {
        var view = model.Moments[compacted];
        if (model.Revision == compacted)
            return;
        await foreach (var batch in store.WatchAsync("/", compacted))
        {
            foreach (var group in batch.GroupBy(e => e.Revision))
            {
                foreach (var change in group)
                {
                    var before = view.TryGetValue(change.Key, out var stored) ? stored : null;
                    // What was there just before the oldest revision is not known any more.
                    if (change.Revision > compacted)
                        Assert.Equal(before?.Mod, change.Previous?.ModRevision);
                    view = change.Current is { } current
                        ? view.SetItem(change.Key, new Stored(current.Value.Span[0], current.ModRevision, current.CreateRevision))
                        : view.Remove(change.Key);
                }
                Assert.Equal(model.Moments[group.Key].AsEnumerable(), view.AsEnumerable());
            }
            if (batch[^1].Revision == model.Revision)
                break;
        }
    }
}

[Layer("unit")]
public class KeyRangeTests
{
    [Theory]
    [InlineData("61", "62")]
    [InlineData("61ff", "62")]
    [InlineData("61ffff", "62")]
    [InlineData("ff", "00")]
    [InlineData("", "00")]
    public void The_end_of_a_prefix_is_the_next_key_that_does_not_have_it(string prefix, string end) =>
        Assert.Equal(Convert.FromHexString(end), KeyRange.PrefixEnd(Convert.FromHexString(prefix)));

    [Fact]
    public void A_prefix_contains_what_starts_with_it_and_nothing_else() =>
        Gen.Select(Gen.Byte[250, 255].Array[0, 3], Gen.Byte[250, 255].Array[1, 5]).Sample((prefix, key) =>
            KeyRange.Prefix(prefix).Contains(key) == key.AsSpan().StartsWith(prefix));
}

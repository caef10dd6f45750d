using System.Text;
using Calico.Core.Feed;
using CsCheck;

namespace Calico.Tests.Core.Feed;

[Layer("unit")]
public class FeedTests
{
    private static FeedItem Put(string key, string value, long revision = 1) => new(key, Encoding.UTF8.GetBytes(value), revision);
    private static FeedItem Gone(string key, long revision = 1) => new(key, null, revision);

    [Fact]
    public void Many_changes_of_one_key_are_one_entry()
    {
        var log = new FeedLog(1);
        for (var i = 0; i < 100; i++)
            log.Apply(Put("a", $"{i}", i));

        var batch = log.ReadAfter(FeedCursor.Start, 1000);

        Assert.Equal("99", Encoding.UTF8.GetString(Assert.Single(batch.Items).Value!.Value.Span));
        Assert.True(batch.Complete);
    }

    [Fact]
    public void A_caught_up_reader_has_no_news()
    {
        var log = new FeedLog(1);
        log.Apply(Put("a", "1"));

        var cursor = log.ReadAfter(FeedCursor.Start, 1000).Cursor;

        Assert.False(log.HasNewsFor(cursor));
        log.Apply(Put("b", "1"));
        Assert.True(log.HasNewsFor(cursor));
    }

    [Fact]
    public void A_reader_from_before_the_oldest_tombstone_starts_over()
    {
        var log = new FeedLog(1, maxTombstones: 2);
        log.Apply(Put("keep", "1"));
        var cursor = log.ReadAfter(FeedCursor.Start, 1000).Cursor;
        for (var i = 0; i < 5; i++)
        {
            log.Apply(Put($"k{i}", "1"));
            log.Apply(Gone($"k{i}"));
        }

        Assert.True(log.ReadAfter(cursor, 1000).Reset);
    }

    [Fact]
    public void A_rebuilt_log_makes_nothing_blink()
    {
        var view = new FeedView();
        var first = new FeedLog(1);
        first.Apply(Put("a", "1"));
        first.Apply(Put("b", "1"));
        view.Apply(first.ReadAfter(view.Cursor, 1000));
        var second = new FeedLog(2);
        second.Apply(Put("a", "1"));
        second.Apply(Put("c", "1"));

        var partial = view.Apply(second.ReadAfter(view.Cursor, 1));
        var rest = view.Apply(second.ReadAfter(view.Cursor, 1000));

        Assert.DoesNotContain(partial, i => i.Value is null);
        Assert.Equal(["b"], rest.Where(i => i.Value is null).Select(i => i.Key));
        Assert.Equal(["a", "c"], view.Keys.Order());
    }

    // Whatever happens to the log and however small the batches are, a reader that reaches the head holds the same.
    [Fact]
    public void A_reader_always_converges_to_the_log()
    {
        var operation = Gen.Select(Gen.Int[0, 9], Gen.Int[0, 3], Gen.Int[1, 200]);
        operation.Array[1, 120].Sample(operations =>
        {
            var epoch = 1L;
            var log = new FeedLog(epoch, maxTombstones: 3);
            var view = new FeedView();
            var held = new Dictionary<string, string>();
            foreach (var (key, kind, size) in operations)
            {
                switch (kind)
                {
                    case 0:
                        log.Apply(Gone($"k{key}"));
                        break;
                    case 1:
                        Take(held, view.Apply(log.ReadAfter(view.Cursor, size)));
                        break;
                    case 2 when size < 10:
                        var rebuilt = new FeedLog(++epoch, 3);
                        foreach (var item in log.Items.ToList())
                            rebuilt.Apply(item);
                        log = rebuilt;
                        break;
                    default:
                        log.Apply(Put($"k{key}", $"{size}", size));
                        break;
                }
            }
            do
                Take(held, view.Apply(log.ReadAfter(view.Cursor, 30)));
            while (log.HasNewsFor(view.Cursor));

            var expected = log.Items.ToDictionary(i => i.Key, i => Encoding.UTF8.GetString(i.Value!.Value.Span));
            return expected.Count == held.Count && expected.All(e => held.TryGetValue(e.Key, out var v) && v == e.Value);
        });
    }

    private static void Take(Dictionary<string, string> held, IEnumerable<FeedItem> changes)
    {
        foreach (var change in changes)
        {
            if (change.Value is { } value)
                held[change.Key] = Encoding.UTF8.GetString(value.Span);
            else
                held.Remove(change.Key);
        }
    }
}

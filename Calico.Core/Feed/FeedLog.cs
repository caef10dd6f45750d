using System.Collections.Immutable;

namespace Calico.Core.Feed;

/// <summary>How far a reader has come: entries up to <paramref name="Sequence"/> of the log <paramref name="Epoch"/>.</summary>
/// <param name="Floor">
/// The head when the reader started over: what it has read already was the state of that moment or a later one, so only
/// tombstones above the floor concern it.
/// </param>
public readonly record struct FeedCursor(long Epoch, long Sequence, long Floor = 0)
{
    /// <summary>Has read nothing yet.</summary>
    public static FeedCursor Start => default;
}

/// <summary>One entry: the value of a key now, or null when the key is gone.</summary>
/// <param name="Revision">The datastore revision that caused it, for acknowledgements and for people.</param>
public sealed record FeedItem(string Key, ReadOnlyMemory<byte>? Value, long Revision);

/// <summary>
/// An answer to a pull. With <paramref name="Reset"/> it is the first part of everything there is: keys that do not
/// appear before the next <paramref name="Complete"/> batch are gone.
/// </summary>
/// <param name="Cursor">Where to go on from.</param>
/// <param name="Complete">The reader has caught up with the log's head.</param>
public sealed record FeedBatch(FeedCursor Cursor, ImmutableArray<FeedItem> Items, bool Reset, bool Complete);

/// <summary>
/// State replication by pulling. A log holds the newest value of every key in the order of last change; a reader asks
/// for what came after its cursor, as much as it can take, and is told when it has caught up.
/// <code>
///   seq:   3 b=…   7 a=…   8 c=gone   9 d=…        head = 9
///                 ^ cursor of a reader: gets a, c, d
/// </code>
/// Many changes of one key between two pulls are one entry, so a slow reader costs nothing and is never sent history.
/// Removed keys stay as tombstones; only a bounded number is kept, and a reader older than the oldest one starts over
/// (<see cref="FeedBatch.Reset"/>), as does a reader of another epoch (the log was rebuilt elsewhere).
/// </summary>
public sealed class FeedLog(long epoch, int maxTombstones = 10_000)
{
    private readonly Dictionary<string, long> _sequenceOf = [];
    private readonly SortedDictionary<long, FeedItem> _bySequence = [];
    private readonly Queue<long> _tombstones = [];
    private long _head;
    private long _horizon;

    public long Epoch => epoch;
    public long Head => _head;

    /// <summary>How many keys have a value.</summary>
    public int Count { get; private set; }

    /// <summary>The newest datastore revision seen.</summary>
    public long Revision { get; private set; }

    /// <summary>Sets or, with a null value, removes a key. Returns false when that changes nothing.</summary>
    public bool Apply(FeedItem item)
    {
        Revision = Math.Max(Revision, item.Revision);
        if (_sequenceOf.TryGetValue(item.Key, out var old))
        {
            var previous = _bySequence[old];
            if (previous.Value is { } was && item.Value is { } now && was.Span.SequenceEqual(now.Span) && previous.Revision == item.Revision)
                return false;
            if (previous.Value is null && item.Value is null)
                return false;
            _bySequence.Remove(old);
            if (previous.Value is not null)
                Count--;
        }
        else if (item.Value is null)
        {
            return false;
        }
        _head++;
        _sequenceOf[item.Key] = _head;
        _bySequence[_head] = item;
        if (item.Value is null)
        {
            _tombstones.Enqueue(_head);
            DropOldTombstones();
        }
        else
        {
            Count++;
        }
        return true;
    }

    /// <summary>The entry of a key that has a value, else null.</summary>
    public FeedItem? Find(string key) =>
        _sequenceOf.TryGetValue(key, out var sequence) && _bySequence[sequence] is { Value: not null } item ? item : null;

    /// <summary>Every key that has a value, in order of last change.</summary>
    public IEnumerable<FeedItem> Items => _bySequence.Values.Where(i => i.Value is not null);

    public IEnumerable<string> Keys => Items.Select(i => i.Key);

    /// <summary>Whether a pull from <paramref name="cursor"/> would bring anything, be it only a reset.</summary>
    public bool HasNewsFor(FeedCursor cursor) => cursor.Epoch != epoch || cursor.Sequence < _head;

    private bool MustStartOver(FeedCursor cursor) =>
        cursor.Epoch != epoch || Math.Max(cursor.Sequence, cursor.Floor) < _horizon;

    /// <summary>
    /// What came after the cursor, oldest first, as far as about <paramref name="maxBytes"/> of keys and values (at
    /// least one entry). <paramref name="wanted"/> leaves out keys the reader has no interest in.
    /// </summary>
    public FeedBatch ReadAfter(FeedCursor cursor, int maxBytes, Func<string, bool>? wanted = null)
    {
        var reset = MustStartOver(cursor);
        var floor = reset ? _head : cursor.Floor;
        var after = reset ? 0 : cursor.Sequence;
        var items = ImmutableArray.CreateBuilder<FeedItem>();
        var last = after;
        var bytes = 0;
        var cut = false;
        foreach (var (sequence, item) in From(after + 1))
        {
            if (wanted?.Invoke(item.Key) != false && !(reset && item.Value is null))
            {
                var size = item.Key.Length + (item.Value?.Length ?? 0) + 16;
                if (items.Count > 0 && bytes + size > maxBytes)
                {
                    cut = true;
                    break;
                }
                bytes += size;
                items.Add(item);
            }
            last = sequence;
        }
        return new FeedBatch(new FeedCursor(epoch, cut ? last : _head, floor), items.ToImmutable(), reset, !cut);
    }

    // A SortedDictionary cannot seek; readers are nearly always near the head, so walk from the side that is closer.
    private IEnumerable<KeyValuePair<long, FeedItem>> From(long sequence)
    {
        if (_head - sequence < 256)
        {
            for (var s = sequence; s <= _head; s++)
            {
                if (_bySequence.TryGetValue(s, out var item))
                    yield return new(s, item);
            }
            yield break;
        }
        foreach (var entry in _bySequence)
        {
            if (entry.Key >= sequence)
                yield return entry;
        }
    }

    private void DropOldTombstones()
    {
        while (_tombstones.Count > maxTombstones)
        {
            var sequence = _tombstones.Dequeue();
            if (_bySequence.TryGetValue(sequence, out var item) && item.Value is null)
            {
                _bySequence.Remove(sequence);
                _sequenceOf.Remove(item.Key);
                _horizon = sequence;
            }
        }
    }
}

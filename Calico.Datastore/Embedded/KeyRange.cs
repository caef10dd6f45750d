namespace Calico.Datastore.Embedded;

/// <summary>
/// A half-open range of keys as etcd's API writes it: no end is one key, an end of a single zero byte is everything
/// from the start on, and any other end is the first key after the range.
/// </summary>
internal readonly struct KeyRange
{
    private static readonly byte[] ToTheEnd = [0];

    public KeyRange(byte[] start, byte[]? end)
    {
        Start = start;
        End = end is { Length: > 0 } ? end : null;
    }

    public byte[] Start { get; }

    /// <summary>Null: the single key <see cref="Start"/>.</summary>
    public byte[]? End { get; }

    public bool IsSingle => End is null;
    public bool IsUnbounded => End is [0];

    /// <summary>Every key that starts with these bytes; with none of them, every key there is.</summary>
    public static KeyRange Prefix(byte[] prefix) => new(prefix.Length == 0 ? ToTheEnd : prefix, PrefixEnd(prefix));

    /// <summary>The part of the range from this key on.</summary>
    public KeyRange From(byte[] start) => new(start, End ?? throw new InvalidOperationException("A single key has no rest."));

    public bool Contains(ReadOnlySpan<byte> key)
    {
        if (End is null)
            return key.SequenceEqual(Start);
        return key.SequenceCompareTo(Start) >= 0 && (IsUnbounded || key.SequenceCompareTo(End) < 0);
    }

    /// <summary>The first key that does not start with the prefix: its last byte that can grow, grown by one.</summary>
    public static byte[] PrefixEnd(ReadOnlySpan<byte> prefix)
    {
        for (var i = prefix.Length - 1; i >= 0; i--)
        {
            if (prefix[i] == 0xff)
                continue;
            var end = prefix[..(i + 1)].ToArray();
            end[i]++;
            return end;
        }
        return ToTheEnd;
    }

    /// <summary>The key that follows directly: no key can be between the two.</summary>
    public static byte[] Successor(ReadOnlySpan<byte> key)
    {
        var next = new byte[key.Length + 1];
        key.CopyTo(next);
        return next;
    }
}

using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Text;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Wire;

/// <summary>The kinds of AS_PATH segments (RFC 4271, RFC 5065).</summary>
public enum SegmentType : byte
{
    Set = 1,
    Sequence = 2,
    ConfedSequence = 3,
    ConfedSet = 4,
}

/// <summary>
/// An AS path (RFC 4271 section 4.3), kept in its four-octet form whatever the peer speaks.
/// <code>
///  +---------------+---------------+-------------------------------+
///  | Segment type  | Count, not 0  |  that many numbers of 4 (or 2) octets
///  +---------------+---------------+-------------------------------+
/// </code>
/// The static functions work on spans of that form and do not allocate.
/// </summary>
public sealed class AsPath : IEquatable<AsPath>
{
    /// <summary>What one segment can count.</summary>
    public const int MaxSegment = 255;

    private readonly ImmutableArray<byte> _octets;

    private AsPath(ImmutableArray<byte> octets) => _octets = octets;

    /// <summary>The path of a route from our own AS.</summary>
    public static AsPath Empty { get; } = new([]);

    public ReadOnlySpan<byte> Octets => _octets.AsSpan();

    /// <summary>What counts in the decision process: a set is one, confederation segments are none.</summary>
    public int Hops => CountHops(Octets);

    /// <summary>The AS the route came from, or null for an empty path or one that starts with a set.</summary>
    public Asn? First => FirstAs(Octets) is var first and not 0 ? new Asn(first) : null;

    public bool Contains(Asn asn) => ContainsAs(Octets, asn.Value);

    /// <summary>A single sequence.</summary>
    public static AsPath Sequence(params ReadOnlySpan<uint> numbers)
    {
        var octets = new List<byte>();
        for (var at = 0; at < numbers.Length; at += MaxSegment)
        {
            var chunk = numbers.Slice(at, Math.Min(MaxSegment, numbers.Length - at));
            AddSegment(octets, SegmentType.Sequence, chunk);
        }
        return new([.. octets]);
    }

    /// <summary>The path with one more segment at its end.</summary>
    public AsPath Then(SegmentType type, params ReadOnlySpan<uint> numbers)
    {
        var octets = new List<byte>(_octets);
        AddSegment(octets, type, numbers);
        return new([.. octets]);
    }

    /// <summary>The path with these in front, in one segment with what begins it where that has room.</summary>
    public AsPath Behind(params ReadOnlySpan<uint> numbers)
    {
        var rest = Octets;
        if (!rest.IsEmpty && rest[0] == (byte)SegmentType.Sequence && rest[1] + numbers.Length <= MaxSegment)
        {
            rest = Next(rest, out _, out var first);
            var joined = new List<uint>();
            joined.AddRange(numbers);
            for (; !first.IsEmpty; first = first[4..])
                joined.Add(BinaryPrimitives.ReadUInt32BigEndian(first));
            numbers = joined.ToArray();
        }
        return numbers.IsEmpty ? this : new([.. Sequence(numbers).Octets, .. rest]);
    }

    /// <summary>Reads an attribute value; false if it is malformed in the sense of RFC 7606 section 7.2.</summary>
    public static bool TryParse(ReadOnlySpan<byte> value, bool fourOctet, out AsPath path)
    {
        path = Empty;
        if (!IsWellFormed(value, fourOctet))
            return false;
        if (fourOctet)
        {
            path = new([.. value]);
            return true;
        }
        var wide = new byte[WidenedLength(value)];
        Widen(value, wide);
        path = new([.. wide]);
        return true;
    }

    /// <summary>True if the segments fill the value exactly, none is empty and all types are known.</summary>
    public static bool IsWellFormed(ReadOnlySpan<byte> value, bool fourOctet)
    {
        var size = fourOctet ? 4 : 2;
        while (!value.IsEmpty)
        {
            if (value.Length < 2 || value[0] is < 1 or > 4 || value[1] == 0 || value.Length < 2 + (value[1] * size))
                return false;
            value = value[(2 + (value[1] * size))..];
        }
        return true;
    }

    /// <summary>AS 0 (RFC 7607) or a confederation segment (RFC 5065, we are in none) makes a path unusable.</summary>
    public static bool IsAcceptable(ReadOnlySpan<byte> path)
    {
        while (!path.IsEmpty)
        {
            path = Next(path, out var type, out var numbers);
            if (type is SegmentType.ConfedSequence or SegmentType.ConfedSet)
                return false;
            for (var i = 0; i < numbers.Length; i += 4)
            {
                if (BinaryPrimitives.ReadUInt32BigEndian(numbers[i..]) == 0)
                    return false;
            }
        }
        return true;
    }

    public static int CountHops(ReadOnlySpan<byte> path) => Count(path, confederation: false);

    /// <summary>How many members of the own confederation the path lists.</summary>
    public static int CountConfederationHops(ReadOnlySpan<byte> path) => Count(path, confederation: true);

    /// <summary>The leftmost AS if it stands in a sequence, else 0 (then two routes have no neighbour AS in common).</summary>
    public static uint FirstAs(ReadOnlySpan<byte> path)
    {
        while (!path.IsEmpty)
        {
            path = Next(path, out var type, out var numbers);
            if (type == SegmentType.Sequence)
                return BinaryPrimitives.ReadUInt32BigEndian(numbers);
            if (type == SegmentType.Set)
                return 0;
        }
        return 0;
    }

    public static bool ContainsAs(ReadOnlySpan<byte> path, uint asn) => CountAs(path, asn, asn) > 0;

    /// <summary>How often one or the other of two numbers stands in the path.</summary>
    public static int CountAs(ReadOnlySpan<byte> path, uint asn, uint other)
    {
        var count = 0;
        while (!path.IsEmpty)
        {
            path = Next(path, out _, out var numbers);
            for (var i = 0; i < numbers.Length; i += 4)
            {
                var number = BinaryPrimitives.ReadUInt32BigEndian(numbers[i..]);
                if (number == asn || number == other)
                    count++;
            }
        }
        return count;
    }

    /// <summary>Octets of a two-octet path in four-octet form.</summary>
    public static int WidenedLength(ReadOnlySpan<byte> narrow)
    {
        var length = 0;
        while (!narrow.IsEmpty)
        {
            length += 2 + (narrow[1] * 4);
            narrow = narrow[(2 + (narrow[1] * 2))..];
        }
        return length;
    }

    /// <summary>Turns a well-formed two-octet path into its four-octet form.</summary>
    public static void Widen(ReadOnlySpan<byte> narrow, Span<byte> wide)
    {
        var r = new WireReader(narrow);
        var w = new WireWriter(wide);
        while (r.TryReadByte(out var type) && r.TryReadByte(out var count))
        {
            w.WriteByte(type);
            w.WriteByte(count);
            for (var i = 0; i < count && r.TryReadUInt16(out var asn); i++)
                w.WriteUInt32(asn);
        }
    }

    /// <summary>Takes the first segment off; the numbers stay in their four octets.</summary>
    public static ReadOnlySpan<byte> Next(ReadOnlySpan<byte> path, out SegmentType type, out ReadOnlySpan<byte> numbers)
    {
        type = (SegmentType)path[0];
        numbers = path.Slice(2, path[1] * 4);
        return path[(2 + numbers.Length)..];
    }

    public bool Equals(AsPath? other) => other is not null && Octets.SequenceEqual(other.Octets);
    public override bool Equals(object? obj) => Equals(obj as AsPath);

    public override int GetHashCode()
    {
        var hash = new HashCode();
        hash.AddBytes(Octets);
        return hash.ToHashCode();
    }

    /// <summary>As routers print it: <c>8466 3 {4196,48658}</c>, confederation segments in () and [].</summary>
    public override string ToString()
    {
        var text = new StringBuilder();
        var rest = Octets;
        while (!rest.IsEmpty)
        {
            rest = Next(rest, out var type, out var numbers);
            var (open, separator, close) = type switch
            {
                SegmentType.Set => ("{", ',', "}"),
                SegmentType.ConfedSequence => ("(", ' ', ")"),
                SegmentType.ConfedSet => ("[", ',', "]"),
                _ => ("", ' ', ""),
            };
            if (text.Length > 0)
                text.Append(' ');
            text.Append(open);
            var shown = new uint[numbers.Length / 4];
            for (var i = 0; i < shown.Length; i++)
                shown[i] = BinaryPrimitives.ReadUInt32BigEndian(numbers[(4 * i)..]);
            // A set has no order of its own.
            if (separator == ',')
                Array.Sort(shown);
            text.AppendJoin(separator, shown).Append(close);
        }
        return text.ToString();
    }

    private static int Count(ReadOnlySpan<byte> path, bool confederation)
    {
        var count = 0;
        while (!path.IsEmpty)
        {
            path = Next(path, out var type, out var numbers);
            count += type switch
            {
                SegmentType.Sequence when !confederation => numbers.Length / 4,
                SegmentType.Set when !confederation => 1,
                SegmentType.ConfedSequence when confederation => numbers.Length / 4,
                SegmentType.ConfedSet when confederation => 1,
                _ => 0,
            };
        }
        return count;
    }

    private static void AddSegment(List<byte> octets, SegmentType type, ReadOnlySpan<uint> numbers)
    {
        if (numbers.Length is 0 or > MaxSegment)
            throw new ArgumentException("a segment has 1 to 255 numbers", nameof(numbers));
        octets.Add((byte)type);
        octets.Add((byte)numbers.Length);
        Span<byte> four = stackalloc byte[4];
        foreach (var n in numbers)
        {
            BinaryPrimitives.WriteUInt32BigEndian(four, n);
            octets.AddRange(four);
        }
    }
}

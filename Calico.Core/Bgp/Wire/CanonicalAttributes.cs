using Calico.Core.Net;

namespace Calico.Core.Bgp.Wire;

/// <summary>
/// Walks attributes as they stand in a message or in the canonical form: flags, type, length (one octet, or two with
/// the extended bit), value.
/// <code>
///  +---------------+---------------+---------------+---------------+
///  |O T P E 0 0 0 0|     Type      |  Length (1 or 2 octets)       |  value ...
///  +---------------+---------------+---------------+---------------+
/// </code>
/// </summary>
public ref struct AttributeReader(ReadOnlySpan<byte> attributes)
{
    private WireReader _reader = new(attributes);

    public readonly bool AtEnd => _reader.AtEnd;

    /// <summary>Where the next attribute starts.</summary>
    public readonly int Position => _reader.Position;

    /// <summary>False at the end and where an attribute is cut off; <see cref="AtEnd"/> tells which.</summary>
    public bool TryRead(out AttributeFlags flags, out AttributeType type, out ReadOnlySpan<byte> value)
    {
        var start = _reader;
        type = default;
        value = default;
        if (!_reader.TryReadByte(out var flagOctet))
        {
            flags = default;
            return false;
        }
        flags = (AttributeFlags)flagOctet;
        ushort longLength = 0;
        byte shortLength = 0;
        var extended = (flags & AttributeFlags.ExtendedLength) != 0;
        if (_reader.TryReadByte(out var typeOctet)
            && (extended ? _reader.TryReadUInt16(out longLength) : _reader.TryReadByte(out shortLength))
            && _reader.TryReadBytes(extended ? longLength : shortLength, out value))
        {
            type = (AttributeType)typeOctet;
            return true;
        }
        _reader = start;
        return false;
    }
}

/// <summary>
/// The canonical form of an attribute set: the attributes in ascending order of type, each once, AS numbers in four
/// octets, lengths as short as possible, without NEXT_HOP and the multiprotocol attributes (they belong to the
/// route, not to the set) and without AS4_PATH and AS4_AGGREGATOR (merged). Two sets are equal exactly if their
/// octets are, which is what interning needs, and sending is mostly copying.
/// </summary>
public static class CanonicalAttributes
{
    /// <summary>Finds one attribute's value.</summary>
    public static bool TryFind(ReadOnlySpan<byte> canonical, AttributeType type, out ReadOnlySpan<byte> value)
    {
        var r = new AttributeReader(canonical);
        while (r.TryRead(out _, out var found, out value))
        {
            if (found == type)
                return true;
            if (found > type)
                break;
        }
        value = default;
        return false;
    }

    /// <summary>The AS path of a set, empty if it has none.</summary>
    public static ReadOnlySpan<byte> AsPathOf(ReadOnlySpan<byte> canonical) =>
        TryFind(canonical, AttributeType.AsPath, out var path) ? path : default;

    /// <summary>Octets of an attribute with a value of this length.</summary>
    public static int SizeOf(int valueLength) => valueLength + (valueLength > byte.MaxValue ? 4 : 3);

    /// <summary>Writes the head of an attribute whose value follows.</summary>
    public static void WriteHead(ref WireWriter w, AttributeFlags flags, AttributeType type, int valueLength)
    {
        flags &= ~AttributeFlags.ExtendedLength;
        if (valueLength > byte.MaxValue)
        {
            w.WriteByte((byte)(flags | AttributeFlags.ExtendedLength));
            w.WriteByte((byte)type);
            w.WriteUInt16(checked((ushort)valueLength));
        }
        else
        {
            w.WriteByte((byte)flags);
            w.WriteByte((byte)type);
            w.WriteByte((byte)valueLength);
        }
    }

    public static void Write(ref WireWriter w, AttributeFlags flags, AttributeType type,
        scoped ReadOnlySpan<byte> value)
    {
        WriteHead(ref w, flags, type, value.Length);
        w.WriteBytes(value);
    }

    public static void WriteUInt32(ref WireWriter w, AttributeFlags flags, AttributeType type, uint value)
    {
        WriteHead(ref w, flags, type, 4);
        w.WriteUInt32(value);
    }
}

using System.Buffers.Binary;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Mrt;

/// <summary>
/// Reads MRT files (RFC 6396, with path identifiers by RFC 8050): tables (TABLE_DUMP, TABLE_DUMP_V2) and messages (BGP4MP).
/// <code>
///  +-------------------------------+---------------+---------------+
///  |        Timestamp (4)          |   Type (2)    |  Subtype (2)  |
///  +-------------------------------+---------------+---------------+
///  |         Length (4)            |   Message ...
/// </code>
/// One record is in memory at a time. What it does not know it names and passes over.
/// </summary>
public sealed class MrtReader
{
    private const int HeaderLength = 12;

    /// <summary>No writer comes near; a file that is something else is told from its second record at the latest.</summary>
    private const int MaxRecordLength = 16 << 20;

    private readonly MrtTables _tables = new();

    /// <summary>Everything in the stream, in its order.</summary>
    /// <exception cref="FormatException">It is not MRT, or cut short.</exception>
    public IEnumerable<MrtRecord> Read(Stream stream)
    {
        var header = new byte[HeaderLength];
        for (long position = 0; ;)
        {
            var read = stream.ReadAtLeast(header, HeaderLength, throwOnEndOfStream: false);
            if (read == 0)
                yield break;
            var length = BinaryPrimitives.ReadUInt32BigEndian(header.AsSpan(8));
            if (read < HeaderLength || length > MaxRecordLength)
                throw new FormatException($"at octet {position}: not the header of an MRT record");
            var body = new byte[length];
            if (stream.ReadAtLeast(body, body.Length, throwOnEndOfStream: false) < body.Length)
                throw new FormatException($"at octet {position}: a record of {length} octets is cut short");
            foreach (var record in Records(header, body, position))
                yield return record;
            position += HeaderLength + length;
        }
    }

    private List<MrtRecord> Records(ReadOnlySpan<byte> header, ReadOnlySpan<byte> body, long position)
    {
        var time = DateTimeOffset.FromUnixTimeSeconds(BinaryPrimitives.ReadUInt32BigEndian(header));
        var (type, subtype) = (BinaryPrimitives.ReadUInt16BigEndian(header[4..]), BinaryPrimitives.ReadUInt16BigEndian(header[6..]));
        var records = new List<MrtRecord>();
        var isWhole = type switch
        {
            12 => _tables.TryReadOld(time, subtype, body, records),
            13 => _tables.TryRead(time, subtype, body, records),
            16 => MrtMessages.TryRead(time, subtype, body, records),
            // With microseconds in front, RFC 6396 section 3.
            17 => body.Length >= 4 && MrtMessages.TryRead(time.AddMicroseconds(BinaryPrimitives.ReadUInt32BigEndian(body)), subtype, body[4..], records),
            _ => Skip(time, type, subtype, records),
        };
        return isWhole ? records : throw new FormatException($"at octet {position}: a record of type {type}, subtype {subtype}, contradicts itself");
    }

    internal static bool Skip(DateTimeOffset time, int type, int subtype, List<MrtRecord> records)
    {
        records.Add(new MrtSkipped(time, $"type {type}, subtype {subtype}"));
        return true;
    }

    internal static bool TryReadAddress(ref WireReader r, int length, out IpAddr address)
    {
        var isThere = r.TryReadBytes(length, out var octets);
        address = isThere ? IpAddr.FromBytes(octets) : default;
        return isThere;
    }

    internal static bool TryReadAs(ref WireReader r, bool isFour, out Asn asn)
    {
        uint four = 0;
        ushort two = 0;
        var isThere = isFour ? r.TryReadUInt32(out four) : r.TryReadUInt16(out two);
        asn = new Asn(isFour ? four : two);
        return isThere;
    }
}

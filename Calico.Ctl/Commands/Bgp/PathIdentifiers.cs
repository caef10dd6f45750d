using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Ctl.Commands.Bgp;

/// <summary>
/// The path identifiers of an UPDATE (RFC 7911 section 3): four octets ahead of each prefix. The decoder of sessions
/// does not negotiate them, so they are taken out here and the message is decoded without.
/// </summary>
internal sealed record PathIdentifiers(List<uint>? Withdrawn, List<uint>? Announced, List<uint>? Reach, List<uint>? Unreach)
{
    public static PathIdentifiers None { get; } = new(null, null, null, null);

    /// <summary>The body of the message without identifiers; false where they do not fit.</summary>
    public static bool TryRemove(ReadOnlySpan<byte> body, Families families, out byte[] without, out PathIdentifiers ids)
    {
        (without, ids) = ([], None);
        var r = new WireReader(body);
        if (!r.TryReadUInt16(out var withdrawnLength) || !r.TryReadBytes(withdrawnLength, out var withdrawn)
            || !r.TryReadUInt16(out var attributesLength) || !r.TryReadBytes(attributesLength, out var attributes))
        {
            // The decoder says what is wrong.
            without = body.ToArray();
            return true;
        }
        var w = new WireWriter(new byte[body.Length]);
        var classic = families.Has(Families.Ipv4Unicast);
        List<uint>? withdrawnIds = null, announcedIds = null, reachIds = null, unreachIds = null;

        var mark = w.BeginLength16();
        if (!TryCopy(ref w, withdrawn, classic ? Families.Ipv4Unicast : Families.None, ref withdrawnIds))
            return false;
        w.EndLength16(mark);
        mark = w.BeginLength16();
        var reader = new AttributeReader(attributes);
        var start = 0;
        for (; reader.TryRead(out var flags, out var type, out var value); start = reader.Position)
        {
            var family = type is AttributeType.MpReachNlri or AttributeType.MpUnreachNlri && value.Length >= 3
                ? new AfiSafi((ushort)(value[0] << 8 | value[1]), value[2]).Family & families
                : Families.None;
            // The routes of MP_REACH_NLRI stand behind the next hop and an octet that is reserved.
            var head = type == AttributeType.MpUnreachNlri ? 3 : value.Length >= 4 ? 5 + value[3] : int.MaxValue;
            if (family == Families.None || head > value.Length)
            {
                w.WriteBytes(attributes[start..reader.Position]);
                continue;
            }
            w.WriteByte((byte)(flags | AttributeFlags.ExtendedLength));
            w.WriteByte((byte)type);
            var length = w.BeginLength16();
            w.WriteBytes(value[..head]);
            if (!(type == AttributeType.MpReachNlri ? TryCopy(ref w, value[head..], family, ref reachIds) : TryCopy(ref w, value[head..], family, ref unreachIds)))
                return false;
            w.EndLength16(length);
        }
        w.WriteBytes(attributes[start..]);
        w.EndLength16(mark);
        if (!TryCopy(ref w, r.Rest, classic ? Families.Ipv4Unicast : Families.None, ref announcedIds))
            return false;
        without = w.Written.ToArray();
        ids = new PathIdentifiers(withdrawnIds, announcedIds, reachIds, unreachIds);
        return true;
    }

    private static bool TryCopy(ref WireWriter w, ReadOnlySpan<byte> field, Families family, ref List<uint>? ids)
    {
        if (family == Families.None)
        {
            w.WriteBytes(field);
            return true;
        }
        ids = [];
        var r = new WireReader(field);
        while (!r.AtEnd)
        {
            if (!r.TryReadUInt32(out var id))
                return false;
            var start = r.Position;
            if (!(family == Families.Ipv4Unicast ? Prefix4.TryRead(ref r, out _) : Prefix6.TryRead(ref r, out _)))
                return false;
            ids.Add(id);
            w.WriteBytes(field[start..r.Position]);
        }
        return true;
    }
}

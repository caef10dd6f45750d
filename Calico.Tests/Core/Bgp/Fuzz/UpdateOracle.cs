using System.Buffers.Binary;
using Calico.Core.Bgp.Wire;

namespace Calico.Tests.Core.Bgp.Fuzz;

/// <summary>
/// Whether RFC 7606 lets a session be reset for an UPDATE, read a second time and naively: only if its fields cannot be told
/// apart (section 3 (a), (j), 5.3), if a multiprotocol attribute is broken or stands twice (3 (g), 7.11), if an attribute claims
/// to be well-known and is not (RFC 4271 section 6.3), or if what is to be withdrawn cannot be named (5.2).
/// </summary>
internal static class UpdateOracle
{
    public static bool MayReset(ReadOnlySpan<byte> body, in WireContext context)
    {
        if (body.Length < 2)
            return true;
        var withdrawn = BinaryPrimitives.ReadUInt16BigEndian(body);
        if (body.Length < 4 + withdrawn)
            return true;
        var length = BinaryPrimitives.ReadUInt16BigEndian(body[(2 + withdrawn)..]);
        if (body.Length < 4 + withdrawn + length)
            return true;
        var announced = body[(4 + withdrawn + length)..];
        if (!ArePrefixes(body.Slice(2, withdrawn), 32, context.PathIdsIn.Has(Families.Ipv4Unicast))
            || !ArePrefixes(announced, 32, context.PathIdsIn.Has(Families.Ipv4Unicast)))
            return true;
        return IsBroken(body.Slice(4 + withdrawn, length), context, out var namesRoutes, out var isCutOff) || (isCutOff && announced.IsEmpty && !namesRoutes)
            || (announced.IsEmpty && !namesRoutes);
    }

    // An UPDATE without routes that are announced: any broken attribute in it leaves nothing to withdraw.
    private static bool IsBroken(ReadOnlySpan<byte> attributes, in WireContext context, out bool namesRoutes, out bool isCutOff)
    {
        namesRoutes = isCutOff = false;
        var seen = new HashSet<byte>();
        while (!attributes.IsEmpty)
        {
            var head = attributes.Length < 2 || ((attributes[0] & 0x10) != 0 ? attributes.Length < 4 : attributes.Length < 3) ? 0 : (attributes[0] & 0x10) != 0 ? 4 : 3;
            var size = head == 4 ? BinaryPrimitives.ReadUInt16BigEndian(attributes[2..]) : head == 3 ? attributes[2] : 0;
            if (head == 0 || attributes.Length < head + size)
            {
                isCutOff = true;
                return false;
            }
            var (flags, type) = (attributes[0], attributes[1]);
            var value = attributes.Slice(head, size);
            attributes = attributes[(head + size)..];
            var isMp = type is 14 or 15;
            if (!seen.Add(type))
            {
                if (isMp)
                    return true;
                continue;
            }
            if (!IsKnown(type) && (flags & 0x80) == 0)
                return true;
            if (isMp && IsMpBroken(type, value, context, ref namesRoutes))
                return true;
        }
        return false;
    }

    private static bool IsKnown(byte type) => type is >= 1 and <= 10 or 14 or 15 or 16 or 17 or 18 or 32;

    private static bool IsMpBroken(byte type, ReadOnlySpan<byte> value, in WireContext context, ref bool namesRoutes)
    {
        if (value.Length < 3)
            return true;
        var (afi, safi) = (BinaryPrimitives.ReadUInt16BigEndian(value), value[2]);
        var routes = value[3..];
        var hop = 0;
        if (type == 14)
        {
            if (value.Length < 5 || value.Length < 5 + value[3])
                return true;
            hop = value[3];
            routes = value[(5 + hop)..];
            namesRoutes = true;
        }
        if (safi != 1 || afi is not (1 or 2) || !context.Families.Has(afi == 1 ? Families.Ipv4Unicast : Families.Ipv6Unicast))
            return false;
        return !ArePrefixes(routes, afi == 1 ? 32 : 128, context.PathIdsIn.Has(afi == 1 ? Families.Ipv4Unicast : Families.Ipv6Unicast))
            || (type == 14 && !(afi == 1 ? hop == 4 : hop is 16 or 32));
    }

    private static bool ArePrefixes(ReadOnlySpan<byte> field, int maxBits, bool haveIds)
    {
        while (!field.IsEmpty)
        {
            if (haveIds)
            {
                if (field.Length < 5)
                    return false;
                field = field[4..];
            }
            if (field[0] > maxBits || field.Length < 1 + ((field[0] + 7) / 8))
                return false;
            field = field[(1 + ((field[0] + 7) / 8))..];
        }
        return true;
    }
}

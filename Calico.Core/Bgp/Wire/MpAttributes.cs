using Calico.Core.Net;

namespace Calico.Core.Bgp.Wire;

/// <summary>
/// The two attributes of RFC 4760 that carry routes of a family by themselves. Their syntax must be right, or nobody
/// can tell which routes were meant: errors reset the session (RFC 7606 section 5.3, 7.11).
/// <code>
///  MP_REACH_NLRI                                    MP_UNREACH_NLRI
///  +-----------------------+--------+--------+      +-----------------------+--------+
///  |          AFI          |  SAFI  | NH len |      |          AFI          |  SAFI  |
///  +-----------------------+--------+--------+      +-----------------------+--------+
///  |  next hop, then a reserved octet, NLRI  |      |  withdrawn routes              |
/// </code>
/// </summary>
public ref struct MpAttributes
{
    /// <summary>The family of MP_REACH_NLRI if there is one that we exchange.</summary>
    public Families ReachFamily { get; private set; }

    public IpAddr NextHop { get; private set; }

    /// <summary>A link-local next hop beside the global one (RFC 2545 section 3).</summary>
    public IpAddr? LinkLocalNextHop { get; private set; }

    public ReadOnlySpan<byte> Announced { get; private set; }

    public Families UnreachFamily { get; private set; }
    public ReadOnlySpan<byte> Withdrawn { get; private set; }

    /// <summary>True once MP_REACH_NLRI was there, of whatever family.</summary>
    public bool HasReach { get; private set; }

    public bool HasUnreach { get; private set; }

    /// <summary>Null, or why the session must go.</summary>
    public string? ReadReach(ReadOnlySpan<byte> value, in WireContext context)
    {
        HasReach = true;
        var r = new WireReader(value);
        if (!r.TryReadUInt16(out var afi) || !r.TryReadByte(out var safi) || !r.TryReadByte(out var nextHopLength)
            || !r.TryReadBytes(nextHopLength, out var nextHop) || !r.TryReadByte(out _))
            return "is cut off before its routes";
        var family = new AfiSafi(afi, safi).Family;
        if (family == Families.None || !context.Families.Has(family))
            return null;
        if (!IsWellFormed(family, r.Rest, context.PathIdsIn.Has(family)))
            return "has a prefix that does not fit";
        switch (family, nextHopLength)
        {
            case (Families.Ipv4Unicast, 4):
            case (Families.Ipv6Unicast, 16):
            case (Families.Ipv4Unicast, 16) when context.ExtendedNextHop:
                NextHop = IpAddr.FromBytes(nextHop);
                break;
            case (Families.Ipv6Unicast, 32):
            case (Families.Ipv4Unicast, 32) when context.ExtendedNextHop:
                NextHop = IpAddr.FromBytes(nextHop[..16]);
                LinkLocalNextHop = IpAddr.FromBytes(nextHop[16..]);
                break;
            default:
                return $"has a next hop of {nextHopLength} octets";
        }
        ReachFamily = family;
        Announced = r.Rest;
        return null;
    }

    /// <summary>Null, or why the session must go.</summary>
    public string? ReadUnreach(ReadOnlySpan<byte> value, in WireContext context)
    {
        HasUnreach = true;
        var r = new WireReader(value);
        if (!r.TryReadUInt16(out var afi) || !r.TryReadByte(out var safi))
            return "is cut off before its routes";
        var family = new AfiSafi(afi, safi).Family;
        if (family == Families.None || !context.Families.Has(family))
            return null;
        if (!IsWellFormed(family, r.Rest, context.PathIdsIn.Has(family)))
            return "has a prefix that does not fit";
        UnreachFamily = family;
        Withdrawn = r.Rest;
        return null;
    }

    private static bool IsWellFormed(Families family, ReadOnlySpan<byte> nlri, bool pathIds) =>
        family == Families.Ipv4Unicast ? Nlri.IsWellFormed<Prefix4>(nlri, pathIds)
            : Nlri.IsWellFormed<Prefix6>(nlri, pathIds);
}

using Calico.Core.Net;

namespace Calico.Core.Bgp.Wire;

/// <summary>
/// The address families this speaker exchanges, as a set. Other AFI/SAFI pairs exist only as numbers
/// (<see cref="AfiSafi"/>) while a message is being read.
/// </summary>
[Flags]
public enum Families : byte
{
    None = 0,
    Ipv4Unicast = 1,
    Ipv6Unicast = 2,
    Both = Ipv4Unicast | Ipv6Unicast,
}

/// <summary>An address family and subsequent address family as the wire names them (RFC 4760).</summary>
public readonly record struct AfiSafi(ushort Afi, byte Safi)
{
    public const ushort Ipv4 = 1;
    public const ushort Ipv6 = 2;
    public const byte Unicast = 1;

    /// <summary>The family if it is one of ours, else <see cref="Families.None"/>.</summary>
    public Families Family => (Afi, Safi) switch
    {
        (Ipv4, Unicast) => Families.Ipv4Unicast,
        (Ipv6, Unicast) => Families.Ipv6Unicast,
        _ => Families.None,
    };

    /// <summary>The numbers of exactly one family.</summary>
    public static AfiSafi Of(Families family) => family switch
    {
        Families.Ipv4Unicast => new(Ipv4, Unicast),
        Families.Ipv6Unicast => new(Ipv6, Unicast),
        _ => throw new ArgumentOutOfRangeException(nameof(family), family, "not a single family"),
    };
}

public static class FamiliesExtensions
{
    public static bool Has(this Families set, Families family) => (set & family) != 0;

    /// <summary>The family that prefixes of an IP version belong to.</summary>
    public static Families UnicastFamily(this IpVersion version) =>
        version == IpVersion.V4 ? Families.Ipv4Unicast : Families.Ipv6Unicast;

    /// <summary>The members in the fixed order IPv4, IPv6.</summary>
    public static IEnumerable<Families> Each(this Families set)
    {
        if (set.Has(Families.Ipv4Unicast))
            yield return Families.Ipv4Unicast;
        if (set.Has(Families.Ipv6Unicast))
            yield return Families.Ipv6Unicast;
    }
}

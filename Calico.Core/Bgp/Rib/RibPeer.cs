using System.Collections.Immutable;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Rib;

/// <summary>Which next hop a peer is told (BGPPeer nextHopMode).</summary>
public enum NextHopMode
{
    /// <summary>Our own address to external peers, unchanged to internal ones.</summary>
    Auto,
    Self,
    Keep,
}

/// <summary>
/// What the RIB knows of a peer. Fixed while its session is up; a new session makes a new one of the same index.
/// </summary>
public sealed record RibPeer
{
    /// <summary>The index of our own routes' source.</summary>
    public const ushort LocalIndex = 0;

    /// <summary>Names the peer in routes; given by whoever owns the RIB, never 0.</summary>
    public required ushort Index { get; init; }

    public required IpAddr Address { get; init; }
    public required Asn As { get; init; }

    /// <summary>Our AS towards the peer.</summary>
    public required Asn LocalAs { get; init; }

    public RouterId RouterId { get; init; }
    public WireContext Context { get; init; } = new(true, false, false, Families.Ipv4Unicast);

    /// <summary>Our next hop for IPv4 routes; null keeps them from being announced.</summary>
    public IpAddr? NextHopV4 { get; init; }

    public IpAddr? NextHopV6 { get; init; }
    public NextHopMode NextHopMode { get; init; }

    /// <summary>What we are to it (RFC 9234); means nothing inside our AS.</summary>
    public BgpRole? Role { get; init; }

    /// <summary>Routes are reflected to and from it (RFC 4456); means nothing outside our AS.</summary>
    public bool ReflectorClient { get; init; }

    /// <summary>How often our own AS may stand in a received path.</summary>
    public int AllowedOwnAs { get; init; }

    /// <summary>Prefixes that the peer may have in each family (RFC 4271 section 6.7); null: as many as it likes.</summary>
    public int? MaxPrefixes { get; init; }

    /// <summary>The number of them that is worth a warning.</summary>
    public int? WarnPrefixes { get; init; }

    /// <summary>The peer brackets the answer to a ROUTE-REFRESH (RFC 7313) and wants ours bracketed.</summary>
    public bool EnhancedRefresh { get; init; }

    /// <summary>It may be told routes with LLGR_STALE (RFC 9494 section 4.4).</summary>
    public bool KnowsLongLived { get; init; }

    public IRoutePolicy? Import { get; init; }
    public IRoutePolicy? Export { get; init; }

    public bool IsLocal => Index == LocalIndex;
    public bool IsInternal => !IsLocal && As == LocalAs;
    public bool IsExternal => !IsLocal && As != LocalAs;
    public bool IsClient => ReflectorClient && IsInternal;

    /// <summary>Nothing else changed that concerns routes.</summary>
    internal bool DiffersOnlyInLimits(RibPeer other) =>
        this with { MaxPrefixes = other.MaxPrefixes, WarnPrefixes = other.WarnPrefixes } == other;

    /// <summary>The ranges outside of which it is told what <paramref name="before"/> was told; null if that may be anywhere.</summary>
    internal ImmutableArray<Cidr>? DifferenceFrom(RibPeer before) =>
        Export is { } export && before.Export is { } old && (this with { Export = old }).DiffersOnlyInLimits(before) ? export.DifferenceFrom(old) : null;

    /// <summary>Its routes count the same as before.</summary>
    internal bool IsSameRouter(RibPeer other) => RouterId == other.RouterId && Address == other.Address
        && As == other.As && LocalAs == other.LocalAs;

    public IpAddr? OwnNextHop(Families family) => family == Families.Ipv4Unicast ? NextHopV4 : NextHopV6;

    internal static RibPeer Local(Asn localAs, RouterId routerId) => new()
    {
        Index = LocalIndex,
        Address = IpAddr.AnyV4,
        As = localAs,
        LocalAs = localAs,
        RouterId = routerId,
    };
}

/// <summary>A route as a policy sees it. <paramref name="Target"/> is null on import.</summary>
public readonly record struct PolicyRoute(Cidr Prefix, int AttributeSet, RibPeer Source, RibPeer? Target);

/// <summary>
/// Accepts, changes or refuses routes on their way in or out. Called for each prefix; must answer the same for the
/// same arguments as long as it is installed.
/// </summary>
public interface IRoutePolicy
{
    /// <summary>The attribute set the route shall have (often the same), or <see cref="AttributeTable.None"/>.</summary>
    int Apply(in PolicyRoute route, AttributeTable attributes);

    /// <summary>The ranges outside of which it decides as <paramref name="other"/> does; null if that may be anywhere.</summary>
    ImmutableArray<Cidr>? DifferenceFrom(IRoutePolicy other) => null;
}

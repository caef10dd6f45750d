using System.Collections.Immutable;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Wire;

/// <summary>One family in a graceful restart capability: the F bit says that its forwarding state survived.</summary>
public readonly record struct RestartFamily(AfiSafi Family, bool ForwardingPreserved);

/// <summary>
/// RFC 4724 section 3, with the N bit of RFC 8538.
/// <code>
///  +-+-+-----+-----------------------+
///  |R|N| 0 0 | Restart time, seconds |   then for each family: AFI (2), SAFI (1), F bit and zeros (1)
///  +-+-+-----+-----------------------+
/// </code>
/// No family at all means: "I can wait for your restart and send End-of-RIB, but keep nothing myself".
/// </summary>
public sealed record GracefulRestartCapability(bool RestartState, bool NotificationSupport, TimeSpan RestartTime,
    ImmutableArray<RestartFamily> Families)
{
    /// <summary>The field has twelve bits of seconds.</summary>
    public static TimeSpan MaxRestartTime => TimeSpan.FromSeconds(4095);

    public bool Lists(Families family) => Families.Any(f => f.Family.Family == family);

    public bool ForwardingPreserved(Families family) =>
        Families.Any(f => f.Family.Family == family && f.ForwardingPreserved);

    public bool Equals(GracefulRestartCapability? other) =>
        other is not null && RestartState == other.RestartState && NotificationSupport == other.NotificationSupport
        && RestartTime == other.RestartTime && Families.AsSpan().SequenceEqual(other.Families.AsSpan());

    public override int GetHashCode() =>
        HashCode.Combine(RestartState, NotificationSupport, RestartTime, Families.Length);
}

/// <summary>
/// One family of a long-lived graceful restart capability (RFC 9494 section 3.1): how long the speaker's routes may be kept
/// as a last resort once its restart time is over, in seconds of 24 bits; the F bit says that its forwarding state survived.
/// </summary>
public readonly record struct LongLivedFamily(AfiSafi Family, bool ForwardingPreserved, TimeSpan StaleTime)
{
    public static TimeSpan MaxStaleTime => TimeSpan.FromSeconds((1 << 24) - 1);
}

/// <summary>Several paths for a prefix in one family (RFC 7911 section 4): whether the speaker takes and tells them.</summary>
public readonly record struct AddPathFamily(AfiSafi Family, bool Receives, bool Sends);

/// <summary>A family whose routes the speaker takes with next hops of another address family (RFC 8950 section 4).</summary>
public readonly record struct NextHopEncoding(AfiSafi Family, ushort NextHopAfi)
{
    /// <summary>The one that this speaker knows: IPv4 unicast with IPv6 next hops.</summary>
    public static NextHopEncoding Ipv4OverIpv6 => new(AfiSafi.Of(Families.Ipv4Unicast), AfiSafi.Ipv6);
}

/// <summary>A capability without a meaning here; kept as it came.</summary>
public readonly record struct OtherCapability(byte Code, ImmutableArray<byte> Value)
{
    public bool Equals(OtherCapability other) =>
        Code == other.Code && Value.AsSpan().SequenceEqual(other.Value.AsSpan());
    public override int GetHashCode() => HashCode.Combine(Code, Value.Length);
}

/// <summary>
/// What a speaker announces in its OPEN (RFC 5492): a list of code, length, value. Repeated multiprotocol capabilities
/// add up; of every other repeated one the last wins.
/// </summary>
public sealed partial record Capabilities
{
    public static Capabilities None { get; } = new();

    public ImmutableArray<AfiSafi> Multiprotocol { get; init; } = [];
    public bool RouteRefresh { get; init; }
    public bool EnhancedRouteRefresh { get; init; }
    public bool ExtendedMessage { get; init; }
    public GracefulRestartCapability? GracefulRestart { get; init; }
    public Asn? FourOctetAs { get; init; }

    /// <summary>Null: LLGR_STALE means nothing to the speaker. Empty: it does, and its own routes are not to be kept. Without graceful restart it is void.</summary>
    public ImmutableArray<LongLivedFamily>? LongLived { get; init; }

    /// <summary>At most one entry for each family.</summary>
    public ImmutableArray<AddPathFamily> AddPath { get; init; } = [];

    public ImmutableArray<NextHopEncoding> ExtendedNextHop { get; init; } = [];

    /// <summary>One, or none; several that differ contradict each other (RFC 9234 section 4.2). May have numbers without a name.</summary>
    public ImmutableArray<BgpRole> Roles { get; init; } = [];
    public ImmutableArray<OtherCapability> Others { get; init; } = [];

    /// <summary>Our families that are announced; none at all means IPv4 unicast (RFC 4760 section 8).</summary>
    public Families Families => Multiprotocol.IsEmpty
        ? Families.Ipv4Unicast
        : Multiprotocol.Aggregate(Families.None, (set, f) => set | f.Family);

    /// <summary>Our families whose several paths the speaker takes.</summary>
    public Families AddPathReceived =>
        AddPath.Where(f => f.Receives).Aggregate(Families.None, (set, f) => set | f.Family.Family);

    /// <summary>Our families whose several paths the speaker tells.</summary>
    public Families AddPathSent =>
        AddPath.Where(f => f.Sends).Aggregate(Families.None, (set, f) => set | f.Family.Family);

    public bool Equals(Capabilities? other) =>
        other is not null && RouteRefresh == other.RouteRefresh && EnhancedRouteRefresh == other.EnhancedRouteRefresh
        && ExtendedMessage == other.ExtendedMessage && GracefulRestart == other.GracefulRestart
        && FourOctetAs == other.FourOctetAs && Multiprotocol.AsSpan().SequenceEqual(other.Multiprotocol.AsSpan())
        && AddPath.AsSpan().SequenceEqual(other.AddPath.AsSpan())
        && ExtendedNextHop.AsSpan().SequenceEqual(other.ExtendedNextHop.AsSpan())
        && Roles.AsSpan().SequenceEqual(other.Roles.AsSpan())
        && LongLived.HasValue == other.LongLived.HasValue && (LongLived ?? []).AsSpan().SequenceEqual((other.LongLived ?? []).AsSpan())
        && Others.AsSpan().SequenceEqual(other.Others.AsSpan());

    public override int GetHashCode() =>
        HashCode.Combine(RouteRefresh, EnhancedRouteRefresh, ExtendedMessage, GracefulRestart, FourOctetAs,
            Multiprotocol.Length);
}

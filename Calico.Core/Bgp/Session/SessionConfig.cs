using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Session;

/// <summary>What one session is configured to be. Times are Calico's defaults where it has any.</summary>
public sealed record SessionConfig
{
    /// <summary>Our AS towards this peer.</summary>
    public required Asn LocalAs { get; init; }

    public required RouterId RouterId { get; init; }
    public required Asn PeerAs { get; init; }
    public required IpAddr PeerAddress { get; init; }
    public ushort PeerPort { get; init; } = 179;

    /// <summary>Never dial, only wait for the peer.</summary>
    public bool Passive { get; init; }

    /// <summary>The families to offer.</summary>
    public Families Families { get; init; } = Families.Ipv4Unicast;

    /// <summary>Proposed; the smaller of both sides' counts. Zero switches keepalives off.</summary>
    public TimeSpan HoldTime { get; init; } = TimeSpan.FromSeconds(90);

    /// <summary>Null: a third of the agreed hold time.</summary>
    public TimeSpan? KeepaliveTime { get; init; }

    /// <summary>How long the peer may take nothing (RFC 9687); at least twice the agreed hold time.</summary>
    public TimeSpan SendHoldTime { get; init; } = TimeSpan.FromMinutes(8);

    public TimeSpan ConnectRetryTime { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Pause after the first error; it doubles with each further one up to <see cref="IdleHoldMax"/>.</summary>
    public TimeSpan IdleHoldMin { get; init; } = TimeSpan.FromSeconds(5);

    public TimeSpan IdleHoldMax { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a transport may wait for the peer's OPEN (RFC 4271 section 8.2.2 suggests four minutes).</summary>
    public TimeSpan OpenHoldTime { get; init; } = TimeSpan.FromMinutes(4);

    /// <summary>Offer to take and tell several paths for a prefix (RFC 7911).</summary>
    public bool AddPaths { get; init; }

    /// <summary>Null: no graceful restart. Otherwise how long peers shall keep our routes while we are away.</summary>
    public TimeSpan? RestartTime { get; init; } = TimeSpan.FromSeconds(120);

    /// <summary>How long peers that know RFC 9494 shall keep our routes as their last choice once that time is over.</summary>
    public TimeSpan LongLivedTime { get; init; }

    /// <summary>How long stale routes may wait for End-of-RIB once the peer is back.</summary>
    public TimeSpan StaleTime { get; init; } = TimeSpan.FromSeconds(300);

    /// <summary>We have just restarted with our forwarding state kept: sets the R and F bits (RFC 4724).</summary>
    public bool Restarting { get; init; }

    /// <summary>IPv4 routes over a session of IPv6 addresses: their next hop may be IPv6 too (RFC 8950).</summary>
    public bool OffersExtendedNextHop => !PeerAddress.IsV4 && Families.Has(Families.Ipv4Unicast);

    /// <summary>What we are to an external peer (RFC 9234); null: no roles.</summary>
    public BgpRole? Role { get; init; }

    public bool IsInternal => LocalAs == PeerAs;

    /// <summary>The endpoint as people write it: <c>10.0.1.1:179</c>, <c>[fd00::1]:179</c>.</summary>
    public string Endpoint => PeerAddress.IsV4 ? $"{PeerAddress}:{PeerPort}" : $"[{PeerAddress}]:{PeerPort}";

    /// <summary>Our side of the negotiation.</summary>
    /// <param name="again">
    /// The session was up before and we did not restart since: we still forward by the routes that the peer may have kept.
    /// </param>
    public OpenMessage BuildOpen(bool again = false) => new(LocalAs, HoldTime, RouterId, new Capabilities
    {
        Multiprotocol = [.. Families.Each().Select(AfiSafi.Of)],
        RouteRefresh = true,
        EnhancedRouteRefresh = true,
        ExtendedNextHop = OffersExtendedNextHop ? [NextHopEncoding.Ipv4OverIpv6] : [],
        ExtendedMessage = true,
        Roles = Role is { } role && !IsInternal ? [role] : [],
        FourOctetAs = LocalAs,
        AddPath = AddPaths ? [.. Families.Each().Select(f => new AddPathFamily(AfiSafi.Of(f), true, true))] : [],
        GracefulRestart = RestartTime is { } time
            ? new(Restarting, true, time,
                [.. Families.Each().Select(f => new RestartFamily(AfiSafi.Of(f), Restarting || again))])
            : null,
        LongLived = RestartTime is null ? null : LongLivedTime > TimeSpan.Zero
            ? [.. Families.Each().Select(f => new LongLivedFamily(AfiSafi.Of(f), Restarting || again, LongLivedTime))] : [],
    });
}

/// <summary>The world at the moment of a step: the machine itself has neither clock nor dice.</summary>
/// <param name="Jitter">0.75 to 1, multiplied into timers as RFC 4271 section 10 asks.</param>
public readonly record struct SessionClock(DateTimeOffset Now, double Jitter);

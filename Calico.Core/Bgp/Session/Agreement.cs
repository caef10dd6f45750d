using System.Collections.Immutable;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Session;

/// <summary>What both OPENs together mean for a session.</summary>
public sealed record Agreement(OpenMessage PeerOpen, WireContext Context, TimeSpan HoldTime, TimeSpan KeepaliveTime)
{
    public RouterId PeerRouterId => PeerOpen.RouterId;
    public Asn PeerAs => PeerOpen.MyAs;

    /// <summary>The peer understands ROUTE-REFRESH.</summary>
    public bool RouteRefresh => PeerOpen.Capabilities.RouteRefresh;

    /// <summary>How long the peer may take nothing before it is given up (RFC 9687).</summary>
    public TimeSpan SendHoldTime { get; init; }

    /// <summary>A NOTIFICATION ends a session like a broken transport does, unless it is a hard reset (RFC 8538).</summary>
    public bool NotificationRestart { get; init; }

    /// <summary>Families whose routes we keep as stale should the peer vanish, and for how long.</summary>
    public Families RestartFamilies { get; init; }

    public TimeSpan PeerRestartTime { get; init; }

    /// <summary>LLGR_STALE means something to the peer (RFC 9494).</summary>
    public bool KnowsLongLived { get; init; }

    /// <summary>Our families whose routes we keep as the last choice when the restart time is over.</summary>
    public ImmutableArray<LongLivedFamily> LongLived { get; init; } = [];

    /// <summary>Families whose routes outlive a broken transport, in one way or the other.</summary>
    public Families KeptFamilies => LongLived.Aggregate(RestartFamilies, (set, f) => set | f.Family.Family);

    /// <summary>The peer has just restarted and waits for our End-of-RIB.</summary>
    public bool PeerRestarting { get; init; }

    /// <summary>Families whose forwarding state the peer kept over its restart (the F bit).</summary>
    public Families PreservedFamilies { get; init; }

    /// <summary>Checks the peer's OPEN against the configuration (RFC 4271 section 6.2) and draws the conclusions.</summary>
    public static bool TryNegotiate(SessionConfig config, OpenMessage open, out Agreement? agreement,
        out NotificationError? error, out DownReason? reason)
    {
        agreement = null;
        error = null;
        reason = null;
        if (open.MyAs != config.PeerAs)
        {
            reason = new DownReason.OpenBadPeerAs(config.PeerAs, open.MyAs);
            error = NotificationError.Of(ErrorCode.OpenMessage, OpenError.BadPeerAs, reason.Sentence);
            return false;
        }
        if (open.RouterId == config.RouterId && config.IsInternal)
        {
            // RFC 6286 section 2.2: only inside an AS must identifiers differ.
            reason = new DownReason.OpenBadRouterId(open.RouterId);
            error = NotificationError.Of(ErrorCode.OpenMessage, OpenError.BadBgpIdentifier, reason.Sentence);
            return false;
        }
        var families = config.Families & open.Capabilities.Families;
        if (families == Families.None)
        {
            reason = new DownReason.OpenNoCommonFamily(config.Families, open.Capabilities.Families);
            error = NotificationError.Of(ErrorCode.OpenMessage, OpenError.UnsupportedCapability,
                RequiredCapabilities(config.Families), reason.Sentence);
            return false;
        }
        // RFC 9234 section 4.2. A peer that says nothing of roles may have ours all the same.
        if (config.Role is { } role && !config.IsInternal && open.Capabilities.Roles is { IsEmpty: false } theirs
            && (theirs.Length > 1 || theirs[0] != role.Counterpart()))
        {
            reason = new DownReason.OpenRoleMismatch(role, theirs);
            error = NotificationError.Of(ErrorCode.OpenMessage, OpenError.RoleMismatch, reason.Sentence);
            return false;
        }
        var context = new WireContext(open.Capabilities.FourOctetAs is not null, open.Capabilities.ExtendedMessage,
            config.IsInternal, families)
        {
            ExtendedNextHop = config.OffersExtendedNextHop && families.Has(Families.Ipv4Unicast)
                && open.Capabilities.ExtendedNextHop.Contains(NextHopEncoding.Ipv4OverIpv6),
            PathIdsIn = config.AddPaths ? families & open.Capabilities.AddPathSent : Families.None,
            PathIdsOut = config.AddPaths ? families & open.Capabilities.AddPathReceived : Families.None,
        };
        var hold = open.HoldTime < config.HoldTime ? open.HoldTime : config.HoldTime;
        var keepalive = config.KeepaliveTime is { } wanted && wanted < hold / 3 ? wanted : hold / 3;
        agreement = new Agreement(open, context, hold, keepalive)
        {
            SendHoldTime = config.SendHoldTime > hold * 2 ? config.SendHoldTime : hold * 2,
        };
        if (config.RestartTime is not null && open.Capabilities.GracefulRestart is { } restart)
        {
            agreement = agreement with
            {
                RestartFamilies = restart.RestartTime == TimeSpan.Zero ? Families.None : Where(families, restart.Lists),
                PreservedFamilies = Where(families, restart.ForwardingPreserved),
                PeerRestartTime = restart.RestartTime,
                PeerRestarting = restart.RestartState,
                NotificationRestart = restart.NotificationSupport,
                KnowsLongLived = open.Capabilities.LongLived is not null,
                LongLived = [.. (open.Capabilities.LongLived ?? []).Where(f => families.Has(f.Family.Family) && f.StaleTime > TimeSpan.Zero).DistinctBy(f => f.Family)],
            };
        }
        return true;
    }

    private static Families Where(Families set, Func<Families, bool> holds) =>
        set.Each().Where(holds).Aggregate(Families.None, (all, f) => all | f);

    // RFC 5492 section 5: the capabilities whose absence made us refuse.
    private static byte[] RequiredCapabilities(Families families)
    {
        var w = new WireWriter(new byte[32]);
        new Capabilities { Multiprotocol = [.. families.Each().Select(AfiSafi.Of)] }.Encode(ref w);
        return w.Written.ToArray();
    }
}

using System.Collections.Immutable;
using Akka.Actor;
using Akka.Event;
using Calico.Actors.Bfd;
using Calico.Core.Bfd;
using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Actors.Bgp;

/// <summary>
/// Everything that may be said to and by the BGP speaker. All of it stays inside the node: nothing here crosses a
/// process border.
/// </summary>
public static class BgpProtocol
{
    public interface IBgpMessage : INoSerializationVerificationNeeded;

    public interface ICommand : IBgpMessage;

    public interface IEvent : IBgpMessage;

    public interface IQuery : IBgpMessage;

    /// <summary>
    /// The whole wanted configuration; the speaker works out what changed. Sessions are reset only where the change
    /// cannot be had otherwise. The first one starts the speaker.
    /// </summary>
    public sealed record ConfigureSpeaker(SpeakerConfig Config) : ICommand;

    /// <summary>Announces prefixes as our own, and stops announcing others. Adding one again replaces its attributes.</summary>
    public sealed record OriginateRoutes(ImmutableArray<OriginatedRoute> Add, ImmutableArray<Cidr> Remove) : ICommand;

    /// <summary>
    /// What <see cref="OriginateRoutes"/> said so far is everything this node had to announce when it started. Peers get
    /// no End-of-RIB before it (or before <see cref="SpeakerConfig.ConvergenceTime"/> is over), so that after a restart
    /// they do not drop what we are about to announce again.
    /// </summary>
    public sealed record OriginationComplete : ICommand;

    /// <summary>
    /// BGP next hops resolve differently now. <paramref name="Resolver"/> is a snapshot of the kernel's routes;
    /// <paramref name="Changed"/> names the routes that changed since the last one, default means "any".
    /// </summary>
    public sealed record NextHopsChanged(INextHopResolver Resolver, ImmutableArray<Cidr> Changed) : ICommand;

    /// <summary>
    /// The machines at these addresses are known to be gone: what they told goes at once, whatever graceful restart allows.
    /// Sessions with them are tried again as before.
    /// </summary>
    /// <param name="Reason">A sentence without a full stop.</param>
    public sealed record PeersGone(ImmutableArray<IpAddr> Addresses, string Reason) : ICommand;

    /// <summary>The target is done with the batch of this number (and all before it) and may be sent more.</summary>
    public sealed record BestRoutesApplied(long Sequence) : ICommand;

    /// <summary>The target lost its memory and wants all best routes again.</summary>
    public sealed record RepeatBestRoutes : ICommand;

    /// <summary>
    /// This node leaves for good: all sessions are ended with Cease/Administrative shutdown and this text. Answered with
    /// <see cref="SpeakerDecommissioned"/>. Stopping the actor instead says nothing to the peers, which then keep our
    /// routes for the graceful restart time.
    /// </summary>
    public sealed record DecommissionSpeaker(string Text) : ICommand;

    public sealed record SpeakerDecommissioned : IEvent;

    /// <summary>
    /// Outcomes that changed, each prefix at most once, with what is true now. The target must answer each with
    /// <see cref="BestRoutesApplied"/>; at most two are under way, and meanwhile changes coalesce by prefix.
    /// </summary>
    public sealed record BestRoutesChanged(long Sequence, ImmutableArray<BestRoute> Routes) : IEvent;

    /// <summary>
    /// Once, after the best routes that belong to it: all expected peers have sent all their routes, or the time for
    /// that is over. Routes of an earlier life that were not confirmed may be deleted now.
    /// </summary>
    public sealed record InitialConvergence(bool Complete, ImmutableArray<string> Missing) : IEvent
    {
        private const int Named = 10;

        /// <summary>The missing peers for a line of the log, which hundreds of names would make unreadable.</summary>
        public string MissingText => Missing.Length <= Named ? string.Join(", ", Missing)
            : $"{string.Join(", ", Missing.Take(Named))} and {Missing.Length - Named} more";
    }

    /// <summary>
    /// A speaker has started and knows nothing yet: it wants next hops, routes to originate and its configuration. Told
    /// to the target of best routes, by the speaker, after every start.
    /// </summary>
    public sealed record SpeakerStarted : IEvent;

    /// <summary>Answered with <see cref="BgpStatus"/>.</summary>
    public sealed record GetBgpStatus : IQuery;

    /// <summary>Answered with <see cref="BgpRoutes"/>.</summary>
    public sealed record GetBgpRoutes(RibQuery Query) : IQuery;

    public sealed record BgpRoutes(RibPage Page) : IEvent;

    /// <summary>Asks why the best route to an address or of a prefix is the best; answered with <see cref="BgpExplained"/>.</summary>
    public sealed record ExplainRoute(Cidr Asked) : IQuery;

    /// <param name="Why">Null if no route leads there.</param>
    public sealed record BgpExplained(RibExplanation? Why) : IEvent;

    public sealed record BgpStatus(bool Configured, Asn LocalAs, RouterId RouterId,
        ImmutableArray<ListenerStatus> Listeners,
        ImmutableArray<PeerStatus> Peers, bool Converged) : IEvent;
}

/// <summary>One listening address; <paramref name="Error"/> is null while it listens.</summary>
public sealed record ListenerStatus(IpAddr Address, ushort Port, string? Error);

/// <summary>
/// One session: its state by the RFC's name, since when, why it is not up, and numbers. <paramref name="LastDown"/>
/// is kept while it is up again.
/// </summary>
public sealed record PeerStatus(string Name, PeerKind Kind, IpAddr Address, Asn PeerAs, SessionPhase Phase,
    DateTimeOffset Since,
    DownReason? Down, DownReason? LastDown, bool Restarting, PeerCounters Counters)
{
    /// <summary>Its BGP identifier; 0 while no session has told it.</summary>
    public RouterId RouterId { get; init; }

    /// <summary>How its path is to be watched by BFD; null: not at all.</summary>
    public BfdSetting? Bfd { get; init; }

    /// <summary>The path that is watched, from the first session on.</summary>
    public BfdEndpoint? Path { get; init; }

    /// <summary>Why the path cannot be watched.</summary>
    public string? Unwatchable { get; init; }

    /// <summary>How BFD finds the path; only what <see cref="SpeakerStatus"/> reads has it.</summary>
    public BfdProtocol.BfdNeighbour? Neighbour { get; init; }
}

/// <summary>Routes are those of all families together.</summary>
public sealed record PeerCounters(int Received, int Advertised, long MessagesIn, long MessagesOut, int Established)
{
    /// <summary>Sessions that BFD ended.</summary>
    public int PathFailures { get; init; }

    /// <summary>UPDATEs whose routes counted as withdrawn, because something about them was wrong (RFC 7606).</summary>
    public long TreatedAsWithdrawn { get; init; }

    /// <summary>UPDATEs that lost an attribute for the same reason.</summary>
    public long AttributesDiscarded { get; init; }

    /// <summary>Each code once for either direction.</summary>
    public ImmutableArray<NotificationCount> Notifications { get; init; } = [];
}

/// <summary>How often a NOTIFICATION was sent or received; 0/0 stands for the rest of a peer that sends all kinds.</summary>
public readonly record struct NotificationCount(bool IsSent, ErrorCode Code, byte Subcode, int Count);

/// <summary>Where a peer comes from, as CalicoNodeStatus names it.</summary>
public enum PeerKind
{
    NodeMesh,
    NodePeer,
    GlobalPeer,
}

/// <summary>A prefix of ours and how it shall look.</summary>
public sealed record OriginatedRoute(Cidr Prefix, PathAttributes Attributes)
{
    /// <summary>Origin IGP and nothing else.</summary>
    public static OriginatedRoute Of(Cidr prefix) => new(prefix, PathAttributes.Local);
}

/// <summary>The speaker's configuration. Defaults are Calico's.</summary>
public sealed record SpeakerConfig
{
    public Asn LocalAs { get; init; } = Asn.CalicoDefault;
    public required RouterId RouterId { get; init; }

    /// <summary>Empty (only dial), the node's addresses (bindMode NodeIP), or the unspecified ones. Each is one socket.</summary>
    public ImmutableArray<IpAddr> ListenAddresses { get; init; } = [IpAddr.AnyV4, IpAddr.AnyV6];

    public ushort ListenPort { get; init; } = 179;

    /// <summary>This node's addresses: the next hop of our routes where the session itself is of the other family.</summary>
    public IpAddr? AddressV4 { get; init; }

    public IpAddr? AddressV6 { get; init; }

    public ImmutableArray<PeerConfig> Peers { get; init; } = [];

    /// <summary>Peers that get no session for now; the status shows them with the reason.</summary>
    public ImmutableArray<WithheldPeer> Withheld { get; init; } = [];

    /// <summary>The process restarted and the kernel still has its routes: announced to peers as the R and F bits.</summary>
    public bool Restarting { get; init; }

    /// <summary>How long to wait for the peers' routes after the start (RFC 4724's Selection_Deferral_Timer).</summary>
    public TimeSpan ConvergenceTime { get; init; } = TimeSpan.FromSeconds(120);

    /// <summary>Next hops in one ECMP route.</summary>
    public int MaxPaths { get; init; } = 16;

    /// <summary>False: the best routes go nowhere, and nobody is told of them.</summary>
    public bool HasRouteTarget { get; init; } = true;

    /// <summary>The cluster that we reflect for (RFC 4456); null: the router id.</summary>
    public RouterId? ClusterId { get; init; }

    /// <summary>Whether another says the same.</summary>
    public bool SameAs(SpeakerConfig other) => Scalars(this) == Scalars(other) && ListenAddresses.AsSpan().SequenceEqual(other.ListenAddresses.AsSpan())
        && Peers.SequenceEqual(other.Peers) && Withheld.SequenceEqual(other.Withheld);

    private static SpeakerConfig Scalars(SpeakerConfig of) => of with { ListenAddresses = [], Peers = [], Withheld = [] };
}

/// <summary>A peer that is configured and must not have a session, because something that it needs is missing.</summary>
/// <param name="Reason">A sentence that begins with what is missing.</param>
public sealed record WithheldPeer(PeerConfig Peer, string Reason);

/// <summary>One peer. <see cref="Name"/> identifies it between configurations (<c>Mesh_10_0_0_2</c>).</summary>
public sealed record PeerConfig
{
    public required string Name { get; init; }
    public required IpAddr Address { get; init; }
    public ushort Port { get; init; } = 179;
    public required Asn As { get; init; }

    /// <summary>Our AS towards this peer (BGPPeer localASNumber); null: the speaker's.</summary>
    public Asn? LocalAs { get; init; }

    public PeerKind Kind { get; init; } = PeerKind.NodeMesh;
    public bool Passive { get; init; }

    /// <summary>Dial from this address; null leaves it to the kernel.</summary>
    public IpAddr? SourceAddress { get; init; }

    /// <summary>The gateway of a host route to the peer (BGPPeer reachableBy); null: the machine's other routes lead there.</summary>
    public IpAddr? ReachableBy { get; init; }

    /// <summary>The link that it is behind, if it is a workload of this node; null for everybody else.</summary>
    public string? WorkloadInterface { get; init; }

    /// <summary>Families to exchange; None: that of the address, as Calico's two BIRDs do.</summary>
    public Families Families { get; init; }

    internal Families ExchangedFamilies => Families == Families.None ? Address.Version.UnicastFamily() : Families;

    /// <summary>What we are to an external peer (RFC 9234); null: no roles.</summary>
    public BgpRole? Role { get; init; }

    public TimeSpan HoldTime { get; init; } = TimeSpan.FromSeconds(90);
    public TimeSpan? KeepaliveTime { get; init; }
    public TimeSpan ConnectRetryTime { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>BIRD's "error wait time 5,30".</summary>
    public TimeSpan ErrorWaitMin { get; init; } = TimeSpan.FromSeconds(5);

    public TimeSpan ErrorWaitMax { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Null: no graceful restart with this peer.</summary>
    public TimeSpan? RestartTime { get; init; } = TimeSpan.FromSeconds(120);

    /// <summary>How long the peer shall keep our routes as its last choice after that (RFC 9494); zero: not at all.</summary>
    public TimeSpan LongLivedTime { get; init; }

    /// <summary>How the path to the peer is watched (RFC 5880); null: not at all.</summary>
    public BfdSetting? Bfd { get; init; }

    /// <summary>TCP MD5 (RFC 2385), at most 80 octets.</summary>
    public string? Password { get; init; }

    /// <summary>TTL security (RFC 5082): the peer is at most this many hops away. Null: not checked.</summary>
    public byte? TtlSecurityHops { get; init; }

    /// <summary>Bind the connection to this interface (SO_BINDTODEVICE).</summary>
    public string? BindDevice { get; init; }

    public NextHopMode NextHopMode { get; init; }

    /// <summary>The peer is a client that routes are reflected to and from (RFC 4456). Means nothing to external peers.</summary>
    public bool ReflectorClient { get; init; }

    /// <summary>How often our own AS may stand in a received path (BGPPeer numAllowedLocalASNumbers).</summary>
    public int AllowedOwnAs { get; init; }

    /// <summary>
    /// Take and tell several paths for a prefix (RFC 7911), if the peer does too: then it hears of all usable ones and not
    /// only of the best.
    /// </summary>
    public bool AddPaths { get; init; } = true;

    /// <summary>
    /// Prefixes that the peer may announce in each family, after the import policy; one more ends the session
    /// (RFC 4271 section 6.7). Null: no limit.
    /// </summary>
    public int? MaxPrefixes { get; init; }

    /// <summary>The share of <see cref="MaxPrefixes"/> that is worth a warning in the log.</summary>
    public double MaxPrefixesWarning { get; init; } = 0.75;

    /// <summary>
    /// A peer that takes none of our octets for this long, or twice the hold time if that is longer, is given up
    /// (RFC 9687).
    /// </summary>
    public TimeSpan SendHoldTime { get; init; } = TimeSpan.FromMinutes(8);

    public IRoutePolicy? Import { get; init; }
    public IRoutePolicy? Export { get; init; }

    /// <summary>Without the password: configurations end up in logs.</summary>
    public override string ToString() => $"{Name} ({Address} port {Port}, AS {As})";

    /// <summary>
    /// Calico's rule for the mesh: of two nodes the one whose peer's address is greater as text waits.
    /// </summary>
    public static bool IsPassiveInMesh(IpAddr own, IpAddr peer) =>
        string.CompareOrdinal(peer.ToString(), own.ToString()) > 0;

    /// <summary>
    /// True if a running session cannot be brought to <paramref name="next"/> without a new transport or a new OPEN.
    /// Times, passivity, policies and kind take effect on the living session or the next one.
    /// </summary>
    public bool NeedsReset(PeerConfig next) => this with
    {
        Kind = next.Kind,
        Passive = next.Passive,
        HoldTime = next.HoldTime,
        KeepaliveTime = next.KeepaliveTime,
        ConnectRetryTime = next.ConnectRetryTime,
        ErrorWaitMin = next.ErrorWaitMin,
        ErrorWaitMax = next.ErrorWaitMax,
        RestartTime = next.RestartTime,
        LongLivedTime = next.LongLivedTime,
        Bfd = next.Bfd,
        ReachableBy = next.ReachableBy,
        NextHopMode = next.NextHopMode,
        ReflectorClient = next.ReflectorClient,
        AllowedOwnAs = next.AllowedOwnAs,
        MaxPrefixes = next.MaxPrefixes,
        MaxPrefixesWarning = next.MaxPrefixesWarning,
        SendHoldTime = next.SendHoldTime,
        Import = next.Import,
        Export = next.Export,
    } != next;

    /// <summary>What the machine needs of it.</summary>
    internal SessionConfig ToSession(SpeakerConfig speaker, bool restarting) => new()
    {
        LocalAs = LocalAs ?? speaker.LocalAs,
        RouterId = speaker.RouterId,
        PeerAs = As,
        PeerAddress = Address,
        PeerPort = Port,
        Passive = Passive,
        Families = ExchangedFamilies,
        Role = Role,
        HoldTime = HoldTime,
        KeepaliveTime = KeepaliveTime,
        ConnectRetryTime = ConnectRetryTime,
        SendHoldTime = SendHoldTime,
        AddPaths = AddPaths,
        IdleHoldMin = ErrorWaitMin,
        IdleHoldMax = ErrorWaitMax,
        RestartTime = RestartTime,
        LongLivedTime = LongLivedTime,
        Restarting = restarting,
    };
}

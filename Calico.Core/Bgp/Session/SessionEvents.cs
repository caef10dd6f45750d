using Calico.Core.Bfd;
using Calico.Core.Bgp.Wire;

namespace Calico.Core.Bgp.Session;

/// <summary>What happens to a session. Each names the RFC 4271 section 8.1 events that it stands for.</summary>
public abstract record SessionEvent
{
    /// <summary>ManualStart and AutomaticStart with their passive forms (1, 3, 4, 5).</summary>
    public sealed record Start : SessionEvent;

    /// <summary>
    /// ManualStop and AutomaticStop (2, 8) for good: says Cease with this subcode and text, and that our routes shall go.
    /// </summary>
    public sealed record Stop(byte CeaseSubcode, string Text) : SessionEvent;

    /// <summary>
    /// AutomaticStop followed by a start: the session must be negotiated anew. Both sides keep their routes meanwhile if
    /// both understand RFC 8538.
    /// </summary>
    public sealed record Restart(byte CeaseSubcode, string Text) : SessionEvent;

    /// <summary>AutomaticStop (8) and a start: the peer's machine is known to be gone, so nothing of it is kept.</summary>
    public sealed record PeerGone(string Text) : SessionEvent;

    /// <summary>
    /// AutomaticStop (8) and a start: BFD says that the path to the peer is broken (RFC 5882 section 4.1). Whether the peer's
    /// machine or only its speaker is gone is not known.
    /// </summary>
    /// <param name="Diagnostic">Who noticed: we, or the neighbour, who tells us.</param>
    public sealed record PathFailed(BfdDiagnostic Diagnostic) : SessionEvent;

    /// <summary>The expiry of any timer (9 to 13, and those of RFC 4724).</summary>
    public sealed record TimerExpired(SessionTimer Timer) : SessionEvent;

    /// <summary>Tcp_CR_Acked and TcpConnectionConfirmed (16, 17).</summary>
    public sealed record TransportConnected(ConnectionId Connection, Direction Direction) : SessionEvent;

    /// <summary>TcpConnectionFails (18) of a dial that never connected.</summary>
    public sealed record DialFailed(TransportFault Fault, string Detail) : SessionEvent;

    /// <summary>TcpConnectionFails (18) of a connection.</summary>
    public sealed record TransportFailed(ConnectionId Connection, TransportFault Fault, string Detail) : SessionEvent;

    /// <summary>BGPOpen (19).</summary>
    public sealed record OpenReceived(ConnectionId Connection, OpenMessage Open) : SessionEvent;

    /// <summary>KeepAliveMsg (26).</summary>
    public sealed record KeepaliveReceived(ConnectionId Connection) : SessionEvent;

    /// <summary>UpdateMsg (27), any number of them read together.</summary>
    public sealed record UpdatesReceived(ConnectionId Connection) : SessionEvent;

    /// <summary>A ROUTE-REFRESH, which counts like an UPDATE.</summary>
    public sealed record RefreshReceived(ConnectionId Connection) : SessionEvent;

    /// <summary>NotifMsgVerErr and NotifMsg (24, 25).</summary>
    public sealed record NotificationReceived(ConnectionId Connection, NotificationMessage Message) : SessionEvent;

    /// <summary>BGPHeaderErr, BGPOpenMsgErr and UpdateMsgErr (21, 22, 28).</summary>
    public sealed record MessageRejected(ConnectionId Connection, NotificationError Error) : SessionEvent;

    /// <summary>AutomaticStop (8): the peer has more prefixes than it may (RFC 4271 section 6.7).</summary>
    public sealed record PrefixLimitExceeded(ConnectionId Connection, Families Family, int Limit) : SessionEvent;

    /// <summary>The peer's End-of-RIB (RFC 4724).</summary>
    public sealed record EndOfRibReceived(Families Family) : SessionEvent;
}

public enum TimerKind
{
    IdleHold,
    ConnectRetry,
    Hold,
    Keepalive,

    /// <summary>How long our first KEEPALIVE may wait for the fate of another transport.</summary>
    Confirm,

    /// <summary>How long the peer may take none of what we have for it (RFC 9687); its owner sees whether it does.</summary>
    SendHold,

    /// <summary>How long we wait for a vanished peer to come back (RFC 4724).</summary>
    Restart,

    /// <summary>How long stale routes wait for End-of-RIB after it came back.</summary>
    Stale,

    /// <summary>How long its routes of one family are kept as the last choice (RFC 9494).</summary>
    LongLivedIpv4,
    LongLivedIpv6,
}

/// <summary>A timer of the session, or of one of its connections.</summary>
public readonly record struct SessionTimer(TimerKind Kind, ConnectionId Connection = default);

/// <summary>What the machine wants done, in this order.</summary>
public abstract record SessionEffect
{
    /// <summary>Open a transport to the peer.</summary>
    public sealed record Dial : SessionEffect;

    /// <summary>Give up the dial that is under way.</summary>
    public sealed record StopDial : SessionEffect;

    public sealed record SendOpen(ConnectionId Connection, OpenMessage Open) : SessionEffect;

    public sealed record SendKeepalive(ConnectionId Connection) : SessionEffect;

    public sealed record SendNotification(ConnectionId Connection, NotificationMessage Message) : SessionEffect;

    /// <summary>Close the transport once what was sent before has left.</summary>
    public sealed record CloseTransport(ConnectionId Connection) : SessionEffect;

    /// <summary>From here on the connection's octets have this meaning. Comes before our first KEEPALIVE.</summary>
    public sealed record Agree(ConnectionId Connection, Agreement Agreement) : SessionEffect;

    /// <summary>Start or restart a timer.</summary>
    public sealed record StartTimer(SessionTimer Timer, TimeSpan Duration) : SessionEffect;

    /// <summary>Start a running timer over with the duration it has.</summary>
    public sealed record RewindTimer(SessionTimer Timer) : SessionEffect;

    public sealed record StopTimer(SessionTimer Timer) : SessionEffect;

    /// <summary>Established: routes may flow.</summary>
    public sealed record SessionUp(ConnectionId Connection, Agreement Agreement) : SessionEffect;

    /// <summary>No longer established: the peer's routes go, except those of the families to keep as stale.</summary>
    public sealed record SessionDown(DownReason Reason, Families KeepStale) : SessionEffect;

    /// <summary>Routes of these families that are still stale become the last choice, or go if they must not be kept so long.</summary>
    public sealed record DemoteStale(Families Families) : SessionEffect;

    /// <summary>Routes of these families that are still stale go.</summary>
    public sealed record SweepStale(Families Families) : SessionEffect;
}

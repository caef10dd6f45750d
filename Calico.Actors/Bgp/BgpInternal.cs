using System.Collections.Immutable;
using System.Net.Sockets;
using Akka.Actor;
using Akka.Event;
using Calico.Core.Bfd;
using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Actors.Bgp;

/// <summary>
/// What the speaker, its sessions, its RIB and the threads that serve the sockets say to each other. Some carry a
/// socket or a pooled buffer: whoever receives one owns it.
/// </summary>
internal interface IBgpInternal : INoSerializationVerificationNeeded;

/// <summary>A timer of the session machine may be due.</summary>
internal sealed record SessionTick(SessionTimer Timer) : IBgpInternal, INotInfluenceReceiveTimeout,
    IDeadLetterSuppression;

// Speaker to session.
internal sealed record StartSession : IBgpInternal;
internal sealed record ReconfigureSession(PeerConfig Peer, SpeakerConfig Speaker, bool Reset) : IBgpInternal;
internal sealed record UpdateSpeaker(SpeakerConfig Speaker) : IBgpInternal;
internal sealed record StopSession(byte CeaseSubcode, string Text) : IBgpInternal;
internal sealed record GiveUpPeer(string Text) : IBgpInternal;
internal sealed record ReleaseSession : IBgpInternal;
internal sealed record TransportAccepted(Socket Socket) : IBgpInternal, IDeadLetterSuppression;

// Session to speaker.
internal sealed record SessionChanged(string Name, SessionPhase Phase, DateTimeOffset Since, DownReason? Down,
    DownReason? LastDown,
    bool Restarting, bool Stopped) : IBgpInternal
{
    /// <summary>What BFD watches for the session, and why it does not although it was asked to.</summary>
    public BfdEndpoint? Path { get; init; }
    public string? Unwatchable { get; init; }
}

// Sockets to session and speaker.
internal sealed record SocketAccepted(Socket Socket, IpAddr Remote) : IBgpInternal, IDeadLetterSuppression;
internal sealed record ListenerFailed(IpAddr Address, string Error) : IBgpInternal, IDeadLetterSuppression;
internal sealed record DialSucceeded(int Number, Socket Socket) : IBgpInternal, IDeadLetterSuppression;
internal sealed record DialFaulted(int Number, TransportFault Fault, string Detail) : IBgpInternal,
    IDeadLetterSuppression;
internal sealed record MessageRead(ConnectionId Connection, SessionEvent Event) : IBgpInternal, IDeadLetterSuppression;
internal sealed record RoutesRead(ConnectionId Connection, RouteBatch Batch) : IBgpInternal, IDeadLetterSuppression;
internal sealed record RefreshAsked(ConnectionId Connection, Families Family) : IBgpInternal, IDeadLetterSuppression;
internal sealed record ProblemSeen(string Problem, int Suppressed) : IBgpInternal, IDeadLetterSuppression;
internal sealed record ChunkSent(ConnectionId Connection, int Epoch) : IBgpInternal, IDeadLetterSuppression;

// Session to RIB. An epoch names one established session of a peer.
internal sealed record RibPeerUp(RibPeer Peer, string Name, int Epoch, bool SendsEndOfRib, bool PeerRestarting)
    : IBgpInternal;
internal sealed record RibPeerChanged(RibPeer Peer) : IBgpInternal;
internal sealed record RibPeerDown(ushort Peer, Families KeepStale) : IBgpInternal, IDeadLetterSuppression;
internal sealed record RibDemoteStale(ushort Peer, Families Families) : IBgpInternal;
internal sealed record RibSweepStale(ushort Peer, Families Families) : IBgpInternal;
internal sealed record RibApply(ushort Peer, ConnectionId Connection, RouteBatch Batch) : IBgpInternal,
    IDeadLetterSuppression;
internal sealed record RibRefresh(ushort Peer, Families Family) : IBgpInternal;
internal sealed record RibChunkSent(ushort Peer, int Epoch) : IBgpInternal, IDeadLetterSuppression;

// RIB to session.
internal sealed record RoutesApplied(ConnectionId Connection, RouteBatch Batch) : IBgpInternal, IDeadLetterSuppression;
internal sealed record PrefixLimitReached(int Epoch, PrefixLimitCrossed Limit) : IBgpInternal, IDeadLetterSuppression;
internal sealed record SendUpdates(int Epoch, byte[] Buffer, int Length) : IBgpInternal, IDeadLetterSuppression;

// Speaker to RIB.
internal sealed record RibConfigure(RibConfig Config, bool Restarting, TimeSpan ConvergenceTime,
    ImmutableArray<string> Expected) : IBgpInternal;
internal sealed record RibRemovePeer(ushort Peer, string Name) : IBgpInternal;
/// <summary>The RIB adds what it counts of the peers and answers; it knows nothing of those that are withheld.</summary>
internal sealed record CompleteStatus(BgpProtocol.BgpStatus Status, ImmutableArray<(ushort Index, PeerStatus Peer)> Peers,
    ImmutableArray<PeerStatus> Withheld, IActorRef ReplyTo) : IBgpInternal;

// RIB to itself and to the speaker.
internal sealed record FlushOutputs : IBgpInternal, INotInfluenceReceiveTimeout, IDeadLetterSuppression;
internal sealed record ConvergenceTimeOver : IBgpInternal, INotInfluenceReceiveTimeout, IDeadLetterSuppression;
internal sealed record Converged : IBgpInternal;

using System.Collections.Immutable;
using Calico.Core.Bfd;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Session;

/// <summary>How a transport failed, as far as it changes what an operator does about it.</summary>
public enum TransportFault
{
    Refused,
    TimedOut,
    Unreachable,
    Reset,
    ClosedByPeer,
    LocalAddressMissing,
    NotPermitted,
    Other,
}

/// <summary>
/// Why a session is not established: a closed set of types for programs, each with a sentence for people that says
/// what happened and what to do.
/// </summary>
public abstract record DownReason
{
    private DownReason()
    {
    }

    /// <summary>What happened, on what, and what to do.</summary>
    public abstract string Sentence { get; }

    public sealed override string ToString() => Sentence;

    public sealed record NotStarted : DownReason
    {
        public override string Sentence => "the session has not been started yet";
    }

    public sealed record Withheld(string Why) : DownReason
    {
        public override string Sentence => $"the session is held back: {Why}";
    }

    public sealed record WaitingForPeer(string Endpoint) : DownReason
    {
        public override string Sentence =>
            $"passive: waiting for {Endpoint} to connect; if it never does, look at the session's state on that side";
    }

    public sealed record TcpRefused(string Endpoint) : DownReason
    {
        public override string Sentence =>
            $"TCP to {Endpoint} was refused: no BGP speaker listens there; is calico-node running on that machine?";
    }

    public sealed record TcpTimedOut(string Endpoint) : DownReason
    {
        public override string Sentence =>
            $"TCP to {Endpoint} got no answer: the machine is down, or a firewall drops the port, or the MD5 passwords or ttlSecurity of both sides differ";
    }

    public sealed record TcpUnreachable(string Endpoint, string Detail) : DownReason
    {
        public override string Sentence =>
            $"{Endpoint} is unreachable ({Detail}): check the route to it on this machine (ip route get)";
    }

    public sealed record LocalAddressMissing(string Endpoint, string Detail) : DownReason
    {
        public override string Sentence =>
            $"cannot dial {Endpoint} from the configured source address ({Detail}): is that address on an interface of this machine?";
    }

    public sealed record TcpFailed(string Endpoint, string Detail) : DownReason
    {
        public override string Sentence => $"TCP to {Endpoint} failed: {Detail}";
    }

    public sealed record ConnectionLost(string Endpoint, SessionPhase Phase, string Detail) : DownReason
    {
        public override string Sentence => Phase == SessionPhase.Established
            ? $"{Endpoint} closed the connection without a word ({Detail}): its speaker or machine restarted, or the path broke"
            : $"{Endpoint} closed the connection in state {Phase} ({Detail}): it may not have this node as a peer; check its configuration";
    }

    public sealed record OpenBadPeerAs(Asn Expected, Asn Got) : DownReason
    {
        public override string Sentence =>
            $"the peer says it is AS {Got}, configured is AS {Expected}: correct the AS number of the peer (BGPPeer asNumber or the node's AS)";
    }

    public sealed record OpenBadRouterId(RouterId Id) : DownReason
    {
        public override string Sentence =>
            $"the peer has our own BGP identifier {Id}: two nodes share an address or a router id; give one of them another";
    }

    public sealed record OpenRoleMismatch(BgpRole Ours, ImmutableArray<BgpRole> Theirs) : DownReason
    {
        public override string Sentence =>
            $"we are {Ours.Text()} to the peer, which must be {Ours.Counterpart().Text()} to us and says {string.Join(" and ", Theirs.Select(r => r.Text()))}: set the role of one side right ({PeerAnnotations.RoleKey})";

        public bool Equals(OpenRoleMismatch? other) => other is not null && Ours == other.Ours && Theirs.AsSpan().SequenceEqual(other.Theirs.AsSpan());

        public override int GetHashCode() => HashCode.Combine(Ours, Theirs.Length);
    }

    public sealed record OpenNoCommonFamily(Families Ours, Families Theirs) : DownReason
    {
        public override string Sentence =>
            $"no address family in common (ours: {Ours}, the peer's: {Theirs}): enable the family on one of both sides";
    }

    public sealed record HoldTimerExpired(TimeSpan HoldTime, SessionPhase Phase) : DownReason
    {
        public override string Sentence =>
            $"nothing was heard for {HoldTime.TotalSeconds:0} s in state {Phase}: the path to the peer is broken or its speaker hangs";
    }

    public sealed record SendHoldTimerExpired(TimeSpan SendHoldTime) : DownReason
    {
        public override string Sentence =>
            $"the peer has taken nothing from us for {SendHoldTime.TotalSeconds:0} s: its speaker hangs or is overloaded; look at it there";
    }

    public sealed record MaximumPrefixesReached(Families Family, int Limit) : DownReason
    {
        public override string Sentence =>
            $"the peer announced more than the {Limit} prefixes of {Family} that it may: find out why it has so many, or raise the maximum of this peer";
    }

    public sealed record NotificationReceived(ErrorCode Code, byte Subcode, string? Text) : DownReason
    {
        public override string Sentence => (Text is null
            ? $"the peer ended the session: {NotificationNames.Describe(Code, Subcode)}"
            : $"the peer ended the session: {NotificationNames.Describe(Code, Subcode)} \"{Text}\"") + Advice;

        private string Advice => (Code, Subcode) switch
        {
            (ErrorCode.OpenMessage, OpenError.BadPeerAs) => "; it expects another AS number of this node",
            (ErrorCode.Cease, CeaseError.PeerDeconfigured) => "; this node is not a peer in its configuration any more",
            (ErrorCode.Cease, CeaseError.ConnectionRejected) => "; it does not know this node as a peer",
            (ErrorCode.Cease, CeaseError.MaximumPrefixes) => "; this node announces more routes than it accepts",
            (ErrorCode.Cease, CeaseError.BfdDown) => "; its BFD heard nothing of this node for its detection time: look at the path between",
            (ErrorCode.HoldTimerExpired, _) => "; it did not hear from this node in time",
            _ => "; its log says more",
        };
    }

    public sealed record MessageRejected(NotificationError Error) : DownReason
    {
        public override string Sentence =>
            $"the peer sent something wrong ({NotificationNames.Describe(Error.Code, Error.Subcode)}: {Error.Reason}); report it to the maker of that speaker";
    }

    public sealed record UnexpectedMessage(MessageType Type, SessionPhase Phase) : DownReason
    {
        public override string Sentence => $"the peer sent {Type} in state {Phase}, which the protocol forbids";
    }

    public sealed record PathFailed(string Endpoint, BfdDiagnostic Diagnostic) : DownReason
    {
        public override string Sentence => Diagnostic == BfdDiagnostic.NeighborSignaledSessionDown
            ? $"BFD of {Endpoint} says that it does not hear this node any more: the path from here to there is down, this node stood still, or that speaker has just been restarted"
            : $"BFD heard nothing of {Endpoint} for its detection time: the path or the machine is down, or its speaker has just been restarted";
    }

    public sealed record PeerGone(string Text) : DownReason
    {
        public override string Sentence => $"given up here: {Text}";
    }

    public sealed record Stopped(string Text) : DownReason
    {
        public override string Sentence => $"stopped here: {Text}";
    }
}

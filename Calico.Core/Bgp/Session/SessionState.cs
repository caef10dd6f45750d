using System.Collections.Immutable;
using Calico.Core.Bgp.Wire;

namespace Calico.Core.Bgp.Session;

/// <summary>The states of RFC 4271 section 8.2.2, by their names there.</summary>
public enum SessionPhase
{
    Idle,
    Connect,
    Active,
    OpenSent,
    OpenConfirm,
    Established,
}

/// <summary>Who dialled.</summary>
public enum Direction
{
    Outgoing,
    Incoming,
}

/// <summary>A transport connection of a session; the number is given by whoever owns the sockets and never reused.</summary>
public readonly record struct ConnectionId(int Number);

/// <summary>
/// One transport and how far its handshake is: OpenSent, OpenConfirm or Established. While two exist, the RFC would
/// speak of two state machines of one peer.
/// </summary>
public sealed record Connection(ConnectionId Id, Direction Direction, SessionPhase Phase)
{
    public Agreement? Agreement { get; init; }

    /// <summary>Its OPEN is good, and our KEEPALIVE waits until it is known what becomes of our own dial.</summary>
    public bool IsWithheld { get; init; }

    /// <summary>The peer's KEEPALIVE came meanwhile.</summary>
    public bool IsConfirmedByPeer { get; init; }

    /// <summary>
    /// The families whose routes outlive this NOTIFICATION, sent or received: all that outlive a broken transport, if
    /// both sides said so (RFC 8538) and it is no hard reset.
    /// </summary>
    public Families KeptAfter(NotificationMessage message) =>
        Agreement is { NotificationRestart: true } && !message.IsHardReset ? Agreement.KeptFamilies : Families.None;

    /// <summary>The message in the form that keeps the peer from keeping our routes.</summary>
    public NotificationMessage ForGood(NotificationMessage message) =>
        Agreement is { NotificationRestart: true } ? NotificationMessage.HardReset(message) : message;
}

/// <summary>Everything the machine remembers of a session.</summary>
public sealed record SessionState
{
    public static SessionState Initial { get; } = new();

    /// <summary>Started and not stopped.</summary>
    public bool Running { get; init; }

    /// <summary>Pausing after an error: the RFC's Idle with the IdleHoldTimer running.</summary>
    public bool Holding { get; init; }

    /// <summary>A dial is under way: the RFC's Connect.</summary>
    public bool Dialing { get; init; }

    /// <summary>At most one established, one dialled and one accepted.</summary>
    public ImmutableArray<Connection> Connections { get; init; } = [];

    /// <summary>Errors since the session was last established.</summary>
    public int Failures { get; init; }

    /// <summary>Why it is not established; null while it is.</summary>
    public DownReason? Down { get; init; } = new DownReason.NotStarted();

    /// <summary>Why it last ended, whatever attempts failed since; kept while it is up again. Null if it was never up.</summary>
    public DownReason? LastDown { get; init; }

    /// <summary>When <see cref="Phase"/> was entered.</summary>
    public DateTimeOffset Since { get; init; }

    /// <summary>Families of the peer whose routes are kept as stale (RFC 4724 section 4.2, the receiving speaker).</summary>
    public Families Stale { get; init; }

    /// <summary>Which of these may be kept for longer, as the peer said in its last OPEN (RFC 9494).</summary>
    public ImmutableArray<LongLivedFamily> LongLived { get; init; } = [];

    /// <summary>Which of them are the last choice by now.</summary>
    public Families LastResort { get; init; }

    public int Established { get; init; }

    /// <summary>The state to show: that of the connection that got furthest.</summary>
    public SessionPhase Phase
    {
        get
        {
            var furthest = Dialing ? SessionPhase.Connect : Running && !Holding ? SessionPhase.Active
                : SessionPhase.Idle;
            foreach (var c in Connections)
                furthest = c.Phase > furthest ? c.Phase : furthest;
            return furthest;
        }
    }

    /// <summary>The established connection.</summary>
    public Connection? Main => Connections.FirstOrDefault(c => c.Phase == SessionPhase.Established);

    public Connection? Find(ConnectionId id) => Connections.FirstOrDefault(c => c.Id == id);
}

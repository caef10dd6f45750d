using System.Collections.Immutable;
using Calico.Core.Bgp.Wire;

namespace Calico.Core.Bgp.Session;

/// <summary>
/// The finite state machine of RFC 4271 section 8 for one peer, as a pure function. Time, dice and sockets are
/// arguments and effects, so a session can be replayed from a list of events.
/// <code>
///           Start                    connected              OPEN ok               KEEPALIVE
///   Idle ----------> Connect/Active ----------> OpenSent ----------> OpenConfirm ----------> Established
///    ^   IdleHold        ^    |  dial failed       |  |                   |                       |
///    |   expired         |____|  ConnectRetry      |  |                   |                       |
///    |                   |________________________ |  |                   |                       |
///    |                     transport lost             |                   |                       |
///    |____________________________________________________________________|______________________|
///                    any error: NOTIFICATION, close, IdleHold with back-off
/// </code>
/// Two transports of one peer can exist at a time (both sides dial, or the peer restarted and dials anew); each has
/// its own handshake state, and the collision rule decides which one lives (section 6.8, and RFC 4724 section 5
/// for a peer that restarted). The session's state is that of the transport that got furthest.
/// Left out on purpose: DelayOpen, TrackTcpState, and accepting unconfigured peers.
/// </summary>
public static partial class SessionMachine
{
    /// <summary>An established session older than this is taken to be dead when its peer opens a new one.</summary>
    private static readonly TimeSpan SettledAfter = TimeSpan.FromSeconds(5);

    /// <summary>How long a transport of the peer's waits for the fate of our own dial.</summary>
    private static readonly TimeSpan ConfirmAfter = TimeSpan.FromSeconds(2);

    public static (SessionState State, ImmutableArray<SessionEffect> Effects) Step(SessionState state, SessionEvent e,
        SessionConfig config, SessionClock clock)
    {
        var step = new StepDraft(state, config, clock);
        switch (e)
        {
            case SessionEvent.Start:
                if (!state.Running)
                    step.Start();
                break;
            case SessionEvent.Stop stop:
                step.StopSession(stop.CeaseSubcode, stop.Text, forGood: true);
                break;
            case SessionEvent.Restart restart:
                if (!state.Running)
                    break;
                step.StopSession(restart.CeaseSubcode, restart.Text, forGood: false);
                step.Start();
                break;
            case SessionEvent.PeerGone gone:
                step.PeerGone(gone.Text);
                break;
            case SessionEvent.PathFailed failed:
                step.PathFailed(failed.Diagnostic);
                break;
            case SessionEvent.TimerExpired timer:
                StepTimer(step, timer.Timer);
                break;
            case SessionEvent.TransportConnected connected:
                StepConnected(step, connected);
                break;
            case SessionEvent.DialFailed failed:
                if (state.Dialing)
                    step.DialFailed(failed.Fault, failed.Detail);
                break;
            case SessionEvent.EndOfRibReceived eor:
                step.Sweep(state.Stale & eor.Family);
                break;
            default:
                StepConnection(step, e);
                break;
        }
        return step.Finish();
    }

    // The table of (state of the connection, event). What is not listed is a late event of a transport that is gone.
    private static void StepConnection(StepDraft step, SessionEvent e)
    {
        var id = e switch
        {
            SessionEvent.TransportFailed x => x.Connection,
            SessionEvent.OpenReceived x => x.Connection,
            SessionEvent.KeepaliveReceived x => x.Connection,
            SessionEvent.UpdatesReceived x => x.Connection,
            SessionEvent.RefreshReceived x => x.Connection,
            SessionEvent.NotificationReceived x => x.Connection,
            SessionEvent.MessageRejected x => x.Connection,
            SessionEvent.PrefixLimitExceeded x => x.Connection,
            _ => throw new ArgumentOutOfRangeException(nameof(e), e, "an event without a rule"),
        };
        if (step.State.Find(id) is not { } connection)
            return;
        switch (connection.Phase, e)
        {
            case (_, SessionEvent.TransportFailed failed):
                step.Lost(connection, failed.Detail);
                break;
            case (_, SessionEvent.NotificationReceived
            {
                Message:
                {
                    Code: ErrorCode.Cease,
                    Subcode: CeaseError.ConnectionCollisionResolution
                }
            }):
                step.LostCollision(connection);
                break;
            case (_, SessionEvent.NotificationReceived received):
                step.NotificationReceived(connection, received.Message);
                break;
            case (_, SessionEvent.MessageRejected rejected):
                step.Fail(connection, rejected.Error.ToMessage(), new DownReason.MessageRejected(rejected.Error));
                break;

            case (SessionPhase.OpenSent, SessionEvent.OpenReceived received):
                step.ReceiveOpen(connection, received.Open);
                break;

            case (SessionPhase.OpenConfirm, SessionEvent.KeepaliveReceived):
                step.KeepaliveInOpenConfirm(connection);
                break;

            case (SessionPhase.Established,
                SessionEvent.KeepaliveReceived or SessionEvent.UpdatesReceived or SessionEvent.RefreshReceived):
                step.RewindHold(connection);
                break;

            case (SessionPhase.Established, SessionEvent.PrefixLimitExceeded exceeded):
                step.LimitExceeded(connection, exceeded.Family, exceeded.Limit);
                break;
            case (_, SessionEvent.PrefixLimitExceeded):
                break;

            default:
                step.Unexpected(connection, e);
                break;
        }
    }

    private static void StepTimer(StepDraft step, SessionTimer timer)
    {
        var connection = step.State.Find(timer.Connection);
        switch (timer.Kind)
        {
            case TimerKind.IdleHold when step.State is { Running: true, Holding: true }:
                step.BeginConnecting();
                break;
            case TimerKind.ConnectRetry when step.State is { Running: true, Holding: false }:
                step.RetryConnect();
                break;
            case TimerKind.Hold when connection is not null:
                step.HoldExpired(connection);
                break;
            case TimerKind.Confirm when connection is { IsWithheld: true }:
                step.Confirm(connection);
                break;
            case TimerKind.SendHold when connection is { Phase: SessionPhase.Established }:
                step.SendHoldExpired(connection);
                break;
            case TimerKind.Keepalive when connection is { Phase: SessionPhase.OpenConfirm or SessionPhase.Established }:
                step.SendKeepalive(connection);
                break;
            case TimerKind.Restart when step.State.Main is null:
                step.RestartTimeOver();
                break;
            case TimerKind.LongLivedIpv4:
                step.Sweep(step.State.LastResort & Families.Ipv4Unicast);
                break;
            case TimerKind.LongLivedIpv6:
                step.Sweep(step.State.LastResort & Families.Ipv6Unicast);
                break;
            case TimerKind.Stale:
                step.Sweep(step.State.Stale);
                break;
        }
    }

    private static void StepConnected(StepDraft step, SessionEvent.TransportConnected connected)
    {
        var state = step.State;
        if (connected.Direction == Direction.Outgoing ? !state.Dialing : !state.Running || state.Holding)
        {
            step.Refuse(connected.Connection);
            return;
        }
        // It would be a collision with one that is good already for a peer that takes a collision for a restart.
        if (connected.Direction == Direction.Incoming && state.Connections.Any(c => c is { Phase: SessionPhase.OpenConfirm, IsWithheld: false, Agreement.PeerOpen.Capabilities.GracefulRestart: not null }))
        {
            step.Refuse(connected.Connection);
            return;
        }
        // A second accepted transport means that the peer gave up the first one; one that got as far as OpenConfirm stays.
        if (connected.Direction == Direction.Incoming
            && state.Connections.FirstOrDefault(c =>
                c is { Direction: Direction.Incoming, Phase: < SessionPhase.Established }) is { } older)
        {
            if (older.Phase == SessionPhase.OpenConfirm)
            {
                step.Refuse(connected.Connection);
                return;
            }
            step.Drop(older, null);
        }
        step.SendOpen(connected.Connection, connected.Direction);
    }
}

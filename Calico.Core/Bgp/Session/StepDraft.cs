using System.Collections.Immutable;
using Calico.Core.Bgp.Wire;

namespace Calico.Core.Bgp.Session;

public static partial class SessionMachine
{
    /// <summary>
    /// One step in the making: the state so far and the effects in order. Each method is the entry action of a state,
    /// or what several transitions have in common, so that none is spelled twice.
    /// </summary>
    private sealed partial class StepDraft(SessionState state, SessionConfig config, SessionClock clock)
    {
        private readonly SessionPhase _phase = state.Phase;
        private readonly int _established = state.Established;
        private readonly ImmutableArray<SessionEffect>.Builder _effects = ImmutableArray.CreateBuilder<SessionEffect>();

        public SessionState State { get; private set; } = state;

        public (SessionState, ImmutableArray<SessionEffect>) Finish()
        {
            ConfirmWhatWaits();
            if (State.Phase != _phase || State.Established != _established)
                State = State with { Since = clock.Now };
            return (State, _effects.DrainToImmutable());
        }

        /// <summary>Idle to Connect or Active.</summary>
        public void Start()
        {
            State = State with { Running = true, Failures = 0, Down = Waiting() };
            BeginConnecting();
        }

        public void BeginConnecting()
        {
            State = State with { Holding = false };
            StopTimer(TimerKind.IdleHold);
            if (config.Passive)
                return;
            Dial();
        }

        /// <summary>ConnectRetryTimer_Expires: a dial that hangs is given up, then dial again, unless a transport exists.</summary>
        public void RetryConnect()
        {
            if (config.Passive || State.Connections.Any(c => c.Direction == Direction.Outgoing
                || c.Phase >= SessionPhase.OpenConfirm))
                return;
            if (State.Dialing)
            {
                Add(new SessionEffect.StopDial());
                State = State with { Down = new DownReason.TcpTimedOut(config.Endpoint) };
            }
            Dial();
        }

        public void DialFailed(TransportFault fault, string detail)
        {
            State = State with
            {
                Dialing = false,
                Down = fault switch
                {
                    TransportFault.Refused => new DownReason.TcpRefused(config.Endpoint),
                    TransportFault.TimedOut => new DownReason.TcpTimedOut(config.Endpoint),
                    TransportFault.Unreachable => new DownReason.TcpUnreachable(config.Endpoint, detail),
                    TransportFault.LocalAddressMissing => new DownReason.LocalAddressMissing(config.Endpoint, detail),
                    _ => new DownReason.TcpFailed(config.Endpoint, detail),
                },
            };
            StartConnectRetry();
        }

        /// <summary>Entry of OpenSent.</summary>
        public void SendOpen(ConnectionId id, Direction direction)
        {
            if (direction == Direction.Outgoing)
            {
                State = State with { Dialing = false };
                StopTimer(TimerKind.ConnectRetry);
            }
            State = State with { Connections = State.Connections.Add(new(id, direction, SessionPhase.OpenSent)) };
            Add(new SessionEffect.SendOpen(id, config.BuildOpen(State.Established > 0)));
            StartTimer(new(TimerKind.Hold, id), config.OpenHoldTime);
        }

        /// <summary>OpenSent, BGPOpen: the entry of OpenConfirm, if the OPEN is good and the transport survives.</summary>
        public void ReceiveOpen(Connection connection, OpenMessage open)
        {
            if (!Agreement.TryNegotiate(config, open, out var agreement, out var error, out var reason))
            {
                Fail(connection, error!.ToMessage(), reason!);
                return;
            }
            if (!Collide(connection, open, agreement!))
                return;
            Add(new SessionEffect.Agree(connection.Id, agreement!));
            if (MayKeepOurs(open) && IsAnotherPending(connection with { Agreement = agreement }))
                Withhold(connection with { Agreement = agreement });
            else
                Confirm(connection with { Agreement = agreement });
        }

        /// <summary>Entry of Established.</summary>
        public void Establish(Connection connection)
        {
            var agreement = connection.Agreement!;
            // Another transport in OpenSent stays until its OPEN: the peer may yet prefer that one.
            Replace(connection with { Phase = SessionPhase.Established });
            RewindHold(connection);
            StartTimer(new(TimerKind.SendHold, connection.Id), agreement.SendHoldTime);
            StopTimer(TimerKind.ConnectRetry);
            StopTimer(TimerKind.Restart);
            State = State with
            {
                Failures = 0,
                Down = null,
                Established = State.Established + 1
            };
            // RFC 4724 section 4.2: what the peer did not preserve is gone, the rest waits for End-of-RIB. Either F bit does for what is
            // kept for long already (RFC 9494 section 4.3).
            var preserved = agreement.LongLived.Where(f => f.ForwardingPreserved)
                .Aggregate(agreement.PreservedFamilies, (set, f) => set | (f.Family.Family & State.LastResort));
            var lost = State.Stale & ~preserved;
            Add(new SessionEffect.SessionUp(connection.Id, agreement));
            Sweep(lost);
            if (State.Stale != Families.None)
                StartTimer(new(TimerKind.Stale), config.StaleTime);
        }

        public void RewindHold(Connection connection)
        {
            if (connection.Agreement!.HoldTime > TimeSpan.Zero)
                Add(new SessionEffect.RewindTimer(new(TimerKind.Hold, connection.Id)));
        }

        public void SendKeepalive(Connection connection)
        {
            Add(new SessionEffect.SendKeepalive(connection.Id));
            StartTimer(new(TimerKind.Keepalive, connection.Id), connection.Agreement!.KeepaliveTime * clock.Jitter);
        }

        /// <summary>
        /// RFC 4271 section 6.8, with both OPENs known: true if <paramref name="connection"/> lives on. The transport
        /// dialled by the side with the higher identifier wins (RFC 6286: then the higher AS).
        /// </summary>
        public bool Collide(Connection connection, OpenMessage open, Agreement agreement)
        {
            var cease = NotificationMessage.Of(ErrorCode.Cease, CeaseError.ConnectionCollisionResolution);
            if (State.Main is { } main)
            {
                // RFC 4724 section 5: a peer that can restart and opens anew has restarted. A collision looks alike for
                // a moment, so a session that has only just come up stands unless the peer says that it restarted.
                var restarted = main.Agreement!.KeptFamilies != Families.None
                    && (agreement.PeerRestarting || clock.Now - State.Since >= SettledAfter);
                if (!restarted)
                {
                    Drop(connection, cease);
                    return false;
                }
                Drop(main, null);
                GoDown(new DownReason.ConnectionLost(config.Endpoint, SessionPhase.Established, "it opened a new one"),
                    main.Agreement.KeptFamilies, main.Agreement);
                return true;
            }
            if (State.Connections.FirstOrDefault(c => c.Id != connection.Id
                && c.Phase == SessionPhase.OpenConfirm) is not { } other)
                return true;
            var localIsHigher = config.RouterId != open.RouterId ? config.RouterId > open.RouterId
                : config.LocalAs > open.MyAs;
            var winner = localIsHigher ? Direction.Outgoing : Direction.Incoming;
            var loser = connection.Direction == winner ? other : connection;
            Drop(loser, cease);
            return loser.Id != connection.Id;
        }

        /// <summary>Closes one transport, with a last word if there is one.</summary>
        public void Drop(Connection connection, NotificationMessage? message)
        {
            if (message is not null)
                Add(new SessionEffect.SendNotification(connection.Id, message));
            Add(new SessionEffect.CloseTransport(connection.Id));
            StopTimer(new SessionTimer(TimerKind.Hold, connection.Id));
            StopTimer(new SessionTimer(TimerKind.Keepalive, connection.Id));
            StopTimer(new SessionTimer(TimerKind.SendHold, connection.Id));
            if (connection.IsWithheld)
                StopTimer(new SessionTimer(TimerKind.Confirm, connection.Id));
            State = State with { Connections = State.Connections.RemoveAll(c => c.Id == connection.Id) };
        }

        /// <summary>A transport that nobody waits for; without a last word, so that the peer tries again soon.</summary>
        public void Refuse(ConnectionId id) => Add(new SessionEffect.CloseTransport(id));

        // Idle with the IdleHoldTimer running; the pause doubles with each failure.
        private void HoldIdle()
        {
            StopDial();
            StopTimer(TimerKind.ConnectRetry);
            var pause = config.IdleHoldMin * Math.Pow(2, Math.Min(State.Failures, 16));
            pause = pause < config.IdleHoldMax ? pause : config.IdleHoldMax;
            State = State with { Holding = true, Failures = State.Failures + 1 };
            StartTimer(new(TimerKind.IdleHold), pause * clock.Jitter);
        }

        private void Dial()
        {
            State = State with { Dialing = true };
            Add(new SessionEffect.Dial());
            StartConnectRetry();
        }

        private void StopDial()
        {
            if (!State.Dialing)
                return;
            State = State with { Dialing = false };
            Add(new SessionEffect.StopDial());
        }

        private void StartConnectRetry()
        {
            if (!config.Passive)
                StartTimer(new(TimerKind.ConnectRetry), config.ConnectRetryTime * clock.Jitter);
        }

        private DownReason Waiting() =>
            config.Passive ? new DownReason.WaitingForPeer(config.Endpoint) : new DownReason.NotStarted();

        private void Replace(Connection connection) => State = State with
        {
            Connections = [.. State.Connections.Select(c => c.Id == connection.Id ? connection : c)],
        };

        private void StartTimer(SessionTimer timer, TimeSpan duration) =>
            Add(new SessionEffect.StartTimer(timer, duration));
        private void StopTimer(TimerKind kind) => StopTimer(new SessionTimer(kind));
        private void StopTimer(SessionTimer timer) => Add(new SessionEffect.StopTimer(timer));
        private void Add(SessionEffect effect) => _effects.Add(effect);
    }
}

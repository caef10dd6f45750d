using Calico.Core.Bfd;
using Calico.Core.Bgp.Wire;

namespace Calico.Core.Bgp.Session;

public static partial class SessionMachine
{
    /// <summary>How transports and the session end, and what of the peer's routes outlives them.</summary>
    private sealed partial class StepDraft
    {
        public void HoldExpired(Connection connection) =>
            Fail(connection, NotificationMessage.Of(ErrorCode.HoldTimerExpired, 0),
                new DownReason.HoldTimerExpired(connection.Agreement?.HoldTime ?? config.OpenHoldTime,
                    connection.Phase));

        public void SendHoldExpired(Connection connection) =>
            Fail(connection, NotificationMessage.Of(ErrorCode.SendHoldTimerExpired, 0),
                new DownReason.SendHoldTimerExpired(connection.Agreement!.SendHoldTime));

        /// <summary>RFC 4486 section 4; its routes would be the same again, so they are not kept.</summary>
        public void LimitExceeded(Connection connection, Families family, int limit) =>
            Fail(connection, connection.ForGood(NotificationMessage.MaximumPrefixes(family, (uint)limit)),
                new DownReason.MaximumPrefixesReached(family, limit));

        /// <summary>The peer's last word. A hard reset has the reason inside (RFC 8538 section 3.1).</summary>
        public void NotificationReceived(Connection connection, NotificationMessage message)
        {
            var said = message.HardResetReason ?? message;
            Drop(connection, null);
            EndOf(connection, new DownReason.NotificationReceived(said.Code, said.Subcode, said.ShutdownText),
                connection.KeptAfter(message));
            // Its end of the path broke: what leads there is as doubtful as if we had noticed (RFC 9384).
            if ((said.Code, said.Subcode) == (ErrorCode.Cease, CeaseError.BfdDown))
                DemoteStale();
            if (State.Connections.IsEmpty)
                HoldIdle();
        }

        /// <summary>The FSM error of every state (RFC 6608).</summary>
        public void Unexpected(Connection connection, SessionEvent e)
        {
            var type = e switch
            {
                SessionEvent.OpenReceived => MessageType.Open,
                SessionEvent.KeepaliveReceived => MessageType.Keepalive,
                SessionEvent.RefreshReceived => MessageType.RouteRefresh,
                _ => MessageType.Update,
            };
            var subcode = connection.Phase switch
            {
                SessionPhase.OpenSent => FsmError.UnexpectedInOpenSent,
                SessionPhase.OpenConfirm => FsmError.UnexpectedInOpenConfirm,
                _ => FsmError.UnexpectedInEstablished,
            };
            Fail(connection, NotificationMessage.Of(ErrorCode.FiniteStateMachine, subcode),
                new DownReason.UnexpectedMessage(type, connection.Phase));
        }

        /// <summary>
        /// A transport broke without a NOTIFICATION. From Established that is what a graceful restart looks like:
        /// the routes stay, and the session starts over at once.
        /// </summary>
        public void Lost(Connection connection, string detail)
        {
            var reason = new DownReason.ConnectionLost(config.Endpoint, connection.Phase, detail);
            Drop(connection, null);
            EndOf(connection, reason, connection.Agreement?.KeptFamilies ?? Families.None);
            TryAgain();
        }

        /// <summary>The peer resolved a collision against this transport: no error, so no pause.</summary>
        public void LostCollision(Connection connection)
        {
            Drop(connection, null);
            if (connection.Phase == SessionPhase.Established)
                GoDown(new DownReason.NotificationReceived(ErrorCode.Cease, CeaseError.ConnectionCollisionResolution,
                    null), Families.None, connection.Agreement!);
            TryAgain();
        }

        /// <summary>An error on one transport: tell the peer, close, and pause if it was the last one.</summary>
        public void Fail(Connection connection, NotificationMessage message, DownReason reason)
        {
            Drop(connection, message);
            EndOf(connection, reason, connection.KeptAfter(message));
            if (State.Connections.IsEmpty)
                HoldIdle();
        }

        // Without a pause: nobody said that something was wrong.
        private void TryAgain()
        {
            if (State.Connections.IsEmpty && !State.Dialing)
                StartConnectRetry();
        }

        // What the end of a transport means for the session.
        private void EndOf(Connection connection, DownReason reason, Families keep)
        {
            if (connection.Phase == SessionPhase.Established)
                GoDown(reason, keep, connection.Agreement!);
            else if (State.Main is null)
                State = State with { Down = reason };
        }

        /// <summary>
        /// The peer's machine is known to be gone. Nothing is kept of it, whatever RFC 8538 allows; whoever answers at its
        /// address is welcome later.
        /// </summary>
        public void PeerGone(string text)
        {
            if (State.Main is { } main)
            {
                Drop(main, NotificationMessage.Shutdown(CeaseError.AdministrativeReset, text));
                GoDown(new DownReason.PeerGone(text), Families.None, main.Agreement!);
                if (State.Connections.IsEmpty)
                    HoldIdle();
            }
            Sweep(State.Stale);
        }

        /// <summary>
        /// The path is broken, or the peer's speaker is away and its machine forwards on: what may outlive the session stays
        /// as the last choice, so that traffic moves where there is another way and nowhere else is lost. That holds, too, for what
        /// outlived a session that ended a moment before, for whatever reason.
        /// </summary>
        public void PathFailed(BfdDiagnostic diagnostic)
        {
            if (State.Main is { } main)
            {
                Drop(main, NotificationMessage.Of(ErrorCode.Cease, CeaseError.BfdDown));
                GoDown(new DownReason.PathFailed(config.Endpoint, diagnostic), main.Agreement!.KeptFamilies, main.Agreement);
                TryAgain();
            }
            DemoteStale();
        }

        private void DemoteStale()
        {
            if ((State.Stale & ~State.LastResort) is var demoted and not Families.None)
                Add(new SessionEffect.DemoteStale(demoted));
        }

        public void StopSession(byte subcode, string text, bool forGood)
        {
            var main = State.Main;
            var message = NotificationMessage.Shutdown(subcode, text);
            foreach (var connection in State.Connections)
                Drop(connection, forGood ? connection.ForGood(message) : message);
            if (main is not null)
                EndOf(main, new DownReason.Stopped(text), forGood ? Families.None : main.KeptAfter(message));
            StopDial();
            if (forGood)
                Sweep(State.Stale);
            StopTimer(TimerKind.IdleHold);
            StopTimer(TimerKind.ConnectRetry);
            State = State with { Running = false, Holding = false, Down = new DownReason.Stopped(text) };
        }

        public void Sweep(Families families)
        {
            if (families == Families.None)
                return;
            Add(new SessionEffect.SweepStale(families));
            State = State with { Stale = State.Stale & ~families, LastResort = State.LastResort & ~families };
            foreach (var family in families.Each())
                StopTimer(LongLivedTimer(family));
            if (State.Stale != Families.None)
                return;
            StopTimer(TimerKind.Stale);
            StopTimer(TimerKind.Restart);
        }

        /// <summary>
        /// The peer has not come back in time. What it said may be kept for longer becomes the last choice (RFC 9494 section
        /// 4.2), the rest goes.
        /// </summary>
        public void RestartTimeOver()
        {
            var longLived = State.LongLived.Where(f => (State.Stale & ~State.LastResort).Has(f.Family.Family)).ToList();
            var families = longLived.Aggregate(Families.None, (set, f) => set | f.Family.Family);
            Sweep(State.Stale & ~State.LastResort & ~families);
            if (families == Families.None)
                return;
            Add(new SessionEffect.DemoteStale(families));
            State = State with { LastResort = State.LastResort | families };
            foreach (var family in longLived)
                StartTimer(new(LongLivedTimer(family.Family.Family)), family.StaleTime);
        }

        private static TimerKind LongLivedTimer(Families family) =>
            family == Families.Ipv4Unicast ? TimerKind.LongLivedIpv4 : TimerKind.LongLivedIpv6;

        // Exit of Established.
        private void GoDown(DownReason reason, Families keep, Agreement agreement)
        {
            Add(new SessionEffect.SessionDown(reason, keep));
            StopTimer(TimerKind.Stale);
            foreach (var family in State.LastResort.Each())
                StopTimer(LongLivedTimer(family));
            // Routes that were stale already and not refreshed do not survive a second restart (RFC 4724 section 4.2).
            State = State with { Stale = keep, LongLived = agreement.LongLived, LastResort = Families.None, Down = reason, LastDown = reason };
            if (keep == Families.None)
                StopTimer(TimerKind.Restart);
            else if (agreement.PeerRestartTime == TimeSpan.Zero)
                RestartTimeOver();
            else
                StartTimer(new(TimerKind.Restart), agreement.PeerRestartTime);
        }
    }
}

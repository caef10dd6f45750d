using Calico.Core.Bgp.Wire;

namespace Calico.Core.Bgp.Session;

public static partial class SessionMachine
{
    /// <summary>
    /// The first KEEPALIVE, with which a transport is good for the peer. A peer that can keep our routes over a restart takes another
    /// one that it accepts afterwards for a second restart (RFC 4724 section 5), and drops what it had kept over the first; it drops
    /// them as well if a collision is resolved against a transport that is good. So collisions are resolved before: a KEEPALIVE
    /// waits while another transport may still be on its way, for not long, and afterwards the peer's next transport is not answered.
    /// </summary>
    private sealed partial class StepDraft
    {
        // A dial of ours that the peer may see, or a transport without its OPEN.
        private bool IsAnotherPending(Connection connection) => (State.Dialing && connection.Direction == Direction.Incoming)
            || State.Connections.Any(c => c.Id != connection.Id && c.Phase == SessionPhase.OpenSent);

        // A peer that only helps others to restart names no family of its own.
        private bool MayKeepOurs(OpenMessage open) => config.RestartTime is not null && open.Capabilities.GracefulRestart is not null;

        /// <summary>The peer has said its part of the handshake.</summary>
        public void KeepaliveInOpenConfirm(Connection connection)
        {
            if (connection.IsWithheld)
                Replace(connection with { IsConfirmedByPeer = true });
            else
                Establish(connection);
        }

        /// <summary>Entry of OpenConfirm. Whatever else there may be of ours is given up.</summary>
        public void Confirm(Connection connection)
        {
            StopDial();
            if (connection.IsWithheld)
                StopTimer(new SessionTimer(TimerKind.Confirm, connection.Id));
            var agreement = connection.Agreement!;
            connection = connection with { Phase = SessionPhase.OpenConfirm, IsWithheld = false };
            Replace(connection);
            Add(new SessionEffect.SendKeepalive(connection.Id));
            if (agreement.HoldTime > TimeSpan.Zero)
            {
                StartTimer(new(TimerKind.Hold, connection.Id), agreement.HoldTime);
                StartTimer(new(TimerKind.Keepalive, connection.Id), agreement.KeepaliveTime * clock.Jitter);
            }
            else
            {
                StopTimer(new SessionTimer(TimerKind.Hold, connection.Id));
            }
            if (connection.IsConfirmedByPeer)
                Establish(connection);
        }

        private void Withhold(Connection connection)
        {
            Replace(connection with { Phase = SessionPhase.OpenConfirm, IsWithheld = true });
            StartTimer(new(TimerKind.Confirm, connection.Id), ConfirmAfter);
        }

        private void ConfirmWhatWaits()
        {
            if (State.Connections.FirstOrDefault(c => c.IsWithheld) is { } connection && !IsAnotherPending(connection))
                Confirm(connection);
        }
    }
}

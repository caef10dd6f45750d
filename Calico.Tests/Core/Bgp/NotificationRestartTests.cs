using System.Collections.Immutable;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Tests.Core.Bgp;

/// <summary>RFC 8538, RFC 9687 and the maximum of prefixes: how an established session ends, and what outlives it.</summary>
[Layer("unit")]
public class NotificationRestartTests
{
    private static readonly SessionConfig Config = new()
    {
        LocalAs = new Asn(64512),
        RouterId = RouterId.Parse("10.0.0.1"),
        PeerAs = new Asn(64512),
        PeerAddress = IpAddr.Parse("10.0.0.2"),
    };

    private static readonly SessionConfig PeerConfig = Config with { RouterId = RouterId.Parse("10.0.0.2") };
    private static readonly ConnectionId Main = new(1);

    private SessionConfig _config = Config;
    private SessionState _state = SessionState.Initial;
    private ImmutableArray<SessionEffect> _effects = [];

    [Theory]
    [InlineData(ErrorCode.Cease, CeaseError.AdministrativeReset)]
    [InlineData(ErrorCode.HoldTimerExpired, 0)]
    [InlineData(ErrorCode.UpdateMessage, UpdateError.MalformedAsPath)]
    public void Any_notification_but_a_hard_reset_keeps_the_routes_for_the_restart_time(ErrorCode code, byte subcode)
    {
        Establish();

        On(new SessionEvent.NotificationReceived(Main, NotificationMessage.Of(code, subcode)));

        Assert.Contains(_effects, e => e is SessionEffect.SessionDown { KeepStale: Families.Ipv4Unicast });
        Assert.Contains(new SessionEffect.StartTimer(new(TimerKind.Restart), TimeSpan.FromSeconds(120)), _effects);
        Assert.Equal((SessionPhase.Idle, Families.Ipv4Unicast), (_state.Phase, _state.Stale));
    }

    [Fact]
    public void A_hard_reset_keeps_nothing_and_its_reason_is_the_sessions()
    {
        Establish();

        On(new SessionEvent.NotificationReceived(Main,
            NotificationMessage.HardReset(NotificationMessage.Shutdown(CeaseError.AdministrativeShutdown, "drained"))));

        Assert.Contains(_effects, e => e is SessionEffect.SessionDown { KeepStale: Families.None });
        Assert.Equal(new DownReason.NotificationReceived(ErrorCode.Cease, CeaseError.AdministrativeShutdown, "drained"),
            _state.Down);
    }

    [Fact]
    public void Our_own_hold_timer_and_errors_keep_the_routes_too()
    {
        Establish();
        On(new SessionEvent.TimerExpired(new(TimerKind.Hold, Main)));
        Assert.Contains(_effects, e => e is SessionEffect.SessionDown { KeepStale: Families.Ipv4Unicast });

        _state = SessionState.Initial;
        Establish();
        On(new SessionEvent.MessageRejected(Main, NotificationError.Of(ErrorCode.MessageHeader, 1, "garbage")));
        Assert.Contains(_effects, e => e is SessionEffect.SessionDown { KeepStale: Families.Ipv4Unicast });
    }

    [Fact]
    public void A_changed_configuration_keeps_the_routes_and_a_stop_for_good_says_hard_reset()
    {
        Establish();
        On(new SessionEvent.Restart(CeaseError.OtherConfigurationChange, "configuration changed"));
        Assert.Equal(CeaseError.OtherConfigurationChange, Sent().Subcode);
        Assert.Equal((SessionPhase.Connect, Families.Ipv4Unicast), (_state.Phase, _state.Stale));
        Assert.DoesNotContain(_effects, e => e is SessionEffect.SweepStale);

        _state = SessionState.Initial;
        Establish();
        On(new SessionEvent.Stop(CeaseError.PeerDeconfigured, "no longer configured"));
        Assert.Equal((CeaseError.HardReset, CeaseError.PeerDeconfigured),
            (Sent().Subcode, Sent().HardResetReason!.Subcode));
        Assert.Equal(Families.None, _state.Stale);
    }

    [Fact]
    public void The_open_after_a_session_says_that_we_still_forward_and_not_that_we_restarted()
    {
        Establish();
        On(new SessionEvent.TransportFailed(Main, TransportFault.Reset, "reset"));
        On(new SessionEvent.TransportConnected(new(2), Direction.Incoming));

        var restart = Assert.Single(_effects.OfType<SessionEffect.SendOpen>()).Open.Capabilities.GracefulRestart!;

        Assert.True(restart.NotificationSupport);
        Assert.True(restart.ForwardingPreserved(Families.Ipv4Unicast));
        Assert.False(restart.RestartState);
        Assert.False(Config.BuildOpen().Capabilities.GracefulRestart!.ForwardingPreserved(Families.Ipv4Unicast));
    }

    [Theory]
    [InlineData(90, 480)]
    [InlineData(300, 600)]
    public void A_peer_that_takes_nothing_is_given_up_after_eight_minutes_or_two_hold_times(int hold, int seconds)
    {
        _config = Config with { HoldTime = TimeSpan.FromSeconds(hold) };
        Establish(PeerConfig with { HoldTime = TimeSpan.FromSeconds(hold) });
        Assert.Contains(new SessionEffect.StartTimer(new(TimerKind.SendHold, Main), TimeSpan.FromSeconds(seconds)),
            _effects);

        On(new SessionEvent.TimerExpired(new(TimerKind.SendHold, Main)));

        Assert.Equal(ErrorCode.SendHoldTimerExpired, Sent().Code);
        Assert.IsType<DownReason.SendHoldTimerExpired>(_state.Down);
        Assert.Contains(new SessionEffect.StopTimer(new(TimerKind.SendHold, Main)), _effects);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Too_many_prefixes_end_the_session_for_good_and_it_starts_again_after_the_pause(bool knows8538)
    {
        Establish(knows8538 ? PeerConfig : PeerConfig with { RestartTime = null });

        On(new SessionEvent.PrefixLimitExceeded(Main, Families.Ipv4Unicast, 500));

        var sent = Sent();
        Assert.Equal(NotificationMessage.MaximumPrefixes(Families.Ipv4Unicast, 500),
            knows8538 ? sent.HardResetReason : sent);
        Assert.Contains(_effects, e => e is SessionEffect.SessionDown { KeepStale: Families.None });
        Assert.Equal(new DownReason.MaximumPrefixesReached(Families.Ipv4Unicast, 500), _state.Down);
        Assert.Contains(_effects, e => e is SessionEffect.StartTimer { Timer.Kind: TimerKind.IdleHold });

        On(new SessionEvent.TimerExpired(new(TimerKind.IdleHold)));
        Assert.Equal(SessionPhase.Connect, _state.Phase);
    }

    [Fact]
    public void Nothing_is_kept_of_a_peer_that_is_known_to_be_gone_and_it_may_come_back()
    {
        Establish();
        On(new SessionEvent.PeerGone("b left the mesh"));
        Assert.Equal((ErrorCode.Cease, CeaseError.AdministrativeReset), (Sent().Code, Sent().Subcode));
        Assert.Contains(_effects, e => e is SessionEffect.SessionDown { KeepStale: Families.None });
        Assert.Equal(new DownReason.PeerGone("b left the mesh"), _state.Down);
        On(new SessionEvent.TimerExpired(new(TimerKind.IdleHold)));
        Assert.Equal(SessionPhase.Connect, _state.Phase);

        _state = SessionState.Initial;
        Establish();
        On(new SessionEvent.TimerExpired(new(TimerKind.Hold, Main)));
        Assert.Equal(Families.Ipv4Unicast, _state.Stale);
        On(new SessionEvent.PeerGone("b left the mesh"));
        Assert.Contains(new SessionEffect.SweepStale(Families.Ipv4Unicast), _effects);
        Assert.Contains(new SessionEffect.StopTimer(new(TimerKind.Restart)), _effects);
        Assert.Equal(Families.None, _state.Stale);
        Assert.IsType<DownReason.HoldTimerExpired>(_state.LastDown);
    }

    private void Establish(SessionConfig? peer = null)
    {
        On(new SessionEvent.Start());
        On(new SessionEvent.TransportConnected(Main, Direction.Outgoing));
        On(new SessionEvent.OpenReceived(Main, (peer ?? PeerConfig).BuildOpen()));
        On(new SessionEvent.KeepaliveReceived(Main));
        Assert.Equal(SessionPhase.Established, _state.Phase);
    }

    private void On(SessionEvent e) =>
        (_state, _effects) = SessionMachine.Step(_state, e, _config, new SessionClock(DateTimeOffset.UnixEpoch, 0.8));

    private NotificationMessage Sent() => Assert.Single(_effects.OfType<SessionEffect.SendNotification>()).Message;
}

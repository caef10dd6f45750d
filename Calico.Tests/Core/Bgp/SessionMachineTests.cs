using System.Collections.Immutable;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Tests.Core.Bgp;

[Layer("unit")]
public class SessionMachineTests
{
    private static readonly SessionConfig Config = new()
    {
        LocalAs = new Asn(64512),
        RouterId = RouterId.Parse("10.0.0.1"),
        PeerAs = new Asn(64512),
        PeerAddress = IpAddr.Parse("10.0.0.2"),
    };

    private static readonly SessionConfig PeerConfig = Config with
    {
        RouterId = RouterId.Parse("10.0.0.2"),
        PeerAddress = IpAddr.Parse("10.0.0.1")
    };
    private static readonly ConnectionId Out = new(1);
    private static readonly ConnectionId In = new(2);
    private static readonly SessionEvent OpenOnOut = new SessionEvent.OpenReceived(Out, PeerConfig.BuildOpen());

    private DateTimeOffset _now = DateTimeOffset.UnixEpoch;
    private SessionConfig _config = Config;
    private SessionState _state = SessionState.Initial;
    private ImmutableArray<SessionEffect> _effects = [];

    [Fact]
    public void A_session_comes_up_step_by_step()
    {
        Assert.Equal(SessionPhase.Idle, _state.Phase);

        On(new SessionEvent.Start());
        Assert.Equal(SessionPhase.Connect, _state.Phase);
        Assert.Contains(new SessionEffect.Dial(), _effects);

        On(new SessionEvent.TransportConnected(Out, Direction.Outgoing));
        Assert.Equal(SessionPhase.OpenSent, _state.Phase);
        Assert.Contains(new SessionEffect.SendOpen(Out, Config.BuildOpen()), _effects);

        On(OpenOnOut);
        Assert.Equal(SessionPhase.OpenConfirm, _state.Phase);
        Assert.Contains(new SessionEffect.SendKeepalive(Out), _effects);
        Assert.True(IndexOf<SessionEffect.Agree>() < IndexOf<SessionEffect.SendKeepalive>());

        On(new SessionEvent.KeepaliveReceived(Out));
        Assert.Equal(SessionPhase.Established, _state.Phase);
        Assert.Null(_state.Down);
        var up = Assert.Single(_effects.OfType<SessionEffect.SessionUp>());
        Assert.Equal(new WireContext(true, true, true, Families.Ipv4Unicast), up.Agreement.Context);
        Assert.Equal(TimeSpan.FromSeconds(30), up.Agreement.KeepaliveTime);
    }

    [Fact]
    public void A_passive_session_never_dials()
    {
        _config = Config with { Passive = true };

        On(new SessionEvent.Start());
        Assert.Equal(SessionPhase.Active, _state.Phase);
        On(new SessionEvent.TimerExpired(new(TimerKind.ConnectRetry)));

        Assert.DoesNotContain(new SessionEffect.Dial(), _effects);
        Assert.IsType<DownReason.WaitingForPeer>(_state.Down);
    }

    [Fact]
    public void A_refused_dial_is_repeated_and_says_so()
    {
        On(new SessionEvent.Start());
        On(new SessionEvent.DialFailed(TransportFault.Refused, "Connection refused"));

        Assert.Equal(SessionPhase.Active, _state.Phase);
        Assert.StartsWith("TCP to 10.0.0.2:179 was refused", _state.Down!.Sentence, StringComparison.Ordinal);
        Assert.Contains(new SessionEffect.StartTimer(new(TimerKind.ConnectRetry), TimeSpan.FromSeconds(4)), _effects);

        On(new SessionEvent.TimerExpired(new(TimerKind.ConnectRetry)));
        Assert.Contains(new SessionEffect.Dial(), _effects);
    }

    [Fact]
    public void A_dial_that_hangs_is_given_up_and_repeated()
    {
        On(new SessionEvent.Start());
        On(new SessionEvent.TimerExpired(new(TimerKind.ConnectRetry)));

        Assert.True(IndexOf<SessionEffect.StopDial>() < IndexOf<SessionEffect.Dial>());
        Assert.IsType<DownReason.TcpTimedOut>(_state.Down);
    }

    [Fact]
    public void Open_with_wrong_as_is_answered_with_bad_peer_as()
    {
        Reach(SessionPhase.OpenSent);

        On(new SessionEvent.OpenReceived(Out, PeerConfig.BuildOpen() with { MyAs = new Asn(65001) }));

        AssertNotified(ErrorCode.OpenMessage, OpenError.BadPeerAs);
        Assert.Equal(new DownReason.OpenBadPeerAs(new Asn(64512), new Asn(65001)), _state.Down);
        Assert.Equal(SessionPhase.Idle, _state.Phase);
    }

    [Fact]
    public void Our_own_identifier_from_inside_our_as_is_refused_and_from_outside_accepted()
    {
        Reach(SessionPhase.OpenSent);
        On(new SessionEvent.OpenReceived(Out, PeerConfig.BuildOpen() with { RouterId = Config.RouterId }));
        AssertNotified(ErrorCode.OpenMessage, OpenError.BadBgpIdentifier);

        _state = SessionState.Initial;
        _config = Config with { PeerAs = new Asn(65001) };
        Reach(SessionPhase.OpenSent);
        On(new SessionEvent.OpenReceived(Out,
            PeerConfig.BuildOpen() with { RouterId = Config.RouterId, MyAs = new Asn(65001) }));
        Assert.Equal(SessionPhase.OpenConfirm, _state.Phase);
    }

    [Fact]
    public void No_family_in_common_is_an_unsupported_capability()
    {
        Reach(SessionPhase.OpenSent);

        On(new SessionEvent.OpenReceived(Out, (PeerConfig with { Families = Families.Ipv6Unicast }).BuildOpen()));

        var sent = AssertNotified(ErrorCode.OpenMessage, OpenError.UnsupportedCapability);
        Assert.Equal<byte>([1, 4, 0, 1, 0, 1], [.. sent.Data]);
    }

    [Theory]
    [InlineData(SessionPhase.OpenSent, FsmError.UnexpectedInOpenSent)]
    [InlineData(SessionPhase.OpenConfirm, FsmError.UnexpectedInOpenConfirm)]
    public void An_update_too_early_is_an_fsm_error(SessionPhase phase, byte subcode)
    {
        Reach(phase);

        On(new SessionEvent.UpdatesReceived(Out));

        AssertNotified(ErrorCode.FiniteStateMachine, subcode);
        Assert.IsType<DownReason.UnexpectedMessage>(_state.Down);
    }

    [Fact]
    public void A_second_open_is_an_fsm_error()
    {
        Reach(SessionPhase.Established);

        On(OpenOnOut);

        AssertNotified(ErrorCode.FiniteStateMachine, FsmError.UnexpectedInEstablished);
        Assert.Contains(_effects, e => e is SessionEffect.SessionDown);
    }

    [Theory]
    [InlineData(SessionPhase.OpenSent)]
    [InlineData(SessionPhase.OpenConfirm)]
    [InlineData(SessionPhase.Established)]
    public void Silence_ends_in_hold_timer_expired(SessionPhase phase)
    {
        Reach(phase);

        On(new SessionEvent.TimerExpired(new(TimerKind.Hold, Out)));

        AssertNotified(ErrorCode.HoldTimerExpired, 0);
        Assert.Equal(phase, Assert.IsType<DownReason.HoldTimerExpired>(_state.Down).Phase);
    }

    [Fact]
    public void Errors_pause_longer_and_longer_and_success_forgets_them()
    {
        double[] pauses = [4, 8, 16, 24, 24];
        foreach (var expected in pauses)
        {
            Reach(SessionPhase.OpenSent);
            On(new SessionEvent.MessageRejected(Out, NotificationError.Of(ErrorCode.MessageHeader, 1, "garbage")));
            Assert.Contains(new SessionEffect.StartTimer(new(TimerKind.IdleHold), TimeSpan.FromSeconds(expected)),
                _effects);
            On(new SessionEvent.TimerExpired(new(TimerKind.IdleHold)));
            Assert.Equal(SessionPhase.Connect, _state.Phase);
        }

        Reach(SessionPhase.Established);
        Assert.Equal(0, _state.Failures);
    }

    [Fact]
    public void While_pausing_an_incoming_transport_is_closed_at_once()
    {
        Reach(SessionPhase.OpenSent);
        On(new SessionEvent.MessageRejected(Out, NotificationError.Of(ErrorCode.MessageHeader, 1, "garbage")));

        On(new SessionEvent.TransportConnected(In, Direction.Incoming));

        Assert.Equal<SessionEffect>([new SessionEffect.CloseTransport(In)], [.. _effects]);
        Assert.Equal(SessionPhase.Idle, _state.Phase);
    }

    [Fact]
    public void Every_message_rewinds_the_hold_timer_and_keepalives_go_out_with_jitter()
    {
        Reach(SessionPhase.Established);

        On(new SessionEvent.UpdatesReceived(Out));
        Assert.Equal<SessionEffect>([new SessionEffect.RewindTimer(new(TimerKind.Hold, Out))], [.. _effects]);

        On(new SessionEvent.TimerExpired(new(TimerKind.Keepalive, Out)));
        Assert.Equal<SessionEffect>(
            [new SessionEffect.SendKeepalive(Out),
                new SessionEffect.StartTimer(new(TimerKind.Keepalive, Out), TimeSpan.FromSeconds(24))], [.. _effects]);
    }

    [Fact]
    public void A_hold_time_of_zero_runs_without_timers()
    {
        _config = Config with { HoldTime = TimeSpan.Zero };
        Reach(SessionPhase.OpenSent);

        On(OpenOnOut);
        Assert.DoesNotContain(_effects, e => e is SessionEffect.StartTimer);
        On(new SessionEvent.KeepaliveReceived(Out));
        Assert.DoesNotContain(_effects, e => e is SessionEffect.RewindTimer);
        Assert.Equal(SessionPhase.Established, _state.Phase);
    }

    [Theory]
    [InlineData("10.0.0.1", "10.0.0.2", Direction.Incoming)]
    [InlineData("10.0.0.2", "10.0.0.1", Direction.Outgoing)]
    public void Of_two_transports_the_one_dialled_by_the_higher_identifier_lives(string ours, string theirs,
        Direction survivor)
    {
        _config = Config with { RouterId = RouterId.Parse(ours) };
        var open = PeerConfig.BuildOpen() with { RouterId = RouterId.Parse(theirs) };
        Reach(SessionPhase.OpenSent);
        On(new SessionEvent.TransportConnected(In, Direction.Incoming));
        On(new SessionEvent.OpenReceived(Out, open));
        Assert.Equal(2, _state.Connections.Length);

        On(new SessionEvent.OpenReceived(In, open));

        var kept = Assert.Single(_state.Connections);
        Assert.Equal((survivor, SessionPhase.OpenConfirm), (kept.Direction, kept.Phase));
        AssertNotified(ErrorCode.Cease, CeaseError.ConnectionCollisionResolution);
    }

    [Fact]
    public void A_transport_lost_from_established_keeps_routes_as_stale_until_the_restart_time()
    {
        Reach(SessionPhase.Established);

        On(new SessionEvent.TransportFailed(Out, TransportFault.ClosedByPeer, "end of stream"));

        Assert.Contains(_effects, e => e is SessionEffect.SessionDown { KeepStale: Families.Ipv4Unicast });
        Assert.Contains(new SessionEffect.StartTimer(new(TimerKind.Restart), TimeSpan.FromSeconds(120)), _effects);
        Assert.Equal(SessionPhase.Active, _state.Phase);

        On(new SessionEvent.TimerExpired(new(TimerKind.Restart)));
        Assert.Contains(new SessionEffect.SweepStale(Families.Ipv4Unicast), _effects);
        Assert.Equal(Families.None, _state.Stale);
    }

    [Fact]
    public void Why_it_ended_is_known_however_often_it_failed_to_come_back()
    {
        Reach(SessionPhase.Established);
        Assert.Null(_state.LastDown);

        On(new SessionEvent.TransportFailed(Out, TransportFault.ClosedByPeer, "end of stream"));
        On(new SessionEvent.TimerExpired(new(TimerKind.ConnectRetry)));
        On(new SessionEvent.DialFailed(TransportFault.Refused, "Connection refused"));
        Assert.IsType<DownReason.TcpRefused>(_state.Down);
        On(new SessionEvent.TimerExpired(new(TimerKind.ConnectRetry)));
        Reach(SessionPhase.Established);

        Assert.IsType<DownReason.ConnectionLost>(_state.LastDown);
        On(new SessionEvent.Restart(CeaseError.OtherConfigurationChange, "configuration changed"));
        Reach(SessionPhase.Established);
        Assert.Equal(new DownReason.Stopped("configuration changed"), _state.LastDown);
    }

    [Fact]
    public void A_peer_that_comes_back_with_its_state_kept_gets_until_end_of_rib()
    {
        LoseAndComeBack(PeerConfig with { Restarting = true });
        Assert.Equal(Families.Ipv4Unicast, _state.Stale);
        Assert.DoesNotContain(_effects, e => e is SessionEffect.SweepStale);
        Assert.Contains(new SessionEffect.StartTimer(new(TimerKind.Stale), TimeSpan.FromSeconds(300)), _effects);

        On(new SessionEvent.EndOfRibReceived(Families.Ipv4Unicast));

        Assert.Contains(new SessionEffect.SweepStale(Families.Ipv4Unicast), _effects);
        Assert.Equal(Families.None, _state.Stale);
    }

    [Fact]
    public void A_peer_that_comes_back_empty_loses_its_stale_routes_at_once()
    {
        LoseAndComeBack(PeerConfig);

        Assert.Contains(new SessionEffect.SweepStale(Families.Ipv4Unicast), _effects);
    }

    [Fact]
    public void A_notification_to_a_peer_without_rfc_8538_or_a_peer_without_the_capability_keeps_nothing()
    {
        EstablishWithout8538();
        On(new SessionEvent.NotificationReceived(Out,
            NotificationMessage.Shutdown(CeaseError.AdministrativeShutdown, "upgrade")));
        Assert.Contains(_effects, e => e is SessionEffect.SessionDown { KeepStale: Families.None });
        Assert.Equal(new DownReason.NotificationReceived(ErrorCode.Cease, CeaseError.AdministrativeShutdown,
            "upgrade"), _state.Down);

        _state = SessionState.Initial;
        Reach(SessionPhase.OpenSent);
        On(new SessionEvent.OpenReceived(Out, (PeerConfig with { RestartTime = null }).BuildOpen()));
        On(new SessionEvent.KeepaliveReceived(Out));
        On(new SessionEvent.TransportFailed(Out, TransportFault.Reset, "reset"));
        Assert.Contains(_effects, e => e is SessionEffect.SessionDown { KeepStale: Families.None });
    }

    [Fact]
    public void A_peer_that_dials_anew_after_a_restart_replaces_its_old_session()
    {
        Reach(SessionPhase.Established);
        _now += TimeSpan.FromMinutes(1);
        On(new SessionEvent.TransportConnected(In, Direction.Incoming));
        Assert.Equal(SessionPhase.Established, _state.Phase);

        On(new SessionEvent.OpenReceived(In, (PeerConfig with { Restarting = true }).BuildOpen()));

        Assert.Contains(new SessionEffect.CloseTransport(Out), _effects);
        Assert.Contains(_effects, e => e is SessionEffect.SessionDown { KeepStale: Families.Ipv4Unicast });
        Assert.DoesNotContain(_effects, e => e is SessionEffect.SendNotification);
        Assert.Equal(SessionPhase.OpenConfirm, _state.Phase);
    }

    [Fact]
    public void A_collision_with_a_session_that_has_just_come_up_closes_the_newcomer()
    {
        Reach(SessionPhase.Established);
        On(new SessionEvent.TransportConnected(In, Direction.Incoming));

        On(new SessionEvent.OpenReceived(In, PeerConfig.BuildOpen()));

        AssertNotified(ErrorCode.Cease, CeaseError.ConnectionCollisionResolution);
        Assert.Equal(SessionPhase.Established, _state.Phase);
    }

    [Theory]
    [InlineData(SessionPhase.Connect)]
    [InlineData(SessionPhase.OpenSent)]
    [InlineData(SessionPhase.OpenConfirm)]
    [InlineData(SessionPhase.Established)]
    public void Stop_says_cease_where_somebody_listens_and_leaves_nothing_running(SessionPhase phase)
    {
        Reach(phase);

        On(new SessionEvent.Stop(CeaseError.AdministrativeShutdown, "node is drained"));

        if (phase >= SessionPhase.OpenSent)
        {
            // Only a peer whose OPEN we have read is known to understand a hard reset.
            var hard = phase >= SessionPhase.OpenConfirm;
            var sent = AssertNotified(ErrorCode.Cease,
                hard ? CeaseError.HardReset : CeaseError.AdministrativeShutdown);
            Assert.Equal("node is drained", (hard ? sent.HardResetReason! : sent).ShutdownText);
        }
        Assert.Equal(SessionPhase.Idle, _state.Phase);
        Assert.Empty(_state.Connections);
        Assert.DoesNotContain(_effects, e => e is SessionEffect.StartTimer);
        On(new SessionEvent.TimerExpired(new(TimerKind.IdleHold)));
        Assert.Equal(SessionPhase.Idle, _state.Phase);
    }

    [Fact]
    public void Late_events_of_a_closed_transport_change_nothing()
    {
        Reach(SessionPhase.Established);
        var before = _state;

        On(new SessionEvent.KeepaliveReceived(new(99)));
        On(new SessionEvent.TransportFailed(new(99), TransportFault.Reset, "reset"));
        On(new SessionEvent.TimerExpired(new(TimerKind.Hold, new(99))));

        Assert.Equal(before, _state);
        Assert.Empty(_effects);
    }

    private void EstablishWithout8538()
    {
        Reach(SessionPhase.OpenSent);
        var open = PeerConfig.BuildOpen();
        On(new SessionEvent.OpenReceived(Out, open with
        {
            Capabilities = open.Capabilities with
            {
                GracefulRestart = open.Capabilities.GracefulRestart! with { NotificationSupport = false },
            },
        }));
        On(new SessionEvent.KeepaliveReceived(Out));
    }

    private void LoseAndComeBack(SessionConfig peer)
    {
        Reach(SessionPhase.Established);
        On(new SessionEvent.TransportFailed(Out, TransportFault.ClosedByPeer, "end of stream"));
        On(new SessionEvent.TransportConnected(In, Direction.Incoming));
        On(new SessionEvent.OpenReceived(In, peer.BuildOpen()));
        On(new SessionEvent.KeepaliveReceived(In));
        Assert.Equal(SessionPhase.Established, _state.Phase);
    }

    private void Reach(SessionPhase phase)
    {
        if (!_state.Running)
            On(new SessionEvent.Start());
        if (phase >= SessionPhase.OpenSent)
            On(new SessionEvent.TransportConnected(Out, Direction.Outgoing));
        if (phase >= SessionPhase.OpenConfirm)
            On(OpenOnOut);
        if (phase >= SessionPhase.Established)
            On(new SessionEvent.KeepaliveReceived(Out));
        Assert.Equal(phase, _state.Phase);
    }

    private void On(SessionEvent e) =>
        (_state, _effects) = SessionMachine.Step(_state, e, _config, new SessionClock(_now, 0.8));

    private NotificationMessage AssertNotified(ErrorCode code, byte subcode)
    {
        var sent = Assert.Single(_effects.OfType<SessionEffect.SendNotification>());
        Assert.Equal((code, subcode), (sent.Message.Code, sent.Message.Subcode));
        Assert.Contains(new SessionEffect.CloseTransport(sent.Connection), _effects);
        return sent.Message;
    }

    private int IndexOf<T>() => _effects.IndexOf(_effects.First(e => e is T));
}

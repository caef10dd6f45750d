using System.Collections.Immutable;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Tests.Core.Bgp;

/// <summary>
/// Both sides dial at once, and the peer takes a transport that it accepts after a session has come up for a restart: no session
/// comes up for it while our own dial may still reach it.
/// </summary>
[Layer("unit")]
public class WithheldKeepaliveTests
{
    private static readonly SessionConfig Config = new()
    {
        LocalAs = new Asn(64512),
        RouterId = RouterId.Parse("10.0.0.1"),
        PeerAs = new Asn(64512),
        PeerAddress = IpAddr.Parse("10.0.0.2"),
        Restarting = true,
    };

    private static readonly SessionConfig Peer = Config with { RouterId = RouterId.Parse("10.0.0.2"), PeerAddress = IpAddr.Parse("10.0.0.1"), Restarting = false };
    private static readonly ConnectionId Out = new(1);
    private static readonly ConnectionId In = new(2);

    private SessionConfig _config = Config;
    private SessionState _state = SessionState.Initial;
    private ImmutableArray<SessionEffect> _effects = [];

    [Fact]
    public void While_our_dial_is_under_way_the_peers_transport_waits_for_it()
    {
        DialledAtOnce();
        Assert.DoesNotContain(_effects, e => e is SessionEffect.SendKeepalive or SessionEffect.StopDial);

        On(new SessionEvent.TransportConnected(Out, Direction.Outgoing));
        On(new SessionEvent.KeepaliveReceived(In));
        Assert.Equal(SessionPhase.OpenConfirm, _state.Phase);
        Assert.DoesNotContain(_effects, e => e is SessionEffect.SendKeepalive);
    }

    [Theory]
    [InlineData("10.0.0.1", 2)]
    [InlineData("10.0.0.3", 1)]
    public void Once_the_peer_answers_both_the_collision_rule_decides_and_the_survivor_is_confirmed(string ours, int survivor)
    {
        DialledAtOnce(Config with { RouterId = RouterId.Parse(ours) });
        On(new SessionEvent.TransportConnected(Out, Direction.Outgoing));

        On(new SessionEvent.OpenReceived(Out, Peer.BuildOpen()));

        Assert.Equal(survivor, Assert.Single(_state.Connections).Id.Number);
        Assert.Contains(new SessionEffect.SendKeepalive(new ConnectionId(survivor)), _effects);
        On(new SessionEvent.KeepaliveReceived(new ConnectionId(survivor)));
        Assert.Equal(SessionPhase.Established, _state.Phase);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_dial_that_fails_or_is_closed_by_the_peer_lets_its_transport_come_up(bool isConnected)
    {
        DialledAtOnce();
        On(new SessionEvent.KeepaliveReceived(In));
        if (isConnected)
            On(new SessionEvent.TransportConnected(Out, Direction.Outgoing));

        On(isConnected ? new SessionEvent.TransportFailed(Out, TransportFault.ClosedByPeer, "end of stream") : new SessionEvent.DialFailed(TransportFault.Refused, "refused"));

        Assert.Contains(new SessionEffect.SendKeepalive(In), _effects);
        Assert.Contains(_effects, e => e is SessionEffect.SessionUp { Connection: var up } && up == In);
        Assert.Equal(SessionPhase.Established, _state.Phase);
    }

    [Fact]
    public void A_dial_that_nobody_answers_is_given_up_after_two_seconds()
    {
        DialledAtOnce();
        Assert.Contains(new SessionEffect.StartTimer(new(TimerKind.Confirm, In), TimeSpan.FromSeconds(2)), _effects);

        On(new SessionEvent.TimerExpired(new(TimerKind.Confirm, In)));

        Assert.Contains(new SessionEffect.StopDial(), _effects);
        Assert.Contains(new SessionEffect.SendKeepalive(In), _effects);
        On(new SessionEvent.KeepaliveReceived(In));
        Assert.Equal(SessionPhase.Established, _state.Phase);
    }

    [Fact]
    public void The_peers_transport_that_goes_meanwhile_leaves_ours()
    {
        DialledAtOnce();
        On(new SessionEvent.TransportFailed(In, TransportFault.Reset, "reset"));
        Assert.Contains(new SessionEffect.StopTimer(new(TimerKind.Confirm, In)), _effects);

        On(new SessionEvent.TransportConnected(Out, Direction.Outgoing));
        On(new SessionEvent.OpenReceived(Out, Peer.BuildOpen()));

        Assert.Contains(new SessionEffect.SendKeepalive(Out), _effects);
    }

    [Fact]
    public void Our_transport_waits_for_the_open_of_one_that_the_peer_has_dialled()
    {
        On(new SessionEvent.Start());
        On(new SessionEvent.TransportConnected(Out, Direction.Outgoing));
        On(new SessionEvent.TransportConnected(In, Direction.Incoming));

        On(new SessionEvent.OpenReceived(Out, Peer.BuildOpen()));

        Assert.DoesNotContain(_effects, e => e is SessionEffect.SendKeepalive);
        On(new SessionEvent.OpenReceived(In, Peer.BuildOpen()));
        Assert.Equal(In, Assert.Single(_state.Connections).Id);
        Assert.Contains(new SessionEffect.SendKeepalive(In), _effects);
    }

    [Fact]
    public void A_transport_that_comes_when_ours_is_confirmed_is_not_answered()
    {
        On(new SessionEvent.Start());
        On(new SessionEvent.TransportConnected(Out, Direction.Outgoing));
        On(new SessionEvent.OpenReceived(Out, Peer.BuildOpen()));
        Assert.Contains(new SessionEffect.SendKeepalive(Out), _effects);

        On(new SessionEvent.TransportConnected(In, Direction.Incoming));

        Assert.Equal<SessionEffect>([new SessionEffect.CloseTransport(In)], [.. _effects]);
    }

    [Fact]
    public void With_a_peer_that_keeps_nothing_nobody_waits()
    {
        On(new SessionEvent.Start());
        On(new SessionEvent.TransportConnected(In, Direction.Incoming));

        On(new SessionEvent.OpenReceived(In, (Peer with { RestartTime = null }).BuildOpen()));

        Assert.Contains(new SessionEffect.StopDial(), _effects);
        Assert.Contains(new SessionEffect.SendKeepalive(In), _effects);
    }

    // The peer's OPEN is here before our dial has come to anything.
    private void DialledAtOnce(SessionConfig? config = null)
    {
        _config = config ?? Config;
        On(new SessionEvent.Start());
        On(new SessionEvent.TransportConnected(In, Direction.Incoming));
        On(new SessionEvent.OpenReceived(In, Peer.BuildOpen()));
        Assert.Equal(SessionPhase.OpenConfirm, _state.Phase);
    }

    private void On(SessionEvent e) => (_state, _effects) = SessionMachine.Step(_state, e, _config, new SessionClock(DateTimeOffset.UnixEpoch, 1));
}

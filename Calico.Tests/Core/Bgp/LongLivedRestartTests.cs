using System.Collections.Immutable;
using Calico.Core.Bfd;
using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Tests.Core.Bgp;

/// <summary>RFC 9494: routes of a peer that stays away are the last choice for as long as it asked, and then go.</summary>
[Layer("unit")]
public class LongLivedRestartTests
{
    private static readonly SessionConfig Config = new()
    {
        LocalAs = new Asn(64512),
        RouterId = RouterId.Parse("10.0.0.1"),
        PeerAs = new Asn(64512),
        PeerAddress = IpAddr.Parse("10.0.0.2"),
        Families = Families.Both,
    };

    private static readonly SessionConfig Peer = Config with { RouterId = RouterId.Parse("10.0.0.2"), LongLivedTime = TimeSpan.FromHours(6) };
    private static readonly Cidr Block = Cidr.Parse("10.65.2.0/26");
    private static readonly Community Stale = new(WellKnownCommunity.LlgrStale);

    private SessionState _state = SessionState.Initial;
    private ImmutableArray<SessionEffect> _effects = [];
    private int _connections;

    // ---- the session ---------------------------------------------------------------------------------------------------

    [Fact]
    public void After_the_restart_time_routes_become_the_last_choice_and_go_when_that_time_is_over_too()
    {
        Establish(Peer);
        Lose();
        Assert.DoesNotContain(_effects, e => e is SessionEffect.DemoteStale);

        On(new SessionEvent.TimerExpired(new(TimerKind.Restart)));
        Assert.Contains(new SessionEffect.DemoteStale(Families.Both), _effects);
        Assert.Contains(new SessionEffect.StartTimer(new(TimerKind.LongLivedIpv4), TimeSpan.FromHours(6)), _effects);
        Assert.DoesNotContain(_effects, e => e is SessionEffect.SweepStale);
        Assert.Equal(Families.Both, _state.Stale);

        On(new SessionEvent.TimerExpired(new(TimerKind.LongLivedIpv4)));
        Assert.Contains(new SessionEffect.SweepStale(Families.Ipv4Unicast), _effects);
        Assert.Equal(Families.Ipv6Unicast, _state.Stale);
    }

    [Fact]
    public void A_family_that_the_peer_does_not_name_goes_with_the_restart_time()
    {
        var open = Peer.BuildOpen();
        Establish(open with { Capabilities = open.Capabilities with { LongLived = [open.Capabilities.LongLived!.Value[1]] } });
        Lose();

        On(new SessionEvent.TimerExpired(new(TimerKind.Restart)));

        Assert.Contains(new SessionEffect.SweepStale(Families.Ipv4Unicast), _effects);
        Assert.Contains(new SessionEffect.DemoteStale(Families.Ipv6Unicast), _effects);
    }

    [Fact]
    public void Without_a_restart_time_they_are_the_last_choice_at_once()
    {
        Establish(Peer with { RestartTime = TimeSpan.Zero });

        Lose();

        Assert.Contains(_effects, e => e is SessionEffect.SessionDown { KeepStale: Families.Both });
        Assert.Contains(new SessionEffect.DemoteStale(Families.Both), _effects);
    }

    [Theory]
    [InlineData(true, true)]
    [InlineData(false, false)]
    public void A_peer_that_comes_back_late_is_waited_for_if_it_forwarded_meanwhile(bool forwarded, bool waits)
    {
        Establish(Peer);
        Lose();
        On(new SessionEvent.TimerExpired(new(TimerKind.Restart)));

        Establish(Peer.BuildOpen(again: forwarded));

        Assert.Equal(!waits, _effects.Contains(new SessionEffect.SweepStale(Families.Both)));
        On(new SessionEvent.EndOfRibReceived(Families.Ipv4Unicast));
        Assert.Equal(waits, _effects.Contains(new SessionEffect.SweepStale(Families.Ipv4Unicast)));
        Assert.Equal(waits ? Families.Ipv6Unicast : Families.None, _state.Stale);
        Assert.Equal(_state.Stale, _state.LastResort);
    }

    [Theory]
    [InlineData(120)]
    [InlineData(null)]
    public void A_broken_path_makes_its_routes_the_last_choice_at_once_or_takes_them(int? restart)
    {
        var open = (Peer with { RestartTime = restart is { } seconds ? TimeSpan.FromSeconds(seconds) : null }).BuildOpen();
        Establish(open with { Capabilities = open.Capabilities with { LongLived = null } });

        On(new SessionEvent.PathFailed(BfdDiagnostic.ControlDetectionTimeExpired));

        Assert.Equal(CeaseError.BfdDown, Assert.Single(_effects.OfType<SessionEffect.SendNotification>()).Message.Subcode);
        Assert.IsType<DownReason.PathFailed>(_state.Down);
        Assert.Equal(restart is not null, _effects.Contains(new SessionEffect.DemoteStale(Families.Both)));
        Assert.Equal(restart is null ? Families.None : Families.Both, _effects.OfType<SessionEffect.SessionDown>().Single().KeepStale);
        Assert.Contains(_effects, e => e is SessionEffect.StartTimer { Timer.Kind: TimerKind.ConnectRetry });
        On(new SessionEvent.TimerExpired(new(TimerKind.Restart)));
        Assert.Equal(Families.None, _state.Stale);
    }

    [Fact]
    public void What_outlived_a_session_is_the_last_choice_as_soon_as_its_path_is_known_to_be_broken()
    {
        Establish(Peer);
        Lose();
        Assert.DoesNotContain(_effects, e => e is SessionEffect.DemoteStale);

        On(new SessionEvent.PathFailed(BfdDiagnostic.ControlDetectionTimeExpired));

        Assert.Equal(new SessionEffect.DemoteStale(Families.Both), Assert.Single(_effects));
        Assert.Equal(Families.Both, _state.Stale);
    }

    [Theory]
    [InlineData(CeaseError.BfdDown, true)]
    [InlineData(CeaseError.OutOfResources, false)]
    public void A_peer_that_ended_the_session_by_bfd_leaves_a_last_choice(byte subcode, bool isLast)
    {
        Establish(Peer);

        On(new SessionEvent.NotificationReceived(new(_connections), NotificationMessage.Of(ErrorCode.Cease, subcode)));

        Assert.Equal(Families.Both, _state.Stale);
        Assert.Equal(isLast, _effects.Contains(new SessionEffect.DemoteStale(Families.Both)));
    }

    [Fact]
    public void Who_noticed_is_said()
    {
        Establish(Peer);
        On(new SessionEvent.PathFailed(BfdDiagnostic.ControlDetectionTimeExpired));
        Assert.StartsWith("BFD heard nothing of 10.0.0.2", _state.Down!.Sentence, StringComparison.Ordinal);

        Establish(Peer);
        On(new SessionEvent.PathFailed(BfdDiagnostic.NeighborSignaledSessionDown));
        Assert.Contains("10.0.0.2:179 says that it does not hear this node", _state.Down!.Sentence, StringComparison.Ordinal);
    }

    [Fact]
    public void A_broken_path_without_a_session_is_no_news()
    {
        On(new SessionEvent.Start());
        var before = _state;

        On(new SessionEvent.PathFailed(BfdDiagnostic.ControlDetectionTimeExpired));

        Assert.Equal(before, _state);
        Assert.Empty(_effects);
    }

    [Fact]
    public void A_peer_that_knows_nothing_of_it_loses_its_routes_with_the_restart_time()
    {
        var open = Peer.BuildOpen();
        Establish(open with { Capabilities = open.Capabilities with { LongLived = null } });
        Lose();

        On(new SessionEvent.TimerExpired(new(TimerKind.Restart)));

        Assert.Contains(new SessionEffect.SweepStale(Families.Both), _effects);
    }

    [Fact]
    public void The_capability_is_read_as_it_is_written()
    {
        ImmutableArray<LongLivedFamily> families = [new(AfiSafi.Of(Families.Ipv4Unicast), true, TimeSpan.FromSeconds(1)), new(AfiSafi.Of(Families.Ipv6Unicast), false, LongLivedFamily.MaxStaleTime)];
        foreach (var longLived in new ImmutableArray<LongLivedFamily>?[] { null, [], families })
        {
            var said = Config.BuildOpen() with { };
            said = said with { Capabilities = said.Capabilities with { LongLived = longLived } };
            Assert.True(OpenMessage.TryDecode(said.Encode().AsSpan(BgpFraming.HeaderLength), out var read, out _));
            Assert.Equal(said.Capabilities, read!.Capabilities);
        }
        // Seven octets a family.
        var reader = new WireReader([71, 6, 0, 1, 1, 0, 0, 0]);
        Assert.False(Capabilities.TryDecode(ref reader, Capabilities.None, out _));
    }

    private void Establish(SessionConfig peer) => Establish(peer.BuildOpen());

    private void Establish(OpenMessage open)
    {
        if (!_state.Running)
            On(new SessionEvent.Start());
        if (_state.Dialing)
            On(new SessionEvent.DialFailed(TransportFault.Refused, "refused"));
        var id = new ConnectionId(++_connections);
        On(new SessionEvent.TransportConnected(id, Direction.Incoming));
        On(new SessionEvent.OpenReceived(id, open));
        On(new SessionEvent.KeepaliveReceived(id));
        Assert.Equal(SessionPhase.Established, _state.Phase);
    }

    private void Lose() => On(new SessionEvent.TransportFailed(new(_connections), TransportFault.Reset, "reset"));

    private void On(SessionEvent e) =>
        (_state, _effects) = SessionMachine.Step(_state, e, Config, new SessionClock(DateTimeOffset.UnixEpoch, 1));

    // ---- the routes ----------------------------------------------------------------------------------------------------

    private readonly RibHarness _net = new();
    private readonly RibPeer _one = RibHarness.Peer(1, isInternal: false);
    private readonly RibPeer _two = RibHarness.Peer(2, isInternal: false);
    private readonly RibPeer _aware = RibHarness.Peer(3, isInternal: false) with { KnowsLongLived = true };
    private readonly RibPeer _unaware = RibHarness.Peer(4, isInternal: false);

    private void Demote(params PathAttributes[] ofFirst)
    {
        foreach (var peer in new[] { _one, _two, _aware, _unaware })
            _net.Up(peer);
        for (var i = 0; i < ofFirst.Length; i++)
            _net.Announce(_one, ofFirst[i], "10.0.0.1", $"10.65.{2 + i}.0/26");
        _net.TakeAll();
        _net.Down(1, Families.Both);
        _net.Rib.DemoteStale(1, Families.Both);
        _net.TakeAll();
    }

    [Fact]
    public void A_route_that_is_kept_for_long_loses_against_any_other()
    {
        Demote(new PathAttributes { AsPath = AsPath.Sequence(65001) });
        Assert.Equal("10.0.0.1", _net.Kernel[Block].NextHops.Single().NextHop.ToString());

        _net.Announce(_two, new PathAttributes { AsPath = AsPath.Sequence(65002, 65003, 65004), Origin = Origin.Incomplete }, "10.0.0.2", "10.65.2.0/26");
        _net.TakeAll();

        Assert.Equal("10.0.0.2", _net.Kernel[Block].NextHops.Single().NextHop.ToString());
        Assert.Equal(DecisionStep.LongLivedStale, _net.Rib.Explain(Block)!.Routes.Single(r => r.Route.Source.Index == 1).LostAt);
    }

    [Fact]
    public void Peers_that_know_the_mark_are_told_with_it_and_from_others_the_route_is_taken_back()
    {
        Demote(new PathAttributes { AsPath = AsPath.Sequence(65001), Communities = [Community.Of(65001, 7)] });

        Assert.Equal("65001:7 65535:6", string.Join(' ', _net.Told(3)[Block].Attributes.Communities));
        Assert.Empty(_net.Told(4));
    }

    [Fact]
    public void What_must_not_be_kept_so_long_goes()
    {
        Demote(new PathAttributes { AsPath = AsPath.Sequence(65001), Communities = [new(WellKnownCommunity.NoLlgr)] }, new PathAttributes { AsPath = AsPath.Sequence(65001) });

        Assert.Equal([Cidr.Parse("10.65.3.0/26")], _net.Told(3).Keys);
        Assert.Equal([Cidr.Parse("10.65.3.0/26")], _net.Rib.Dump(Families.Ipv4Unicast).Select(r => r.Prefix));
    }

    [Fact]
    public void When_the_peer_says_it_again_it_is_a_route_like_others()
    {
        var plain = new PathAttributes { AsPath = AsPath.Sequence(65001) };
        Demote(plain, plain);
        _net.Up(_one);
        _net.Announce(_one, plain, "10.0.0.1", "10.65.2.0/26");
        _net.Rib.SweepStale(1, Families.Both);
        _net.TakeAll();

        var left = Assert.Single(_net.Rib.Dump(Families.Ipv4Unicast));
        Assert.Equal((Block, false, plain), (left.Prefix, left.IsStale, left.Attributes));
        Assert.Equal([Block], _net.Told(4).Keys);
        Assert.Equal(1, _net.Rib.Attributes(Families.Ipv4Unicast).Count);
    }

    [Fact]
    public void One_that_comes_with_the_mark_is_the_last_choice_as_well()
    {
        Demote();
        _net.Up(_one);
        _net.Announce(_one, new PathAttributes { AsPath = AsPath.Sequence(65001), Communities = [Stale] }, "10.0.0.1", "10.65.2.0/26");
        _net.Announce(_two, new PathAttributes { AsPath = AsPath.Sequence(65002, 65003) }, "10.0.0.2", "10.65.2.0/26");
        _net.TakeAll();

        Assert.Equal("10.0.0.2", _net.Kernel[Block].NextHops.Single().NextHop.ToString());
    }
}

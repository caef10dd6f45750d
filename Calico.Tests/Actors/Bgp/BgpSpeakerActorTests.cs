using Akka.Actor;
using Calico.Actors.Bgp;
using Calico.Core.Bgp.Policy;
using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Bgp;

[Layer("actor")]
public class BgpSpeakerActorTests(ITestOutputHelper output) : SpeakerFixture(output)
{
    [Fact]
    public async Task Two_nodes_learn_each_others_blocks()
    {
        var (one, two) = StartPair();
        one.Originate("10.65.1.0/26");
        two.Originate("10.65.2.0/26", "10.65.3.0/26");

        await HasRoute(two, "10.65.1.0/26", Address(1).ToString());
        await HasRoute(one, "10.65.2.0/26", Address(2).ToString());
        await HasRoute(one, "10.65.3.0/26", Address(2).ToString());

        var status = await one.PeerStatus();
        Assert.Equal((SessionPhase.Established, 2, 1),
            (status.Phase, status.Counters.Received, status.Counters.Advertised));
        Assert.Null(status.Down);
    }

    [Fact]
    public async Task A_withdrawn_block_disappears()
    {
        var (one, two) = StartPair();
        one.Originate("10.65.1.0/26", "10.65.9.0/26");
        await HasRoute(two, "10.65.9.0/26", Address(1).ToString());

        one.Withdraw("10.65.9.0/26");

        await LacksRoute(two, "10.65.9.0/26");
        await HasRoute(two, "10.65.1.0/26", Address(1).ToString());
    }

    [Fact]
    public async Task A_full_mesh_of_three_gives_everybody_every_block_and_ecmp_for_a_shared_one()
    {
        var one = Start(Config(1, Peer(1, 2), Peer(1, 3)));
        var two = Start(Config(2, Peer(2, 1), Peer(2, 3)));
        var three = Start(Config(3, Peer(3, 1), Peer(3, 2)));
        one.Originate("10.65.1.0/26", "10.96.0.10/32");
        two.Originate("10.65.2.0/26", "10.96.0.10/32");
        three.Originate("10.65.3.0/26");

        await HasRoute(three, "10.65.1.0/26", Address(1).ToString());
        await HasRoute(three, "10.65.2.0/26", Address(2).ToString());
        await HasRoute(three, "10.96.0.10/32", Address(1).ToString(), Address(2).ToString());
        await HasRoute(one, "10.65.3.0/26", Address(3).ToString());
    }

    [Fact]
    public async Task Ipv6_blocks_travel_over_an_ipv4_session_that_offers_both()
    {
        var one = Start(Config(1, Peer(1, 2) with { Families = Families.Both }));
        var two = Start(Config(2, Peer(2, 1) with { Families = Families.Both }));
        one.Originate("fd00:65:1::/122", "10.65.1.0/26");

        await HasRoute(two, "fd00:65:1::/122", "fd00::1");
        await HasRoute(two, "10.65.1.0/26", Address(1).ToString());
    }

    [Fact]
    public async Task Both_sides_dialling_at_once_end_in_one_session()
    {
        var one = Start(Config(1, Peer(1, 2) with { Passive = false }));
        var two = Start(Config(2, Peer(2, 1) with { Passive = false }));
        one.Originate("10.65.1.0/26");

        await HasRoute(two, "10.65.1.0/26", Address(1).ToString());
        await IsEstablished(one);
        await IsEstablished(two);
    }

    [Fact]
    public async Task A_peer_with_another_as_is_refused_with_the_reason_on_both_sides()
    {
        var one = Start(Config(1, Peer(1, 2) with { As = new Asn(65001) }));
        var two = Start(Config(2, Peer(2, 1)));

        await Eventually(async () => (await one.PeerStatus()).Down is DownReason.OpenBadPeerAs, "bad peer AS seen");
        await Eventually(async () => (await two.PeerStatus())
            .Down is DownReason.NotificationReceived { Code: ErrorCode.OpenMessage, Subcode: OpenError.BadPeerAs },
            "bad peer AS received");
        Assert.Contains("configured is AS 65001", (await one.PeerStatus()).Down!.Sentence, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nobody_listening_is_said_in_words_and_tried_again()
    {
        var one = Start(Config(2, Peer(2, 1)));
        await Eventually(async () => (await one.PeerStatus()).Down is DownReason.TcpRefused, "refused");

        Start(Config(1, Peer(1, 2)));

        await IsEstablished(one);
    }

    [Fact]
    public async Task A_speaker_that_dies_keeps_its_routes_with_its_peers_until_it_is_back()
    {
        var (one, two) = StartPair();
        one.Originate("10.65.1.0/26", "10.65.9.0/26");
        two.Originate();
        await HasRoute(two, "10.65.9.0/26", Address(1).ToString());

        await one.Actor.GracefulStop(TimeSpan.FromSeconds(10));
        await Eventually(async () =>
            await two.PeerStatus() is { Phase: not SessionPhase.Established, Restarting: true }, "restart noticed");
        Assert.Equal(2, (await two.Routes()).Count);
        Assert.Contains("without a word", (await two.PeerStatus()).Down!.Sentence, StringComparison.Ordinal);

        var again = Start(Config(1, Peer(1, 2)) with { Restarting = true });
        again.Originate("10.65.1.0/26");

        await LacksRoute(two, "10.65.9.0/26");
        await HasRoute(two, "10.65.1.0/26", Address(1).ToString());
        await Eventually(async () => await two.PeerStatus() is { Restarting: false }, "restart over");
        Assert.Equal(1, await two.Changes("10.65.1.0/26"));
    }

    [Fact]
    public async Task A_decommissioned_speaker_says_so_and_its_routes_go_at_once()
    {
        var (one, two) = StartPair();
        one.Originate("10.65.1.0/26");
        await HasRoute(two, "10.65.1.0/26", Address(1).ToString());

        await one.Actor.Ask<BgpProtocol.SpeakerDecommissioned>(new BgpProtocol.DecommissionSpeaker("node is drained"),
            TimeSpan.FromSeconds(10));

        await LacksRoute(two, "10.65.1.0/26");
        Assert.Equal(new DownReason.NotificationReceived(ErrorCode.Cease, CeaseError.AdministrativeShutdown,
            "node is drained"),
            (await two.PeerStatus()).LastDown);
    }

    [Fact]
    public async Task Convergence_is_told_once_all_expected_peers_have_sent_everything()
    {
        var one = Start(Config(1, Peer(1, 2), Peer(1, 3)));
        var two = Start(Config(2, Peer(2, 1)));
        one.Originate("10.65.1.0/26");
        two.Originate("10.65.2.0/26");
        await HasRoute(one, "10.65.2.0/26", Address(2).ToString());
        Assert.Empty(await one.Convergence());

        var three = Start(Config(3, Peer(3, 1)));
        three.Originate("10.65.3.0/26");

        await Eventually(async () => (await one.Convergence()).Count == 1, "convergence");
        Assert.True((await one.Convergence())[0].Complete);
        Assert.Contains(Cidr.Parse("10.65.3.0/26"), (await one.Routes()).Keys);
        Assert.True((await one.Status()).Converged);
    }

    [Fact]
    public async Task A_peer_that_never_comes_holds_convergence_only_until_the_time_is_over()
    {
        var one = Start(Config(1, Peer(1, 2)) with { ConvergenceTime = TimeSpan.FromMilliseconds(500) });

        await Eventually(async () => (await one.Convergence()).Count == 1, "convergence");

        var convergence = (await one.Convergence())[0];
        Assert.False(convergence.Complete);
        Assert.Equal(Peer(1, 2).Name, Assert.Single(convergence.Missing));
    }

    [Fact]
    public async Task Peers_come_and_go_with_the_configuration_and_the_others_do_not_notice()
    {
        var (one, two) = StartPair();
        var three = Start(Config(3, Peer(3, 1)));
        two.Originate("10.65.2.0/26");
        three.Originate("10.65.3.0/26");
        await HasRoute(one, "10.65.2.0/26", Address(2).ToString());
        var since = (await one.PeerStatus()).Since;

        one.Configure(Config(1, Peer(1, 2), Peer(1, 3)));
        await HasRoute(one, "10.65.3.0/26", Address(3).ToString());

        one.Configure(Config(1, Peer(1, 2)));
        await LacksRoute(one, "10.65.3.0/26");

        Assert.Equal(since, (await one.PeerStatus()).Since);
        Assert.Equal(1, (await one.PeerStatus()).Counters.Established);
        Assert.Equal(1, await one.Changes("10.65.2.0/26"));
        Assert.Equal(new DownReason.NotificationReceived(ErrorCode.Cease, CeaseError.PeerDeconfigured, null),
            (await three.PeerStatus()).LastDown);
    }

    [Fact]
    public async Task Only_changes_that_need_it_reset_a_session()
    {
        var (one, two) = StartPair();
        await IsEstablished(one);

        one.Configure(Config(1, Peer(1, 2) with { HoldTime = TimeSpan.FromSeconds(30), Kind = PeerKind.NodePeer }));
        await Eventually(async () => (await one.PeerStatus()).Kind == PeerKind.NodePeer, "configured");
        Assert.Equal((SessionPhase.Established, 1),
            ((await one.PeerStatus()).Phase, (await one.PeerStatus()).Counters.Established));

        one.Configure(Config(1, Peer(1, 2) with { Families = Families.Both }));
        await Eventually(async () => (await one.PeerStatus()).Counters.Established == 2, "reset");
        Assert.Equal(new DownReason.NotificationReceived(ErrorCode.Cease, CeaseError.OtherConfigurationChange, null),
            (await two.PeerStatus()).LastDown);
    }

    [Fact]
    public async Task A_reflector_connects_two_nodes_that_have_no_session_with_each_other()
    {
        var reflector = Start(Config(1, Peer(1, 2) with { ReflectorClient = true }, Peer(1, 3)));
        var two = Start(Config(2, Peer(2, 1)));
        var three = Start(Config(3, Peer(3, 1)));
        two.Originate("10.65.2.0/26");
        three.Originate("10.65.3.0/26");

        await HasRoute(three, "10.65.2.0/26", Address(2).ToString());
        await HasRoute(two, "10.65.3.0/26", Address(3).ToString());

        reflector.Configure(Config(1, Peer(1, 2), Peer(1, 3)));
        await LacksRoute(three, "10.65.2.0/26");
        Assert.Equal(1, (await three.PeerStatus()).Counters.Established);
    }

    [Fact]
    public async Task Too_many_prefixes_end_the_session_with_a_reason_on_both_sides_and_a_higher_limit_brings_it_back()
    {
        var one = Start(Config(1, Peer(1, 2) with { MaxPrefixes = 2 }));
        var two = Start(Config(2, Peer(2, 1)));
        one.Originate();
        two.Originate("10.65.1.0/26", "10.65.2.0/26", "10.65.3.0/26");

        await Eventually(async () => (await one.PeerStatus()).LastDown is DownReason.MaximumPrefixesReached { Limit: 2 },
            "limit seen");
        await Eventually(async () => (await two.PeerStatus()).LastDown
            is DownReason.NotificationReceived { Code: ErrorCode.Cease, Subcode: CeaseError.MaximumPrefixes },
            "limit received");

        one.Configure(Config(1, Peer(1, 2) with { MaxPrefixes = 3 }));
        await HasRoute(one, "10.65.3.0/26", Address(2).ToString());
    }

    [Fact]
    public async Task A_peer_that_takes_nothing_is_given_up()
    {
        var one = Start(Config(1, Peer(1, 2) with
        {
            Passive = true,
            HoldTime = TimeSpan.Zero,
            SendHoldTime = TimeSpan.FromSeconds(1),
        }));
        // Each set is of its own and nearly fills a message, so that no socket buffer holds all of them.
        one.Actor.Tell(new BgpProtocol.OriginateRoutes([.. Enumerable.Range(0, 3000).Select(i =>
            new OriginatedRoute(Cidr.Parse($"11.{i / 256}.{i % 256}.0/24"), new PathAttributes
            {
                Communities = [.. Enumerable.Range(0, 900).Select(n => new Community((uint)((i * 1000) + n)))],
            }))], []));
        using var peer = await ScriptedPeer.Connect(Address(2), Address(1), Port);
        await peer.Establish(new SessionConfig
        {
            LocalAs = Asn.CalicoDefault,
            RouterId = RouterId.From(Address(2)),
            PeerAs = Asn.CalicoDefault,
            PeerAddress = Address(1),
            HoldTime = TimeSpan.Zero,
        }.BuildOpen());

        await Eventually(async () => (await one.PeerStatus()).LastDown is DownReason.SendHoldTimerExpired, "given up");
    }

    [Fact]
    public async Task A_changed_policy_takes_effect_on_the_living_session_in_both_directions()
    {
        var (one, two) = StartPair();
        one.Originate("10.65.1.0/26", "10.66.1.0/26");
        two.Originate("10.65.2.0/26", "10.66.2.0/26");
        await HasRoute(two, "10.66.1.0/26", Address(1).ToString());
        await HasRoute(one, "10.66.2.0/26", Address(2).ToString());

        var refuse = new Refuse(Cidr.Parse("10.66.0.0/16"));
        one.Configure(Config(1, Peer(1, 2) with { Import = refuse, Export = refuse }));
        await LacksRoute(two, "10.66.1.0/26");
        await LacksRoute(one, "10.66.2.0/26");

        one.Configure(Config(1, Peer(1, 2)));
        await HasRoute(two, "10.66.1.0/26", Address(1).ToString());
        await HasRoute(one, "10.66.2.0/26", Address(2).ToString());
        Assert.Equal(1, (await one.PeerStatus()).Counters.Established);
    }

    [Fact]
    public async Task A_policy_that_says_the_same_is_not_news_and_one_for_export_does_not_ask_for_the_peers_routes()
    {
        var (one, two) = StartPair();
        two.Originate("10.66.2.0/26");
        one.Originate("10.66.1.0/26");
        ExportPolicy Lets(string range) => new([], new ClusterExport { HiddenPools = [Cidr.Parse(range)] });
        one.Configure(Config(1, Peer(1, 2) with { Export = Lets("10.66.0.0/16") }));
        await LacksRoute(two, "10.66.1.0/26");
        await HasRoute(one, "10.66.2.0/26", Address(2).ToString());
        await Eventually(async () => !(await one.Convergence()).IsEmpty, "everything was told");
        var told = (await one.PeerStatus()).Counters;

        one.Configure(Config(1, Peer(1, 2) with { Export = Lets("10.66.0.0/16") }));
        one.Configure(Config(1, Peer(1, 2) with { Export = Lets("10.67.0.0/16") }));

        await HasRoute(two, "10.66.1.0/26", Address(1).ToString());
        Assert.Equal((told.MessagesIn, told.Established), ((await one.PeerStatus()).Counters.MessagesIn, 1));
    }

    [Fact]
    public async Task A_peer_that_is_held_back_has_no_session_and_says_why()
    {
        var one = Start(Config(1) with { Withheld = [new WithheldPeer(Peer(1, 2) with { Password = "secret" }, "no key")] });
        var two = Start(Config(2, Peer(2, 1)));

        await Eventually(async () => (await two.PeerStatus()).LastDown is not null || (await two.PeerStatus()).Down is not DownReason.NotStarted, "tried");
        var status = await one.PeerStatus();
        Assert.Equal(("the session is held back: no key", SessionPhase.Idle), (status.Down!.Sentence, status.Phase));

        one.Configure(Config(1, Peer(1, 2)));
        await Eventually(async () => (await one.PeerStatus()).Phase == SessionPhase.Established, "a session");
    }

    [Fact]
    public async Task Next_hops_follow_the_resolver()
    {
        var (one, two) = StartPair();
        two.Originate("10.65.2.0/26");
        await HasRoute(one, "10.65.2.0/26", Address(2).ToString());

        one.Actor.Tell(new BgpProtocol.NextHopsChanged(new Fixed(NextHopResolution.Unreachable), default));
        await LacksRoute(one, "10.65.2.0/26");

        one.Actor.Tell(new BgpProtocol.NextHopsChanged(new Fixed(new(true, IpAddr.Parse("192.0.2.254"), 7, 5)),
            [Cidr.Host(Address(2))]));
        await HasRoute(one, "10.65.2.0/26", Address(2).ToString());
        var hop = (await one.Routes())[Cidr.Parse("10.65.2.0/26")].NextHops[0];
        Assert.Equal((IpAddr.Parse("192.0.2.254"), 7), (hop.Gateway!.Value, hop.LinkIndex));
    }

    [Fact]
    public async Task A_password_must_match()
    {
        var one = Start(Config(1, Peer(1, 2) with { Password = "right" }));
        var two = Start(Config(2, Peer(2, 1) with { Password = "wrong" }));
        await Eventually(async () => (await two.PeerStatus()).Down is DownReason.TcpTimedOut, "no answer");
        Assert.NotEqual(SessionPhase.Established, (await one.PeerStatus()).Phase);

        two.Configure(Config(2, Peer(2, 1) with { Password = "right" }));

        await IsEstablished(one);
    }

    [Fact]
    public async Task A_taken_listening_address_is_reported_and_taken_once_it_is_free()
    {
        var first = Start(Config(1));
        await Eventually(async () => (await first.Status()).Listeners is [{ Error: null }], "first listens");
        var second = Start(Config(1));
        await Eventually(async () => (await second.Status()).Listeners is [{ Error: not null }], "second fails");

        await first.Actor.GracefulStop(TimeSpan.FromSeconds(10));

        await Eventually(async () => (await second.Status()).Listeners is [{ Error: null }], "second listens");
    }

    [Fact]
    public async Task Ten_thousand_routes_travel_and_go()
    {
        var (one, two) = StartPair();
        var prefixes = Enumerable.Range(0, 10_000)
            .Select(i => new Cidr(IpAddr.FromV4(0x0B000000u + ((uint)i << 8)), 24)).ToArray();
        one.Actor.Tell(new BgpProtocol.OriginateRoutes([.. prefixes.Select(OriginatedRoute.Of)], []));
        one.Actor.Tell(new BgpProtocol.OriginationComplete());
        await Eventually(async () => (await two.Routes()).Count == prefixes.Length, "all there");

        one.Actor.Tell(new BgpProtocol.OriginateRoutes([], [.. prefixes]));

        await Eventually(async () => (await two.Routes()).IsEmpty, "all gone");
    }

    [Fact]
    public async Task Ttl_security_and_a_bound_device_do_not_stand_in_the_way_of_a_neighbour()
    {
        var one = Start(Config(1, Peer(1, 2) with { TtlSecurityHops = 1, BindDevice = "lo" }));
        var two = Start(Config(2, Peer(2, 1) with { TtlSecurityHops = 1 }));

        await IsEstablished(one);
        await IsEstablished(two);
    }

    [Fact]
    public async Task A_peer_that_may_be_far_away_fails_ttl_security()
    {
        var one = Start(Config(1, Peer(1, 2) with { TtlSecurityHops = 1, Passive = false }));
        var two = Start(Config(2, Peer(2, 1) with { Passive = true }));
        two.Originate("10.65.2.0/26");

        await Eventually(async () => (await one.PeerStatus()).Down is DownReason.TcpTimedOut,
            "its answers are dropped");
        Assert.Equal(0, (await two.PeerStatus()).Counters.Established);
    }

    [Fact]
    public async Task A_session_actor_that_fails_is_replaced_and_the_others_do_not_notice()
    {
        var (one, two) = StartPair();
        two.Originate("10.65.2.0/26");
        await HasRoute(one, "10.65.2.0/26", Address(2).ToString());

        Sys.ActorSelection(one.Actor.Path + "/$a").Tell(Kill.Instance);

        await Eventually(async () => (await two.PeerStatus()).Counters.Established == 2, "established again");
        await HasRoute(one, "10.65.2.0/26", Address(2).ToString());
    }

    [Fact]
    public async Task A_rib_that_fails_takes_the_speaker_through_a_graceful_restart()
    {
        var (one, two) = StartPair();
        one.Originate("10.65.1.0/26");
        two.Originate("10.65.2.0/26");
        await HasRoute(two, "10.65.1.0/26", Address(1).ToString());
        await HasRoute(one, "10.65.2.0/26", Address(2).ToString());

        Sys.ActorSelection(one.Actor.Path + "/rib").Tell(Kill.Instance);

        await Eventually(async () => await two.PeerStatus() is { Counters.Established: 2, Restarting: false },
            "restarted and over");
        Assert.Equal(1, await two.Changes("10.65.1.0/26"));
        await Eventually(async () => await one.Changes("10.65.2.0/26") == 2, "told to the kernel's writer again");
    }

    private (Speaker One, Speaker Two) StartPair() => (Start(Config(1, Peer(1, 2))), Start(Config(2, Peer(2, 1))));

    private sealed class Refuse(Cidr range) : IRoutePolicy
    {
        public int Apply(in PolicyRoute route, AttributeTable attributes) =>
            range.Contains(route.Prefix) ? AttributeTable.None : route.AttributeSet;
    }

    private sealed class Fixed(NextHopResolution resolution) : INextHopResolver
    {
        public NextHopResolution Resolve(IpAddr nextHop) => resolution;
    }
}

using Akka.Actor;
using Calico.Actors.Bgp;
using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Bgp;

/// <summary>Sessions come up and routes travel.</summary>
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
    public async Task A_session_that_does_not_come_up_tells_the_log_why_and_tells_it_once()
    {
        Sys.EventStream.Subscribe(TestActor, typeof(Akka.Event.Warning));
        var one = Start(Config(1, Peer(1, 2) with { As = new Asn(65099) }));
        Start(Config(2, Peer(2, 1)));
        bool IsOnes(object m) => $"{((Akka.Event.Warning)m).Message}" is var text && text.Contains(Peer(1, 2).Name, StringComparison.Ordinal)
            && text.Contains("does not come up: the peer says it is AS 64512, configured is AS 65099", StringComparison.Ordinal);
        await FishForMessageAsync(IsOnes, TimeSpan.FromSeconds(20));

        await Eventually(async () => (await one.PeerStatus()).Counters.Notifications.Sum(n => n.Count) >= 3, "tried again");

        while (await ReceiveOneAsync(TimeSpan.FromMilliseconds(100)) is { } other)
            Assert.False(IsOnes(other));
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

    private sealed class Fixed(NextHopResolution resolution) : INextHopResolver
    {
        public NextHopResolution Resolve(IpAddr nextHop) => resolution;
    }
}

using Akka.Actor;
using Calico.Actors.Bgp;
using Calico.Core.Bgp.Policy;
using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Bgp;

/// <summary>What a configuration asks for, and what a changed one does to living sessions.</summary>
[Layer("actor")]
public class SpeakerConfigurationTests(ITestOutputHelper output) : SpeakerFixture(output)
{
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

    private sealed class Refuse(Cidr range) : IRoutePolicy
    {
        public int Apply(in PolicyRoute route, AttributeTable attributes) =>
            range.Contains(route.Prefix) ? AttributeTable.None : route.AttributeSet;
    }
}

using Akka.Actor;
using Calico.Actors.Bgp;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Bgp;

/// <summary>How speakers start, end and come back, and what their peers keep meanwhile.</summary>
[Layer("actor")]
public class SpeakerRestartTests(ITestOutputHelper output) : SpeakerFixture(output)
{
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

    [Fact]
    public async Task Nothing_is_kept_of_a_peer_that_is_known_to_be_gone()
    {
        var one = Start(Config(1, Peer(1, 2), Peer(1, 3)));
        var two = Start(Config(2, Peer(2, 1)));
        var three = Start(Config(3, Peer(3, 1)));
        two.Originate("10.65.2.0/26");
        three.Originate("10.65.3.0/26");
        await HasRoute(one, "10.65.2.0/26", Address(2).ToString());
        await HasRoute(one, "10.65.3.0/26", Address(3).ToString());
        await two.Actor.GracefulStop(TimeSpan.FromSeconds(10));
        await Eventually(async () => (await one.Status()).Peers.Any(p => p.Restarting), "restart noticed");

        one.Actor.Tell(new BgpProtocol.PeersGone([Address(2)], "node 2 is gone"));

        await LacksRoute(one, "10.65.2.0/26");
        await HasRoute(one, "10.65.3.0/26", Address(3).ToString());
        var back = Start(Config(2, Peer(2, 1)));
        back.Originate("10.65.2.0/26");
        await HasRoute(one, "10.65.2.0/26", Address(2).ToString());
        one.Actor.Tell(new BgpProtocol.PeersGone([Address(2)], "node 2 is gone"));
        await Eventually(async () => (await one.Status()).Peers.Any(p => p.LastDown is DownReason.PeerGone { Text: "node 2 is gone" }), "given up");
        // Whoever answers at the address is heard again.
        await HasRoute(one, "10.65.2.0/26", Address(2).ToString());
    }
}

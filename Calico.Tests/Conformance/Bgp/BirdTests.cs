using Akka.Actor;
using Calico.Actors.Bgp;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;
using Calico.Tests.Actors.Bgp;
using Xunit.Abstractions;

namespace Calico.Tests.Conformance.Bgp;

/// <summary>Our speaker against BIRD 2, the daemon that Calico itself uses, over loopback addresses.</summary>
[Layer("conformance")]
public class BirdTests(ITestOutputHelper output) : SpeakerFixture(output)
{
    [SkippableTheory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Routes_travel_both_ways_with_the_right_next_hop_whoever_dials(bool birdDials)
    {
        await using var bird = Bird(passive: !birdDials);
        await bird.Start(["10.65.2.0/26", "10.65.3.0/26"]);
        var one = Start(Config(1, Peer(1, 2) with { Passive = birdDials }));
        one.Originate("10.65.1.0/26");

        await HasRoute(one, "10.65.2.0/26", Address(2).ToString());
        await HasRoute(one, "10.65.3.0/26", Address(2).ToString());
        await BirdShows(bird, "10.65.1.0/26", $"BGP.next_hop: {Address(1)}", "BGP.local_pref: 100", "BGP.origin: IGP");

        one.Withdraw("10.65.1.0/26");
        await BirdLacks(bird, "10.65.1.0/26");
    }

    [SkippableFact]
    public async Task Both_sides_dialling_at_once_end_in_one_session()
    {
        await using var bird = Bird();
        await bird.Start(["10.65.2.0/26"]);
        var one = Start(Config(1, Peer(1, 2) with { Passive = false }));
        one.Originate("10.65.1.0/26");

        await HasRoute(one, "10.65.2.0/26", Address(2).ToString());
        await BirdShows(bird, "10.65.1.0/26");
        await IsEstablished(one);
    }

    [SkippableFact]
    public async Task An_external_session_carries_our_as_in_the_path()
    {
        await using var bird = Bird(localAs: 4200000001);
        await bird.Start(["10.65.2.0/26"]);
        var one = Start(Config(1, Peer(1, 2) with { As = new Asn(4200000001) }));
        one.Originate("10.65.1.0/26");

        await HasRoute(one, "10.65.2.0/26", Address(2).ToString());
        await BirdShows(bird, "10.65.1.0/26", "BGP.as_path: 64512", $"BGP.next_hop: {Address(1)}");
    }

    [SkippableFact]
    public async Task A_password_is_understood()
    {
        await using var bird = Bird(password: "s3cret");
        await bird.Start(["10.65.2.0/26"]);
        var one = Start(Config(1, Peer(1, 2) with { Password = "s3cret" }));

        await HasRoute(one, "10.65.2.0/26", Address(2).ToString());
    }

    [SkippableFact]
    public async Task Our_wrong_as_is_refused_by_bird_and_the_reason_read()
    {
        await using var bird = Bird(neighbourAs: 65001);
        await bird.Start([]);
        var one = Start(Config(1, Peer(1, 2)));

        await Eventually(async () => (await one.PeerStatus()).Down is
            DownReason.NotificationReceived { Code: ErrorCode.OpenMessage, Subcode: OpenError.BadPeerAs },
                "bad peer AS");
    }

    [SkippableFact]
    public async Task Birds_wrong_as_is_refused_by_us_and_bird_reads_the_reason()
    {
        await using var bird = Bird(localAs: 65002);
        await bird.Start([]);
        var one = Start(Config(1, Peer(1, 2) with { As = new Asn(65001) }));

        await Eventually(async () => (await one.PeerStatus())
            .Down == new DownReason.OpenBadPeerAs(new Asn(65001), new Asn(65002)), "bad peer AS");
        await Eventually(async () => (await bird.Ask("show protocols all calico"))
            .Contains("Bad peer AS", StringComparison.Ordinal), "bird knows");
    }

    [SkippableFact]
    public async Task Birds_routes_survive_its_crash_and_go_when_it_does_not_repeat_them()
    {
        await using var bird = Bird();
        await bird.Start(["10.65.2.0/26", "10.65.3.0/26"]);
        var one = Start(Config(1, Peer(1, 2)));
        one.Originate("10.65.1.0/26");
        await HasRoute(one, "10.65.3.0/26", Address(2).ToString());

        await bird.Crash();
        await Eventually(async () =>
            await one.PeerStatus() is { Phase: not SessionPhase.Established, Restarting: true }, "restart noticed");
        Assert.Equal(2, (await one.Routes()).Count);

        await bird.Start(["10.65.2.0/26"], recover: true);
        await LacksRoute(one, "10.65.3.0/26");
        await HasRoute(one, "10.65.2.0/26", Address(2).ToString());
        Assert.Equal(1, await one.Changes("10.65.2.0/26"));
    }

    [SkippableFact]
    public async Task Our_routes_survive_our_restart_in_bird_and_go_when_we_do_not_repeat_them()
    {
        await using var bird = Bird();
        await bird.Start(["10.65.2.0/26"]);
        var one = Start(Config(1, Peer(1, 2)));
        one.Originate("10.65.1.0/26", "10.65.9.0/26");
        await BirdShows(bird, "10.65.9.0/26");

        await one.Actor.GracefulStop(TimeSpan.FromSeconds(10));
        await Eventually(async () => !(await bird.Ask("show protocols calico"))
            .Contains("Established", StringComparison.Ordinal), "bird noticed");
        await BirdShows(bird, "10.65.1.0/26");
        await BirdShows(bird, "10.65.9.0/26");

        var again = Start(Config(1, Peer(1, 2)) with { Restarting = true });
        again.Originate("10.65.1.0/26");
        await BirdLacks(bird, "10.65.9.0/26");
        await BirdShows(bird, "10.65.1.0/26", $"BGP.next_hop: {Address(1)}");
        await Eventually(async () => (await again.Convergence()).Count == 1, "convergence");
    }

    [SkippableFact]
    public async Task A_decommissioned_speakers_routes_leave_bird_with_the_text_in_its_log()
    {
        await using var bird = Bird();
        await bird.Start([]);
        var one = Start(Config(1, Peer(1, 2)));
        one.Originate("10.65.1.0/26");
        await BirdShows(bird, "10.65.1.0/26");

        await one.Actor.Ask<BgpProtocol.SpeakerDecommissioned>(new BgpProtocol.DecommissionSpeaker("node is drained"),
            TimeSpan.FromSeconds(10));

        await BirdLacks(bird, "10.65.1.0/26");
        await Eventually(async () => (await bird.Ask("show protocols all calico"))
            .Contains("node is drained", StringComparison.Ordinal), "text");
    }

    [SkippableFact]
    public async Task Several_paths_for_a_prefix_travel_both_ways()
    {
        await using var bird = Bird(addPaths: true);
        await bird.Start(["10.65.2.0/26"]);
        var one = Start(Config(1, Peer(1, 2), Peer(1, 3) with { As = new Asn(65003) }));
        var three = Start(Config(3, Peer(3, 1)) with { LocalAs = new Asn(65003) });
        one.Originate("10.65.9.0/26");
        three.Originate("10.65.9.0/26");

        await HasRoute(one, "10.65.2.0/26", Address(2).ToString());
        await Eventually(async () => (await one.Status()).Peers.Single(p => p.Address == Address(2)).Counters is
        { Received: 2, Advertised: 2 }, "two paths each way");
        await BirdShows(bird, "10.65.9.0/26", $"BGP.next_hop: {Address(1)}", $"BGP.next_hop: {Address(3)}");

        three.Withdraw("10.65.9.0/26");
        await Eventually(async () => !(await bird.Ask("show route 10.65.9.0/26 all protocol calico"))
            .Contains($"BGP.next_hop: {Address(3)}", StringComparison.Ordinal), "one path gone");
        await BirdShows(bird, "10.65.9.0/26", $"BGP.next_hop: {Address(1)}");
    }

    [SkippableFact]
    public async Task Bird_may_ask_for_our_routes_again()
    {
        await using var bird = Bird();
        await bird.Start(["10.65.2.0/26"]);
        var one = Start(Config(1, Peer(1, 2)));
        one.Originate("10.65.1.0/26");
        await BirdShows(bird, "10.65.1.0/26");
        var before = (await one.PeerStatus()).Counters.MessagesOut;

        await bird.Ask("reload in calico");

        await Eventually(async () => (await one.PeerStatus()).Counters.MessagesOut > before, "routes sent again");
        await BirdShows(bird, "10.65.1.0/26");
        Assert.Equal(1, (await one.PeerStatus()).Counters.Established);
    }

    [SkippableFact]
    public async Task Twenty_thousand_routes_arrive_and_go_in_both_directions()
    {
        var prefixes = Enumerable.Range(0, 20_000).Select(i => $"11.{i / 256}.{i % 256}.0/24").ToArray();
        await using var bird = Bird();
        await bird.Start(prefixes);
        var one = Start(Config(1, Peer(1, 2)));
        one.Originate([.. prefixes.Select(p => "12" + p[2..])]);

        await Eventually(async () => (await one.Routes()).Count == prefixes.Length, "bird's routes");
        await Eventually(async () => (await bird.Ask("show route count protocol calico"))
            .StartsWith("BIRD", StringComparison.Ordinal)
            && (await bird.Ask("show route count protocol calico")).Contains("20000 of ", StringComparison.Ordinal),
                "our routes");
        await bird.Ask("disable own");
        await Eventually(async () => (await one.Routes()).IsEmpty, "bird's routes gone");
    }

    private BirdDaemon Bird(bool passive = false, uint localAs = 64512, uint neighbourAs = 64512, string password = "",
        bool addPaths = false)
    {
        Skip.IfNot(BirdDaemon.IsInstalled, "bird2 is not installed");
        return new()
        {
            Address = Address(2),
            Neighbour = Address(1),
            Port = Port,
            Passive = passive,
            LocalAs = localAs,
            NeighbourAs = neighbourAs,
            Password = password,
            AddPaths = addPaths,
        };
    }

    private Task BirdShows(BirdDaemon bird, string prefix, params string[] attributes) => Eventually(async () =>
    {
        var text = await bird.Ask($"show route {prefix} all protocol calico");
        return text.Contains(prefix, StringComparison.Ordinal)
            && attributes.All(a => text.Contains(a, StringComparison.Ordinal));
    }, $"bird shows {prefix}");

    private Task BirdLacks(BirdDaemon bird, string prefix) => Eventually(async () =>
    {
        var text = await bird.Ask($"show route {prefix} protocol calico");
        return text.Contains("Network not found", StringComparison.Ordinal)
            || (text.Contains("ready", StringComparison.Ordinal) && !text.Contains(prefix, StringComparison.Ordinal));
    }, $"bird lacks {prefix}");
}

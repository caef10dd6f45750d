using Akka.Actor;
using Akka.TestKit;
using Calico.Actors.Bfd;
using Calico.Actors.Bgp;
using Calico.Core.Bfd;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Kernel.Bfd;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Bgp;

/// <summary>What BFD says of the path to a peer, and what the session makes of it.</summary>
[Layer("actor")]
public class PathFailureTests(ITestOutputHelper output) : SpeakerFixture(output)
{
    [Fact]
    public async Task A_broken_path_ends_the_session_if_it_was_whole_before()
    {
        var bfd = CreateTestProbe();
        var one = Start(Config(1, Peer(1, 2) with { Bfd = new BfdSetting(new BfdParameters()) }), bfd);
        var two = Start(Config(2, Peer(2, 1)));
        two.Originate("10.65.2.0/26");
        await HasRoute(one, "10.65.2.0/26", Address(2).ToString());
        var watch = await bfd.ExpectMsgAsync<BfdProtocol.Watch>(TimeSpan.FromSeconds(10));
        Assert.Equal(new BfdEndpoint(Address(2), Address(1)), watch.Endpoint);

        // Of before, and a neighbour that was switched off: neither is a failure.
        Say(watch, BfdState.Down, BfdState.Down, BfdDiagnostic.ControlDetectionTimeExpired);
        Say(watch, BfdState.Up, BfdState.Up, BfdDiagnostic.None);
        Say(watch, BfdState.Down, BfdState.AdminDown, BfdDiagnostic.NeighborSignaledSessionDown);
        Say(watch, BfdState.Up, BfdState.Up, BfdDiagnostic.None);
        Assert.Equal((SessionPhase.Established, 1), Of(await one.PeerStatus()));

        Say(watch, BfdState.Down, BfdState.Down, BfdDiagnostic.ControlDetectionTimeExpired);

        await Eventually(async () => (await one.PeerStatus()).LastDown is DownReason.PathFailed, "it ended for this reason");
        Assert.Contains(new NotificationCount(true, ErrorCode.Cease, CeaseError.BfdDown, 1), (await one.PeerStatus()).Counters.Notifications);
        await Eventually(async () => Of(await one.PeerStatus()) == (SessionPhase.Established, 2), "it is up again");
        await HasRoute(one, "10.65.2.0/26", Address(2).ToString());
        await bfd.ExpectNoMsgAsync(TimeSpan.FromMilliseconds(100));
    }

    [Fact]
    public async Task A_peer_that_is_watched_no_more_is_said_to_be()
    {
        var bfd = CreateTestProbe();
        var peer = Peer(1, 2) with { Bfd = new BfdSetting(new BfdParameters()) };
        var one = Start(Config(1, peer), bfd);
        Start(Config(2, Peer(2, 1)));
        var watch = await bfd.ExpectMsgAsync<BfdProtocol.Watch>(TimeSpan.FromSeconds(10));

        one.Actor.Tell(new BgpProtocol.ConfigureSpeaker(Config(1, peer with { Bfd = new BfdSetting(new BfdParameters { Multiplier = 5 }) })));
        Assert.Equal(5, (await bfd.ExpectMsgAsync<BfdProtocol.Watch>(TimeSpan.FromSeconds(10))).Parameters.Multiplier);
        one.Actor.Tell(new BgpProtocol.ConfigureSpeaker(Config(1, peer with { Bfd = null })));

        Assert.Equal(watch.Endpoint, (await bfd.ExpectMsgAsync<BfdProtocol.Unwatch>(TimeSpan.FromSeconds(10))).Endpoint);
        Assert.Equal((SessionPhase.Established, 1), Of(await one.PeerStatus()));
    }

    [Fact]
    public async Task A_peer_that_is_watched_no_more_is_said_to_be_also_between_two_sessions()
    {
        var bfd = CreateTestProbe();
        var peer = Peer(1, 2) with { Bfd = new BfdSetting(new BfdParameters()) };
        var one = Start(Config(1, peer), bfd);
        var two = Start(Config(2, Peer(2, 1)));
        var watch = await bfd.ExpectMsgAsync<BfdProtocol.Watch>(TimeSpan.FromSeconds(10));
        Sys.Stop(two.Actor);
        await Eventually(async () => (await one.PeerStatus()).Phase != SessionPhase.Established, "it has ended");

        one.Configure(Config(1, peer with { Bfd = new BfdSetting(new BfdParameters { Multiplier = 5 }) }));
        Assert.Equal(5, (await bfd.ExpectMsgAsync<BfdProtocol.Watch>(TimeSpan.FromSeconds(10))).Parameters.Multiplier);
        one.Configure(Config(1, peer with { Bfd = null }));

        Assert.Equal(watch.Endpoint, (await bfd.ExpectMsgAsync<BfdProtocol.Unwatch>(TimeSpan.FromSeconds(10))).Endpoint);
    }

    [Fact]
    public async Task The_status_has_the_path_of_each_peer_and_why_it_cannot_be_watched()
    {
        var engine = new FakeBfdEngine();
        var bfd = Sys.ActorOf(BfdActor.Props(() => engine, TimeProvider.System));
        var one = Start(Config(1, Peer(1, 2) with { Bfd = new BfdSetting(new BfdParameters()) }), bfd);
        Start(Config(2, Peer(2, 1)));
        var path = new BfdEndpoint(Address(2), Address(1));

        await Eventually(async () => (await ReadAsync()).Neighbour?.Session.Endpoint == path, "it is watched");
        engine.Move(path, BfdState.Up);
        await Eventually(async () => (await ReadAsync()).Neighbour?.Session.State == BfdState.Up, "it is up");
        engine.Move(path, BfdState.Down, BfdDiagnostic.ControlDetectionTimeExpired);
        await Eventually(async () => await ReadAsync() is { Counters.PathFailures: 1, LastDown: DownReason.PathFailed { Diagnostic: BfdDiagnostic.ControlDetectionTimeExpired } }, "it ended the session");

        // An actor that is gone costs only what it knows.
        await bfd.GracefulStop(TimeSpan.FromSeconds(10));
        var late = await ReadAsync();
        Assert.Equal(path, late.Path);
        Assert.Null(late.Neighbour);

        async Task<PeerStatus> ReadAsync() => Assert.Single((await SpeakerStatus.ReadAsync(one.Actor, bfd, TimeSpan.FromSeconds(5))).Peers);
    }

    [Fact]
    public async Task A_path_that_cannot_be_watched_says_why()
    {
        var bfd = CreateTestProbe();
        var one = Start(Config(1, Peer(1, 2) with { Bfd = new BfdSetting(new BfdParameters()) }), bfd);
        Start(Config(2, Peer(2, 1)));
        var watch = await bfd.ExpectMsgAsync<BfdProtocol.Watch>(TimeSpan.FromSeconds(10));

        watch.Subscriber.Tell(new BfdProtocol.WatchRefused(watch.Endpoint, "a link-local address needs a device"));

        await Eventually(async () => (await one.PeerStatus()).Unwatchable == "a link-local address needs a device", "it says so");
    }

    [Fact]
    public async Task A_path_over_routers_is_another_one_and_no_reason_for_another_session()
    {
        var bfd = CreateTestProbe();
        var peer = Peer(1, 2) with { Bfd = new BfdSetting(new BfdParameters()) };
        var one = Start(Config(1, peer), bfd);
        Start(Config(2, Peer(2, 1)));
        var direct = (await bfd.ExpectMsgAsync<BfdProtocol.Watch>(TimeSpan.FromSeconds(10))).Endpoint;

        one.Configure(Config(1, peer with { Bfd = new BfdSetting(new BfdParameters(), Multihop: true) }));

        Assert.Equal(direct, (await bfd.ExpectMsgAsync<BfdProtocol.Unwatch>(TimeSpan.FromSeconds(10))).Endpoint);
        Assert.Equal(direct with { Multihop = true }, (await bfd.ExpectMsgAsync<BfdProtocol.Watch>(TimeSpan.FromSeconds(10))).Endpoint);
        Assert.Equal((SessionPhase.Established, 1), Of(await one.PeerStatus()));
    }

    private static (SessionPhase, int) Of(PeerStatus status) => (status.Phase, status.Counters.Established);

    private static void Say(BfdProtocol.Watch watch, BfdState state, BfdState remote, BfdDiagnostic diagnostic) =>
        watch.Subscriber.Tell(new BfdProtocol.StateChanged(watch.Endpoint, state, remote, diagnostic, DateTimeOffset.UnixEpoch));
}

using Akka.Actor;
using Calico.Actors;
using Calico.Actors.Bfd;
using Calico.Core.Bfd;
using Calico.Core.Net;
using Calico.Kernel;
using Calico.Kernel.Bfd;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Bfd;

[Layer("actor")]
public sealed class BfdActorTests(ITestOutputHelper output) : ActorFixture(output)
{
    private static readonly BfdEndpoint Endpoint = new(IpAddr.Parse("192.0.2.2"), IpAddr.Parse("192.0.2.1"));
    private static readonly BfdParameters Fast = new() { Interval = TimeSpan.FromMilliseconds(50) };

    private readonly List<FakeBfdEngine> _engines = [];

    private FakeBfdEngine Engine => _engines[^1];

    [Fact]
    public void Who_watches_is_told_the_state_now_and_at_each_change()
    {
        var bfd = Start();
        bfd.Tell(new BfdProtocol.Watch(Endpoint, new BfdParameters(), TestActor));
        var first = ExpectMsg<BfdProtocol.StateChanged>();
        Assert.Equal((Endpoint, BfdState.Down, Clock.GetUtcNow()), (first.Endpoint, first.State, first.Since));

        Clock.Advance(TimeSpan.FromSeconds(5));
        Engine.Move(Endpoint, BfdState.Up);
        var up = ExpectMsg<BfdProtocol.StateChanged>();
        Assert.Equal((BfdState.Up, Clock.GetUtcNow(), false), (up.State, up.Since, up.IsFailure));

        Engine.Move(Endpoint, BfdState.Down, BfdDiagnostic.ControlDetectionTimeExpired);
        Assert.True(ExpectMsg<BfdProtocol.StateChanged>().IsFailure);
        Engine.Move(Endpoint, BfdState.Down, BfdDiagnostic.NeighborSignaledSessionDown, BfdState.AdminDown);
        Assert.False(ExpectMsg<BfdProtocol.StateChanged>().IsFailure);
    }

    [Fact]
    public void A_second_subscriber_shares_the_session_is_told_its_state_and_the_fastest_wish_counts()
    {
        var other = CreateTestProbe();
        var bfd = Start();
        bfd.Tell(new BfdProtocol.Watch(Endpoint, new BfdParameters(), TestActor));
        ExpectMsg<BfdProtocol.StateChanged>();
        Engine.Move(Endpoint, BfdState.Up);
        ExpectMsg<BfdProtocol.StateChanged>();

        bfd.Tell(new BfdProtocol.Watch(Endpoint, Fast, other));
        Assert.Equal(BfdState.Up, other.ExpectMsg<BfdProtocol.StateChanged>().State);
        Assert.Equal(Fast, Assert.Single(Engine.Watched).Value);

        bfd.Tell(new BfdProtocol.Unwatch(Endpoint, other));
        AwaitAssert(() => Assert.Equal(new BfdParameters(), Assert.Single(Engine.Watched).Value));
        Engine.Move(Endpoint, BfdState.Down);
        ExpectMsg<BfdProtocol.StateChanged>();
        other.ExpectNoMsg(TimeSpan.FromMilliseconds(100));
        ExpectNoMsg(TimeSpan.FromMilliseconds(100));
    }

    [Fact]
    public void The_session_ends_with_its_last_subscriber_also_when_that_one_just_stops()
    {
        var bfd = Start();
        var other = CreateTestProbe();
        bfd.Tell(new BfdProtocol.Watch(Endpoint, Fast, other));
        bfd.Tell(new BfdProtocol.Watch(Endpoint with { Multihop = true }, Fast, other));
        bfd.Tell(new BfdProtocol.Watch(Endpoint, Fast, TestActor));
        ExpectMsg<BfdProtocol.StateChanged>();

        Sys.Stop(other);
        AwaitAssert(() => Assert.Equal(Endpoint, Assert.Single(Engine.Watched).Key));

        bfd.Tell(new BfdProtocol.Unwatch(Endpoint, TestActor));
        AwaitAssert(() => Assert.Empty(Engine.Watched));
    }

    [Fact]
    public void What_cannot_be_is_refused_with_the_reason()
    {
        var bfd = Start();
        bfd.Tell(new BfdProtocol.Watch(Endpoint, new BfdParameters { Multiplier = 0 }, TestActor));
        Assert.Equal("BFD multiplier 0: must be between 1 and 255", ExpectMsg<BfdProtocol.WatchRefused>().Reason);

        bfd.Tell(new BfdProtocol.Watch(Endpoint with { Local = IpAddr.Parse("fd00::1") }, Fast, TestActor));
        Assert.Contains("families", ExpectMsg<BfdProtocol.WatchRefused>().Reason, StringComparison.Ordinal);
        Assert.Empty(_engines);
    }

    [Fact]
    public async Task A_session_can_be_switched_off_and_the_status_has_it()
    {
        var bfd = Start();
        bfd.Tell(new BfdProtocol.Watch(Endpoint, Fast, TestActor));
        await ExpectMsgAsync<BfdProtocol.StateChanged>();

        bfd.Tell(new BfdProtocol.SetEnabled(Endpoint, false));
        Assert.Equal(BfdState.AdminDown, (await ExpectMsgAsync<BfdProtocol.StateChanged>()).State);
        Assert.False(Engine.IsEnabled(Endpoint));

        var status = await bfd.Ask<BfdProtocol.BfdStatus>(new BfdProtocol.GetBfdStatus(), TimeSpan.FromSeconds(20));
        var session = Assert.Single(status.Sessions);
        Assert.Equal((BfdState.AdminDown, Fast, 1, Clock.GetUtcNow()),
            (session.Session.State, session.Session.Parameters, session.Subscribers, session.Since));
    }

    [Fact]
    public async Task When_the_engine_fails_all_sessions_begin_anew_in_another_with_the_same_subscribers()
    {
        var bfd = Start();
        bfd.Tell(new BfdProtocol.Watch(Endpoint, Fast, TestActor));
        await ExpectMsgAsync<BfdProtocol.StateChanged>();
        Engine.Move(Endpoint, BfdState.Up);
        await ExpectMsgAsync<BfdProtocol.StateChanged>();

        Engine.Fail(new KernelException(Errno.ENOMEM, "poll", "BFD sockets"));

        var begun = await ExpectMsgAsync<BfdProtocol.StateChanged>();
        Assert.Equal((BfdState.Down, false), (begun.State, begun.IsFailure));
        Assert.Equal(2, _engines.Count);
        Assert.True(_engines[0].IsDisposed);
        Assert.Equal(Fast, Assert.Single(Engine.Watched).Value);
        Engine.Move(Endpoint, BfdState.Up);
        Assert.Equal(BfdState.Up, (await ExpectMsgAsync<BfdProtocol.StateChanged>()).State);
    }

    [Fact]
    public async Task Stopping_disposes_the_engine_which_tells_the_neighbours()
    {
        var bfd = Start();
        bfd.Tell(new BfdProtocol.Watch(Endpoint, Fast, TestActor));
        await ExpectMsgAsync<BfdProtocol.StateChanged>();

        await bfd.GracefulStop(TimeSpan.FromSeconds(20));

        Assert.True(Engine.IsDisposed);
    }

    [Fact]
    public async Task There_is_no_engine_before_somebody_is_watched()
    {
        var bfd = Start();

        Assert.Empty((await bfd.Ask<BfdProtocol.BfdStatus>(new BfdProtocol.GetBfdStatus(), TimeSpan.FromSeconds(20))).Sessions);
        await bfd.GracefulStop(TimeSpan.FromSeconds(20));

        Assert.Empty(_engines);
    }

    [Fact]
    public async Task One_that_gives_up_takes_the_system_along()
    {
        var bfd = Sys.ActorOf(BfdActor.Props(() => throw new KernelException(Errno.ENOMEM, "open", "eventfd"), Clock));
        Sys.ActorOf(SentinelActor.Props(bfd));

        bfd.Tell(new BfdProtocol.Watch(Endpoint, Fast, TestActor));

        await Sys.WhenTerminated.WaitAsync(TimeSpan.FromSeconds(20));
    }

    private IActorRef Start() => Sys.ActorOf(BfdActor.Props(() =>
    {
        var engine = new FakeBfdEngine();
        _engines.Add(engine);
        return engine;
    }, Clock));
}

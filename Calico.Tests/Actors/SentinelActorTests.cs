using Akka.Actor;
using Calico.Actors;
using Xunit.Abstractions;

namespace Calico.Tests.Actors;

[Layer("actor")]
public sealed class SentinelActorTests(ITestOutputHelper output) : NodeActorFixture(output)
{
    private sealed class Worker : ReceiveActor
    {
        public Worker() => ReceiveAny(m => Sender.Tell(m));
    }

    [Fact]
    public async Task The_system_ends_when_an_indispensable_actor_stops()
    {
        var (first, second) = (Work(), Work());
        Sys.ActorOf(SentinelActor.Props(first, second));

        Sys.Stop(second);

        await Sys.WhenTerminated.WaitAsync(Patience);
    }

    [Fact]
    public async Task The_system_ends_when_an_actor_stopped_before_the_sentinel_began_to_watch()
    {
        var worker = Work();
        await worker.GracefulStop(Patience);

        Sys.ActorOf(SentinelActor.Props(worker));

        await Sys.WhenTerminated.WaitAsync(Patience);
    }

    [Fact]
    public async Task A_restart_does_not_end_the_system()
    {
        var worker = Work();
        var sentinel = Sys.ActorOf(SentinelActor.Props(worker));
        Crash(worker);
        Crash(sentinel);

        Assert.Equal("alive", await worker.Ask<string>("alive", Patience));
        Assert.NotNull((await sentinel.Ask<ActorIdentity>(new Identify(1), Patience)).Subject);
        Assert.False(Sys.WhenTerminated.IsCompleted);

        Sys.Stop(worker);
        await Sys.WhenTerminated.WaitAsync(Patience);
    }

    [Fact]
    public async Task An_actor_that_fails_again_and_again_is_given_up_and_with_it_the_system()
    {
        var worker = Work();
        Sys.ActorOf(SentinelActor.Props(worker));

        for (var i = 0; i < 11; i++)
            Crash(worker);

        await Sys.WhenTerminated.WaitAsync(Patience);
    }

    [Fact]
    public async Task A_system_that_is_stopped_in_order_is_no_error()
    {
        Sys.ActorOf(SentinelActor.Props([.. Enumerable.Range(0, 20).Select(_ => Work())]));
        var errors = new System.Collections.Concurrent.ConcurrentQueue<Akka.Event.Error>();
        Sys.EventStream.Subscribe(Sys.ActorOf(Props.Create(() => new Listener(errors))), typeof(Akka.Event.Error));

        await Sys.Terminate().WaitAsync(Patience);

        Assert.Empty(errors);
    }

    private sealed class Listener : ReceiveActor
    {
        public Listener(System.Collections.Concurrent.ConcurrentQueue<Akka.Event.Error> errors) => Receive<Akka.Event.Error>(errors.Enqueue);
    }

    private IActorRef Work() => Sys.ActorOf(Props.Create(() => new Worker()));
}

using System.Collections.Concurrent;
using Akka.Actor;
using Akka.Dispatch;
using Calico.Actors.Dispatch;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Dispatch;

[Layer("actor")]
public sealed class KernelWriterDispatcherTests(ITestOutputHelper output) : NodeActorFixture(output)
{
    [Fact]
    public async Task Work_runs_in_order_on_one_thread_that_is_nobody_elses()
    {
        var thread = new SleepingThread("writer", _ => { });
        var seen = new ConcurrentQueue<(int Item, Thread Thread)>();
        for (var i = 0; i < 1000; i++)
        {
            var item = i;
            thread.Execute(new Work(() => seen.Enqueue((item, Thread.CurrentThread))));
        }

        await Eventually(() => Assert.Equal(1000, seen.Count));
        Assert.Equal(Enumerable.Range(0, 1000), seen.Select(s => s.Item));
        var only = Assert.Single(seen.Select(s => s.Thread).Distinct());
        Assert.Equal("writer", only.Name);
        Assert.False(only.IsThreadPoolThread);
        thread.Shutdown();
    }

    [Fact]
    public async Task Work_that_throws_does_not_end_the_thread()
    {
        var failures = new ConcurrentQueue<Exception>();
        var thread = new SleepingThread("writer", failures.Enqueue);
        var done = new TaskCompletionSource<Thread>(TaskCreationOptions.RunContinuationsAsynchronously);
        var failed = new TaskCompletionSource<Thread>(TaskCreationOptions.RunContinuationsAsynchronously);

        thread.Execute(new Work(() =>
        {
            failed.SetResult(Thread.CurrentThread);
            throw new InvalidOperationException("work failed");
        }));
        thread.Execute(new Work(() => done.SetResult(Thread.CurrentThread)));

        Assert.Same(await failed.Task, await done.Task.WaitAsync(Patience));
        Assert.Equal("work failed", Assert.Single(failures).Message);
        thread.Shutdown();
    }

    [Fact]
    public async Task Shutdown_carries_out_what_is_queued_and_ends_the_thread()
    {
        var thread = new SleepingThread("writer", _ => { });
        var own = new TaskCompletionSource<Thread>(TaskCreationOptions.RunContinuationsAsynchronously);
        using var go = new ManualResetEventSlim();
        var last = false;
        thread.Execute(new Work(() =>
        {
            own.SetResult(Thread.CurrentThread);
            go.Wait();
        }));
        thread.Execute(new Work(() => last = true));

        thread.Shutdown();
        Assert.Throws<InvalidOperationException>(() => thread.Execute(new Work(() => { })));
        go.Set();

        Assert.True((await own.Task).Join(Patience));
        Assert.True(last);
    }

    [Fact]
    public async Task Shutdown_wakes_a_thread_that_sleeps()
    {
        var thread = new SleepingThread("writer", _ => { });
        var own = new TaskCompletionSource<Thread>(TaskCreationOptions.RunContinuationsAsynchronously);
        thread.Execute(new Work(() => own.SetResult(Thread.CurrentThread)));
        var sleeper = await own.Task;
        await Eventually(() => Assert.True(sleeper.ThreadState.HasFlag(ThreadState.WaitSleepJoin)));

        thread.Shutdown();

        Assert.True(sleeper.Join(Patience));
    }

    [Fact]
    public async Task Every_actor_has_a_thread_of_its_own_and_keeps_it_over_a_restart()
    {
        var props = Props.Create(() => new WhereAmI()).WithDispatcher(DispatcherNames.KernelWriter);
        var one = Sys.ActorOf(props);
        var other = Sys.ActorOf(props);
        var before = await one.Ask<Thread>("where", Patience);

        Crash(one);

        Assert.Same(before, await one.Ask<Thread>("where", Patience));
        Assert.NotSame(before, await other.Ask<Thread>("where", Patience));
    }

    [Fact]
    public async Task The_thread_of_an_actor_that_stops_ends()
    {
        var actor = Sys.ActorOf(Props.Create(() => new WhereAmI()).WithDispatcher(DispatcherNames.KernelWriter));
        var thread = await actor.Ask<Thread>("where", Patience);

        await actor.GracefulStop(Patience);

        Assert.True(thread.Join(Patience));
    }

    private sealed class Work(Action action) : IRunnable
    {
        public void Run() => action();
        public void Execute() => action();
    }

    private sealed class WhereAmI : ReceiveActor
    {
        public WhereAmI() => ReceiveAny(_ => Sender.Tell(Thread.CurrentThread));
    }
}

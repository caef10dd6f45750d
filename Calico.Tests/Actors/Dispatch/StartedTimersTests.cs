using Akka.Actor;
using Calico.Actors.Dispatch;

namespace Calico.Tests.Actors.Dispatch;

public class StartedTimersTests
{
    private const int Busy = 64;

    /// <summary>The pool grows by a thread or two a second, so a loop that starts behind all this takes far longer than the test waits.</summary>
    [Fact]
    [Trait("Layer", "actor")]
    public async Task The_first_timer_of_an_actor_does_not_wait_for_a_thread_of_the_pool()
    {
        using var system = ActorSystem.Create("timers", StartedTimers.Hocon + "akka { loglevel = OFF, stdout-loglevel = OFF, loggers = [] }");
        using var free = new ManualResetEventSlim();
        using var ended = new CountdownEvent(Busy);
        for (var i = 0; i < Busy; i++)
        {
            ThreadPool.UnsafeQueueUserWorkItem(_ =>
            {
                free.WaitHandle.WaitOne();
                ended.Signal();
            }, null);
        }

        var timer = new Thread(() => system.Scheduler.Advanced.ScheduleOnce(TimeSpan.FromHours(1), () => { }));
        timer.Start();
        var set = timer.Join(TimeSpan.FromSeconds(5));
        free.Set();
        ended.Wait();

        Assert.True(set);
        await system.Terminate();
    }
}

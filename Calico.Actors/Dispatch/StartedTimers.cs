using Akka.Actor;

namespace Calico.Actors.Dispatch;

/// <summary>
/// Has Akka's timer wheel turning before the first of our actors exists. The wheel starts with the first timer: it queues its
/// loop on the thread pool and blocks whoever set that timer until the loop runs. When many actors set their first timers at one
/// time, each blocks a thread of the pool, and the loop stands in line behind them for as long as the pool takes to
/// grow: minutes, in which nothing of the process moves. Here the one who makes the system waits, alone.
/// </summary>
public sealed class StartedTimers : ExtensionIdProvider<StartedTimers.Turning>
{
    /// <summary>Loads this while a system is made.</summary>
    internal const string Hocon = """
        akka.extensions = ["Calico.Actors.Dispatch.StartedTimers, Calico.Actors"]

        """;

    public override Turning CreateExtension(ExtendedActorSystem system)
    {
        system.Scheduler.Advanced.ScheduleOnce(TimeSpan.Zero, static () => { });
        return new Turning();
    }

    /// <summary>That the wheel turns.</summary>
    public sealed class Turning : IExtension;
}

using Akka.Actor;
using Akka.Event;

namespace Calico.Actors;

/// <summary>
/// Ends the actor system when an actor that it cannot do without has stopped: its supervisor has given up restarting
/// it, and a system that looks alive and does half its work is worse than one that starts again.
/// </summary>
public sealed class SentinelActor : ReceiveActor
{
    public static Props Props(params IActorRef[] indispensable) => Akka.Actor.Props.Create(() => new SentinelActor(indispensable));

    public SentinelActor(IActorRef[] indispensable)
    {
        var log = Context.GetLogger();
        foreach (var actor in indispensable)
            Context.Watch(actor);
        Receive<Terminated>(gone =>
        {
            // Whoever stops the system stops these, too, in no order.
            if (CoordinatedShutdown.Get(Context.System).ShutdownReason is not null)
                return;
            log.Error("{Actor} has stopped for good; {System} ends", gone.ActorRef.Path, Context.System.Name);
            _ = Context.System.Terminate();
        });
    }
}

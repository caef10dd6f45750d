using Akka.Actor;
using Calico.Core.Feed;

namespace Calico.Actors.Feed;

/// <summary>
/// The policies that this member's policy owners have compiled, with the members of their sets, as a log from which
/// every node pulls. One per member. Its death makes readers start over under a new epoch and the owners publish again.
/// </summary>
public sealed class PolicyLogActor : ReceiveActor
{
    private readonly LogServer _server;

    public static Props Props(TimeProvider time) => Akka.Actor.Props.Create(() => new PolicyLogActor(time));

    public PolicyLogActor(TimeProvider time)
    {
        _server = new LogServer(FeedName.Policies, LogServer.NewLog(time));

        Receive<FeedProtocol.Pull>(p => _server.Serve(p, Sender, Self));
        Receive<FeedProtocol.Publish>(p => _server.Apply(p.Items, Self));
    }
}

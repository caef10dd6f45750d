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

    public static Props Props(long epoch) => Akka.Actor.Props.Create(() => new PolicyLogActor(epoch));

    public PolicyLogActor(long epoch)
    {
        _server = new LogServer(FeedName.Policies, new FeedLog(epoch));

        Receive<FeedProtocol.Pull>(p => _server.Serve(p, Sender, Self));
        Receive<FeedProtocol.Publish>(p => _server.Apply(p.Items, Self));
    }
}

using System.Collections.Immutable;
using Akka.Actor;
using Calico.Actors.Bgp;
using Calico.Core.Net;

namespace Calico.Actors.Routing;

/// <summary>
/// To whom the routing actor has told what. It outlives the actor: its successor must be able to take back what it finds
/// gone, also when the news is in its mailbox already.
/// </summary>
public sealed class RoutingIntroductions
{
    public IActorRef Speaker { get; set; } = ActorRefs.Nobody;
    public BgpProtocol.ConfigureSpeaker? Configuration { get; set; }

    /// <summary>Announced by the speaker.</summary>
    public ImmutableHashSet<Cidr> Announced { get; set; } = [];

    /// <summary>Blackholed by the writer.</summary>
    public ImmutableArray<Cidr> Blocks { get; set; } = [];

    /// <summary>What the API server told of Secrets.</summary>
    public KubeSecrets Secrets { get; } = new();

    /// <summary>Wanted of the writer.</summary>
    public PeerRoutes PeerRoutes { get; } = new();

    /// <summary>Told to the writer of links.</summary>
    public WorkloadPeers WorkloadPeers { get; } = new();

    public void Tell(BgpProtocol.IBgpMessage message) => Speaker.Tell(message);
}

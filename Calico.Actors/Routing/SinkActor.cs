using Akka.Actor;
using Calico.Actors.Bgp;

namespace Calico.Actors.Routing;

/// <summary>Stands where a router's routes would go: for a reflector that forwards no packets.</summary>
internal sealed class SinkActor : ReceiveActor
{
    private BgpProtocol.ConfigureSpeaker? _configuration;
    private IActorRef _speaker = ActorRefs.Nobody;

    public SinkActor()
    {
        Receive<BgpProtocol.SpeakerStarted>(_ =>
        {
            _speaker = Sender;
            _speaker.Tell(new BgpProtocol.OriginationComplete());
            if (_configuration is not null)
                _speaker.Tell(_configuration);
        });
        Receive<BgpProtocol.ConfigureSpeaker>(c =>
        {
            _configuration = new BgpProtocol.ConfigureSpeaker(c.Config with { HasRouteTarget = false });
            _speaker.Tell(_configuration);
        });
        Receive<BgpProtocol.InitialConvergence>(_ => { });
    }
}

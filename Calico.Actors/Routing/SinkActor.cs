using Akka.Actor;
using Calico.Actors.Bgp;

namespace Calico.Actors.Routing;

/// <summary>Takes a speaker's best routes and does nothing with them: for a reflector that forwards no packets.</summary>
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
            _configuration = c;
            _speaker.Tell(c);
        });
        Receive<BgpProtocol.BestRoutesChanged>(best => Sender.Tell(new BgpProtocol.BestRoutesApplied(best.Sequence)));
        Receive<BgpProtocol.InitialConvergence>(_ => { });
    }
}

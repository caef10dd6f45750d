using System.Collections.Immutable;
using Akka.Actor;
using Akka.Event;
using Calico.Actors.Bgp;
using Calico.Actors.Dataplane;
using Calico.Actors.Protocol;
using Calico.Core.Bgp.Rib;
using Calico.Core.Model.Kubernetes;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Routes;

namespace Calico.Actors.Routing;

/// <summary>
/// Makes a speaker outside a cluster a router: its best routes go to the writer of routes, and the kernel's other routes
/// tell it how next hops are reached.
/// </summary>
internal sealed class RouterActor : ReceiveActor, IWithTimers
{
    private readonly IActorRef _writer;
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly NextHopFollower _nextHops;
    private readonly PeerRoutes _peerRoutes = new();
    private readonly bool _restarting;
    private BgpProtocol.ConfigureSpeaker? _configuration;
    private IActorRef _speaker = ActorRefs.Nobody;

    public ITimerScheduler Timers { get; set; } = null!;

    public static Props Props(INetworkNamespace host, IActorRef writer) => Akka.Actor.Props.Create(() => new RouterActor(host, writer));

    public RouterActor(INetworkNamespace host, IActorRef writer)
    {
        _writer = writer;
        _nextHops = new NextHopFollower(host, KubeNames.DefaultInterfacePrefix, withInterfaces: true);
        _restarting = _nextHops.HasRoutesOfOurs;

        Receive<BgpProtocol.SpeakerStarted>(_ =>
        {
            _speaker = Sender;
            Introduce();
        });
        Receive<BgpProtocol.ConfigureSpeaker>(c =>
        {
            _configuration = new BgpProtocol.ConfigureSpeaker(c.Config with { Restarting = _restarting });
            _speaker.Tell(_configuration);
            if (_peerRoutes.Take(c.Config) is not { } change)
                return;
            _writer.Tell(change);
            if (_nextHops.Reach(KnownNeighbours.None with { Gateways = _peerRoutes.Gateways }) is { } news)
                _speaker.Tell(news);
        });
        Receive<BgpProtocol.BestRoutesChanged>(OnBest);
        Receive<BgpProtocol.InitialConvergence>(converged => _writer.Tell(LearnedRoutes.Converged(converged, _log)));
        Receive<RouteProtocol.RoutesCommitted>(c => _speaker.Tell(new BgpProtocol.BestRoutesApplied(c.RequestId)));
        Receive<NextHopFollower.Tick>(t =>
        {
            if (_nextHops.Heard(t, Timers) is { } news)
                _speaker.Tell(news);
        });
        Receive<KernelWatch.Failed>(f => throw f.ToException());
    }

    protected override void PreStart()
    {
        foreach (var source in Enum.GetValues<RouteSource>().Where(s => s != RouteSource.Bgp))
            _writer.Tell(new RouteProtocol.SourceComplete(source));
        _nextHops.Start(Self);
    }

    protected override void PostStop() => _nextHops.Dispose();

    private void Introduce()
    {
        _speaker.Tell(_nextHops.Everything);
        _speaker.Tell(new BgpProtocol.OriginationComplete());
        if (_configuration is not null)
            _speaker.Tell(_configuration);
    }

    private void OnBest(BgpProtocol.BestRoutesChanged best)
    {
        var wanted = ImmutableArray.CreateBuilder<Route>();
        var unwanted = ImmutableArray.CreateBuilder<RouteKey>();
        foreach (var route in best.Routes)
        {
            if (route.IsGone)
                unwanted.Add(KernelRoutes.KeyOf(route.Prefix));
            else if (KernelRoutes.Of(route, _ => true) is { } kernel)
                wanted.Add(kernel);
        }
        _writer.Tell(new RouteProtocol.ChangeRoutes(RouteSource.Bgp, wanted.ToImmutable(), unwanted.ToImmutable(), best.Sequence));
    }
}

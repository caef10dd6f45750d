using System.Collections.Immutable;
using Akka.Actor;
using Akka.Event;
using Calico.Actors.Bgp;
using Calico.Actors.Dataplane;
using Calico.Actors.Protocol;
using Calico.Core.Bgp.Rib;
using Calico.Core.Model.Kubernetes;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Routes;

namespace Calico.Actors.Routing;

/// <summary>
/// Makes a speaker outside a cluster a router: its best routes go to the writer of routes, and the kernel's other routes
/// tell it how next hops are reached.
/// </summary>
internal sealed class RouterActor : ReceiveActor, IWithTimers
{
    private sealed class Seen : ITick
    {
        public static readonly Seen Instance = new();
    }

    private sealed class Look : ITick
    {
        public static readonly Look Instance = new();
    }

    /// <summary>Kernel route changes come in bursts; they are looked at together after this long.</summary>
    private static readonly TimeSpan Settle = TimeSpan.FromMilliseconds(50);

    private readonly IActorRef _writer;
    private readonly IRouteTable _routes;
    private readonly ILinkTable _links;
    private readonly IKernelMonitor _monitor;
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly CancellationTokenSource _stopped = new();
    private readonly bool _restarting;
    private BgpProtocol.ConfigureSpeaker? _configuration;
    private IActorRef _speaker = ActorRefs.Nobody;
    private KernelNextHops _nextHops;

    public ITimerScheduler Timers { get; set; } = null!;

    public static Props Props(INetworkNamespace host, IActorRef writer) => Akka.Actor.Props.Create(() => new RouterActor(host, writer));

    public RouterActor(INetworkNamespace host, IActorRef writer)
    {
        _writer = writer;
        _routes = host.OpenRoutes();
        _links = host.OpenLinks();
        _monitor = host.OpenMonitor(KernelEventGroups.RoutesV4 | KernelEventGroups.RoutesV6 | KernelEventGroups.Links);
        _nextHops = ReadNextHops();
        // Routes of an earlier life are still there: to the peers this is a graceful restart.
        _restarting = _routes.Dump(new RouteFilter(Protocol: RouteWriterOptions.CalicoProtocol)).Any(r => r.Kind is RouteKind.Unicast);

        Receive<BgpProtocol.SpeakerStarted>(_ =>
        {
            _speaker = Sender;
            Introduce();
        });
        Receive<BgpProtocol.ConfigureSpeaker>(c =>
        {
            _configuration = new BgpProtocol.ConfigureSpeaker(c.Config with { Restarting = _restarting });
            _speaker.Tell(_configuration);
        });
        Receive<BgpProtocol.BestRoutesChanged>(OnBest);
        Receive<BgpProtocol.InitialConvergence>(OnConverged);
        Receive<RouteProtocol.RoutesCommitted>(c => _speaker.Tell(new BgpProtocol.BestRoutesApplied(c.RequestId)));
        Receive<Seen>(_ =>
        {
            if (!Timers.IsTimerActive(nameof(Look)))
                Timers.StartSingleTimer(nameof(Look), Look.Instance, Settle);
        });
        Receive<KernelWatch.Failed>(f => throw f.ToException());
        Receive<Look>(_ => OnLook());
    }

    protected override void PreStart()
    {
        foreach (var source in Enum.GetValues<RouteSource>().Where(s => s != RouteSource.Bgp))
            _writer.Tell(new RouteProtocol.SourceComplete(source));
        _ = KernelWatch.FollowAsync(_monitor, Self, events => events.Any(e => KernelNextHops.MayChange(e, KubeNames.DefaultInterfacePrefix)) ? Seen.Instance : null, _stopped.Token);
    }

    protected override void PostStop()
    {
        _stopped.Cancel();
        _monitor.Dispose();
        _routes.Dispose();
        _links.Dispose();
        _stopped.Dispose();
    }

    private void Introduce()
    {
        _speaker.Tell(new BgpProtocol.NextHopsChanged(_nextHops, []));
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

    private void OnConverged(BgpProtocol.InitialConvergence converged)
    {
        if (!converged.Complete)
            _log.Warning("bgp: not every peer has told its routes: {Missing}", string.Join(", ", converged.Missing));
        _writer.Tell(new RouteProtocol.SourceComplete(RouteSource.Bgp));
    }

    private void OnLook()
    {
        var now = ReadNextHops();
        if (now.SameAs(_nextHops))
            return;
        _nextHops = now;
        _speaker.Tell(new BgpProtocol.NextHopsChanged(now, []));
    }

    private KernelNextHops ReadNextHops() => new(_routes.Dump(new RouteFilter()), _links.Dump().ToDictionary(l => l.Index, l => l.Name));
}

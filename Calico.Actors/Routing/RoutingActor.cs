using System.Collections.Immutable;
using Akka.Actor;
using Akka.Event;
using Calico.Actors.Bgp;
using Calico.Actors.Dataplane;
using Calico.Actors.Endpoints;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Actors.Protocol;
using Calico.Core.Bgp.Services;
using Calico.Core.Feed;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Net;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Routes;

namespace Calico.Actors.Routing;

/// <summary>
/// Joins the parts that make this node a router: tells the BGP speaker whom to talk to and which blocks are ours, and
/// the writer of routes what the speaker learned. Below /user, parent of neither.
/// <code>
///   resources ──► Peering ──► speaker ──► best routes ──► [wanted here?] ──► route writer ──► kernel
///   lease: blocks held ──► speaker (originate) and route writer (blackhole)
///   registry: addresses of workloads ──► [in no block held?] ──► speaker (originate)
///   BGPConfiguration: ranges of services ──► speaker (originate)
///   kernel's other routes ──► next hops ──► speaker
/// </code>
/// </summary>
public sealed class RoutingActor : ReceiveActor, IWithTimers
{
    private sealed class Seen : ITick
    {
        public static readonly Seen Instance = new();
    }
    private sealed class Look : ITick
    {
        public static readonly Look Instance = new();
    }

    private sealed class LookForSecrets : ITick
    {
        public static readonly LookForSecrets Instance = new();
    }

    /// <summary>Kernel route changes come in bursts; they are looked at together after this long.</summary>
    private static readonly TimeSpan Settle = TimeSpan.FromMilliseconds(50);

    private readonly string _workloadPrefix;
    private readonly IActorRef _upstream;
    private readonly IActorRef _lease;
    private readonly IActorRef _registry;
    private readonly IActorRef _writer;
    private readonly RoutingIntroductions _introduced;
    private readonly IRouteTable _routes;
    private readonly ILinkTable _links;
    private readonly IKernelMonitor _monitor;
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly CancellationTokenSource _stopped = new();
    private readonly RoutingOptions _options;
    private readonly PeeringResources _resources;
    private readonly LearnedRoutes _learned;
    private readonly OwnPrefixes _own = new();
    private readonly Announcer _announcer;
    private readonly Configurator _configurator;

    private KernelNextHops _nextHops;
    private readonly IActorRef _services;
    private ServiceRanges? _offered;
    private ImmutableSortedSet<Cidr>? _serviceRoutes;
    private bool _inSync;

    public ITimerScheduler Timers { get; set; } = null!;

    public static Props Props(string node, string workloadPrefix, INetworkNamespace host, IActorRef upstream, IActorRef lease, IActorRef registry, IActorRef writer,
        RoutingOptions? options = null)
    {
        var introduced = new RoutingIntroductions();
        var chosen = options ?? new RoutingOptions();
        return Akka.Actor.Props.Create(() => new RoutingActor(node, workloadPrefix, host, upstream, lease, registry, writer, chosen, introduced));
    }

    public RoutingActor(string node, string workloadPrefix, INetworkNamespace host, IActorRef upstream, IActorRef lease, IActorRef registry, IActorRef writer,
        RoutingOptions options, RoutingIntroductions introduced)
    {
        _introduced = introduced;
        _options = options;
        _resources = new PeeringResources(new PeeringInputs(node) { RouterId = options.RouterId, Secret = new SecretFiles(options.SecretsDirectory).Read },
            options.ServiceRanges);
        _learned = new LearnedRoutes(_resources);
        _announcer = new Announcer(_own, introduced);
        _configurator = new Configurator(_resources, introduced, _log);
        _services = options.Services is { } objects ? Context.ActorOf(ServicesActor.Props(objects, options.KubernetesName ?? node), "services") : ActorRefs.Nobody;
        _workloadPrefix = workloadPrefix;
        _upstream = upstream;
        _lease = lease;
        _registry = registry;
        _writer = writer;
        _routes = host.OpenRoutes();
        _links = host.OpenLinks();
        _monitor = host.OpenMonitor(KernelEventGroups.RoutesV4 | KernelEventGroups.RoutesV6 | KernelEventGroups.Links);
        _nextHops = ReadNextHops();

        Receive<UpstreamProtocol.ResourcesChanged>(OnResources);
        Receive<UpstreamProtocol.MembersChanged>(_ => { });
        Receive<UpstreamProtocol.PoliciesChanged>(_ => { });
        Receive<LeaseProtocol.HeldBlocks>(OnHeld);
        Receive<RegistryProtocol.AddressesChanged>(OnAddresses);
        Receive<BgpProtocol.SpeakerStarted>(_ => OnSpeakerStarted());
        Receive<BgpProtocol.BestRoutesChanged>(best => _writer.Tell(_learned.Take(best)));
        Receive<BgpProtocol.InitialConvergence>(OnConverged);
        Receive<RouteProtocol.RoutesCommitted>(c => _introduced.Tell(new BgpProtocol.BestRoutesApplied(c.RequestId)));
        Receive<Seen>(_ =>
        {
            if (!Timers.IsTimerActive(nameof(Look)))
                Timers.StartSingleTimer(nameof(Look), Look.Instance, Settle);
        });
        Receive<KernelWatch.Failed>(f => throw f.ToException());
        Receive<Look>(_ => OnLook());
        Receive<ServiceProtocol.RoutesChanged>(m =>
        {
            _serviceRoutes = m.Routes;
            OfferServices();
        });
        Receive<LookForSecrets>(_ => _configurator.Configure());
    }

    protected override void PreStart()
    {
        _configurator.Restarting = _routes.Dump(new RouteFilter(Protocol: RouteWriterOptions.CalicoProtocol)).Any(r => r.Kind is RouteKind.Unicast);
        _upstream.Tell(new UpstreamProtocol.Subscribe(Self));
        _lease.Tell(new LeaseProtocol.Subscribe(Self));
        _registry.Tell(new RegistryProtocol.FollowAddresses(Self));
        _ = KernelWatch.FollowAsync(_monitor, Self, events => events.Any(e => KernelNextHops.MayChange(e, _workloadPrefix)) ? Seen.Instance : null, _stopped.Token);
    }

    // Upstream and lease tell the successor everything when it subscribes; the speaker is introduced and asked here.
    protected override void PostRestart(Exception reason)
    {
        base.PostRestart(reason);
        Introduce();
        if (_introduced.Configuration is not null)
            _introduced.Tell(new BgpProtocol.RepeatBestRoutes());
    }

    protected override void PostStop()
    {
        _stopped.Cancel();
        _monitor.Dispose();
        _routes.Dispose();
        _links.Dispose();
        _stopped.Dispose();
    }

    // The first speaker, or one that lost its memory: neither knows anything.
    private void OnSpeakerStarted()
    {
        _introduced.Speaker = Sender;
        Introduce();
    }

    private void Introduce()
    {
        _introduced.Tell(new BgpProtocol.NextHopsChanged(_nextHops, []));
        _announcer.Introduce();
        if (_introduced.Configuration is { } configuration)
            _introduced.Tell(configuration);
    }

    // ---- whom to talk to -----------------------------------------------------------------------------------------

    private void OnResources(UpstreamProtocol.ResourcesChanged changed)
    {
        var peering = false;
        foreach (var item in changed.Items)
        {
            if (IpamKeys.TryParseAffinity(item.Key, out var host, out var block))
            {
                if (_learned.Take(host, block, item.Value is not null) is { } change)
                    _writer.Tell(change);
            }
            else if (ResourceKey.TryParse(item.Key, out var key))
                peering |= TryTake(key, item);
        }
        if (peering)
            OnPeeringChanged();
        if (!changed.InSync || _inSync)
            return;
        _inSync = true;
        OfferServices();
        if (_resources.NeedsSecrets && !Timers.IsTimerActive(nameof(LookForSecrets)))
            Timers.StartPeriodicTimer(nameof(LookForSecrets), LookForSecrets.Instance, _options.SecretsEvery);
    }

    // The ranges at once, single addresses when it is known where their services are.
    private void OfferServices()
    {
        if (_offered != _resources.OfferedRanges && _inSync)
            _services.Tell(new ServiceProtocol.UseRanges(_offered = _resources.OfferedRanges));
        var isNew = _own.SetServices(_resources.AdvertisedRanges.Concat(_serviceRoutes ?? []));
        var knows = _inSync && (_serviceRoutes is not null || _services.IsNobody());
        if (isNew || knows != _own.KnowsResources)
        {
            _own.KnowsResources = knows;
            _announcer.Update();
        }
    }

    private void OnPeeringChanged()
    {
        OfferServices();
        if (_resources.TryTakeServiceRanges(out var different) && _learned.Inside(different) is { } change)
            _writer.Tell(change);
        _announcer.SetPriorities(_resources.Inputs.NormalPriority(IpVersion.V4), _resources.Inputs.NormalPriority(IpVersion.V6));
        if (_resources.NeedsInterfaces && !_nextHops.KnowsInterfaces)
            OnLook();
        _configurator.Configure();
    }

    private bool TryTake(ResourceKey key, FeedItem item)
    {
        try
        {
            if (key.Kind == ResourceKind.IPPool)
                TakePool(key, item);
            return _resources.Take(key, item);
        }
        catch (InvalidResourceException e)
        {
            _log.Error("{Key} cannot be read and stays as it was: {Cause}", key, e.Message);
            return false;
        }
    }

    // ---- what is ours --------------------------------------------------------------------------------------------

    private void OnHeld(LeaseProtocol.HeldBlocks held)
    {
        if (!held.Loaded)
            return;
        var gained = held.Blocks.Keys.Except(_own.Blocks ?? []).ToImmutableArray();
        var lost = _introduced.Blocks.Except(held.Blocks.Keys).ToImmutableArray();
        var isFirst = _own.Blocks is null;
        _own.Blocks = [.. held.Blocks.Keys];
        _introduced.Blocks = [.. held.Blocks.Keys];
        _announcer.Update(lost);
        if (_resources.SetBlocks(_own.Blocks))
            _configurator.Configure();
        _writer.Tell(new RouteProtocol.ChangeRoutes(RouteSource.Blocks, [.. gained.Where(b => !b.IsHost).Select(Blackhole)],
            [.. lost.Select(b => Blackhole(b).Key)]));
        if (isFirst)
            _writer.Tell(new RouteProtocol.SourceComplete(RouteSource.Blocks));
    }

    private void OnAddresses(RegistryProtocol.AddressesChanged changed)
    {
        _own.Learn(changed.Added, changed.Removed, changed.IsAll);
        if (changed.IsAll)
            _announcer.Update();
        else
            _announcer.Update([.. changed.Added.Where(_own.IsAlone).Select(Cidr.Host)], [.. changed.Removed.Select(Cidr.Host).Where(_introduced.Announced.Contains)]);
    }

    private void TakePool(ResourceKey key, FeedItem item)
    {
        var pool = item.Value is { } value ? (IPPool)ResourceCodec.Decode(key.Kind, value.Span) : null;
        if (_own.SetPool(key.Name, Cidr.TryParse(pool?.Spec.Cidr, out var cidr) ? cidr : null))
            _announcer.Update();
    }

    private static Route Blackhole(Cidr block) => new(KernelRoutes.KeyOf(block), RouteKind.Blackhole, RouteWriterOptions.CalicoProtocol, []);

    // ---- what was learned ----------------------------------------------------------------------------------------

    private void OnConverged(BgpProtocol.InitialConvergence converged)
    {
        if (!converged.Complete)
            _log.Warning("bgp: not every peer has told its routes: {Missing}", string.Join(", ", converged.Missing));
        _writer.Tell(new RouteProtocol.SourceComplete(RouteSource.Bgp));
    }

    // ---- how next hops are reached -------------------------------------------------------------------------------

    private void OnLook()
    {
        var now = ReadNextHops();
        if (now.SameAs(_nextHops))
            return;
        _nextHops = now;
        _introduced.Tell(new BgpProtocol.NextHopsChanged(now, []));
    }

    private KernelNextHops ReadNextHops() => new(_routes.Dump(new RouteFilter()),
        _resources.NeedsInterfaces ? _links.Dump().ToDictionary(l => l.Index, l => l.Name) : null);
}

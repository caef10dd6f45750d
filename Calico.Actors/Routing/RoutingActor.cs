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
    private sealed class LookForSecrets : ITick
    {
        public static readonly LookForSecrets Instance = new();
    }

    private readonly IActorRef _upstream;
    private readonly IActorRef _lease;
    private readonly IActorRef _registry;
    private readonly IActorRef _writer;
    private readonly IActorRef _links;
    private readonly string _workloadPrefix;
    private readonly RoutingIntroductions _introduced;
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly RoutingOptions _options;
    private readonly PeeringResources _resources;
    private readonly LearnedRoutes _learned;
    private readonly OwnPrefixes _own = new();
    private readonly Announcer _announcer;
    private readonly Configurator _configurator;
    private readonly NextHopFollower _nextHops;
    private readonly NodePresence _presence = new();
    private readonly IActorRef _services;
    private readonly IActorRef _secrets;
    private ServiceRanges? _offered;
    private ImmutableSortedSet<Cidr>? _serviceRoutes;
    private ImmutableSortedSet<string> _secretNames = [];
    private bool _inSync;

    public ITimerScheduler Timers { get; set; } = null!;

    public static Props Props(string node, string workloadPrefix, INetworkNamespace host, IActorRef upstream, IActorRef lease, IActorRef registry, IActorRef writer,
        RoutingOptions? options = null, IActorRef? links = null)
    {
        var introduced = new RoutingIntroductions();
        var chosen = options ?? new RoutingOptions();
        return Akka.Actor.Props.Create(() => new RoutingActor(node, workloadPrefix, host, upstream, lease, registry, writer, links ?? ActorRefs.Nobody, chosen, introduced));
    }

    public RoutingActor(string node, string workloadPrefix, INetworkNamespace host, IActorRef upstream, IActorRef lease, IActorRef registry, IActorRef writer,
        IActorRef links, RoutingOptions options, RoutingIntroductions introduced)
    {
        _introduced = introduced;
        _options = options;
        _resources = new PeeringResources(new PeeringInputs(node) { RouterId = options.RouterId, LongLivedTime = options.LongLivedTime, Bfd = options.Bfd, Secret = SecretOf(new SecretFiles(options.SecretsDirectory), introduced.Secrets) },
            options.ServiceRanges);
        _learned = new LearnedRoutes(_resources);
        _announcer = new Announcer(_own, introduced);
        _configurator = new Configurator(_resources, introduced, _log);
        _services = options.Services is { } objects ? Context.ActorOf(ServicesActor.Props(objects, options.KubernetesName ?? node), "services") : ActorRefs.Nobody;
        _secrets = options is { Services: { } kubernetes, SecretsNamespace: { } ns } ? Context.ActorOf(SecretsActor.Props(kubernetes, ns), "secrets") : ActorRefs.Nobody;
        _upstream = upstream;
        _lease = lease;
        _registry = registry;
        _writer = writer;
        _links = links;
        _workloadPrefix = workloadPrefix;
        _nextHops = new NextHopFollower(host, workloadPrefix, withInterfaces: false, Neighbours);

        Receive<UpstreamProtocol.ResourcesChanged>(OnResources);
        Receive<UpstreamProtocol.MembersChanged>(m => GiveUp(_presence.Learn(m.Members.Select(member => member.Node))));
        Receive<UpstreamProtocol.PoliciesChanged>(_ => { });
        Receive<LeaseProtocol.HeldBlocks>(OnHeld);
        Receive<RegistryProtocol.AddressesChanged>(OnAddresses);
        Receive<BgpProtocol.SpeakerStarted>(_ => OnSpeakerStarted());
        Receive<BgpProtocol.BestRoutesChanged>(best => _writer.Tell(_learned.Take(best)));
        Receive<BgpProtocol.InitialConvergence>(converged =>
        {
            _writer.Tell(LearnedRoutes.Converged(converged, _log));
            // Nothing converges before there is a configuration.
            _writer.Tell(new RouteProtocol.SourceComplete(RouteSource.Peers));
        });
        Receive<RouteProtocol.RoutesCommitted>(c => _introduced.Tell(new BgpProtocol.BestRoutesApplied(c.RequestId)));
        Receive<NextHopFollower.Tick>(t => TellNextHops(_nextHops.Heard(t, Timers)));
        Receive<KernelWatch.Failed>(f => throw f.ToException());
        Receive<ServiceProtocol.RoutesChanged>(m =>
        {
            _serviceRoutes = m.Routes;
            OfferServices();
        });
        Receive<LookForSecrets>(_ => Configure());
        Receive<SecretProtocol.SecretChanged>(m =>
        {
            _introduced.Secrets.Learn(m.Name, m.Json);
            Configure();
        });
    }

    protected override void PreStart()
    {
        _configurator.Restarting = _nextHops.HasRoutesOfOurs;
        _upstream.Tell(new UpstreamProtocol.Subscribe(Self));
        _lease.Tell(new LeaseProtocol.Subscribe(Self));
        _registry.Tell(new RegistryProtocol.FollowAddresses(Self));
        _nextHops.Start(Self);
    }

    // Upstream and lease tell the successor everything when it subscribes; the speaker is introduced and asked here.
    protected override void PostRestart(Exception reason)
    {
        base.PostRestart(reason);
        Introduce();
        if (_introduced.Configuration is not null)
            _introduced.Tell(new BgpProtocol.RepeatBestRoutes());
    }

    protected override void PostStop() => _nextHops.Dispose();

    // The first speaker, or one that lost its memory: neither knows anything.
    private void OnSpeakerStarted()
    {
        _introduced.Speaker = Sender;
        Introduce();
    }

    private void Introduce()
    {
        _introduced.Tell(_nextHops.Everything);
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
                OnAffinity(host, block, item.Value is not null);
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

    private void OnAffinity(string host, Cidr block, bool exists)
    {
        if (_learned.Take(host, block, exists) is { } change)
            _writer.Tell(change);
        if (_presence.Learn(host, block, exists))
            GiveUp([host]);
    }

    // Their addresses may be given to others from now on.
    private void GiveUp(List<string> nodes)
    {
        var addresses = nodes.Select(n => _resources.Inputs.Nodes.GetValueOrDefault(n)).OfType<NodeResource>()
            .SelectMany(n => new[] { Peering.AddressOf(n, v4: true), Peering.AddressOf(n, v4: false) }).OfType<IpAddr>().ToImmutableArray();
        if (!addresses.IsEmpty)
            _introduced.Tell(new BgpProtocol.PeersGone(addresses, $"{string.Join(", ", nodes)} left the mesh and holds no block"));
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
        if (_resources.SecretNames is var secrets && !secrets.SetEquals(_secretNames))
            _secrets.Tell(new SecretProtocol.UseSecrets(_secretNames = secrets));
        if (_resources.NeedsInterfaces)
            TellNextHops(_nextHops.NameInterfaces());
        Configure();
    }

    private KnownNeighbours Neighbours => new(_introduced.PeerRoutes.Gateways, _introduced.WorkloadPeers.Links);

    // A mounted file is nearer than the API server.
    private static Func<string, string, string?> SecretOf(SecretFiles files, KubeSecrets secrets) => (name, key) => files.Read(name, key) ?? secrets.Read(name, key);

    private void Configure()
    {
        _configurator.Configure();
        if (_introduced.Configuration is not { Config: var config })
            return;
        var routes = _introduced.PeerRoutes.Take(config);
        var addresses = _introduced.WorkloadPeers.Take(config, _resources.Inputs.Global, _workloadPrefix);
        if (routes is not null)
            _writer.Tell(routes);
        if (addresses is not null)
            _links.Tell(addresses);
        TellNextHops(_nextHops.Reach(Neighbours));
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
            Configure();
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

    // ---- how next hops are reached -------------------------------------------------------------------------------

    private void TellNextHops(BgpProtocol.NextHopsChanged? news)
    {
        if (news is not null)
            _introduced.Tell(news);
    }
}

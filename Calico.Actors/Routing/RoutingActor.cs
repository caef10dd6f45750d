using System.Collections.Immutable;
using Akka.Actor;
using Akka.Event;
using Calico.Actors.Bgp;
using Calico.Actors.Dataplane;
using Calico.Actors.Endpoints;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Actors.Protocol;
using Calico.Core.Bgp.Rib;
using Calico.Core.Feed;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Net;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Routes;

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
}

/// <summary>
/// Joins the parts that make this node a router: tells the BGP speaker whom to talk to and which blocks are ours, and
/// the writer of routes what the speaker learned. Below /user, parent of neither.
/// <code>
///   resources ──► Peering ──► speaker ──► best routes ──► [block's owner?] ──► route writer ──► kernel
///   lease: blocks held ──► speaker (originate) and route writer (blackhole)
///   registry: addresses of workloads ──► [in no block held?] ──► speaker (originate)
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
    private readonly IKernelMonitor _monitor;
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly CancellationTokenSource _stopped = new();
    private readonly RoutingOptions _options;
    private readonly PeeringResources _resources;
    private readonly BlockOwners _owners = new();
    private readonly Dictionary<Cidr, BestRoute> _best = [];
    private readonly OwnPrefixes _own = new();

    // Announced by this incarnation, which repeats what an earlier one has announced.
    private ImmutableHashSet<Cidr> _told = [];
    private KernelNextHops _nextHops;
    private bool _restarting;
    private bool _originated;

    // Why there is no configuration, as last logged.
    private string? _silent;

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
        _resources = new PeeringResources(new PeeringInputs(node) { RouterId = options.RouterId, Secret = new SecretFiles(options.SecretsDirectory).Read });
        _workloadPrefix = workloadPrefix;
        _upstream = upstream;
        _lease = lease;
        _registry = registry;
        _writer = writer;
        _routes = host.OpenRoutes();
        _monitor = host.OpenMonitor(KernelEventGroups.RoutesV4 | KernelEventGroups.RoutesV6 | KernelEventGroups.Links);
        _nextHops = ReadNextHops();

        Receive<UpstreamProtocol.ResourcesChanged>(OnResources);
        Receive<UpstreamProtocol.MembersChanged>(_ => { });
        Receive<UpstreamProtocol.PoliciesChanged>(_ => { });
        Receive<LeaseProtocol.HeldBlocks>(OnHeld);
        Receive<RegistryProtocol.AddressesChanged>(OnAddresses);
        Receive<BgpProtocol.SpeakerStarted>(_ => OnSpeakerStarted());
        Receive<BgpProtocol.BestRoutesChanged>(OnBest);
        Receive<BgpProtocol.InitialConvergence>(OnConverged);
        Receive<RouteProtocol.RoutesCommitted>(c => TellSpeaker(new BgpProtocol.BestRoutesApplied(c.RequestId)));
        Receive<Seen>(_ =>
        {
            if (!Timers.IsTimerActive(nameof(Look)))
                Timers.StartSingleTimer(nameof(Look), Look.Instance, Settle);
        });
        Receive<KernelWatch.Failed>(f => throw f.ToException());
        Receive<Look>(_ => OnLook());
        Receive<LookForSecrets>(_ => OnLookForSecrets());
    }

    protected override void PreStart()
    {
        _restarting = _routes.Dump(new RouteFilter(Protocol: RouteWriterOptions.CalicoProtocol)).Any(r => r.Kind is RouteKind.Unicast);
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
            TellSpeaker(new BgpProtocol.RepeatBestRoutes());
    }

    protected override void PostStop()
    {
        _stopped.Cancel();
        _monitor.Dispose();
        _routes.Dispose();
        _stopped.Dispose();
    }

    private void TellSpeaker(BgpProtocol.IBgpMessage message) => _introduced.Speaker.Tell(message);

    // The first speaker, or one that lost its memory: neither knows anything.
    private void OnSpeakerStarted()
    {
        _introduced.Speaker = Sender;
        Introduce();
    }

    private void Introduce()
    {
        TellSpeaker(new BgpProtocol.NextHopsChanged(_nextHops, []));
        if (!_told.IsEmpty)
            TellSpeaker(new BgpProtocol.OriginateRoutes([.. _told.Order().Select(OriginatedRoute.Of)], []));
        if (_originated)
            TellSpeaker(new BgpProtocol.OriginationComplete());
        if (_introduced.Configuration is { } configuration)
            TellSpeaker(configuration);
    }

    // ---- whom to talk to -----------------------------------------------------------------------------------------

    private void OnResources(UpstreamProtocol.ResourcesChanged changed)
    {
        var peering = false;
        foreach (var item in changed.Items)
        {
            if (IpamKeys.TryParseAffinity(item.Key, out var host, out var block))
                OnAffinity(host, block, item.Value is not null);
            else if (ResourceKey.TryParse(item.Key, out var key))
                peering |= TryTake(key, item);
        }
        if (peering)
            Configure();
        if (_resources.NeedsSecrets && !Timers.IsTimerActive(nameof(LookForSecrets)))
            Timers.StartPeriodicTimer(nameof(LookForSecrets), LookForSecrets.Instance, _options.SecretsEvery);
    }

    private void Configure()
    {
        if (!Peering.TryOf(_resources.Inputs, out var config, out var why))
        {
            if (why != _silent && _resources.Inputs.Nodes.ContainsKey(_resources.Inputs.Node))
                _log.Warning("bgp: the speaker stays as it is: {Reason}", why);
            _silent = why;
            return;
        }
        _silent = null;
        _introduced.Configuration = new BgpProtocol.ConfigureSpeaker(config with { Restarting = _restarting });
        TellSpeaker(_introduced.Configuration);
    }

    private void OnLookForSecrets()
    {
        if (_introduced.Configuration is { } now && Peering.Of(_resources.Inputs) is { } next
            && !(next.Peers.SequenceEqual(now.Config.Peers) && next.Withheld.SequenceEqual(now.Config.Withheld)))
            Configure();
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
        Announce();
        _writer.Tell(new RouteProtocol.ChangeRoutes(RouteSource.Blocks, [.. gained.Where(b => !b.IsHost).Select(Blackhole)],
            [.. lost.Select(b => Blackhole(b).Key)]));
        if (isFirst)
            _writer.Tell(new RouteProtocol.SourceComplete(RouteSource.Blocks));
    }

    private void OnAddresses(RegistryProtocol.AddressesChanged changed)
    {
        _own.Learn(changed.Added, changed.Removed, changed.IsAll);
        if (changed.IsAll)
            Announce();
        else
            Announce([.. changed.Added.Where(_own.IsAlone).Select(Cidr.Host)], [.. changed.Removed.Select(Cidr.Host).Where(_introduced.Announced.Contains)]);
    }

    private void TakePool(ResourceKey key, FeedItem item)
    {
        var pool = item.Value is { } value ? (IPPool)ResourceCodec.Decode(key.Kind, value.Span) : null;
        if (_own.SetPool(key.Name, Cidr.TryParse(pool?.Spec.Cidr, out var cidr) ? cidr : null))
            Announce();
    }

    private void Announce()
    {
        if (_own.Blocks is null)
            return;
        var wanted = _own.All.ToHashSet();
        Announce([.. wanted.Where(w => !_told.Contains(w))], [.. _introduced.Announced.Where(a => !wanted.Contains(a))]);
    }

    private void Announce(ImmutableArray<Cidr> gained, ImmutableArray<Cidr> lost)
    {
        if (!gained.IsEmpty || !lost.IsEmpty)
            TellSpeaker(new BgpProtocol.OriginateRoutes([.. gained.Select(OriginatedRoute.Of)], lost));
        _told = _told.Union(gained).Except(lost);
        _introduced.Announced = _introduced.Announced.Union(gained).Except(lost);
        if (_originated || !_own.IsComplete)
            return;
        _originated = true;
        TellSpeaker(new BgpProtocol.OriginationComplete());
    }

    private static Route Blackhole(Cidr block) => new(KernelRoutes.KeyOf(block), RouteKind.Blackhole, RouteWriterOptions.CalicoProtocol, []);

    // ---- what was learned ----------------------------------------------------------------------------------------

    private void OnBest(BgpProtocol.BestRoutesChanged best)
    {
        foreach (var route in best.Routes)
        {
            if (route.IsGone)
                _best.Remove(route.Prefix);
            else
                _best[route.Prefix] = route;
        }
        Write(best.Routes.Select(r => r.Prefix), best.Sequence);
    }

    private void OnConverged(BgpProtocol.InitialConvergence converged)
    {
        if (!converged.Complete)
            _log.Warning("bgp: not every peer has told its routes: {Missing}", string.Join(", ", converged.Missing));
        _writer.Tell(new RouteProtocol.SourceComplete(RouteSource.Bgp));
    }

    // A block that was taken from its holder is not reached through that holder any more, whatever BGP still says.
    private void OnAffinity(string host, Cidr block, bool exists)
    {
        if (_owners.Learn(host, block, exists) && _best.ContainsKey(block))
            Write([block], null);
    }

    private void Write(IEnumerable<Cidr> prefixes, long? sequence)
    {
        var wanted = ImmutableArray.CreateBuilder<Route>();
        var unwanted = ImmutableArray.CreateBuilder<RouteKey>();
        foreach (var prefix in prefixes)
        {
            if (_best.TryGetValue(prefix, out var best) && ToRoute(best) is { } route)
                wanted.Add(route);
            else
                unwanted.Add(KernelRoutes.KeyOf(prefix));
        }
        _writer.Tell(new RouteProtocol.ChangeRoutes(RouteSource.Bgp, wanted.ToImmutable(), unwanted.ToImmutable(), sequence));
    }

    private Route? ToRoute(BestRoute best)
    {
        var suspicious = _owners.HasFormer(best.Prefix);
        return KernelRoutes.Of(best, n => !suspicious || !_owners.IsFormer(NodeAt(n.Peer), best.Prefix));
    }

    private string? NodeAt(IpAddr address) => _resources.Inputs.Nodes.Values
        .Where(n => Peering.AddressOf(n, address.IsV4) == address).Select(n => n.Name).FirstOrDefault();

    // ---- how next hops are reached -------------------------------------------------------------------------------

    private void OnLook()
    {
        var now = ReadNextHops();
        if (now.SameAs(_nextHops))
            return;
        _nextHops = now;
        TellSpeaker(new BgpProtocol.NextHopsChanged(now, []));
    }

    private KernelNextHops ReadNextHops() => new(_routes.Dump(new RouteFilter()));
}

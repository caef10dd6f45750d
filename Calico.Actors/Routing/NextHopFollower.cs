using System.Collections.Immutable;
using Akka.Actor;
using Calico.Actors.Bgp;
using Calico.Actors.Dataplane;
using Calico.Actors.Protocol;
using Calico.Core.Net;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Routes;

namespace Calico.Actors.Routing;

/// <summary>Addresses that are reached as this node itself sees to, by routes of ours: by a gateway, or by a workload's link.</summary>
internal sealed record KnownNeighbours(ImmutableSortedDictionary<IpAddr, IpAddr> Gateways, ImmutableSortedDictionary<IpAddr, string> Workloads)
{
    public static readonly KnownNeighbours None = new(ImmutableSortedDictionary<IpAddr, IpAddr>.Empty, ImmutableSortedDictionary<IpAddr, string>.Empty);
}

/// <summary>
/// How BGP's next hops are reached, as the kernel's other routes say, read again when they change. Owned by one actor: it
/// is given what this tells it, and disposes of it. Not thread-safe.
/// </summary>
internal sealed class NextHopFollower : IDisposable
{
    /// <summary>What the owner gets and hands to <see cref="Heard"/>.</summary>
    public sealed class Tick : ITick
    {
        internal static readonly Tick Seen = new();
        internal static readonly Tick Look = new();
    }

    /// <summary>Kernel route changes come in bursts; they are looked at together after this long.</summary>
    private static readonly TimeSpan Settle = TimeSpan.FromMilliseconds(50);

    private readonly string _workloadPrefix;
    private readonly IRouteTable _routes;
    private readonly ILinkTable _links;
    private readonly IKernelMonitor _monitor;
    private readonly CancellationTokenSource _stopped = new();
    private KernelNextHops _now;
    private bool _withInterfaces;
    private volatile KnownNeighbours _neighbours;

    /// <param name="host">The namespace whose routes count.</param>
    /// <param name="workloadPrefix">Links of workloads, whose changes do not matter.</param>
    /// <param name="withInterfaces">Whether a policy may ask for the name of the interface.</param>
    /// <param name="neighbours">As <see cref="Reach"/> changes them.</param>
    public NextHopFollower(INetworkNamespace host, string workloadPrefix, bool withInterfaces, KnownNeighbours? neighbours = null)
    {
        _neighbours = neighbours ?? KnownNeighbours.None;
        _workloadPrefix = workloadPrefix;
        _withInterfaces = withInterfaces;
        _routes = host.OpenRoutes();
        _links = host.OpenLinks();
        _monitor = host.OpenMonitor(KernelEventGroups.RoutesV4 | KernelEventGroups.RoutesV6 | KernelEventGroups.Links,
            new KernelEventFilter(RouteProtocol: RouteWriterOptions.CalicoProtocol));
        _now = Read();
    }

    /// <summary>For a speaker that knows nothing, and after any change.</summary>
    public BgpProtocol.NextHopsChanged Everything => new(_now, default);

    /// <summary>Whether routes of an earlier life are in the kernel: to the peers this start is a graceful restart then.</summary>
    public bool HasRoutesOfOurs => _routes.Dump(new RouteFilter(Protocol: RouteWriterOptions.CalicoProtocol)).Any(r => r.Kind is RouteKind.Unicast);

    /// <summary>From now on the owner gets ticks, and <see cref="KernelWatch.Failed"/> if there can be no more.</summary>
    public void Start(IActorRef owner) => _ = KernelWatch.FollowAsync(_monitor, owner,
        events => events.Any(e => KernelNextHops.MayChange(e, Counts)) ? Tick.Seen : null, _stopped.Token);

    /// <summary>Returns what to tell the speaker, if anything.</summary>
    public BgpProtocol.NextHopsChanged? Heard(Tick tick, ITimerScheduler timers)
    {
        if (tick == Tick.Look)
            return Look();
        if (!timers.IsTimerActive(nameof(NextHopFollower)))
            timers.StartSingleTimer(nameof(NextHopFollower), Tick.Look, Settle);
        return null;
    }

    /// <summary>From now on interfaces have names; returns what to tell the speaker, if that is new.</summary>
    public BgpProtocol.NextHopsChanged? NameInterfaces()
    {
        if (_withInterfaces)
            return null;
        _withInterfaces = true;
        return Look();
    }

    /// <summary>From now on these addresses are reached in their own ways; returns what to tell the speaker, if that is new.</summary>
    public BgpProtocol.NextHopsChanged? Reach(KnownNeighbours neighbours)
    {
        if (_neighbours.Gateways.SequenceEqual(neighbours.Gateways) && _neighbours.Workloads.SequenceEqual(neighbours.Workloads))
            return null;
        _neighbours = neighbours;
        return Look();
    }

    public void Dispose()
    {
        _stopped.Cancel();
        _monitor.Dispose();
        _routes.Dispose();
        _links.Dispose();
        _stopped.Dispose();
    }

    // Links of workloads come and go, and only those of peers lead anywhere.
    private bool Counts(string link) => !link.StartsWith(_workloadPrefix, StringComparison.Ordinal) || _neighbours.Workloads.ContainsValue(link);

    private BgpProtocol.NextHopsChanged? Look()
    {
        var now = Read();
        if (now.SameAs(_now))
            return null;
        _now = now;
        return Everything;
    }

    private KernelNextHops Read() => new(_routes.Dump(new RouteFilter()), _withInterfaces ? _links.Dump().ToDictionary(l => l.Index, l => l.Name) : null, _neighbours.Gateways,
        _neighbours.Workloads.Select(w => (w.Key, _links.Find(w.Value)?.Index ?? 0)).Where(w => w.Item2 > 0));
}

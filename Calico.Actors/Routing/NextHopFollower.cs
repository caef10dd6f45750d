using Akka.Actor;
using Calico.Actors.Bgp;
using Calico.Actors.Dataplane;
using Calico.Actors.Protocol;
using Calico.Core.Net;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Routes;

namespace Calico.Actors.Routing;

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
    private IReadOnlyDictionary<IpAddr, IpAddr>? _gateways;

    /// <param name="host">The namespace whose routes count.</param>
    /// <param name="workloadPrefix">Links of workloads, whose changes do not matter.</param>
    /// <param name="withInterfaces">Whether a policy may ask for the name of the interface.</param>
    /// <param name="gateways">Of addresses that are reached by one of their own, as <see cref="Reach"/> changes them.</param>
    public NextHopFollower(INetworkNamespace host, string workloadPrefix, bool withInterfaces, IReadOnlyDictionary<IpAddr, IpAddr>? gateways = null)
    {
        _gateways = gateways;
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
        events => events.Any(e => KernelNextHops.MayChange(e, _workloadPrefix)) ? Tick.Seen : null, _stopped.Token);

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

    /// <summary>From now on these addresses are reached by these gateways; returns what to tell the speaker, if that is new.</summary>
    public BgpProtocol.NextHopsChanged? Reach(IReadOnlyDictionary<IpAddr, IpAddr> gateways)
    {
        _gateways = gateways;
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

    private BgpProtocol.NextHopsChanged? Look()
    {
        var now = Read();
        if (now.SameAs(_now))
            return null;
        _now = now;
        return Everything;
    }

    private KernelNextHops Read() => new(_routes.Dump(new RouteFilter()), _withInterfaces ? _links.Dump().ToDictionary(l => l.Index, l => l.Name) : null, _gateways);
}

using Calico.Actors.Dataplane;
using Calico.Core.Bgp.Rib;
using Calico.Core.Net;
using Calico.Kernel.Routes;

namespace Calico.Actors.Routing;

/// <summary>
/// Next hops as the kernel's own routes resolve them: the longest prefix among the routes of the main table that are
/// not ours, so that no BGP route ever carries another. A snapshot.
/// </summary>
internal sealed class KernelNextHops : INextHopResolver
{
    private readonly Route[] _routes;

    /// <param name="routes">The main table; longest prefix first decides, then the lower metric.</param>
    public KernelNextHops(IEnumerable<Route> routes) => _routes = [.. routes
        .Where(r => r.Kind is RouteKind.Unicast && r.Protocol != RouteWriterOptions.CalicoProtocol && !r.NextHops.IsEmpty
            && !(r.Key.Destination.IsHost && r.Protocol == RouteWriterOptions.BootProtocol && r.NextHops[0].Gateway is null))
        .OrderByDescending(r => r.Key.Destination.PrefixLength).ThenBy(r => r.Key.Metric)];

    public NextHopResolution Resolve(IpAddr nextHop)
    {
        foreach (var route in _routes)
        {
            if (route.Key.Destination.Contains(nextHop))
                return new NextHopResolution(true, route.NextHops[0].Gateway, route.NextHops[0].LinkIndex, route.NextHops[0].Gateway is null ? 0u : 1u);
        }
        return NextHopResolution.Unreachable;
    }

    public bool SameAs(KernelNextHops other) => _routes.AsSpan().SequenceEqual(other._routes);
}

using Calico.Actors.Dataplane;
using Calico.Core.Bgp.Rib;
using Calico.Core.Net;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Routes;

namespace Calico.Actors.Routing;

/// <summary>
/// Next hops as the kernel's own routes resolve them: the longest prefix among the routes of the main table that are
/// not ours, so that no BGP route ever carries another. A snapshot.
/// </summary>
internal sealed class KernelNextHops : INextHopResolver
{
    private readonly Route[] _routes;
    private readonly IReadOnlyDictionary<int, string>? _links;

    /// <param name="routes">The main table; longest prefix first decides, then the lower metric.</param>
    /// <param name="links">Names by index, if a policy asks for them.</param>
    /// <param name="gateways">Of single addresses: as routes to them, which are ours, would have it.</param>
    /// <param name="neighbours">The links of single addresses, likewise.</param>
    public KernelNextHops(IEnumerable<Route> routes, IReadOnlyDictionary<int, string>? links = null, IReadOnlyDictionary<IpAddr, IpAddr>? gateways = null,
        IEnumerable<(IpAddr Address, int Link)>? neighbours = null)
    {
        _routes = [.. routes.Where(Counts).OrderByDescending(r => r.Key.Destination.PrefixLength).ThenBy(r => r.Key.Metric)];
        _links = links;
        if (gateways is { Count: > 0 })
            _routes = [.. gateways.Select(g => RouteTo(g.Key, g.Value)).OfType<Route>(), .. _routes];
        if (neighbours is not null)
            _routes = [.. neighbours.Select(n => new Route(KernelRoutes.KeyOf(Cidr.Host(n.Address)), RouteKind.Unicast, RouteWriterOptions.CalicoProtocol, [new NextHop(null, n.Link)])), .. _routes];
    }

    // Null where the kernel would not take it either.
    private Route? RouteTo(IpAddr address, IpAddr gateway) => Resolve(gateway) is { Reachable: true, Gateway: null } way
        ? KernelRoutes.ToHost(address, gateway, way.LinkIndex)
        : null;

    /// <summary>
    /// Whether the event can have changed an answer; routes of ours, and links that do not count, never do. IPv4
    /// routes that vanish with their link are not reported by the kernel, so a link's change counts.
    /// </summary>
    public static bool MayChange(KernelEvent e, Func<string, bool> counts) => e switch
    {
        KernelEvent.RouteChanged r => Counts(r.Route),
        KernelEvent.LinkChanged l => counts(l.Link.Name),
        KernelEvent.LinkRemoved l => counts(l.Name),
        KernelEvent.Overflow => true,
        _ => false,
    };

    private static bool Counts(Route route) => route.Kind is RouteKind.Unicast && route.Protocol != RouteWriterOptions.CalicoProtocol
        && !route.NextHops.IsEmpty
        && !(route.Key.Destination.IsHost && route.Protocol == RouteWriterOptions.BootProtocol && route.NextHops[0].Gateway is null);

    public NextHopResolution Resolve(IpAddr nextHop)
    {
        foreach (var route in _routes)
        {
            if (!route.Key.Destination.Contains(nextHop))
                continue;
            var hop = route.NextHops[0];
            return new NextHopResolution(true, hop.Gateway, hop.LinkIndex, hop.Gateway is null ? 0u : 1u) { Interface = _links?.GetValueOrDefault(hop.LinkIndex) };
        }
        return NextHopResolution.Unreachable;
    }

    public bool SameAs(KernelNextHops other) => _routes.AsSpan().SequenceEqual(other._routes) && NamesOf(this).SequenceEqual(NamesOf(other));

    // Of the links that count: those of workloads come and go.
    private static IEnumerable<string?> NamesOf(KernelNextHops of) => of._routes.Select(r => of._links?.GetValueOrDefault(r.NextHops[0].LinkIndex));
}

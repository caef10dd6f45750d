using System.Collections.Immutable;
using Akka.Event;
using Calico.Actors.Bgp;
using Calico.Actors.Dataplane;
using Calico.Core.Bgp.Rib;
using Calico.Core.Net;
using Calico.Kernel.Routes;

namespace Calico.Actors.Routing;

/// <summary>
/// What BGP has learned, and which of it belongs into the kernel: not a route to a block's former holder, and none to
/// addresses of services, which are translated on this node. Not thread-safe.
/// </summary>
internal sealed class LearnedRoutes(PeeringResources resources)
{
    private readonly BlockOwners _owners = new();
    private readonly Dictionary<Cidr, BestRoute> _best = [];

    public RouteProtocol.ChangeRoutes Take(BgpProtocol.BestRoutesChanged best)
    {
        foreach (var route in best.Routes)
        {
            if (route.IsGone)
                _best.Remove(route.Prefix);
            else
                _best[route.Prefix] = route;
        }
        return Change(best.Routes.Select(r => r.Prefix), best.Sequence);
    }

    /// <summary>
    /// A block that was taken from its holder is not reached through that holder any more, whatever BGP still says. Null if
    /// that changes no route.
    /// </summary>
    public RouteProtocol.ChangeRoutes? Take(string host, Cidr block, bool exists) =>
        _owners.Learn(host, block, exists) && _best.ContainsKey(block) ? Change([block], null) : null;

    /// <summary>Everything inside these ranges again; null if there is nothing.</summary>
    public RouteProtocol.ChangeRoutes? Inside(ImmutableArray<Cidr> ranges)
    {
        var inside = _best.Keys.Where(p => ranges.Any(r => r.Contains(p))).ToList();
        return inside.Count == 0 ? null : Change(inside, null);
    }

    private RouteProtocol.ChangeRoutes Change(IEnumerable<Cidr> prefixes, long? sequence)
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
        return new RouteProtocol.ChangeRoutes(RouteSource.Bgp, wanted.ToImmutable(), unwanted.ToImmutable(), sequence);
    }

    private Route? ToRoute(BestRoute best)
    {
        if (resources.ServiceRanges.Any(r => r.Contains(best.Prefix)))
            return null;
        var suspicious = _owners.HasFormer(best.Prefix);
        return KernelRoutes.Of(best, n => !suspicious || !_owners.IsFormer(NodeAt(n.Peer), best.Prefix));
    }

    /// <summary>The speaker has heard of everything that there was: what nobody told again is not wanted any more.</summary>
    public static RouteProtocol.SourceComplete Converged(BgpProtocol.InitialConvergence converged, ILoggingAdapter log)
    {
        if (!converged.Complete)
            log.Warning("bgp: not every peer has told its routes: {Missing}", converged.MissingText);
        return new RouteProtocol.SourceComplete(RouteSource.Bgp);
    }

    private string? NodeAt(IpAddr address) => resources.Inputs.Nodes.Values
        .Where(n => Peering.AddressOf(n, address.IsV4) == address).Select(n => n.Name).FirstOrDefault();
}

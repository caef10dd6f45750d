using System.Collections.Immutable;
using Calico.Actors.Dataplane;
using Calico.Core.Bgp.Rib;
using Calico.Core.Net;
using Calico.Kernel.Routes;

namespace Calico.Actors.Routing;

/// <summary>Best routes of BGP as routes of the kernel.</summary>
internal static class KernelRoutes
{
    public static RouteKey KeyOf(Cidr prefix) => new(prefix, prefix.IsV4 ? 0u : 1024u);

    /// <summary>A route to one address; link 0 leaves the link to the kernel.</summary>
    public static Route ToHost(IpAddr address, IpAddr gateway, int link = 0) =>
        new(KeyOf(Cidr.Host(address)), RouteKind.Unicast, RouteWriterOptions.CalicoProtocol, [new NextHop(gateway, link)]);

    /// <summary>Null if none of its next hops is wanted.</summary>
    public static Route? Of(BestRoute best, Func<BestNextHop, bool> isWanted)
    {
        var hops = best.NextHops.Where(isWanted).Select(n => new NextHop(n.Gateway ?? n.NextHop, n.LinkIndex)).Distinct().ToImmutableArray();
        return hops.IsEmpty ? null : new Route(KeyOf(best.Prefix), RouteKind.Unicast, RouteWriterOptions.CalicoProtocol, hops);
    }
}

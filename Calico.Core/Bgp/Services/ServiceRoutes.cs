using Calico.Core.Net;

namespace Calico.Core.Bgp.Services;

/// <summary>
/// The host routes that a node announces for one service, beside the ranges that all nodes announce.
/// <code>
///   externalTrafficPolicy   cluster IPs             external IPs            load balancer IPs
///   Local                   all, if any range is    those in a range        those in a range
///                           ------------- on nodes with a ready endpoint -------------
///   Cluster                 none                    a range of its own      a range of its own, or any range if these
///                                                                           are not aggregated and an endpoint is ready
/// </code>
/// Pure.
/// </summary>
public static class ServiceRoutes
{
    /// <param name="service">The service.</param>
    /// <param name="slices">Its EndpointSlices.</param>
    /// <param name="ranges">What may be announced.</param>
    /// <param name="node">This node by the name that Kubernetes has for it.</param>
    public static IReadOnlySet<Cidr> Of(ServiceFacts service, IReadOnlyCollection<SliceFacts> slices, ServiceRanges ranges, string node)
    {
        // Of a family that the service has not, endpoints are left over from earlier.
        var ready = slices.Where(s => service.Families.Contains(s.Family)).SelectMany(s => s.Nodes).ToList();
        var addresses = service.IsLocalOnly
            ? ready.Contains(node) ? Local(service, ranges) : []
            : Everywhere(service, ranges, ready.Count > 0);
        return addresses.Select(Cidr.Host).ToHashSet();
    }

    private static IEnumerable<IpAddr> Local(ServiceFacts service, ServiceRanges ranges) =>
        (ranges.Cluster.IsEmpty ? [] : service.ClusterIPs.AsEnumerable())
            .Concat(service.ExternalIPs.Where(a => IsIn(ranges.External, a)))
            .Concat(service.IngressIPs.Where(a => IsIn(ranges.LoadBalancer, a)));

    private static IEnumerable<IpAddr> Everywhere(ServiceFacts service, ServiceRanges ranges, bool isReady) =>
        service.ExternalIPs.Where(a => IsOne(ranges.External, a))
            .Concat(service.IngressIPs.Where(a => IsOne(ranges.LoadBalancer, a) || (!ranges.AggregatesLoadBalancers && isReady && IsIn(ranges.LoadBalancer, a))));

    private static bool IsIn(IEnumerable<Cidr> ranges, IpAddr address) => ranges.Any(r => r.Contains(address));

    private static bool IsOne(IEnumerable<Cidr> ranges, IpAddr address) => ranges.Any(r => r.IsHost && r.Contains(address));
}

using System.Collections.Immutable;
using Calico.Core.Model;
using Calico.Core.Model.Resources;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Services;

/// <summary>The ranges of service addresses that are announced (BGPConfiguration).</summary>
public sealed record ServiceRanges
{
    /// <summary>A node with this label announces no services.</summary>
    public const string ExcludeLabel = "node.kubernetes.io/exclude-from-external-load-balancers";

    public ValueList<Cidr> Cluster { get; init; }
    public ValueList<Cidr> External { get; init; }
    public ValueList<Cidr> LoadBalancer { get; init; }

    /// <summary>Load balancer ranges go out as a whole, else address by address.</summary>
    public bool AggregatesLoadBalancers { get; init; } = true;

    /// <param name="spec">The BGPConfiguration of the cluster.</param>
    /// <param name="cluster">More cluster IPs, from elsewhere.</param>
    public static ServiceRanges Of(BGPConfigurationSpec spec, IEnumerable<Cidr> cluster) => new()
    {
        Cluster = new([.. Parsed(spec.ServiceClusterIPs).Concat(cluster.Select(c => c.Network)).Distinct()]),
        External = new([.. Parsed(spec.ServiceExternalIPs).Distinct()]),
        LoadBalancer = new([.. Parsed(spec.ServiceLoadBalancerIPs).Distinct()]),
        AggregatesLoadBalancers = spec.ServiceLoadBalancerAggregation != "Disabled",
    };

    public ImmutableArray<Cidr> All => [.. Cluster.Concat(External).Concat(LoadBalancer).Distinct()];

    /// <summary>
    /// What goes out as a whole, from every node: all ranges, except that a single external or load balancer address is
    /// announced only where its service is.
    /// </summary>
    public ImmutableArray<Cidr> Aggregates => [.. Cluster.Concat(External.Where(r => !r.IsHost))
        .Concat(AggregatesLoadBalancers ? LoadBalancer.Where(r => !r.IsHost) : []).Distinct()];

    private static IEnumerable<Cidr> Parsed(ValueList<CidrEntry> entries)
    {
        foreach (var entry in entries)
        {
            if (Cidr.TryParse(entry.Cidr, out var cidr))
                yield return cidr.Network;
        }
    }
}

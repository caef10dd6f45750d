using System.Collections.Immutable;
using Calico.Core.Net;

namespace Calico.Actors.Routing;

/// <summary>What decides about the node's BGP beside the resources.</summary>
public sealed record RoutingOptions
{
    /// <summary>A dotted quad, or <c>hash</c>; null: the node's IPv4 address. CALICO_ROUTER_ID.</summary>
    public string? RouterId { get; init; }

    /// <summary>Where the Secrets with passwords are, one directory each. CALICO_BGP_SECRETS_DIR; null: nowhere.</summary>
    public string? SecretsDirectory { get; init; }

    /// <summary>Cluster IPs to announce beside those of the BGPConfiguration. CALICO_ADVERTISE_CLUSTER_IPS.</summary>
    public ImmutableArray<Cidr> ServiceRanges { get; init; } = [];

    /// <summary>How often passwords are looked at.</summary>
    public TimeSpan SecretsEvery { get; init; } = TimeSpan.FromSeconds(10);
}

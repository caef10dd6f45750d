using System.Collections.Immutable;
using Calico.Core.Bfd;
using Calico.Core.Net;
using Calico.Datastore.Kubernetes;

namespace Calico.Actors.Routing;

/// <summary>What decides about the node's BGP beside the resources.</summary>
public sealed record RoutingOptions
{
    /// <summary>A dotted quad, or <c>hash</c>; null: the node's IPv4 address. CALICO_ROUTER_ID.</summary>
    public string? RouterId { get; init; }

    /// <summary>Where the Secrets with passwords are, one directory each. CALICO_BGP_SECRETS_DIR; null: nowhere.</summary>
    public string? SecretsDirectory { get; init; }

    /// <summary>How long peers shall keep this node's routes as their last choice after its restart time. CALICO_BGP_LONG_LIVED_TIME, seconds.</summary>
    public TimeSpan LongLivedTime { get; init; }

    /// <summary>How the paths to peers are watched; null: not at all. CALICO_BFD.</summary>
    public BfdSetting? Bfd { get; init; }

    /// <summary>Cluster IPs to announce beside those of the BGPConfiguration. CALICO_ADVERTISE_CLUSTER_IPS.</summary>
    public ImmutableArray<Cidr> ServiceRanges { get; init; } = [];

    /// <summary>Where Services and Secrets are, if they are anywhere.</summary>
    public IPlainObjects? Services { get; init; }

    /// <summary>The namespace of the Secrets that BGPPeers name. NAMESPACE, or that of the agent's pod; null: there are only files.</summary>
    public string? SecretsNamespace { get; init; }

    /// <summary>This node by the name that Kubernetes has for it; null: its Calico name. CALICO_K8S_NODE_REF.</summary>
    public string? KubernetesName { get; init; }

    /// <summary>How often passwords are looked at.</summary>
    public TimeSpan SecretsEvery { get; init; } = TimeSpan.FromSeconds(10);
}

using Calico.Core.Model.Resources;

namespace Calico.Core.Model.Kubernetes;

// The parts of Kubernetes' objects that Calico reads, and what becomes of them:
//
//   NetworkPolicy, ClusterNetworkPolicy -> PolicyConversion -> NetworkPolicy, GlobalNetworkPolicy
//   Namespace, ServiceAccount           -> ProfileConversion -> Profile kns.NS, ksa.NS.SA
//   Pod                                 -> PodConversion -> WorkloadEndpoint
//
// Records carry the prefix Kube where Calico has a kind of the same name.

/// <summary>An object of Kubernetes' API.</summary>
public abstract record KubeObject : ModelObject
{
    public string? Kind { get; init; }
    public string? ApiVersion { get; init; }
    public ObjectMeta Metadata { get; init => field = value ?? new(); } = new();
}

public sealed record KubeNamespace : KubeObject;

public sealed record KubeServiceAccount : KubeObject;

public sealed record KubePod : KubeObject
{
    public KubePodSpec Spec { get; init => field = value ?? new(); } = new();
    public KubePodStatus Status { get; init => field = value ?? new(); } = new();
}

public sealed record KubePodSpec : ModelObject
{
    public string? NodeName { get; init; }
    public bool HostNetwork { get; init; }
    public string? ServiceAccountName { get; init; }
    public ValueList<KubeContainer> Containers { get; init; }
    public ValueList<KubeContainer> InitContainers { get; init; }
}

public sealed record KubeContainer : ModelObject
{
    public string? Name { get; init; }
    public ValueList<KubeContainerPort> Ports { get; init; }
}

public sealed record KubeContainerPort : ModelObject
{
    public string? Name { get; init; }
    public int ContainerPort { get; init; }
    public int HostPort { get; init; }
    public string? HostIP { get; init; }
    public string? Protocol { get; init; }
}

public sealed record KubePodStatus : ModelObject
{
    public string? Phase { get; init; }
    public string? PodIP { get; init; }
    public ValueList<KubePodIP> PodIPs { get; init; }
}

public sealed record KubePodIP : ModelObject
{
    public string? Ip { get; init; }
}

/// <summary>Labels that must be equal, and expressions that must hold; empty selects everything.</summary>
public sealed record LabelSelector : ModelObject
{
    public StringMap MatchLabels { get; init; }
    public ValueList<LabelSelectorRequirement> MatchExpressions { get; init; }
}

/// <summary>Operators are In, NotIn, Exists and DoesNotExist.</summary>
public sealed record LabelSelectorRequirement : ModelObject
{
    public string? Key { get; init; }
    public string? Operator { get; init; }
    public ValueList<string> Values { get; init; }
}

using Calico.Core.Model.Schema;

namespace Calico.Core.Model.Kubernetes;

/// <summary>networking.k8s.io/v1 NetworkPolicy.</summary>
public sealed record KubeNetworkPolicy : KubeObject
{
    public KubeNetworkPolicySpec Spec { get; init => field = value ?? new(); } = new();
}

public record KubeNetworkPolicySpec : ModelObject
{
    public LabelSelector PodSelector { get; init => field = value ?? new(); } = new();
    public ValueList<KubeIngressRule> Ingress { get; init; }
    public ValueList<KubeEgressRule> Egress { get; init; }

    [Items(2, Unique = true)]
    [OneOf("Ingress", "Egress")]
    public ValueList<string> PolicyTypes { get; init; }
}

public sealed record KubeIngressRule : ModelObject
{
    public ValueList<KubePolicyPort> Ports { get; init; }
    public ValueList<KubePeer> From { get; init; }
}

public sealed record KubeEgressRule : ModelObject
{
    public ValueList<KubePolicyPort> Ports { get; init; }
    public ValueList<KubePeer> To { get; init; }
}

public sealed record KubePolicyPort : ModelObject
{
    /// <summary>Absent is TCP.</summary>
    public string? Protocol { get; init; }

    public IntOrString? Port { get; init; }
    public int? EndPort { get; init; }
}

/// <summary>Either selectors, or a block of addresses.</summary>
public sealed record KubePeer : ModelObject
{
    public LabelSelector? PodSelector { get; init; }
    public LabelSelector? NamespaceSelector { get; init; }
    public KubeIPBlock? IpBlock { get; init; }
}

public sealed record KubeIPBlock : ModelObject
{
    public string? Cidr { get; init; }
    public ValueList<string> Except { get; init; }
}

/// <summary>policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy.</summary>
public sealed record KubeClusterNetworkPolicy : KubeObject
{
    public KubeClusterNetworkPolicySpec Spec { get; init => field = value ?? new(); } = new();
}

public sealed record KubeClusterNetworkPolicySpec : ModelObject
{
    /// <summary>Admin or Baseline.</summary>
    public string? Tier { get; init; }

    public int Priority { get; init; }
    public KubeClusterPeer Subject { get; init => field = value ?? new(); } = new();
    public ValueList<KubeClusterRule> Ingress { get; init; }
    public ValueList<KubeClusterRule> Egress { get; init; }
}

/// <summary>A rule of either direction: <see cref="From"/> stands in ingress rules, <see cref="To"/> in egress rules.</summary>
public sealed record KubeClusterRule : ModelObject
{
    public string? Name { get; init; }

    /// <summary>Accept, Deny or Pass.</summary>
    public string? Action { get; init; }

    public ValueList<KubeClusterPeer> From { get; init; }
    public ValueList<KubeClusterPeer> To { get; init; }
    public ValueList<KubeClusterProtocol> Protocols { get; init; }
}

public sealed record KubeClusterPeer : ModelObject
{
    public LabelSelector? Namespaces { get; init; }
    public KubeNamespacedPods? Pods { get; init; }

    /// <summary>Only in egress rules.</summary>
    public ValueList<string> Networks { get; init; }
}

public sealed record KubeNamespacedPods : ModelObject
{
    public LabelSelector NamespaceSelector { get; init => field = value ?? new(); } = new();
    public LabelSelector PodSelector { get; init => field = value ?? new(); } = new();
}

/// <summary>One of the fields is set; none matches every protocol.</summary>
public sealed record KubeClusterProtocol : ModelObject
{
    public KubeClusterProtocolPort? Tcp { get; init; }
    public KubeClusterProtocolPort? Udp { get; init; }
    public KubeClusterProtocolPort? Sctp { get; init; }
    public string? DestinationNamedPort { get; init; }
}

public sealed record KubeClusterProtocolPort : ModelObject
{
    public KubeClusterPort? DestinationPort { get; init; }
}

public sealed record KubeClusterPort : ModelObject
{
    public int Number { get; init; }
    public KubePortRange? Range { get; init; }
}

public sealed record KubePortRange : ModelObject
{
    public int Start { get; init; }
    public int End { get; init; }
}

namespace Calico.Core.Policy;

/// <summary>
/// Which policy: resource kind, namespace (empty for a global one) and name. The kind is part of the identity because
/// a Kubernetes policy and a Calico one may share namespace and name.
/// </summary>
public readonly record struct PolicyKey(string Kind, string Namespace, string Name) : IComparable<PolicyKey>
{
    public const string NetworkPolicy = "NetworkPolicy";
    public const string GlobalNetworkPolicy = "GlobalNetworkPolicy";
    public const string StagedNetworkPolicy = "StagedNetworkPolicy";
    public const string StagedGlobalNetworkPolicy = "StagedGlobalNetworkPolicy";
    public const string StagedKubernetesNetworkPolicy = "StagedKubernetesNetworkPolicy";
    public const string KubernetesNetworkPolicy = "KubernetesNetworkPolicy";
    public const string KubernetesClusterNetworkPolicy = "KubernetesClusterNetworkPolicy";

    /// <summary>Staged policies are ordered and reported with the others but never enforced.</summary>
    public bool IsStaged => Kind is StagedNetworkPolicy or StagedGlobalNetworkPolicy or StagedKubernetesNetworkPolicy;

    /// <summary>The abbreviation Calico uses where space is short, as in chain names; unknown kinds stay whole.</summary>
    public string ShortKind => Kind switch
    {
        NetworkPolicy => "np",
        GlobalNetworkPolicy => "gnp",
        StagedNetworkPolicy => "snp",
        StagedGlobalNetworkPolicy => "sgnp",
        StagedKubernetesNetworkPolicy => "sknp",
        KubernetesNetworkPolicy => "knp",
        KubernetesClusterNetworkPolicy => "kcnp",
        _ => Kind,
    };

    /// <summary><c>np/default/web</c> or <c>gnp/deny-all</c>: the id that chain names are made of.</summary>
    public string Id => Namespace.Length == 0 ? $"{ShortKind}/{Name}" : $"{ShortKind}/{Namespace}/{Name}";

    /// <summary>The text that breaks ties between policies of one order: the most specific part comes first.</summary>
    internal string TieBreak => $"{Name}/{Namespace}/{Kind}";

    public int CompareTo(PolicyKey other) => string.CompareOrdinal(TieBreak, other.TieBreak);

    public static bool operator <(PolicyKey a, PolicyKey b) => a.CompareTo(b) < 0;
    public static bool operator >(PolicyKey a, PolicyKey b) => a.CompareTo(b) > 0;
    public static bool operator <=(PolicyKey a, PolicyKey b) => a.CompareTo(b) <= 0;
    public static bool operator >=(PolicyKey a, PolicyKey b) => a.CompareTo(b) >= 0;

    public override string ToString() => Id;
}

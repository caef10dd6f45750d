namespace Calico.Datastore.Kubernetes.Client;

/// <summary>A kind of objects as the API serves it; the core group has no name.</summary>
internal sealed record KubeResource(string Group, string Version, string Plural, string Kind, bool IsNamespaced)
{
    /// <summary>The group of what only this product stores: its records and transactions.</summary>
    public const string MeshGroup = "mesh.projectcalico.org";

    public static KubeResource Pods { get; } = new("", "v1", "pods", "Pod", true);
    public static KubeResource Nodes { get; } = new("", "v1", "nodes", "Node", false);
    public static KubeResource Namespaces { get; } = new("", "v1", "namespaces", "Namespace", false);
    public static KubeResource ServiceAccounts { get; } = new("", "v1", "serviceaccounts", "ServiceAccount", true);
    public static KubeResource Secrets { get; } = new("", "v1", "secrets", "Secret", true);
    public static KubeResource Services { get; } = new("", "v1", "services", "Service", true);
    public static KubeResource EndpointSlices { get; } = new("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", true);
    public static KubeResource NetworkPolicies { get; } = new("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", true);
    public static KubeResource ClusterNetworkPolicies { get; } =
        new("policy.networking.k8s.io", "v1alpha2", "clusternetworkpolicies", "ClusterNetworkPolicy", false);

    public static KubeResource Records { get; } = new(MeshGroup, "v1", "calicorecords", "CalicoRecord", false);
    public static KubeResource Transactions { get; } = new(MeshGroup, "v1", "calicotransactions", "CalicoTransaction", false);

    public string ApiVersion => Group.Length == 0 ? Version : $"{Group}/{Version}";

    /// <summary>As RBAC rules and messages name it: <c>pods</c>, <c>ippools.crd.projectcalico.org</c>.</summary>
    public string FullName => Group.Length == 0 ? Plural : $"{Plural}.{Group}";

    /// <summary>The path of the group's version, where discovery lists its resources.</summary>
    public string GroupPath => Group.Length == 0 ? $"/api/{Version}" : $"/apis/{Group}/{Version}";

    /// <summary>The path of a collection, or of one object in it.</summary>
    public string Path(string? ns, string? name, string? subresource = null)
    {
        var collection = ns is null ? $"{GroupPath}/{Plural}" : $"{GroupPath}/namespaces/{Uri.EscapeDataString(ns)}/{Plural}";
        return name is null ? collection
            : subresource is null ? $"{collection}/{Uri.EscapeDataString(name)}"
            : $"{collection}/{Uri.EscapeDataString(name)}/{subresource}";
    }
}

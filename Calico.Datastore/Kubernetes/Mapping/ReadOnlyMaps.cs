using Calico.Core.Model.Kubernetes;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Datastore.Kubernetes.Client;

namespace Calico.Datastore.Kubernetes.Mapping;

/// <summary>Resources that are made of Kubernetes' own objects and can only be read.</summary>
internal abstract class ReadOnlyMap(KubeResource resource, ResourceKind kind, string namePrefix) : KeyMap(resource, Common(kind, namePrefix))
{
    protected ResourceKind Kind => kind;

    protected string NamePrefix => namePrefix;

    // The namespace stands in front of the name.
    private static string Common(ResourceKind kind, string namePrefix) =>
        kind.IsNamespaced ? ResourceKey.Prefix(kind) : ResourceKey.Prefix(kind) + namePrefix;

    public override KubeScope ScopeOf(string prefix) => ResourceMap.NamespaceOf(prefix, Root, kind.IsNamespaced);

    public override bool TryLocate(string key, out ObjectName name)
    {
        name = default;
        return ResourceKey.TryParse(key, out var parsed) && parsed.Kind == kind && parsed.Name.StartsWith(namePrefix, StringComparison.Ordinal)
            && TryLocate(parsed.Namespace, parsed.Name[namePrefix.Length..], out name);
    }

    /// <param name="ns">The namespace of the key.</param>
    /// <param name="rest">The name in the key without the prefix.</param>
    /// <param name="name">The object.</param>
    protected abstract bool TryLocate(string? ns, string rest, out ObjectName name);

    public override byte[]? ValueOf(KubeItem item)
    {
        try
        {
            return Convert(item) is { } resource ? StoredResource.Write(resource) : null;
        }
        catch (InvalidResourceException)
        {
            return null;
        }
    }

    /// <exception cref="InvalidResourceException">The object is not what it should be.</exception>
    protected abstract Resource? Convert(KubeItem item);

    public override KubeWrite Put(KubeItem? existing, string key, ReadOnlyMemory<byte> value) => throw Foreign(key);

    public override KubeWrite? Remove(KubeItem existing, string key) => throw Foreign(key);

    private DatastoreException Foreign(string key) => Refused(key, $"it is read from {Resource.FullName}: change it there");

    /// <summary>A name in front of which the key's prefix is put.</summary>
    protected T Named<T>(T policy)
        where T : Resource => policy with { Metadata = policy.Metadata with { Name = namePrefix + policy.Metadata.Name } };
}

/// <summary>Namespaces: the profile that lets pods without policies talk and gives them the namespace's labels.</summary>
internal sealed class NamespaceMap() : ReadOnlyMap(KubeResource.Namespaces, ResourceKind.Profile, Profile.NamespacePrefix)
{
    protected override bool TryLocate(string? ns, string rest, out ObjectName name)
    {
        name = new ObjectName(null, rest);
        return rest.Length > 0;
    }

    public override string? KeyOf(KubeItem item) => Root + item.Name;

    protected override Resource? Convert(KubeItem item) => ProfileConversion.FromNamespace(KubeCodec.Decode<KubeNamespace>(item.Json));
}

/// <summary>Service accounts: the profile that gives pods the account's labels.</summary>
internal sealed class ServiceAccountMap() : ReadOnlyMap(KubeResource.ServiceAccounts, ResourceKind.Profile, Profile.ServiceAccountPrefix)
{
    protected override bool TryLocate(string? ns, string rest, out ObjectName name)
    {
        name = default;
        if (!ProfileConversion.TryGetServiceAccount(NamePrefix + rest, out var space, out var account) || space.Length == 0 || account.Length == 0)
            return false;
        name = new ObjectName(space, account);
        return true;
    }

    public override string? KeyOf(KubeItem item) =>
        ResourceKey.Prefix(ResourceKind.Profile) + ProfileConversion.ServiceAccountProfile(item.Namespace, item.Name);

    protected override Resource? Convert(KubeItem item) => ProfileConversion.FromServiceAccount(KubeCodec.Decode<KubeServiceAccount>(item.Json));
}

/// <summary>Kubernetes' network policies.</summary>
internal sealed class KubePolicyMap() : ReadOnlyMap(KubeResource.NetworkPolicies, ResourceKind.NetworkPolicy, KubeNames.PolicyPrefix)
{
    protected override bool TryLocate(string? ns, string rest, out ObjectName name)
    {
        name = new ObjectName(ns, rest);
        return rest.Length > 0;
    }

    public override string? KeyOf(KubeItem item) => new ResourceKey(Kind, item.Namespace, NamePrefix + item.Name).Path;

    protected override Resource? Convert(KubeItem item) =>
        PolicyConversion.FromNetworkPolicy(KubeCodec.Decode<KubeNetworkPolicy>(item.Json)).Policy is { } policy ? Named(policy) : null;
}

/// <summary>The cluster network policies of one of their two tiers; clusters need not have the kind.</summary>
internal sealed class ClusterPolicyMap(string kubeTier, string tier)
    : ReadOnlyMap(KubeResource.ClusterNetworkPolicies, ResourceKind.GlobalNetworkPolicy, $"kcnp.{tier}.")
{
    public override bool IsOptional => true;

    protected override bool TryLocate(string? ns, string rest, out ObjectName name)
    {
        name = new ObjectName(null, rest);
        return rest.Length > 0;
    }

    public override string? KeyOf(KubeItem item) => item.SpecText("tier") == kubeTier ? Root + item.Name : null;

    protected override Resource? Convert(KubeItem item) =>
        ClusterPolicyConversion.Convert(KubeCodec.Decode<KubeClusterNetworkPolicy>(item.Json)).Policy is { } policy ? Named(policy) : null;
}

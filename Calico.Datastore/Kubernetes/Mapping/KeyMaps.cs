using System.Collections.Frozen;
using System.Collections.Immutable;
using Calico.Core.Model.Resources;
using Calico.Datastore.Kubernetes.Client;

namespace Calico.Datastore.Kubernetes.Mapping;

/// <summary>All maps that a cluster's API has objects for.</summary>
internal sealed class KeyMaps
{
    private const string ResourceRoot = "/calico/resources/v3/projectcalico.org/";
    private const string IpamRoot = "/calico/ipam/v2/";

    private readonly ImmutableArray<KeyMap> _served;
    private readonly ImmutableArray<KeyMap> _all;

    /// <param name="isClassic">Whether Calico's resources are in the group crd.projectcalico.org.</param>
    /// <param name="usePodCidr">Whether the nodes' tunnel addresses come from the ranges that Kubernetes gives them.</param>
    /// <param name="served">Whether the API serves a resource.</param>
    public KeyMaps(bool isClassic, bool usePodCidr, Func<KubeResource, bool> served)
    {
        _all = [.. Build(isClassic, usePodCidr)];
        _served = [.. _all.Where(m => served(m.Resource))];
    }

    private static IEnumerable<KeyMap> Build(bool isClassic, bool usePodCidr)
    {
        // Those that take some keys of a kind stand before the one that takes the rest.
        yield return new NodeMap(usePodCidr);
        yield return new PodMap();
        yield return new NamespaceMap();
        yield return new ServiceAccountMap();
        yield return new KubePolicyMap();
        yield return new ClusterPolicyMap("Admin", Tier.KubeAdmin);
        yield return new ClusterPolicyMap("Baseline", Tier.KubeBaseline);
        foreach (var kind in ResourceKind.All)
        {
            if (kind == ResourceKind.BlockAffinity)
                yield return new AffinityResourceMap(isClassic);
            else if (kind != ResourceKind.Node && kind != ResourceKind.WorkloadEndpoint && kind != ResourceKind.Profile)
                yield return new ResourceMap(kind, isClassic);
        }
        var affinities = ResourceMap.ResourceOf(ResourceKind.BlockAffinity, isClassic);
        yield return new BlockMap(affinities with { Plural = "ipamblocks", Kind = "IPAMBlock" });
        yield return new AffinityMap(affinities, isVirtual: false);
        yield return new AffinityMap(affinities, isVirtual: true);
        yield return new HandleMap(affinities with { Plural = "ipamhandles", Kind = "IPAMHandle" });
        yield return new IpamConfigMap(ResourceMap.ResourceOf(ResourceKind.IPAMConfiguration, isClassic));
        yield return new RecordMap();
    }

    /// <summary>
    /// The map of a key. Null where the API has no place for it: nothing can be there.
    /// </summary>
    /// <exception cref="DatastoreException">There would be a place if its definition were installed.</exception>
    public KeyMap? Find(string key, out ObjectName name)
    {
        foreach (var map in _all)
        {
            if (Belongs(map, key) && map.TryLocate(key, out name))
            {
                if (map.IsOptional && !_served.Contains(map))
                    return null;
                return _served.Contains(map) ? map : throw new DatastoreException(DatastoreFault.Invalid,
                    $"kubernetes: '{key}': the cluster has no {map.Resource.FullName}; install deploy/crds");
            }
        }
        name = default;
        return null;
    }

    /// <summary>The maps that can have keys with this prefix.</summary>
    public ImmutableArray<KeyMap> Below(string prefix) => [.. _served.Where(m => m.Covers(prefix) && Belongs(m, prefix))];

    // Below these two roots there are no records: a key that has no kind there has no place. A shorter prefix is above both.
    private static bool Belongs(KeyMap map, string text) => map is not RecordMap
        || !(text.StartsWith(ResourceRoot, StringComparison.Ordinal) || text.StartsWith(IpamRoot, StringComparison.Ordinal));

    /// <summary>Nothing is missing that a later look could find.</summary>
    public bool IsComplete => _all.All(m => m.IsOptional || _served.Contains(m));

    /// <summary>Every resource that any map or the transactions need.</summary>
    public FrozenSet<KubeResource> Resources => _all.Select(m => m.Resource).Append(KubeResource.Transactions).ToFrozenSet();
}

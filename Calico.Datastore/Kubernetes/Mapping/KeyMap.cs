using System.Text.Json.Nodes;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Datastore.Kubernetes.Client;

namespace Calico.Datastore.Kubernetes.Mapping;

// How Calico's keys stand on the Kubernetes API. Each map covers one resource of the API and says which keys its objects
// are, what a key's value is, and what has to be written for a new value:
//
//   /calico/resources/v3/projectcalico.org/ippools/a    <-> ippools.crd.projectcalico.org a            ResourceMap
//   .../nodes/n1                                         <-> nodes n1, its annotations                  NodeMap
//   .../workloadendpoints/web/n1-k8s-web--0-eth0         <-> pods web/web-0, its annotations            PodMap
//   .../profiles/kns.web, .../profiles/ksa.web.default   <-- namespaces, serviceaccounts                NamespaceMap, ServiceAccountMap
//   .../networkpolicies/web/knp.default.a                <-- networkpolicies.networking.k8s.io web/a    KubePolicyMap
//   .../globalnetworkpolicies/kcnp.kube-admin.a          <-- clusternetworkpolicies a                   ClusterPolicyMap
//   /calico/ipam/v2/assignment/ipv4/block/10.0.0.0-26    <-> ipamblocks.crd.projectcalico.org 10-0-0-0-26   BlockMap
//   /calico/ipam/v2/host/n1/ipv4/block/10.0.0.0-26       <-> blockaffinities n1-10-0-0-0-26             AffinityMap
//   /calico/ipam/v2/handle/H                             <-> ipamhandles h                              HandleMap
//   /calico/ipam/v2/config                               <-> ipamconfigs default                        IpamConfigMap
//   everything else                                      <-> calicorecords.mesh.projectcalico.org       RecordMap

/// <summary>Where an object stands among those of its resource.</summary>
internal readonly record struct ObjectName(string? Namespace, string Name);

/// <summary>What is sent to make a value so: the whole object, or a merge patch of some of it.</summary>
internal sealed record KubeWrite(JsonObject Body, bool IsPatch, string? Subresource = null);

/// <summary>Calico's keys on one resource of the API. Maps are pure: they never ask the server.</summary>
internal abstract class KeyMap(KubeResource resource, string root)
{
    public KubeResource Resource { get; } = resource;

    /// <summary>What all keys of this map start with.</summary>
    public string Root { get; } = root;

    /// <summary>Where changes of the metadata are sent: core objects take them at their status, as Calico's roles allow.</summary>
    public virtual string? MetadataSubresource => null;

    /// <summary>The store keeps the revision of creation for these.</summary>
    public virtual bool KeepsCreation => false;

    /// <summary>A write may have a time to live.</summary>
    public virtual bool Expires => false;

    /// <summary>A cluster need not have the resource: where it is missing there are no such keys.</summary>
    public virtual bool IsOptional => false;

    /// <summary>Whether the key is one of this map's, and of which object.</summary>
    public abstract bool TryLocate(string key, out ObjectName name);

    /// <summary>The key that the object has, with or without a value now; null if it has none.</summary>
    public abstract string? KeyOf(KubeItem item);

    /// <summary>The value that the object's key has now; null if it has none.</summary>
    public abstract byte[]? ValueOf(KubeItem item);

    /// <summary>What has to be listed or watched to see all keys below a prefix.</summary>
    public virtual KubeScope ScopeOf(string prefix) => default;

    /// <summary>Whether a key of this map can start with the prefix.</summary>
    public bool Covers(string prefix) =>
        prefix.StartsWith(Root, StringComparison.Ordinal) || Root.StartsWith(prefix, StringComparison.Ordinal);

    /// <summary>
    /// The object is marked as deleted: Calico's clients do so before they delete it, and whoever meets one removes it.
    /// </summary>
    public virtual bool IsTombstone(KubeItem item) => false;

    /// <summary>What makes the key have the value.</summary>
    /// <exception cref="DatastoreException">The value does not fit, or this cannot be written.</exception>
    public abstract KubeWrite Put(KubeItem? existing, string key, ReadOnlyMemory<byte> value);

    /// <summary>What makes the key go away; null if the object is deleted.</summary>
    /// <exception cref="DatastoreException">This cannot be deleted.</exception>
    public virtual KubeWrite? Remove(KubeItem existing, string key) => null;

    /// <summary>An object that says nothing, to hold a lock where a key must stay absent.</summary>
    public virtual JsonObject Placeholder(string key) => throw Refused(key, "a compare with its absence in a transaction of several keys is not supported here");

    /// <summary>The object with the metadata that every new one has.</summary>
    protected JsonObject NewObject(ObjectName name)
    {
        var metadata = new JsonObject { ["name"] = name.Name };
        if (name.Namespace is not null)
            metadata["namespace"] = name.Namespace;
        return new JsonObject { ["apiVersion"] = Resource.ApiVersion, ["kind"] = Resource.Kind, ["metadata"] = metadata };
    }

    /// <inheritdoc cref="NewObject(ObjectName)"/>
    protected JsonObject NewObject(string key) =>
        TryLocate(key, out var name) ? NewObject(name) : throw Refused(key, "it is not a key of this kind");

    protected static JsonObject Parse(string key, ReadOnlyMemory<byte> value) =>
        JsonForms.TryParse(value) is { } json ? JsonForms.Editable(json) : throw Refused(key, "its value is no JSON object");

    /// <exception cref="DatastoreException">The value is no such resource.</exception>
    protected static T Decode<T>(ResourceKind kind, string key, ReadOnlyMemory<byte> value)
        where T : Resource
    {
        try
        {
            return (T)ResourceCodec.Decode(kind, value.Span);
        }
        catch (InvalidResourceException e)
        {
            throw Refused(key, e.Message);
        }
    }

    protected static DatastoreException Refused(string key, string reason) =>
        new(DatastoreFault.Invalid, $"kubernetes: '{key}' cannot be written: {reason}");
}

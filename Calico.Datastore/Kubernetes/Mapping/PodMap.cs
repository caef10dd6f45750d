using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Core.Model.Kubernetes;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Datastore.Kubernetes.Client;

namespace Calico.Datastore.Kubernetes.Mapping;

/// <summary>
/// Workload endpoints: the pods of a node that have a network and addresses of their own. A write leaves the addresses
/// and the container in annotations; everything else of an endpoint follows from the pod. A delete empties them, as
/// Calico's CNI plugin does, and the pod itself stays.
/// </summary>
internal sealed class PodMap() : KeyMap(KubeResource.Pods, ResourceKey.Prefix(ResourceKind.WorkloadEndpoint))
{
    private const string Address = "cni.projectcalico.org/podIP";
    private const string Addresses = "cni.projectcalico.org/podIPs";
    private const string Container = "cni.projectcalico.org/containerID";

    public override string? MetadataSubresource => "status";

    public override KubeScope ScopeOf(string prefix) => ResourceMap.NamespaceOf(prefix, Root, isNamespaced: true);

    public override bool TryLocate(string key, out ObjectName name)
    {
        name = default;
        if (!ResourceKey.TryParse(key, out var parsed) || parsed.Kind != ResourceKind.WorkloadEndpoint
            || !WorkloadEndpointName.TryParse(parsed.Name, out var endpoint) || endpoint is not { Orchestrator: "k8s", Endpoint: "eth0" }
            || endpoint.ToString() != parsed.Name)
            return false;
        name = new ObjectName(parsed.Namespace, endpoint.Workload);
        return true;
    }

    public override string? KeyOf(KubeItem item)
    {
        if (item.SpecText("nodeName") is not { Length: > 0 } node || item.Spec("hostNetwork") is { ValueKind: JsonValueKind.True }
            || !WorkloadEndpointName.ForPod(node, item.Name).TryFormat(out var name, out _))
            return null;
        return new ResourceKey(ResourceKind.WorkloadEndpoint, item.Namespace, name).Path;
    }

    public override byte[]? ValueOf(KubeItem item)
    {
        // Emptied by a CNI DEL: the kubelet's status names the old addresses for a while yet.
        if (item.Annotation(Address) is "" && item.Annotation(Addresses) is null or "")
            return null;
        KubePod pod;
        try
        {
            pod = KubeCodec.Decode<KubePod>(item.Json);
        }
        catch (InvalidResourceException)
        {
            return null;
        }
        // What the CNI plugin wrote is newer than the kubelet's status where they differ: a sandbox that was made again.
        if (item.Annotation(Addresses) is { Length: > 0 })
            pod = pod with { Status = pod.Status with { PodIP = null, PodIPs = default } };
        return PodConversion.IsWorkload(pod) && PodConversion.Convert(pod).Endpoint is { Spec.IpNetworks.IsEmpty: false } endpoint
            ? StoredResource.Write(endpoint)
            : null;
    }

    public override KubeWrite Put(KubeItem? existing, string key, ReadOnlyMemory<byte> value)
    {
        if (existing is null)
            throw Refused(key, "there is no such pod; pods are made by Kubernetes");
        var spec = Decode<WorkloadEndpoint>(ResourceKind.WorkloadEndpoint, key, value).Spec;
        if (spec.IpNetworks.IsEmpty)
            throw Refused(key, "a pod's endpoint has at least one address");
        var annotations = new JsonObject { [Address] = spec.IpNetworks[0], [Addresses] = string.Join(',', spec.IpNetworks) };
        if (spec.ContainerID is { } container)
            annotations[Container] = container;
        return Patch(annotations);
    }

    public override KubeWrite? Remove(KubeItem existing, string key) => Patch(new JsonObject { [Address] = "", [Addresses] = "" });

    private KubeWrite Patch(JsonObject annotations) =>
        new(new JsonObject { ["metadata"] = new JsonObject { ["annotations"] = annotations } }, IsPatch: true, MetadataSubresource);
}

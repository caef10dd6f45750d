using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Core.Model;
using Calico.Core.Model.Json;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Net;
using Calico.Datastore.Kubernetes.Client;

namespace Calico.Datastore.Kubernetes.Mapping;

/// <summary>
/// Nodes: what Calico knows of one stands in annotations of the Kubernetes node, its labels are those of both. Nodes come
/// and go with Kubernetes, so they are neither made nor deleted here.
/// </summary>
internal sealed class NodeMap(bool usePodCidr) : KeyMap(KubeResource.Nodes, ResourceKey.Prefix(ResourceKind.Node))
{
    private const string Prefix = "projectcalico.org/";
    private const string LabelsAnnotation = Prefix + "labels";
    private const string AnnotationsAnnotation = Prefix + "annotations";
    private const string InterfacesAnnotation = Prefix + "Interfaces";

    // The labels that were Kubernetes' when the value was read, so that a write can tell which are not.
    private const string KubeLabels = Prefix + "kube-labels";

    private const string IpIpAddress = "IPv4IPIPTunnelAddr";
    private const string WireguardAddress = "IPv4WireguardInterfaceAddr";
    private const string WireguardKey = "WireguardPublicKey";

    public override string? MetadataSubresource => "status";

    public override bool TryLocate(string key, out ObjectName name)
    {
        name = default;
        if (!ResourceKey.TryParse(key, out var parsed) || parsed.Kind != ResourceKind.Node)
            return false;
        name = new ObjectName(null, parsed.Name);
        return true;
    }

    public override string? KeyOf(KubeItem item) => new ResourceKey(ResourceKind.Node, null, item.Name).Path;

    public override byte[]? ValueOf(KubeItem item)
    {
        var podCidrs = PodCidrs(item);
        var tunnel = usePodCidr && podCidrs is [var first, ..] ? SecondAddressOf(first) : null;
        var wireguard = new NodeWireguardSpec
        {
            InterfaceIPv4Address = tunnel is null ? Read(item, WireguardAddress, FieldFormat.IpV4)
                : item.Annotation(Prefix + WireguardKey) is { Length: > 0 } ? tunnel : null,
            InterfaceIPv6Address = tunnel is null ? Read(item, "IPv6WireguardInterfaceAddr", FieldFormat.IpV6) : null,
        };
        var bgp = new NodeBGPSpec
        {
            Ipv4Address = Read(item, "IPv4Address", FieldFormat.CidrV4),
            Ipv6Address = Read(item, "IPv6Address", FieldFormat.CidrV6),
            AsNumber = Asn.TryParse(item.Annotation(Prefix + "ASNumber") ?? "", out var asn) ? asn : null,
            RouteReflectorClusterID = Read(item, "RouteReflectorClusterID", FieldFormat.IpV4),
            Ipv4IPIPTunnelAddr = tunnel ?? Read(item, IpIpAddress, FieldFormat.IpV4),
        };
        var status = new NodeStatus
        {
            WireguardPublicKey = Read(item, WireguardKey, FieldFormat.WireguardKey),
            WireguardPublicKeyV6 = Read(item, WireguardKey + "V6", FieldFormat.WireguardKey),
            PodCIDRs = [.. podCidrs],
        };
        return StoredResource.Write(new NodeResource
        {
            Metadata = Metadata(item),
            Spec = new NodeSpec
            {
                Bgp = bgp == new NodeBGPSpec() ? null : bgp,
                Wireguard = wireguard == new NodeWireguardSpec() ? null : wireguard,
                Ipv4VXLANTunnelAddr = Read(item, "IPv4VXLANTunnelAddr", FieldFormat.IpV4),
                Ipv6VXLANTunnelAddr = Read(item, "IPv6VXLANTunnelAddr", FieldFormat.IpV6),
                VxlanTunnelMACAddr = Read(item, "VXLANTunnelMACAddr", FieldFormat.Mac),
                VxlanTunnelMACAddrV6 = Read(item, "VXLANTunnelMACAddrV6", FieldFormat.Mac),
                OrchRefs = [new OrchRef { NodeName = item.Name, Orchestrator = "k8s" }],
                Addresses = [.. Addresses(item, bgp)],
                Interfaces = [.. Interfaces(item)],
            },
            Status = status,
        });
    }

    private static ObjectMeta Metadata(KubeItem item)
    {
        var kubeLabels = Texts(item.Metadata, "labels");
        var labels = Noted(item, LabelsAnnotation);
        foreach (var (name, value) in kubeLabels)
            labels[name] = value;
        var annotations = Noted(item, AnnotationsAnnotation);
        annotations[KubeLabels] = Text(kubeLabels);
        return new ObjectMeta
        {
            Name = item.Name,
            Uid = item.Uid,
            CreationTimestamp = item.Created,
            Labels = StringMap.From(labels),
            Annotations = StringMap.From(annotations),
        };
    }

    // An annotation that is not what it should be is as good as none.
    private static string? Read(KubeItem item, string annotation, FieldFormat format) =>
        item.Annotation(Prefix + annotation) is { Length: > 0 } text && Formats.Problem(format, text) is null ? text : null;

    private static List<string> PodCidrs(KubeItem item) => item.Spec("podCIDRs") is { ValueKind: JsonValueKind.Array } list
        ? [.. list.EnumerateArray().Select(c => c.GetString()).OfType<string>()]
        : item.SpecText("podCIDR") is { } one ? [one] : [];

    // Where Kubernetes gives each node a range, the tunnel has the first address after the network's own.
    private static string? SecondAddressOf(string cidr) =>
        Cidr.TryParse(cidr, out var range) && range.IsV4 ? range.First.Add(1).ToString() : null;

    private static IEnumerable<NodeAddress> Addresses(KubeItem item, NodeBGPSpec bgp)
    {
        foreach (var address in new[] { bgp.Ipv4Address, bgp.Ipv6Address }.OfType<string>())
            yield return new NodeAddress { Address = address, Type = "CalicoNodeIP" };
        if (!item.Json.TryGetProperty("status", out var status) || status.ValueKind != JsonValueKind.Object
            || !status.TryGetProperty("addresses", out var all) || all.ValueKind != JsonValueKind.Array)
            yield break;
        foreach (var address in all.EnumerateArray())
        {
            if (KubeItem.Text(address, "type") is "InternalIP" or "ExternalIP")
                yield return new NodeAddress { Address = KubeItem.Text(address, "address"), Type = KubeItem.Text(address, "type") };
        }
    }

    private static IEnumerable<NodeInterface> Interfaces(KubeItem item)
    {
        if (item.Annotation(InterfacesAnnotation) is not { Length: > 0 } text || JsonForms.TryParseAny(text) is not { ValueKind: JsonValueKind.Array } list)
            return [];
        return list.EnumerateArray().Select(i => new NodeInterface
        {
            Name = KubeItem.Text(i, "name"),
            Addresses = i.ValueKind == JsonValueKind.Object && i.TryGetProperty("addresses", out var addresses) && addresses.ValueKind == JsonValueKind.Array
                ? [.. addresses.EnumerateArray().Where(a => a.ValueKind == JsonValueKind.String).Select(a => a.GetString()!)]
                : default,
        });
    }

    private static SortedDictionary<string, string> Noted(KubeItem item, string annotation) =>
        item.Annotation(annotation) is { } text && JsonForms.TryParseAny(text) is { } json ? Texts(json) : new(StringComparer.Ordinal);

    private static SortedDictionary<string, string> Texts(JsonElement parent, string name) =>
        parent.ValueKind == JsonValueKind.Object && parent.TryGetProperty(name, out var map) ? Texts(map) : new(StringComparer.Ordinal);

    private static SortedDictionary<string, string> Texts(JsonElement map)
    {
        var texts = new SortedDictionary<string, string>(StringComparer.Ordinal);
        if (map.ValueKind == JsonValueKind.Object)
        {
            foreach (var entry in map.EnumerateObject().Where(e => e.Value.ValueKind == JsonValueKind.String))
                texts[entry.Name] = entry.Value.GetString()!;
        }
        return texts;
    }

    private static string Text(IEnumerable<KeyValuePair<string, string>> map)
    {
        var json = new JsonObject();
        foreach (var (name, value) in map)
            json[name] = value;
        return System.Text.Encoding.UTF8.GetString(GoJson.Rewrite(JsonForms.Bytes(json)));
    }

    public override KubeWrite Put(KubeItem? existing, string key, ReadOnlyMemory<byte> value)
    {
        if (existing is null)
            throw Refused(key, "Kubernetes has no such node; nodes are made by Kubernetes");
        var node = Decode<NodeResource>(ResourceKind.Node, key, value);
        var spec = node.Spec;
        var kubeLabels = Texts(existing.Metadata, "labels");
        var inherited = node.Metadata.Annotations.GetOrNull(KubeLabels) is { } noted && JsonForms.TryParseAny(noted) is { } json ? Texts(json) : kubeLabels;
        var annotations = new JsonObject
        {
            [LabelsAnnotation] = NullIfEmpty(node.Metadata.Labels.Where(l => !kubeLabels.ContainsKey(l.Key) && !inherited.ContainsKey(l.Key))),
            [AnnotationsAnnotation] = NullIfEmpty(node.Metadata.Annotations.Where(a => a.Key != KubeLabels)),
            [InterfacesAnnotation] = spec.Interfaces.IsEmpty ? null : Text(spec.Interfaces),
        };
        foreach (var (name, text) in Fields(spec, node.Status))
        {
            // With pod ranges these follow from the range and are not kept.
            if (!usePodCidr || name is not (IpIpAddress or WireguardAddress))
                annotations[Prefix + name] = string.IsNullOrEmpty(text) ? null : text;
        }
        return new KubeWrite(new JsonObject { ["metadata"] = new JsonObject { ["annotations"] = annotations } }, IsPatch: true, MetadataSubresource);
    }

    private static IEnumerable<(string Annotation, string? Value)> Fields(NodeSpec spec, NodeStatus? status) =>
    [
        ("IPv4Address", spec.Bgp?.Ipv4Address), ("IPv6Address", spec.Bgp?.Ipv6Address), (IpIpAddress, spec.Bgp?.Ipv4IPIPTunnelAddr),
        ("ASNumber", spec.Bgp?.AsNumber?.ToString()), ("RouteReflectorClusterID", spec.Bgp?.RouteReflectorClusterID),
        ("IPv4VXLANTunnelAddr", spec.Ipv4VXLANTunnelAddr), ("IPv6VXLANTunnelAddr", spec.Ipv6VXLANTunnelAddr),
        ("VXLANTunnelMACAddr", spec.VxlanTunnelMACAddr), ("VXLANTunnelMACAddrV6", spec.VxlanTunnelMACAddrV6),
        (WireguardAddress, spec.Wireguard?.InterfaceIPv4Address), ("IPv6WireguardInterfaceAddr", spec.Wireguard?.InterfaceIPv6Address),
        (WireguardKey, status?.WireguardPublicKey), (WireguardKey + "V6", status?.WireguardPublicKeyV6),
    ];

    private static string? NullIfEmpty(IEnumerable<KeyValuePair<string, string>> map) => map.Any() ? Text(map) : null;

    private static string Text(IEnumerable<NodeInterface> interfaces) => new JsonArray([.. interfaces.Select(i => (JsonNode)new JsonObject
    {
        ["name"] = i.Name,
        ["addresses"] = new JsonArray([.. i.Addresses.Select(a => (JsonNode)a)]),
    })]).ToJsonString(JsonForms.TextOptions);

    public override KubeWrite? Remove(KubeItem existing, string key) =>
        throw Refused(key, "nodes are Kubernetes': delete the node there, as with kubectl delete node");
}

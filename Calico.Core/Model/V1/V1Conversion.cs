using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Net;

namespace Calico.Core.Model.V1;

/// <summary>
/// Resources of Calico's first API (<c>apiVersion: v1</c>, before Calico 3.0) in today's form, as Calico's own upgrade
/// converted them: policies become GlobalNetworkPolicies, tags become labels without a value, addresses of peers and
/// pools become names.
/// </summary>
public static class V1Conversion
{
    public const string ApiVersion = "v1";

    /// <summary>Whether this is a kind of the first API; Kubernetes' own begin with a capital letter.</summary>
    public static bool IsKnown(string kind) => kind is "bgpPeer" or "hostEndpoint" or "ipPool" or "node" or "policy" or "profile" or "workloadEndpoint";

    /// <summary>The resource in today's form; it still has to be validated.</summary>
    /// <exception cref="InvalidResourceException">A field is unknown, missing or of the wrong type; all are named by their path.</exception>
    public static Resource Convert(JsonElement json)
    {
        var v1 = new V1Object(JsonObject.Create(json)!, "");
        var kind = v1.Required("kind");
        v1.Take("apiVersion");
        var metadata = v1.Object("metadata");
        var spec = v1.Object("spec");
        var (v3Kind, v3Metadata, v3Spec) = kind switch
        {
            "bgpPeer" => Peer(metadata, spec),
            "hostEndpoint" => HostEndpoint(metadata, spec),
            "ipPool" => Pool(metadata, spec),
            "node" => Node(metadata, spec),
            "policy" => Policy(metadata, spec),
            "profile" => Profile(metadata, spec),
            "workloadEndpoint" => Workload(metadata, spec),
            _ => throw v1.Wrong("kind", $"'{kind}' is no kind of the first API"),
        };
        v1.End($"v1 {kind}");
        var converted = new JsonObject
        {
            ["apiVersion"] = Resource.CurrentApiVersion,
            ["kind"] = v3Kind,
            ["metadata"] = v3Metadata,
            ["spec"] = v3Spec,
        };
        using var document = JsonDocument.Parse(converted.ToJsonString());
        return ResourceCodec.ParseStrict(document.RootElement);
    }

    private static (string, JsonObject, JsonObject) Peer(V1Object metadata, V1Object spec)
    {
        var address = metadata.Required("peerIP");
        var name = V1Names.OfAddress(IpAddr.TryParse(address, out var parsed) ? parsed : throw metadata.Wrong("peerIP", $"'{address}' is no address"));
        var v3 = new JsonObject { ["peerIP"] = address, ["asNumber"] = spec.Take("asNumber") };
        var node = metadata.Text("node");
        switch (metadata.Required("scope"))
        {
            case "global" when string.IsNullOrEmpty(node):
                return ("BGPPeer", Named(name), v3);
            case "global":
                throw metadata.Wrong("node", "must be absent with the scope global");
            case "node" when node is { Length: > 0 }:
                v3["node"] = V1Names.OfNode(node);
                return ("BGPPeer", Named($"{V1Names.OfNode(node)}.{name}"), v3);
            case "node":
                throw metadata.Wrong("node", "is required with the scope node");
            default:
                throw metadata.Wrong("scope", "must be global or node");
        }
    }

    private static (string, JsonObject, JsonObject) HostEndpoint(V1Object metadata, V1Object spec)
    {
        var node = V1Names.OfNode(metadata.Required("node"));
        var v3 = new JsonObject { ["node"] = node };
        Set(v3, "interfaceName", spec.Text("interfaceName"));
        Set(v3, "expectedIPs", spec.Texts("expectedIPs").OrderBy(a => a.Contains(':', StringComparison.Ordinal)));
        Set(v3, "profiles", spec.Texts("profiles").Select(V1Names.OfProfile));
        Set(v3, "ports", spec.Objects("ports").Select(Port));
        return ("HostEndpoint", Named(V1Names.Of($"{node}.{metadata.Required("name")}"), metadata.Map("labels")), v3);
    }

    private static (string, JsonObject, JsonObject) Pool(V1Object metadata, V1Object spec)
    {
        var text = metadata.Required("cidr");
        var cidr = Cidr.TryParse(text, out var parsed) ? parsed.Network : throw metadata.Wrong("cidr", $"'{text}' is no CIDR");
        var ipip = spec.Object("ipip");
        var (isEnabled, mode) = (ipip.Flag("enabled"), ipip.Text("mode"));
        var v3 = new JsonObject
        {
            ["cidr"] = cidr.ToString(),
            ["ipipMode"] = !isEnabled ? "Never" : string.Equals(mode, "cross-subnet", StringComparison.OrdinalIgnoreCase) ? "CrossSubnet" : "Always",
            ["natOutgoing"] = spec.Flag("nat-outgoing"),
            ["disabled"] = spec.Flag("disabled"),
            ["nodeSelector"] = "all()",
            ["blockSize"] = cidr.IsV4 ? IPPoolSpec.DefaultBlockSizeV4 : IPPoolSpec.DefaultBlockSizeV6,
        };
        return ("IPPool", Named(V1Names.OfPool(cidr)), v3);
    }

    private static (string, JsonObject, JsonObject) Node(V1Object metadata, V1Object spec)
    {
        var v3 = new JsonObject();
        if (spec.Has("bgp"))
        {
            var bgp = spec.Object("bgp");
            var v3Bgp = new JsonObject();
            foreach (var field in (string[])["asNumber", "ipv4Address", "ipv6Address"])
            {
                if (bgp.Take(field) is { } value)
                    v3Bgp[field] = value;
            }
            v3["bgp"] = v3Bgp;
        }
        Set(v3, "orchRefs", spec.Objects("orchRefs").Select(o =>
        {
            var reference = new JsonObject();
            Set(reference, "nodeName", o.Text("nodeName"));
            Set(reference, "orchestrator", o.Text("orchestrator"));
            return reference;
        }));
        return ("Node", Named(V1Names.OfNode(metadata.Required("name"))), v3);
    }

    private static (string, JsonObject, JsonObject) Policy(V1Object metadata, V1Object spec)
    {
        metadata.Take("tier");
        var v3 = new JsonObject { ["selector"] = V1Names.Selector(spec.Text("selector") ?? "") };
        if (spec.Take("order") is { } order)
            v3["order"] = order;
        var (ingress, egress) = (V1Rules.Convert(spec.Objects("ingress")), V1Rules.Convert(spec.Objects("egress")));
        Set(v3, "ingress", ingress);
        Set(v3, "egress", egress);
        var types = spec.Texts("types").Select(t => t.ToLowerInvariant() switch
        {
            "ingress" => "Ingress",
            "egress" => "Egress",
            _ => throw spec.Wrong("types", $"'{t}' is neither ingress nor egress"),
        }).ToList();
        // Without types, those that have rules, and ingress where none has.
        if (types.Count == 0)
            types = egress.Count == 0 ? ["Ingress"] : ingress.Count == 0 ? ["Egress"] : ["Ingress", "Egress"];
        Set(v3, "types", types);
        var (isUntracked, isPreDnat) = (spec.Flag("doNotTrack"), spec.Flag("preDNAT"));
        if (isUntracked)
            v3["doNotTrack"] = true;
        if (isPreDnat)
            v3["preDNAT"] = true;
        // What is not tracked or comes before NAT always applied to forwarded traffic; now it has to say so.
        if (isUntracked || isPreDnat)
            v3["applyOnForward"] = true;
        var named = Named(V1Names.WithoutDots(metadata.Required("name")));
        Set(named, "annotations", metadata.Map("annotations"));
        return ("GlobalNetworkPolicy", named, v3);
    }

    private static (string, JsonObject, JsonObject) Profile(V1Object metadata, V1Object spec)
    {
        var v3 = new JsonObject();
        var labels = metadata.Map("labels").ToDictionary(StringComparer.Ordinal);
        foreach (var tag in metadata.Texts("tags"))
        {
            if (!labels.TryAdd(tag, ""))
                throw metadata.Wrong("tags", $"the tag '{tag}' would become a label, but there is a label of that name; rename it first");
        }
        Set(v3, "labelsToApply", labels.Select(l => KeyValuePair.Create(V1Names.Label(l.Key), l.Value)));
        Set(v3, "ingress", V1Rules.Convert(spec.Objects("ingress")));
        Set(v3, "egress", V1Rules.Convert(spec.Objects("egress")));
        return ("Profile", Named(V1Names.OfProfile(metadata.Required("name"))), v3);
    }

    private static (string, JsonObject, JsonObject) Workload(V1Object metadata, V1Object spec)
    {
        var (orchestrator, workload, endpoint) = (metadata.Required("orchestrator"), metadata.Required("workload"), metadata.Required("name"));
        var (ns, container) = ("default", metadata.Text("activeInstanceID"));
        var v3 = new JsonObject { ["node"] = V1Names.OfNode(metadata.Required("node")), ["orchestrator"] = V1Names.Of(orchestrator), ["endpoint"] = V1Names.Of(endpoint) };
        switch (orchestrator)
        {
            case "k8s":
                var dot = workload.IndexOf('.', StringComparison.Ordinal);
                if (dot <= 0)
                    throw metadata.Wrong("workload", $"'{workload}' is not NAMESPACE.POD: this endpoint was not made by the CNI plugin and cannot be converted");
                ns = workload[..dot];
                v3["pod"] = workload[(dot + 1)..];
                Set(v3, "containerID", container);
                break;
            case "cni":
                v3["containerID"] = workload;
                break;
            default:
                v3["workload"] = orchestrator == "libnetwork" ? "libnetwork" : V1Names.Of(workload);
                break;
        }
        Set(v3, "ipNetworks", spec.Texts("ipNetworks").OrderBy(a => a.Contains(':', StringComparison.Ordinal)));
        Set(v3, "ipNATs", spec.Objects("ipNATs").Select(n => new JsonObject { ["internalIP"] = n.Required("internalIP"), ["externalIP"] = n.Required("externalIP") }));
        Set(v3, "ipv4Gateway", spec.Text("ipv4Gateway"));
        Set(v3, "ipv6Gateway", spec.Text("ipv6Gateway"));
        Set(v3, "profiles", spec.Texts("profiles").Select(V1Names.OfProfile));
        Set(v3, "interfaceName", spec.Text("interfaceName"));
        Set(v3, "mac", spec.Text("mac"));
        Set(v3, "ports", spec.Objects("ports").Select(Port));
        var workloadPart = (string?)(v3["pod"] ?? v3["workload"] ?? v3["containerID"]) ?? "";
        if (!new WorkloadEndpointName((string)v3["node"]!, (string)v3["orchestrator"]!, workloadPart, (string)v3["endpoint"]!).TryFormat(out var name, out var problem))
            throw metadata.Wrong("name", problem);
        var named = Named(name, metadata.Map("labels").Select(l => KeyValuePair.Create(V1Names.Label(l.Key), l.Value)));
        named["namespace"] = ns;
        return ("WorkloadEndpoint", named, v3);
    }

    private static JsonObject Port(V1Object port) => new()
    {
        ["name"] = port.Required("name"),
        ["protocol"] = V1Rules.Protocol(port.Take("protocol")),
        ["port"] = port.Take("port"),
    };

    private static JsonObject Named(string name, IEnumerable<KeyValuePair<string, string>>? labels = null)
    {
        var metadata = new JsonObject { ["name"] = name };
        Set(metadata, "labels", labels ?? []);
        return metadata;
    }

    private static void Set(JsonObject json, string name, string? value)
    {
        if (!string.IsNullOrEmpty(value))
            json[name] = value;
    }

    private static void Set(JsonObject json, string name, IEnumerable<string> values) => Set(json, name, values.Select(v => (JsonNode)JsonValue.Create(v)));

    private static void Set(JsonObject json, string name, IEnumerable<JsonNode> values)
    {
        if (values.ToArray() is { Length: > 0 } items)
            json[name] = new JsonArray(items);
    }

    private static void Set(JsonObject json, string name, IEnumerable<KeyValuePair<string, string>> values)
    {
        if (values.ToList() is { Count: > 0 } fields)
            json[name] = new JsonObject(fields.Select(f => KeyValuePair.Create(f.Key, (JsonNode?)JsonValue.Create(f.Value))));
    }
}

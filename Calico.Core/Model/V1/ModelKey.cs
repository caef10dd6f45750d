using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Net;

namespace Calico.Core.Model.V1;

/// <summary>
/// What a key in Calico's tree is: a resource, a record of IPAM, a status of Felix, or a key of the first data model, which
/// stores nothing any more but is still spoken of in logs and on the wire. The type and the names of the fields are
/// Calico's own.
/// </summary>
/// <param name="Type">Such as <c>BlockKey</c>.</param>
/// <param name="Fields">The parts, with escapes undone.</param>
/// <param name="Path">The one path that is written for it.</param>
public sealed record ModelKey(string Type, ImmutableSortedDictionary<string, string> Fields, string Path)
{
    private const string Resources = "/calico/resources/";
    private const string Ready = "/calico/v1/Ready";

    /// <summary>
    /// Reads a path as Calico's own parser does: the first slash may be missing, but not of resources and of the ready flag;
    /// names of options go on to the end of the path.
    /// </summary>
    public static bool TryParse(string path, [NotNullWhen(true)] out ModelKey? key)
    {
        key = path == Ready ? Of("ReadyFlagKey", Ready) : path.StartsWith(Resources, StringComparison.Ordinal) ? Resource(path)
            : Parse((path.StartsWith('/') ? path[1..] : path).Split('/'));
        return key is not null;
    }

    /// <summary>A name as one element of a path.</summary>
    public static string Escape(string name) => name.Replace("%", "%25", StringComparison.Ordinal).Replace("/", "%2f", StringComparison.Ordinal);

    public static string Unescape(string element) =>
        element.Replace("%2f", "/", StringComparison.OrdinalIgnoreCase).Replace("%25", "%", StringComparison.Ordinal);

    private static ModelKey? Resource(string path) => ResourceKey.TryParse(path, out var resource)
        ? Of("ResourceKey", resource.Path, ("Kind", resource.Kind.Kind), ("Namespace", resource.Namespace ?? ""), ("Name", resource.Name)) : null;

    private static ModelKey? Parse(string[] parts) => parts switch
    {
        ["calico", "v1", "config", ..] when Rest(parts, 3) is { } name => Of("GlobalConfigKey", $"/calico/v1/config/{name}", ("Name", name)),
        ["calico", "v1", "host", var host, .. var rest] when host.Length > 0 => OfHost(host, rest),
        ["calico", "v1", "netset", var name] when name.Length > 0 => Of("NetworkSetKey", $"/calico/v1/netset/{Again(name)}", ("Name", Unescape(name))),
        ["calico", "v1", "policy", .. var rest] => Policy(rest),
        ["calico", "v1", "ipam", var family, "pool", var cidr] when Dashed(cidr, "ip" + family) is { } pool =>
            Of("IPPoolKey", $"/calico/v1/ipam/{family}/pool/{Dashed(pool)}", ("CIDR", pool.ToString())),
        ["calico", "bgp", "v1", "global", ..] when Rest(parts, 4) is { } name => Of("GlobalBGPConfigKey", $"/calico/bgp/v1/global/{name}", ("Name", name)),
        ["calico", "bgp", "v1", "host", var node, ..] when node.Length > 0 && Rest(parts, 5) is { } name =>
            Of("NodeBGPConfigKey", $"/calico/bgp/v1/host/{node}/{name}", ("Nodename", node), ("Name", name)),
        ["calico", "ipam", "v2", .. var rest] => Ipam(rest),
        ["calico", "felix", "v1", "host", var host, "endpoint", var endpoint] when host.Length > 0 && endpoint.Length > 0 =>
            Of("HostEndpointStatusKey", $"/calico/felix/v1/host/{host}/endpoint/{Again(endpoint)}", ("Hostname", host), ("EndpointID", Unescape(endpoint))),
        ["calico", "felix", "v2", var region, "host", var host, .. var rest] when region.Length > 0 && host.Length > 0 => Status(region, host, rest),
        _ => null,
    };

    private static ModelKey? OfHost(string host, string[] rest) => rest switch
    {
        ["metadata"] => Of("HostIPKey", $"/calico/v1/host/{host}/metadata", ("Hostname", host)),
        ["wireguard"] => Of("WireguardKey", $"/calico/v1/host/{host}/wireguard", ("NodeName", host)),
        ["orchestrator_refs"] => Of("OrchRefKey", $"/calico/v1/host/{host}/orchestrator_refs", ("Hostname", host)),
        ["config", ..] when Rest(rest, 1) is { } name => Of("HostConfigKey", $"/calico/v1/host/{host}/config/{name}", ("Hostname", host), ("Name", name)),
        ["endpoint", var endpoint] when endpoint.Length > 0 =>
            Of("HostEndpointKey", $"/calico/v1/host/{host}/endpoint/{Again(endpoint)}", ("Hostname", host), ("EndpointID", Unescape(endpoint))),
        ["workload", var orchestrator, var workload, "endpoint", var endpoint] when orchestrator.Length > 0 && workload.Length > 0 && endpoint.Length > 0 =>
            Of("WorkloadEndpointKey", $"/calico/v1/host/{host}/workload/{Again(orchestrator)}/{Again(workload)}/endpoint/{Again(endpoint)}",
                ("Hostname", host), ("OrchestratorID", Unescape(orchestrator)), ("WorkloadID", Unescape(workload)), ("EndpointID", Unescape(endpoint))),
        _ => null,
    };

    private static ModelKey? Policy(string[] rest) => rest switch
    {
        ["tier", var tier, "metadata"] when tier.Length > 0 => Of("TierKey", $"/calico/v1/policy/tier/{Again(tier)}/metadata", ("Name", Unescape(tier))),
        ["tier", var tier, "policy", var name] when tier.Length > 0 && name.Length > 0 => Legacy(Unescape(tier), Unescape(name)),
        ["profile", var name, "rules" or "labels"] when name.Length > 0 => Of(rest[2] == "rules" ? "ProfileRulesKey" : "ProfileLabelsKey",
            $"/calico/v1/policy/profile/{Again(name)}/{rest[2]}", ("Name", Unescape(name))),
        [var kind, var ns, var name] when kind.Length > 0 && name.Length > 0 && kind.EndsWith("NetworkPolicy", StringComparison.Ordinal) =>
            Of("PolicyKey", $"/calico/v1/policy/{kind}/{Again(ns)}/{Again(name)}", ("Kind", kind), ("Namespace", Unescape(ns)), ("Name", Unescape(name))),
        _ => null,
    };

    // What releases before 3.32 called a policy: its kind is in the name.
    private static ModelKey Legacy(string tier, string name)
    {
        var slash = name.IndexOf('/', StringComparison.Ordinal);
        var (ns, bare) = slash < 0 ? ("", name) : (name[..slash], name[(slash + 1)..]);
        var isStaged = bare.StartsWith("staged:", StringComparison.Ordinal);
        if (isStaged)
            bare = bare["staged:".Length..];
        var (kind, rest) = bare.StartsWith("knp.default.", StringComparison.Ordinal) ? ("KubernetesNetworkPolicy", bare["knp.default.".Length..])
            : bare.StartsWith("kcnp.", StringComparison.Ordinal) ? ("KubernetesClusterNetworkPolicy", bare["kcnp.".Length..])
            : ns.Length > 0 ? ("NetworkPolicy", bare) : ("GlobalNetworkPolicy", bare);
        return Of("LegacyPolicyKey", $"/calico/v1/policy/tier/{Escape(tier)}/policy/{Escape(name)}",
            ("Tier", tier), ("Kind", isStaged ? "Staged" + kind : kind), ("Namespace", ns), ("Name", rest));
    }

    private static ModelKey? Ipam(string[] rest) => rest switch
    {
        ["config"] => Of("IPAMConfigKey", IpamKeys.Config),
        ["handle", var id] when id.Length > 0 => Of("IPAMHandleKey", IpamKeys.Handle(id), ("HandleID", id)),
        ["host", var host] when host.Length > 0 => Of("IPAMHostKey", IpamKeys.HostPrefix + host, ("Host", host)),
        ["assignment", var family, "block", var block] when Dashed(block, family) is { } cidr => Of("BlockKey", IpamKeys.Block(cidr), ("CIDR", cidr.ToString())),
        ["host" or "virtual", var owner, var family, "block", var block] when owner.Length > 0 && Dashed(block, family) is { } cidr => Of("BlockAffinityKey",
            $"/calico/ipam/v2/{rest[0]}/{owner}/{family}/block/{Dashed(cidr)}", ("CIDR", cidr.ToString()), ("Host", owner), ("AffinityType", rest[0])),
        _ => null,
    };

    private static ModelKey? Status(string region, string host, string[] rest) => rest switch
    {
        ["status"] => Of("ActiveStatusReportKey", $"/calico/felix/v2/{region}/host/{host}/status", ("Hostname", host), ("RegionString", region)),
        ["last_reported_status"] => Of("LastStatusReportKey", $"/calico/felix/v2/{region}/host/{host}/last_reported_status", ("Hostname", host), ("RegionString", region)),
        ["workload", var orchestrator, var workload, "endpoint", var endpoint] when orchestrator.Length > 0 && workload.Length > 0 && endpoint.Length > 0 =>
            Of("WorkloadEndpointStatusKey", $"/calico/felix/v2/{region}/host/{host}/workload/{Again(orchestrator)}/{Again(workload)}/endpoint/{Again(endpoint)}",
                ("Hostname", host), ("OrchestratorID", Unescape(orchestrator)), ("WorkloadID", Unescape(workload)), ("EndpointID", Unescape(endpoint)), ("RegionString", region)),
        _ => null,
    };

    private static ModelKey Of(string type, string path, params (string Name, string Value)[] fields) =>
        new(type, fields.ToImmutableSortedDictionary(f => f.Name, f => f.Value, StringComparer.Ordinal), path);

    private static string? Rest(string[] parts, int from) =>
        parts.Length > from && string.Join('/', parts[from..]) is { Length: > 0 } rest ? rest : null;

    private static string Again(string element) => Escape(Unescape(element));

    private static Cidr? Dashed(string text, string family)
    {
        var dash = text.LastIndexOf('-');
        return dash > 0 && Cidr.TryParse($"{text.AsSpan(0, dash)}/{text.AsSpan(dash + 1)}", out var cidr) && family == (cidr.IsV4 ? "ipv4" : "ipv6")
            ? cidr.Network : null;
    }

    private static string Dashed(Cidr cidr) => $"{cidr.Address}-{cidr.PrefixLength}";
}

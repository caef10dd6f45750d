using System.Text.Json.Nodes;
using Calico.Core.Ipam;

namespace Calico.Ctl.Commands.Migration;

/// <summary>Nodes that get other names, and everything of IPAM that names them.</summary>
internal sealed class NodeNames
{
    private static readonly string[] TunnelHandles = ["ipip-tunnel-addr-", "vxlan-tunnel-addr-", "vxlan-v6-tunnel-addr-", "wireguard-tunnel-addr-", "wireguard-v6-tunnel-addr-"];

    private readonly Dictionary<string, string> _names = new(StringComparer.Ordinal);

    public string Add(string old, string name) => _names[old] = name;

    /// <summary>The new name of a node, or the old one.</summary>
    public string Of(string old) => _names.GetValueOrDefault(old, old);

    /// <summary>The key of an affinity or of a tunnel's handle with the new name; every other key as it is.</summary>
    public string InKey(string key)
    {
        if (IpamKeys.TryParseAffinity(key, out var node, out var block))
            return IpamKeys.Affinity(Of(node), block);
        return key.StartsWith(IpamKeys.HandlePrefix, StringComparison.Ordinal) ? IpamKeys.HandlePrefix + InHandle(key[IpamKeys.HandlePrefix.Length..]) : key;
    }

    /// <summary>A block with the new names of its owner and of the nodes of its addresses; every other value as it is.</summary>
    public JsonNode InValue(string list, JsonNode value)
    {
        if (list != "blocks" || value is not JsonObject block)
            return value;
        if (Text(block, "affinity") is { } affinity && affinity.StartsWith("host:", StringComparison.Ordinal))
            block["affinity"] = "host:" + Of(affinity["host:".Length..]);
        foreach (var attributes in (block["attributes"] as JsonArray ?? []).OfType<JsonObject>())
        {
            if (Text(attributes, "handle_id") is { } handle)
                attributes["handle_id"] = InHandle(handle);
            foreach (var owner in new[] { "secondary", "alternate" }.Select(o => attributes[o]).OfType<JsonObject>())
            {
                if (Text(owner, "node") is { } node)
                    owner["node"] = Of(node);
            }
        }
        return block;
    }

    private string InHandle(string handle) => TunnelHandles.FirstOrDefault(p => handle.StartsWith(p, StringComparison.Ordinal)) is { } prefix
        ? prefix + Of(handle[prefix.Length..])
        : handle;

    private static string? Text(JsonObject json, string name) => json[name] is JsonValue value && value.TryGetValue<string>(out var text) ? text : null;
}

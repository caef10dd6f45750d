using System.Text.Json.Nodes;

namespace Calico.Core.Model.V1;

/// <summary>Rules of the first API: one net beside the nets, tags beside selectors, protocols and actions in lower case.</summary>
internal static class V1Rules
{
    private static readonly Dictionary<string, string> Protocols = new(StringComparer.OrdinalIgnoreCase)
    {
        ["tcp"] = "TCP",
        ["udp"] = "UDP",
        ["icmp"] = "ICMP",
        ["icmpv6"] = "ICMPv6",
        ["sctp"] = "SCTP",
        ["udplite"] = "UDPLite",
    };

    public static List<JsonNode> Convert(IEnumerable<V1Object> rules) => [.. rules.Select(r => (JsonNode)Convert(r))];

    /// <summary>A protocol's name in today's spelling; a number as it is.</summary>
    public static JsonNode? Protocol(JsonNode? protocol) =>
        protocol is JsonValue value && value.TryGetValue<string>(out var name) && Protocols.TryGetValue(name, out var spelling) ? JsonValue.Create(spelling) : protocol;

    private static JsonObject Convert(V1Object rule)
    {
        var v3 = new JsonObject { ["action"] = Action(rule) };
        foreach (var field in (string[])["ipVersion", "icmp", "notICMP"])
        {
            if (rule.Take(field) is { } value)
                v3[field] = value;
        }
        foreach (var field in (string[])["protocol", "notProtocol"])
        {
            if (Protocol(rule.Take(field)) is { } value)
                v3[field] = value;
        }
        foreach (var side in (string[])["source", "destination"])
        {
            if (Entity(rule.Object(side)) is { Count: > 0 } entity)
                v3[side] = entity;
        }
        return v3;
    }

    private static string Action(V1Object rule) => (rule.Text("action") ?? "").ToLowerInvariant() switch
    {
        "" or "allow" => "Allow",
        "deny" => "Deny",
        "log" => "Log",
        "pass" or "next-tier" => "Pass",
        var other => throw rule.Wrong("action", $"'{other}' is none of allow, deny, log and pass"),
    };

    private static JsonObject Entity(V1Object entity)
    {
        var v3 = new JsonObject();
        foreach (var (nets, net, selector, tag, ports) in ((string, string, string, string, string)[])
            [("nets", "net", "selector", "tag", "ports"), ("notNets", "notNet", "notSelector", "notTag", "notPorts")])
        {
            List<string> all = [.. entity.Texts(nets), .. entity.Text(net) is { } single ? [single] : (string[])[]];
            if (all.Count > 0)
                v3[nets] = new JsonArray([.. all.Select(n => (JsonNode)JsonValue.Create(n))]);
            if (Selector(entity.Text(selector), entity.Text(tag)) is { Length: > 0 } merged)
                v3[selector] = merged;
            if (entity.Take(ports) is { } list)
                v3[ports] = list;
        }
        return v3;
    }

    // A tag is a label without a value now.
    private static string Selector(string? selector, string? tag)
    {
        var text = V1Names.Selector(selector ?? "");
        return string.IsNullOrEmpty(tag) ? text : text.Length > 0 ? $"({text}) && {tag} == ''" : $"{tag} == ''";
    }
}

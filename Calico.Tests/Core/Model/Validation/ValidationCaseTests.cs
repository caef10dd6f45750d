using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Model.Validation;

namespace Calico.Tests.Core.Model.Validation;

/// <summary>Replays the validation table: whole resources, specs and fragments, wrapped as its README says.</summary>
[Layer("unit")]
public class ValidationCaseTests
{
    [SkippableFact]
    public void Valid_and_invalid_resources_are_told_apart()
    {
        var rows = Cases.Read("03-validation/cases.json").EnumerateArray().Select(r => (Row: r, Json: Wrap(r))).ToList();

        var wrong = rows.Where(r => (Refusal(r.Json) is null) != r.Row.GetProperty("valid").GetBoolean())
            .Select(r => $"{r.Row.GetProperty("id")} {r.Row.GetProperty("name")} valid={r.Row.GetProperty("valid")}: {Refusal(r.Json) ?? r.Json.GetRawText()}");

        Assert.Equal(283, rows.Count);
        Assert.Empty(wrong);
    }

    [SkippableFact]
    public void Valid_resources_survive_decoding_and_encoding()
    {
        var rows = Cases.Read("03-validation/cases.json").EnumerateArray()
            .Where(r => r.GetProperty("valid").GetBoolean()).Select(r => (Id: r.GetProperty("id").GetString(), Json: Wrap(r))).ToList();

        var changed = rows.Select(r => (r.Id, Before: Cleaned(Node(r.Json)), After: Cleaned(Node(ResourceCodec.ToJson(ResourceCodec.ParseStrict(r.Json))))))
            .Where(r => !JsonNode.DeepEquals(r.Before, r.After));

        Assert.NotEmpty(rows);
        Assert.Empty(changed.Select(r => $"{r.Id}: {r.Before?.ToJsonString()} became {r.After?.ToJsonString()}"));
    }

    // Go drops empty values of optional fields and writes zeros of the others; neither is a difference in meaning.
    private static JsonNode? Cleaned(JsonNode? node)
    {
        switch (node)
        {
            case JsonObject fields:
                var kept = new JsonObject();
                foreach (var (name, value) in fields)
                {
                    var cleaned = Cleaned(value);
                    if (cleaned is not (null or JsonObject { Count: 0 } or JsonArray { Count: 0 }) && cleaned.ToJsonString() is not ("false" or "0" or "\"\""))
                        kept[name] = cleaned;
                }
                return kept;
            case JsonArray items:
                return new JsonArray([.. items.Select(Cleaned)]);
            default:
                return node?.DeepClone();
        }
    }

    private static string? Refusal(JsonElement json)
    {
        try
        {
            ResourceValidator.Check(ResourceDefaults.Apply(ResourceCodec.ParseStrict(json)));
            return null;
        }
        catch (InvalidResourceException e)
        {
            return e.Message;
        }
    }

    /// <summary>The whole resource of a row.</summary>
    internal static JsonElement Wrap(JsonElement row)
    {
        if (row.TryGetProperty("resource", out var resource))
            return resource;
        var goType = row.GetProperty("goType").GetString()!;
        if (row.TryGetProperty("spec", out var spec))
            return Envelope(row.GetProperty("kind").GetString()!, Node(spec));
        var part = Node(row.GetProperty("fragment"));
        return goType switch
        {
            "Rule" => Rule(part),
            "EntityRule" => Rule(new JsonObject { ["action"] = "Allow", ["source"] = part }),
            "ICMPFields" => Rule(new JsonObject { ["action"] = "Allow", ["protocol"] = "ICMP", ["icmp"] = part }),
            "Protocol" => Rule(new JsonObject { ["action"] = "Allow", ["protocol"] = part }),
            "HTTPMatch" => Rule(new JsonObject { ["action"] = "Allow", ["protocol"] = "TCP", ["http"] = part }),
            "BGPFilterRuleV4" => Envelope("BGPFilter", new JsonObject { ["importV4"] = new JsonArray(part) }),
            "BGPFilterRuleV6" => Envelope("BGPFilter", new JsonObject { ["importV6"] = new JsonArray(part) }),
            "BGPFilterOperation" => Envelope("BGPFilter", new JsonObject
            {
                ["importV4"] = new JsonArray(new JsonObject { ["action"] = "Accept", ["operations"] = new JsonArray(part) }),
            }),
            "ProtoPort" => Envelope("FelixConfiguration", new JsonObject { ["failsafeInboundHostPorts"] = new JsonArray(part) }),
            "WorkloadEndpointPort" => Envelope("WorkloadEndpoint",
                new JsonObject { ["interfaceName"] = "cali0", ["ports"] = new JsonArray(part) }),
            "Template" => Controllers(new JsonObject { ["node"] = new JsonObject { ["hostEndpoint"] = new JsonObject { ["templates"] = new JsonArray(part) } } }),
            "NodeControllerConfig" => Controllers(new JsonObject { ["node"] = part }),
            "NamespaceControllerConfig" => Controllers(new JsonObject { ["namespace"] = part }),
            _ => throw new InvalidOperationException($"no wrapping for a {goType}"),
        };
    }

    private static JsonElement Rule(JsonNode? rule) => Envelope("GlobalNetworkPolicy", new JsonObject { ["ingress"] = new JsonArray(rule) });

    private static JsonElement Controllers(JsonObject controllers) =>
        Envelope("KubeControllersConfiguration", new JsonObject { ["controllers"] = controllers });

    private static JsonElement Envelope(string kind, JsonNode? spec)
    {
        var named = kind is "FelixConfiguration" or "BGPConfiguration" or "KubeControllersConfiguration" ? "default" : "name";
        var resource = new JsonObject
        {
            ["apiVersion"] = Resource.CurrentApiVersion,
            ["kind"] = kind,
            ["metadata"] = new JsonObject { ["name"] = named },
            ["spec"] = spec,
        };
        return JsonDocument.Parse(resource.ToJsonString()).RootElement.Clone();
    }

    private static JsonNode? Node(JsonElement element) => JsonNode.Parse(element.GetRawText());
}

using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore.Kubernetes.Client;

namespace Calico.Datastore.Kubernetes.Mapping;

/// <summary>Blocks. The spec has the fields of the value, but for the name of one and two that are always there.</summary>
internal sealed class BlockMap(KubeResource resource) : SpecMap(resource, IpamKeys.BlockPrefix)
{
    private const string ClaimTimeInValue = "affinity_claim_time";
    private const string ClaimTimeInSpec = "affinityClaimTime";

    // Deprecated, but Calico's definition of the resource demands it.
    private const string StrictAffinity = "strictAffinity";

    // The order in which IPAM writes them: the API server gives everything in the order of the alphabet.
    private static readonly string[] InOrder =
        ["cidr", "affinity", ClaimTimeInSpec, "allocations", "unallocated", "attributes", "deleted", "sequenceNumber", "sequenceNumberForAllocation"];

    private static readonly string[] AttributesInOrder = ["handle_id", "secondary", "alternateOwnerAttrs", "releasedAt"];

    public override bool TryLocate(string key, out ObjectName name)
    {
        name = default;
        if (!IpamKeys.TryParseBlock(key, out var block) || IpamKeys.Block(block) != key)
            return false;
        name = new ObjectName(null, NameOf(block));
        return true;
    }

    private static string CidrOf(string key) =>
        IpamKeys.TryParseBlock(key, out var block) ? block.ToString() : throw Refused(key, "it names no block");

    public override string? KeyOf(KubeItem item) => Cidr.TryParse(item.SpecText("cidr") ?? "", out var block) ? IpamKeys.Block(block) : null;

    public override byte[]? ValueOf(KubeItem item)
    {
        if (IsTombstone(item) || !item.Json.TryGetProperty("spec", out var spec) || spec.ValueKind != JsonValueKind.Object)
            return null;
        var value = new JsonObject();
        foreach (var name in InOrder)
        {
            var isThere = spec.TryGetProperty(name, out var field) && field.ValueKind != JsonValueKind.Null;
            switch (name)
            {
                case ClaimTimeInSpec when isThere:
                    value[ClaimTimeInValue] = JsonForms.Node(field);
                    break;
                case ClaimTimeInSpec:
                    break;
                case "deleted":
                    value[name] = false;
                    break;
                case "sequenceNumber" when !isThere:
                    value[name] = 0;
                    break;
                case "sequenceNumberForAllocation" when !isThere:
                    value[name] = new JsonObject();
                    break;
                case "attributes" when isThere && field.ValueKind == JsonValueKind.Array:
                    value[name] = new JsonArray([.. field.EnumerateArray().Select(a => Ordered(a))]);
                    break;
                default:
                    value[name] = isThere ? JsonForms.Node(field) : null;
                    break;
            }
        }
        foreach (var field in spec.EnumerateObject().Where(f => f.Name != StrictAffinity && !InOrder.Contains(f.Name)))
            value[field.Name] = JsonForms.Node(field.Value);
        return JsonForms.Bytes(value);
    }

    private static JsonNode? Ordered(JsonElement attributes)
    {
        if (attributes.ValueKind != JsonValueKind.Object)
            return JsonForms.Node(attributes);
        var ordered = new JsonObject();
        foreach (var name in AttributesInOrder)
        {
            if (attributes.TryGetProperty(name, out var field))
                ordered[name] = JsonForms.Node(field);
        }
        foreach (var field in attributes.EnumerateObject().Where(f => !AttributesInOrder.Contains(f.Name)))
            ordered[field.Name] = JsonForms.Node(field.Value);
        return ordered;
    }

    public override KubeWrite Put(KubeItem? existing, string key, ReadOnlyMemory<byte> value)
    {
        var block = Parse(key, value);
        var spec = new JsonObject();
        // What is null in a value is absent in an object.
        foreach (var (name, field) in block.Where(f => f.Value is not null))
            spec[name == ClaimTimeInValue ? ClaimTimeInSpec : name] = field!.DeepClone();
        foreach (var attributes in (spec["attributes"] as JsonArray ?? []).OfType<JsonObject>())
        {
            foreach (var nothing in attributes.Where(a => a.Value is null).Select(a => a.Key).ToList())
                attributes.Remove(nothing);
        }
        spec["cidr"] = CidrOf(key);
        spec["deleted"] = block["deleted"] is JsonValue deleted && deleted.TryGetValue<bool>(out var isDeleted) && isDeleted;
        spec[StrictAffinity] = existing?.Spec(StrictAffinity) is { ValueKind: JsonValueKind.True };
        return Whole(existing, key, spec);
    }

    public override JsonObject Placeholder(string key)
    {
        var body = NewObject(key);
        body["spec"] = new JsonObject
        {
            ["cidr"] = CidrOf(key),
            ["allocations"] = new JsonArray(),
            ["unallocated"] = new JsonArray(),
            ["attributes"] = new JsonArray(),
            ["deleted"] = false,
            [StrictAffinity] = false,
        };
        return body;
    }
}

using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Calico.Datastore.Kubernetes.Client;

/// <summary>JSON between its forms: bytes, elements that are read, objects that are changed.</summary>
internal static class JsonForms
{
    private static readonly JsonWriterOptions WriterOptions = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>For JSON inside of strings.</summary>
    public static JsonSerializerOptions TextOptions { get; } = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static string Quoted(string text) => $"\"{JavaScriptEncoder.UnsafeRelaxedJsonEscaping.Encode(text)}\"";

    public static JsonNode? Node(JsonElement json) => json.ValueKind switch
    {
        JsonValueKind.Object => JsonObject.Create(json),
        JsonValueKind.Array => JsonArray.Create(json),
        JsonValueKind.Null or JsonValueKind.Undefined => null,
        _ => JsonValue.Create(json),
    };

    /// <summary>A copy that may be changed.</summary>
    public static JsonObject Editable(JsonElement json) => JsonObject.Create(json)?.DeepClone().AsObject() ?? [];

    public static JsonElement Element(JsonNode node)
    {
        using var document = JsonDocument.Parse(Bytes(node));
        return document.RootElement.Clone();
    }

    public static byte[] Bytes(JsonNode node)
    {
        var buffer = new ArrayBufferWriter<byte>(512);
        using (var writer = new Utf8JsonWriter(buffer, WriterOptions))
            node.WriteTo(writer);
        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>The object in these bytes; null if they are none.</summary>
    public static JsonElement? TryParse(ReadOnlyMemory<byte> json) => TryParseAny(json) is { ValueKind: JsonValueKind.Object } parsed ? parsed : null;

    /// <summary>The JSON in a text; null if it is none.</summary>
    public static JsonElement? TryParseAny(string json) => TryParseAny(System.Text.Encoding.UTF8.GetBytes(json));

    private static JsonElement? TryParseAny(ReadOnlyMemory<byte> json)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            return document.RootElement.Clone();
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary>The member as an object, made if it is missing.</summary>
    public static JsonObject Child(JsonObject parent, string name)
    {
        if (parent[name] is JsonObject child)
            return child;
        child = [];
        parent[name] = child;
        return child;
    }

    /// <summary>RFC 7396: members of the patch replace, null removes, objects are merged.</summary>
    public static void Merge(JsonObject target, JsonObject patch)
    {
        foreach (var (name, value) in patch)
        {
            if (value is null)
                target.Remove(name);
            else if (value is JsonObject inner)
                Merge(Child(target, name), inner);
            else
                target[name] = value.DeepClone();
        }
    }
}

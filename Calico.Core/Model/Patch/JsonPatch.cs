using System.Globalization;
using System.Text.Json.Nodes;

namespace Calico.Core.Model.Patch;

/// <summary>A list of operations on an object (RFC 6902), each naming its place by a pointer (RFC 6901).</summary>
public static class JsonPatch
{
    /// <summary>More operations than this are a mistake.</summary>
    public const int MaxOperations = 10_000;

    /// <summary>The object after all operations, in order; neither argument is changed.</summary>
    /// <exception cref="PatchException">An operation is malformed or does not fit: nothing is to be stored then.</exception>
    public static JsonNode? Apply(JsonNode? target, JsonNode? patch)
    {
        if (patch is not JsonArray operations)
            throw new PatchException("a JSON patch is a list of operations, such as [{\"op\": \"replace\", \"path\": \"/spec/order\", \"value\": 10}]");
        if (operations.Count > MaxOperations)
            throw new PatchException($"a JSON patch of {operations.Count} operations; {MaxOperations} are allowed");
        var document = target?.DeepClone();
        for (var i = 0; i < operations.Count; i++)
        {
            try
            {
                document = ApplyOne(document, operations[i] as JsonObject ?? throw new PatchException("it is not an object"));
            }
            catch (PatchException e)
            {
                throw new PatchException($"operation {i + 1}: {e.Message}", e);
            }
        }
        return document;
    }

    private static JsonNode? ApplyOne(JsonNode? document, JsonObject operation)
    {
        var path = Pointer(operation, "path");
        switch (Text(operation, "op"))
        {
            case "add":
                return Add(document, path, Value(operation));
            case "remove":
                return Remove(document, path).Document;
            case "replace":
                return Add(Remove(document, path).Document, path, Value(operation));
            case "copy":
                return Add(document, path, Find(document, Pointer(operation, "from"))?.DeepClone());
            case "move":
                var from = Pointer(operation, "from");
                if (path.Length > from.Length && path.AsSpan(0, from.Length).SequenceEqual(from))
                    throw new PatchException($"{Show(from)} cannot be moved into itself");
                var (without, moved) = Remove(document, from);
                return Add(without, path, moved);
            case "test":
                return JsonNode.DeepEquals(Find(document, path), Value(operation))
                    ? document
                    : throw new PatchException($"the test of {Show(path)} failed");
            case var other:
                throw new PatchException($"there is no operation '{other}': add, remove, replace, move, copy and test are");
        }
    }

    private static JsonNode? Add(JsonNode? document, string[] path, JsonNode? value)
    {
        if (path.Length == 0)
            return value;
        switch (Find(document, path[..^1]))
        {
            case JsonObject fields:
                fields[path[^1]] = value;
                return document;
            case JsonArray items:
                items.Insert(path[^1] == "-" ? items.Count : Index(path, items.Count), value);
                return document;
            default:
                throw new PatchException($"{Show(path[..^1])} is neither an object nor a list");
        }
    }

    private static (JsonNode? Document, JsonNode? Removed) Remove(JsonNode? document, string[] path)
    {
        if (path.Length == 0)
            return (null, document);
        switch (Find(document, path[..^1]))
        {
            case JsonObject fields when fields.ContainsKey(path[^1]):
                var removed = fields[path[^1]];
                fields.Remove(path[^1]);
                return (document, removed);
            case JsonArray items:
                var index = Index(path, items.Count - 1);
                var item = items[index];
                items.RemoveAt(index);
                return (document, item);
            default:
                throw new PatchException($"{Show(path)} does not exist");
        }
    }

    private static JsonNode? Find(JsonNode? document, string[] path)
    {
        for (var i = 0; i < path.Length; i++)
        {
            document = document switch
            {
                JsonObject fields when fields.ContainsKey(path[i]) => fields[path[i]],
                JsonArray items => items[Index(path[..(i + 1)], items.Count - 1)],
                _ => throw new PatchException($"{Show(path[..(i + 1)])} does not exist"),
            };
        }
        return document;
    }

    private static int Index(string[] path, int last) =>
        int.TryParse(path[^1], NumberStyles.None, CultureInfo.InvariantCulture, out var index) && index <= last && (path[^1] == "0" || path[^1][0] != '0')
            ? index
            : throw new PatchException($"{Show(path)}: the list has no such place");

    private static string[] Pointer(JsonObject operation, string name)
    {
        var text = Text(operation, name);
        if (text.Length == 0)
            return [];
        if (text[0] != '/')
            throw new PatchException($"the {name} '{text}' does not begin with '/'");
        return [.. text[1..].Split('/').Select(s => s.Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal))];
    }

    private static string Text(JsonObject operation, string name) =>
        operation[name] is JsonValue value && value.TryGetValue<string>(out var text) ? text : throw new PatchException($"it has no '{name}'");

    private static JsonNode? Value(JsonObject operation) =>
        operation.ContainsKey("value") ? operation["value"]?.DeepClone() : throw new PatchException("it has no 'value'");

    private static string Show(string[] path) =>
        "/" + string.Join('/', path.Select(s => s.Replace("~", "~0", StringComparison.Ordinal).Replace("/", "~1", StringComparison.Ordinal)));
}

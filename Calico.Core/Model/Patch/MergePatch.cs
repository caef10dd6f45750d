using System.Text.Json.Nodes;

namespace Calico.Core.Model.Patch;

/// <summary>
/// Patches that look like the object: fields of the patch replace those of the object, null removes one, objects are
/// merged. <see cref="Apply"/> is RFC 7396; <see cref="ApplyStrategic"/> is what Kubernetes makes of it for the types of
/// Calico, where every list but <c>metadata.finalizers</c> is replaced as a whole, with its directives.
/// </summary>
public static class MergePatch
{
    private const string Directive = "$patch";
    private const string RetainKeys = "$retainKeys";

    /// <summary>The object afterwards; neither argument is changed.</summary>
    public static JsonNode? Apply(JsonNode? target, JsonNode? patch)
    {
        if (patch is not JsonObject changes)
            return patch?.DeepClone();
        var merged = target is JsonObject fields ? (JsonObject)fields.DeepClone() : [];
        foreach (var (name, value) in changes)
        {
            if (value is null)
                merged.Remove(name);
            else
                merged[name] = Apply(merged[name], value);
        }
        return merged;
    }

    /// <inheritdoc cref="Apply"/>
    /// <exception cref="PatchException">A directive is unknown or in the wrong place.</exception>
    public static JsonNode? ApplyStrategic(JsonNode? target, JsonNode? patch) => Strategic(target, patch, "");

    private static JsonNode? Strategic(JsonNode? target, JsonNode? patch, string path)
    {
        if (patch is not JsonObject changes)
            return path == "/metadata/finalizers" && patch is JsonArray more && target is JsonArray present ? Union(present, more) : patch?.DeepClone();
        switch (changes[Directive])
        {
            case null:
                break;
            case JsonValue directive when directive.TryGetValue<string>(out var what):
                if (what == "replace")
                    return Without(changes, Directive);
                if (what == "delete")
                    return new JsonObject();
                if (what != "merge")
                    throw new PatchException($"{Where(path)}: unknown directive {Directive}: {what}; it may be replace, delete or merge");
                break;
            default:
                throw new PatchException($"{Where(path)}: {Directive} must be a string");
        }
        var merged = target is JsonObject fields ? (JsonObject)fields.DeepClone() : [];
        if (changes[RetainKeys] is JsonArray kept)
        {
            var names = kept.Select(k => k?.ToString()).ToHashSet();
            foreach (var name in merged.Select(f => f.Key).Where(n => !names.Contains(n)).ToList())
                merged.Remove(name);
        }
        foreach (var (name, value) in changes)
        {
            if (name is Directive or RetainKeys)
                continue;
            if (name.StartsWith("$deleteFromPrimitiveList/", StringComparison.Ordinal))
                Remove(merged, name[(name.IndexOf('/', StringComparison.Ordinal) + 1)..], value);
            else if (name.StartsWith("$setElementOrder/", StringComparison.Ordinal))
                continue;
            else if (value is null)
                merged.Remove(name);
            else
                merged[name] = Strategic(merged[name], value, $"{path}/{name}");
        }
        return merged;
    }

    private static JsonObject Without(JsonObject changes, string name)
    {
        var copy = (JsonObject)changes.DeepClone();
        copy.Remove(name);
        return copy;
    }

    private static JsonArray Union(JsonArray present, JsonArray more) =>
        [.. present.Concat(more.Where(m => !present.Any(p => JsonNode.DeepEquals(p, m)))).Select(n => n?.DeepClone())];

    private static void Remove(JsonObject merged, string list, JsonNode? values)
    {
        if (merged[list] is JsonArray present && values is JsonArray gone)
            merged[list] = new JsonArray([.. present.Where(p => !gone.Any(g => JsonNode.DeepEquals(p, g))).Select(n => n?.DeepClone())]);
    }

    private static string Where(string path) => path.Length == 0 ? "patch" : path;
}

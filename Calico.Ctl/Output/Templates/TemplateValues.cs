using System.Collections;
using System.Globalization;
using System.Text.Json;

namespace Calico.Ctl.Output.Templates;

/// <summary>
/// Values of a template: null, bool, long, double, string, a list (<c>List</c> of values) or an object (JSON). Go's
/// rules for what is true, how it prints and which fields an object has.
/// </summary>
internal static class TemplateValues
{
    public static object? From(JsonElement json) => json.ValueKind switch
    {
        JsonValueKind.String => json.GetString(),
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        JsonValueKind.Number => json.TryGetInt64(out var whole) ? whole : json.GetDouble(),
        JsonValueKind.Array => json.EnumerateArray().Select(From).ToList(),
        JsonValueKind.Object => json,
        _ => null,
    };

    /// <exception cref="CtlException">A step of the path goes into what has no fields.</exception>
    public static object? Find(object? value, List<string> path)
    {
        foreach (var name in path)
        {
            value = value switch
            {
                JsonElement json => Field(json, name),
                null or "" => value,
                _ => throw new CtlException($"template: can't evaluate field {name} in {Text(value)}"),
            };
        }
        return value;
    }

    public static bool IsTrue(object? value) => value switch
    {
        null => false,
        bool flag => flag,
        string text => text.Length > 0,
        long number => number != 0,
        double number => number != 0,
        ICollection items => items.Count > 0,
        JsonElement json => json.EnumerateObject().Any(),
        _ => true,
    };

    /// <summary>What range goes over: items by their places, fields in order of their names, the numbers below a number.</summary>
    /// <exception cref="CtlException">The value has no items.</exception>
    public static IEnumerable<(object? Key, object? Value)> Items(object? value) => value switch
    {
        null => [],
        IList items => items.Cast<object?>().Select((item, i) => ((object?)(long)i, item)),
        JsonElement json => json.EnumerateObject().OrderBy(f => f.Name, StringComparer.Ordinal).Select(f => ((object?)f.Name, From(f.Value))),
        long count => Numbers(count),
        _ => throw new CtlException($"template: range can't iterate over {Text(value)}"),
    };

    /// <summary>As Go prints it: <c>[a b]</c>, <c>map[a:b]</c>.</summary>
    public static string Text(object? value) => value switch
    {
        null => "<no value>",
        bool flag => flag ? "true" : "false",
        double number => number.ToString("R", CultureInfo.InvariantCulture),
        IFormattable other => other.ToString(null, CultureInfo.InvariantCulture),
        string text => text,
        IList items => $"[{string.Join(' ', items.Cast<object?>().Select(Text))}]",
        JsonElement json => $"map[{string.Join(' ', json.EnumerateObject().OrderBy(f => f.Name, StringComparer.Ordinal).Select(f => $"{f.Name}:{Text(From(f.Value))}"))}]",
        _ => value.ToString() ?? "",
    };

    // The metadata's fields are the object's own in Go; what is not set prints as nothing, as the zero value does there.
    private static object? Field(JsonElement json, string name)
    {
        if (json.TryGetProperty(name, out var exact))
            return From(exact);
        if (name == "TypeMeta")
            return json;
        var hasMetadata = json.TryGetProperty("metadata", out var metadata) && metadata.ValueKind == JsonValueKind.Object;
        if (name is "ObjectMeta" or "ListMeta")
            return hasMetadata ? metadata : null;
        foreach (var field in json.EnumerateObject())
        {
            if (field.Name.Equals(name, StringComparison.OrdinalIgnoreCase))
                return From(field.Value);
        }
        return hasMetadata ? Field(metadata, name) : "";
    }

    private static IEnumerable<(object?, object?)> Numbers(long count)
    {
        for (long i = 0; i < count; i++)
            yield return (i, i);
    }
}

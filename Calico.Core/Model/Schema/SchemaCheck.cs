using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using System.Text.RegularExpressions;
using Calico.Core.Model.Json;
using Calico.Core.Net;

namespace Calico.Core.Model.Schema;

/// <summary>
/// Checks JSON against the records that hold it. Reports everything, with the path of each field, in two steps: first
/// whether it can be decoded without loss (types, unknown fields), then the limits that the records' attributes state.
/// </summary>
internal static class SchemaCheck
{
    /// <summary>What makes user input undecodable or has no place in the record.</summary>
    public static ImmutableArray<FieldError> Structure(JsonElement json, JsonTypeInfo type)
    {
        var errors = ImmutableArray.CreateBuilder<FieldError>();
        Object(json, type, "", strict: true, errors);
        return errors.ToImmutable();
    }

    /// <summary>Which limits a decoded object breaks.</summary>
    public static ImmutableArray<FieldError> Limits(JsonElement json, JsonTypeInfo type)
    {
        var errors = ImmutableArray.CreateBuilder<FieldError>();
        Object(json, type, "", strict: false, errors);
        return errors.ToImmutable();
    }

    private static void Object(JsonElement json, JsonTypeInfo type, string path, bool strict, ImmutableArray<FieldError>.Builder errors)
    {
        if (json.ValueKind != JsonValueKind.Object)
        {
            errors.Add(WrongType(path, json, "object", "an object", null));
            return;
        }
        var seen = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        foreach (var field in json.EnumerateObject())
        {
            var property = Find(type, field.Name);
            var fieldPath = path.Length == 0 ? field.Name : $"{path}.{field.Name}";
            if (!seen.Add(field.Name) && strict)
                errors.Add(new FieldError(fieldPath, null, "stands twice: remove one"));
            if (property is null)
            {
                if (strict)
                    errors.Add(new FieldError(fieldPath, null, $"field in document is not recognized or is in the wrong location: {field.Name}"));
                continue;
            }
            if (field.Value.ValueKind != JsonValueKind.Null)
                Value(field.Value, property.PropertyType, property, fieldPath, strict, errors);
        }
        if (strict)
            return;
        foreach (var property in type.Properties)
        {
            if (Attribute<RequiredFieldAttribute>(property) is not null && !IsGiven(json, property.Name))
                errors.Add(new FieldError(path.Length == 0 ? property.Name : $"{path}.{property.Name}", null, "is required"));
        }
    }

    // Go knows no absent values: an empty string in a required field is as good as none.
    private static bool IsGiven(JsonElement json, string name)
    {
        foreach (var field in json.EnumerateObject())
        {
            if (field.Name.Equals(name, StringComparison.OrdinalIgnoreCase))
                return field.Value.ValueKind switch
                {
                    JsonValueKind.Null => false,
                    JsonValueKind.String => field.Value.GetString()!.Length > 0,
                    _ => true,
                };
        }
        return false;
    }

    private static JsonPropertyInfo? Find(JsonTypeInfo type, string name)
    {
        foreach (var property in type.Properties)
        {
            if (!property.IsExtensionData && property.Name.Equals(name, StringComparison.OrdinalIgnoreCase))
                return property;
        }
        return null;
    }

    private static void Value(JsonElement json, Type type, JsonPropertyInfo property, string path, bool strict, ImmutableArray<FieldError>.Builder errors)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        if (type.IsGenericType && type.GetGenericTypeDefinition() == typeof(ValueList<>))
            List(json, type.GetGenericArguments()[0], property, path, strict, errors);
        else if (typeof(ModelObject).IsAssignableFrom(type))
        {
            Object(json, ModelJson.Options.GetTypeInfo(type), path, strict, errors);
            if (!strict)
                PrefixLengths(json, property, path, errors);
        }
        else if (type == typeof(StringMap))
            Map(json, path, errors);
        else if (type == typeof(string))
            Text(json, property, path, strict, errors);
        else if (type == typeof(bool))
        {
            if (json.ValueKind is not (JsonValueKind.True or JsonValueKind.False))
                errors.Add(WrongType(path, json, "bool", "true or false", property));
        }
        else if (type == typeof(int) || type == typeof(long) || type == typeof(uint))
            Number(json, type, property, path, strict, errors);
        else if (type == typeof(double))
        {
            if (json.ValueKind != JsonValueKind.Number || !double.IsFinite(json.GetDouble()))
                errors.Add(WrongType(path, json, "float64", "a number", property));
        }
        else
            Parsed(json, type, property, path, strict, errors);
    }

    private static void List(JsonElement json, Type element, JsonPropertyInfo property, string path, bool strict, ImmutableArray<FieldError>.Builder errors)
    {
        if (json.ValueKind != JsonValueKind.Array)
        {
            errors.Add(WrongType(path, json, $"[]{element.Name.ToLowerInvariant()}", "a list", property));
            return;
        }
        var count = json.GetArrayLength();
        if (!strict && Attribute<ItemsAttribute>(property) is { } items)
        {
            if (count > items.Max)
                errors.Add(new FieldError(path, null, $"has {count} entries, at most {items.Max} are allowed"));
            if (count < items.Min)
                errors.Add(new FieldError(path, null, $"must have at least {items.Min} entries"));
            if (items is { Unique: true, TakesDuplicates: false } && json.EnumerateArray().GroupBy(e => e.GetRawText(), StringComparer.Ordinal).FirstOrDefault(g => g.Count() > 1) is { } twice)
                errors.Add(new FieldError(path, twice.First().ToString(), "specified more than once"));
        }
        if (!strict && count > (Attribute<ItemsAttribute>(property)?.Max ?? int.MaxValue))
            return;
        var index = 0;
        foreach (var entry in json.EnumerateArray())
            Value(entry, element, property, string.Create(CultureInfo.InvariantCulture, $"{path}[{index++}]"), strict, errors);
    }

    private static void Map(JsonElement json, string path, ImmutableArray<FieldError>.Builder errors)
    {
        if (json.ValueKind != JsonValueKind.Object)
        {
            errors.Add(WrongType(path, json, "map[string]string", "a map of strings", null));
            return;
        }
        foreach (var entry in json.EnumerateObject().Where(e => e.Value.ValueKind is JsonValueKind.Array or JsonValueKind.Object))
            errors.Add(WrongType($"{path}.{entry.Name}", entry.Value, "string", "a string", null));
    }

    private static void Text(JsonElement json, JsonPropertyInfo property, string path, bool strict, ImmutableArray<FieldError>.Builder errors)
    {
        if (json.ValueKind is JsonValueKind.Array or JsonValueKind.Object)
        {
            errors.Add(WrongType(path, json, "string", "a string", property));
            return;
        }
        // A number or boolean is a string whose quotes YAML did not need.
        var text = json.ValueKind == JsonValueKind.String ? json.GetString()! : json.GetRawText();
        if (strict || text.Length == 0)
            return;
        if (Attribute<MaxLengthAttribute>(property) is { } max && text.Length > max.Length)
            errors.Add(new FieldError(path, text, $"has {text.Length} characters, at most {max.Length} are allowed"));
        else if (Attribute<OneOfAttribute>(property) is { } one && !one.Values.Contains(text))
            errors.Add(new FieldError(path, text, $"must be one of {string.Join(", ", one.Values)}"));
        else if (Attribute<PatternAttribute>(property) is { } pattern
            && !Regex.IsMatch(text, $@"\A(?:{pattern.Pattern})\z", RegexOptions.NonBacktracking | RegexOptions.CultureInvariant))
            errors.Add(new FieldError(path, text, $"must be {pattern.Expected}"));
        else if (Attribute<FormatAttribute>(property) is { } format && Formats.Problem(format.Format, text) is { } problem)
            errors.Add(new FieldError(path, text, problem));
    }

    private static void Number(JsonElement json, Type type, JsonPropertyInfo property, string path, bool strict, ImmutableArray<FieldError>.Builder errors)
    {
        if (json.ValueKind != JsonValueKind.Number || !json.TryGetInt64(out var number)
            || (type == typeof(int) && number is < int.MinValue or > int.MaxValue)
            || (type == typeof(uint) && number is < 0 or > uint.MaxValue))
        {
            errors.Add(WrongType(path, json, "int", "a whole number", property));
            return;
        }
        if (strict)
            return;
        if (Attribute<BetweenAttribute>(property) is { } range && (number < range.Min || number > range.Max))
            errors.Add(new FieldError(path, number.ToString(CultureInfo.InvariantCulture), $"must be from {range.Min} to {range.Max}"));
        if (Attribute<OneOfNumbersAttribute>(property) is { } one && !one.Values.Contains((int)number))
            errors.Add(new FieldError(path, number.ToString(CultureInfo.InvariantCulture), $"must be one of {string.Join(", ", one.Values)}"));
    }

    private static void PrefixLengths(JsonElement json, JsonPropertyInfo property, string path, ImmutableArray<FieldError>.Builder errors)
    {
        if (Attribute<PrefixLengthsAttribute>(property) is not { } limits || json.ValueKind != JsonValueKind.Object)
            return;
        foreach (var bound in json.EnumerateObject())
        {
            if (bound.Value.ValueKind == JsonValueKind.Number && (!bound.Value.TryGetInt32(out var length) || length < 0 || length > limits.Max))
                errors.Add(new FieldError($"{path}.{bound.Name}", bound.Value.GetRawText(), $"must be from 0 to {limits.Max}"));
        }
    }

    // Values with a text form of their own.
    private static void Parsed(JsonElement json, Type type, JsonPropertyInfo property, string path, bool strict, ImmutableArray<FieldError>.Builder errors)
    {
        if (type == typeof(JsonElement))
            return;
        var isText = json.ValueKind == JsonValueKind.String;
        if (!isText && json.ValueKind != JsonValueKind.Number)
        {
            errors.Add(WrongType(path, json, type.Name.ToLowerInvariant(), "a number or a string", null));
            return;
        }
        var text = isText ? json.GetString()! : json.GetRawText();
        var problem =
            type == typeof(Port) ? PortProblem(text, strict)
            : type == typeof(Protocol) ? (Protocol.TryParse(text, out var p) && (strict || p.Number > 0) && (p.Name is null || p.Name == text) ? null
                : "protocol invalid: " + Protocol.Expected)
            : type == typeof(Asn) ? (Asn.TryParse(text, out _) ? null : "must be an AS number such as 64512 or 1.10")
            : type == typeof(GoDuration) ? DurationProblem(isText ? text : "", property, strict)
            : type == typeof(IntOrString) ? (isText || json.TryGetInt32(out _) ? null : "must be a whole number or a string")
            : type == typeof(DateTimeOffset) ? (isText && DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, out _) ? null
                : "must be a time such as 2026-08-22T10:00:00Z")
            : null;
        if (problem is not null)
            errors.Add(new FieldError(path, text, problem));
    }

    private static string? PortProblem(string text, bool strict)
    {
        if (!Port.TryParse(text, out var port) || (!strict && port is { IsNamed: false, Min: 0 }))
            return "port range invalid, port number must be between 1 and 65535, or a range min:max, or a port name";
        return !strict && port.IsNamed ? Formats.Problem(FieldFormat.PortName, port.Name) : null;
    }

    private static string? DurationProblem(string text, JsonPropertyInfo property, bool strict)
    {
        if (!GoDuration.TryParse(text, out var duration))
            return "must be a duration such as 90s or 1m30s";
        if (strict)
            return null;
        if (duration.Nanoseconds < 0)
            return "must not be negative";
        return duration.Nanoseconds % 1_000_000 != 0 && property.DeclaringType.IsDefined(typeof(WholeMillisecondsAttribute), inherit: false)
            ? "must be whole milliseconds, such as 90s or 1m30s"
            : null;
    }

    // Worded as Go's decoder words it, since scripts look for that, with what would be right behind it.
    private static FieldError WrongType(string path, JsonElement json, string goType, string expected, JsonPropertyInfo? property)
    {
        var actual = json.ValueKind switch
        {
            JsonValueKind.String => "string",
            JsonValueKind.Number => "number",
            JsonValueKind.True or JsonValueKind.False => "bool",
            JsonValueKind.Array => "array",
            JsonValueKind.Object => "object",
            _ => "null",
        };
        var owner = property?.DeclaringType.Name is { } name ? name + "." : "";
        var text = json.GetRawText();
        return new FieldError(path, text.Length > 64 ? text[..64] + "..." : text,
            $"cannot unmarshal {actual} into Go struct field {owner}{path} of type {goType}: must be {expected}");
    }

    private static T? Attribute<T>(JsonPropertyInfo property)
        where T : Attribute =>
        property.AttributeProvider?.GetCustomAttributes(typeof(T), inherit: true) is [T attribute, ..] ? attribute : null;
}

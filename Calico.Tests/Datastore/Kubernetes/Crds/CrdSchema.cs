using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Calico.Core.Model;
using Calico.Core.Model.Json;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Net;

namespace Calico.Tests.Datastore.Kubernetes.Crds;

/// <summary>
/// The structural schema of a resource, made from the record that holds it and the limits on its properties. Nowhere
/// stricter than the validator, but for lists that Calico's own definitions call sets: what etcd takes, the API server
/// takes. Fields that are not known are kept, so that an object of a newer release survives being written by this one.
/// </summary>
internal static class CrdSchema
{
    private const string Duration = @"[-+]?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+|[-+]?0";

    /// <summary>The schema of the whole object.</summary>
    public static JsonObject Of(ResourceKind kind)
    {
        var schema = Object(ModelJson.TypeInfo(kind));
        schema["properties"]!["metadata"] = new JsonObject { ["type"] = "object" };
        return schema;
    }

    public static JsonObject Object(JsonTypeInfo type)
    {
        var properties = new JsonObject();
        var required = new SortedSet<string>(StringComparer.Ordinal);
        foreach (var property in type.Properties.Where(p => p is { IsExtensionData: false, Get: not null }).OrderBy(p => p.Name, StringComparer.Ordinal))
        {
            properties[property.Name] = Value(property.PropertyType, property);
            if (Attribute<RequiredFieldAttribute>(property) is not null)
                required.Add(property.Name);
        }
        var schema = new JsonObject { ["type"] = "object", ["properties"] = properties, ["x-kubernetes-preserve-unknown-fields"] = true };
        if (required.Count > 0)
            schema["required"] = new JsonArray([.. required.Select(r => (JsonNode)r)]);
        return schema;
    }

    private static JsonObject Value(Type type, JsonPropertyInfo property)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        if (type.IsGenericType && type.GetGenericTypeDefinition() == typeof(ValueList<>))
            return List(type.GetGenericArguments()[0], property);
        if (typeof(ModelObject).IsAssignableFrom(type))
            return WithPrefixLengths(Object(ModelJson.Options.GetTypeInfo(type)), property);
        if (type == typeof(StringMap))
            return new JsonObject { ["type"] = "object", ["additionalProperties"] = new JsonObject { ["type"] = "string" } };
        if (type == typeof(string))
            return Text(property);
        // A flag that the older group keeps as text.
        if (type == typeof(bool))
            return new JsonObject { ["type"] = Attribute<JsonConverterAttribute>(property) is { ConverterType: { } c } && c == typeof(LenientBooleanConverter) ? "string" : "boolean" };
        if (type == typeof(int) || type == typeof(long))
            return Number(type, property);
        if (type == typeof(double))
            return new JsonObject { ["type"] = "number" };
        if (type == typeof(JsonElement))
            return new JsonObject { ["x-kubernetes-preserve-unknown-fields"] = true };
        return Parsed(type);
    }

    private static JsonObject List(Type element, JsonPropertyInfo property)
    {
        var schema = new JsonObject { ["type"] = "array", ["items"] = Value(element, property) };
        if (Attribute<ItemsAttribute>(property) is not { } items)
            return schema;
        if (items.Max != int.MaxValue)
            schema["maxItems"] = items.Max;
        if (items.Min > 0)
            schema["minItems"] = items.Min;
        if (items.Unique)
            schema["x-kubernetes-list-type"] = "set";
        return schema;
    }

    private static JsonObject Text(JsonPropertyInfo property)
    {
        var schema = new JsonObject { ["type"] = "string" };
        // Where Go writes the field even if there is nothing in it.
        var canBeEmpty = Attribute<JsonIgnoreAttribute>(property) is { Condition: JsonIgnoreCondition.Never }
            && Attribute<RequiredFieldAttribute>(property) is null;
        // Servers that a compiler of 2021 or later made of old sources take an empty string for null.
        if (canBeEmpty)
            schema["nullable"] = true;
        if (Attribute<MaxLengthAttribute>(property) is { } max)
            schema["maxLength"] = max.Length;
        if (Attribute<OneOfAttribute>(property) is { } one)
            schema["enum"] = new JsonArray([.. one.Values.Prepend(canBeEmpty ? "" : null).OfType<string>().Select(v => (JsonNode)v)]);
        else if (Attribute<PatternAttribute>(property) is { } pattern)
            schema["pattern"] = Whole(pattern.Pattern, canBeEmpty);
        else if (Attribute<FormatAttribute>(property) is { } format)
            AddFormat(schema, format.Format, canBeEmpty);
        return schema;
    }

    private static string Whole(string pattern, bool canBeEmpty) => canBeEmpty ? $"^({pattern})?$" : $"^({pattern})$";

    private static void AddFormat(JsonObject schema, FieldFormat format, bool canBeEmpty)
    {
        if (format is FieldFormat.Name && schema["maxLength"] is null)
            schema["maxLength"] = 253;
        if (PatternOf(format) is { } pattern)
            schema["pattern"] = Whole(pattern, canBeEmpty);
    }

    /// <summary>What every text of a format looks like; null where the schema cannot say.</summary>
    internal static string? PatternOf(FieldFormat format) => format switch
    {
        FieldFormat.Name => @"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
        FieldFormat.Net or FieldFormat.Cidr => "[0-9a-fA-F:.]+(/[0-9]{1,3})?",
        FieldFormat.NetV4 or FieldFormat.CidrV4 => "[0-9]{1,3}(\\.[0-9]{1,3}){3}(/[0-9]{1,2})?",
        FieldFormat.NetV6 or FieldFormat.CidrV6 => "[0-9a-fA-F]*:[0-9a-fA-F:.]+(/[0-9]{1,3})?",
        FieldFormat.Ip => "[0-9a-fA-F:.]+",
        FieldFormat.IpV4 => "[0-9]{1,3}(\\.[0-9]{1,3}){3}",
        FieldFormat.IpV6 => "[0-9a-fA-F]*:[0-9a-fA-F:.]+",
        FieldFormat.IpPort => @"[0-9a-fA-F:.]+|\[[0-9a-fA-F:.]+\]:[0-9]{1,5}",
        FieldFormat.Mac => "[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}",
        FieldFormat.Interface => @"\*|[a-zA-Z0-9_.-]{1,15}",
        FieldFormat.InterfaceFilter => "[a-zA-Z0-9:._+-]{1,15}",
        FieldFormat.IgnoredInterface or FieldFormat.BgpFilterInterface => "[a-zA-Z0-9_.*-]{1,15}",
        FieldFormat.BgpCommunity => "[0-9]+:[0-9]+(:[0-9]+)?",
        FieldFormat.PortName => "[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?",
        FieldFormat.ContainerId => "[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?",
        FieldFormat.HostAddress => "[a-zA-Z0-9:._+-]{1,64}",
        FieldFormat.WireguardKey => "[0-9a-zA-Z+/]{43}=",
        FieldFormat.ConntrackTimeout => $"Auto|{Duration}",
        FieldFormat.Selector or FieldFormat.NamespaceSelector or FieldFormat.Regex => null,
        _ => throw new InvalidOperationException($"format {format} has no pattern yet"),
    };

    private static JsonObject Number(Type type, JsonPropertyInfo property)
    {
        var schema = new JsonObject { ["type"] = "integer", ["format"] = type == typeof(int) ? "int32" : "int64" };
        if (Attribute<BetweenAttribute>(property) is { } range)
        {
            schema["minimum"] = range.Min;
            // Limits are floating point numbers there, and the largest of all integers is none.
            if (range.Max != long.MaxValue)
                schema["maximum"] = range.Max;
        }
        if (Attribute<OneOfNumbersAttribute>(property) is { } one)
            schema["enum"] = new JsonArray([.. one.Values.Select(v => (JsonNode)v)]);
        return schema;
    }

    private static JsonObject WithPrefixLengths(JsonObject schema, JsonPropertyInfo property)
    {
        if (Attribute<PrefixLengthsAttribute>(property) is { } lengths)
        {
            foreach (var (_, bound) in schema["properties"]!.AsObject())
                (bound!["minimum"], bound["maximum"]) = (0, lengths.Max);
        }
        return schema;
    }

    // Values with a text form of their own.
    private static JsonObject Parsed(Type type)
    {
        if (type == typeof(Asn) || type == typeof(uint))
            return new JsonObject { ["type"] = "integer", ["format"] = "int64", ["minimum"] = 0, ["maximum"] = uint.MaxValue };
        if (type == typeof(GoDuration))
            return new JsonObject { ["type"] = "string", ["pattern"] = $"^({Duration})$" };
        if (type == typeof(DateTimeOffset))
            return new JsonObject { ["type"] = "string", ["format"] = "date-time", ["nullable"] = true };
        var schema = new JsonObject
        {
            ["anyOf"] = new JsonArray(new JsonObject { ["type"] = "integer" }, new JsonObject { ["type"] = "string" }),
            ["x-kubernetes-int-or-string"] = true,
        };
        // Limits of numbers hold for numbers, patterns for texts.
        if (type == typeof(Port))
            (schema["minimum"], schema["maximum"], schema["pattern"]) = (0, 65535, "^([a-zA-Z0-9_.-]{1,128}|[0-9]{1,5}:[0-9]{1,5})$");
        else if (type == typeof(Protocol))
            (schema["minimum"], schema["maximum"], schema["pattern"]) = (0, 255, "^(?i:TCP|UDP|ICMP|ICMPv6|SCTP|UDPLite|[0-9]{1,3})$");
        else if (type != typeof(IntOrString))
            throw new InvalidOperationException($"{type} has no schema yet");
        return schema;
    }

    private static T? Attribute<T>(JsonPropertyInfo property)
        where T : Attribute =>
        property.AttributeProvider?.GetCustomAttributes(typeof(T), inherit: true) is [T attribute, ..] ? attribute : null;
}

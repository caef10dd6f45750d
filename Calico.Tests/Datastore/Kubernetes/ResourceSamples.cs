using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization.Metadata;
using System.Text.RegularExpressions;
using Calico.Core.Model;
using Calico.Core.Model.Json;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Net;

namespace Calico.Tests.Datastore.Kubernetes;

/// <summary>
/// Resources with every field that their records have, and in each object one more that no release knows. Fields that
/// exclude each other stand side by side: only what looks at single fields can be tested with them.
/// </summary>
internal static class ResourceSamples
{
    private const int MaxDepth = 12;

    /// <summary>What the field of a release to come is called.</summary>
    public const string Unknown = "fromTheFuture";

    public static Resource Full(ResourceKind kind, string name, string? ns)
    {
        var type = ModelJson.TypeInfo(kind);
        var json = new JsonObject { ["apiVersion"] = Resource.CurrentApiVersion, ["kind"] = kind.Kind };
        foreach (var property in Known(type).Where(p => p.Name is not ("apiVersion" or "kind" or "metadata")))
            json[property.Name] = Value(property.PropertyType, property, 0);
        json["metadata"] = new JsonObject
        {
            ["name"] = name,
            ["labels"] = new JsonObject { ["app"] = "a", ["projectcalico.org/tier"] = "default" },
            ["annotations"] = new JsonObject { ["note"] = "<b> & 'c'", ["example.com/other"] = "d" },
        };
        if (ns is not null)
            json["metadata"]!["namespace"] = ns;
        using var document = JsonDocument.Parse(json.ToJsonString());
        Assert.Empty(SchemaCheck.Limits(document.RootElement, type));
        return ResourceCodec.Decode(kind, document.RootElement);
    }

    private static IEnumerable<JsonPropertyInfo> Known(JsonTypeInfo type) => type.Properties.Where(p => p is { IsExtensionData: false, Get: not null });

    private static JsonObject Object(JsonTypeInfo type, int depth)
    {
        var json = new JsonObject();
        foreach (var property in Known(type))
            json[property.Name] = Value(property.PropertyType, property, depth + 1);
        json[Unknown] = new JsonObject { ["deep"] = new JsonArray(1, "two", null) };
        return json;
    }

    private static JsonNode? Value(Type type, JsonPropertyInfo property, int depth)
    {
        Assert.True(depth < MaxDepth, $"{property.DeclaringType.Name}.{property.Name} contains itself");
        type = Nullable.GetUnderlyingType(type) ?? type;
        if (type.IsGenericType && type.GetGenericTypeDefinition() == typeof(ValueList<>))
            return new JsonArray(Value(type.GetGenericArguments()[0], property, depth));
        if (typeof(ModelObject).IsAssignableFrom(type))
            return Object(ModelJson.Options.GetTypeInfo(type), depth);
        if (type == typeof(StringMap))
            return new JsonObject { ["example.com/key"] = "value" };
        if (type == typeof(string))
            return Text(property);
        if (type == typeof(bool))
            return true;
        if (type == typeof(double))
            return 1.5;
        if (type == typeof(int) || type == typeof(long))
            return Attribute<OneOfNumbersAttribute>(property)?.Values[0] ?? Math.Min(Attribute<BetweenAttribute>(property)?.Max ?? 2, type == typeof(int) ? int.MaxValue : long.MaxValue);
        if (type == typeof(Asn) || type == typeof(uint))
            return 4_200_000_000;
        if (type == typeof(GoDuration))
            return "1m30s";
        if (type == typeof(DateTimeOffset))
            return "2026-08-22T10:00:00Z";
        if (type == typeof(Port))
            return "80:90";
        if (type == typeof(Protocol))
            return "UDPLite";
        if (type == typeof(IntOrString))
            return 80;
        return type == typeof(JsonElement) ? new JsonObject { ["x"] = 1 } : throw new InvalidOperationException($"no sample of {type}");
    }

    private static string Text(JsonPropertyInfo property)
    {
        if (Attribute<OneOfAttribute>(property) is { } one)
            return one.Values[^1];
        if (Attribute<FormatAttribute>(property) is { } format)
            return OfFormat(format.Format);
        if (Attribute<PatternAttribute>(property) is not { } pattern)
            return "text";
        // What is expected is told with an example or as a choice.
        string[] candidates = [pattern.Expected.Split("such as ")[^1], .. pattern.Expected.Split("one of ")[^1].Split(", "), "abc", "1", "65000:1"];
        return candidates.FirstOrDefault(c => Regex.IsMatch(c, $@"\A(?:{pattern.Pattern})\z"))
            ?? throw new InvalidOperationException($"no sample of {property.DeclaringType.Name}.{property.Name}: {pattern.Pattern}");
    }

    private static string OfFormat(FieldFormat format) => format switch
    {
        FieldFormat.Name => "a-name.b",
        FieldFormat.Selector or FieldFormat.NamespaceSelector => "app == 'a' && !has(b)",
        FieldFormat.Net or FieldFormat.NetV4 or FieldFormat.Cidr or FieldFormat.CidrV4 => "10.1.0.0/16",
        FieldFormat.NetV6 or FieldFormat.CidrV6 => "fd00:1::/64",
        FieldFormat.Ip or FieldFormat.IpV4 => "192.0.2.1",
        FieldFormat.IpV6 => "2001:db8::1",
        FieldFormat.IpPort => "[2001:db8::1]:1179",
        FieldFormat.Mac => "ee:ee:ee:ee:ee:ee",
        FieldFormat.Interface or FieldFormat.InterfaceFilter or FieldFormat.IgnoredInterface or FieldFormat.BgpFilterInterface => "eth0",
        FieldFormat.BgpCommunity => "65000:1:2",
        FieldFormat.PortName => "http",
        FieldFormat.ContainerId => "0ab-1",
        FieldFormat.PrometheusHost => "host.example",
        FieldFormat.Regex => "(a|b)+",
        FieldFormat.WireguardKey => "jlkVyQYooZYzI2wFfNhSZez5eWh44yfq1wKVjLvSXgY=",
        FieldFormat.ConntrackTimeout => "Auto",
        _ => throw new InvalidOperationException($"no sample of {format}"),
    };

    private static T? Attribute<T>(JsonPropertyInfo property)
        where T : Attribute =>
        property.AttributeProvider?.GetCustomAttributes(typeof(T), inherit: true) is [T attribute, ..] ? attribute : null;
}

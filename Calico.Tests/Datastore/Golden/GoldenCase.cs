using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization.Metadata;
using Calico.Core.Model;
using Calico.Core.Model.Json;
using Calico.Core.Model.Resources;
using Calico.Ctl.Output;
using Calico.Datastore.Manifests;

namespace Calico.Tests.Datastore.Golden;

// One file per kind, Kinds/KIND.golden, with any number of
//
//   == NAME
//   a manifest as a person writes it
//   -- /calico/resources/v3/projectcalico.org/PLURAL/...
//   the value under that key, its fields in the order of Calico's own types; white space is only for the reader
//
// A case whose name begins with "full" leaves no default open; together those of a kind set every field.

/// <summary>A manifest and what stands in etcd once it is stored.</summary>
internal sealed record GoldenCase(ResourceKind Kind, string Name, string Manifest, string Key, string Value)
{
    /// <summary>The uid that the values have.</summary>
    public static readonly Guid Uid = Guid.Parse("6d0e8b1e-3c1f-4a57-9a1e-0c2c6f6f3b11");

    /// <summary>The creation time that the values have.</summary>
    public static readonly DateTimeOffset Created = new(2026, 8, 22, 10, 0, 0, TimeSpan.Zero);

    /// <summary>What the store decides or only a server fills in; not part of what a person wrote.</summary>
    public static readonly IReadOnlyList<string> StoreOwned =
    [
        "generateName", "selfLink", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
        "deletionGracePeriodSeconds", "managedFields",
    ];

    public static IReadOnlyList<GoldenCase> All { get; } = [.. ResourceKind.All.SelectMany(Read)];

    /// <summary>One argument for each case: its name, which <see cref="Find"/> takes.</summary>
    public static TheoryData<string> Names => new(All.Select(c => c.ToString()));

    public static GoldenCase Find(string name) => All.Single(c => c.ToString() == name);

    public bool IsFull => Name.StartsWith("full", StringComparison.Ordinal);

    public JsonElement ManifestJson => ManifestReader.Read(Manifest, ToString()).Single().Json;

    public Resource Resource() => ResourceCodec.ParseStrict(ManifestJson);

    /// <summary>The value without white space, as Go writes it.</summary>
    public byte[] Bytes => GoJson.Rewrite(Encoding.UTF8.GetBytes(Value));

    /// <summary>The stored resource as a reader of the API sees it, without what the store decides.</summary>
    public JsonNode Shown
    {
        get
        {
            var json = JsonNode.Parse(Value)!;
            if (json["metadata"]!["annotations"] is JsonObject annotations && annotations.Remove(StoredResource.MetadataAnnotation) && annotations.Count == 0)
                json["metadata"]!.AsObject().Remove("annotations");
            if (Kind == ResourceKind.BlockAffinity)
                json["spec"]!["deleted"] = json["spec"]!["deleted"]!.GetValue<string>() == "true";
            return WithoutStoreOwned(json);
        }
    }

    /// <summary>What calicoctl would print of a resource, read back as YAML, without what the store decides.</summary>
    public static JsonNode Show(Resource resource) => WithoutStoreOwned(JsonNode.Parse(Reread(resource).GetRawText())!);

    /// <summary>The resource after a way through its YAML.</summary>
    public static JsonElement Reread(Resource resource) =>
        ManifestReader.Read(YamlText.From(ResourceCodec.ToJson(resource)), resource.ToString()).Single().Json;

    public static JsonNode WithoutStoreOwned(JsonNode json)
    {
        foreach (var field in StoreOwned)
            json["metadata"]!.AsObject().Remove(field);
        return json;
    }

    /// <summary>The value with one more field in each object that is not a map, at every depth.</summary>
    /// <param name="number">A number in those fields, as text: it may be larger than what C# or Go have a type for.</param>
    public JsonNode WithUnknownFields(string number)
    {
        var json = JsonNode.Parse(Value)!;
        AddUnknown(json, ModelJson.TypeInfo(Kind), number);
        return json;
    }

    public override string ToString() => $"{Kind.Kind} {Name}";

    private static void AddUnknown(JsonNode json, JsonTypeInfo type, string number)
    {
        foreach (var property in type.Properties)
        {
            if (json[property.Name] is not { } value || ElementType(property.PropertyType) is not { } inner)
                continue;
            foreach (var item in value is JsonArray items ? items.Select(i => i!) : [value])
                AddUnknown(item, inner, number);
        }
        json["fromTheFuture"] = new JsonObject { ["deep"] = new JsonArray(1, "two", null, JsonNode.Parse(number)) };
    }

    /// <summary>The record behind a property, whether it is one or a list of them; null for everything else.</summary>
    internal static JsonTypeInfo? ElementType(Type type)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        if (type.IsGenericType && type.GetGenericTypeDefinition() == typeof(ValueList<>))
            type = type.GetGenericArguments()[0];
        return typeof(ModelObject).IsAssignableFrom(type) ? ModelJson.Options.GetTypeInfo(type) : null;
    }

    private static IEnumerable<GoldenCase> Read(ResourceKind kind)
    {
        var resource = typeof(GoldenCase).Assembly.GetManifestResourceNames().Single(n => n.EndsWith($".{kind.Kind}.golden", StringComparison.Ordinal));
        using var reader = new StreamReader(typeof(GoldenCase).Assembly.GetManifestResourceStream(resource)!);
        foreach (var text in reader.ReadToEnd().Split("\n== ")[1..])
        {
            var name = text[..text.IndexOf('\n', StringComparison.Ordinal)];
            var parts = text[(name.Length + 1)..].Split("\n-- ");
            var end = parts[1].IndexOf('\n', StringComparison.Ordinal);
            yield return new GoldenCase(kind, name, parts[0], parts[1][..end], parts[1][end..]);
        }
    }
}

using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Calico.Core.Model;
using Calico.Core.Model.Json;
using Calico.Core.Model.Resources;

namespace Calico.Tests.Datastore.Golden;

/// <summary>The golden files hold what they promise: a minimal case of each kind, and full ones that leave out no field.</summary>
[Layer("unit")]
public class GoldenCoverageTests
{
    public static TheoryData<string> Kinds => new(ResourceKind.All.Select(k => k.Kind));

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Each_kind_has_a_minimal_manifest_and_full_ones_that_set_every_field(string kind)
    {
        var cases = GoldenCase.All.Where(c => c.Kind.Kind == kind).ToList();
        var type = ModelJson.TypeInfo(cases[0].Kind);

        var set = new HashSet<string>();
        foreach (var golden in cases.Where(c => c.IsFull))
            Mark(golden.ManifestJson, ResourceCodec.ToJson(golden.Resource()), type, set);
        var missing = Fields(type, []).Where(f => !set.Contains(f)).Order(StringComparer.Ordinal);

        Assert.Equal("", string.Join('\n', missing));
        Assert.Contains(cases, c => c.Name == "minimal");
    }

    [Theory]
    [MemberData(nameof(GoldenCase.Names), MemberType = typeof(GoldenCase))]
    public void The_key_is_that_of_the_resource(string name)
    {
        var golden = GoldenCase.Find(name);

        Assert.Equal(golden.Key, ResourceDefaults.Apply(golden.Resource()).Key.Path);
        Assert.True(ResourceKey.TryParse(golden.Key, out var key));
        Assert.Equal(ResourceDefaults.Apply(golden.Resource()).Key, key);
    }

    // Set is what the manifest says and the encoder writes: a zero that is left out again proves nothing.
    private static void Mark(JsonElement manifest, JsonElement encoded, JsonTypeInfo type, HashSet<string> set)
    {
        foreach (var property in type.Properties)
        {
            if (!manifest.TryGetProperty(property.Name, out var given) || !encoded.TryGetProperty(property.Name, out var written))
                continue;
            set.Add(Name(property));
            if (GoldenCase.ElementType(property.PropertyType) is not { } inner)
                continue;
            if (given.ValueKind != JsonValueKind.Array)
                Mark(given, written, inner, set);
            else
                foreach (var (item, itemWritten) in given.EnumerateArray().Zip(written.EnumerateArray()))
                    Mark(item, itemWritten, inner, set);
        }
    }

    private static IEnumerable<string> Fields(JsonTypeInfo type, HashSet<Type> seen)
    {
        if (!seen.Add(type.Type))
            yield break;
        foreach (var property in type.Properties.Where(p => !p.IsExtensionData && p.Get is not null))
        {
            if (type.Type == typeof(ObjectMeta) && GoldenCase.StoreOwned.Contains(property.Name))
                continue;
            // Only resources of a namespace have one.
            if (type.Type == typeof(ObjectMeta) && property.Name == "namespace")
                continue;
            yield return Name(property);
            if (GoldenCase.ElementType(property.PropertyType) is not { } inner)
                continue;
            foreach (var field in Fields(inner, seen))
                yield return field;
        }
    }

    private static string Name(JsonPropertyInfo property) => $"{property.DeclaringType.Name}.{property.Name}";
}

using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Core.Model.Json;

namespace Calico.Core.Model.Resources;

/// <summary>
/// The value of a resource in etcd: its JSON without revision and self link. Tiered policies carry the name that the
/// user gave in an annotation, because older releases put the tier in front of the stored name.
/// </summary>
public static class StoredResource
{
    /// <summary>The annotation with the user's name of a policy.</summary>
    public const string MetadataAnnotation = "projectcalico.org/metadata";

    private const string LegacyPrefix = Tier.Default + ".";

    public static byte[] Write(Resource resource)
    {
        var metadata = resource.Metadata with { ResourceVersion = null, SelfLink = null };
        if (resource.ResourceKind.IsTieredPolicy)
            metadata = metadata with { Annotations = metadata.Annotations.With(MetadataAnnotation, NameAnnotation(resource.Name)) };
        return Encode(resource with { Metadata = metadata });
    }

    /// <summary>The JSON of a stored resource, with its metadata as they are.</summary>
    public static byte[] Encode(Resource resource)
    {
        var value = ResourceCodec.Encode(resource);
        return resource is BlockAffinity ? WithDeletedAsText(value) : value;
    }

    /// <summary>Reads the value stored under <paramref name="key"/> by the revision <paramref name="modRevision"/>.</summary>
    /// <exception cref="Schema.InvalidResourceException">The value is no such resource.</exception>
    public static Resource Read(ResourceKey key, ReadOnlySpan<byte> value, long modRevision)
    {
        var resource = ResourceCodec.Decode(key.Kind, value);
        var metadata = resource.Metadata with
        {
            Name = resource.Metadata.Name ?? key.Name,
            Namespace = key.Kind.IsNamespaced ? resource.Metadata.Namespace ?? key.Namespace : resource.Metadata.Namespace,
            ResourceVersion = modRevision.ToString(CultureInfo.InvariantCulture),
        };
        if (resource is ITieredPolicy policy)
            metadata = WithUserName(metadata, policy.PolicySpec);
        return resource with { Metadata = metadata };
    }

    /// <summary>
    /// Where a release up to 3.31 stored a policy of tier default: with the tier in front of the name. Null for other kinds.
    /// </summary>
    public static ResourceKey? LegacyKey(ResourceKey key) =>
        key.Kind.IsTieredPolicy ? key with { Name = LegacyPrefix + key.Name } : null;

    // The one field whose stored form is not that of the API: upstream's reader there takes only the strings.
    private static byte[] WithDeletedAsText(byte[] value)
    {
        var root = JsonNode.Parse(value)!;
        if (root["spec"] is JsonObject spec && spec["deleted"] is JsonValue deleted && deleted.TryGetValue<bool>(out var isDeleted))
            spec["deleted"] = isDeleted ? "true" : "false";
        var buffer = new ArrayBufferWriter<byte>(value.Length + 2);
        using (var writer = new Utf8JsonWriter(buffer))
            root.WriteTo(writer);
        return GoJson.Rewrite(buffer.WrittenSpan);
    }

    private static ObjectMeta WithUserName(ObjectMeta metadata, IPolicySpec spec)
    {
        if (metadata.Annotations.GetOrNull(MetadataAnnotation) is { } annotation)
        {
            return metadata with
            {
                Name = ReadName(annotation) ?? metadata.Name,
                Annotations = metadata.Annotations.With(MetadataAnnotation, null),
            };
        }
        return spec.TierOrDefault == Tier.Default && metadata.Name!.StartsWith(LegacyPrefix, StringComparison.Ordinal)
            ? metadata with { Name = metadata.Name[LegacyPrefix.Length..] }
            : metadata;
    }

    private static string NameAnnotation(string name)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer))
        {
            writer.WriteStartObject();
            writer.WriteString("name", name);
            writer.WriteEndObject();
        }
        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    private static string? ReadName(string annotation)
    {
        try
        {
            using var document = JsonDocument.Parse(annotation);
            return document.RootElement.ValueKind == JsonValueKind.Object
                && document.RootElement.TryGetProperty("name", out var name) && name.ValueKind == JsonValueKind.String
                ? name.GetString()
                : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}

using System.Globalization;
using System.Text.Json;

namespace Calico.Datastore.Kubernetes.Client;

/// <summary>An object as the API gave it. Nothing of it is lost when it is written back.</summary>
internal sealed class KubeItem(JsonElement json)
{
    public JsonElement Json { get; } = json;
    public JsonElement Metadata { get; } = json.TryGetProperty("metadata", out var metadata) ? metadata : default;

    public string Name => Text(Metadata, "name") ?? "";
    public string? Namespace => Text(Metadata, "namespace");
    public string? Uid => Text(Metadata, "uid");
    public string ResourceVersion => Text(Metadata, "resourceVersion") ?? "";

    /// <summary>The resource version as a number: etcd's revision of the last write.</summary>
    /// <exception cref="DatastoreException">It is none: this API server does not keep its objects in etcd.</exception>
    public long Revision => ParseRevision(ResourceVersion);

    public string? Annotation(string name) =>
        Metadata.ValueKind == JsonValueKind.Object && Metadata.TryGetProperty("annotations", out var all) ? Text(all, name) : null;

    /// <summary>A member of <c>spec</c>; default if there is none.</summary>
    public JsonElement Spec(string name) =>
        Json.TryGetProperty("spec", out var spec) && spec.ValueKind == JsonValueKind.Object && spec.TryGetProperty(name, out var value)
            ? value
            : default;

    public string? SpecText(string name) => Spec(name) is { ValueKind: JsonValueKind.String } text ? text.GetString() : null;

    public DateTimeOffset? Created => Text(Metadata, "creationTimestamp") is { } text
        && DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time) ? time : null;

    public static long ParseRevision(string? resourceVersion) =>
        long.TryParse(resourceVersion, NumberStyles.None, CultureInfo.InvariantCulture, out var revision)
            ? revision
            : throw new DatastoreException(DatastoreFault.Invalid,
                $"kubernetes: resource version '{resourceVersion}' is no number; only API servers that store in etcd can be used");

    public static string? Text(JsonElement json, string name) =>
        json.ValueKind == JsonValueKind.Object && json.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String
            ? value.GetString()
            : null;
}

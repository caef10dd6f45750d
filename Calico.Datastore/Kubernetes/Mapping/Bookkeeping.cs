using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Core.Model.Resources;
using Calico.Datastore.Kubernetes.Client;

namespace Calico.Datastore.Kubernetes.Mapping;

/// <summary>Annotations of this datastore on the API's objects. They are no part of any value.</summary>
internal static class Bookkeeping
{
    /// <summary>A transaction under way holds the object: <see cref="Transactions.LockNote"/>.</summary>
    public const string Lock = "calico-mesh/lock";

    /// <summary>The revision of the value where it is not the object's: <see cref="Transactions.RevisionNote"/>.</summary>
    public const string Revision = "calico-mesh/revision";

    /// <summary>When the object is to go, in milliseconds of Unix time.</summary>
    public const string Expires = "calico-mesh/expires";

    private const string Prefix = "calico-mesh/";

    /// <summary>
    /// Adds the entries of a map of the source's metadata (labels, annotations) that the target does not have, without
    /// what is stored there for other reasons.
    /// </summary>
    public static void CopyMap(JsonElement source, JsonObject target, string name)
    {
        if (source.ValueKind != JsonValueKind.Object || !source.TryGetProperty(name, out var map) || map.ValueKind != JsonValueKind.Object)
            return;
        foreach (var entry in map.EnumerateObject())
        {
            if (entry.Name == StoredResource.MetadataAnnotation || entry.Name.StartsWith(Prefix, StringComparison.Ordinal))
                continue;
            var entries = JsonForms.Child(target, name);
            if (!entries.ContainsKey(entry.Name))
                entries[entry.Name] = entry.Value.GetString();
        }
    }

    /// <summary>
    /// Takes over from an object what others keep in its metadata: labels, annotations, owners and finalizers.
    /// </summary>
    public static void CopyOthers(JsonElement source, JsonObject target)
    {
        foreach (var map in (string[])["labels", "annotations"])
        {
            if (!source.TryGetProperty(map, out var entries) || entries.ValueKind != JsonValueKind.Object)
                continue;
            foreach (var entry in entries.EnumerateObject().Where(e => !e.Name.StartsWith(Prefix, StringComparison.Ordinal)))
                JsonForms.Child(target, map).TryAdd(entry.Name, JsonForms.Node(entry.Value));
        }
        foreach (var list in (string[])["ownerReferences", "finalizers"])
        {
            if (source.TryGetProperty(list, out var entries) && entries.ValueKind == JsonValueKind.Array)
                target[list] = JsonForms.Node(entries);
        }
    }
}

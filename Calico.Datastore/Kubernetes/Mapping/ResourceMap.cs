using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Core.Model.Json;
using Calico.Core.Model.Kubernetes;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Datastore.Kubernetes.Client;

namespace Calico.Datastore.Kubernetes.Mapping;

/// <summary>
/// v3 resources as custom resources. In the classic group the object's metadata belongs to Kubernetes and Calico's is
/// kept as JSON in an annotation; in the v3 group they are the same.
/// </summary>
internal class ResourceMap : KeyMap
{
    public const string ClassicGroup = "crd.projectcalico.org";
    public const string NativeGroup = "projectcalico.org";

    private const string MetadataAnnotation = StoredResource.MetadataAnnotation;
    private const string NativeVersion = Core.Model.Resources.Resource.CurrentApiVersion;

    // What the object or its key says already, and what belongs to the stored form only.
    private static readonly string[] NotInAnnotation =
        ["name", "generateName", "namespace", "uid", "resourceVersion", "selfLink", "managedFields", "labels", "annotations"];

    private readonly ResourceKind _kind;

    public ResourceMap(ResourceKind kind, bool isClassic)
        : base(ResourceOf(kind, isClassic), ResourceKey.Prefix(kind))
    {
        _kind = kind;
        IsClassic = isClassic;
    }

    /// <summary>The group is crd.projectcalico.org.</summary>
    protected bool IsClassic { get; }

    internal static KubeResource ResourceOf(ResourceKind kind, bool isClassic)
    {
        if (!isClassic)
            return new KubeResource(NativeGroup, "v3", kind.Plural, kind.Kind, kind.IsNamespaced);
        return kind == ResourceKind.IPAMConfiguration
            ? new KubeResource(ClassicGroup, "v1", "ipamconfigs", "IPAMConfig", false)
            : new KubeResource(ClassicGroup, "v1", kind.Plural, kind.Kind, kind.IsNamespaced);
    }

    public override bool TryLocate(string key, out ObjectName name)
    {
        name = default;
        if (!ResourceKey.TryParse(key, out var parsed) || parsed.Kind != _kind)
            return false;
        name = new ObjectName(parsed.Namespace, parsed.Name);
        return true;
    }

    // Names of policies that are made of Kubernetes' own are theirs alone.
    public override string? KeyOf(KubeItem item) =>
        (_kind == ResourceKind.NetworkPolicy && item.Name.StartsWith(KubeNames.PolicyPrefix, StringComparison.Ordinal))
        || (_kind == ResourceKind.GlobalNetworkPolicy && item.Name.StartsWith("kcnp.", StringComparison.Ordinal))
            ? null : new ResourceKey(_kind, item.Namespace, item.Name).Path;

    public override KubeScope ScopeOf(string prefix) => NamespaceOf(prefix, Root, _kind.IsNamespaced);

    /// <summary>The namespace that a prefix of namespaced keys is confined to.</summary>
    internal static KubeScope NamespaceOf(string prefix, string root, bool isNamespaced)
    {
        if (!isNamespaced || !prefix.StartsWith(root, StringComparison.Ordinal))
            return default;
        var rest = prefix[root.Length..];
        var slash = rest.IndexOf('/', StringComparison.Ordinal);
        return slash > 0 ? new KubeScope(rest[..slash]) : default;
    }

    public override byte[]? ValueOf(KubeItem item)
    {
        var stored = IsClassic && item.Annotation(MetadataAnnotation) is { } text
            && JsonForms.TryParse(System.Text.Encoding.UTF8.GetBytes(text)) is { } json ? json : (JsonElement?)null;
        var metadata = stored is { } element ? JsonForms.Editable(element) : [];
        var userName = KubeItem.Text(stored ?? default, "name") ?? (IsClassic ? null : item.Name);
        Bookkeeping.CopyMap(item.Metadata, metadata, "labels");
        Bookkeeping.CopyMap(item.Metadata, metadata, "annotations");
        if (!IsClassic || metadata["ownerReferences"] is null)
            CopyOwners(item.Metadata, metadata);
        metadata["name"] = item.Name;
        if (item.Namespace is { } ns)
            metadata["namespace"] = ns;
        if (item.Uid is { } uid)
            metadata["uid"] = !IsClassic ? uid : KubeNames.TryConvertUid(uid, out var converted) ? converted : null;
        if (metadata["creationTimestamp"] is null && item.Metadata.TryGetProperty("creationTimestamp", out var created))
            metadata["creationTimestamp"] = JsonValue.Create(created);
        if (!IsClassic && item.Metadata.TryGetProperty("finalizers", out var finalizers))
            metadata["finalizers"] = JsonArray.Create(finalizers);
        if (_kind.IsTieredPolicy && userName is not null)
            JsonForms.Child(metadata, "annotations")[MetadataAnnotation] = $$"""{"name":{{JsonForms.Quoted(userName)}}}""";

        var value = new JsonObject { ["kind"] = _kind.Kind, ["apiVersion"] = NativeVersion, ["metadata"] = metadata };
        foreach (var member in item.Json.EnumerateObject().Where(m => m.Name is not ("kind" or "apiVersion" or "metadata")))
            value[member.Name] = JsonForms.Node(member.Value);
        return Canonical(_kind, value);
    }

    /// <summary>The bytes that etcd would hold; a value that nobody can read stays as it is.</summary>
    private static byte[] Canonical(ResourceKind kind, JsonObject value)
    {
        var bytes = JsonForms.Bytes(value);
        try
        {
            return StoredResource.Encode(ResourceCodec.Decode(kind, bytes));
        }
        catch (InvalidResourceException)
        {
            return GoJson.Rewrite(bytes);
        }
    }

    public override KubeWrite Put(KubeItem? existing, string key, ReadOnlyMemory<byte> value)
    {
        var json = Parse(key, value);
        if (!TryLocate(key, out var name))
            throw Refused(key, "it is not a key of this kind");
        var theirs = json["metadata"] as JsonObject ?? [];
        var labels = theirs["labels"] as JsonObject ?? [];
        var annotations = theirs["annotations"] as JsonObject ?? [];
        annotations.Remove(MetadataAnnotation, out var nameNote);

        var body = NewObject(name);
        var metadata = body["metadata"]!.AsObject();
        if (IsClassic)
            PutClassic(metadata, theirs, labels, annotations, UserName(nameNote) ?? name.Name);
        else
        {
            metadata["labels"] = labels.DeepClone();
            metadata["annotations"] = annotations.DeepClone();
            if (theirs["ownerReferences"] is JsonArray owners)
                metadata["ownerReferences"] = owners.DeepClone();
            if (theirs["finalizers"] is JsonArray finalizers)
                metadata["finalizers"] = finalizers.DeepClone();
        }
        // Finalizers on the object itself are others' and keep it until they are done.
        if (existing is not null && existing.Metadata.TryGetProperty("finalizers", out var held) && metadata["finalizers"] is null)
            metadata["finalizers"] = JsonArray.Create(held);
        foreach (var (member, content) in json.Where(m => m.Key is not ("kind" or "apiVersion" or "metadata")))
            body[member] = content?.DeepClone();
        return new KubeWrite(body, IsPatch: false);
    }

    private void PutClassic(JsonObject metadata, JsonObject theirs, JsonObject labels, JsonObject annotations, string userName)
    {
        var kept = new JsonObject();
        if (_kind.IsTieredPolicy)
            kept["name"] = userName;
        // Go writes a time that is not set as null.
        kept["creationTimestamp"] = null;
        foreach (var (member, content) in theirs.Where(m => !NotInAnnotation.Contains(m.Key)))
            kept[member] = content?.DeepClone();
        if (labels.Count > 0)
            kept["labels"] = labels.DeepClone();
        if (annotations.Count > 0)
            kept["annotations"] = annotations.DeepClone();

        var own = new JsonObject { [MetadataAnnotation] = kept.ToJsonString(JsonForms.TextOptions) };
        foreach (var (member, content) in annotations.Where(a => IsKept(a.Key) || a.Key.StartsWith("kubectl.kubernetes.io/", StringComparison.Ordinal)))
            own[member] = content?.DeepClone();
        metadata["annotations"] = own;
        var ownLabels = new JsonObject();
        foreach (var (member, content) in labels.Where(l => IsKept(l.Key)))
            ownLabels[member] = content?.DeepClone();
        if (ownLabels.Count > 0)
            metadata["labels"] = ownLabels;
        if (theirs["ownerReferences"] is JsonArray { Count: > 0 } owners)
            metadata["ownerReferences"] = new JsonArray([.. owners.Select(o => Converted(o, NativeVersion, Resource.ApiVersion))]);
    }

    /// <summary>Labels and annotations that Calico keeps on the object as well, for selectors of the API.</summary>
    private static bool IsKept(string key) => key.Contains("projectcalico.org/", StringComparison.Ordinal)
        || key.Contains("operator.tigera.io/", StringComparison.Ordinal);

    private void CopyOwners(JsonElement source, JsonObject target)
    {
        if (source.TryGetProperty("ownerReferences", out var owners) && owners.ValueKind == JsonValueKind.Array)
        {
            target["ownerReferences"] = new JsonArray([.. JsonArray.Create(owners)!
                .Select(o => IsClassic ? Converted(o, Resource.ApiVersion, NativeVersion) : o?.DeepClone())]);
        }
    }

    // An owner of this API has another version and uid in the other group.
    private static JsonNode? Converted(JsonNode? owner, string from, string to)
    {
        var converted = owner?.DeepClone();
        if (converted is not JsonObject reference || (string?)reference["apiVersion"] != from)
            return converted;
        reference["apiVersion"] = to;
        if ((string?)reference["uid"] is { } uid && KubeNames.TryConvertUid(uid, out var other))
            reference["uid"] = other;
        return converted;
    }

    private static string? UserName(JsonNode? note) =>
        note is JsonValue value && value.TryGetValue<string>(out var text)
        && JsonForms.TryParse(System.Text.Encoding.UTF8.GetBytes(text)) is { } json
            ? KubeItem.Text(json, "name")
            : null;

    public override JsonObject Placeholder(string key)
    {
        var body = NewObject(key);
        body["spec"] = new JsonObject();
        return body;
    }
}

using System.Text.Json.Nodes;
using Calico.Core.Model.Resources;
using Calico.Datastore.Kubernetes.Client;
using Calico.Datastore.Kubernetes.Mapping;

namespace Calico.Tests.Datastore.Kubernetes.Crds;

/// <summary>The definitions of all custom resources, as files of <c>deploy/crds</c>.</summary>
internal static class CrdManifests
{
    /// <summary>Where the files are.</summary>
    public static string Folder { get; } = Path.Combine(Root(), "deploy", "crds");

    private static string Root()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Calico.sln")))
                return folder.FullName;
        }
        throw new InvalidOperationException($"no Calico.sln above {AppContext.BaseDirectory}");
    }

    /// <summary>File names and their texts.</summary>
    public static SortedDictionary<string, string> All()
    {
        var all = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (var (resource, schema) in Definitions())
            all[$"{resource.Group}_{resource.Plural}.yaml"] = YamlText.Of(Definition(resource, schema));
        return all;
    }

    private static IEnumerable<(KubeResource Resource, JsonObject Schema)> Definitions()
    {
        foreach (var kind in ResourceKind.All)
        {
            if (kind != ResourceKind.Node && kind != ResourceKind.WorkloadEndpoint && kind != ResourceKind.Profile)
                yield return (ResourceMap.ResourceOf(kind, isClassic: true), WithDefaults(kind, CrdSchema.Of(kind)));
        }
        yield return (Classic("IPAMBlock", "ipamblocks"), Block());
        yield return (Classic("IPAMHandle", "ipamhandles"), Handle());
        yield return (KubeResource.Records, Record());
        yield return (KubeResource.Transactions, Transaction());
    }

    private static KubeResource Classic(string kind, string plural) => new(ResourceMap.ClassicGroup, "v1", plural, kind, false);

    private static JsonObject Definition(KubeResource resource, JsonObject schema) => new()
    {
        ["apiVersion"] = "apiextensions.k8s.io/v1",
        ["kind"] = "CustomResourceDefinition",
        ["metadata"] = new JsonObject { ["name"] = resource.FullName },
        ["spec"] = new JsonObject
        {
            ["group"] = resource.Group,
            ["names"] = new JsonObject
            {
                ["kind"] = resource.Kind,
                ["listKind"] = resource.Kind + "List",
                ["plural"] = resource.Plural,
                ["singular"] = resource.Kind.ToLowerInvariant(),
            },
            ["preserveUnknownFields"] = false,
            ["scope"] = resource.IsNamespaced ? "Namespaced" : "Cluster",
            ["versions"] = new JsonArray(new JsonObject
            {
                ["name"] = resource.Version,
                ["schema"] = new JsonObject { ["openAPIV3Schema"] = schema },
                ["served"] = true,
                ["storage"] = true,
            }),
        },
    };

    // What ResourceDefaults fills in when calicoctl writes; here for those who write with kubectl.
    private static JsonObject WithDefaults(ResourceKind kind, JsonObject schema)
    {
        (string Field, JsonNode Default)[] defaults =
            kind == ResourceKind.IPAMConfiguration ? [("autoAllocateBlocks", true), ("strictAffinity", false)]
            : kind == ResourceKind.IPPool ? [("assignmentMode", "Automatic"), ("nodeSelector", "all()")]
            : kind == ResourceKind.Tier ? [("defaultAction", "Deny")]
            : kind == ResourceKind.StagedKubernetesNetworkPolicy ? [("stagedAction", "Set")]
            : kind == ResourceKind.StagedNetworkPolicy || kind == ResourceKind.StagedGlobalNetworkPolicy ? [("stagedAction", "Set"), ("tier", "default")]
            : kind.IsTieredPolicy ? [("tier", "default")]
            : [];
        foreach (var (field, value) in defaults)
            schema["properties"]!["spec"]!["properties"]![field]!["default"] = value;
        return schema;
    }

    private static JsonObject Block()
    {
        var attribute = Object(new()
        {
            ["alternateOwnerAttrs"] = Map(Text()),
            ["handle_id"] = Text(),
            ["releasedAt"] = Time(),
            ["secondary"] = Map(Text()),
        });
        return Whole(new()
        {
            ["affinity"] = Text(@"^(host|virtual):[a-zA-Z0-9\.\-_]+$"),
            ["affinityClaimTime"] = Time(),
            ["allocations"] = List(new JsonObject { ["type"] = "integer", ["nullable"] = true }),
            ["attributes"] = List(attribute),
            ["cidr"] = Text("^[0-9a-fA-F:.]+/[0-9]{1,3}$"),
            ["deleted"] = Flag(),
            ["sequenceNumber"] = new JsonObject { ["type"] = "integer", ["format"] = "int64", ["default"] = 0 },
            ["sequenceNumberForAllocation"] = Map(new JsonObject { ["type"] = "integer", ["format"] = "int64" }),
            ["strictAffinity"] = Flag(),
            ["unallocated"] = List(new JsonObject { ["type"] = "integer" }),
        }, "allocations", "attributes", "cidr", "unallocated");
    }

    private static JsonObject Handle() => Whole(new()
    {
        ["block"] = Map(new JsonObject { ["type"] = "integer" }),
        ["deleted"] = Flag(),
        ["handleID"] = Text(),
    }, "block", "handleID");

    private static JsonObject Record() => Whole(new()
    {
        ["key"] = new JsonObject { ["type"] = "string", ["minLength"] = 1, ["maxLength"] = 4096 },
        // In base64; the format "byte" would refuse an empty one.
        ["value"] = Text("^[A-Za-z0-9+/]*={0,2}$"),
    }, "key");

    private static JsonObject Transaction() => Whole(new()
    {
        ["checks"] = List(Text(), 256),
        ["state"] = new JsonObject { ["type"] = "string", ["enum"] = new JsonArray("Prepared", "Committed", "Aborted") },
        ["writes"] = List(Text(), 128),
    }, "state", "writes");

    private static JsonObject Whole(JsonObject spec, params string[] required)
    {
        var schema = Object(spec);
        schema["required"] = new JsonArray([.. required.Select(r => (JsonNode)r)]);
        return new JsonObject
        {
            ["type"] = "object",
            ["properties"] = new JsonObject
            {
                ["apiVersion"] = Text(),
                ["kind"] = Text(),
                ["metadata"] = new JsonObject { ["type"] = "object" },
                ["spec"] = schema,
            },
        };
    }

    private static JsonObject Object(JsonObject properties) =>
        new() { ["type"] = "object", ["properties"] = properties, ["x-kubernetes-preserve-unknown-fields"] = true };

    private static JsonObject List(JsonObject items, int max = 0)
    {
        var list = new JsonObject { ["type"] = "array", ["items"] = items };
        if (max > 0)
            list["maxItems"] = max;
        return list;
    }

    private static JsonObject Map(JsonObject values) => new() { ["type"] = "object", ["additionalProperties"] = values };

    private static JsonObject Text(string? pattern = null) =>
        pattern is null ? new() { ["type"] = "string" } : new() { ["type"] = "string", ["pattern"] = pattern };

    private static JsonObject Time() => new() { ["type"] = "string", ["format"] = "date-time", ["nullable"] = true };

    private static JsonObject Flag() => new() { ["type"] = "boolean" };
}

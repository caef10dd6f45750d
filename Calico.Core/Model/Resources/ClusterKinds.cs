using System.Text.Json.Serialization;
using Calico.Core.Model.Schema;

namespace Calico.Core.Model.Resources;

/// <summary>What the cluster is; only <c>default</c> exists.</summary>
public sealed record ClusterInformation() : Resource(ResourceKind.ClusterInformation)
{
    public const string DefaultName = "default";

    public ClusterInformationSpec Spec { get; init => field = value ?? new(); } = new();
}

public sealed record ClusterInformationSpec : ModelObject
{
    /// <summary>Random, set once and never changed.</summary>
    [JsonPropertyName("clusterGUID")]
    public string? ClusterGuid { get; init; }

    /// <summary>Tags, separated by commas.</summary>
    public string? ClusterType { get; init; }

    public string? CalicoVersion { get; init; }

    /// <summary>False locks the datastore for a migration: agents and the CNI plugin refuse to work.</summary>
    public bool? DatastoreReady { get; init; }

    public string? Variant { get; init; }
}

/// <summary>Allocation options; only <c>default</c> exists. The allocator itself reads <c>/calico/ipam/v2/config</c>.</summary>
public sealed record IPAMConfiguration() : Resource(ResourceKind.IPAMConfiguration)
{
    public const string DefaultName = "default";

    public IPAMConfigurationSpec Spec { get; init => field = value ?? new(); } = new();
}

public sealed record IPAMConfigurationSpec : ModelObject
{
    /// <summary>No addresses from blocks of other nodes.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public bool StrictAffinity { get; init; }

    [Between(0, 1000000)]
    public int MaxBlocksPerHost { get; init; }

    /// <summary>Nodes take new blocks where theirs are full; on where the field is absent.</summary>
    [JsonIgnore]
    public bool AutoAllocateBlocks
    {
        get => StoredAutoAllocateBlocks!.Value;
        init => StoredAutoAllocateBlocks = value;
    }

    // Absent is null only until here, so that a reader can tell it from false; never null inside.
    [JsonInclude]
    [JsonPropertyName("autoAllocateBlocks")]
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    internal bool? StoredAutoAllocateBlocks { get; init => field = value ?? true; } = true;

    [OneOf("Enabled", "Disabled")]
    public string? KubeVirtVMAddressPersistence { get; init; }

    [Between(0, 1200)]
    public int IpCooldownSeconds { get; init; }
}

/// <summary>A view of one of IPAM's affinity keys: which node holds a block.</summary>
public sealed record BlockAffinity() : Resource(ResourceKind.BlockAffinity)
{
    public BlockAffinitySpec Spec { get; init => field = value ?? new(); } = new();
}

public sealed record BlockAffinitySpec : ModelObject
{
    [OneOf("confirmed", "pending", "pendingDeletion")]
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public string? State { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public string? Node { get; init; }

    /// <summary><c>host</c> or <c>virtual</c>.</summary>
    public string? Type { get; init; }

    [RequiredField]
    [Format(FieldFormat.Net)]
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public string? Cidr { get; init; }

    /// <summary>A boolean in this API; in the older group and in etcd the strings "true" and "false".</summary>
    [JsonConverter(typeof(Json.LenientBooleanConverter))]
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public bool Deleted { get; init; }
}

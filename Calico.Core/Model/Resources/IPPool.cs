using Calico.Core.Model.Schema;

namespace Calico.Core.Model.Resources;

/// <summary>When packets between nodes are wrapped.</summary>
public static class EncapsulationMode
{
    public const string Never = nameof(Never);
    public const string Always = nameof(Always);
    public const string CrossSubnet = nameof(CrossSubnet);
}

/// <summary>What addresses of a pool are for.</summary>
public static class IPPoolUse
{
    public const string Workload = nameof(Workload);
    public const string Tunnel = nameof(Tunnel);
    public const string LoadBalancer = nameof(LoadBalancer);
}

/// <summary>A range of addresses that is cut into blocks for nodes.</summary>
public sealed record IPPool() : Resource(ResourceKind.IPPool)
{
    public IPPoolSpec Spec { get; init => field = value ?? new(); } = new();
    public ConditionedStatus? Status { get; init; }
}

public sealed record IPPoolSpec : ModelObject
{
    /// <summary>Block prefix length where a pool names none.</summary>
    public const int DefaultBlockSizeV4 = 26;

    /// <inheritdoc cref="DefaultBlockSizeV4"/>
    public const int DefaultBlockSizeV6 = 122;

    /// <summary>Strictly masked; never changes.</summary>
    [RequiredField]
    [MaxLength(48)]
    [Format(FieldFormat.Cidr)]
    public string? Cidr { get; init; }

    [OneOf(EncapsulationMode.Never, EncapsulationMode.Always, EncapsulationMode.CrossSubnet)]
    public string? VxlanMode { get; init; }

    [OneOf(EncapsulationMode.Never, EncapsulationMode.Always, EncapsulationMode.CrossSubnet)]
    public string? IpipMode { get; init; }

    /// <summary>Traffic that leaves the cluster's pools is masqueraded.</summary>
    public bool NatOutgoing { get; init; }

    /// <summary>No new addresses from here.</summary>
    public bool Disabled { get; init; }

    public bool DisableBGPExport { get; init; }

    /// <summary>Prefix length of a block: 20 to 32 or 116 to 128; 0 is the default of the family. Never changes.</summary>
    [Between(0, 128)]
    public int BlockSize { get; init; }

    /// <summary>Nodes that may take blocks; the stored default is <c>all()</c>.</summary>
    [MaxLength(1024)]
    [Format(FieldFormat.Selector)]
    public string? NodeSelector { get; init; }

    /// <summary>Namespaces whose pods may get addresses.</summary>
    [MaxLength(1024)]
    [Format(FieldFormat.Selector)]
    public string? NamespaceSelector { get; init; }

    /// <summary>Absent is Workload and Tunnel.</summary>
    [Items(10, Unique = true, TakesDuplicates = true)]
    [OneOf(IPPoolUse.Workload, IPPoolUse.Tunnel, IPPoolUse.LoadBalancer)]
    public ValueList<string> AllowedUses { get; init; }

    /// <summary>Manual: only for requests that name the pool.</summary>
    [OneOf("Automatic", "Manual")]
    public string? AssignmentMode { get; init; }
}

/// <summary>Addresses that IPAM must not hand out.</summary>
public sealed record IPReservation() : Resource(ResourceKind.IPReservation)
{
    public IPReservationSpec Spec { get; init => field = value ?? new(); } = new();
}

public sealed record IPReservationSpec : ModelObject
{
    [Items(int.MaxValue, Unique = true, TakesDuplicates = true)]
    [Format(FieldFormat.Cidr)]
    public ValueList<string> ReservedCIDRs { get; init; }
}

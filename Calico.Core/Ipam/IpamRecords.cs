using System.Collections.Immutable;
using Calico.Core.Net;

namespace Calico.Core.Ipam;

/// <summary>Everything that a check compares, best as of one moment.</summary>
public sealed record IpamRecords
{
    public required ImmutableArray<AuditedBlock> Blocks { get; init; }
    public required ImmutableArray<AffinityRecord> Affinities { get; init; }
    public required ImmutableArray<HandleRecord> Handles { get; init; }

    public required ImmutableArray<PoolRecord> Pools { get; init; }
    public ImmutableArray<ReservationRecord> Reservations { get; init; } = [];

    /// <summary>Who uses which address: workloads, tunnels of nodes, services.</summary>
    public required ImmutableArray<AddressUse> Uses { get; init; }

    public required ImmutableHashSet<string> Nodes { get; init; }

    /// <summary>False when the services were not looked at: their addresses count as used then.</summary>
    public bool AreServicesKnown { get; init; } = true;
}

/// <param name="Owner"><c>host:NODE</c> or <c>virtual:NAME</c>.</param>
/// <param name="Block">The block that the owner claims.</param>
/// <param name="State"><c>confirmed</c>, <c>pending</c> or <c>pendingDeletion</c>.</param>
public sealed record AffinityRecord(string Owner, Cidr Block, string State);

/// <param name="Id">As in its key.</param>
/// <param name="Revision">Who deletes it compares this.</param>
/// <param name="Blocks">The blocks that it counts addresses in; null when it cannot be read.</param>
public sealed record HandleRecord(string Id, long Revision, ImmutableArray<Cidr>? Blocks);

/// <summary>A pool; one that is disabled gives nothing to anybody new.</summary>
public sealed record PoolRecord(string Name, Cidr Cidr, bool IsDisabled);

/// <summary>An IPReservation: networks whose addresses are free and yet given to nobody who did not name them.</summary>
public sealed record ReservationRecord(string Name, ImmutableArray<Cidr> Networks);

/// <param name="Address">The address in use.</param>
/// <param name="User">For people, like <c>Workload(web/pod-eth0)</c>.</param>
public sealed record AddressUse(IpAddr Address, string User)
{
    /// <summary><c>NAMESPACE/POD</c> where a pod uses it.</summary>
    public string? Pod { get; init; }
}

/// <summary>One assigned address, with who uses it.</summary>
/// <param name="Address">The address.</param>
/// <param name="Block">The block that records it.</param>
/// <param name="Owner">What the block says of its owner.</param>
/// <param name="SequenceNumber">Proves to a release that it is still this allocation.</param>
/// <param name="Node">The node of the owner, or else of the block; empty when neither is known.</param>
/// <param name="IsBorrowed">The block is another node's.</param>
/// <param name="Users">Who uses it; empty for one that is leaked or cools down.</param>
public sealed record CheckedAllocation(IpAddr Address, Cidr Block, AllocationAttributes Owner, ulong SequenceNumber, string Node,
    bool IsBorrowed, ImmutableArray<string> Users)
{
    /// <summary>Upstream's name for the addresses that Windows nodes keep of each block.</summary>
    public const string WindowsReservedHandle = "windows-reserved-ipam-handle";

    /// <summary>The handle as its key has it; null for an allocation that has none, or none that is stored.</summary>
    public string? Handle => Owner.HandleId is { Length: > 0 } id && !IsReservedForWindows ? IpamKeys.HandleId(id) : null;

    /// <summary><c>host:NODE</c>, <c>virtual:NAME</c>, or null.</summary>
    public string? BlockOwner { get; init; }

    /// <summary><c>NAMESPACE/POD</c> of an owner that is a pod.</summary>
    public string? Pod => Owner["pod"] is { Length: > 0 } pod ? $"{Owner["namespace"]}/{pod}" : null;

    public bool IsReservedForWindows => Owner.HandleId == WindowsReservedHandle;
    public bool IsCoolingDown => Owner.ReleasedAt is not null;
    public bool IsInUse => !Users.IsEmpty;
}

/// <summary>What a check found. Everything is in order, so that two checks of the same records say the same.</summary>
public sealed record IpamFindings
{
    /// <summary>Every assigned address; more than once where blocks overlap.</summary>
    public required ImmutableArray<CheckedAllocation> Allocations { get; init; }

    /// <summary>Every address in use with all who use it.</summary>
    public required ImmutableSortedDictionary<IpAddr, ImmutableArray<string>> Uses { get; init; }

    /// <summary>Assigned, but nobody uses them.</summary>
    public required ImmutableArray<IpAddr> Leaked { get; init; }

    /// <summary>In use, but in no active pool.</summary>
    public required ImmutableArray<IpAddr> OutsidePools { get; init; }

    /// <summary>In use and in an active pool, but not assigned.</summary>
    public required ImmutableArray<IpAddr> Unallocated { get; init; }

    /// <summary>In use by several. The two pods of a VM that moves are one.</summary>
    public required ImmutableArray<IpAddr> Shared { get; init; }

    /// <summary>Assigned by several blocks, which only blocks that overlap can do.</summary>
    public required ImmutableArray<IpAddr> AssignedTwice { get; init; }

    /// <summary>Handles that no block mentions.</summary>
    public required ImmutableArray<HandleRecord> LeakedHandles { get; init; }

    /// <summary>Handles that blocks mention.</summary>
    public required int MatchedHandles { get; init; }

    /// <summary>Handles that blocks mention and that do not exist: nothing depends on them, so they are no problem.</summary>
    public required ImmutableArray<string> MissingHandles { get; init; }

    public required ImmutableArray<AuditedBlock> InvalidBlocks { get; init; }

    /// <summary>Claims to blocks that do not exist or are another's.</summary>
    public required ImmutableArray<AffinityRecord> StrayAffinities { get; init; }

    /// <summary>Blocks whose owner has no affinity for them, so that it does not know that it has them.</summary>
    public required ImmutableArray<IpamBlock> UnclaimedBlocks { get; init; }

    /// <summary>Blocks of nodes that do not exist.</summary>
    public required ImmutableArray<IpamBlock> BlocksOfNoNode { get; init; }

    /// <summary>Addresses that more than one has, or may get.</summary>
    public int Duplicates => Shared.Union(AssignedTwice).Count();

    public int Problems => Leaked.Length + OutsidePools.Length + Unallocated.Length + Duplicates
        + LeakedHandles.Length + InvalidBlocks.Length + StrayAffinities.Length + UnclaimedBlocks.Length + BlocksOfNoNode.Length;
}

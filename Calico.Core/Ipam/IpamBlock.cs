using Calico.Core.Net;

namespace Calico.Core.Ipam;

/// <summary>Who an allocation belongs to, as the block stores it.</summary>
/// <param name="HandleId">The handle, or null for an allocation without one.</param>
/// <param name="Secondary">Facts about the owner: <c>pod</c>, <c>namespace</c>, <c>node</c>, <c>type</c>, …</param>
public sealed record AllocationAttributes(string? HandleId, IReadOnlyDictionary<string, string>? Secondary)
{
    public IReadOnlyDictionary<string, string>? AlternateOwner { get; init; }

    /// <summary>Set while a released address cools down; the ordinal stays allocated until then.</summary>
    public DateTimeOffset? ReleasedAt { get; init; }

    public string? this[string attribute] => Secondary?.GetValueOrDefault(attribute);

    internal bool SameAs(AllocationAttributes other) => HandleId == other.HandleId && ReleasedAt == other.ReleasedAt
        && SameMap(Secondary, other.Secondary) && SameMap(AlternateOwner, other.AlternateOwner);

    private static bool SameMap(IReadOnlyDictionary<string, string>? a, IReadOnlyDictionary<string, string>? b) =>
        (a?.Count ?? 0) == (b?.Count ?? 0)
        && (a is null || a.All(kv => b!.TryGetValue(kv.Key, out var v) && v == kv.Value));
}

/// <summary>Why an address could not be assigned or released.</summary>
public enum AllocationRefusal
{
    None,
    NotInBlock,
    AlreadyAssigned,
    CoolingDown,
    NotAssigned,

    /// <summary>It is free, and kept for another node that has borrowed it.</summary>
    Lent,

    /// <summary>The allocation belongs to another handle, or was made anew since (sequence number).</summary>
    OwnedByAnother,
}

/// <summary>
/// One block of addresses: which are free, in which order they are handed out, and who has the others.
/// A working copy: <see cref="Clone"/> it, change the clone, store the clone by compare-and-swap, and only then make
/// it the truth. Ordinals count from the block's first address; all of them are usable.
/// </summary>
/// <remarks>
/// Invariants after every operation: each ordinal is either in <see cref="Unallocated"/> exactly once or has an
/// attribute index; every attribute is referenced; <see cref="SequenceNumber"/> grows by one a stored change.
/// </remarks>
public sealed class IpamBlock
{
    /// <summary>The largest block that is held in memory as arrays: 2^16 addresses, far above Calico's /20 and /116.</summary>
    public const int MaxHostBits = 16;

    internal int?[] Allocations;
    internal readonly List<int> UnallocatedList;
    internal readonly List<AllocationAttributes> AttributeList;
    internal readonly Dictionary<int, ulong> Sequences;

    private static readonly TimeSpan MaxClockSkew = TimeSpan.FromMinutes(5);

    // Made when somebody asks for a handle; a copy takes it along.
    private HandleIndex? _handles;
    private bool _mayHaveUnused;

    internal IpamBlock(Cidr cidr, int?[] allocations, List<int> unallocated, List<AllocationAttributes> attributes,
        Dictionary<int, ulong> sequences)
    {
        Cidr = cidr;
        Allocations = allocations;
        UnallocatedList = unallocated;
        AttributeList = attributes;
        Sequences = sequences;
        CoolingCount = allocations.Count(a => a is { } index && attributes[index].ReleasedAt is not null);
    }

    public Cidr Cidr { get; }

    /// <summary><c>host:NODE</c>, <c>virtual:NAME</c>, or null for a block without an owner.</summary>
    public string? Affinity { get; set; }

    public DateTimeOffset? AffinityClaimTime { get; set; }

    /// <summary>Starts at the Unix time in nanoseconds and grows by one a write, so that a recreated block never repeats one.</summary>
    public ulong SequenceNumber { get; set; }

    public bool Deleted { get; set; }

    /// <summary>Keys of the stored object that this code does not know, kept for the next write.</summary>
    internal Dictionary<string, System.Text.Json.JsonElement>? Unknown { get; set; }

    public int Capacity => Allocations.Length;
    public IReadOnlyList<int> Unallocated => UnallocatedList;
    public IReadOnlyList<AllocationAttributes> Attributes
    {
        get
        {
            Seal();
            return AttributeList;
        }
    }

    public int FreeCount => UnallocatedList.Count;
    public int AllocatedCount => Capacity - FreeCount;
    public bool IsEmpty => FreeCount == Capacity;

    /// <summary>Addresses that were given back and are not free yet.</summary>
    public int CoolingCount { get; private set; }

    /// <summary>The node of a <c>host:</c> affinity, or null.</summary>
    public string? AffineHost => Affinity is { } a && a.StartsWith("host:", StringComparison.Ordinal) ? a[5..] : null;

    /// <summary>An empty block for a new owner.</summary>
    public static IpamBlock Create(Cidr cidr, string affinity, DateTimeOffset now)
    {
        var hostBits = cidr.Address.BitLength - cidr.PrefixLength;
        ArgumentOutOfRangeException.ThrowIfGreaterThan(hostBits, MaxHostBits, nameof(cidr));
        var capacity = 1 << hostBits;
        return new IpamBlock(cidr.Network, new int?[capacity], [.. Enumerable.Range(0, capacity)], [], [])
        {
            Affinity = affinity,
            AffinityClaimTime = now,
            SequenceNumber = (ulong)(now - DateTimeOffset.UnixEpoch).Ticks * 100,
        };
    }

    public IpamBlock Clone() => new(Cidr, (int?[])Allocations.Clone(), [.. UnallocatedList], [.. AttributeList],
        new Dictionary<int, ulong>(Sequences))
    {
        _handles = _handles?.Clone(),
        _mayHaveUnused = _mayHaveUnused,
        Affinity = Affinity,
        AffinityClaimTime = AffinityClaimTime,
        SequenceNumber = SequenceNumber,
        Deleted = Deleted,
        Unknown = Unknown,
    };

    public IpAddr AddressAt(int ordinal) => Cidr.First.Add((ulong)ordinal);

    /// <summary>Who has the address, or null if it is free or not in this block.</summary>
    public AllocationAttributes? OwnerOf(IpAddr address) =>
        Cidr.Contains(address) && Allocations[Ordinal(address)] is { } index ? AttributeList[index] : null;

    /// <summary>The block's sequence number when the address was assigned; 0 for one that is free or has none.</summary>
    public ulong SequenceNumberOf(IpAddr address) => Cidr.Contains(address) ? Sequences.GetValueOrDefault(Ordinal(address)) : 0;

    /// <summary>The allocated addresses with their owners, ascending.</summary>
    public IEnumerable<(IpAddr Address, AllocationAttributes Owner)> Assigned()
    {
        for (var i = 0; i < Allocations.Length; i++)
        {
            if (Allocations[i] is { } index)
                yield return (AddressAt(i), AttributeList[index]);
        }
    }

    /// <summary>The first address that the handle has and has not given back; null for none.</summary>
    public IpAddr? AddressOf(string handle) => AddressesOf(handle) is [var first, ..] ? first : null;

    /// <summary>The addresses that the handle has and has not given back, ascending. Costs no more than there are.</summary>
    public IReadOnlyList<IpAddr> AddressesOf(string handle) => Handles.Has(handle) ? [.. Handles.Of(handle).Order().Select(AddressAt)] : [];

    /// <summary>Takes the next free address in hand-out order that is not reserved; null when there is none.</summary>
    public IpAddr? AutoAssign(AllocationAttributes owner, Func<IpAddr, bool>? isReserved = null)
    {
        for (var i = 0; i < UnallocatedList.Count; i++)
        {
            var address = AddressAt(UnallocatedList[i]);
            if (isReserved?.Invoke(address) == true)
                continue;
            Take(i, owner);
            return address;
        }
        return null;
    }

    /// <summary>Takes one particular address.</summary>
    public AllocationRefusal Assign(IpAddr address, AllocationAttributes owner)
    {
        if (!Cidr.Contains(address))
            return AllocationRefusal.NotInBlock;
        var ordinal = Ordinal(address);
        if (Allocations[ordinal] is { } index)
            return AttributeList[index].ReleasedAt is null ? AllocationRefusal.AlreadyAssigned : AllocationRefusal.CoolingDown;
        Take(UnallocatedList.IndexOf(ordinal), owner);
        return AllocationRefusal.None;
    }

    /// <summary>
    /// Gives an address back to the end of the queue. With a handle or a sequence number the stored allocation must
    /// match, so that a late release never hits an address that was assigned again.
    /// </summary>
    public AllocationRefusal Release(IpAddr address, string? handleId = null, ulong? sequenceNumber = null)
    {
        if (!Cidr.Contains(address))
            return AllocationRefusal.NotInBlock;
        var ordinal = Ordinal(address);
        if (Allocations[ordinal] is not { } index)
            return AllocationRefusal.NotAssigned;
        if ((handleId is not null && AttributeList[index].HandleId != handleId)
            || (sequenceNumber is { } wanted && Sequences.GetValueOrDefault(ordinal) != wanted))
            return AllocationRefusal.OwnedByAnother;
        Free(ordinal);
        return AllocationRefusal.None;
    }

    /// <summary>Gives back assigned addresses, whoever has them.</summary>
    public void Release(IEnumerable<IpAddr> addresses)
    {
        foreach (var address in addresses)
            Free(Ordinal(address));
    }

    /// <summary>Gives back every address that <paramref name="isReleased"/> says, and returns them.</summary>
    public IReadOnlyList<(IpAddr Address, AllocationAttributes Owner)> ReleaseWhere(
        Func<IpAddr, AllocationAttributes, bool> isReleased)
    {
        var released = Assigned().Where(a => isReleased(a.Address, a.Owner)).ToList();
        foreach (var (address, _) in released)
            Free(Ordinal(address));
        return released;
    }

    /// <summary>
    /// Takes assigned addresses from their owners without freeing them: nobody gets them before
    /// <see cref="CollectCooled"/> does.
    /// </summary>
    public void Cool(IEnumerable<IpAddr> addresses, DateTimeOffset now)
    {
        var cooling = AttributeList.Count;
        AttributeList.Add(new AllocationAttributes(null, null) { ReleasedAt = now });
        foreach (var address in addresses)
        {
            var ordinal = Ordinal(address);
            if (Allocations[ordinal] is null)
                throw new InvalidOperationException($"{address} is not assigned");
            Disown(ordinal);
            Allocations[ordinal] = cooling;
            CoolingCount++;
            Sequences[ordinal] = SequenceNumber;
        }
        _mayHaveUnused = true;
    }

    /// <summary>Frees the addresses that were released longer than <paramref name="cooldown"/> ago, and returns them.</summary>
    public IReadOnlyList<IpAddr> CollectCooled(TimeSpan cooldown, DateTimeOffset now) =>
        CoolingCount == 0 ? [] : [.. ReleaseWhere((_, owner) => owner.ReleasedAt is { } released && HasRested(released, cooldown, now)).Select(r => r.Address)];

    /// <summary>
    /// Whether an address that was released then has rested long enough. One that will be released far in the future was
    /// released by a node whose clock was wrong, and would rest for years.
    /// </summary>
    public static bool HasRested(DateTimeOffset released, TimeSpan cooldown, DateTimeOffset now) =>
        now - released > cooldown || released - now > cooldown + MaxClockSkew;

    private int Ordinal(IpAddr address) => (int)(address.Low - Cidr.First.Low);

    private void Take(int queueIndex, AllocationAttributes owner)
    {
        var ordinal = UnallocatedList[queueIndex];
        UnallocatedList.RemoveAt(queueIndex);
        var index = IndexOf(owner);
        if (index < 0)
        {
            index = AttributeList.Count;
            AttributeList.Add(owner);
        }
        Allocations[ordinal] = index;
        Sequences[ordinal] = SequenceNumber;
        if (owner is { ReleasedAt: null, HandleId: { } handle })
            Handles.Add(handle, ordinal);
    }

    // Every attribute of a handle is one of its addresses'.
    private int IndexOf(AllocationAttributes owner)
    {
        if (owner is not { ReleasedAt: null, HandleId: { } handle })
            return AttributeList.FindIndex(owner.SameAs);
        foreach (var ordinal in Handles.Of(handle))
        {
            if (Allocations[ordinal] is { } index && AttributeList[index].SameAs(owner))
                return index;
        }
        return -1;
    }

    private HandleIndex Handles
    {
        get
        {
            if (_handles is { } known)
                return known;
            _handles = new HandleIndex(Capacity);
            for (var i = 0; i < Allocations.Length; i++)
            {
                if (Allocations[i] is { } index && AttributeList[index] is { ReleasedAt: null, HandleId: { } handle })
                    _handles.Add(handle, i);
            }
            return _handles;
        }
    }

    private void Disown(int ordinal)
    {
        if (Allocations[ordinal] is not { } index)
            return;
        if (AttributeList[index].ReleasedAt is not null)
            CoolingCount--;
        else if (AttributeList[index].HandleId is { } handle)
            _handles?.Remove(handle, ordinal);
    }

    private void Free(int ordinal)
    {
        Disown(ordinal);
        Allocations[ordinal] = null;
        UnallocatedList.Add(ordinal);
        Sequences.Remove(ordinal);
        _mayHaveUnused = true;
    }

    /// <summary>
    /// Drops attributes that nothing refers to and moves the indexes of the others up (Calico's own compaction), once for
    /// all that was released. From here until the next change the block can be read by several threads.
    /// </summary>
    public void Seal()
    {
        if (!_mayHaveUnused)
            return;
        _mayHaveUnused = false;
        var used = new bool[AttributeList.Count];
        foreach (var index in Allocations)
        {
            if (index is { } i)
                used[i] = true;
        }
        if (!used.Contains(false))
            return;
        var moved = new int[used.Length];
        var next = 0;
        for (var i = 0; i < used.Length; i++)
            moved[i] = used[i] ? next++ : -1;
        for (var i = used.Length - 1; i >= 0; i--)
        {
            if (!used[i])
                AttributeList.RemoveAt(i);
        }
        for (var i = 0; i < Allocations.Length; i++)
        {
            if (Allocations[i] is { } index)
                Allocations[i] = moved[index];
        }
    }
}

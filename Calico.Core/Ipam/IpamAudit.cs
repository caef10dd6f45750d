using System.Collections.Immutable;
using Calico.Core.Net;

namespace Calico.Core.Ipam;

/// <summary>
/// Compares what IPAM has recorded with what is in use, record by record: each may be told, told again and taken away in
/// any order, and costs what it names and no more. What cannot be known is not called a fault: of a block that cannot be
/// read neither its addresses nor the handles that count in it are judged. Not thread-safe.
/// <code>
///   blocks ──► who is assigned what ─┐
///                                    ├─► each address: in use · cooling · leaked · shared · not assigned
///   endpoints, nodes, services ──────┘
///   pools, reservations, affinities, handles: looked at when somebody asks
/// </code>
/// </summary>
public sealed class IpamAudit
{
    /// <summary>What an address of a service is used by when services were not looked at.</summary>
    public const string UnknownService = "a service, which was not looked at";

    private const string LoadBalancerOwner = "virtual:load-balancer";
    private const string LoadBalancerType = "LoadBalancer";

    private static readonly AddressUse OfWindows = new(default, "Reserved for Windows");
    private static readonly AddressUse OfService = new(default, UnknownService);

    /// <summary>What is known of one address.</summary>
    private sealed class Known
    {
        public ImmutableArray<(IpamBlock Block, AllocationAttributes Owner)> Assigned { get; set; } = [];
        public ImmutableArray<(string Source, AddressUse Use)> Uses { get; set; } = [];
    }

    private readonly SortedDictionary<Cidr, AuditedBlock> _blocks = [];
    private readonly Dictionary<IpAddr, Known> _addresses = [];
    private readonly Dictionary<string, ImmutableArray<AddressUse>> _sources = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int> _pods = new(StringComparer.Ordinal);
    private readonly HashSet<string> _nodes = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, PoolRecord> _pools = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, ReservationRecord> _reservations = new(StringComparer.Ordinal);
    private readonly Dictionary<(string Owner, Cidr Block), AffinityRecord> _affinities = [];
    private readonly SortedDictionary<string, HandleRecord> _handles = new(StringComparer.Ordinal);
    private readonly SortedSet<IpAddr> _leaked = [];
    private readonly SortedSet<IpAddr> _unassigned = [];
    private readonly SortedSet<IpAddr> _shared = [];
    private readonly SortedSet<IpAddr> _assignedTwice = [];

    /// <summary>False while nobody said which services there are: their addresses count as used then.</summary>
    public bool AreServicesKnown { get; init; } = true;

    public static IpamAudit Of(IpamRecords records)
    {
        var audit = new IpamAudit { AreServicesKnown = records.AreServicesKnown };
        foreach (var node in records.Nodes)
            audit.SetNode(node, exists: true);
        foreach (var pool in records.Pools)
            audit.SetPool(pool.Name, pool);
        foreach (var reservation in records.Reservations)
            audit.SetReservation(reservation.Name, reservation);
        foreach (var affinity in records.Affinities)
            audit.SetAffinity(affinity.Owner, affinity.Block, affinity);
        foreach (var handle in records.Handles)
            audit.SetHandle(handle.Id, handle);
        audit.SetUses("", records.Uses);
        foreach (var block in records.Blocks)
            audit.SetBlock(block.Cidr, block);
        return audit;
    }

    /// <summary>Every block in order of its address.</summary>
    public IReadOnlyCollection<AuditedBlock> Blocks => _blocks.Values;
    public IReadOnlyCollection<PoolRecord> Pools => _pools.Values;
    public IReadOnlyCollection<ReservationRecord> Reservations => _reservations.Values;

    /// <summary>Assigned, but nobody uses them.</summary>
    public IReadOnlyCollection<IpAddr> Leaked => _leaked;

    /// <summary>In use by several; the two pods of a VM that moves are one.</summary>
    public IReadOnlyCollection<IpAddr> Shared => _shared;

    /// <summary>Assigned by more than one block.</summary>
    public IReadOnlyCollection<IpAddr> AssignedTwice => _assignedTwice;

    /// <summary>In use, and no block assigns them; some may be of a block that cannot be read.</summary>
    public IReadOnlyCollection<IpAddr> Unassigned => _unassigned;

    // ---- what is told --------------------------------------------------------------------------------------------------

    /// <summary>The block as it is stored now; null: it is gone.</summary>
    public void SetBlock(Cidr cidr, AuditedBlock? block)
    {
        var touched = new HashSet<IpAddr>();
        if (_blocks.Remove(cidr, out var old) && old.Block is { } before)
        {
            foreach (var (address, _) in before.Assigned())
            {
                Of(address).Assigned = Of(address).Assigned.RemoveAll(a => a.Block.Cidr == cidr);
                touched.Add(address);
            }
        }
        if (block is not null)
            _blocks[cidr] = block;
        foreach (var (address, owner) in block?.Block?.Assigned() ?? [])
        {
            Of(address).Assigned = Of(address).Assigned.Add((block!.Block!, owner));
            touched.Add(address);
        }
        foreach (var address in touched)
            Judge(address);
    }

    /// <summary>What one endpoint, node or other source uses now, in place of what it used; empty: it is gone.</summary>
    public void SetUses(string source, ImmutableArray<AddressUse> uses)
    {
        var before = _sources.GetValueOrDefault(source, []);
        foreach (var use in before)
        {
            Of(use.Address).Uses = Of(use.Address).Uses.RemoveAll(u => u.Source == source);
            Count(use.Pod, -1);
        }
        if (uses.IsEmpty)
            _sources.Remove(source);
        else
            _sources[source] = uses;
        foreach (var use in uses)
        {
            Of(use.Address).Uses = Of(use.Address).Uses.Add((source, use));
            Count(use.Pod, 1);
        }
        foreach (var address in before.Concat(uses).Select(u => u.Address).Distinct().ToList())
            Judge(address);
    }

    public void SetNode(string name, bool exists)
    {
        if (exists)
            _nodes.Add(name);
        else
            _nodes.Remove(name);
    }

    public void SetPool(string name, PoolRecord? pool) => Set(_pools, name, pool);

    public void SetReservation(string name, ReservationRecord? reservation) => Set(_reservations, name, reservation);

    public void SetHandle(string id, HandleRecord? handle) => Set(_handles, id, handle);

    public void SetAffinity(string owner, Cidr block, AffinityRecord? affinity) => Set(_affinities, (owner, block), affinity);

    private static void Set<TKey, TValue>(IDictionary<TKey, TValue> all, TKey key, TValue? value)
        where TKey : notnull
        where TValue : class
    {
        if (value is null)
            all.Remove(key);
        else
            all[key] = value;
    }

    private void Count(string? pod, int delta)
    {
        if (pod is null)
            return;
        var count = _pods.GetValueOrDefault(pod) + delta;
        if (count > 0)
            _pods[pod] = count;
        else
            _pods.Remove(pod);
    }

    // ---- what it comes to ----------------------------------------------------------------------------------------------

    private Known Of(IpAddr address)
    {
        if (!_addresses.TryGetValue(address, out var known))
            _addresses[address] = known = new Known();
        return known;
    }

    private void Judge(IpAddr address)
    {
        var known = Of(address);
        var users = UsersOf(known).Length;
        Put(_leaked, address, users == 0 && !known.Assigned.IsEmpty && known.Assigned.All(a => a.Owner.ReleasedAt is null));
        Put(_unassigned, address, users > 0 && known.Assigned.IsEmpty);
        Put(_shared, address, users > 1 && !known.Assigned.Any(a => a.Owner.AlternateOwner is { Count: > 0 }));
        Put(_assignedTwice, address, known.Assigned.Length > 1);
        if (known.Assigned.IsEmpty && known.Uses.IsEmpty)
            _addresses.Remove(address);
    }

    private static void Put(SortedSet<IpAddr> set, IpAddr address, bool isIn)
    {
        if (isIn)
            set.Add(address);
        else
            set.Remove(address);
    }

    private ImmutableArray<string> UsersOf(Known known)
    {
        var reserved = known.Assigned.Where(a => a.Owner.HandleId == CheckedAllocation.WindowsReservedHandle).Select(_ => OfWindows);
        var services = AreServicesKnown ? [] : known.Assigned.Where(a => a.Owner.ReleasedAt is null && IsOfService(a.Block, a.Owner)).Select(_ => OfService);
        return [.. reserved.Concat(known.Uses.Select(u => u.Use)).Concat(services).Select(u => u.User).Order(StringComparer.Ordinal)];
    }

    /// <summary>All who use the address.</summary>
    public ImmutableArray<string> UsersOf(IpAddr address) => _addresses.TryGetValue(address, out var known) ? UsersOf(known) : [];

    /// <summary>The blocks that assign the address.</summary>
    public ImmutableArray<Cidr> BlocksOf(IpAddr address) =>
        _addresses.TryGetValue(address, out var known) ? [.. known.Assigned.Select(a => a.Block.Cidr).Order()] : [];

    /// <summary>The node of whoever the address is assigned to; empty when it is not known, or it is assigned to nobody.</summary>
    public string NodeOf(IpAddr address) =>
        _addresses.TryGetValue(address, out var known) && known.Assigned is [var first, ..] ? NodeOf(first.Block, first.Owner) : "";

    private static bool IsOfService(IpamBlock block, AllocationAttributes owner) =>
        block.Affinity == LoadBalancerOwner || owner["type"] == LoadBalancerType;

    /// <summary>Every assigned address in order; more than once where blocks overlap.</summary>
    public IEnumerable<CheckedAllocation> Allocations() => _blocks.Values.Where(b => b.Block is not null)
        .SelectMany(b => b.Block!.Assigned().Select(a => Checked(b.Block, a.Address, a.Owner))).OrderBy(a => a.Address);

    private CheckedAllocation Checked(IpamBlock block, IpAddr address, AllocationAttributes owner)
    {
        var holder = block.AffineHost ?? "";
        var node = NodeOf(block, owner);
        return new CheckedAllocation(address, block.Cidr, owner, block.SequenceNumberOf(address), node, node != holder, UsersOf(address))
        {
            BlockOwner = block.Affinity,
        };
    }

    /// <summary>The node of an allocation: its owner's, or else the block's; empty when neither is known.</summary>
    public static string NodeOf(IpamBlock block, AllocationAttributes owner) =>
        owner["node"] is { Length: > 0 } named ? named : block.AffineHost ?? "";

    /// <summary>Why nobody uses an assigned address, as far as the records tell.</summary>
    public string WhyUnused(CheckedAllocation allocation)
    {
        if (allocation.Node.Length > 0 && !_nodes.Contains(allocation.Node))
            return $"its node {allocation.Node} does not exist";
        if (allocation.Pod is { } pod)
            return _pods.ContainsKey(pod) ? $"the endpoint of pod {pod} has other addresses" : $"no endpoint of pod {pod} exists";
        return allocation.Owner["type"] switch
        {
            LoadBalancerType => "no service has it",
            { } type when type.EndsWith("TunnelAddress", StringComparison.Ordinal) => $"node {allocation.Node} does not have it as its {type}",
            _ => allocation.Owner.HandleId is null ? "no owner is recorded" : "nobody is known to use it",
        };
    }

    public IpamFindings Findings()
    {
        var unreadable = new CidrLookup<Cidr>();
        foreach (var block in _blocks.Values.Where(b => b.Block is null))
            unreadable.Set(block.Cidr, block.Cidr);
        var active = new CidrLookup<PoolRecord>();
        foreach (var pool in _pools.Values.Where(p => !p.IsDisabled))
            active.Set(pool.Cidr, pool);
        var blocks = _blocks.Values.Select(b => b.Block).OfType<IpamBlock>().ToList();
        var allocations = Allocations().ToImmutableArray();
        var mentioned = allocations.Select(a => a.Handle).OfType<string>().ToImmutableSortedSet(StringComparer.Ordinal);
        var loose = _unassigned.Where(a => !unreadable.Contains(a)).ToLookup(active.Contains);
        return new IpamFindings
        {
            Allocations = allocations,
            Uses = _addresses.Select(a => (Address: a.Key, Users: UsersOf(a.Value))).Where(a => !a.Users.IsEmpty)
                .ToImmutableSortedDictionary(a => a.Address, a => a.Users),
            Leaked = [.. _leaked],
            OutsidePools = [.. loose[false]],
            Unallocated = [.. loose[true]],
            Shared = [.. _shared],
            AssignedTwice = [.. _assignedTwice],
            LeakedHandles = [.. _handles.Values.Where(h => !mentioned.Contains(h.Id) && !MayCountIn(h, unreadable))],
            MatchedHandles = _handles.Keys.Count(mentioned.Contains),
            MissingHandles = [.. mentioned.Where(h => !_handles.ContainsKey(h))],
            InvalidBlocks = [.. _blocks.Values.Where(b => b.Fault is not null)],
            StrayAffinities = [.. _affinities.Values.Where(IsStray).OrderBy(a => a.Owner, StringComparer.Ordinal).ThenBy(a => a.Block)],
            UnclaimedBlocks = [.. blocks.Where(b => b.Affinity is { } owner && !_affinities.ContainsKey((owner, b.Cidr)))],
            BlocksOfNoNode = [.. blocks.Where(b => b.AffineHost is { } node && !_nodes.Contains(node))],
        };
    }

    private bool IsStray(AffinityRecord affinity) =>
        !_blocks.TryGetValue(affinity.Block, out var block) || (block.Block is { } readable && readable.Affinity != affinity.Owner);

    private static bool MayCountIn(HandleRecord handle, CidrLookup<Cidr> unreadable) =>
        handle.Blocks is { } blocks ? blocks.Any(b => unreadable.TryFind(b, out var found) && found == b) : unreadable.Any;
}

using System.Collections.Immutable;
using Calico.Core.Net;

namespace Calico.Core.Ipam;

/// <summary>A block that a node holds: its contents, the revision they were read or written at, and the epoch of the grant.</summary>
/// <param name="BlockRevision">ModRevision of the block's key.</param>
/// <param name="Epoch">
/// ModRevision of the affinity key that made this node the owner. Every write of the lease compares it, so a node
/// that lost the block writes nothing more, whatever it believes.
/// </param>
public sealed record HeldBlock(IpamBlock Block, long BlockRevision, long Epoch)
{
    /// <summary>
    /// A block of another node, or of none, in which this one takes or gives back particular addresses. No other address
    /// is taken from it. Its epoch is that of its holder's grant; 0 if nobody holds it.
    /// </summary>
    public bool IsGuest { get; init; }
}

/// <summary>One wish: an address of each family named, all or none.</summary>
/// <param name="Pools">CIDRs that may be used, in order; empty means any block held.</param>
/// <param name="Wanted">Particular addresses instead of any; at most one a family.</param>
public sealed record AllocationRequest(string HandleId, ImmutableSortedDictionary<string, string> Attributes,
    ImmutableArray<IpVersion> Families, ImmutableArray<Cidr> Pools, ImmutableArray<IpAddr> Wanted)
{
    /// <summary>The particular address of a family, or null for any.</summary>
    public IpAddr? WantedOf(IpVersion family) => Wanted.Where(w => w.Version == family).Select(w => (IpAddr?)w).FirstOrDefault();
}

/// <summary>What a request got.</summary>
public abstract record AllocationOutcome
{
    /// <summary>One address a family, in the order asked.</summary>
    public sealed record Granted(ImmutableArray<IpAddr> Addresses) : AllocationOutcome;

    /// <summary>No block held has room in this family: claim another, then ask again.</summary>
    public sealed record NeedsBlock(IpVersion Family) : AllocationOutcome;

    /// <summary>A particular address cannot be had.</summary>
    public sealed record Refused(IpAddr Address, AllocationRefusal Reason, string? Owner) : AllocationOutcome;
}

/// <summary>What every decision over a node's blocks heeds.</summary>
public sealed record LeaseRules
{
    /// <summary>Addresses that are free and yet given to nobody who did not name them.</summary>
    public Func<IpAddr, bool> IsReserved { get; init; } = _ => false;

    /// <summary>Addresses that are free and kept for another node.</summary>
    public Func<IpAddr, bool> IsLent { get; init; } = _ => false;

    /// <summary>How long a released address rests; zero: it is free at once.</summary>
    public TimeSpan Cooldown { get; init; }

    public DateTimeOffset Now { get; init; }

    /// <summary>Whether nobody who did not name the address may have it.</summary>
    public bool IsKept(IpAddr address) => IsReserved(address) || IsLent(address);

    /// <summary>Whether a released address has rested long enough.</summary>
    public bool HasRested(AllocationAttributes owner) => owner.ReleasedAt is { } released && IpamBlock.HasRested(released, Cooldown, Now);
}

/// <summary>
/// A group commit in the making: takes many requests against the blocks a node holds, working on copies, and says
/// what one transaction must write. Nothing is true until that transaction has succeeded; if it fails, drop the batch.
/// </summary>
public sealed class LeaseBatch(IReadOnlyDictionary<Cidr, HeldBlock> held, LeaseRules rules)
{
    private readonly ImmutableArray<Cidr> _order = [.. held.Keys.Order()];
    private readonly SortedDictionary<Cidr, IpamBlock> _changed = [];

    // Blocks without room, until something of them is given back.
    private readonly HashSet<Cidr> _full = [];
    private readonly SortedSet<Cidr> _relied = [];
    private readonly SortedDictionary<string, SortedDictionary<Cidr, int>> _handleDeltas = new(StringComparer.Ordinal);

    /// <summary>The new contents of every block this batch changed, with their sequence number already advanced.</summary>
    public IReadOnlyDictionary<Cidr, IpamBlock> Changed => _changed;

    /// <summary>Nothing more is asked: what is to be written may be read by several threads.</summary>
    public void Seal()
    {
        foreach (var block in _changed.Values)
            block.Seal();
    }

    /// <summary>How many addresses each handle gains or loses in each block.</summary>
    public IReadOnlyDictionary<string, SortedDictionary<Cidr, int>> HandleDeltas => _handleDeltas;

    /// <summary>Blocks whose contents an answer repeats: it is true only if they are still held as they were read.</summary>
    public IReadOnlySet<Cidr> Relied => _relied;

    public bool IsEmpty => _changed.Count == 0;

    public AllocationOutcome Allocate(AllocationRequest request)
    {
        var plan = ImmutableArray.CreateBuilder<(Cidr Block, IpAddr? Wanted, bool IsHad)>();
        foreach (var family in request.Families)
        {
            // Asked again after an answer that got lost: the same handle has the same address.
            if (request.WantedOf(family) is { } wanted)
            {
                if (BlockOf(wanted) is not { } block)
                    return new AllocationOutcome.Refused(wanted, AllocationRefusal.NotInBlock, null);
                var owner = Current(block).OwnerOf(wanted);
                if (owner is { ReleasedAt: null } && owner.HandleId != request.HandleId)
                    return new AllocationOutcome.Refused(wanted, AllocationRefusal.AlreadyAssigned, owner.HandleId);
                if (owner is { ReleasedAt: not null } && !rules.HasRested(owner))
                    return new AllocationOutcome.Refused(wanted, AllocationRefusal.CoolingDown, null);
                if (owner is not { ReleasedAt: null } && rules.IsLent(wanted))
                    return new AllocationOutcome.Refused(wanted, AllocationRefusal.Lent, null);
                plan.Add((block, wanted, owner is { ReleasedAt: null }));
            }
            else if (HeldBy(request.HandleId, family) is { } had)
            {
                plan.Add((had.Block, had.Address, true));
            }
            else if (BlockWithRoom(family, request.Pools) is { } block)
            {
                plan.Add((block, null, false));
            }
            else
            {
                return new AllocationOutcome.NeedsBlock(family);
            }
        }
        // Both families are certain now; from here on nothing fails.
        var tenant = new AllocationAttributes(request.HandleId, request.Attributes);
        var addresses = plan.Select(p => p.IsHad ? Rely(p.Block, p.Wanted!.Value) : Take(p.Block, p.Wanted, tenant)).ToImmutableArray();
        return new AllocationOutcome.Granted(addresses);
    }

    /// <summary>Gives back every address of a handle in the blocks held, and returns them.</summary>
    public ImmutableArray<IpAddr> ReleaseHandle(string handleId)
    {
        var released = ImmutableArray.CreateBuilder<IpAddr>();
        foreach (var cidr in _order)
        {
            if (Current(cidr).AddressesOf(handleId) is not { Count: > 0 } leaving)
                continue;
            Return(cidr, leaving);
            released.AddRange(leaving);
            Count(handleId, cidr, -leaving.Count);
        }
        return released.ToImmutable();
    }

    /// <summary>Gives back every address that the predicate says; none that has been given back already is asked about.</summary>
    public ImmutableArray<IpAddr> ReleaseWhere(Func<IpAddr, AllocationAttributes, bool> isReleased)
    {
        var released = ImmutableArray.CreateBuilder<IpAddr>();
        foreach (var cidr in _order)
        {
            var leaving = Current(cidr).Assigned().Where(a => a.Owner.ReleasedAt is null && isReleased(a.Address, a.Owner)).ToList();
            if (leaving.Count == 0)
                continue;
            Return(cidr, leaving.ConvertAll(l => l.Address));
            foreach (var (address, owner) in leaving)
            {
                released.Add(address);
                if (owner.HandleId is { } handle)
                    Count(handle, cidr, -1);
            }
        }
        return released.ToImmutable();
    }

    /// <summary>Frees what has rested in own blocks, of which at most so many are changed.</summary>
    public void CollectRested(int most)
    {
        foreach (var cidr in held.Where(h => !h.Value.IsGuest && Current(h.Key) is { CoolingCount: > 0 } block && block.Attributes.Any(rules.HasRested)).Select(h => h.Key).Order().Take(most))
            Writable(cidr);
    }

    private void Return(Cidr cidr, IReadOnlyList<IpAddr> addresses)
    {
        var block = Writable(cidr);
        _full.Remove(cidr);
        if (rules.Cooldown > TimeSpan.Zero)
            block.Cool(addresses, rules.Now);
        else
            block.Release(addresses);
    }

    private IpAddr Take(Cidr cidr, IpAddr? wanted, AllocationAttributes owner)
    {
        var block = Writable(cidr);
        IpAddr address;
        if (wanted is { } particular)
        {
            if (block.Assign(particular, owner) is not AllocationRefusal.None)
                throw new InvalidOperationException($"{particular} was free a moment ago");
            address = particular;
        }
        else
        {
            address = block.AutoAssign(owner, rules.IsKept) ?? throw new InvalidOperationException($"{cidr} had room a moment ago");
        }
        Count(owner.HandleId!, cidr, 1);
        return address;
    }

    private void Count(string handle, Cidr cidr, int delta)
    {
        if (!_handleDeltas.TryGetValue(handle, out var deltas))
            _handleDeltas[handle] = deltas = [];
        deltas[cidr] = deltas.GetValueOrDefault(cidr) + delta;
    }

    private IpAddr Rely(Cidr block, IpAddr address)
    {
        _relied.Add(block);
        return address;
    }

    private (Cidr Block, IpAddr Address)? HeldBy(string handle, IpVersion family)
    {
        foreach (var cidr in _order)
        {
            if (cidr.Version == family && Current(cidr).AddressOf(handle) is { } address)
                return (cidr, address);
        }
        return null;
    }

    private Cidr? BlockOf(IpAddr address) =>
        _order.Where(c => c.Contains(address)).Select(c => (Cidr?)c).FirstOrDefault();

    private Cidr? BlockWithRoom(IpVersion family, ImmutableArray<Cidr> pools)
    {
        foreach (var cidr in _order)
        {
            if (cidr.Version != family || held[cidr].IsGuest || _full.Contains(cidr) || !(pools.IsEmpty || pools.Any(p => p.Contains(cidr))))
                continue;
            if (HasRoom(Current(cidr)))
                return cidr;
            _full.Add(cidr);
        }
        return null;
    }

    private bool HasRoom(IpamBlock block) => block.Unallocated.Any(o => !rules.IsKept(block.AddressAt(o)))
        || (block.CoolingCount > 0 && block.Assigned().Any(a => rules.HasRested(a.Owner) && !rules.IsKept(a.Address)));

    private IpamBlock Current(Cidr cidr) => _changed.TryGetValue(cidr, out var changed) ? changed : held[cidr].Block;

    // Whoever writes a block frees what has rested in it.
    private IpamBlock Writable(Cidr cidr)
    {
        if (_changed.TryGetValue(cidr, out var changed))
            return changed;
        var copy = held[cidr].Block.Clone();
        copy.SequenceNumber++;
        copy.CollectCooled(rules.Cooldown, rules.Now);
        return _changed[cidr] = copy;
    }
}

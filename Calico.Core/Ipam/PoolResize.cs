using System.Collections.Immutable;
using System.Globalization;
using System.Numerics;
using Calico.Core.Net;

namespace Calico.Core.Ipam;

/// <summary>Where a block of the pool is after a change.</summary>
public enum BlockPlace
{
    /// <summary>In the pool as before.</summary>
    Stays,

    /// <summary>Outside and empty: it is taken back.</summary>
    Goes,

    /// <summary>Outside, with addresses that somebody has.</summary>
    InTheWay,

    /// <summary>In the pool from now on; no pool had it.</summary>
    Joins,
}

/// <param name="Block">The block.</param>
/// <param name="Owner"><c>host:NODE</c>, <c>virtual:NAME</c>, or null.</param>
/// <param name="Place">What becomes of it.</param>
/// <param name="Taken">How many of its addresses are not free.</param>
public sealed record BlockPlan(Cidr Block, string? Owner, BlockPlace Place, int Taken);

/// <summary>What a pool's new CIDR comes to, before anything is done.</summary>
/// <param name="From">The CIDR that it has, or had before a change that was interrupted.</param>
/// <param name="To">The CIDR that it is to have.</param>
/// <param name="Refusals">Why it must not be done, a sentence each; empty if it may.</param>
/// <param name="Blocks">Blocks that are touched, in order.</param>
/// <param name="Notes">What else to know.</param>
public sealed record PoolResizePlan(string Pool, Cidr From, Cidr To, ImmutableArray<string> Refusals, ImmutableArray<BlockPlan> Blocks, ImmutableArray<string> Notes)
{
    public bool IsAllowed => Refusals.IsEmpty;

    public IEnumerable<Cidr> Going => Blocks.Where(b => b.Place == BlockPlace.Goes).Select(b => b.Block);

    /// <summary>The plan in one sentence.</summary>
    public string Summary
    {
        get
        {
            var verdict = IsAllowed ? "possible" : string.Create(CultureInfo.InvariantCulture, $"refused for {Refusals.Length} reason(s)");
            var blocks = string.Create(CultureInfo.InvariantCulture, $"{Count(BlockPlace.Stays)} blocks stay, {Count(BlockPlace.Joins)} join, ")
                + string.Create(CultureInfo.InvariantCulture, $"{Count(BlockPlace.Goes)} empty ones are taken back, {Count(BlockPlace.InTheWay)} are in the way");
            return string.Create(CultureInfo.InvariantCulture, $"{Pool}: {From} ({Size(From)} addresses) -> {To} ({Size(To)} addresses): {blocks}; {verdict}.");
        }
    }

    private int Count(BlockPlace place) => Blocks.Count(b => b.Place == place);

    private static BigInteger Size(Cidr cidr) => BigInteger.One << (cidr.Address.BitLength - cidr.PrefixLength);
}

/// <summary>
/// Plans another CIDR for a pool: larger around the old one, or smaller inside of it. Nothing that is in use may fall outside, and
/// nothing that another pool has may come in.
/// </summary>
public static class PoolResize
{
    private const int MostNamed = 5;

    /// <param name="pool">The pool as it is.</param>
    /// <param name="from">The CIDR before the change began; the pool's own unless a change was interrupted.</param>
    /// <param name="to">The CIDR that it is to have.</param>
    /// <param name="blockSize">Prefix length of the pool's blocks.</param>
    /// <param name="audit">Everything else that is stored.</param>
    /// <param name="hasRested">Whether an address that was released may be given to anybody again.</param>
    public static PoolResizePlan Plan(PoolRecord pool, Cidr from, Cidr to, int blockSize, IpamAudit audit, Func<AllocationAttributes, bool> hasRested)
    {
        var refusals = ImmutableArray.CreateBuilder<string>();
        var notes = ImmutableArray.CreateBuilder<string>();
        if (!to.IsMasked)
            refusals.Add($"{to} has bits behind its prefix: {to.Network} is meant, perhaps");
        else if (to.Version != from.Version)
            refusals.Add($"{to} is of another family than {from}");
        else if (!to.Overlaps(from))
            refusals.Add($"{to} has no address in common with {from}: make a new pool and move to it");
        else if (to.PrefixLength > blockSize)
            refusals.Add($"{to} is smaller than a block of the pool, which is a /{blockSize}");
        var others = new CidrLookup<PoolRecord>();
        foreach (var other in audit.Pools.Where(p => p.Name != pool.Name))
        {
            others.Set(other.Cidr, other);
            if (other.Cidr.Overlaps(to))
                refusals.Add(Overlap($"{pool.Name} as {to}", to, other.Name, other.Cidr));
        }
        var blocks = audit.Blocks.Select(b => Place(b, from, to, blockSize, others, hasRested, refusals)).OfType<BlockPlan>().ToImmutableArray();
        InUse(from, to, blocks, audit, hasRested, refusals);
        foreach (var reservation in audit.Reservations)
        {
            foreach (var network in reservation.Networks.Where(n => from.Contains(n) && !to.Overlaps(n)))
                notes.Add($"IPReservation {reservation.Name} keeps {network}, which is outside then");
            foreach (var network in reservation.Networks.Where(n => to.Contains(n) && !from.Overlaps(n)))
                notes.Add($"IPReservation {reservation.Name} keeps {network}, which comes in");
        }
        return new PoolResizePlan(pool.Name, from, to, refusals.ToImmutable(), blocks, notes.ToImmutable());
    }

    /// <summary>Why two pools cannot both be: the sentence of plans and of refused writes.</summary>
    public static string Overlap(string pool, Cidr cidr, string other, Cidr taken)
    {
        var shared = cidr.PrefixLength > taken.PrefixLength ? cidr.Network : taken.Network;
        return string.Create(CultureInfo.InvariantCulture,
            $"{pool} overlaps pool {other} ({taken}): they would share {shared}, {BigInteger.One << (shared.Address.BitLength - shared.PrefixLength)} addresses");
    }

    private static BlockPlan? Place(AuditedBlock block, Cidr from, Cidr to, int blockSize, CidrLookup<PoolRecord> others,
        Func<AllocationAttributes, bool> hasRested, ImmutableArray<string>.Builder refusals)
    {
        var isIn = to.Contains(block.Cidr);
        if (!from.Overlaps(block.Cidr) && !isIn)
            return null;
        if (!from.Overlaps(block.Cidr) && others.TryFind(block.Cidr, out _))
            return null;
        if (isIn && block.Cidr.PrefixLength != blockSize)
            refusals.Add($"block {block.Cidr} in {to} is a /{block.Cidr.PrefixLength}, and the pool's blocks are /{blockSize}");
        if (isIn)
            return new BlockPlan(block.Cidr, block.Block?.Affinity, from.Contains(block.Cidr) ? BlockPlace.Stays : BlockPlace.Joins, block.Block?.AllocatedCount ?? 0);
        if (block.Block is not { } readable)
        {
            refusals.Add($"block {block.Cidr} would be outside, and cannot be read: {block.Fault}");
            return new BlockPlan(block.Cidr, null, BlockPlace.InTheWay, 0);
        }
        var taken = readable.Assigned().Count(a => !hasRested(a.Owner));
        return new BlockPlan(block.Cidr, readable.Affinity, taken == 0 ? BlockPlace.Goes : BlockPlace.InTheWay, taken);
    }

    private static void InUse(Cidr from, Cidr to, ImmutableArray<BlockPlan> blocks, IpamAudit audit, Func<AllocationAttributes, bool> hasRested,
        ImmutableArray<string>.Builder refusals)
    {
        var outside = audit.Allocations().Where(a => !hasRested(a.Owner) && from.Contains(a.Address) && !to.Contains(a.Address)).ToLookup(a => a.Block);
        foreach (var block in blocks.Where(b => b.Place == BlockPlace.InTheWay && outside[b.Block].Any()))
        {
            var named = outside[block.Block].Select(a => $"{a.Address} ({(a.IsCoolingDown ? "cools down" : a.Pod ?? a.Owner["type"] ?? a.Handle ?? "no owner")})").ToList();
            var rest = named.Count > MostNamed ? string.Create(CultureInfo.InvariantCulture, $" and {named.Count - MostNamed} more") : "";
            refusals.Add($"block {block.Block} of {block.Owner ?? "nobody"} would be outside and has addresses that are not free: {string.Join(", ", named.Take(MostNamed))}{rest}");
        }
        foreach (var address in audit.Unassigned.Where(a => from.Contains(a) && !to.Contains(a)))
            refusals.Add($"{address} would be outside and is in use by {string.Join(" and ", audit.UsersOf(address))}");
    }
}

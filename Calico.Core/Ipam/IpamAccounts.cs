using System.Collections.Immutable;
using System.Globalization;
using System.Numerics;
using Calico.Core.Net;

namespace Calico.Core.Ipam;

/// <summary>
/// Draws up the accounts of an audit: of each block, of each pool, and in total, allocated + free + cooling = capacity. The
/// sides are counted independently: a block's lists as they are stored, and a pool's space without blocks from the gaps
/// between them, so that a lost address, a block that is there twice or one too large shows as a sum that is wrong.
/// </summary>
/// <param name="audit">The records; looked at, not changed.</param>
/// <param name="cooldown">How long a released address rests.</param>
/// <param name="now">What is over by now.</param>
public sealed class IpamAccounts(IpamAudit audit, TimeSpan cooldown, DateTimeOffset now)
{
    private readonly ImmutableArray<string>.Builder _violations = ImmutableArray.CreateBuilder<string>();
    private readonly CidrLookup<PoolRecord> _poolOf = new();

    public IpamAuditReport Report()
    {
        LearnPools();
        CheckPools();
        CheckBlocks();
        var blocks = audit.Blocks.Select(Account).ToImmutableArray();
        var pools = Pools(blocks);
        var findings = audit.Findings();
        return new IpamAuditReport
        {
            Pools = pools,
            Blocks = blocks,
            Addresses = Addresses(findings),
            Reserved = Reserved(),
            Total = pools.Aggregate(default(AddressSums), (sum, pool) => sum + pool.Sums),
            Violations = _violations.ToImmutable(),
            Findings = findings,
        };
    }

    /// <summary>How many of the block's and the pools' accounts do not add up, without the accounts of each address.</summary>
    public static int CountViolations(IpamAudit audit)
    {
        var accounts = new IpamAccounts(audit, TimeSpan.Zero, default);
        accounts.LearnPools();
        accounts.CheckPools();
        accounts.CheckBlocks();
        accounts.Pools([.. audit.Blocks.Select(accounts.Account)]);
        return accounts._violations.Count;
    }

    /// <summary>How many addresses of each pool reservations keep; one that several name counts once.</summary>
    public static IReadOnlyDictionary<string, BigInteger> ReservedByPool(IpamAudit audit)
    {
        var accounts = new IpamAccounts(audit, TimeSpan.Zero, default);
        accounts.LearnPools();
        return accounts.ReservedByPool();
    }

    private void LearnPools()
    {
        foreach (var pool in audit.Pools)
            _poolOf.Set(pool.Cidr, pool);
    }

    // ---- sums ----------------------------------------------------------------------------------------------------------

    private void CheckPools()
    {
        foreach (var (outer, inner) in Nested(audit.Pools.OrderBy(p => p.Cidr).ThenBy(p => p.Name, StringComparer.Ordinal), p => p.Cidr))
            _violations.Add($"pool {inner.Name} ({inner.Cidr}) overlaps pool {outer.Name} ({outer.Cidr})");
    }

    private void CheckBlocks()
    {
        foreach (var (outer, inner) in Nested(audit.Blocks, b => b.Cidr))
            _violations.Add($"block {inner.Cidr} overlaps block {outer.Cidr}: the addresses that they share may be given out twice");
        var inOrder = audit.Blocks.Select(b => b.Cidr).ToList();
        foreach (var pool in audit.Pools)
        {
            // A block that is larger than the pool has it inside, and begins at or before it.
            var at = inOrder.BinarySearch(new Cidr(pool.Cidr.First, 0));
            var before = (at < 0 ? ~at : at) - 1;
            foreach (var index in new[] { before, before + 1 })
            {
                if (index >= 0 && index < inOrder.Count && inOrder[index] != pool.Cidr && inOrder[index].Contains(pool.Cidr))
                    _violations.Add($"block {inOrder[index]} is larger than pool {pool.Name} ({pool.Cidr})");
            }
        }
    }

    // Networks nest or are apart; in order, one that is inside another comes after it and before whatever is behind it.
    private static IEnumerable<(T Outer, T Inner)> Nested<T>(IEnumerable<T> inOrder, Func<T, Cidr> cidrOf)
        where T : class
    {
        T? outer = null;
        foreach (var item in inOrder)
        {
            if (outer is not null && cidrOf(outer).Contains(cidrOf(item)))
                yield return (outer, item);
            else
                outer = item;
        }
    }

    private BlockAccount Account(AuditedBlock block)
    {
        var capacity = Size(block.Cidr);
        var sums = block.Counts is { } c && block.Block is not null
            ? new AddressSums(capacity, c.Allocated, c.Cooling, c.Free) : new AddressSums(capacity, 0, 0, 0);
        if (block.Block is null)
            _violations.Add($"block {block.Cidr}: of its {capacity} addresses nothing is known: {block.Fault}");
        else if (!sums.AddUp || block.Fault is not null)
            _violations.Add($"block {block.Cidr}: {(sums.AddUp ? block.Fault : $"{sums}{(block.Fault is { } fault ? $": {fault}" : "")}")}");
        return new BlockAccount(block.Cidr, _poolOf.TryFind(block.Cidr, out var pool) ? pool.Name : null, block.Block?.Affinity, sums, block.Fault);
    }

    private ImmutableArray<PoolAccount> Pools(ImmutableArray<BlockAccount> blocks)
    {
        var byPool = blocks.ToLookup(b => b.Pool ?? "", StringComparer.Ordinal);
        var reserved = ReservedByPool();
        var accounts = ImmutableArray.CreateBuilder<PoolAccount>();
        foreach (var pool in audit.Pools.OrderBy(p => p.Cidr).ThenBy(p => p.Name, StringComparer.Ordinal))
        {
            var capacity = Size(pool.Cidr);
            var sums = Sum(byPool[pool.Name]) with { Capacity = capacity };
            sums = sums with { Free = sums.Free + capacity - Covered(byPool[pool.Name]) };
            if (!sums.AddUp)
                _violations.Add($"pool {pool.Name} ({pool.Cidr}): {sums}");
            accounts.Add(new PoolAccount(pool.Name, pool.Cidr, pool.IsDisabled, sums, reserved.GetValueOrDefault(pool.Name), byPool[pool.Name].Count()));
        }
        if (byPool[""].Any())
            accounts.Add(new PoolAccount(null, null, false, Sum(byPool[""]) with { Capacity = Covered(byPool[""]) }, 0, byPool[""].Count()));
        return accounts.ToImmutable();
    }

    private static AddressSums Sum(IEnumerable<BlockAccount> blocks) => blocks.Aggregate(default(AddressSums), (sum, b) => sum + b.Sums);

    // The blocks come in order: what is inside of the one before counts once.
    private static BigInteger Covered(IEnumerable<BlockAccount> blocks)
    {
        BigInteger covered = 0;
        Cidr? outer = null;
        foreach (var block in blocks)
        {
            if (outer?.Contains(block.Cidr) == true)
                continue;
            outer = block.Cidr;
            covered += Size(block.Cidr);
        }
        return covered;
    }

    private static BigInteger Size(Cidr cidr) => BigInteger.One << (cidr.Address.BitLength - cidr.PrefixLength);

    // ---- reservations --------------------------------------------------------------------------------------------------

    private IEnumerable<(Cidr Part, string Reservation, PoolRecord Pool)> ReservedParts()
    {
        var inside = new List<(Cidr, string, PoolRecord)>();
        foreach (var reservation in audit.Reservations)
        {
            foreach (var network in reservation.Networks)
            {
                if (_poolOf.TryFind(network, out var pool))
                    inside.Add((network, reservation.Name, pool));
                else
                    inside.AddRange(audit.Pools.Where(p => network.Contains(p.Cidr)).Select(p => (p.Cidr, reservation.Name, p)));
            }
        }
        return inside.OrderBy(r => r.Item1).ThenBy(r => r.Item2, StringComparer.Ordinal);
    }

    private Dictionary<string, BigInteger> ReservedByPool()
    {
        var sums = new Dictionary<string, BigInteger>(StringComparer.Ordinal);
        Cidr? outer = null;
        foreach (var (part, _, pool) in ReservedParts())
        {
            if (outer?.Contains(part) == true)
                continue;
            outer = part;
            sums[pool.Name] = sums.GetValueOrDefault(pool.Name) + Size(part);
        }
        return sums;
    }

    private ImmutableArray<ReservedRange> Reserved()
    {
        // Blocks in order, so that those inside of a range are found by its ends.
        var taken = audit.Allocations().Select(a => a.Address).Distinct().ToList();
        return [.. ReservedParts().Select(r => new ReservedRange(r.Part, r.Reservation, r.Pool.Name,
            Size(r.Part) - (At(taken, r.Part.Last, after: true) - At(taken, r.Part.First, after: false))))];
    }

    private static int At(List<IpAddr> sorted, IpAddr address, bool after)
    {
        var at = sorted.BinarySearch(address);
        return at < 0 ? ~at : after ? at + 1 : at;
    }

    // ---- each address --------------------------------------------------------------------------------------------------

    private ImmutableArray<AccountedAddress> Addresses(IpamFindings findings)
    {
        var leaked = findings.Leaked.ToHashSet();
        var twice = findings.AssignedTwice.ToHashSet();
        var shared = findings.Shared.ToHashSet();
        var assigned = findings.Allocations.Select(a => Assigned(a, leaked.Contains(a.Address), shared.Contains(a.Address), twice.Contains(a.Address)));
        var loose = findings.Unallocated.Select(a => Loose(a, AddressState.Unallocated, "but IPAM has it free"))
            .Concat(findings.OutsidePools.Select(a => Loose(a, AddressState.OutsidePools, "and no active pool covers it")));
        return [.. assigned.Concat(loose).OrderBy(a => a.Address)];
    }

    private AccountedAddress Assigned(CheckedAllocation allocation, bool isLeaked, bool isShared, bool isTwice)
    {
        var users = string.Join(" and ", allocation.Users);
        var until = allocation.Owner.ReleasedAt is { } released ? released + cooldown : (DateTimeOffset?)null;
        var (state, reason) = isTwice ? (AddressState.Duplicate, $"assigned by the blocks {string.Join(" and ", audit.BlocksOf(allocation.Address))}")
            : isShared ? (AddressState.Duplicate, $"in use by {users}")
            : until is { } rests ? (AddressState.Cooling, rests > now ? $"released, cools down until {Time(rests)}"
                : $"released, has rested since {Time(rests)}: the next write of its block frees it")
            : isLeaked ? (AddressState.Leaked, audit.WhyUnused(allocation))
            : (AddressState.Allocated, $"in use by {users}");
        return new AccountedAddress(allocation.Address, state, reason)
        {
            Pool = _poolOf.TryFind(allocation.Block, out var pool) ? pool.Name : null,
            Block = allocation.Block,
            BlockOwner = allocation.BlockOwner,
            Handle = allocation.Owner.HandleId is { Length: > 0 } id ? IpamKeys.HandleId(id) : null,
            Type = allocation.Owner["type"] ?? (allocation.Pod is not null ? "workload" : allocation.IsReservedForWindows ? "windows" : null),
            Pod = allocation.Pod,
            Node = allocation.Node.Length > 0 ? allocation.Node : null,
            IsBorrowed = allocation.IsBorrowed && allocation.Owner.ReleasedAt is null,
            CoolsUntil = until,
        };
    }

    private AccountedAddress Loose(IpAddr address, AddressState state, string why)
    {
        var users = audit.UsersOf(address);
        return new AccountedAddress(address, users.Length > 1 ? AddressState.Duplicate : state, $"in use by {string.Join(" and ", users)}, {why}")
        {
            Pool = _poolOf.TryFind(address, out var pool) ? pool.Name : null,
        };
    }

    private static string Time(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);
}

using System.Collections.Immutable;
using System.Numerics;
using Calico.Core.Net;

namespace Calico.Core.Ipam;

/// <summary>How full a range is. An address may be in use and reserved; free is one that is neither.</summary>
public sealed record AddressUsage(Cidr Cidr, BigInteger Capacity, BigInteger InUse, BigInteger Reserved, BigInteger Free)
{
    public static AddressUsage Of(Cidr cidr, IEnumerable<IpamBlock> blocks, IReadOnlyList<Cidr> reservations)
    {
        BigInteger used = 0, usedAndReserved = 0;
        foreach (var block in blocks)
        {
            used += block.AllocatedCount;
            if (reservations.Any(block.Cidr.Overlaps))
                usedAndReserved += block.Assigned().Count(a => reservations.Any(r => r.Contains(a.Address)));
        }
        var capacity = Size(cidr);
        var reserved = Apart(reservations)
            .Aggregate(BigInteger.Zero, (sum, r) => sum + (cidr.Contains(r) ? Size(r) : r.Contains(cidr) ? capacity : 0));
        return new AddressUsage(cidr, capacity, used, reserved, capacity - used - reserved + usedAndReserved);
    }

    // Networks nest or are apart: what another one contains counts once.
    private static IEnumerable<Cidr> Apart(IReadOnlyList<Cidr> cidrs) =>
        cidrs.Select(c => c.Network).Distinct().Where(c => !cidrs.Any(o => o.PrefixLength < c.PrefixLength && o.Contains(c)));

    private static BigInteger Size(Cidr cidr) => BigInteger.One << (cidr.Address.BitLength - cidr.PrefixLength);
}

/// <summary>How full a pool and its blocks are; without a pool, the blocks that no pool covers.</summary>
public sealed record PoolUsage(AddressUsage? Pool, ImmutableArray<AddressUsage> Blocks)
{
    /// <summary>Each pool in the order given, and last, if there are any, the blocks of none.</summary>
    public static ImmutableArray<PoolUsage> Of(IReadOnlyList<Cidr> pools, IEnumerable<IpamBlock> blocks, IReadOnlyList<Cidr> reservations)
    {
        var byPool = blocks.OrderBy(b => b.Cidr).ToLookup(b => pools.Select(p => (Cidr?)p).FirstOrDefault(p => p!.Value.Overlaps(b.Cidr)));
        var usage = ImmutableArray.CreateBuilder<PoolUsage>();
        foreach (var pool in pools)
            usage.Add(new PoolUsage(AddressUsage.Of(pool, byPool[pool], reservations), Each(byPool[pool])));
        if (byPool[null].Any())
            usage.Add(new PoolUsage(null, Each(byPool[null])));
        return usage.ToImmutable();

        ImmutableArray<AddressUsage> Each(IEnumerable<IpamBlock> inside) =>
            [.. inside.Select(b => AddressUsage.Of(b.Cidr, [b], reservations))];
    }
}

using System.Text;
using Calico.Core.Net;

namespace Calico.Core.Ipam;

/// <summary>
/// The order in which a host tries the blocks of a pool: in sequence with wrap-around from a start that depends on the
/// host's name (FNV-1 32 bit), so that hosts that start at the same time begin far apart.
/// </summary>
public static class BlockCandidates
{
    /// <summary>How many blocks a pool has; saturates at <see cref="int.MaxValue"/>.</summary>
    public static int CountIn(Cidr pool, int blockSize)
    {
        var bits = blockSize - pool.PrefixLength;
        return bits < 0 ? 0 : bits >= 31 ? int.MaxValue : 1 << bits;
    }

    public static IEnumerable<Cidr> Of(Cidr pool, int blockSize, string host)
    {
        var count = CountIn(pool, blockSize);
        if (count == 0)
            yield break;
        var start = (int)(Fnv1(host) % (uint)count);
        for (var i = 0; i < count; i++)
            yield return At(pool, blockSize, (int)(((long)start + i) % count));
    }

    public static Cidr At(Cidr pool, int blockSize, int index) =>
        new(pool.First.Add((UInt128)index << (pool.Address.BitLength - blockSize)), blockSize);

    /// <summary>The block of a pool that an address is in.</summary>
    public static Cidr Containing(IpAddr address, int blockSize) => new Cidr(address, blockSize).Network;

    private static uint Fnv1(string text)
    {
        var hash = 2166136261u;
        foreach (var b in Encoding.UTF8.GetBytes(text))
            hash = unchecked(hash * 16777619u) ^ b;
        return hash;
    }
}

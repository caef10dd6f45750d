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

    /// <param name="pool">What the blocks are cut from.</param>
    /// <param name="blockSize">Prefix length of a block.</param>
    /// <param name="host">The node's name.</param>
    /// <param name="without">A network that covers a block and of which no block is wanted, or null: it is passed over in one step.</param>
    public static IEnumerable<Cidr> Of(Cidr pool, int blockSize, string host, Func<Cidr, Cidr?>? without = null)
    {
        var count = CountIn(pool, blockSize);
        if (count == 0)
            yield break;
        var start = (int)(Fnv1(host) % (uint)count);
        for (var i = 0L; i < count;)
        {
            var index = (start + i) % count;
            var block = At(pool, blockSize, (int)index);
            if (without?.Invoke(block) is { } network)
            {
                i += Math.Min(BlocksLeft(network, block), count - index);
            }
            else
            {
                yield return block;
                i++;
            }
        }
    }

    // Of the network, from this block on.
    private static long BlocksLeft(Cidr network, Cidr block)
    {
        var left = (network.Size - network.OrdinalOf(block.First)) / block.Size;
        return left < long.MaxValue ? (long)left : long.MaxValue;
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

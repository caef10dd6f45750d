using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Numerics;
using Calico.Core.Net;

namespace Calico.Core.Ipam;

/// <summary>Cuts a pool into smaller ones of equal size.</summary>
public static class PoolSplit
{
    /// <summary>More pools than this are a mistake: every node reads all of them.</summary>
    public const int MaxParts = 4096;

    private const int MaxNameLength = 253;
    private const int KeptOfLongName = 245;

    /// <summary>The parts in order; false with the reason in Calico's words when the pool cannot be cut so.</summary>
    public static bool TryCut(Cidr pool, int parts, out ImmutableArray<Cidr> cut, [NotNullWhen(false)] out string? error)
    {
        cut = [];
        error = null;
        if (parts < 2 || !BitOperations.IsPow2(parts))
            error = $"number to split CIDR into is not a valid power of 2: {parts}";
        else if (BitOperations.Log2((uint)parts) + pool.PrefixLength > pool.Address.BitLength)
            error = $"the CIDR {pool} is not large enough to be split into {parts} parts";
        else if (parts > MaxParts)
            error = $"{parts} parts are too many: at most {MaxParts}";
        if (error is not null)
            return false;
        var length = pool.PrefixLength + BitOperations.Log2((uint)parts);
        cut = [.. Enumerable.Range(0, parts).Select(i => BlockCandidates.At(pool, length, i))];
        return true;
    }

    /// <summary>The name of a part: of a name that would get too long, only the beginning is kept.</summary>
    public static string NameOf(string pool, int index)
    {
        var name = $"split-{pool}-{index}";
        return name.Length <= MaxNameLength ? name : $"split-{pool[..Math.Min(pool.Length, KeptOfLongName - Digits(index))]}-{index}";
    }

    // One digit is what Calico leaves room for; names with more lose more.
    private static int Digits(int index) => index < 10 ? 0 : index < 100 ? 1 : index < 1000 ? 2 : 3;
}

using System.Numerics;

namespace Calico.Core.Policy.Render;

/// <summary>
/// The packet mark bits that rules talk through, taken from the low end of a mask as Calico does. With the default
/// mask 0xffff0000: accept 0x10000, pass 0x20000, drop 0x40000, scratch 0x80000 and 0x100000.
/// </summary>
public sealed record Marks
{
    public const uint DefaultMask = 0xffff0000;

    /// <exception cref="ArgumentException">The mask has fewer than five bits.</exception>
    public Marks(uint mask = DefaultMask)
    {
        if (BitOperations.PopCount(mask) < 5)
            throw new ArgumentException($"mark mask 0x{mask:x} has fewer than the five bits that policy needs", nameof(mask));
        Mask = mask;
        Accept = Take(ref mask);
        Pass = Take(ref mask);
        Drop = Take(ref mask);
        Scratch0 = Take(ref mask);
        Scratch1 = Take(ref mask);
        Remaining = mask;
    }

    public uint Mask { get; }

    /// <summary>Policy has accepted the packet.</summary>
    public uint Accept { get; }

    /// <summary>A rule said Pass: on to the next tier.</summary>
    public uint Pass { get; }

    /// <summary>A rule said Deny.</summary>
    public uint Drop { get; }

    /// <summary>All conditions of the rule at hand hold so far; in the raw chains: the packet came from a workload.</summary>
    public uint Scratch0 { get; }

    /// <summary>One of the alternatives of the condition at hand holds.</summary>
    public uint Scratch1 { get; }

    /// <summary>The bits that are left, for WireGuard and endpoint marks.</summary>
    public uint Remaining { get; }

    /// <summary>What "clear marks" clears; the drop bit stays.</summary>
    public uint All => Accept | Pass | Scratch0 | Scratch1;

    private static uint Take(ref uint mask)
    {
        var bit = mask & (~mask + 1);
        mask &= ~bit;
        return bit;
    }
}

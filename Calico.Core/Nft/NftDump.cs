using System.Collections.Immutable;

namespace Calico.Core.Nft;

/// <summary>A rule that the kernel has: its handle, and hash and cause if its comment is one of ours.</summary>
public readonly record struct NftDumpedRule(ulong Handle, NftRuleHash? Hash, Cause Cause);

/// <summary>A chain that the kernel has, with its rules in order.</summary>
public sealed record NftDumpedChain(NftChain Chain, ImmutableArray<NftDumpedRule> Rules);

/// <summary>
/// A set or map that the kernel has. <see cref="Foreign"/> says that it has a key type, a flag or a member that we do
/// not write (a range that is no network): such a set can only be replaced.
/// </summary>
public sealed record NftDumpedSet(NftSet Set, ReadOnlyMemory<NftElement> Elements, ReadOnlyMemory<NftMapEntry> Entries,
    bool Foreign = false);

/// <summary>What the kernel has in a table at one <see cref="Generation"/> of its rule set.</summary>
public sealed record NftDump(NftTable Table, bool Exists, ImmutableArray<NftDumpedChain> Chains,
    ImmutableArray<NftDumpedSet> Sets, uint Generation)
{
    /// <summary>The table is not there.</summary>
    public static NftDump Absent(NftTable table, uint generation = 0) => new(table, false, [], [], generation);
}

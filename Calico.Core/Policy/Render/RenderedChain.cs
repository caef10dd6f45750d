using System.Collections.Immutable;
using Calico.Core.Nft;

namespace Calico.Core.Policy.Render;

/// <summary>A chain with all its rules; a <see cref="Base"/> attaches it to a hook.</summary>
public sealed record RenderedChain(string Name, ImmutableArray<NftRule> Rules, NftBaseHook? Base = null)
{
    public bool Equals(RenderedChain? other) => other is not null && Name == other.Name && Base == other.Base
        && Rules.AsSpan().SequenceEqual(other.Rules.AsSpan());

    public override int GetHashCode() => HashCode.Combine(Name, Rules.Length);
}

/// <summary>A set with all its members.</summary>
public sealed record RenderedSet(NftSet Set, ImmutableArray<NftElement> Members);

/// <summary>Members that a set gains and loses.</summary>
public sealed record RenderedMembers(NftSet Set, ImmutableArray<NftElement> Added, ImmutableArray<NftElement> Removed);

/// <summary>Entries that a verdict map gains (or changes, where the key is there) and loses.</summary>
public sealed record RenderedEntries(NftSet Map, ImmutableArray<NftMapEntry> Added, ImmutableArray<NftElement> Removed);

/// <summary>
/// What one table is to change, in one transaction: every reference of a new object leads to one that is new as well
/// or was there. Lists are sorted by name; applied to an empty table, the first changes make it whole.
/// </summary>
public sealed record TableChanges(NftTable Table)
{
    public ImmutableArray<RenderedSet> SetsAdded { get; init; } = [];
    public ImmutableArray<RenderedMembers> MembersChanged { get; init; } = [];
    public ImmutableArray<string> SetsRemoved { get; init; } = [];
    public ImmutableArray<RenderedChain> Chains { get; init; } = [];
    public ImmutableArray<string> ChainsRemoved { get; init; } = [];
    public ImmutableArray<RenderedEntries> Entries { get; init; } = [];

    public bool IsEmpty => SetsAdded.IsEmpty && MembersChanged.IsEmpty && SetsRemoved.IsEmpty && Chains.IsEmpty
        && ChainsRemoved.IsEmpty && Entries.IsEmpty;

    /// <summary>Hands the changes to the delta of the same table, which plans the transaction.</summary>
    public void ApplyTo(NftDelta delta)
    {
        if (delta.Table != Table)
            throw new ArgumentException($"changes of {Table} for {delta.Table}", nameof(delta));
        foreach (var set in SetsAdded)
        {
            delta.SetDefinition(set.Set);
            delta.AddElements(set.Set.Name, set.Members.AsSpan());
        }
        foreach (var members in MembersChanged)
        {
            delta.RemoveElements(members.Set.Name, members.Removed.AsSpan());
            delta.AddElements(members.Set.Name, members.Added.AsSpan());
        }
        foreach (var entries in Entries)
        {
            foreach (var key in entries.Removed)
                delta.MapRemove(entries.Map.Name, key);
            foreach (var entry in entries.Added)
                delta.MapSet(entries.Map.Name, entry.Key, entry.Verdict);
        }
        foreach (var chain in Chains)
            delta.SetChain(new NftChain(chain.Name, chain.Base), chain.Rules);
        foreach (var chain in ChainsRemoved)
            delta.RemoveChain(chain);
        foreach (var set in SetsRemoved)
            delta.RemoveSet(set);
    }
}

using System.Collections.Immutable;

namespace Calico.Core.Nft;

/// <summary>
/// One change of a table. Adding what exists fails with EEXIST and removing what does not with ENOENT: the writer knows
/// the table, and a surprise means that it must look again.
/// </summary>
public abstract record NftOp
{
    private protected NftOp() { }

    public sealed record AddTable : NftOp;

    /// <summary>Removes the table with everything in it.</summary>
    public sealed record DeleteTable : NftOp;

    public sealed record AddChain(NftChain Chain) : NftOp;

    /// <summary>Changes the policy of a base chain that is there.</summary>
    public sealed record SetChainPolicy(NftChain Chain) : NftOp;

    /// <summary>Removes a chain and its rules; EBUSY while a rule or map entry elsewhere leads to it.</summary>
    public sealed record DeleteChain(string Chain) : NftOp;

    /// <summary>Removes the rules of a chain and keeps the chain.</summary>
    public sealed record FlushChain(string Chain) : NftOp;

    public sealed record AppendRule(string Chain, NftRule Rule) : NftOp;

    /// <summary>Puts a rule before the one with the handle.</summary>
    public sealed record InsertRule(string Chain, ulong Before, NftRule Rule) : NftOp;

    /// <summary>Puts a rule in the place of the one with the handle; the new one has a new handle.</summary>
    public sealed record ReplaceRule(string Chain, ulong Handle, NftRule Rule) : NftOp;

    public sealed record DeleteRule(string Chain, ulong Handle) : NftOp;

    public sealed record AddSet(NftSet Set) : NftOp;

    /// <summary>Removes a set with its members; EBUSY while a rule uses it.</summary>
    public sealed record DeleteSet(string Set) : NftOp;

    public sealed record AddElements(NftSet Set, ReadOnlyMemory<NftElement> Elements) : NftOp;

    public sealed record RemoveElements(NftSet Set, ReadOnlyMemory<NftElement> Elements) : NftOp;

    public sealed record AddMapEntries(NftSet Set, ReadOnlyMemory<NftMapEntry> Entries) : NftOp;

    /// <summary>How many kernel objects the change writes: members count by themselves.</summary>
    public int ObjectCount => this switch
    {
        AddElements { Elements.Length: var n } => n,
        RemoveElements { Elements.Length: var n } => n,
        AddMapEntries { Entries.Length: var n } => n,
        _ => 1,
    };

    /// <summary>The rule that the change puts into the kernel, which will answer with its handle.</summary>
    public NftRule? NewRule => this switch
    {
        AppendRule { Rule: var rule } => rule,
        InsertRule { Rule: var rule } => rule,
        ReplaceRule { Rule: var rule } => rule,
        _ => null,
    };
}

/// <summary>Changes of one table that the kernel takes together or not at all.</summary>
public sealed record NftTransaction(NftTable Table, ImmutableArray<NftOp> Ops)
{
    public bool IsEmpty => Ops.IsEmpty;

    /// <summary>How many kernel objects the transaction writes.</summary>
    public int ObjectCount => Ops.Sum(op => op.ObjectCount);

    /// <summary>
    /// The transaction as input for <c>nft -f</c>; large element lists are cut unless <paramref name="complete"/>.
    /// </summary>
    public string Render(bool complete = false) => NftText.Render(this, complete);

    public override string ToString() => Render();
}

/// <summary>
/// What a transaction left: the handles of its new rules in the order of the operations that made them.
/// </summary>
public sealed record NftCommitted(ImmutableArray<ulong> NewHandles)
{
    public static NftCommitted Nothing { get; } = new([]);
}

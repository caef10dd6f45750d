using System.Globalization;
using Calico.Core.Nft;

namespace Calico.Kernel.Nft;

/// <summary>
/// A complete model of an nftables table in memory, with the kernel's atomicity and errors. It is also a
/// ruleset that packets can be walked through: see <see cref="NftEvaluator"/> and <see cref="Walk"/>.
/// </summary>
public sealed class FakeNftTable(NftTable table, FakeNftKernel? kernel = null) : INftTable, INftRuleset
{
    /// <summary>What the table lives in; another fake over it sees the same, as after a restart.</summary>
    public FakeNftKernel Kernel { get; } = kernel ?? new FakeNftKernel();

    public NftTable Table { get; } = table;
    public long WriteCount { get; private set; }

    /// <summary>The last transaction that was committed.</summary>
    public NftTransaction? LastCommitted { get; private set; }

    public IEnumerable<NftChain> Chains => Contents.Chains.Values.Select(c => c.Chain);

    private FakeTableContents Contents => Kernel.Tables.TryGetValue(Table, out var contents)
        ? contents
        : throw new InvalidOperationException($"there is no table {Table}");

    public IReadOnlyList<NftRule> RulesOf(string chain) => Contents.Chains[chain].Rules;
    public NftSetContents SetOf(string name) => Contents.Sets[name];

    /// <summary>Walks a packet through the chains of a hook.</summary>
    public NftWalk Walk(NftHook hook, NftPacket packet) => NftEvaluator.Evaluate(this, hook, packet);

    public uint Generation() => Kernel.Generation;

    public NftDump Dump()
    {
        if (!Kernel.Tables.TryGetValue(Table, out var contents))
            return NftDump.Absent(Table, Kernel.Generation);
        var chains = contents.Chains.Values.Select(c => new NftDumpedChain(c.Chain,
            [.. c.Handles.Zip(c.Rules, (handle, rule) => DumpRule(handle, rule))]));
        var sets = contents.Sets.Values.Select(s => new NftDumpedSet(s.Set,
            s.Set.IsVerdictMap ? default : s.Elements.ToArray(),
            s.Set.IsVerdictMap ? s.Verdicts.Select(v => new NftMapEntry(v.Key, v.Value)).ToArray() : default));
        return new NftDump(Table, true, [.. chains], [.. sets], Kernel.Generation);
    }

    public NftCommitted Commit(NftTransaction transaction)
    {
        if (transaction.Table != Table)
            throw new ArgumentException($"a transaction of {transaction.Table} for {Table}", nameof(transaction));
        if (transaction.IsEmpty)
            return NftCommitted.Nothing;
        if (Kernel.TakeFailure() is var failure && failure != Errno.None)
            throw new KernelException(failure, "commit nft transaction of", $"{Table}");
        var batch = new FakeNftBatch(Kernel, Table);
        for (var i = 0; i < transaction.Ops.Length; i++)
        {
            var errno = batch.Apply(transaction.Ops[i]);
            if (errno == Errno.None)
                continue;
            batch.Undo();
            throw new KernelException(errno, string.Create(CultureInfo.InvariantCulture,
                $"nft operation {i + 1} of {transaction.Ops.Length}:"),
                NftText.Render(Table, transaction.Ops[i]));
        }
        var (verdict, why) = batch.Validate();
        if (verdict != Errno.None)
        {
            batch.Undo();
            throw new KernelException(verdict, "commit nft transaction of", $"{Table}", why);
        }
        Kernel.Generation++;
        WriteCount += transaction.ObjectCount;
        LastCommitted = transaction;
        return new NftCommitted(batch.NewHandles);
    }

    public void Dispose()
    {
        // What was written stays in the kernel.
    }

    // As the kernel: it gives back the comment, and what we know of a rule is what we read from that.
    private static NftDumpedRule DumpRule(ulong handle, NftRule rule) =>
        NftRule.TryParseComment(rule.Comment, out var hash, out var cause)
            ? new NftDumpedRule(handle, hash, cause)
            : new NftDumpedRule(handle, null, Cause.None);
}

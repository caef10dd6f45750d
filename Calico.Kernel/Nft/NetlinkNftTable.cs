using System.Collections.Immutable;
using System.Globalization;
using Calico.Core.Nft;
using Calico.Kernel.Netlink;

namespace Calico.Kernel.Nft;

/// <summary>
/// An nftables table over netlink: a transaction is one batch in one send, its answer is read in the same step.
/// <para>
/// The kernel tells the handles of new rules by echoing them. Echoes of very many rules would not fit the receive
/// buffer, so a transaction with more than <see cref="MaxEchoedRules"/> of them is followed by a look at the rules
/// instead: handles only grow, so the newest are ours in the order in which they were made.
/// </para>
/// </summary>
public sealed class NetlinkNftTable : INftTable
{
    internal const int MaxEchoedRules = 4096;
    private const int MaxDumpAttempts = 5;
    private const int MaxSubjectLength = 400;

    // errno numbers that only nf_tables gives: the chains form a loop, or jump too deep (validation at the end).
    private const int TooManyLinks = 31;
    private const int Loop = 40;

    private readonly NetlinkSocket _socket;
    private readonly NetlinkBatch _batch = new();
    private readonly NetlinkBatch _query = new(4096);

    private NetlinkNftTable(NftTable table, NetlinkSocket socket)
    {
        Table = table;
        _socket = socket;
    }

    public NftTable Table { get; }
    public long WriteCount { get; private set; }

    /// <summary>Opens the table, there or not, in the network namespace of the calling thread.</summary>
    /// <exception cref="KernelException">The kernel has no netfilter netlink, or denies it.</exception>
    public static NetlinkNftTable Open(NftTable table) => new(table, NetlinkSocket.Open(NetlinkProtocol.Netfilter));

    /// <summary>Opens the table in the network namespace behind the descriptor.</summary>
    public static NetlinkNftTable Open(NftTable table, int namespaceFd) =>
        new(table, NetlinkSocket.Open(NetlinkProtocol.Netfilter, namespaceFd));

    public uint Generation()
    {
        _query.Clear(_socket);
        var w = _query.Writer();
        var m = w.BeginMessage(NftMessage.GetGeneration, NetlinkFlags.None);
        NftBatchWriter.GenericHeader(ref w, 0, 0);
        w.EndMessage(m);
        var sink = default(GenerationSink);
        var errno = _socket.Request(_query, ref sink, out var detail);
        if (errno != Errno.None)
            throw new KernelException(errno, "read nft generation of", $"{Table}", detail);
        return sink.Generation;
    }

    public NftDump Dump()
    {
        NftDump dump;
        var attempt = 0;
        do
        {
            var generation = Generation();
            dump = DumpOnce(generation);
        }
        while (Generation() != dump.Generation && ++attempt < MaxDumpAttempts);
        return dump;
    }

    public NftCommitted Commit(NftTransaction transaction)
    {
        if (transaction.Table != Table)
            throw new ArgumentException($"a transaction of {transaction.Table} for {Table}", nameof(transaction));
        if (transaction.IsEmpty)
            return NftCommitted.Nothing;
        var newRules = transaction.Ops.Count(op => op.NewRule is not null);
        var echo = newRules <= MaxEchoedRules;
        _batch.Clear(_socket);
        var writer = new NftBatchWriter(_batch, Table, echo && newRules > 0);
        writer.Write(transaction);

        var handles = new Dictionary<int, ulong>();
        var sink = new HandleSink(handles, _batch.FirstSequence);
        var results = new Errno[_batch.Count];
        var failures = new List<NetlinkFailure>();
        if (_socket.Exchange(_batch, results, ref sink, failures) > 0)
            throw Refusal(transaction, writer, results, failures);

        WriteCount += transaction.ObjectCount;
        var made = echo ? Echoed(handles, writer) : NewestHandles(newRules);
        if (made.Length != newRules)
            throw new KernelException(Errno.ENOBUFS, "read handles of new rules of", $"{Table}",
                $"{made.Length} of {newRules}; read the table again");
        return new NftCommitted(made);
    }

    public void Dispose() => _socket.Dispose();

    private NftDump DumpOnce(uint generation)
    {
        if (!Exists())
            return NftDump.Absent(Table, generation);
        var chains = new List<NftChain>();
        Dump(NftMessage.GetChain, 0, null, new ChainSink(Table, chains), "chains");
        var rules = DumpRules();
        var sets = new List<(NftSet Set, bool Foreign)>();
        Dump(NftMessage.GetSet, NftSetAttribute.Table, null, new SetSink(Table, sets), "sets");
        var dumped = ImmutableArray.CreateBuilder<NftDumpedSet>(sets.Count);
        foreach (var (set, foreign) in sets)
        {
            var collector = new ElementCollector(set);
            if (!foreign)
                Dump(NftMessage.GetElements, NftElementAttribute.ListTable, set.Name, new ElementSink(collector),
                    $"members of {set.Name}");
            var finished = collector.Finish();
            dumped.Add(foreign ? finished with { Foreign = true } : finished);
        }
        return new NftDump(Table, true,
            [.. chains.Select(c => new NftDumpedChain(c, rules.TryGetValue(c.Name, out var list) ? [.. list] : []))],
            dumped.ToImmutable(), generation);
    }

    private bool Exists()
    {
        _query.Clear(_socket);
        var w = _query.Writer();
        var m = w.BeginMessage(NftMessage.GetTable, NetlinkFlags.None);
        NftBatchWriter.GenericHeader(ref w, (byte)Table.Family, 0);
        w.AttributeString(NftTableAttribute.Name, Table.Name);
        w.EndMessage(m);
        var errno = _socket.Request(_query, out var detail);
        if (errno is not (Errno.None or Errno.ENOENT))
            throw new KernelException(errno, "read nft table", $"{Table}", detail);
        return errno == Errno.None;
    }

    private Dictionary<string, List<NftDumpedRule>> DumpRules()
    {
        var rules = new Dictionary<string, List<NftDumpedRule>>();
        Dump(NftMessage.GetRule, NftRuleAttribute.Table, null, new RuleSink(Table, rules), "rules");
        return rules;
    }

    private void Dump<TSink>(ushort type, int tableAttribute, string? set, TSink sink, string what)
        where TSink : INetlinkSink
    {
        _query.Clear(_socket);
        var w = _query.Writer();
        var m = w.BeginMessage(type, NetlinkFlags.Dump);
        NftBatchWriter.GenericHeader(ref w, (byte)Table.Family, 0);
        if (tableAttribute != 0)
            w.AttributeString(tableAttribute, Table.Name);
        if (set is not null)
            w.AttributeString(NftElementAttribute.ListSet, set);
        w.EndMessage(m);
        var errno = _socket.Dump(_query, ref sink, out var detail);
        // What vanished since it was listed has no parts; the generation says that another attempt is due.
        if (errno is not (Errno.None or Errno.ENOENT))
            throw new KernelException(errno, $"dump nft {what} of", $"{Table}", detail);
    }

    private static ImmutableArray<ulong> Echoed(Dictionary<int, ulong> handles, NftBatchWriter writer)
    {
        var made = ImmutableArray.CreateBuilder<ulong>(handles.Count);
        for (var i = 0; i < writer.OpOfMessage.Count; i++)
        {
            if (handles.TryGetValue(i, out var handle))
                made.Add(handle);
        }
        return made.ToImmutable();
    }

    private ImmutableArray<ulong> NewestHandles(int count)
    {
        var all = DumpRules().Values.SelectMany(rules => rules.Select(r => r.Handle)).ToArray();
        Array.Sort(all);
        return [.. all.AsSpan(Math.Max(0, all.Length - count))];
    }

    private KernelException Refusal(NftTransaction transaction, NftBatchWriter writer, Errno[] results,
        List<NetlinkFailure> failures)
    {
        var message = Array.FindIndex(results, r => r != Errno.None && r != Errno.ENOBUFS);
        if (message < 0)
            return new KernelException(Errno.ENOBUFS, "commit nft transaction of", $"{Table}",
                "the kernel's answer was lost");
        var failed = failures.Find(f => f.Index == message);
        var op = writer.OpOfMessage[message];
        var detail = failed.Message ?? (int)results[message] switch
        {
            TooManyLinks => "chains jump deeper than 16 or in a loop",
            Loop => "chains form a loop",
            _ => null,
        };
        if (op < 0)
            return new KernelException(results[message], "commit nft transaction of", $"{Table}", detail);
        var subject = NftText.Render(Table, transaction.Ops[op]);
        if (subject.Length > MaxSubjectLength)
            subject = string.Concat(subject.AsSpan(0, MaxSubjectLength), "…");
        return new KernelException(results[message],
            string.Create(CultureInfo.InvariantCulture, $"nft operation {op + 1} of {transaction.Ops.Length}:"),
                subject, detail);
    }
}

using System.Collections.Immutable;
using System.Diagnostics;
using Calico.Core.Nft;

namespace Calico.Kernel.Nft;

/// <summary>
/// One transaction of the fake: applies operations one by one and remembers how to undo each. The errors are those of
/// the kernel (nf_tables_api.c, 6.x).
/// </summary>
internal sealed class FakeNftBatch(FakeNftKernel kernel, NftTable table)
{
    // ENFILE.
    private const Errno TooManyMembers = (Errno)23;

    private readonly Stack<Action> _undo = [];
    private readonly ImmutableArray<ulong>.Builder _newHandles = ImmutableArray.CreateBuilder<ulong>();
    private bool _mustValidate;

    public ImmutableArray<ulong> NewHandles => _newHandles.ToImmutable();

    private FakeTableContents? Table => kernel.Tables.GetValueOrDefault(table);

    public Errno Apply(NftOp op) => (op, Table) switch
    {
        (NftOp.AddTable, null) => AddTable(),
        (NftOp.AddTable, _) => Errno.EEXIST,
        (_, null) => Errno.ENOENT,
        (NftOp.DeleteTable, { } t) => Do(() => kernel.Tables.Remove(table), () => kernel.Tables[table] = t),
        (NftOp.AddChain o, { } t) => AddChain(t, o.Chain),
        (NftOp.SetChainPolicy o, { } t) => SetPolicy(t, o.Chain),
        (NftOp.DeleteChain o, { } t) => DeleteChain(t, o.Chain),
        (NftOp.FlushChain o, { } t) => Flush(t, o.Chain),
        (NftOp.AppendRule o, { } t) => Insert(t, o.Chain, o.Rule, null, replace: false),
        (NftOp.InsertRule o, { } t) => Insert(t, o.Chain, o.Rule, o.Before, replace: false),
        (NftOp.ReplaceRule o, { } t) => Insert(t, o.Chain, o.Rule, o.Handle, replace: true),
        (NftOp.DeleteRule o, { } t) => DeleteRule(t, o.Chain, o.Handle),
        (NftOp.AddSet o, { } t) => AddSet(t, o.Set),
        (NftOp.DeleteSet o, { } t) => DeleteSet(t, o.Set),
        (NftOp.AddElements o, { } t) => AddElements(t, o),
        (NftOp.RemoveElements o, { } t) => RemoveElements(t, o),
        (NftOp.AddMapEntries o, { } t) => AddEntries(t, o),
        _ => throw new UnreachableException(op.GetType().Name),
    };

    public void Undo()
    {
        while (_undo.TryPop(out var undo))
            undo();
    }

    /// <summary>
    /// What the kernel checks at the end of a batch: from base chains, how deep jumps go and what may be where.
    /// </summary>
    public (Errno Errno, string? Why) Validate()
    {
        if (!_mustValidate || Table is not { } contents)
            return (Errno.None, null);
        return FakeNftValidation.Check(contents);
    }

    private Errno AddTable()
    {
        if (table.Name.Length is 0 or > NftChain.MaxNameLength)
            return Errno.EINVAL;
        return Do(() => kernel.Tables[table] = new FakeTableContents(), () => kernel.Tables.Remove(table));
    }

    private Errno AddChain(FakeTableContents t, NftChain chain)
    {
        if (chain.Name.Length is 0 or > NftChain.MaxNameLength)
            return Errno.EINVAL;
        if (t.Chains.ContainsKey(chain.Name))
            return Errno.EEXIST;
        t.LastHandle++;
        return Do(() => t.Chains[chain.Name] = new FakeChain(chain), () => t.Chains.Remove(chain.Name));
    }

    private Errno SetPolicy(FakeTableContents t, NftChain chain)
    {
        if (!t.Chains.TryGetValue(chain.Name, out var known))
            return Errno.ENOENT;
        if (chain.Base is not { } wanted || known.Chain.Base is not { } old)
            return Errno.EOPNOTSUPP;
        if (old with { Policy = wanted.Policy } != wanted)
            return Errno.EEXIST;
        var before = known.Chain;
        return Do(() => known.Chain = chain, () => known.Chain = before);
    }

    private Errno DeleteChain(FakeTableContents t, string name)
    {
        if (!t.Chains.TryGetValue(name, out var chain))
            return Errno.ENOENT;
        if (t.ChainUses.GetValueOrDefault(name) > 0)
            return Errno.EBUSY;
        Flush(t, name);
        return Do(() => t.Chains.Remove(name), () => t.Chains[name] = chain);
    }

    private Errno Flush(FakeTableContents t, string name)
    {
        if (!t.Chains.TryGetValue(name, out var chain))
            return Errno.ENOENT;
        for (var i = chain.Rules.Count - 1; i >= 0; i--)
            RemoveAt(t, chain, i);
        return Errno.None;
    }

    private Errno Insert(FakeTableContents t, string name, NftRule rule, ulong? handle, bool replace)
    {
        if (!t.Chains.TryGetValue(name, out var chain))
            return Errno.ENOENT;
        var at = handle is { } h ? chain.Handles.IndexOf(h) : chain.Rules.Count;
        if (at < 0)
            return Errno.ENOENT;
        if (Check(t, rule) is var errno && errno != Errno.None)
            return errno;
        if (replace)
            RemoveAt(t, chain, at);
        var made = ++t.LastHandle;
        _newHandles.Add(made);
        _mustValidate = true;
        return Do(() =>
        {
            chain.Rules.Insert(at, rule);
            chain.Handles.Insert(at, made);
            t.Use(rule, +1);
        }, () =>
        {
            chain.Rules.RemoveAt(at);
            chain.Handles.RemoveAt(at);
            t.Use(rule, -1);
        });
    }

    private Errno DeleteRule(FakeTableContents t, string name, ulong handle)
    {
        if (!t.Chains.TryGetValue(name, out var chain) || chain.Handles.IndexOf(handle) is var at && at < 0)
            return Errno.ENOENT;
        return RemoveAt(t, chain, at);
    }

    private Errno RemoveAt(FakeTableContents t, FakeChain chain, int at)
    {
        var (rule, handle) = (chain.Rules[at], chain.Handles[at]);
        return Do(() =>
        {
            chain.Rules.RemoveAt(at);
            chain.Handles.RemoveAt(at);
            t.Use(rule, -1);
        }, () =>
        {
            chain.Rules.Insert(at, rule);
            chain.Handles.Insert(at, handle);
            t.Use(rule, +1);
        });
    }

    // The kernel knows key lengths only; here the number of fields and of key components must agree, which the
    // kernel would take and never match.
    private static Errno Check(FakeTableContents t, NftRule rule)
    {
        foreach (var term in rule.Terms)
        {
            switch (term)
            {
                case NftMatch.InSet m when !t.Sets.TryGetValue(m.Set, out _):
                case NftStatement.VerdictMap m2 when !t.Sets.TryGetValue(m2.Map, out _):
                    return Errno.ENOENT;
                case NftMatch.InSet m when t.Sets[m.Set].Set is var set && set.Key.Length != m.Fields.Length:
                case NftStatement.VerdictMap v when !t.Sets[v.Map].Set.IsVerdictMap:
                    return Errno.EINVAL;
                case NftStatement.Verdict { Value: var verdict } when CheckTarget(t, verdict) is var errno
                    && errno != Errno.None:
                    return errno;
            }
        }
        return Errno.None;
    }

    private static Errno CheckTarget(FakeTableContents t, NftVerdict verdict)
    {
        if (verdict.Chain is not { } chain)
            return Errno.None;
        if (!t.Chains.TryGetValue(chain, out var target))
            return Errno.ENOENT;
        return target.Chain.Base is null ? Errno.None : Errno.EOPNOTSUPP;
    }

    private Errno AddSet(FakeTableContents t, NftSet set)
    {
        if (set.Name.Length is 0 or > NftChain.MaxNameLength)
            return Errno.EINVAL;
        if (t.Sets.ContainsKey(set.Name))
            return Errno.EEXIST;
        t.LastHandle++;
        return Do(() => t.Sets[set.Name] = new NftSetContents(set), () => t.Sets.Remove(set.Name));
    }

    private Errno DeleteSet(FakeTableContents t, string name)
    {
        if (!t.Sets.TryGetValue(name, out var set))
            return Errno.ENOENT;
        if (t.SetUses.GetValueOrDefault(name) > 0)
            return Errno.EBUSY;
        return Do(() =>
        {
            t.Sets.Remove(name);
            foreach (var verdict in set.Verdicts.Values)
                t.Use(verdict, -1);
        }, () =>
        {
            t.Sets[name] = set;
            foreach (var verdict in set.Verdicts.Values)
                t.Use(verdict, +1);
        });
    }

    private Errno AddElements(FakeTableContents t, NftOp.AddElements op)
    {
        if (!t.Sets.TryGetValue(op.Set.Name, out var set))
            return Errno.ENOENT;
        if (!set.Set.SameDefinition(op.Set) || set.Set.IsVerdictMap)
            return Errno.EINVAL;
        foreach (var element in op.Elements.Span)
        {
            if (set.Has(element) || (set.Set.Interval && Overlaps(set, element)))
                return Errno.EEXIST;
            if (set.Set.MaxSize > 0 && set.Count >= set.Set.MaxSize)
                return TooManyMembers;
            Do(() => set.Add(element), () => set.Remove(element));
        }
        return Errno.None;
    }

    private static bool Overlaps(NftSetContents set, NftElement element)
    {
        var network = element.Network;
        return set.CoveredBy(network) is not null || set.HasInside(network);
    }

    private Errno RemoveElements(FakeTableContents t, NftOp.RemoveElements op)
    {
        if (!t.Sets.TryGetValue(op.Set.Name, out var set))
            return Errno.ENOENT;
        foreach (var element in op.Elements.Span)
        {
            if (set.Set.IsVerdictMap && set.TryGetVerdict(element, out var verdict))
            {
                Do(() =>
                {
                    set.Remove(element);
                    t.Use(verdict, -1);
                }, () =>
                {
                    set.Add(new NftMapEntry(element, verdict));
                    t.Use(verdict, +1);
                });
                continue;
            }
            if (!set.Has(element))
                return Errno.ENOENT;
            Do(() => set.Remove(element), () => set.Add(element));
        }
        return Errno.None;
    }

    private Errno AddEntries(FakeTableContents t, NftOp.AddMapEntries op)
    {
        if (!t.Sets.TryGetValue(op.Set.Name, out var set))
            return Errno.ENOENT;
        if (!set.Set.IsVerdictMap)
            return Errno.EINVAL;
        foreach (var entry in op.Entries.Span)
        {
            if (CheckTarget(t, entry.Verdict) is var errno && errno != Errno.None)
                return errno;
            if (set.Has(entry.Key))
                return Errno.EEXIST;
            if (set.Set.MaxSize > 0 && set.Count >= set.Set.MaxSize)
                return TooManyMembers;
            _mustValidate = true;
            Do(() =>
            {
                set.Add(entry);
                t.Use(entry.Verdict, +1);
            }, () =>
            {
                set.Remove(entry.Key);
                t.Use(entry.Verdict, -1);
            });
        }
        return Errno.None;
    }

    private Errno Do(Action action, Action undo)
    {
        action();
        _undo.Push(undo);
        return Errno.None;
    }
}

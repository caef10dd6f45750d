using System.Collections.Immutable;

namespace Calico.Core.Nft;

/// <summary>
/// The wanted state of one table, what the kernel has of it, and the smallest transaction between them. The cost of
/// a change is the size of the change: of a set the members that differ, of a chain the rules that differ.
/// <code>
/// SetChain, AddElements, … ->  wanted \
///                                      > Plan() -> transaction -> kernel -> Committed(handles) -> known
/// Adopt(dump)              ->  known  /                                 \-> Rejected(), then Adopt a new dump
/// </code>
/// The table is ours alone: chains, rules, sets and members in it that nobody wants are removed. One plan is under way
/// at a time; wishes may change meanwhile and enter the next one. Not thread-safe.
/// </summary>
public sealed class NftDelta(NftTable table)
{
    private readonly Dictionary<string, NftChainDelta> _chains = [];
    private readonly Dictionary<string, NftSetDelta> _sets = [];
    private readonly SortedSet<string> _dirtyChains = new(StringComparer.Ordinal);
    private readonly SortedSet<string> _dirtySets = new(StringComparer.Ordinal);
    private NftPlan? _plan;
    private bool _tableKnown;

    public NftTable Table { get; } = table;

    /// <summary>Something is wanted that the kernel does not have, or the reverse.</summary>
    public bool HasChanges => _dirtyChains.Count > 0 || _dirtySets.Count > 0 || !_tableKnown;

    /// <summary>Rules that the kernel has.</summary>
    public int KnownRuleCount { get; private set; }
    public int ChainCount => _chains.Values.Count(c => c.Wanted is not null);
    public int SetCount => _sets.Values.Count(s => s.Wanted is not null);

    /// <summary>Members wanted in a set, as the kernel will hold them; 0 for an unknown set.</summary>
    public int MemberCount(string set) => _sets.TryGetValue(set, out var delta) ? delta.Members : 0;

    /// <summary>Takes what the kernel has as known, in place of what was believed before.</summary>
    public void Adopt(NftDump dump)
    {
        if (dump.Table != Table)
            throw new ArgumentException($"a dump of {dump.Table} for {Table}", nameof(dump));
        _plan = null;
        _tableKnown = dump.Exists;
        KnownRuleCount = dump.Chains.Sum(c => c.Rules.Length);
        foreach (var chain in _chains.Values)
            chain.Adopt(null);
        foreach (var dumped in dump.Chains)
            Chain(dumped.Chain.Name).Adopt(dumped);
        foreach (var set in _sets.Values)
            set.Adopt(null);
        foreach (var dumped in dump.Sets)
            Set(dumped.Set.Name).Adopt(dumped);
        _dirtyChains.UnionWith(_chains.Keys);
        foreach (var set in _sets.Values.ToArray())
            Touch(set);
    }

    /// <summary>Wants a chain with exactly these rules.</summary>
    public void SetChain(NftChain chain, IReadOnlyList<NftRule> rules)
    {
        Chain(chain.Name).Want(chain, rules);
        _dirtyChains.Add(chain.Name);
    }

    /// <summary>Wants a chain to jump to with exactly these rules.</summary>
    public void SetChain(string name, IReadOnlyList<NftRule> rules) => SetChain(new NftChain(name), rules);

    public void RemoveChain(string name)
    {
        if (!_chains.TryGetValue(name, out var chain))
            return;
        chain.Unwant();
        _dirtyChains.Add(name);
    }

    /// <summary>
    /// Wants a set or map, at first without members. With the definition that is wanted already it does nothing.
    /// </summary>
    /// <exception cref="InvalidOperationException">The set is wanted with another definition.</exception>
    public void SetDefinition(NftSet set)
    {
        var delta = Set(set.Name);
        delta.Want(set);
        Touch(delta);
    }

    /// <summary>Wants no such set any more; its members go with it.</summary>
    public void RemoveSet(string name)
    {
        if (!_sets.TryGetValue(name, out var delta))
            return;
        delta.Unwant();
        Touch(delta);
    }

    /// <summary>Wants members in a set; those that are wanted already count once.</summary>
    public void AddElements(string set, params ReadOnlySpan<NftElement> elements)
    {
        var delta = Wanted(set);
        foreach (var element in elements)
            delta.Want(element);
        Touch(delta);
    }

    public void RemoveElements(string set, params ReadOnlySpan<NftElement> elements)
    {
        var delta = Wanted(set);
        foreach (var element in elements)
            delta.Unwant(element);
        Touch(delta);
    }

    /// <summary>Wants an entry in a verdict map, in place of the one with this key.</summary>
    public void MapSet(string map, NftElement key, NftVerdict verdict)
    {
        var delta = Wanted(map);
        delta.Want(key, verdict);
        Touch(delta);
    }

    public void MapRemove(string map, NftElement key)
    {
        var delta = Wanted(map);
        delta.UnwantEntry(key);
        Touch(delta);
    }

    /// <summary>
    /// The transaction that makes the kernel's table the wanted one. It must be answered with <see cref="Committed"/>
    /// or <see cref="Rejected"/> before the next plan; an empty one needs no answer.
    /// </summary>
    /// <exception cref="InvalidOperationException">A plan is under way.</exception>
    public NftTransaction Plan()
    {
        if (_plan is not null)
            throw new InvalidOperationException("a plan is under way");
        var chains = _dirtyChains.Select(name => _chains[name]).ToList();
        var sets = _dirtySets.Select(name => _sets[name]).ToList();
        var plan = new NftPlan(_tableKnown, chains, sets, _chains.Values, _sets.Values);
        if (plan.Ops.Count > 0)
            _plan = plan;
        else
            Settle(plan);
        return new NftTransaction(Table, [.. plan.Ops]);
    }

    /// <summary>The planned transaction is in the kernel.</summary>
    public void Committed(NftCommitted committed)
    {
        var plan = _plan ?? throw new InvalidOperationException("no plan is under way");
        _plan = null;
        _tableKnown = true;
        var before = plan.Chains.Sum(c => c.KnownRules.Length);
        var handles = committed.NewHandles.AsSpan();
        foreach (var chain in plan.Chains)
            chain.Committed(plan.KeptChains.GetValueOrDefault(chain.Name), ref handles);
        KnownRuleCount += plan.Chains.Sum(c => c.KnownRules.Length) - before;
        foreach (var op in plan.Ops)
            Apply(op);
        Settle(plan);
    }

    /// <summary>
    /// The planned transaction failed and changed nothing; the next plan will have its changes again.
    /// </summary>
    public void Rejected()
    {
        foreach (var chain in _plan?.Chains ?? [])
            chain.Changed = true;
        _plan = null;
    }

    private void Apply(NftOp op)
    {
        switch (op)
        {
            case NftOp.AddSet o:
                Set(o.Set.Name).Created(o.Set);
                break;
            case NftOp.DeleteSet o:
                Set(o.Set).Deleted();
                break;
            case NftOp.AddElements o:
                Set(o.Set.Name).Added(o.Elements.Span);
                break;
            case NftOp.RemoveElements o:
                Set(o.Set.Name).Removed(o.Elements.Span);
                break;
            case NftOp.AddMapEntries o:
                Set(o.Set.Name).Added(o.Entries.Span);
                break;
        }
    }

    // What is right on both sides is clean; what is on neither side is forgotten.
    private void Settle(NftPlan plan)
    {
        foreach (var chain in plan.Chains)
        {
            if (!chain.Changed)
                _dirtyChains.Remove(chain.Name);
            if (chain.IsGone && !chain.Changed)
                _chains.Remove(chain.Name);
        }
        foreach (var set in plan.Sets)
        {
            if (_sets.TryGetValue(set.Name, out var current))
                Touch(current);
        }
    }

    private void Touch(NftSetDelta set)
    {
        if (set.IsRight)
            _dirtySets.Remove(set.Name);
        else
            _dirtySets.Add(set.Name);
        if (set.IsGone)
            _sets.Remove(set.Name);
    }

    private NftSetDelta Wanted(string set) => _sets.TryGetValue(set, out var delta) && delta.Wanted is not null
        ? delta
        : throw new InvalidOperationException($"members of {set}, which has no definition");

    private NftChainDelta Chain(string name)
    {
        if (!_chains.TryGetValue(name, out var chain))
            _chains[name] = chain = new NftChainDelta(name);
        return chain;
    }

    private NftSetDelta Set(string name)
    {
        if (!_sets.TryGetValue(name, out var set))
            _sets[name] = set = new NftSetDelta(name);
        return set;
    }
}

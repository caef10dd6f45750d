namespace Calico.Core.Nft;

/// <summary>
/// One transaction in the making. The order of operations is such that whatever is referred to exists:
/// <code>
/// 1 table
/// 2 what must be made anew: rules and entries that use it go, then it goes     (a definition changed; rare)
/// 3 new sets, new chains, changed policies
/// 4 members and map entries: first out, then in
/// 5 rules: replaced, deleted, inserted, appended
/// 6 what nobody wants: rules of such chains, sets, chains
/// </code>
/// </summary>
internal sealed class NftPlan
{
    private readonly HashSet<string> _recreatedSets = [];
    private readonly HashSet<string> _recreatedChains = [];
    private readonly HashSet<string> _flushed = [];

    public NftPlan(bool tableKnown, List<NftChainDelta> dirtyChains, List<NftSetDelta> dirtySets,
        IEnumerable<NftChainDelta> allChains, IEnumerable<NftSetDelta> allSets)
    {
        Chains = dirtyChains;
        Sets = dirtySets;
        if (!tableKnown)
            Ops.Add(new NftOp.AddTable());
        _recreatedSets.UnionWith(dirtySets.Where(s => s.MustRecreate).Select(s => s.Name));
        _recreatedChains.UnionWith(dirtyChains.Where(c => c.MustRecreate).Select(c => c.Name));
        if (_recreatedSets.Count + _recreatedChains.Count > 0)
            ClearTheWay(allChains, allSets);
        Create();
        FillSets();
        foreach (var chain in Chains)
        {
            chain.PlanRules(Ops, _flushed.Contains(chain.Name) || chain.Known is null);
            if (chain.Wanted is not null)
                KeptChains[chain.Name] = chain.Wanted;
        }
        RemoveUnwanted();
    }

    public List<NftOp> Ops { get; } = [];
    public List<NftChainDelta> Chains { get; }
    public List<NftSetDelta> Sets { get; }

    /// <summary>Definitions of the planned chains as the kernel will have them; those that go are absent.</summary>
    public Dictionary<string, NftChain> KeptChains { get; } = [];

    // Of a chain that differs we do not know what its stale rules use, so it is flushed too.
    private void ClearTheWay(IEnumerable<NftChainDelta> allChains, IEnumerable<NftSetDelta> allSets)
    {
        var dirty = Chains.Select(c => c.Name).ToHashSet();
        var users = allChains.Where(c => !dirty.Contains(c.Name) && c.References(_recreatedSets, _recreatedChains));
        Chains.AddRange(users.OrderBy(c => c.Name, StringComparer.Ordinal));
        foreach (var chain in Chains.Where(c => c.Known is not null))
        {
            _flushed.Add(chain.Name);
            if (chain.KnownRules.Length > 0)
                Ops.Add(new NftOp.FlushChain(chain.Name));
        }
        if (_recreatedChains.Count > 0)
        {
            var clean = allSets.Except(Sets).Where(s => s.EntriesToRemove(_recreatedChains).Length > 0);
            Sets.AddRange(clean.OrderBy(s => s.Name, StringComparer.Ordinal));
            foreach (var set in Sets.Where(s => s.Known is { IsVerdictMap: true } && !s.MustRecreate))
                RemoveEntries(set);
        }
        foreach (var name in _recreatedSets.Order(StringComparer.Ordinal))
            Ops.Add(new NftOp.DeleteSet(name));
        foreach (var name in _recreatedChains.Order(StringComparer.Ordinal))
            Ops.Add(new NftOp.DeleteChain(name));
    }

    private void Create()
    {
        foreach (var set in Sets.Where(s => s.Wanted is not null && (s.Known is null || s.MustRecreate)))
            Ops.Add(new NftOp.AddSet(set.Wanted!));
        foreach (var chain in Chains.Where(c => c.Wanted is not null))
        {
            if (chain.Known is null || chain.MustRecreate)
                Ops.Add(new NftOp.AddChain(chain.Wanted!));
            else if (chain.PolicyDiffers)
                Ops.Add(new NftOp.SetChainPolicy(chain.Wanted!));
        }
    }

    private void FillSets()
    {
        foreach (var set in Sets.Where(s => s.Wanted is not null))
        {
            if (set.Wanted!.IsVerdictMap)
                FillMap(set);
            else
                FillSet(set);
        }
    }

    private void FillSet(NftSetDelta set)
    {
        if (set.Stale() is { Length: > 0 } stale)
            Ops.Add(new NftOp.RemoveElements(set.Wanted!, stale));
        if (set.Missing() is { Length: > 0 } missing)
            Ops.Add(new NftOp.AddElements(set.Wanted!, missing));
    }

    private void FillMap(NftSetDelta set)
    {
        if (_recreatedChains.Count == 0)
            RemoveEntries(set);
        if (set.EntriesToAdd(_recreatedChains) is { Length: > 0 } entries)
            Ops.Add(new NftOp.AddMapEntries(set.Wanted!, entries));
    }

    private void RemoveEntries(NftSetDelta set)
    {
        if (set.EntriesToRemove(_recreatedChains) is { Length: > 0 } keys)
            Ops.Add(new NftOp.RemoveElements(set.Wanted ?? set.Known!, keys));
    }

    // Rules of chains that go may use each other and the sets that go.
    private void RemoveUnwanted()
    {
        var chains = Chains.Where(c => c.Wanted is null && c.Known is not null).ToList();
        var sets = Sets.Where(s => s.Wanted is null && s.Known is not null).ToList();
        if (chains.Count + sets.Count > 1)
        {
            foreach (var chain in chains.Where(c => c.KnownRules.Length > 0 && !_flushed.Contains(c.Name)))
                Ops.Add(new NftOp.FlushChain(chain.Name));
        }
        foreach (var set in sets)
            Ops.Add(new NftOp.DeleteSet(set.Name));
        foreach (var chain in chains)
            Ops.Add(new NftOp.DeleteChain(chain.Name));
    }
}

using System.Collections.Immutable;
using Calico.Core.Nft;

namespace Calico.Core.Policy.Render;

/// <summary>
/// What one table should hold, and what of it is needed: a chain is written only while a base chain, directly or not,
/// or a verdict map leads to it. So every policy may offer a chain for each layer and direction, and rendering happens
/// for those that packets can reach. Order of calls between two flushes does not matter.
/// </summary>
internal sealed class TableState(NftTable table)
{
    private readonly Dictionary<string, Offer> _offers = [];
    private readonly Dictionary<string, int> _references = [];
    private readonly Dictionary<string, RenderedChain> _published = [];
    private readonly HashSet<string> _dirtyChains = [];
    private readonly Dictionary<string, SetState> _sets = [];
    private readonly HashSet<string> _dirtySets = [];
    private readonly Dictionary<string, MapState> _maps = [];

    /// <summary>Offers a chain, or replaces the offer; a base chain is always needed.</summary>
    public void Put(string name, Func<ImmutableArray<NftRule>> render, NftBaseHook? hook = null, bool shared = false)
    {
        var before = _offers.GetValueOrDefault(name);
        var offer = _offers[name] = new Offer(render, hook, shared);
        _dirtyChains.Add(name);
        if (!IsNeeded(name, offer))
        {
            Leave(before);
            return;
        }
        Enter(offer);
        Leave(before);
    }

    public void Put(RenderedChain chain) => Put(chain.Name, () => chain.Rules, chain.Base);

    /// <summary>
    /// Offers a chain that goes by itself once nothing leads to it. Its name says what is in it, so an offer that is
    /// there stays, unless the options that all content depends on have changed.
    /// </summary>
    public void PutShared(string name, Func<ImmutableArray<NftRule>> render, bool replace)
    {
        if (replace || !_offers.ContainsKey(name))
            Put(name, render, shared: true);
    }

    public void Remove(string name)
    {
        if (!_offers.Remove(name, out var offer))
            return;
        _dirtyChains.Add(name);
        Leave(offer);
    }

    public void PutSet(NftSet set, IEnumerable<NftElement> members)
    {
        if (!_sets.TryGetValue(set.Name, out var state))
            _sets[set.Name] = state = new SetState(set);
        _dirtySets.Add(set.Name);
        var wanted = members.ToHashSet();
        foreach (var gone in state.Members.Where(m => !wanted.Contains(m)).ToList())
            state.Change(gone, false);
        foreach (var member in wanted)
            state.Change(member, true);
        state.IsWanted = true;
    }

    public void ChangeSet(string name, IEnumerable<NftElement> added, IEnumerable<NftElement> removed)
    {
        var state = _sets[name];
        _dirtySets.Add(name);
        foreach (var member in removed)
            state.Change(member, false);
        foreach (var member in added)
            state.Change(member, true);
    }

    public void RemoveSet(string name)
    {
        if (!_sets.TryGetValue(name, out var state))
            return;
        state.IsWanted = false;
        _dirtySets.Add(name);
    }

    public void PutMap(NftSet map) => _maps.TryAdd(map.Name, new MapState(map));

    public void PutEntry(string map, string interfaceName, NftVerdict verdict)
    {
        var state = _maps[map];
        if (state.Entries.TryGetValue(interfaceName, out var before) && before == verdict)
            return;
        state.Entries[interfaceName] = verdict;
        state.Dirty.Add(interfaceName);
        Refer(verdict.Chain, +1);
        Refer(before.Chain, -1);
    }

    public void RemoveEntry(string map, string interfaceName)
    {
        var state = _maps[map];
        if (!state.Entries.Remove(interfaceName, out var before))
            return;
        state.Dirty.Add(interfaceName);
        Refer(before.Chain, -1);
    }

    /// <summary>The difference to the last flush.</summary>
    public TableChanges Flush()
    {
        var chains = ImmutableArray.CreateBuilder<RenderedChain>();
        var removed = ImmutableArray.CreateBuilder<string>();
        foreach (var name in _dirtyChains.Order(StringComparer.Ordinal))
        {
            var before = _published.GetValueOrDefault(name);
            if (_offers.GetValueOrDefault(name) is { Rules: { } rules } offer)
            {
                var now = new RenderedChain(name, rules, offer.Hook);
                if (now.Equals(before))
                    continue;
                Check(now);
                chains.Add(now);
                _published[name] = now;
                continue;
            }
            if (_offers.GetValueOrDefault(name) is { IsShared: true })
                _offers.Remove(name);
            if (_published.Remove(name))
                removed.Add(name);
        }
        _dirtyChains.Clear();
        var newMaps = _maps.Values.Where(m => !m.IsPublished).OrderBy(m => m.Set.Name, StringComparer.Ordinal)
            .Select(m => new RenderedSet(m.Set, [])).ToList();
        var (added, changed, goneSets) = FlushSets();
        return new TableChanges(table)
        {
            Chains = chains.ToImmutable(),
            ChainsRemoved = removed.ToImmutable(),
            SetsAdded = [.. added, .. newMaps],
            MembersChanged = changed,
            SetsRemoved = goneSets,
            Entries = FlushMaps(),
        };
    }

    private (ImmutableArray<RenderedSet> Added, ImmutableArray<RenderedMembers> Changed, ImmutableArray<string> Removed)
        FlushSets()
    {
        var added = ImmutableArray.CreateBuilder<RenderedSet>();
        var changed = ImmutableArray.CreateBuilder<RenderedMembers>();
        var removed = ImmutableArray.CreateBuilder<string>();
        foreach (var name in _dirtySets.Order(StringComparer.Ordinal))
        {
            var state = _sets[name];
            if (!state.IsWanted)
            {
                _sets.Remove(name);
                if (state.IsPublished)
                    removed.Add(name);
                continue;
            }
            if (!state.IsPublished)
                added.Add(new RenderedSet(state.Set, [.. state.Members.Order()]));
            else if (state.Changes.Count > 0)
                changed.Add(new RenderedMembers(state.Set, state.Changed(true), state.Changed(false)));
            state.IsPublished = true;
            state.Changes.Clear();
        }
        _dirtySets.Clear();
        return (added.ToImmutable(), changed.ToImmutable(), removed.ToImmutable());
    }

    private ImmutableArray<RenderedEntries> FlushMaps()
    {
        var entries = ImmutableArray.CreateBuilder<RenderedEntries>();
        foreach (var (_, map) in _maps.OrderBy(m => m.Key, StringComparer.Ordinal))
        {
            map.IsPublished = true;
            if (map.Dirty.Count == 0)
                continue;
            var names = map.Dirty.Order(StringComparer.Ordinal).ToList();
            entries.Add(new RenderedEntries(map.Set,
                [.. names.Where(map.Entries.ContainsKey)
                    .Select(n => new NftMapEntry(NftElement.OfInterface(n), map.Entries[n]))],
                [.. names.Where(n => !map.Entries.ContainsKey(n)).Select(n => NftElement.OfInterface(n))]));
            map.Dirty.Clear();
        }
        return entries.ToImmutable();
    }

    private bool IsNeeded(string name, Offer offer) => offer.Hook is not null || _references.ContainsKey(name);

    private void Enter(Offer offer)
    {
        offer.Rules = offer.Render();
        foreach (var target in offer.Rules.Value.SelectMany(r => r.ReferencedChains))
            Refer(target, +1);
    }

    private void Leave(Offer? offer)
    {
        if (offer?.Rules is not { } rules)
            return;
        offer.Rules = null;
        foreach (var target in rules.SelectMany(r => r.ReferencedChains))
            Refer(target, -1);
    }

    private void Refer(string? chain, int change)
    {
        if (chain is null)
            return;
        var count = _references.GetValueOrDefault(chain) + change;
        if (count == 0)
            _references.Remove(chain);
        else
            _references[chain] = count;
        if (_offers.GetValueOrDefault(chain) is not { } offer)
            return;
        var needed = IsNeeded(chain, offer);
        if (needed == offer.Rules is not null)
            return;
        _dirtyChains.Add(chain);
        if (needed)
            Enter(offer);
        else
            Leave(offer);
    }

    private void Check(RenderedChain chain)
    {
        foreach (var target in chain.Rules.SelectMany(r => r.ReferencedChains))
        {
            if (!_offers.ContainsKey(target))
                throw new InvalidOperationException($"{table}: chain {chain.Name} leads to {target}, which nobody offers");
        }
    }

    private sealed class Offer(Func<ImmutableArray<NftRule>> render, NftBaseHook? hook, bool isShared)
    {
        public Func<ImmutableArray<NftRule>> Render { get; } = render;
        public NftBaseHook? Hook { get; } = hook;
        public bool IsShared { get; } = isShared;

        // Null while nothing leads here.
        public ImmutableArray<NftRule>? Rules { get; set; }
    }

    private sealed class SetState(NftSet set)
    {
        public NftSet Set { get; } = set;
        public HashSet<NftElement> Members { get; } = [];
        public Dictionary<NftElement, bool> Changes { get; } = [];
        public bool IsWanted { get; set; }
        public bool IsPublished { get; set; }

        public void Change(NftElement member, bool add)
        {
            if ((add ? Members.Add(member) : Members.Remove(member)) && !Changes.Remove(member))
                Changes[member] = add;
        }

        public ImmutableArray<NftElement> Changed(bool added) =>
            [.. Changes.Where(c => c.Value == added).Select(c => c.Key).Order()];
    }

    private sealed class MapState(NftSet set)
    {
        public NftSet Set { get; } = set;
        public Dictionary<string, NftVerdict> Entries { get; } = [];
        public HashSet<string> Dirty { get; } = [];
        public bool IsPublished { get; set; }
    }
}

using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using Calico.Core.Model.Selectors;

namespace Calico.Core.Policy.Index;

/// <summary>
/// Keeps "which selector matches which owner of labels" up to date and says only what changed. Owners inherit the
/// labels of their parents (profiles): own labels win, then the first listed parent that has the key.
///
/// Work is bounded by candidates, not by everything registered:
///
///   owner changed     -> its labels -> selectors filed under one label (and value) that they require -> evaluate
///   selector changed  -> rarest label it requires -> owners that have it, and owners of parents that have it -> evaluate
///   parent changed    -> its owners, each as above
///
/// A selector that requires no label, such as <c>all()</c> or <c>!has(x)</c>, is evaluated against everything.
/// </summary>
internal sealed class LabelMatchIndex<TKey>(Action<TKey, string, bool> changed) where TKey : notnull
{
    private readonly Dictionary<string, Owner> _owners = [];
    private readonly Dictionary<string, Parent> _parents = [];
    private readonly Dictionary<TKey, Entry> _entries = [];
    private readonly LabelBuckets<Owner> _ownersByLabel = new();
    private readonly LabelBuckets<Parent> _parentsByLabel = new();
    private readonly Dictionary<(string Label, string Value), HashSet<Entry>> _entriesByValue = [];
    private readonly Dictionary<string, HashSet<Entry>> _entriesByLabel = [];
    private readonly HashSet<Entry> _entriesForAll = [];

    /// <summary>How many selector evaluations have been made: what an update costs, for tests and metrics.</summary>
    public long Evaluations { get; private set; }

    public int OwnerCount => _owners.Count;

    public void SetOwner(string id, ImmutableArray<KeyValuePair<string, string>> labels, ImmutableArray<string> parents)
    {
        if (_owners.TryGetValue(id, out var owner))
        {
            if (owner.Labels.AsSpan().SequenceEqual(labels.AsSpan())
                && owner.Parents.Select(p => p.Name).SequenceEqual(parents))
                return;
            _ownersByLabel.Remove(owner, owner.Labels);
            Leave(owner);
        }
        else
        {
            _owners[id] = owner = new Owner(id);
        }
        owner.Labels = labels;
        owner.Parents = [.. parents.Select(ParentOf)];
        foreach (var parent in owner.Parents)
            parent.Owners.Add(owner);
        _ownersByLabel.Add(owner, labels);
        Rescan(owner);
    }

    public void RemoveOwner(string id)
    {
        if (!_owners.Remove(id, out var owner))
            return;
        _ownersByLabel.Remove(owner, owner.Labels);
        Leave(owner);
        foreach (var entry in owner.Matches)
        {
            entry.Owners.Remove(owner);
            changed(entry.Key, id, false);
        }
    }

    /// <summary>Sets the labels a parent passes on; owners may name it before or after.</summary>
    public void SetParent(string name, ImmutableArray<KeyValuePair<string, string>> labels)
    {
        var parent = ParentOf(name);
        if (parent.Labels.AsSpan().SequenceEqual(labels.AsSpan()))
        {
            Forget(parent);
            return;
        }
        _parentsByLabel.Remove(parent, parent.Labels);
        parent.Labels = labels;
        _parentsByLabel.Add(parent, labels);
        foreach (var owner in parent.Owners)
            Rescan(owner);
        Forget(parent);
    }

    public void RemoveParent(string name)
    {
        if (_parents.ContainsKey(name))
            SetParent(name, []);
    }

    public void SetSelector(TKey key, Selector selector)
    {
        if (_entries.TryGetValue(key, out var entry))
        {
            if (entry.Selector.Equals(selector))
                return;
            Unfile(entry);
            entry.Selector = selector;
        }
        else
        {
            _entries[key] = entry = new Entry(key, selector);
        }
        File(entry);
        var matching = new HashSet<Owner>();
        foreach (var owner in Candidates(selector))
        {
            if (Evaluate(selector, owner))
                matching.Add(owner);
        }
        foreach (var owner in entry.Owners.Where(o => !matching.Contains(o)).ToList())
            Match(entry, owner, false);
        foreach (var owner in matching.Where(o => !entry.Owners.Contains(o)))
            Match(entry, owner, true);
    }

    /// <summary>Forgets the selector; its matches end without being announced one by one.</summary>
    public void RemoveSelector(TKey key)
    {
        if (!_entries.Remove(key, out var entry))
            return;
        Unfile(entry);
        foreach (var owner in entry.Owners)
            owner.Matches.Remove(entry);
    }

    public IEnumerable<TKey> SelectorsOf(string owner) =>
        _owners.TryGetValue(owner, out var found) ? found.Matches.Select(e => e.Key) : [];

    public IEnumerable<string> OwnersOf(TKey key) =>
        _entries.TryGetValue(key, out var entry) ? entry.Owners.Select(o => o.Id) : [];

    /// <summary>Whether an owner's labels, inherited ones included, satisfy a selector that need not be registered.</summary>
    public bool Matches(string owner, Selector selector) =>
        _owners.TryGetValue(owner, out var found) && selector.Evaluate(found);

    private void Rescan(Owner owner)
    {
        var matching = new HashSet<Entry>();
        foreach (var entry in Candidates(owner))
        {
            if (Evaluate(entry.Selector, owner))
                matching.Add(entry);
        }
        foreach (var entry in owner.Matches.Where(e => !matching.Contains(e)).ToList())
            Match(entry, owner, false);
        foreach (var entry in matching.Where(e => !owner.Matches.Contains(e)))
            Match(entry, owner, true);
    }

    private void Match(Entry entry, Owner owner, bool matches)
    {
        if (matches)
        {
            entry.Owners.Add(owner);
            owner.Matches.Add(entry);
        }
        else
        {
            entry.Owners.Remove(owner);
            owner.Matches.Remove(entry);
        }
        changed(entry.Key, owner.Id, matches);
    }

    private bool Evaluate(Selector selector, Owner owner)
    {
        Evaluations++;
        return selector.Evaluate(owner);
    }

    // Every selector whose filing label the owner has; the same one cannot appear twice, it is filed once per value.
    private IEnumerable<Entry> Candidates(Owner owner)
    {
        foreach (var entry in _entriesForAll)
            yield return entry;
        foreach (var (label, value) in owner.EffectiveLabels())
        {
            if (_entriesByLabel.TryGetValue(label, out var byLabel))
            {
                foreach (var entry in byLabel)
                    yield return entry;
            }
            if (_entriesByValue.TryGetValue((label, value), out var byValue))
            {
                foreach (var entry in byValue)
                    yield return entry;
            }
        }
    }

    private IEnumerable<Owner> Candidates(Selector selector)
    {
        LabelRequirement? rarest = null;
        var fewest = int.MaxValue;
        foreach (var requirement in selector.Requirements)
        {
            if (requirement.IsImpossible)
                return [];
            if (requirement.Presence != LabelPresence.Required)
                continue;
            var count = _ownersByLabel.Find(requirement).Sum(b => b.Count)
                + _parentsByLabel.Find(requirement).Sum(b => b.Sum(p => p.Owners.Count));
            if (count < fewest)
                (rarest, fewest) = (requirement, count);
        }
        if (rarest is null)
            return _owners.Values;
        var own = _ownersByLabel.Find(rarest).SelectMany(b => b);
        var inherited = _parentsByLabel.Find(rarest).SelectMany(b => b).SelectMany(p => p.Owners);
        return own.Concat(inherited).Distinct();
    }

    // Files the selector under the requirement that shares its bucket with the fewest others: a label that every
    // selector requires, as Kubernetes policies all do with one, says little.
    private void File(Entry entry)
    {
        var fewest = int.MaxValue;
        foreach (var requirement in entry.Selector.Requirements)
        {
            if (requirement.IsImpossible)
            {
                entry.Filing = requirement;
                return;
            }
            if (requirement.Presence != LabelPresence.Required)
                continue;
            // Any value at all is the weakest hint, so it only wins where there is no other.
            var crowd = requirement.Values is { } values
                ? values.Sum(v => 1 + (_entriesByValue.GetValueOrDefault((requirement.Key, v))?.Count ?? 0))
                : int.MaxValue - 1;
            if (crowd < fewest)
                (entry.Filing, fewest) = (requirement, crowd);
        }
        switch (entry.Filing)
        {
            case null:
                _entriesForAll.Add(entry);
                break;
            case { Values: { } values } filing:
                foreach (var value in values)
                    Bucket(_entriesByValue, (filing.Key, value)).Add(entry);
                break;
            case { } filing:
                Bucket(_entriesByLabel, filing.Key).Add(entry);
                break;
        }
    }

    private void Unfile(Entry entry)
    {
        switch (entry.Filing)
        {
            case null:
                _entriesForAll.Remove(entry);
                break;
            case { Values: { } values } filing:
                foreach (var value in values)
                    Unbucket(_entriesByValue, (filing.Key, value), entry);
                break;
            case { } filing:
                Unbucket(_entriesByLabel, filing.Key, entry);
                break;
        }
        entry.Filing = null;
    }

    private static HashSet<Entry> Bucket<T>(Dictionary<T, HashSet<Entry>> buckets, T key) where T : notnull
    {
        if (!buckets.TryGetValue(key, out var bucket))
            buckets[key] = bucket = [];
        return bucket;
    }

    private static void Unbucket<T>(Dictionary<T, HashSet<Entry>> buckets, T key, Entry entry) where T : notnull
    {
        if (buckets.TryGetValue(key, out var bucket) && bucket.Remove(entry) && bucket.Count == 0)
            buckets.Remove(key);
    }

    private Parent ParentOf(string name)
    {
        if (!_parents.TryGetValue(name, out var parent))
            _parents[name] = parent = new Parent(name);
        return parent;
    }

    private void Leave(Owner owner)
    {
        foreach (var parent in owner.Parents)
        {
            parent.Owners.Remove(owner);
            Forget(parent);
        }
        owner.Parents = [];
    }

    private void Forget(Parent parent)
    {
        if (parent.Owners.Count == 0 && parent.Labels.IsEmpty)
            _parents.Remove(parent.Name);
    }

    private sealed class Entry(TKey key, Selector selector)
    {
        public TKey Key { get; } = key;
        public Selector Selector { get; set; } = selector;
        public LabelRequirement? Filing { get; set; }
        public HashSet<Owner> Owners { get; } = [];
    }

    private sealed class Parent(string name)
    {
        public string Name { get; } = name;
        public ImmutableArray<KeyValuePair<string, string>> Labels { get; set; } = [];
        public HashSet<Owner> Owners { get; } = [];
    }

    private sealed class Owner(string id) : ILabels
    {
        public string Id { get; } = id;
        public ImmutableArray<KeyValuePair<string, string>> Labels { get; set; } = [];
        public ImmutableArray<Parent> Parents { get; set; } = [];
        public HashSet<Entry> Matches { get; } = [];

        public bool TryGetLabel(string key, [NotNullWhen(true)] out string? value)
        {
            if (TryGet(Labels, key, out value))
                return true;
            foreach (var parent in Parents)
            {
                if (TryGet(parent.Labels, key, out value))
                    return true;
            }
            return false;
        }

        public IEnumerable<(string Label, string Value)> EffectiveLabels()
        {
            foreach (var (label, value) in Labels)
                yield return (label, value);
            for (var i = 0; i < Parents.Length; i++)
            {
                foreach (var (label, value) in Parents[i].Labels)
                {
                    if (!IsShadowed(label, i))
                        yield return (label, value);
                }
            }
        }

        private bool IsShadowed(string label, int parent)
        {
            if (TryGet(Labels, label, out _))
                return true;
            for (var i = 0; i < parent; i++)
            {
                if (TryGet(Parents[i].Labels, label, out _))
                    return true;
            }
            return false;
        }

        // Label lists are short, so a scan beats a dictionary per endpoint in time and memory.
        private static bool TryGet(ImmutableArray<KeyValuePair<string, string>> labels, string key,
            [NotNullWhen(true)] out string? value)
        {
            foreach (var (k, v) in labels)
            {
                if (k == key)
                {
                    value = v;
                    return true;
                }
            }
            value = null;
            return false;
        }
    }
}

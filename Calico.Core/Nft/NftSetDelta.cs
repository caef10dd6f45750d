namespace Calico.Core.Nft;

/// <summary>
/// Members of one set, wanted and in the kernel, kept as three parts so that a member that is right costs one entry:
/// <code>
///            wanted   in the kernel
///   right      x           x
///   missing    x                       -> to add
///   stale                  x           -> to remove
/// </code>
/// Every change of either side moves the member between parts; the work of a plan is the size of the last two.
/// </summary>
internal sealed class NftMemberDelta
{
    private readonly HashSet<NftElement> _right = [];
    private HashSet<NftElement> _missing = [];
    private HashSet<NftElement> _stale = [];

    public bool IsEmpty => _missing.Count == 0 && _stale.Count == 0;
    public int Wanted => _right.Count + _missing.Count;

    public void Want(NftElement element)
    {
        if (_stale.Remove(element))
            _right.Add(element);
        else if (!_right.Contains(element))
            _missing.Add(element);
    }

    public void Unwant(NftElement element)
    {
        if (!_missing.Remove(element) && _right.Remove(element))
            _stale.Add(element);
    }

    /// <summary>The kernel has got the member.</summary>
    public void Added(NftElement element)
    {
        if (_missing.Remove(element))
            _right.Add(element);
        else if (!_right.Contains(element))
            _stale.Add(element);
        Release(ref _missing);
    }

    /// <summary>The kernel has lost the member.</summary>
    public void Removed(NftElement element)
    {
        if (!_stale.Remove(element) && _right.Remove(element))
            _missing.Add(element);
        Release(ref _stale);
    }

    /// <summary>The kernel has exactly these.</summary>
    public void Adopt(ReadOnlySpan<NftElement> elements)
    {
        _stale.Clear();
        foreach (var element in _right)
            _missing.Add(element);
        _right.Clear();
        foreach (var element in elements)
            Added(element);
    }

    /// <summary>Wants nothing any more.</summary>
    public void UnwantAll()
    {
        _missing.Clear();
        _stale.UnionWith(_right);
        _right.Clear();
    }

    public NftElement[] Missing() => Sorted(_missing);
    public NftElement[] Stale() => Sorted(_stale);
    public NftElement[] AllWanted() => Sorted([.. _right, .. _missing]);

    // Walking a hash set costs as much as it once held, and so would every small plan after a large one.
    private static void Release(ref HashSet<NftElement> elements)
    {
        if (elements.Count == 0 && elements.Capacity > 256)
            elements = [];
    }

    private static NftElement[] Sorted(IReadOnlyCollection<NftElement> elements)
    {
        var sorted = elements.ToArray();
        Array.Sort(sorted);
        return sorted;
    }
}

/// <summary>
/// Entries of one verdict map, wanted and in the kernel. Maps have an entry an endpoint and stay small.
/// </summary>
internal sealed class NftEntryDelta
{
    private readonly Dictionary<NftElement, NftVerdict> _wanted = [];
    private readonly Dictionary<NftElement, NftVerdict> _known = [];
    private readonly HashSet<NftElement> _different = [];

    public bool IsEmpty => _different.Count == 0;
    public int Wanted => _wanted.Count;

    public void Want(NftElement key, NftVerdict verdict)
    {
        _wanted[key] = verdict;
        Compare(key);
    }

    public void Unwant(NftElement key)
    {
        _wanted.Remove(key);
        Compare(key);
    }

    public void UnwantAll()
    {
        _wanted.Clear();
        _different.Clear();
        _different.UnionWith(_known.Keys);
    }

    public void Added(NftMapEntry entry)
    {
        _known[entry.Key] = entry.Verdict;
        Compare(entry.Key);
    }

    public void Removed(NftElement key)
    {
        _known.Remove(key);
        Compare(key);
    }

    public void Adopt(ReadOnlySpan<NftMapEntry> entries)
    {
        _known.Clear();
        _different.Clear();
        foreach (var key in _wanted.Keys)
            _different.Add(key);
        foreach (var entry in entries)
            Added(entry);
    }

    /// <summary>Entries to remove: not wanted, with another verdict, or leading to a chain that is made anew.</summary>
    public NftElement[] ToRemove(IReadOnlySet<string> recreatedChains)
    {
        var keys = _different.Where(_known.ContainsKey);
        if (recreatedChains.Count > 0)
            keys = keys.Union(KeysTo(recreatedChains));
        return [.. keys.Order()];
    }

    public NftMapEntry[] ToAdd(IReadOnlySet<string> recreatedChains)
    {
        var keys = _different.Where(_wanted.ContainsKey);
        if (recreatedChains.Count > 0)
            keys = keys.Union(KeysTo(recreatedChains).Where(_wanted.ContainsKey));
        return [.. keys.Order().Select(key => new NftMapEntry(key, _wanted[key]))];
    }

    public NftMapEntry[] AllWanted() => [.. _wanted.OrderBy(e => e.Key).Select(e => new NftMapEntry(e.Key, e.Value))];

    private IEnumerable<NftElement> KeysTo(IReadOnlySet<string> chains) =>
        _known.Where(e => e.Value.Chain is { } c && chains.Contains(c)).Select(e => e.Key);

    private void Compare(NftElement key)
    {
        var (isWanted, isKnown) = (_wanted.TryGetValue(key, out var wanted), _known.TryGetValue(key, out var known));
        if (isWanted == isKnown && wanted == known)
            _different.Remove(key);
        else
            _different.Add(key);
    }
}

/// <summary>One set or map: its definition on both sides, and its members.</summary>
internal sealed class NftSetDelta(string name)
{
    private readonly NftMemberDelta _members = new();
    private readonly NftEntryDelta _entries = new();
    private NftNetworkCover? _cover;

    public string Name { get; } = name;
    public NftSet? Wanted { get; private set; }
    public NftSet? Known { get; private set; }

    /// <summary>The kernel's set has a key, flag or member that we cannot work with.</summary>
    public bool Foreign { get; private set; }

    public bool IsGone => Wanted is null && Known is null;
    public bool MustRecreate => Wanted is not null && Known is not null && (Foreign || !Wanted.SameDefinition(Known));
    public int Members => Wanted is null ? 0 : Wanted.IsVerdictMap ? _entries.Wanted : _members.Wanted;

    public bool IsRight => Wanted is null == Known is null && !MustRecreate
        && (Wanted is null || (_members.IsEmpty && _entries.IsEmpty));

    /// <exception cref="InvalidOperationException">It is wanted with another definition.</exception>
    public void Want(NftSet set)
    {
        if (Wanted is not null && !Wanted.SameDefinition(set))
            throw new InvalidOperationException($"set {Name} changes its definition: remove it first");
        if (Wanted is null && set.Interval)
            _cover = new NftNetworkCover();
        Wanted = set;
    }

    public void Unwant()
    {
        Wanted = null;
        _cover = null;
        _members.UnwantAll();
        _entries.UnwantAll();
    }

    /// <summary>Members to remove; a set that is made anew has none.</summary>
    public NftElement[] Stale() => MustRecreate ? [] : _members.Stale();
    public NftElement[] Missing() => MustRecreate ? _members.AllWanted() : _members.Missing();
    public NftElement[] EntriesToRemove(IReadOnlySet<string> recreated) =>
        MustRecreate ? [] : _entries.ToRemove(recreated);

    public NftMapEntry[] EntriesToAdd(IReadOnlySet<string> recreated) =>
        MustRecreate ? _entries.AllWanted() : _entries.ToAdd(recreated);

    public void Want(NftElement element)
    {
        if (_cover is null)
            _members.Want(element);
        else
            _cover.Add(element, _members.Unwant, _members.Want);
    }

    public void Unwant(NftElement element)
    {
        if (_cover is null)
            _members.Unwant(element);
        else
            _cover.Remove(element, _members.Unwant, _members.Want);
    }

    public void Want(NftElement key, NftVerdict verdict) => _entries.Want(key, verdict);
    public void UnwantEntry(NftElement key) => _entries.Unwant(key);

    public void Adopt(NftDumpedSet? dumped)
    {
        Known = dumped?.Set;
        Foreign = dumped?.Foreign ?? false;
        _members.Adopt(dumped is null ? default : dumped.Elements.Span);
        _entries.Adopt(dumped is null ? default : dumped.Entries.Span);
    }

    public void Created(NftSet set)
    {
        Known = set;
        Foreign = false;
        _members.Adopt(default);
        _entries.Adopt(default);
    }

    public void Deleted() => Adopt(null);

    public void Added(ReadOnlySpan<NftElement> elements)
    {
        foreach (var element in elements)
            _members.Added(element);
    }

    public void Removed(ReadOnlySpan<NftElement> elements)
    {
        foreach (var element in elements)
        {
            if (Known is { IsVerdictMap: true })
                _entries.Removed(element);
            else
                _members.Removed(element);
        }
    }

    public void Added(ReadOnlySpan<NftMapEntry> entries)
    {
        foreach (var entry in entries)
            _entries.Added(entry);
    }
}

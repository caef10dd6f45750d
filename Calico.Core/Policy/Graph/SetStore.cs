using System.Collections.Immutable;
using Calico.Core.Policy.Index;

namespace Calico.Core.Policy.Graph;

/// <summary>
/// Members of sets as the cluster streams them, and which of them local rules need. Members that arrive before anybody
/// needs them are kept: order of arrival must not matter.
/// </summary>
internal sealed class SetStore
{
    private readonly Dictionary<string, Stream> _streams = [];
    private readonly Dictionary<string, Need> _needs = [];
    private readonly HashSet<string> _dirty = [];

    // The sets that the last flush left in use.
    private readonly HashSet<string> _published = [];
    private readonly Dictionary<string, Dictionary<SetMember, bool>> _changes = [];

    public bool IsKnown(string setId) => _streams.ContainsKey(setId);

    public MemberSet? Members(string setId) => _streams.GetValueOrDefault(setId)?.Members;

    /// <summary>Sets in use, sorted.</summary>
    public IEnumerable<string> Needed => _needs.Keys.Order(StringComparer.Ordinal);

    public SetUpdateResult Replace(string setId, long revision, IEnumerable<SetMember> members)
    {
        if (_streams.TryGetValue(setId, out var stream) && stream.Revision >= revision)
            return SetUpdateResult.AlreadyKnown;
        if (stream is null)
            _streams[setId] = stream = new Stream();
        stream.Revision = revision;
        var wanted = members.ToHashSet();
        foreach (var gone in stream.Members.Members.Where(m => !wanted.Contains(m)).ToList())
            Change(setId, stream, gone, false);
        foreach (var member in wanted)
            Change(setId, stream, member, true);
        _dirty.Add(setId);
        return SetUpdateResult.Applied;
    }

    public SetUpdateResult Apply(string setId, long baseRevision, long revision, IEnumerable<SetMember> added,
        IEnumerable<SetMember> removed)
    {
        if (!_streams.TryGetValue(setId, out var stream) || stream.Revision < baseRevision)
            return SetUpdateResult.Gap;
        if (stream.Revision >= revision)
            return SetUpdateResult.AlreadyKnown;
        if (stream.Revision > baseRevision)
            return SetUpdateResult.Gap;
        stream.Revision = revision;
        foreach (var member in removed)
            Change(setId, stream, member, false);
        foreach (var member in added)
            Change(setId, stream, member, true);
        _dirty.Add(setId);
        return SetUpdateResult.Applied;
    }

    /// <summary>Drops a stream's members, after its last user is gone.</summary>
    public void Forget(string setId)
    {
        if (!_needs.ContainsKey(setId))
            _streams.Remove(setId);
    }

    public void Hold(SetDefinition definition)
    {
        if (_needs.TryGetValue(definition.Id, out var need))
        {
            need.Count++;
            return;
        }
        _needs[definition.Id] = new Need(definition) { Count = 1 };
        _dirty.Add(definition.Id);
    }

    public void Release(string setId)
    {
        if (!_needs.TryGetValue(setId, out var need))
            throw new InvalidOperationException($"set {setId} was released more often than held");
        if (--need.Count == 0)
            _needs.Remove(setId);
        _dirty.Add(setId);
    }

    /// <summary>The difference to the last flush.</summary>
    public (ImmutableArray<ActiveSet> Added, ImmutableArray<SetDelta> Changed, ImmutableArray<string> Removed) Flush()
    {
        var added = ImmutableArray.CreateBuilder<ActiveSet>();
        var changed = ImmutableArray.CreateBuilder<SetDelta>();
        var removed = ImmutableArray.CreateBuilder<string>();
        foreach (var setId in _dirty.Order(StringComparer.Ordinal))
        {
            if (!_needs.TryGetValue(setId, out var need))
            {
                if (_published.Remove(setId))
                {
                    removed.Add(setId);
                    // Whoever hears of the removal stops the stream; what it had would go stale.
                    _streams.Remove(setId);
                }
            }
            else if (!_published.Contains(setId))
            {
                added.Add(new ActiveSet(need.Definition, IsKnown(setId), Members(setId)?.Sorted ?? []));
                _published.Add(setId);
            }
            else if (_changes.TryGetValue(setId, out var changes) && changes.Count > 0)
            {
                changed.Add(new SetDelta(setId, [.. changes.Where(c => c.Value).Select(c => c.Key).Order()],
                    [.. changes.Where(c => !c.Value).Select(c => c.Key).Order()]));
            }
            _changes.Remove(setId);
        }
        _dirty.Clear();
        return (added.ToImmutable(), changed.ToImmutable(), removed.ToImmutable());
    }

    private void Change(string setId, Stream stream, SetMember member, bool add)
    {
        if (!(add ? stream.Members.Add(member) : stream.Members.Remove(member)) || !_published.Contains(setId))
            return;
        if (!_changes.TryGetValue(setId, out var changes))
            _changes[setId] = changes = [];
        if (!changes.Remove(member))
            changes[member] = add;
    }

    private sealed class Stream
    {
        public long Revision { get; set; }
        public MemberSet Members { get; } = new();
    }

    private sealed class Need(SetDefinition definition)
    {
        public SetDefinition Definition { get; } = definition;
        public int Count { get; set; }
    }
}

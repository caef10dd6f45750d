using System.Collections.Immutable;
using Calico.Core.Model.Selectors;

namespace Calico.Core.Policy.Index;

/// <summary>What happened to a set since the last time it was asked for; both lists are sorted.</summary>
public sealed record SetDelta(string SetId, ImmutableArray<SetMember> Added, ImmutableArray<SetMember> Removed);

/// <summary>
/// The members of every set that some policy refers to, from every endpoint and network set of the cluster:
///
///   endpoint, network set ---- labels ----> LabelMatchIndex ---- matched ----> set
///           \                                  ^                                ^
///            \---- addresses, ports -----------|--------------------------------/
///   profile ------------ labelsToApply --------/
///
/// One index serves all policies of a process; equal sets have equal ids and are kept once, for as long as somebody
/// holds them. Changes collect until <see cref="TakeChanges"/>, where an appearance and a disappearance of the same
/// member cancel out. Pure and single-threaded: the owner serialises calls.
/// </summary>
public sealed class EndpointIndex
{
    private readonly LabelMatchIndex<string> _matches;
    private readonly Dictionary<string, LabelOwner> _owners = [];
    private readonly Dictionary<string, SetState> _sets = [];
    private readonly Dictionary<string, ServiceEndpoints> _slices = [];
    private readonly Dictionary<string, HashSet<string>> _slicesOfService = [];
    private readonly Dictionary<string, Dictionary<SetMember, bool>> _changes = [];

    public EndpointIndex() => _matches = new LabelMatchIndex<string>(OnMatch);

    /// <summary>How many selector evaluations have been made since the index exists.</summary>
    public long Evaluations => _matches.Evaluations;

    public int EndpointCount => _owners.Count;
    public int SetCount => _sets.Count;

    /// <summary>Adds or replaces an endpoint or network set; saying the same again changes nothing.</summary>
    public void SetOwner(string id, LabelOwner owner)
    {
        var before = _owners.GetValueOrDefault(id);
        if (before is not null && before.Equals(owner))
            return;
        _owners[id] = owner;
        if (before is not null)
        {
            // The sets it stays in: count what it brings before dropping what it brought, so nothing flickers.
            foreach (var set in _matches.SelectorsOf(id).Select(s => _sets[s]))
            {
                Count(set, owner.Contribution(set.Definition), true);
                Count(set, before.Contribution(set.Definition), false);
            }
        }
        _matches.SetOwner(id, owner.Labels, owner.Profiles);
    }

    public void RemoveOwner(string id)
    {
        if (!_owners.ContainsKey(id))
            return;
        _matches.RemoveOwner(id);
        _owners.Remove(id);
    }

    /// <summary>Sets the labels that a profile passes on to its endpoints, which may arrive before or after it.</summary>
    public void SetProfileLabels(string profile, ImmutableArray<KeyValuePair<string, string>> labels) =>
        _matches.SetParent(profile, labels);

    public void RemoveProfileLabels(string profile) => _matches.RemoveParent(profile);

    /// <summary>Adds or replaces one slice of a service's endpoints under an id of the caller's choice.</summary>
    public void SetService(string sliceId, ServiceEndpoints endpoints)
    {
        if (_slices.TryGetValue(sliceId, out var before) && before.Equals(endpoints))
            return;
        _slices[sliceId] = endpoints;
        if (!_slicesOfService.TryGetValue(endpoints.Service, out var slices))
            _slicesOfService[endpoints.Service] = slices = [];
        slices.Add(sliceId);
        CountSlice(endpoints, true);
        if (before is not null)
            DropSlice(sliceId, before, before.Service != endpoints.Service);
    }

    public void RemoveService(string sliceId)
    {
        if (_slices.Remove(sliceId, out var before))
            DropSlice(sliceId, before, true);
    }

    /// <summary>
    /// Holds a set: its members appear in the next changes, once per set however many hold it. Every call needs its
    /// <see cref="RemoveSet"/>.
    /// </summary>
    public void AddSet(SetDefinition definition)
    {
        if (_sets.TryGetValue(definition.Id, out var set))
        {
            set.Holders++;
            return;
        }
        _sets[definition.Id] = set = new SetState(definition, this);
        if (definition.Service.Length > 0)
        {
            foreach (var slice in _slicesOfService.GetValueOrDefault(definition.Service) ?? [])
                Count(set, _slices[slice].Contribution(definition.Kind), true);
            return;
        }
        _matches.SetSelector(definition.Id, Selector.Parse(definition.Selector));
    }

    /// <summary>Lets go of a set; with the last holder it is forgotten, and its members are not announced as removed.</summary>
    public void RemoveSet(string setId)
    {
        if (!_sets.TryGetValue(setId, out var set) || --set.Holders > 0)
            return;
        _matches.RemoveSelector(setId);
        _sets.Remove(setId);
        _changes.Remove(setId);
    }

    public bool HasSet(string setId) => _sets.ContainsKey(setId);

    /// <summary>The members now, sorted; pending changes are included.</summary>
    public ImmutableArray<SetMember> Members(string setId) =>
        _sets.TryGetValue(setId, out var set) ? [.. set.Members.Published.Order()] : [];

    /// <summary>What changed since the last call, sorted by set id; sets without a net change are left out.</summary>
    public ImmutableArray<SetDelta> TakeChanges()
    {
        var deltas = ImmutableArray.CreateBuilder<SetDelta>(_changes.Count);
        foreach (var (setId, members) in _changes.OrderBy(c => c.Key, StringComparer.Ordinal))
        {
            if (members.Count == 0)
                continue;
            deltas.Add(new SetDelta(setId, [.. members.Where(m => m.Value).Select(m => m.Key).Order()],
                [.. members.Where(m => !m.Value).Select(m => m.Key).Order()]));
        }
        _changes.Clear();
        return deltas.ToImmutable();
    }

    /// <summary>Whether the selector selects an endpoint of the index, inherited labels included.</summary>
    public bool Matches(string ownerId, Selector selector) => _matches.Matches(ownerId, selector);

    private void OnMatch(string setId, string ownerId, bool matches)
    {
        var set = _sets[setId];
        Count(set, _owners[ownerId].Contribution(set.Definition), matches);
    }

    private void CountSlice(ServiceEndpoints endpoints, bool add)
    {
        foreach (var kind in new[] { SetKind.Service, SetKind.ServiceAddresses })
        {
            if (_sets.TryGetValue(SetIds.OfService(endpoints.Service, kind), out var set))
                Count(set, endpoints.Contribution(kind), add);
        }
    }

    private void DropSlice(string sliceId, ServiceEndpoints endpoints, bool leaveService)
    {
        CountSlice(endpoints, false);
        if (!leaveService || !_slicesOfService.TryGetValue(endpoints.Service, out var slices))
            return;
        slices.Remove(sliceId);
        if (slices.Count == 0)
            _slicesOfService.Remove(endpoints.Service);
    }

    private static void Count(SetState set, IEnumerable<SetMember> members, bool add)
    {
        foreach (var member in members)
        {
            if (add)
                set.Members.Add(member);
            else
                set.Members.Remove(member);
        }
    }

    private void OnPublished(string setId, SetMember member, bool added)
    {
        if (!_changes.TryGetValue(setId, out var changes))
            _changes[setId] = changes = [];
        // The opposite of a pending change takes both back.
        if (!changes.Remove(member))
            changes[member] = added;
    }

    private sealed class SetState
    {
        public SetState(SetDefinition definition, EndpointIndex index)
        {
            Definition = definition;
            Members = new CountedMembers((member, added) => index.OnPublished(definition.Id, member, added));
        }

        public SetDefinition Definition { get; }
        public CountedMembers Members { get; }
        public int Holders { get; set; } = 1;
    }
}

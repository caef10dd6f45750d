using System.Collections.Immutable;
using Calico.Core.Feed;
using Calico.Core.Policy.Graph;
using Calico.Core.Policy.Index;

namespace Calico.Core.Policy.Distribution;

/// <summary>A policy log entry: a compiled policy, a compiled profile, or why the resource could not be compiled.</summary>
public sealed record PolicyEntry(string ResourceKey, long Revision, CompiledPolicy? Policy, CompiledProfile? Profile, string? Error)
{
    public const string Prefix = "policy/";
    public static string KeyOf(string resourceKey) => Prefix + resourceKey;
}

/// <summary>
/// The node's end of policy distribution: merges the logs of all members into the node's graph.
/// A policy is compiled by one member at a time, but its owner moves when members come and go, so:
/// the newest entry for a policy counts, wherever it comes from; an entry that disappears from a log is kept until
/// another member has published the policy or the resource itself is gone; members of a set come from any log that has
/// the whole set, preferably the one that compiled a policy using it. So nothing is ever enforced with less than
/// before because an owner moved.
/// </summary>
public sealed class PolicyReceiver(NodePolicyGraph graph, Func<ReadOnlyMemory<byte>, PolicyEntry> decode)
{
    private sealed record Held(string Member, PolicyEntry Entry);

    private readonly Dictionary<string, SetAssembler> _members = [];
    private readonly Dictionary<string, Held> _entries = [];
    private readonly Dictionary<string, long> _resources = [];
    private readonly Dictionary<string, string> _unreadable = [];
    private readonly HashSet<string> _dirtySets = [];
    private readonly Dictionary<string, long> _setRevisions = [];
    private bool _resourcesInSync;

    /// <summary>
    /// Resources whose current revision has not arrived in compiled form, with the revision that is wanted. Empty,
    /// together with the resource feed being in sync, means that this node knows every policy there is.
    /// </summary>
    public IEnumerable<KeyValuePair<string, long>> Missing => _resources
        .Where(r => !_entries.TryGetValue(r.Key, out var held) || held.Entry.Revision < r.Value);

    public bool InSync => _resourcesInSync && !Missing.Any();

    /// <summary>Resources that could not be compiled, and entries that this node cannot read, with the reason.</summary>
    public IEnumerable<(string ResourceKey, string Error)> Errors =>
        _entries.Values.Where(h => h.Entry.Error is not null).Select(h => (h.Entry.ResourceKey, h.Entry.Error!))
            .Concat(_unreadable.Select(u => (u.Key, u.Value)));

    /// <summary>The resource feed says that this policy or profile is at this revision, or with null gone.</summary>
    public void ResourceIs(string resourceKey, long? revision)
    {
        if (revision is { } r)
        {
            _resources[resourceKey] = r;
            return;
        }
        _resources.Remove(resourceKey);
        _unreadable.Remove(PolicyEntry.KeyOf(resourceKey));
        if (_entries.Remove(resourceKey, out var held))
            Forget(held.Entry);
    }

    /// <summary>The resource feed has been read to its head.</summary>
    public void ResourcesInSync() => _resourcesInSync = true;

    /// <summary>Changes in the log of one member.</summary>
    public void Apply(string member, ImmutableArray<FeedItem> items)
    {
        if (!_members.TryGetValue(member, out var sets))
            _members[member] = sets = new SetAssembler();
        foreach (var item in items)
        {
            try
            {
                Apply(member, sets, item);
                _unreadable.Remove(item.Key);
            }
            catch (FormatException e)
            {
                // Of a member with a newer version, perhaps. What was in force stays; a policy whose entry cannot be read
                // counts as missing, so that nothing new is let through under rules that are not known.
                _unreadable[item.Key] = $"{member} published what this version cannot read: {e.Message}";
            }
        }
    }

    private void Apply(string member, SetAssembler sets, FeedItem item)
    {
        if (SetAssembler.TryParseKey(item.Key, out var setId))
        {
            sets.Apply(item);
            _dirtySets.Add(setId);
        }
        else if (item.Key.StartsWith(PolicyEntry.Prefix, StringComparison.Ordinal) && item.Value is { } value)
        {
            Take(member, decode(value));
        }
    }

    /// <summary>A member has left: what it published stays in force until others have published it.</summary>
    public void MemberGone(string member) => _members.Remove(member);

    /// <summary>Hands over to the graph what is complete; call once after a group of changes.</summary>
    public void Settle()
    {
        foreach (var setId in _dirtySets)
        {
            if (BestMembers(setId) is { } members)
                graph.ReplaceSet(setId, _setRevisions[setId] = _setRevisions.GetValueOrDefault(setId) + 1, members);
        }
        _dirtySets.Clear();
        if (InSync)
            graph.SetInSync();
    }

    private void Take(string member, PolicyEntry entry)
    {
        if (_entries.TryGetValue(entry.ResourceKey, out var held) && held.Entry.Revision > entry.Revision)
            return;
        if (entry.Policy is { } policy)
        {
            graph.UpdatePolicy(policy);
            _dirtySets.UnionWith(policy.Sets.Select(s => s.Id));
        }
        else if (entry.Profile is { } profile)
        {
            graph.UpdateProfile(profile);
            _dirtySets.UnionWith(profile.Sets.Select(s => s.Id));
        }
        else if (held is not null)
        {
            Forget(held.Entry);
        }
        // Last: what the graph does not take is still missing.
        _entries[entry.ResourceKey] = new Held(member, entry);
    }

    private void Forget(PolicyEntry entry)
    {
        if (entry.Policy is { } policy)
            graph.RemovePolicy(policy.Key, policy.Revision);
        if (entry.Profile is { } profile)
            graph.RemoveProfile(profile.Name);
    }

    private ImmutableArray<SetMember>? BestMembers(string setId)
    {
        var compilers = _entries.Values.Where(h => Uses(h.Entry, setId)).Select(h => h.Member);
        foreach (var member in compilers.Concat(_members.Keys.Order(StringComparer.Ordinal)).Distinct())
        {
            if (_members.TryGetValue(member, out var sets) && sets.Members(setId) is { } members)
                return members;
        }
        return null;
    }

    private static bool Uses(PolicyEntry entry, string setId) =>
        entry.Policy?.Sets.Any(s => s.Id == setId) == true || entry.Profile?.Sets.Any(s => s.Id == setId) == true;
}

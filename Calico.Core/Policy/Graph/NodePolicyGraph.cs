using System.Collections.Immutable;
using Calico.Core.Model.Selectors;
using Calico.Core.Policy.Index;

namespace Calico.Core.Policy.Graph;

/// <summary>
/// What one node enforces, kept incrementally:
///
///   compiled policies --\                    /-- active policies, profiles   (rules)
///   tiers ---------------+--> match, order --+-- endpoints with their tiers  (chains, dispatch)
///   profiles -----------/         ^           \-- sets they refer to         (sets)
///   local endpoints --------------/                     ^
///   set members ----------------------------------------/
///
/// Inputs are idempotent and may come in any order: only what is known at <see cref="Flush"/> counts, and a flush
/// costs what changed since the last one. A policy is active while a local endpoint matches it (or it asks to be
/// everywhere); only active policies hold their sets. Missing input fails closed: an unknown profile denies, rules
/// about sets whose members have not arrived are narrowed (<see cref="FailClosed"/>), and
/// <see cref="Readiness"/> says what is missing. Pure and single-threaded: the owner serialises calls.
/// </summary>
public sealed class NodePolicyGraph
{
    private static readonly ImmutableArray<CompiledRule> DenyAll = [new CompiledRule { Action = RuleAction.Deny }];

    private readonly LabelMatchIndex<PolicyKey> _matches;
    private readonly SetStore _sets = new();
    private readonly Dictionary<PolicyKey, CompiledPolicy> _policies = [];
    private readonly Dictionary<PolicyKey, long> _removedPolicies = [];
    private readonly Dictionary<string, CompiledProfile> _profiles = [];
    private readonly Dictionary<string, TierState> _tiers = [];
    private readonly Dictionary<string, LocalEndpoint> _endpoints = [];
    private readonly Dictionary<string, HashSet<string>> _endpointsOfProfile = [];
    private readonly Dictionary<PolicyKey, int> _matchCounts = [];

    // As of the last flush.
    private readonly Dictionary<PolicyKey, ActivePolicy> _activePolicies = [];
    private readonly Dictionary<string, ActiveProfile> _activeProfiles = [];
    private readonly Dictionary<string, EndpointPolicies> _resolved = [];

    // Which active policies and profiles a set's arrival concerns.
    private readonly Dictionary<string, HashSet<PolicyKey>> _policiesOfSet = [];
    private readonly Dictionary<string, HashSet<string>> _profilesOfSet = [];
    private readonly Dictionary<string, ImmutableArray<SetDefinition>> _setsOfProfile = [];

    private readonly HashSet<PolicyKey> _dirtyPolicies = [];
    private readonly HashSet<string> _dirtyProfiles = [];
    private readonly HashSet<string> _dirtyEndpoints = [];

    public NodePolicyGraph() => _matches = new LabelMatchIndex<PolicyKey>(OnMatch);

    /// <summary>True once the caller has passed on everything that existed when it connected.</summary>
    public bool InSync { get; private set; }

    public IReadOnlyDictionary<string, LocalEndpoint> Endpoints => _endpoints;

    /// <summary>How many selector evaluations have been made since the graph exists.</summary>
    public long Evaluations => _matches.Evaluations;

    /// <summary>Says that all input of the start is in; endpoints can become ready from here on.</summary>
    public void SetInSync() => InSync = true;

    /// <summary>Says that the source of input is unreachable; what is known stays enforced.</summary>
    public void ClearInSync() => InSync = false;

    /// <summary>Adds or replaces a policy, unless a later revision of it is known or was removed. Returns whether it did.</summary>
    /// <exception cref="FormatException">Its selector is none; nothing changed.</exception>
    public bool UpdatePolicy(CompiledPolicy policy)
    {
        if (_removedPolicies.TryGetValue(policy.Key, out var removedAt) && removedAt >= policy.Revision)
            return false;
        var before = _policies.GetValueOrDefault(policy.Key);
        if (before is not null && before.Revision >= policy.Revision)
            return false;
        var selector = Selector.Parse(policy.Selector);
        _removedPolicies.Remove(policy.Key);
        _policies[policy.Key] = policy;
        if (before is not null && before.SameMeaning(policy))
            return true;
        _dirtyPolicies.Add(policy.Key);
        foreach (var endpoint in _matches.OwnersOf(policy.Key))
            _dirtyEndpoints.Add(endpoint);
        if (before is null || before.Selector != policy.Selector)
            _matches.SetSelector(policy.Key, selector);
        return true;
    }

    /// <summary>Removes a policy as of a revision, also for updates that are still to come and are not later.</summary>
    public void RemovePolicy(PolicyKey key, long revision = long.MaxValue)
    {
        if (_policies.TryGetValue(key, out var before) && before.Revision > revision)
            return;
        // A removal without a revision is final only for what is known now.
        if (revision != long.MaxValue)
            _removedPolicies[key] = Math.Max(revision, _removedPolicies.GetValueOrDefault(key));
        if (before is null)
            return;
        foreach (var endpoint in _matches.OwnersOf(key))
            _dirtyEndpoints.Add(endpoint);
        _matches.RemoveSelector(key);
        _matchCounts.Remove(key);
        _policies.Remove(key);
        _dirtyPolicies.Add(key);
    }

    /// <summary>Forgets removals up to a revision, when the source can no longer send anything that old.</summary>
    public void ForgetRemovals(long upToRevision)
    {
        foreach (var key in _removedPolicies.Where(r => r.Value <= upToRevision).Select(r => r.Key).ToList())
            _removedPolicies.Remove(key);
    }

    /// <summary>Replaces all members of a set, unless the set is at this revision or later already.</summary>
    public SetUpdateResult ReplaceSet(string setId, long revision, IEnumerable<SetMember> members) =>
        OnSet(setId, () => _sets.Replace(setId, revision, members));

    /// <summary>Changes a set from one revision to the next; on a gap nothing happens and a snapshot is needed.</summary>
    public SetUpdateResult ApplySetDelta(string setId, long baseRevision, long revision,
        IEnumerable<SetMember> added, IEnumerable<SetMember> removed) =>
        OnSet(setId, () => _sets.Apply(setId, baseRevision, revision, added, removed));

    /// <summary>Drops what is known of a set that no local rule refers to.</summary>
    public void ForgetSet(string setId) => _sets.Forget(setId);

    public void UpdateTier(TierState tier)
    {
        if (_tiers.GetValueOrDefault(tier.Name) == tier)
            return;
        _tiers[tier.Name] = tier;
        DirtyTier(tier.Name);
    }

    public void RemoveTier(string name)
    {
        if (_tiers.Remove(name))
            DirtyTier(name);
    }

    /// <summary>Adds or replaces a profile, unless a later revision of it is known.</summary>
    public void UpdateProfile(CompiledProfile profile)
    {
        var before = _profiles.GetValueOrDefault(profile.Name);
        if (before is not null && before.Revision >= profile.Revision)
            return;
        _profiles[profile.Name] = profile;
        _matches.SetParent(profile.Name, profile.LabelsToApply);
        if (before is null || !before.SameRules(profile))
            _dirtyProfiles.Add(profile.Name);
    }

    public void RemoveProfile(string name)
    {
        if (!_profiles.Remove(name))
            return;
        _matches.RemoveParent(name);
        _dirtyProfiles.Add(name);
    }

    public void UpdateEndpoint(LocalEndpoint endpoint)
    {
        if (_endpoints.TryGetValue(endpoint.Id, out var before) && before.Equals(endpoint))
            return;
        _endpoints[endpoint.Id] = endpoint;
        _dirtyEndpoints.Add(endpoint.Id);
        foreach (var profile in (before?.Profiles ?? []).Except(endpoint.Profiles))
            LeaveProfile(profile, endpoint.Id);
        foreach (var profile in endpoint.Profiles.Except(before?.Profiles ?? []))
        {
            if (!_endpointsOfProfile.TryGetValue(profile, out var users))
                _endpointsOfProfile[profile] = users = [];
            if (users.Add(endpoint.Id))
                _dirtyProfiles.Add(profile);
        }
        _matches.SetOwner(endpoint.Id, endpoint.Labels, endpoint.Profiles);
    }

    public void RemoveEndpoint(string id)
    {
        if (!_endpoints.Remove(id, out var before))
            return;
        _dirtyEndpoints.Add(id);
        _matches.RemoveOwner(id);
        foreach (var profile in before.Profiles.Distinct())
            LeaveProfile(profile, id);
    }

    /// <summary>Whether an endpoint's policy is complete, and if not, what is missing.</summary>
    public EndpointReadiness Readiness(string endpointId)
    {
        if (!_endpoints.TryGetValue(endpointId, out var endpoint))
            return new EndpointReadiness(endpointId, false, [], []);
        var sets = _matches.SelectorsOf(endpointId).Where(p => !p.IsStaged).SelectMany(p => _policies[p].Sets)
            .Concat(endpoint.Profiles.SelectMany(p => _profiles.GetValueOrDefault(p)?.Sets ?? []))
            .Select(s => s.Id).Where(s => !_sets.IsKnown(s));
        var profiles = endpoint.Profiles.Where(p => !_profiles.ContainsKey(p));
        return new EndpointReadiness(endpointId, InSync, [.. sets.Distinct().Order(StringComparer.Ordinal)],
            [.. profiles.Distinct()]);
    }

    /// <summary>The revision of a policy that was last taken over; what a node reports as enforced after a flush.</summary>
    public long? RevisionOf(PolicyKey key) => _policies.GetValueOrDefault(key)?.Revision;

    /// <summary>An endpoint's policies as of the last flush.</summary>
    public EndpointPolicies? Policies(string endpointId) => _resolved.GetValueOrDefault(endpointId);

    /// <summary>A policy's rules as of the last flush; null while no local endpoint needs it.</summary>
    public ActivePolicy? Policy(PolicyKey key) => _activePolicies.GetValueOrDefault(key);

    /// <summary>A profile's rules as of the last flush; null while no local endpoint has it.</summary>
    public ActiveProfile? Profile(string name) => _activeProfiles.GetValueOrDefault(name);

    public IEnumerable<PolicyKey> ActivePolicies => _activePolicies.Keys.Order();
    public IEnumerable<string> ActiveProfiles => _activeProfiles.Keys.Order(StringComparer.Ordinal);
    public IEnumerable<string> ActiveSets => _sets.Needed;

    /// <summary>Whether the members of every set that is needed have arrived.</summary>
    public bool HasAllSets => _sets.Needed.All(_sets.IsKnown);

    /// <summary>The members of a set as far as they have arrived.</summary>
    public MemberSet? Members(string setId) => _sets.Members(setId);

    /// <summary>Settles everything since the last call and says what that changes.</summary>
    public GraphChanges Flush()
    {
        var (policies, gonePolicies) = FlushPolicies();
        var (profiles, goneProfiles) = FlushProfiles();
        var (sets, members, goneSets) = _sets.Flush();
        var (endpoints, goneEndpoints) = FlushEndpoints();
        return new GraphChanges
        {
            SetsAdded = sets,
            SetsChanged = members,
            SetsRemoved = goneSets,
            PoliciesChanged = policies,
            PoliciesRemoved = gonePolicies,
            ProfilesChanged = profiles,
            ProfilesRemoved = goneProfiles,
            EndpointsChanged = endpoints,
            EndpointsRemoved = goneEndpoints,
        };
    }

    private (ImmutableArray<ActivePolicy>, ImmutableArray<PolicyKey>) FlushPolicies()
    {
        var changed = ImmutableArray.CreateBuilder<ActivePolicy>();
        var removed = ImmutableArray.CreateBuilder<PolicyKey>();
        foreach (var key in _dirtyPolicies.Order())
        {
            var before = _activePolicies.GetValueOrDefault(key);
            var now = _policies.GetValueOrDefault(key);
            if (now is not null && !IsActive(now))
                now = null;
            // Hold before release: a set that stays in use must not be seen to go.
            foreach (var set in now?.Sets ?? [])
                HoldSet(_policiesOfSet, set, key);
            foreach (var set in before?.Compiled.Sets ?? [])
                ReleaseSet(_policiesOfSet, set.Id, key, now is not null && now.Sets.Any(s => s.Id == set.Id));
            if (now is null)
            {
                if (_activePolicies.Remove(key))
                    removed.Add(key);
                continue;
            }
            var active = new ActivePolicy(now, FailClosed.Of(now.Ingress, _sets.IsKnown),
                FailClosed.Of(now.Egress, _sets.IsKnown));
            _activePolicies[key] = active;
            if (before is null || !SameRules(before, active))
                changed.Add(active);
        }
        _dirtyPolicies.Clear();
        return (changed.ToImmutable(), removed.ToImmutable());
    }

    private (ImmutableArray<ActiveProfile>, ImmutableArray<string>) FlushProfiles()
    {
        var changed = ImmutableArray.CreateBuilder<ActiveProfile>();
        var removed = ImmutableArray.CreateBuilder<string>();
        foreach (var name in _dirtyProfiles.Order(StringComparer.Ordinal))
        {
            var before = _activeProfiles.GetValueOrDefault(name);
            var known = _profiles.GetValueOrDefault(name);
            var used = _endpointsOfProfile.ContainsKey(name);
            var held = _setsOfProfile.GetValueOrDefault(name, []);
            var needed = used ? known?.Sets ?? [] : [];
            foreach (var set in needed)
                HoldSet(_profilesOfSet, set, name);
            foreach (var set in held)
                ReleaseSet(_profilesOfSet, set.Id, name, needed.Any(s => s.Id == set.Id));
            if (!used)
            {
                _setsOfProfile.Remove(name);
                if (_activeProfiles.Remove(name))
                    removed.Add(name);
                continue;
            }
            _setsOfProfile[name] = needed;
            var active = known is null
                ? new ActiveProfile(name, 0, DenyAll, DenyAll)
                : new ActiveProfile(name, known.Revision, FailClosed.Of(known.Ingress, _sets.IsKnown),
                    FailClosed.Of(known.Egress, _sets.IsKnown));
            _activeProfiles[name] = active;
            if (before is null || !before.Ingress.AsSpan().SequenceEqual(active.Ingress.AsSpan())
                || !before.Egress.AsSpan().SequenceEqual(active.Egress.AsSpan()))
                changed.Add(active);
        }
        _dirtyProfiles.Clear();
        return (changed.ToImmutable(), removed.ToImmutable());
    }

    private (ImmutableArray<EndpointPolicies>, ImmutableArray<EndpointPolicies>) FlushEndpoints()
    {
        var changed = ImmutableArray.CreateBuilder<EndpointPolicies>();
        var removed = ImmutableArray.CreateBuilder<EndpointPolicies>();
        foreach (var id in _dirtyEndpoints.Order(StringComparer.Ordinal))
        {
            var before = _resolved.GetValueOrDefault(id);
            if (!_endpoints.TryGetValue(id, out var endpoint))
            {
                if (_resolved.Remove(id))
                    removed.Add(before!);
                continue;
            }
            var now = PolicyOrder.Resolve(endpoint, _matches.SelectorsOf(id).Select(k => _policies[k]), _tiers);
            _resolved[id] = now;
            if (!now.Equals(before))
                changed.Add(now);
        }
        _dirtyEndpoints.Clear();
        return (changed.ToImmutable(), removed.ToImmutable());
    }

    private bool IsActive(CompiledPolicy policy) => !policy.Key.IsStaged
        && (policy.AssumeNeededOnEveryNode || _matchCounts.ContainsKey(policy.Key));

    private static bool SameRules(ActivePolicy a, ActivePolicy b) =>
        a.Compiled.Tier == b.Compiled.Tier && a.Compiled.DoNotTrack == b.Compiled.DoNotTrack
        && a.Ingress.AsSpan().SequenceEqual(b.Ingress.AsSpan()) && a.Egress.AsSpan().SequenceEqual(b.Egress.AsSpan());

    private void OnMatch(PolicyKey policy, string endpoint, bool matches)
    {
        var count = _matchCounts.GetValueOrDefault(policy) + (matches ? 1 : -1);
        if (count == 0)
            _matchCounts.Remove(policy);
        else
            _matchCounts[policy] = count;
        if (count == (matches ? 1 : 0))
            _dirtyPolicies.Add(policy);
        _dirtyEndpoints.Add(endpoint);
    }

    private SetUpdateResult OnSet(string setId, Func<SetUpdateResult> update)
    {
        var wasKnown = _sets.IsKnown(setId);
        var result = update();
        if (!wasKnown && _sets.IsKnown(setId))
        {
            _dirtyPolicies.UnionWith(_policiesOfSet.GetValueOrDefault(setId) ?? []);
            _dirtyProfiles.UnionWith(_profilesOfSet.GetValueOrDefault(setId) ?? []);
        }
        return result;
    }

    private void HoldSet<T>(Dictionary<string, HashSet<T>> users, SetDefinition set, T user)
    {
        _sets.Hold(set);
        if (!users.TryGetValue(set.Id, out var list))
            users[set.Id] = list = [];
        list.Add(user);
    }

    private void ReleaseSet<T>(Dictionary<string, HashSet<T>> users, string setId, T user, bool stillUsed)
    {
        _sets.Release(setId);
        if (stillUsed || !users.TryGetValue(setId, out var list))
            return;
        list.Remove(user);
        if (list.Count == 0)
            users.Remove(setId);
    }

    private void LeaveProfile(string profile, string endpoint)
    {
        if (!_endpointsOfProfile.TryGetValue(profile, out var users) || !users.Remove(endpoint))
            return;
        if (users.Count == 0)
            _endpointsOfProfile.Remove(profile);
        _dirtyProfiles.Add(profile);
    }

    private void DirtyTier(string name)
    {
        foreach (var key in _policies.Values.Where(p => p.Tier == name && _matchCounts.ContainsKey(p.Key)))
            _dirtyEndpoints.UnionWith(_matches.OwnersOf(key.Key));
    }
}

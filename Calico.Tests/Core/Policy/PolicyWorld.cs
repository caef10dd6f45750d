using System.Collections.Immutable;
using System.Text;
using Calico.Core.Net;
using Calico.Core.Nft;
using Calico.Core.Policy;
using Calico.Core.Policy.Graph;
using Calico.Core.Policy.Index;
using Calico.Core.Policy.Render;
using Calico.Kernel.Nft;

namespace Calico.Tests.Core.Policy;

/// <summary>
/// A cluster of one node without actors or kernel: resources go in by key, the index streams set members with revisions
/// as the cluster would, the graph settles, the renderer's changes become transactions on fake tables. Everything that
/// came out of the graph is accumulated from its changes alone, so a missing or wrong change shows.
/// </summary>
internal sealed class PolicyWorld
{
    /// <summary>A workload that is local, with what selectors see of it.</summary>
    public sealed record Workload(LocalEndpoint Endpoint, LabelOwner Owner);

    private static readonly NftTable V4 = new(NftFamily.Ip, "calico");
    private static readonly NftTable V6 = new(NftFamily.Ip6, "calico");
    private static readonly NftTable Arp = new(NftFamily.Arp, "calico-arp");

    private readonly EndpointIndex _index = new();
    private readonly PolicyRenderer _renderer;
    private readonly Dictionary<string, CompiledPolicy> _policies = [];
    private readonly Dictionary<string, CompiledProfile> _profiles = [];
    private readonly Dictionary<string, long> _sent = [];
    private readonly Dictionary<NftTable, NftDelta> _deltas = [];
    private readonly Dictionary<NftTable, FakeNftTable> _tables = [];
    private readonly bool _subscribe;
    private long _revision;

    // What a follower of the changes has.
    private readonly SortedDictionary<string, SortedSet<SetMember>> _sets = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, ActivePolicy> _activePolicies = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, ActiveProfile> _activeProfiles = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, EndpointPolicies> _endpoints = new(StringComparer.Ordinal);

    /// <param name="options">How to render.</param>
    /// <param name="subscribe">Members are sent only once the graph asks, as to a node that has just got interested.</param>
    public PolicyWorld(RenderOptions? options = null, bool subscribe = false)
    {
        _subscribe = subscribe;
        _renderer = new PolicyRenderer(options ?? new RenderOptions());
        var kernel = new FakeNftKernel();
        foreach (var table in new[] { V4, V6, Arp })
        {
            _deltas[table] = new NftDelta(table);
            _tables[table] = new FakeNftTable(table, kernel);
            _deltas[table].Adopt(_tables[table].Dump());
        }
        Graph.SetInSync();
    }

    public NodePolicyGraph Graph { get; } = new();

    public EndpointIndex Index => _index;

    /// <summary>Puts one item under its key; the same item again is a repetition.</summary>
    public void Put(string key, object item)
    {
        switch (item)
        {
            case CompiledPolicy policy:
                Hold(policy.Sets, _policies.GetValueOrDefault(key)?.Sets ?? []);
                _policies[key] = policy = policy with { Revision = ++_revision };
                Graph.UpdatePolicy(policy);
                break;
            case CompiledProfile profile:
                Hold(profile.Sets, _profiles.GetValueOrDefault(key)?.Sets ?? []);
                _profiles[key] = profile = profile with { Revision = ++_revision };
                _index.SetProfileLabels(profile.Name, profile.LabelsToApply);
                Graph.UpdateProfile(profile);
                break;
            case TierState tier:
                Graph.UpdateTier(tier);
                break;
            case Workload workload:
                _index.SetOwner(key, workload.Owner);
                Graph.UpdateEndpoint(workload.Endpoint);
                break;
            case LabelOwner owner:
                _index.SetOwner(key, owner);
                break;
            case ServiceEndpoints service:
                _index.SetService(key, service);
                break;
            default:
                throw new ArgumentException($"{item} is nothing the world knows", nameof(item));
        }
    }

    public void Remove(string key, object item)
    {
        switch (item)
        {
            case CompiledPolicy policy:
                if (!_policies.Remove(key, out var known))
                    return;
                Hold([], known.Sets);
                Graph.RemovePolicy(policy.Key, ++_revision);
                break;
            case CompiledProfile profile:
                if (!_profiles.Remove(key, out var knownProfile))
                    return;
                Hold([], knownProfile.Sets);
                _index.RemoveProfileLabels(profile.Name);
                Graph.RemoveProfile(profile.Name);
                break;
            case TierState tier:
                Graph.RemoveTier(tier.Name);
                break;
            case Workload workload:
                _index.RemoveOwner(key);
                Graph.RemoveEndpoint(workload.Endpoint.Id);
                break;
            case LabelOwner:
                _index.RemoveOwner(key);
                break;
            case ServiceEndpoints:
                _index.RemoveService(key);
                break;
        }
    }

    /// <summary>Delivers set members, flushes, follows the changes and commits them to the tables.</summary>
    public void Settle()
    {
        foreach (var delta in _index.TakeChanges())
        {
            if (!_sent.TryGetValue(delta.SetId, out var revision))
                continue;
            _sent[delta.SetId] = ++_revision;
            Graph.ApplySetDelta(delta.SetId, revision, _revision, delta.Added, delta.Removed);
        }
        // A source that starts a set over owes a snapshot to whoever has the set from its predecessor.
        foreach (var set in _policies.Values.SelectMany(p => p.Sets).Concat(_profiles.Values.SelectMany(p => p.Sets))
            .Where(s => !_sent.ContainsKey(s.Id) && (!_subscribe || Graph.Members(s.Id) is not null)))
            Snapshot(set.Id);
        var changes = Flush();
        foreach (var set in changes.SetsRemoved)
            _sent.Remove(set);
        var asked = changes.SetsAdded.Where(s => !s.IsKnown).ToList();
        foreach (var set in asked)
            Snapshot(set.Definition.Id);
        if (asked.Count > 0)
            Flush();
        foreach (var id in Graph.Endpoints.Keys)
            Assert.True(Graph.Readiness(id).IsReady, $"{id} misses {string.Join(' ', Graph.Readiness(id).MissingSets)}");
    }

    /// <summary>Whether the source's egress and the destination's ingress let a new connection pass, by the graph.</summary>
    public (bool Egress, bool Ingress) Decide(string source, string destination, PolicyPacket packet) =>
        (PolicyVerdict.Evaluate(Graph, source, Direction.Egress, packet).Allowed,
            PolicyVerdict.Evaluate(Graph, destination, Direction.Ingress, packet).Allowed);

    /// <summary>The same question to the rendered rules, each side alone: the other end is an interface of the host.</summary>
    public (bool Egress, bool Ingress) Walk(string source, string destination, PolicyPacket packet) =>
        (Forward(Graph.Endpoints[source].InterfaceName, "eth0", packet).Accepted,
            Forward("eth0", Graph.Endpoints[destination].InterfaceName, packet).Accepted);

    /// <summary>A packet through the forward hook; both ends may be workloads.</summary>
    public NftWalk Forward(string from, string to, PolicyPacket packet, NftCtState state = NftCtState.New) =>
        Table(packet.Source.Version).Walk(NftHook.Forward, PacketOf(packet) with
        {
            InInterface = from,
            OutInterface = to,
            CtState = state,
        });

    public FakeNftTable Table(IpVersion version) => _tables[version == IpVersion.V4 ? V4 : V6];

    public FakeNftTable ArpTable => _tables[Arp];

    public static NftPacket PacketOf(PolicyPacket packet) => new()
    {
        Source = packet.Source,
        Destination = packet.Destination,
        Protocol = packet.Protocol,
        SourcePort = IpProtocol.HasPorts(packet.Protocol) ? (ushort)packet.SourcePort : null,
        DestinationPort = IpProtocol.HasPorts(packet.Protocol) ? (ushort)packet.DestinationPort : null,
        IcmpType = packet.Protocol is IpProtocol.Icmp or IpProtocol.IcmpV6 ? packet.IcmpType : null,
        IcmpCode = packet.IcmpCode,
    };

    /// <summary>Everything that a follower of the changes holds, and all that the tables hold, as text.</summary>
    public string Picture()
    {
        var text = new StringBuilder();
        foreach (var (id, members) in _sets)
            text.Append($"set {id}: {string.Join(' ', members)}\n");
        foreach (var (id, policy) in _activePolicies)
            text.Append($"policy {id}: in {Text(policy.Ingress)} out {Text(policy.Egress)}\n");
        foreach (var (id, profile) in _activeProfiles)
            text.Append($"profile {id}: in {Text(profile.Ingress)} out {Text(profile.Egress)}\n");
        foreach (var (id, endpoint) in _endpoints)
            text.Append($"endpoint {id}: {Text(endpoint.Normal)} / {Text(endpoint.Untracked)} / {Text(endpoint.PreDnat)} / {Text(endpoint.Forward)}\n");
        foreach (var table in _tables.Values)
            Append(text, table);
        return text.ToString();
    }

    public static string Text(ImmutableArray<EndpointTier> tiers) => string.Join("; ", tiers.Select(t =>
        $"{t.Name}{(t.DefaultPass ? " pass" : "")} in [{string.Join(' ', t.Policies(Direction.Ingress))}] out [{string.Join(' ', t.Policies(Direction.Egress))}]"));

    private static string Text(ImmutableArray<CompiledRule> rules) => string.Join(", ", rules.Select(r =>
        $"{r.Action} {r.Protocol} {Text(r.Source)} -> {Text(r.Destination)}"));

    private static string Text(EntityMatch entity) => string.Join('|', [
        .. entity.Nets.Select(n => $"{n}"), .. entity.NotNets.Select(n => $"!{n}"), .. entity.Ports.Select(p => $"{p}"),
        .. entity.NotPorts.Select(p => $"!{p}"), .. entity.AllSets, $"{entity.NotSets.Length}{entity.NotNamedPorts.Length}",
    ]);

    private static void Append(StringBuilder text, FakeNftTable table)
    {
        var dump = table.Dump();
        foreach (var chain in dump.Chains.OrderBy(c => c.Chain.Name, StringComparer.Ordinal))
        {
            text.Append($"{table.Table} chain {chain.Chain.Name} {chain.Chain.Base}\n");
            foreach (var rule in table.RulesOf(chain.Chain.Name))
                text.Append($"    {NftText.Render(rule)} # {rule.Cause.Resource}\n");
        }
        foreach (var set in dump.Sets.OrderBy(s => s.Set.Name, StringComparer.Ordinal))
        {
            text.Append($"{table.Table} set {set.Set.Name}: ");
            text.AppendJoin(' ', set.Elements.ToArray().Order());
            text.AppendJoin(' ', set.Entries.ToArray().OrderBy(e => e.Key).Select(e => $"{e.Key}={e.Verdict}"));
            text.Append('\n');
        }
    }

    private void Snapshot(string setId)
    {
        _sent[setId] = ++_revision;
        Graph.ReplaceSet(setId, _revision, _index.Members(setId));
    }

    private void Hold(ImmutableArray<SetDefinition> now, ImmutableArray<SetDefinition> before)
    {
        foreach (var set in now)
            _index.AddSet(set);
        foreach (var set in before)
        {
            _index.RemoveSet(set.Id);
            if (!_index.HasSet(set.Id))
                _sent.Remove(set.Id);
        }
    }

    private GraphChanges Flush()
    {
        var changes = Graph.Flush();
        Follow(changes);
        _renderer.Apply(changes);
        foreach (var table in _renderer.Flush())
        {
            var delta = _deltas[table.Table];
            table.ApplyTo(delta);
            var plan = delta.Plan();
            if (!plan.IsEmpty)
                delta.Committed(_tables[table.Table].Commit(plan));
        }
        return changes;
    }

    private void Follow(GraphChanges changes)
    {
        foreach (var set in changes.SetsAdded)
            Assert.True(_sets.TryAdd(set.Definition.Id, [.. set.Members]));
        foreach (var delta in changes.SetsChanged)
        {
            Assert.All(delta.Removed, m => Assert.True(_sets[delta.SetId].Remove(m)));
            Assert.All(delta.Added, m => Assert.True(_sets[delta.SetId].Add(m)));
        }
        Assert.All(changes.SetsRemoved, s => Assert.True(_sets.Remove(s)));
        foreach (var policy in changes.PoliciesChanged)
            _activePolicies[policy.Compiled.Key.Id] = policy;
        Assert.All(changes.PoliciesRemoved, p => Assert.True(_activePolicies.Remove(p.Id)));
        foreach (var profile in changes.ProfilesChanged)
            _activeProfiles[profile.Name] = profile;
        Assert.All(changes.ProfilesRemoved, p => Assert.True(_activeProfiles.Remove(p)));
        foreach (var endpoint in changes.EndpointsChanged)
            _endpoints[endpoint.Endpoint.Id] = endpoint;
        Assert.All(changes.EndpointsRemoved, e => Assert.True(_endpoints.Remove(e.Endpoint.Id)));
    }
}

using System.Collections.Immutable;
using Calico.Core.Net;
using Calico.Core.Nft;
using Calico.Core.Policy.Graph;
using Calico.Core.Policy.Index;

namespace Calico.Core.Policy.Render;

/// <summary>Address sets that configuration and the cluster fill, not policy.</summary>
public enum AddressSet : byte
{
    /// <summary>Addresses of all hosts (<c>all-hosts-net</c>).</summary>
    AllHosts = 0,

    /// <summary>Whom VXLAN packets are taken from (<c>all-vxlan-net</c>).</summary>
    VxlanSources = 1,

    /// <summary>Pools with natOutgoing (<c>masq-ipam-pools</c>).</summary>
    MasqueradePools = 2,

    /// <summary>All pools (<c>network-ip-pools</c>).</summary>
    AllPools = 3,

    /// <summary>Addresses of this host (<c>this-host</c>).</summary>
    ThisHost = 4,
}

/// <summary>
/// Turns what the graph wants into what the tables <c>ip calico</c>, <c>ip6 calico</c> and <c>arp calico-arp</c> should
/// hold, and says only what changes:
///
///   GraphChanges ----> chains of endpoints, groups, policies, profiles --\
///   options ---------> top-level chains                                   +--> TableState --> TableChanges
///   pools, hosts ----> address sets                                      --/   (per table)
///
/// A new workload's chains and dispatch entries come in one transaction, so that they are there before its interface
/// is up; an interface without an entry meets the dispatch chains' drop. Pure and single-threaded.
/// </summary>
public sealed class PolicyRenderer
{
    private static readonly NftTable Arp = new(NftFamily.Arp, ChainNames.ArpTable);

    private readonly Dictionary<IpVersion, TableState> _tables = new()
    {
        [IpVersion.V4] = new TableState(new NftTable(NftFamily.Ip, ChainNames.Table)),
        [IpVersion.V6] = new TableState(new NftTable(NftFamily.Ip6, ChainNames.Table)),
    };

    private readonly TableState _arp = new(Arp);
    private readonly Dictionary<AddressSet, ImmutableArray<Cidr>> _addresses = [];
    private readonly Dictionary<PolicyKey, ActivePolicy> _policies = [];
    private readonly Dictionary<string, ActiveProfile> _profiles = [];

    // By interface, then id: where two endpoints claim an interface, the first id has it.
    private readonly Dictionary<string, SortedDictionary<string, EndpointPolicies>> _workloads = [];
    private readonly Dictionary<string, SortedDictionary<string, EndpointPolicies>> _hosts = [];
    private readonly Dictionary<string, LocalEndpoint> _endpoints = [];
    private readonly HashSet<string> _hostChains = [];
    private RenderOptions _options = new();
    private bool _replaceGroups;

    public PolicyRenderer(RenderOptions options)
    {
        foreach (var set in Enum.GetValues<AddressSet>())
            SetAddresses(set, []);
        foreach (var table in _tables.Values)
        {
            table.PutMap(NftSet.OfInterfaceVerdicts(Map(StaticChains.FromWorkloadDispatch)));
            table.PutMap(NftSet.OfInterfaceVerdicts(Map(StaticChains.ToWorkloadDispatch)));
        }
        _arp.PutMap(NftSet.OfInterfaceVerdicts(Map(ArpDispatch)));
        SetOptions(options);
    }

    private const string ArpDispatch = "cali-arp-dispatch";

    /// <summary>Replaces the options and renders everything anew; unchanged objects are not reported.</summary>
    public void SetOptions(RenderOptions options)
    {
        _options = options;
        _replaceGroups = true;
        foreach (var (family, table) in _tables)
        {
            foreach (var chain in new StaticChains(options, family).Render())
                table.Put(chain);
        }
        RenderArp();
        foreach (var policy in _policies.Values)
            Render(policy);
        foreach (var profile in _profiles.Values)
            Render(profile);
        foreach (var name in _workloads.Keys)
            RenderWorkload(name);
        RenderHosts();
        RenderNat();
        _replaceGroups = false;
    }

    /// <summary>Replaces the members of one of the address sets.</summary>
    public void SetAddresses(AddressSet set, IEnumerable<Cidr> networks)
    {
        var (id, type) = set switch
        {
            AddressSet.AllHosts => ("all-hosts-net", true),
            AddressSet.VxlanSources => ("all-vxlan-net", true),
            AddressSet.MasqueradePools => ("masq-ipam-pools", true),
            AddressSet.AllPools => ("network-ip-pools", true),
            _ => ("this-host", false),
        };
        _addresses[set] = [.. networks];
        foreach (var (family, table) in _tables)
        {
            var name = ChainNames.Set(id, family);
            // Interval sets refuse overlaps; the published members of a counted set have none.
            var counted = new CountedMembers(static (_, _) => { });
            foreach (var net in _addresses[set].Where(n => n.Version == family).SelectMany(Halves))
                counted.Add(SetMember.Of(net));
            table.PutSet(type ? NftSet.OfNetworks(name, family) : NftSet.OfAddresses(name, family),
                counted.Published.Select(m => type ? NftElement.Of(m.Net) : NftElement.Of(m.Net.Address)));
        }
    }

    /// <summary>Takes over what the graph changed.</summary>
    public void Apply(GraphChanges changes)
    {
        foreach (var set in changes.SetsAdded)
            AddSet(set);
        foreach (var delta in changes.SetsChanged)
            ChangeSet(delta);
        foreach (var policy in changes.PoliciesChanged)
            Render(_policies[policy.Compiled.Key] = policy);
        foreach (var profile in changes.ProfilesChanged)
            Render(_profiles[profile.Name] = profile);
        ApplyEndpoints(changes);
        foreach (var key in changes.PoliciesRemoved)
            RemovePolicy(key);
        foreach (var name in changes.ProfilesRemoved)
            RemoveProfile(name);
        foreach (var set in changes.SetsRemoved)
        {
            foreach (var (family, table) in _tables)
                table.RemoveSet(ChainNames.Set(set, family));
        }
    }

    /// <summary>What the tables are to change since the last call; tables without a change are left out.</summary>
    public ImmutableArray<TableChanges> Flush() =>
        [.. _tables.Values.Append(_arp).Select(t => t.Flush()).Where(c => !c.IsEmpty)];

    private void AddSet(ActiveSet set)
    {
        foreach (var (family, table) in _tables)
        {
            var name = ChainNames.Set(set.Definition.Id, family);
            table.PutSet(
                set.Definition.HasPorts ? NftSet.OfAddressPorts(name, family) : NftSet.OfNetworks(name, family),
                set.Members.Where(m => m.Version == family).Select(Element));
        }
    }

    private void ChangeSet(SetDelta delta)
    {
        foreach (var (family, table) in _tables)
        {
            table.ChangeSet(ChainNames.Set(delta.SetId, family),
                delta.Added.Where(m => m.Version == family).Select(Element),
                delta.Removed.Where(m => m.Version == family).Select(Element));
        }
    }

    private void Render(ActivePolicy policy)
    {
        var compiled = policy.Compiled;
        var key = compiled.Key;
        var cause = EndpointChains.CauseOf(key) with { Revision = Revision(compiled.Revision) };
        var full = key.Namespace.Length == 0 ? key.Name : $"{key.Namespace}/{key.Name}";
        var log = RuleRenderer.LogPrefix(_options.LogPrefix, compiled.Tier, key.ShortKind, key.Name, full);
        RenderRules(direction => ChainNames.Policy(key, direction), policy.Rules, cause, log);
    }

    private void Render(ActiveProfile profile)
    {
        var cause = new Cause($"Profile/{profile.Name}", Revision(profile.Revision));
        var log = RuleRenderer.LogPrefix(_options.LogPrefix, "", "pro", profile.Name, profile.Name);
        RenderRules(direction => ChainNames.Profile(profile.Name, direction), profile.Rules, cause, log);
    }

    private static string Revision(long revision) =>
        revision == 0 ? "" : revision.ToString(System.Globalization.CultureInfo.InvariantCulture);

    // Offered in every layer: only what an endpoint chain of the layer jumps to is rendered.
    private void RenderRules(Func<Direction, string> name, Func<Direction, ImmutableArray<CompiledRule>> rules,
        Cause cause, string logPrefix)
    {
        foreach (var (family, table) in _tables)
        {
            var renderer = new RuleRenderer(_options, family);
            foreach (var direction in Directions)
            {
                foreach (var layer in PolicyLayers)
                {
                    table.Put(ChainNames.In(layer, name(direction)),
                        () => renderer.Render(rules(direction), cause, logPrefix));
                }
            }
        }
    }

    private static readonly Direction[] Directions = [Direction.Ingress, Direction.Egress];
    private static readonly string[] PolicyLayers = [Layer.Filter, Layer.Mangle, Layer.Raw];

    private void RemovePolicy(PolicyKey key)
    {
        _policies.Remove(key);
        RemoveRules(direction => ChainNames.Policy(key, direction));
    }

    private void RemoveProfile(string name)
    {
        _profiles.Remove(name);
        RemoveRules(direction => ChainNames.Profile(name, direction));
    }

    private void RemoveRules(Func<Direction, string> name)
    {
        foreach (var table in _tables.Values)
        {
            foreach (var direction in Directions)
            {
                foreach (var layer in PolicyLayers)
                    table.Remove(ChainNames.In(layer, name(direction)));
            }
        }
    }

    private void ApplyEndpoints(GraphChanges changes)
    {
        var touched = new List<LocalEndpoint>();
        foreach (var endpoint in changes.EndpointsRemoved)
            Remove(endpoint.Endpoint.Id, touched);
        foreach (var policies in changes.EndpointsChanged)
        {
            var endpoint = policies.Endpoint;
            if (_endpoints.TryGetValue(endpoint.Id, out var before)
                && (before.InterfaceName != endpoint.InterfaceName || before.IsHost != endpoint.IsHost))
                Remove(endpoint.Id, touched);
            else if (before is not null)
                touched.Add(before);
            if (!IsInterface(endpoint))
                continue;
            var byInterface = endpoint.IsHost ? _hosts : _workloads;
            if (!byInterface.TryGetValue(endpoint.InterfaceName, out var claims))
                byInterface[endpoint.InterfaceName] = claims = new(StringComparer.Ordinal);
            claims[endpoint.Id] = policies;
            _endpoints[endpoint.Id] = endpoint;
            touched.Add(endpoint);
        }
        foreach (var name in touched.Where(e => !e.IsHost).Select(e => e.InterfaceName).Distinct())
            RenderWorkload(name);
        if (touched.Any(e => e.IsHost))
            RenderHosts();
        if (touched.Any(e => !e.FloatingIps.IsEmpty || !e.AllowedSources.IsEmpty))
            RenderNat();
    }

    // A name that is none would match too much (wildcards) or nothing; without rules the dispatch drops.
    private static bool IsInterface(LocalEndpoint endpoint) => endpoint is { IsHost: true, InterfaceName: "*" }
        || (endpoint.InterfaceName.Length is > 0 and <= 15
            && endpoint.InterfaceName.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '.' or '-'));

    private void Remove(string id, List<LocalEndpoint> touched)
    {
        if (!_endpoints.Remove(id, out var endpoint))
            return;
        touched.Add(endpoint);
        var byInterface = endpoint.IsHost ? _hosts : _workloads;
        var claims = byInterface[endpoint.InterfaceName];
        claims.Remove(id);
        if (claims.Count == 0)
            byInterface.Remove(endpoint.InterfaceName);
    }

    private void RenderWorkload(string interfaceName)
    {
        var to = ChainNames.In(Layer.Filter, ChainNames.ToWorkload(interfaceName));
        var from = ChainNames.In(Layer.Filter, ChainNames.FromWorkload(interfaceName));
        var arp = ChainNames.In(Layer.Filter, ChainNames.Arp(interfaceName));
        if (!_workloads.TryGetValue(interfaceName, out var claims))
        {
            foreach (var table in _tables.Values)
            {
                table.RemoveEntry(Map(StaticChains.FromWorkloadDispatch), interfaceName);
                table.RemoveEntry(Map(StaticChains.ToWorkloadDispatch), interfaceName);
                table.Remove(to);
                table.Remove(from);
            }
            _arp.RemoveEntry(Map(ArpDispatch), interfaceName);
            _arp.Remove(arp);
            return;
        }
        var policies = claims.First().Value;
        var chains = new EndpointChains(_options);
        foreach (var table in _tables.Values)
        {
            Groups(table, Layer.Filter, policies.Normal, chains);
            table.Put(to, () => chains.Render(new EndpointChains.Request(policies, Direction.Ingress,
                PolicyStage.Normal, Layer.Filter, null, _options.FilterAllow, FromWorkload: false)));
            table.Put(from, () => chains.Render(new EndpointChains.Request(policies, Direction.Egress,
                PolicyStage.Normal, Layer.Filter, null, _options.FilterAllow, FromWorkload: true)));
            table.PutEntry(Map(StaticChains.FromWorkloadDispatch), interfaceName, NftVerdict.Goto(from));
            table.PutEntry(Map(StaticChains.ToWorkloadDispatch), interfaceName, NftVerdict.Goto(to));
        }
        RenderArp(policies.Endpoint, arp);
    }

    // The host answers ARP for every address, also for the pod's own when the pod checks for duplicates: not that one.
    private void RenderArp(LocalEndpoint endpoint, string chain)
    {
        var addresses = endpoint.Addresses.Where(a => a.IsV4).ToList();
        if (addresses.Count == 0)
        {
            _arp.RemoveEntry(Map(ArpDispatch), endpoint.InterfaceName);
            _arp.Remove(chain);
            return;
        }
        var cause = EndpointChains.CauseOf(endpoint);
        _arp.Put(chain, () => [.. addresses.Select(a => new NftRule(cause, Terms.OutInterface(endpoint.InterfaceName),
            new NftMatch.ArpOperation(2), new NftMatch.ArpSender(a), Terms.Counter, Terms.Drop))]);
        _arp.PutEntry(Map(ArpDispatch), endpoint.InterfaceName, NftVerdict.Goto(chain));
    }

    private void RenderArp()
    {
        var dispatch = Map(ArpDispatch);
        _arp.Put(new RenderedChain(ChainNames.In(Layer.Filter, "OUTPUT"),
            [new NftRule(StaticChains.Cause, Terms.Counter, Terms.Jump(dispatch))],
            new NftBaseHook(NftChainType.Filter, NftHook.Output, 0)));
        _arp.Put(new RenderedChain(dispatch,
            [new NftRule(StaticChains.Cause, new NftStatement.VerdictMap(NftField.OutInterface, dispatch))]));
    }

    private void RenderHosts()
    {
        var hosts = _hosts.ToDictionary(h => h.Key, h => h.Value.First().Value);
        var chains = new EndpointChains(_options);
        foreach (var table in _tables.Values)
        {
            var rendered = new HostChains(_options, chains).Render(hosts).ToList();
            foreach (var (layer, policies, stage) in hosts.Values.SelectMany(HostChains.Stages))
                Groups(table, layer, policies.Tiers(stage), chains);
            foreach (var stale in _hostChains.Except(rendered.Select(c => c.Name)))
                table.Remove(stale);
            foreach (var chain in rendered)
                table.Put(chain);
            if (ReferenceEquals(table, _tables[IpVersion.V6]))
            {
                _hostChains.Clear();
                _hostChains.UnionWith(rendered.Select(c => c.Name));
            }
        }
    }

    private void RenderNat()
    {
        var endpoints = _workloads.Values.Select(c => c.First().Value.Endpoint)
            .OrderBy(e => e.InterfaceName, StringComparer.Ordinal).ToList();
        foreach (var (family, table) in _tables)
            AddressChains.Render(table, family, endpoints);
    }

    private void Groups(TableState table, string layer, ImmutableArray<EndpointTier> tiers, EndpointChains chains)
    {
        foreach (var group in tiers.SelectMany(t => t.Ingress.Concat(t.Egress)).Where(EndpointChains.HasChain))
            table.PutShared(ChainNames.In(layer, ChainNames.Group(group)), () => chains.Render(group, layer), _replaceGroups);
    }

    private static IEnumerable<Cidr> Halves(Cidr net) =>
        net.PrefixLength != 0 ? [net] : [new Cidr(net.First, 1), new Cidr(net.Last, 1)];

    private static NftElement Element(SetMember member) =>
        member.HasPort ? NftElement.Of(member.Net.Address, member.Protocol, member.Port) : NftElement.Of(member.Net);

    private static string Map(string name) => ChainNames.In(Layer.Filter, name);
}

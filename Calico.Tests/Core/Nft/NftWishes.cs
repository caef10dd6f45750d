using Calico.Core.Net;
using Calico.Core.Nft;
using Calico.Kernel.Nft;

namespace Calico.Tests.Core.Nft;

/// <summary>
/// The wished state, naively: dictionaries that are compared with the kernel. References always resolve.
/// </summary>
internal sealed class NftWishes
{
    private static readonly NftSet Hosts = NftSet.OfAddresses("hosts", IpVersion.V4);
    private static readonly NftSet Nets = NftSet.OfNetworks("nets", IpVersion.V4);
    private static readonly NftSet Map = NftSet.OfInterfaceVerdicts("map");
    private readonly SortedDictionary<string, NftRule[]> _chains = [];
    private readonly HashSet<NftElement> _hosts = [];
    private readonly HashSet<NftElement> _nets = [];
    private readonly Dictionary<NftElement, NftVerdict> _map = [];
    private bool _sets;
    private bool _hostsAreNets;

    public void Step(NftDelta delta, int kind, int name, int value)
    {
        switch (kind)
        {
            case 0 or 1 or 2:
                // Chains refer to chains with a greater number only, and to the sets when they are there.
                _chains[$"c{name}"] = [.. NftDeltaTests.Rules(new string([.. Enumerable.Range(0,
                    value % 7).Select(i => (char)('a' + (value * i % 9)))])),
                    .. Enumerable.Range(name + 1, 5 - name).Where(n => _chains.ContainsKey($"c{n}")
                        && (value >> n & 1) == 1)
                        .Select(n => new NftRule(Cause.None, new NftStatement.Verdict(NftVerdict.Jump($"c{n}")))),
                    .. _sets ? Users() : []];
                delta.SetChain($"c{name}", _chains[$"c{name}"]);
                break;
            case 3 when _chains.ContainsKey($"c{name}"):
                Forget(delta, $"c{name}");
                break;
            case 4 when !_sets:
                _sets = true;
                _hostsAreNets = value % 2 == 0;
                Define(delta);
                break;
            case 5 when _sets:
                _sets = false;
                foreach (var chain in _chains.Keys.ToList())
                {
                    _chains[chain] = [.. _chains[chain].Where(r => !r.ReferencedSets.Any())];
                    delta.SetChain(chain, _chains[chain]);
                }
                foreach (var set in new[] { "hosts", "nets", "map" })
                    delta.RemoveSet(set);
                _hosts.Clear();
                _nets.Clear();
                _map.Clear();
                break;
            case 6 or 7 when _sets:
                var host = NftElement.Of(IpAddr.FromV4((uint)value));
                if (kind == 6 ? _hosts.Add(host) : !_hosts.Remove(host))
                    delta.AddElements("hosts", kind == 6 ? [host] : []);
                else if (kind == 7)
                    delta.RemoveElements("hosts", host);
                break;
            case 8 when _sets:
                var net = NftElement.Of(new Cidr(IpAddr.FromV4((uint)value << 27), name).Network);
                if (_nets.Add(net))
                {
                    delta.AddElements("nets", net);
                }
                else
                {
                    _nets.Remove(net);
                    delta.RemoveElements("nets", net);
                }
                break;
            case 9 when _sets && _chains.Count > 0:
                var key = NftElement.OfInterface($"cali{name}");
                if (value % 3 == 0 && _map.Remove(key))
                {
                    delta.MapRemove("map", key);
                }
                else
                {
                    _map[key] = NftVerdict.Goto(_chains.Keys.ElementAt(value % _chains.Count));
                    delta.MapSet("map", key, _map[key]);
                }
                break;
        }
    }

    public void Replay(NftDelta delta)
    {
        if (_sets)
        {
            Define(delta);
            delta.AddElements("hosts", _hosts.ToArray());
            delta.AddElements("nets", _nets.ToArray());
            foreach (var (key, verdict) in _map)
                delta.MapSet("map", key, verdict);
        }
        foreach (var (name, rules) in _chains)
            delta.SetChain(name, rules);
    }

    public void AssertIn(FakeNftTable kernel)
    {
        Assert.Equal(_chains.Keys, kernel.Chains.Select(c => c.Name).Order(StringComparer.Ordinal));
        foreach (var (name, rules) in _chains)
            Assert.Equal(rules, kernel.RulesOf(name));
        Assert.Equal(_sets ? 3 : 0, kernel.Dump().Sets.Length);
        if (!_sets)
            return;
        Assert.Equal(_hosts.Order(), kernel.SetOf("hosts").Elements.Order());
        Assert.Equal(_nets.Where(n => !_nets.Any(o => o != n && o.Network.Contains(n.Network))).Order(),
            kernel.SetOf("nets").Elements.Order());
        Assert.Equal(_map.OrderBy(m => m.Key), kernel.SetOf("map").Verdicts.OrderBy(m => m.Key));
    }

    private void Define(NftDelta delta)
    {
        delta.SetDefinition(_hostsAreNets ? Hosts with { MaxSize = 500 } : Hosts);
        delta.SetDefinition(Nets);
        delta.SetDefinition(Map);
    }

    private static NftRule[] Users() =>
    [
        new(Cause.None, new NftMatch.InSet("hosts", NftField.SourceAddress), new NftStatement.Counter()),
        new(Cause.None, new NftStatement.VerdictMap(NftField.InInterface, "map")),
    ];

    // A map that leads to a chain whose rules use the map would be a loop, so entries go with their chain.
    private void Forget(NftDelta delta, string chain)
    {
        foreach (var user in _chains.Keys.ToList())
        {
            if (_chains[user].Any(r => r.ReferencedChains.Contains(chain)))
            {
                _chains[user] = [.. _chains[user].Where(r => !r.ReferencedChains.Contains(chain))];
                delta.SetChain(user, _chains[user]);
            }
        }
        foreach (var key in _map.Where(m => m.Value.Chain == chain).Select(m => m.Key).ToList())
        {
            _map.Remove(key);
            delta.MapRemove("map", key);
        }
        _chains.Remove(chain);
        delta.RemoveChain(chain);
    }
}

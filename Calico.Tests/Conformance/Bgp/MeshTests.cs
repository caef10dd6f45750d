using Akka.Actor;
using Calico.Actors.Bgp;
using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;
using Calico.Tests.Actors.Bgp;
using Xunit.Abstractions;

namespace Calico.Tests.Conformance.Bgp;

/// <summary>
/// Whole clusters of speakers in one process, each on a loopback address of its own with real sockets, and with two blocks
/// that it announces: a full mesh of forty, and ten nodes behind two reflectors.
/// </summary>
[Layer("conformance")]
public sealed class MeshTests(ITestOutputHelper output) : SpeakerFixture(output, "INFO")
{
    private const int MeshSize = 40;

    // Nodes behind the reflectors 1 and 2.
    private static readonly int[] Clients = [.. Enumerable.Range(3, 10)];

    private readonly SortedDictionary<int, Speaker> _speakers = [];

    [Fact]
    public async Task Forty_nodes_in_a_full_mesh_know_all_blocks_lose_those_of_a_dead_one_and_have_them_again()
    {
        var all = Enumerable.Range(1, MeshSize).ToArray();
        foreach (var host in all)
            Begin(host, MeshOf(host, all));
        await AllAsync(all, async s => (await s.Status()).Peers.Count(p => p.Phase == SessionPhase.Established) == MeshSize - 1, "is established with all others");
        await AllHaveAsync(all, all);

        const int dead = 17;
        int[] living = [.. all.Where(h => h != dead)];
        await _speakers[dead].Actor.GracefulStop(TimeSpan.FromSeconds(10));
        await AllHaveAsync(living, living);
        foreach (var host in living)
        {
            Assert.Equal(2, await _speakers[host].Losses());
            Assert.Equal(MeshSize - 2, (await _speakers[host].Status()).Peers.Count(p => p is { Phase: SessionPhase.Established, Counters.Established: 1 }));
        }

        Begin(dead, MeshOf(dead, all));
        await AllHaveAsync(all, all);
        Assert.All(await Task.WhenAll(living.Select(h => _speakers[h].Losses())), losses => Assert.Equal(2, losses));
    }

    [Fact]
    public async Task Ten_nodes_behind_two_reflectors_of_a_cluster_hear_of_each_block_once_from_each_and_lose_nothing_with_one()
    {
        int[] reflectors = [1, 2], all = [.. reflectors, .. Clients];
        foreach (var host in reflectors)
            Begin(host, [.. all.Where(h => h != host).Select(h => PeerOf(host, h) with { ReflectorClient = Clients.Contains(h) })], RouterId.Parse("10.0.0.99"));
        foreach (var host in Clients)
            Begin(host, [.. reflectors.Select(r => PeerOf(host, r))]);
        await AllHaveAsync(all, all);

        // A reflector has each client's blocks from the client alone: what the other one reflects went through its own cluster.
        foreach (var host in reflectors)
        {
            foreach (var peer in (await _speakers[host].Status()).Peers)
                Assert.Equal((peer.Name, 2), (peer.Name, peer.Counters.Received));
        }
        // A client has every other block once from each reflector, and its own from nobody.
        foreach (var host in Clients)
        {
            await Eventually(async () => (await _speakers[host].Status()).Peers.All(p => p.Counters.Received == 2 * (all.Length - 1)), $"{host} has heard of all blocks but its own from both");
            var heard = (await _speakers[host].Table(new RibQuery(Families.Ipv4Unicast))).Routes.Where(r => !r.Source.IsLocal).ToLookup(r => r.Prefix, r => r.Source.Address);
            Assert.All(BlocksOf(host), block => Assert.Empty(heard[block]));
            Assert.All(all.Where(o => o != host).SelectMany(BlocksOf), block => Assert.Equal([Address(1), Address(2)], heard[block].Order()));
        }

        await _speakers[1].Actor.GracefulStop(TimeSpan.FromSeconds(10));
        int[] left = [2, .. Clients];
        await AllAsync(Clients, async s => (await s.Status()).Peers.Single(p => p.Address == Address(1)) is { Phase: not SessionPhase.Established, Counters.Received: 0 }, "has nothing of the dead reflector");
        await AllHaveAsync(left, left);
        // The reflector's own two blocks, and none else at any time.
        Assert.All(await Task.WhenAll(left.Select(h => _speakers[h].Losses())), losses => Assert.Equal(2, losses));
    }

    private void Begin(int host, PeerConfig[] peers, RouterId? clusterId = null)
    {
        var speaker = _speakers[host] = Start(Config(host, peers) with { ClusterId = clusterId });
        speaker.Originate([.. BlocksOf(host).Select(b => b.ToString())]);
    }

    private PeerConfig[] MeshOf(int host, int[] all) => [.. all.Where(h => h != host).Select(h => PeerOf(host, h))];

    // Dead speakers are not kept for long.
    private PeerConfig PeerOf(int own, int peer) => Peer(own, peer) with { RestartTime = TimeSpan.FromSeconds(2) };

    private static Cidr[] BlocksOf(int host) => [Cidr.Parse($"10.65.{host}.0/26"), Cidr.Parse($"10.65.{host}.64/26")];

    // Each of these has the blocks of all those, by their own addresses, and nothing else.
    private Task AllHaveAsync(int[] hosts, int[] others)
    {
        var blocks = others.SelectMany(o => BlocksOf(o).Select(b => (Block: b, Owner: o))).ToDictionary(b => b.Block, b => b.Owner);
        return AllAsync(hosts, async s =>
        {
            var routes = await s.Routes();
            return routes.Count == blocks.Count - 2
                && routes.All(r => blocks.TryGetValue(r.Key, out var owner) && r.Value.NextHops.Select(n => n.NextHop).Distinct().SequenceEqual([Address(owner)]));
        }, "has every block by its node's address");
    }

    private async Task AllAsync(int[] hosts, Func<Speaker, Task<bool>> condition, string what)
    {
        var missing = hosts.ToList();
        for (var i = 0; i < 600; i++)
        {
            foreach (var host in missing.ToList())
            {
                if (await condition(_speakers[host]))
                    missing.Remove(host);
            }
            if (missing.Count == 0)
                return;
            await Task.Delay(100);
        }
        Assert.Fail($"never: {string.Join(", ", missing)} {what}");
    }
}

using System.Collections.Immutable;
using System.Text;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Xunit.Abstractions;

namespace Calico.Tests.Cluster;

[Layer("cluster")]
[Collection("cluster")]
public class FeedTests(ITestOutputHelper output)
{
    private static readonly string Before = new ResourceKey(ResourceKind.GlobalNetworkSet, null, "before").Path;
    private static readonly string After = new ResourceKey(ResourceKind.GlobalNetworkSet, null, "after").Path;

    [Fact]
    public async Task One_member_watches_the_datastore_and_when_it_is_killed_another()
    {
        await using var bed = new MeshBed(output);
        var peers = (await bed.ThreeAsync()).ToArray();
        await bed.PutAsync(Before, Set("before"));
        var watcher = await bed.WatcherAsync(peers);
        await bed.UntilAsync(() => peers.All(p => p.Half.Resource(Before) is not null), "every node knows what was written before");

        await watcher.KillAsync();
        var survivors = peers.Where(p => p != watcher).ToArray();
        await bed.WatcherAsync(survivors);
        var revision = await bed.PutAsync(After, Set("after"));

        await bed.UntilAsync(() => survivors.All(p => p.Half.Resource(After)?.Revision == revision), "the survivors' nodes know what was written after");
        Assert.All(survivors, p => Assert.NotNull(p.Half.Resource(Before)));
        await bed.WatcherAsync(survivors);
    }

    [Fact]
    public async Task What_was_deleted_while_nobody_watched_is_gone_on_every_node()
    {
        await using var bed = new MeshBed(output);
        var peers = (await bed.ThreeAsync()).ToArray();
        await bed.PutAsync(Before, Set("before"));
        await bed.UntilAsync(() => peers.All(p => p.Half.Resource(Before) is not null), "every node knows it");
        var watcher = await bed.WatcherAsync(peers);
        var survivors = peers.Where(p => p != watcher).ToArray();

        await watcher.KillAsync();
        await bed.DeleteAsync(Before);

        await bed.UntilAsync(() => survivors.All(p => p.Half.Resource(Before) is null), "the survivors' nodes know that it is gone");
    }

    [Fact]
    public async Task A_node_that_is_gone_loses_its_blocks_also_when_nothing_changed_since_the_watcher_was_killed()
    {
        await using var bed = new MeshBed(output);
        ImmutableArray<string> ofLost = [.. await LoseANodeAsync(bed)];
        var peers = (await bed.ThreeAsync(o => o with { NodeGoneAfter = TimeSpan.FromSeconds(1) })).ToArray();
        var watcher = await bed.WatcherAsync(peers);

        await watcher.KillAsync();
        var survivors = peers.Where(p => p != watcher).ToArray();
        await bed.WatcherAsync(survivors);
        Assert.All(ofLost, k => Assert.Contains(k, bed.Datastore.Keys));
        bed.Probe.Answer = false;

        await bed.UntilAsync(() => !ofLost.Any(bed.Datastore.Keys.Contains), "blocks, handles and endpoints of the lost node are gone");
    }

    private static byte[] Set(string name) => Encoding.UTF8.GetBytes(
        $$"""{"kind":"GlobalNetworkSet","apiVersion":"projectcalico.org/v3","metadata":{"name":"{{name}}"},"spec":{"nets":["10.1.0.0/16"]} }""");

    /// <summary>A node with a pod in a block of its own, whose agent never was a member here. Tells the keys that must go.</summary>
    private static async Task<string[]> LoseANodeAsync(MeshBed bed)
    {
        const string Node = "lost", Handle = "k8s-pod-network.1";
        var cidr = Cidr.Parse("10.65.3.0/26");
        var block = IpamBlock.Create(cidr, "host:" + Node, TimeProvider.System.GetUtcNow());
        var address = block.AutoAssign(new AllocationAttributes(Handle, new Dictionary<string, string> { ["node"] = Node }));
        var endpoint = new ResourceKey(ResourceKind.WorkloadEndpoint, "web", $"{Node}-k8s-front-eth0").Path;
        await bed.PutAsync(new ResourceKey(ResourceKind.Node, null, Node).Path, Encoding.UTF8.GetBytes(
            """{"kind":"Node","apiVersion":"projectcalico.org/v3","metadata":{"name":"lost"},"spec":{"bgp":{"ipv4Address":"10.9.9.9/24"} } }"""));
        await bed.PutAsync(IpamKeys.Block(cidr), IpamJson.WriteBlock(block));
        await bed.PutAsync(IpamKeys.Affinity(Node, cidr), IpamJson.WriteAffinity("confirmed"));
        await bed.PutAsync(IpamKeys.Handle(Handle), IpamJson.WriteHandle(new Dictionary<string, int> { [cidr.ToString()] = 1 }));
        await bed.PutAsync(endpoint, Encoding.UTF8.GetBytes(
            $$"""
            {"kind":"WorkloadEndpoint","apiVersion":"projectcalico.org/v3","metadata":{"name":"{{Node}}-k8s-front-eth0","namespace":"web"},
             "spec":{"orchestrator":"k8s","node":"{{Node}}","pod":"front","endpoint":"eth0","interfaceName":"cali0","ipNetworks":["{{address}}/32"]} }
            """));
        return [IpamKeys.Block(cidr), IpamKeys.Affinity(Node, cidr), IpamKeys.Handle(Handle), endpoint];
    }
}

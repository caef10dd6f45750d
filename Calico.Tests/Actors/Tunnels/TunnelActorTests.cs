using System.Collections.Immutable;
using System.Text;
using Akka.Actor;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Actors.Tunnels;
using Calico.Core.Feed;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Tests.Actors.Ipam;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Tunnels;

[Layer("actor")]
public class TunnelActorTests(ITestOutputHelper output) : LeaseFixture(output)
{
    private const string Root = "/calico/resources/v3/projectcalico.org/";
    private const string NodeKey = Root + "nodes/node1";

    [Fact]
    public async Task A_pool_that_asks_for_a_tunnel_gets_the_node_an_address_that_its_resource_names()
    {
        await RegisterAsync();
        await RunAsync(Start(), PoolItem("ipip", "10.65.0.0/25", "\"ipipMode\":\"CrossSubnet\""));

        var address = (await NodeAsync()).Spec.Bgp!.Ipv4IPIPTunnelAddr!;
        Assert.Equal("192.0.2.11/24", (await NodeAsync()).Spec.Bgp!.Ipv4Address);
        var owner = await OwnerAsync(address);
        Assert.Equal(("ipip-tunnel-addr-node1", "node1", "ipipTunnelAddress"), (owner!.HandleId, owner["node"], owner["type"]));
        Assert.Equal(IpamKeys.Handle("ipip-tunnel-addr-node1"), Assert.Single(Handles));
    }

    [Fact]
    public async Task Each_kind_of_tunnel_has_its_own_address_of_its_family()
    {
        await RegisterAsync(status: "\"wireguardPublicKey\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"");
        await RunAsync(Start(), PoolItem("four", "10.65.0.0/25", "\"vxlanMode\":\"Always\""), PoolItem("six", "fd00:65::/121", "\"vxlanMode\":\"Always\""));

        var node = await NodeAsync();
        Assert.Equal(["vxlan-tunnel-addr-node1", "vxlan-v6-tunnel-addr-node1", "wireguard-tunnel-addr-node1"], Handles.Select(h => h[IpamKeys.HandlePrefix.Length..]).Order());
        Assert.Equal("vxlanTunnelAddress", (await OwnerAsync(node.Spec.Ipv4VXLANTunnelAddr!))!["type"]);
        Assert.Equal("vxlanV6TunnelAddress", (await OwnerAsync(node.Spec.Ipv6VXLANTunnelAddr!))!["type"]);
        Assert.Equal("wireguardTunnelAddress", (await OwnerAsync(node.Spec.Wireguard!.InterfaceIPv4Address!))!["type"]);
    }

    [Theory]
    [InlineData("\"ipipMode\":\"Never\"")]
    [InlineData("\"ipipMode\":\"Always\",\"allowedUses\":[\"Workload\"]")]
    [InlineData("\"ipipMode\":\"Always\",\"disabled\":true")]
    [InlineData("\"ipipMode\":\"Always\",\"nodeSelector\":\"zone == 'west'\"")]
    public async Task A_pool_that_asks_for_none_leaves_the_node_without_and_writes_nothing(string spec)
    {
        await RegisterAsync();
        var before = await RevisionsAsync();

        await RunAsync(Start(), PoolItem("pool", "10.65.0.0/25", spec));

        Assert.Equal(before, await RevisionsAsync());
        Assert.Null((await NodeAsync()).Spec.Bgp!.Ipv4IPIPTunnelAddr);
    }

    [Fact]
    public async Task When_no_pool_asks_any_more_the_name_goes_and_then_the_address()
    {
        await RegisterAsync();
        var tunnels = await RunAsync(Start(), PoolItem("pool", "10.65.0.0/25", "\"ipipMode\":\"Always\""));

        await TellAsync(tunnels, PoolItem("pool", "10.65.0.0/25", "\"ipipMode\":\"Never\""));

        Assert.Null((await NodeAsync()).Spec.Bgp!.Ipv4IPIPTunnelAddr);
        Assert.Empty(await AssignedAsync());
        Assert.Empty(Handles);
    }

    [Fact]
    public async Task A_restart_finds_everything_right_and_writes_nothing_but_the_new_epochs_of_its_lease()
    {
        await RegisterAsync();
        var lease = Start();
        var tunnels = await RunAsync(lease, PoolItem("pool", "10.65.0.0/25", "\"ipipMode\":\"Always\""));
        var address = (await NodeAsync()).Spec.Bgp!.Ipv4IPIPTunnelAddr;
        await tunnels.GracefulStop(TimeSpan.FromSeconds(5));
        await lease.GracefulStop(TimeSpan.FromSeconds(5));
        var before = await RevisionsAsync();

        await RunAsync(Start(), PoolItem("pool", "10.65.0.0/25", "\"ipipMode\":\"Always\""));

        Assert.Equal(before, await RevisionsAsync());
        Assert.Equal(address, (await NodeAsync()).Spec.Bgp!.Ipv4IPIPTunnelAddr);
        Assert.Single(await AssignedAsync());
    }

    [Fact]
    public async Task An_address_that_was_allocated_and_never_named_is_not_leaked()
    {
        await RegisterAsync();
        var lease = Start();
        lease.Tell(new LeaseProtocol.Allocate(77, new AllocationRequest("ipip-tunnel-addr-node1",
            ImmutableSortedDictionary<string, string>.Empty.Add("node", "node1"), [IpVersion.V4], [Pool.Cidr], []), [Pool], _ => []), TestActor);
        await ExpectMsgAsync<LeaseProtocol.Allocated>(TimeSpan.FromSeconds(10));

        await RunAsync(lease, PoolItem("default", "10.65.0.0/25", "\"ipipMode\":\"Always\""));

        Assert.Equal([(await NodeAsync()).Spec.Bgp!.Ipv4IPIPTunnelAddr], (await AssignedAsync()).Keys);
    }

    [Fact]
    public async Task An_address_that_a_pod_has_is_replaced_and_the_pod_keeps_it()
    {
        var lease = Start();
        var ofPod = await AddAsync(lease, "web");
        await RegisterAsync(ofPod);

        await RunAsync(lease, PoolItem("default", "10.65.0.0/25", "\"ipipMode\":\"Always\""));

        var named = (await NodeAsync()).Spec.Bgp!.Ipv4IPIPTunnelAddr!;
        Assert.NotEqual(ofPod, named);
        Assert.Equal("k8s-pod-network.web", (await OwnerAsync(ofPod))!.HandleId);
        Assert.Equal("ipip-tunnel-addr-node1", (await OwnerAsync(named))!.HandleId);
    }

    [Fact]
    public async Task An_address_of_a_pool_that_asks_no_more_is_exchanged_for_one_of_a_pool_that_does()
    {
        await RegisterAsync();
        var tunnels = await RunAsync(Start(), PoolItem("old", "10.66.0.0/26", "\"ipipMode\":\"Always\""));
        Assert.StartsWith("10.66.0.", (await NodeAsync()).Spec.Bgp!.Ipv4IPIPTunnelAddr, StringComparison.Ordinal);

        await TellAsync(tunnels, PoolItem("old", "10.66.0.0/26", "\"ipipMode\":\"Always\",\"disabled\":true"), PoolItem("new", "10.65.0.0/25", "\"ipipMode\":\"Always\""));

        Assert.StartsWith("10.65.0.", (await NodeAsync()).Spec.Bgp!.Ipv4IPIPTunnelAddr, StringComparison.Ordinal);
        Assert.Equal([(await NodeAsync()).Spec.Bgp!.Ipv4IPIPTunnelAddr], (await AssignedAsync()).Keys);
    }

    [Fact]
    public async Task Before_the_feed_has_told_every_pool_nothing_is_taken_away()
    {
        await RegisterAsync();
        var lease = Start();
        var tunnels = await RunAsync(lease, PoolItem("pool", "10.65.0.0/25", "\"ipipMode\":\"Always\""));
        await tunnels.GracefulStop(TimeSpan.FromSeconds(5));

        var next = Sys.ActorOf(TunnelActor.Props(new TunnelServices("node1", Store, lease, Clock), CreateTestProbe()));
        next.Tell(new UpstreamProtocol.ResourcesChanged([], false, 1));
        await Task.Delay(TimeSpan.FromSeconds(1.5));

        Assert.NotNull((await NodeAsync()).Spec.Bgp!.Ipv4IPIPTunnelAddr);
    }

    private async Task RegisterAsync(string? tunnel = null, string status = "")
    {
        var named = tunnel is null ? "" : $", \"ipv4IPIPTunnelAddr\": \"{tunnel}\"";
        await PutAsync(NodeKey, $$"""
            {"kind": "Node", "apiVersion": "projectcalico.org/v3", "metadata": {"name": "node1", "labels": {"zone": "east"} },
             "spec": {"bgp": {"ipv4Address": "192.0.2.11/24"{{named}} } }, "status": { {{status}} } }
            """);
    }

    /// <summary>Every key with the revision that wrote it.</summary>
    private async Task<string> RevisionsAsync()
    {
        var text = new StringBuilder();
        foreach (var key in Store.Keys.Where(k => !k.StartsWith(IpamKeys.HostPrefix, StringComparison.Ordinal)).Order(StringComparer.Ordinal))
            text.Append(key).Append('@').Append((await Store.GetAsync(key))!.ModRevision).Append('\n');
        return text.ToString();
    }

    private async Task<NodeResource> NodeAsync()
    {
        var stored = (await Store.GetAsync(NodeKey))!;
        return (NodeResource)StoredResource.Read(new ResourceKey(ResourceKind.Node, null, "node1"), stored.Value.Span, stored.ModRevision);
    }

    private async Task<AllocationAttributes?> OwnerAsync(string address)
    {
        var block = BlockCandidates.Containing(IpAddr.Parse(address), address.Contains(':', StringComparison.Ordinal) ? 122 : 26);
        return await Store.GetAsync(IpamKeys.Block(block)) is { } stored ? IpamJson.ParseBlock(stored.Value).OwnerOf(IpAddr.Parse(address)) : null;
    }

    private static FeedItem PoolItem(string name, string cidr, string spec) => new(Root + "ippools/" + name,
        Encoding.UTF8.GetBytes($$"""{"kind":"IPPool","apiVersion":"projectcalico.org/v3","metadata":{"name":"{{name}}"},"spec":{"cidr":"{{cidr}}",{{spec}} } }"""), 1);

    private async Task<IActorRef> RunAsync(IActorRef lease, params FeedItem[] pools)
    {
        var tunnels = Sys.ActorOf(TunnelActor.Props(new TunnelServices("node1", Store, lease, Clock), CreateTestProbe()));
        await TellAsync(tunnels, pools);
        return tunnels;
    }

    private async Task TellAsync(IActorRef tunnels, params FeedItem[] pools)
    {
        tunnels.Tell(new UpstreamProtocol.ResourcesChanged([.. pools], true, 1));
        await Task.Delay(TimeSpan.FromSeconds(0.7));
        await AwaitConditionAsync(async () => (await tunnels.Ask<TunnelProtocol.Status>(new TunnelProtocol.GetStatus(), TimeSpan.FromSeconds(5))).Settled,
            TimeSpan.FromSeconds(20), TimeSpan.FromMilliseconds(100));
    }
}

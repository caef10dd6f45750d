using System.Text;
using System.Text.Json.Nodes;
using Calico.Core.Ipam;
using Calico.Core.Net;

namespace Calico.Tests.Datastore.Golden;

/// <summary>The keys and values of IPAM, which are no resources: each as Calico writes it, read and written back.</summary>
[Layer("unit")]
public class IpamGoldenTests
{
    // An address in use, one that cools down, one of a moved virtual machine, and the rest free in the order of their return.
    private const string Block =
        """{"cidr":"10.65.1.248/29","affinity":"host:n1","affinity_claim_time":"2026-08-22T10:00:00Z","allocations":[null,0,1,2,null,null,null,null],"unallocated":[4,5,6,7,0],"attributes":[{"handle_id":"k8s-pod-network.4f0c","secondary":{"namespace":"web","node":"n1","pod":"web-0","timestamp":"2026-08-22 10:00:01 +0000 UTC"}},{"handle_id":"k8s-pod-network.77aa","releasedAt":"2026-08-22T10:05:00Z"},{"handle_id":"k8s-pod-network.vmi.web.vm","secondary":{"vmi-name":"vm"},"alternateOwnerAttrs":{"node":"n2"}}],"sequenceNumber":18446744073709551615,"sequenceNumberForAllocation":{"1":1787392800000000001,"2":1787392800000000002,"3":1787392800000000003},"deleted":false}""";

    [Theory]
    [InlineData(Block)]
    [InlineData("""{"cidr":"fd00::3c/126","affinity":"virtual:load-balancer","allocations":[null,null,null,null],"unallocated":[0,1,2,3],"attributes":[],"sequenceNumber":1,"sequenceNumberForAllocation":{},"deleted":true}""")]
    [InlineData("""{"cidr":"10.65.1.0/30","affinity":null,"allocations":[0,0,0,0],"unallocated":[],"attributes":[{}],"sequenceNumber":0,"sequenceNumberForAllocation":{},"deleted":false}""")]
    public void A_block_is_written_back_as_it_was(string json) =>
        AssertSame(json, IpamJson.WriteBlock(IpamJson.ParseBlock(Encoding.UTF8.GetBytes(json))));

    [Fact]
    public void A_block_of_an_older_release_names_its_host_in_the_newer_way()
    {
        var block = IpamJson.ParseBlock("""{"cidr":"10.65.1.0/31","hostAffinity":"n1","allocations":[null,null],"unallocated":[0,1],"attributes":[]}"""u8.ToArray());

        Assert.Equal("host:n1", block.Affinity);
    }

    [Fact]
    public void Fields_of_a_later_release_stay_in_a_block_and_in_the_settings()
    {
        var block = JsonNode.Parse(Block)!;
        block["fromTheFuture"] = new JsonObject { ["a"] = 18446744073709551615 };
        const string config = """{"strict_affinity":true,"fromTheFuture":[1]}""";

        AssertSame(block.ToJsonString(), IpamJson.WriteBlock(IpamJson.ParseBlock(Encoding.UTF8.GetBytes(block.ToJsonString()))));
        AssertSame(config, IpamJson.WriteConfig(IpamJson.ParseConfig(Encoding.UTF8.GetBytes(config))));
    }

    [Fact]
    public void A_handle_is_written_back_as_it_was()
    {
        const string handle = """{"block":{"10.65.1.248/29":2,"fd00::3c/126":1},"deleted":false}""";

        AssertSame(handle, IpamJson.WriteHandle(IpamJson.ParseHandle(Encoding.UTF8.GetBytes(handle))));
    }

    [Theory]
    [InlineData("pending")]
    [InlineData("confirmed")]
    [InlineData("pendingDeletion")]
    public void An_affinity_is_written_as_Calico_writes_it(string state)
    {
        var json = $$"""{"state":"{{state}}","deleted":false}""";

        AssertSame(json, IpamJson.WriteAffinity(IpamJson.ParseAffinityState(Encoding.UTF8.GetBytes(json))));
    }

    [Theory]
    [InlineData("")]
    [InlineData("{}")]
    [InlineData("""{"state":""}""")]
    public void An_affinity_without_a_state_is_confirmed(string json) =>
        Assert.Equal("confirmed", IpamJson.ParseAffinityState(Encoding.UTF8.GetBytes(json)));

    [Theory]
    [InlineData("""{"strict_affinity":true,"auto_allocate_blocks":true,"maxBlocksPerHost":4,"kubeVirtVMAddressPersistence":"Disabled","ipCooldownSeconds":60}""")]
    [InlineData("""{"auto_allocate_blocks":true}""")]
    [InlineData("{}")]
    public void The_settings_are_written_back_as_they_were(string json) =>
        AssertSame(json, IpamJson.WriteConfig(IpamJson.ParseConfig(Encoding.UTF8.GetBytes(json))));

    [Fact]
    public void The_keys_are_Calico_s()
    {
        var four = Cidr.Parse("10.65.1.0/26");
        var six = Cidr.Parse("fd00::40/122");

        Assert.Equal(
            [
                "/calico/ipam/v2/assignment/ipv4/block/10.65.1.0-26", "/calico/ipam/v2/assignment/ipv6/block/fd00::40-122",
                "/calico/ipam/v2/host/n1/ipv4/block/10.65.1.0-26", "/calico/ipam/v2/host/n1/ipv6/block/fd00::40-122",
                "/calico/ipam/v2/handle/k8s-pod-network.4f0c", "/calico/ipam/v2/handle/vxlan-v6-tunnel-addr-n1", "/calico/ipam/v2/config",
            ],
            [
                IpamKeys.Block(four), IpamKeys.Block(six), IpamKeys.Affinity("n1", four), IpamKeys.Affinity("n1", six),
                IpamKeys.Handle("k8s-pod-network.4f0c"), IpamKeys.Handle("vxlan-v6-tunnel-addr-n1"), IpamKeys.Config,
            ]);
    }

    [Theory]
    [InlineData("/calico/ipam/v2/host/n1.example.com/ipv4/block/10.65.1.0-26", "host:n1.example.com", "10.65.1.0/26")]
    [InlineData("/calico/ipam/v2/host/n1/ipv6/block/fd00::40-122", "host:n1", "fd00::40/122")]
    [InlineData("/calico/ipam/v2/virtual/load-balancer/ipv4/block/192.0.2.0-26", "virtual:load-balancer", "192.0.2.0/26")]
    public void The_key_of_an_affinity_tells_owner_and_block(string key, string owner, string block)
    {
        Assert.True(IpamKeys.TryParseOwner(key, out var foundOwner, out var found));

        Assert.Equal((owner, Cidr.Parse(block)), (foundOwner, found));
    }

    [Theory]
    [InlineData("/calico/ipam/v2/host/n1")]
    [InlineData("/calico/ipam/v2/host/n1/ipv6/block/10.65.1.0-26")]
    [InlineData("/calico/ipam/v2/host/n1/ipv4/block/10.65.1.0")]
    [InlineData("/calico/ipam/v2/assignment/ipv4/block/10.65.1.0-26")]
    public void Other_keys_are_no_affinity(string key) => Assert.False(IpamKeys.TryParseOwner(key, out _, out _));

    [Fact]
    public void The_handle_of_an_address_that_host_local_assigned_ends_at_its_carriage_return() =>
        Assert.Equal("4f0c", IpamKeys.HandleId("4f0c\r\neth0"));

    private static void AssertSame(string expected, byte[] written) =>
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(expected), JsonNode.Parse(written)), $"expected {expected}\nbut was  {Encoding.UTF8.GetString(written)}");
}

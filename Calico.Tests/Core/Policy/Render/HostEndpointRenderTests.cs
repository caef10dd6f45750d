using Calico.Core.Net;
using Calico.Core.Nft;
using Calico.Core.Policy;
using Calico.Core.Policy.Index;
using static Calico.Tests.Core.Policy.PolicyItems;

namespace Calico.Tests.Core.Policy.Render;

[Layer("unit")]
public class HostEndpointRenderTests
{
    private static readonly NftPacket Ssh = NftPacket.Tcp(IpAddr.Parse("192.0.2.9"), IpAddr.Parse("192.0.2.1"), 22) with { InInterface = "eth0" };
    private static readonly NftPacket Web = NftPacket.Tcp(IpAddr.Parse("192.0.2.9"), IpAddr.Parse("192.0.2.1"), 80) with { InInterface = "eth0" };

    [Fact]
    public void A_host_endpoint_without_policy_lets_only_failsafe_ports_in()
    {
        var table = World("eth0").Table(IpVersion.V4);

        Assert.True(table.Walk(NftHook.Input, Ssh).Accepted);
        Assert.False(table.Walk(NftHook.Input, Web).Accepted);
    }

    [Fact]
    public void Policy_opens_a_port()
    {
        var world = World("eth0", Global("web", "has(host)", 1, ingress: """{"action":"Allow","protocol":"TCP","destination":{"ports":[80]}}"""));

        Assert.True(world.Table(IpVersion.V4).Walk(NftHook.Input, Web).Accepted);
        Assert.False(world.Table(IpVersion.V4).Walk(NftHook.Input, Web with { DestinationPort = 81 }).Accepted);
    }

    [Fact]
    public void Interfaces_without_an_endpoint_are_left_alone() =>
        Assert.True(World("eth0").Table(IpVersion.V4).Walk(NftHook.Input, Web with { InInterface = "eth1" }).Accepted);

    [Fact]
    public void The_endpoint_for_all_interfaces_takes_the_rest() =>
        Assert.False(World("*").Table(IpVersion.V4).Walk(NftHook.Input, Web with { InInterface = "eth1" }).Accepted);

    [Fact]
    public void The_endpoint_for_all_interfaces_leaves_packets_to_workloads_alone()
    {
        var world = World("*", Global("deny", "has(host)", 1, egress: """{"action":"Deny"}"""));

        Assert.True(world.Table(IpVersion.V4).Walk(NftHook.Output, Web with { InInterface = null, OutInterface = "calix", DestinationPort = 9 }).Accepted);
        Assert.False(world.Table(IpVersion.V4).Walk(NftHook.Output, Web with { InInterface = null, OutInterface = "eth9", DestinationPort = 9 }).Accepted);
    }

    [Fact]
    public void Many_interfaces_are_found_through_the_tree()
    {
        var world = new PolicyWorld();
        foreach (var name in new[] { "eth0", "eth1", "wlan0", "lo" })
            Put(world, name);
        world.Put("policy/p", Global("p", "host == 'eth1'", 1, ingress: """{"action":"Allow"}"""));
        world.Settle();
        var table = world.Table(IpVersion.V4);

        Assert.Equal([false, true, false, false, true], new[] { "eth0", "eth1", "wlan0", "lo", "other" }
            .Select(i => table.Walk(NftHook.Input, Web with { InInterface = i }).Accepted));
        Assert.Contains(table.Chains, c => c.Name == "filter-cali-from-host-endpoint-e");
    }

    [Fact]
    public void Forwarded_traffic_is_free_until_a_policy_applies_on_forward()
    {
        var free = World("eth0", Global("deny", "has(host)", 1, ingress: """{"action":"Deny"}"""));
        var bound = World("eth0", Global("deny", "has(host)", 1, ingress: """{"action":"Deny"}""", extra: "\"applyOnForward\":true,"));
        var forwarded = Web with { OutInterface = "eth1" };

        Assert.True(free.Table(IpVersion.V4).Walk(NftHook.Forward, forwarded).Accepted);
        Assert.False(bound.Table(IpVersion.V4).Walk(NftHook.Forward, forwarded).Accepted);
    }

    [Fact]
    public void A_pre_DNAT_policy_decides_before_the_destination_is_rewritten()
    {
        var world = World("eth0", Global("pre", "has(host)", 1, types: "Ingress", extra: "\"applyOnForward\":true,\"preDNAT\":true,",
            ingress: """{"action":"Deny","protocol":"TCP","destination":{"ports":[80]}},{"action":"Allow","protocol":"TCP","destination":{"ports":[81]}}"""));
        var table = world.Table(IpVersion.V4);
        var allowed = table.Walk(NftHook.Prerouting, Web with { DestinationPort = 81 });

        Assert.False(table.Walk(NftHook.Prerouting, Web).Accepted);
        Assert.True(table.Walk(NftHook.Input, allowed.Packet).Accepted);
        Assert.True(table.Walk(NftHook.Prerouting, Web with { DestinationPort = 82 }).Accepted);
    }

    [Fact]
    public void An_untracked_policy_accepts_past_connection_tracking()
    {
        var world = World("eth0", Global("untracked", "has(host)", 1, extra: "\"applyOnForward\":true,\"doNotTrack\":true,",
            ingress: """{"action":"Allow","protocol":"TCP","destination":{"ports":[80]}}"""));
        var walk = world.Table(IpVersion.V4).Walk(NftHook.Prerouting, Web);

        Assert.Equal(NftCtState.Untracked, walk.Packet.CtState);
        Assert.True(world.Table(IpVersion.V4).Walk(NftHook.Input, walk.Packet).Accepted);
    }

    [Fact]
    public void A_host_endpoint_that_goes_takes_its_chains_along()
    {
        var world = World("eth0", Global("web", "has(host)", 1));
        world.Remove("hep/eth0", Host("eth0"));
        world.Settle();

        Assert.True(world.Table(IpVersion.V4).Walk(NftHook.Input, Web).Accepted);
        Assert.DoesNotContain(world.Table(IpVersion.V4).Chains, c => c.Name.Contains("eth0", StringComparison.Ordinal));
    }

    private static PolicyWorld World(string interfaceName, params CompiledPolicy[] policies)
    {
        var world = new PolicyWorld();
        world.Put("tier/default", new TierState("default", 1_000_000, false));
        foreach (var policy in policies)
            world.Put("policy/" + policy.Key.Name, policy);
        Put(world, interfaceName);
        world.Settle();
        return world;
    }

    private static void Put(PolicyWorld world, string interfaceName) => world.Put("hep/" + interfaceName, Host(interfaceName));

    private static PolicyWorld.Workload Host(string interfaceName)
    {
        var labels = Labels(("host", interfaceName));
        return new PolicyWorld.Workload(
            new() { Id = $"host-{interfaceName}", InterfaceName = interfaceName, IsHost = true, Labels = labels },
            new LabelOwner { Labels = labels });
    }
}

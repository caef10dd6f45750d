using Calico.Core.Net;
using Calico.Core.Nft;
using Calico.Core.Policy;
using Calico.Core.Policy.Graph;
using Calico.Core.Policy.Render;
using static Calico.Tests.Core.Policy.PolicyItems;

namespace Calico.Tests.Core.Policy.Render;

[Layer("unit")]
public class PolicyRendererTests
{
    private static readonly PolicyPacket ToWeb = Tcp("10.0.0.9", "10.0.0.1", 80);

    [Fact]
    public void A_workload_interface_without_an_endpoint_passes_nothing()
    {
        var world = World();
        var walk = world.Forward("caliunknown", "eth0", ToWeb);

        Assert.Equal("filter-cali-from-wl-dispatch", walk.Trace[^1].Chain);
        Assert.False(walk.Accepted);
    }

    [Fact]
    public void Other_interfaces_are_left_alone()
    {
        Assert.True(World().Forward("eth0", "eth1", ToWeb).Accepted);
    }

    [Fact]
    public void Replies_pass_and_invalid_packets_do_not()
    {
        var world = World();
        world.Put("policy/deny", Global("deny", "all()", 1, ingress: """{"action":"Deny"}"""));
        world.Settle();

        Assert.True(world.Forward("eth0", "calidweb", ToWeb, NftCtState.Established).Accepted);
        Assert.False(world.Forward("eth0", "calidweb", ToWeb, NftCtState.New).Accepted);
        world.Remove("policy/deny", Global("deny", "all()"));
        world.Settle();
        Assert.False(world.Forward("eth0", "calidweb", ToWeb, NftCtState.Invalid).Accepted);
    }

    [Fact]
    public void A_rule_names_the_resource_that_caused_it()
    {
        var world = World();
        world.Put("policy/deny", Global("deny", "all()", 1, ingress: """{"action":"Deny"}"""));
        world.Settle();

        var cause = world.Forward("eth0", "calidweb", ToWeb).DecidedBy!.Cause;

        Assert.Equal("GlobalNetworkPolicy/deny", cause.Resource);
        Assert.NotEqual("", cause.Revision);
    }

    [Fact]
    public void Every_rule_has_a_cause()
    {
        var world = World();
        world.Put("policy/p", Global("p", "all()", 1, ingress: """{"action":"Allow","source":{"nets":["10.0.0.0/8","11.0.0.0/8"]}}"""));
        world.Settle();

        var rules = world.Table(IpVersion.V4).Dump().Chains.SelectMany(c => world.Table(IpVersion.V4).RulesOf(c.Chain.Name));

        Assert.All(rules, r => Assert.False(r.Cause.IsNone));
    }

    [Theory]
    [InlineData(17, 4789)]
    [InlineData(4, 0)]
    public void A_workload_cannot_send_packets_that_look_like_tunnels(byte protocol, int port)
    {
        var packet = new PolicyPacket(IpAddr.Parse("10.0.0.1"), IpAddr.Parse("10.0.0.9"), protocol, 1, port);

        Assert.False(World().Forward("calidweb", "eth0", packet).Accepted);
        Assert.True(World(new RenderOptions { AllowVxlanFromWorkloads = true, AllowIpIpFromWorkloads = true }).Forward("calidweb", "eth0", packet).Accepted);
    }

    [Fact]
    public void Spoofed_sources_are_dropped_in_prerouting_unless_they_are_permitted()
    {
        var world = World();
        var spoofed = PolicyWorld.PacketOf(ToWeb) with { InInterface = "calidweb", HasReversePath = false };
        var before = world.Table(IpVersion.V4).Walk(NftHook.Prerouting, spoofed);
        var web = Workload("web", "10.0.0.1");
        world.Put("wep/web", web with { Endpoint = web.Endpoint with { AllowedSources = [Cidr.Parse("10.0.0.0/24")] } });
        world.Settle();

        Assert.False(before.Accepted);
        Assert.True(world.Table(IpVersion.V4).Walk(NftHook.Prerouting, spoofed).Accepted);
        Assert.True(world.Table(IpVersion.V4).Walk(NftHook.Prerouting, spoofed with { InInterface = "eth0" }).Accepted);
    }

    [Theory]
    [InlineData(EndpointToHostAction.Drop, false)]
    [InlineData(EndpointToHostAction.Accept, true)]
    [InlineData(EndpointToHostAction.Return, true)]
    public void Traffic_to_the_own_host_ends_as_configured(EndpointToHostAction action, bool accepted)
    {
        var world = World(new RenderOptions { EndpointToHost = action });

        Assert.Equal(accepted, ToHost(world).Accepted);
    }

    [Fact]
    public void Traffic_to_the_own_host_still_meets_egress_policy()
    {
        var world = World(new RenderOptions { EndpointToHost = EndpointToHostAction.Accept });
        world.Put("policy/deny", Global("deny", "all()", 1, egress: """{"action":"Deny"}"""));
        world.Settle();

        Assert.False(ToHost(world).Accepted);
    }

    [Fact]
    public void Neighbour_discovery_of_a_workload_reaches_the_host_whatever_policy_says()
    {
        var packet = NftPacket.Icmp(IpAddr.Parse("fe80::1"), IpAddr.Parse("fe80::2"), 135) with { InInterface = "calidweb" };

        Assert.True(World().Table(IpVersion.V6).Walk(NftHook.Input, packet).Accepted);
    }

    [Fact]
    public void The_host_reaches_its_own_workloads()
    {
        var world = World();
        world.Put("policy/deny", Global("deny", "all()", 1, ingress: """{"action":"Deny"}"""));
        world.Settle();

        Assert.True(world.Table(IpVersion.V4).Walk(NftHook.Output, PolicyWorld.PacketOf(ToWeb) with { OutInterface = "calidweb" }).Accepted);
    }

    [Theory]
    [InlineData("10.65.0.1", "8.8.8.8", true)]
    [InlineData("10.65.0.1", "10.66.0.1", false)]
    [InlineData("192.0.2.1", "8.8.8.8", false)]
    public void Only_traffic_from_a_nat_pool_to_outside_all_pools_is_masqueraded(string source, string destination, bool masqueraded)
    {
        var (renderer, table) = Rendered(new RenderOptions { NatOutgoingV4 = true });
        renderer.SetAddresses(AddressSet.MasqueradePools, [Cidr.Parse("10.65.0.0/16")]);
        renderer.SetAddresses(AddressSet.AllPools, [Cidr.Parse("10.65.0.0/16"), Cidr.Parse("10.66.0.0/16")]);
        Commit(renderer, table);

        var walk = table.Fake.Walk(NftHook.Postrouting, NftPacket.Tcp(IpAddr.Parse(source), IpAddr.Parse(destination), 80) with { OutInterface = "eth0" });

        Assert.Equal(masqueraded, walk.Nat is NftStatement.Masquerade);
    }

    [Fact]
    public void A_floating_address_is_translated_in_and_for_hairpins_out()
    {
        var world = World();
        var web = Workload("web", "10.0.0.1");
        world.Put("wep/web", web with { Endpoint = web.Endpoint with { FloatingIps = [new(IpAddr.Parse("192.0.2.7"), IpAddr.Parse("10.0.0.1"))] } });
        world.Settle();
        var table = world.Table(IpVersion.V4);

        var inwards = table.Walk(NftHook.Prerouting, NftPacket.Tcp(IpAddr.Parse("192.0.2.1"), IpAddr.Parse("192.0.2.7"), 80) with { InInterface = "eth0" });
        var hairpin = table.Walk(NftHook.Postrouting, NftPacket.Tcp(IpAddr.Parse("10.0.0.1"), IpAddr.Parse("10.0.0.1"), 80) with { OutInterface = "calidweb" });

        Assert.Equal("10.0.0.1", inwards.Packet.Destination.ToString());
        Assert.Equal("192.0.2.7", hairpin.Packet.Source.ToString());
    }

    [Fact]
    public void The_hosts_proxy_ARP_keeps_quiet_about_the_workloads_own_address()
    {
        var table = World().ArpTable;

        Assert.False(table.Walk(NftHook.Output, Reply("10.0.0.1")).Accepted);
        Assert.True(table.Walk(NftHook.Output, Reply("169.254.1.1")).Accepted);

        static NftPacket Reply(string sender) => new() { OutInterface = "calidweb", ArpOperation = 2, Source = IpAddr.Parse(sender), Destination = IpAddr.Parse("10.0.0.1") };
    }

    [Fact]
    public void The_first_of_two_endpoints_on_one_interface_has_it_until_it_goes()
    {
        var world = World();
        var rival = Workload("zzz", "10.0.0.8");
        world.Put("wep/zzz", rival with { Endpoint = rival.Endpoint with { InterfaceName = "calidweb", AdminUp = false } });
        world.Settle();
        var first = world.Forward("eth0", "calidweb", ToWeb).Accepted;
        world.Remove("wep/web", Workload("web", "10.0.0.1"));
        world.Settle();

        Assert.True(first);
        Assert.False(world.Forward("eth0", "calidweb", ToWeb).Accepted);
    }

    [Fact]
    public void Policies_that_no_packet_can_reach_are_not_written()
    {
        var world = World();
        world.Put("policy/p", Global("p", "all()", 1, types: "Ingress", ingress: """{"action":"Allow"}"""));
        world.Settle();

        var names = world.Table(IpVersion.V4).Dump().Chains.Select(c => c.Chain.Name).Where(n => n.Contains("gnp/p"));

        Assert.Equal(["filter-cali-pi-gnp/p"], names);
    }

    [Fact]
    public void Policies_of_one_selector_share_a_group_chain()
    {
        var world = World();
        foreach (var name in new[] { "a", "b" })
            world.Put("policy/" + name, Global(name, "all()", null, types: "Ingress", ingress: """{"action":"Pass","protocol":"UDP"}"""));
        world.Settle();

        Assert.Contains(world.Table(IpVersion.V4).Chains, c => c.Name == "filter-cali-gi-js-B7zioflPRrAki3OCu");
    }

    [Fact]
    public void The_sixth_policy_of_a_group_is_not_asked_once_the_fifth_has_decided()
    {
        var world = World();
        for (var i = 1; i <= 7; i++)
            world.Put($"policy/{i}", Global($"p{i}", "all()", i, types: "Ingress", ingress: i == 5 ? """{"action":"Allow"}""" : i == 6 ? """{"action":"Deny"}""" : ""));
        world.Settle();

        Assert.True(world.Forward("eth0", "calidweb", ToWeb).Accepted);
    }

    [Fact]
    public void A_change_writes_what_it_changes_and_nothing_else()
    {
        var world = World();
        for (var i = 0; i < 50; i++)
        {
            world.Put($"wep/{i}", Workload($"w{i}", $"10.0.1.{i}", ("app", $"a{i}")));
            world.Put($"policy/{i}", Global($"p{i}", $"app == 'a{i}'", 1, ingress: $$$"""{"action":"Allow","source":{"selector":"app == 'a{{{(i + 1) % 50}}}'"}}"""));
        }
        world.Settle();
        var writes = world.Table(IpVersion.V4).WriteCount;
        world.Put("wep/7", Workload("w7", "10.0.2.7", ("app", "a7")));
        world.Settle();

        // One member goes and one comes; the workload's chains are what they were.
        Assert.Equal(2, world.Table(IpVersion.V4).WriteCount - writes);
    }

    [Fact]
    public void New_options_reach_every_chain()
    {
        var (renderer, table) = Rendered(new RenderOptions());
        var graph = Graph();
        renderer.Apply(graph.Flush());
        Commit(renderer, table);
        renderer.SetOptions(new RenderOptions { Marks = new Marks(0x0000ff00), FilterDeny = DenyAction.Reject });
        Commit(renderer, table);

        var terms = table.Fake.Dump().Chains.SelectMany(c => table.Fake.RulesOf(c.Chain.Name)).SelectMany(r => r.Terms).ToList();

        Assert.All(terms.OfType<NftStatement.SetMark>(), m => Assert.Equal(0u, m.Mask & 0xffff0000));
        Assert.All(terms.OfType<NftMatch.Mark>(), m => Assert.Equal(0u, m.Mask & 0xffff0000));
        Assert.DoesNotContain(new NftStatement.Verdict(NftVerdict.Drop), terms);
    }

    [Fact]
    public void A_new_workload_comes_in_one_transaction_with_its_dispatch_entries()
    {
        var world = World();
        world.Put("wep/new", Workload("new", "10.0.0.7"));
        world.Settle();

        var ops = world.Table(IpVersion.V4).LastCommitted!.Ops;

        Assert.Equal(["filter-cali-fw-calidnew", "filter-cali-tw-calidnew"], ops.OfType<NftOp.AddChain>().Select(o => o.Chain.Name));
        Assert.Equal(["filter-cali-from-wl-dispatch", "filter-cali-to-wl-dispatch"], ops.OfType<NftOp.AddMapEntries>().Select(o => o.Set.Name));
    }

    [Theory]
    [InlineData("")]
    [InlineData("cali*")]
    [InlineData("cali+")]
    [InlineData("a-name-that-is-too-long")]
    public void An_interface_name_that_is_none_gets_no_rules(string name)
    {
        var world = World();
        var odd = Workload("odd", "10.0.0.7");
        world.Put("wep/odd", odd with { Endpoint = odd.Endpoint with { InterfaceName = name } });
        world.Settle();

        Assert.Equal(["filter-cali-tw-calidweb"], world.Table(IpVersion.V4).Chains.Select(c => c.Name).Where(n => n.StartsWith("filter-cali-tw-", StringComparison.Ordinal)));
    }

    [Fact]
    public void Logged_packets_carry_the_prefix_with_its_placeholders_filled_in()
    {
        Assert.Equal("calico-packet: ", RuleRenderer.LogPrefix("calico-packet", "t", "np", "n", "ns/n"));
        Assert.Equal("t np n ns/n %x 50%: ", RuleRenderer.LogPrefix("%t %k %n %p %x 50%", "t", "np", "n", "ns/n"));
        Assert.Equal(127, RuleRenderer.LogPrefix(new string('x', 300), "", "", "", "").Length);
    }

    private static NodePolicyGraph Graph()
    {
        var graph = new NodePolicyGraph();
        graph.UpdateProfile(AllowNamespace);
        graph.UpdateEndpoint(Workload("web", "10.0.0.1").Endpoint);
        foreach (var name in new[] { "a", "b" })
            graph.UpdatePolicy(Global(name, "all()", 1, ingress: """{"action":"Pass"},{"action":"Deny"}"""));
        return graph;
    }

    private static NftWalk ToHost(PolicyWorld world) =>
        world.Table(IpVersion.V4).Walk(NftHook.Input, PolicyWorld.PacketOf(Tcp("10.0.0.1", "192.0.2.1", 80)) with { InInterface = "calidweb" });

    private static PolicyWorld World(RenderOptions? options = null)
    {
        var world = new PolicyWorld(options);
        world.Put("profile/kns.default", AllowNamespace);
        world.Put("tier/default", new TierState("default", 1_000_000, false));
        world.Put("wep/web", Workload("web", "10.0.0.1"));
        world.Settle();
        return world;
    }

    private sealed record TableUnderTest(NftDelta Delta, Calico.Kernel.Nft.FakeNftTable Fake);

    private static (PolicyRenderer, TableUnderTest) Rendered(RenderOptions options)
    {
        var table = new NftTable(NftFamily.Ip, "calico");
        var fake = new Calico.Kernel.Nft.FakeNftTable(table);
        var delta = new NftDelta(table);
        delta.Adopt(fake.Dump());
        return (new PolicyRenderer(options), new TableUnderTest(delta, fake));
    }

    private static void Commit(PolicyRenderer renderer, TableUnderTest table)
    {
        foreach (var changes in renderer.Flush().Where(c => c.Table == table.Delta.Table))
        {
            changes.ApplyTo(table.Delta);
            table.Delta.Committed(table.Fake.Commit(table.Delta.Plan()));
        }
    }
}

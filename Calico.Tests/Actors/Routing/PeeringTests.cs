using Calico.Actors.Bgp;
using Calico.Actors.Routing;
using Calico.Core.Bfd;
using Calico.Core.Bgp.Policy;
using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;
using Calico.Tests.Core.Bgp;
using static Calico.Tests.Actors.Routing.PeeringBed;

namespace Calico.Tests.Actors.Routing;

[Layer("unit")]
public class PeeringTests
{
    private static string Mesh(string configuration = "{}") => ThreeNodes.Replace("{nodeToNodeMeshEnabled: false}", configuration, StringComparison.Ordinal);

    [Fact]
    public void The_mesh_has_a_session_of_each_family_in_which_both_nodes_have_an_address()
    {
        var peers = Config("n1", Mesh()).Peers;

        Assert.Equal(["Mesh_192_0_2_2", "Mesh_192_0_2_3", "Mesh_fd00__2"], peers.Select(p => p.Name));
        Assert.Equal(["192.0.2.1", "192.0.2.1", "fd00::1"], peers.Select(p => p.SourceAddress.ToString()));
        Assert.Equal(["Mesh_192_0_2_1", "Mesh_192_0_2_2"], Config("n3", Mesh()).Peers.Select(p => p.Name));
    }

    [Theory]
    [InlineData("n1", "n2")]
    [InlineData("n2", "n3")]
    public void Of_two_nodes_of_the_mesh_exactly_one_waits(string one, string other)
    {
        Assert.True(Config(one, Mesh()).Peers.First(p => p.Address == Config(other, Mesh()).AddressV4).Passive);
        Assert.False(Config(other, Mesh()).Peers.First(p => p.Address == Config(one, Mesh()).AddressV4).Passive);
    }

    [Fact]
    public void The_mesh_has_the_ports_times_and_numbers_of_its_nodes()
    {
        var peers = Config("n1", Mesh("{listenPort: 1179, nodeMeshMaxRestartTime: 10s, asNumber: 65000}").Replace("192.0.2.3/24", "192.0.2.3/24, asNumber: 65003", StringComparison.Ordinal)
            + "---\n{apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: node.n2}, spec: {listenPort: 2179}}").Peers;

        Assert.Equal([2179, 1179, 2179], peers.Select(p => (int)p.Port));
        Assert.Equal([65000u, 65003u, 65000u], peers.Select(p => p.As.Value));
        Assert.All(peers, p => Assert.Equal(TimeSpan.FromSeconds(10), p.RestartTime));
    }

    [Theory]
    [InlineData("{peerIP: 198.51.100.9, asNumber: 65009, reachableBy: 192.0.2.254}", "192.0.2.254")]
    [InlineData("{peerIP: 198.51.100.9, asNumber: 65009}", null)]
    [InlineData("{peerIP: 198.51.100.9, asNumber: 65009, reachableBy: 'fd00::fe'}", null)]
    public void A_peer_can_be_reached_by_a_gateway_of_its_own_family(string spec, string? gateway)
    {
        var config = Config("n1", ThreeNodes + $"---\n{{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {{name: far}}, spec: {spec}}}");

        Assert.Equal(gateway, config.Peers.Single(p => p.As.Value == 65009).ReachableBy?.ToString());
    }

    [Fact]
    public void A_peer_says_for_both_ends_how_its_paths_are_watched_and_others_have_what_all_have()
    {
        string Annotated(string peer, string bfd) => peer.Replace("name: p}", $"name: p, annotations: {{projectcalico.org/bfd: {bfd}}}}}", StringComparison.Ordinal);
        BfdSetting? Of(string node, string peer, string? ofAll = null)
        {
            Assert.True(BfdSetting.TryParse(ofAll, out var all));
            return Assert.Single(Peering.Of(Inputs(node, ThreeNodes + peer) with { Bfd = all })!.Peers).Bfd;
        }
        var peer = Peer("{node: n1, peerIP: 192.0.2.2}");

        Assert.Null(Of("n1", peer));
        Assert.Equal("300ms*3", Of("n1", peer, "300ms*3")?.ToString());
        Assert.Equal("1000ms*5 multihop", Of("n1", Annotated(peer, "1s*5 multihop"))?.ToString());
        Assert.Equal("1000ms*5 multihop", Of("n2", Annotated(peer, "1s*5 multihop"), "300ms*3")?.ToString());
        Assert.Null(Of("n1", Annotated(peer, "off"), "300ms*3"));
        Assert.Equal("300ms*3", Of("n1", Annotated(peer, "\"on\""), "300ms*3")?.ToString());
        Assert.Equal("p", Assert.Single(Peering.Ineffective(Inputs("n1", ThreeNodes + Annotated(peer, "\"on\"")))).Peer);
        Assert.Empty(Peering.Ineffective(Inputs("n1", ThreeNodes + Annotated(peer, "off"))));
    }

    [Fact]
    public void A_peer_says_what_families_it_exchanges_and_each_has_its_own_rules_and_what_one_end_is_to_the_other()
    {
        const string filter = "---\n{apiVersion: projectcalico.org/v3, kind: BGPFilter, metadata: {name: f}, spec: {exportV4: [{action: Reject}]}}\n";
        var peer = Peer("{node: n1, peerIP: 192.0.2.2, filters: [f]}").Replace("name: p}", "name: p, annotations: {projectcalico.org/bgp-families: 'ipv4,ipv6', projectcalico.org/bgp-role: provider}}", StringComparison.Ordinal);

        var here = Assert.Single(Config("n1", ThreeNodes + filter + peer).Peers);
        var there = Assert.Single(Config("n2", ThreeNodes + filter + peer).Peers);

        Assert.Equal((Families.Both, BgpRole.Provider), (here.Families, here.Role));
        Assert.Equal((Families.Both, BgpRole.Customer), (there.Families, there.Role));
        var net = new RibHarness();
        net.Up(RibHarness.Peer(1, isInternal: false, export: here.Export));
        foreach (var prefix in (string[])["10.65.0.0/26", "fd00:1::/122"])
            net.Rib.Originate(Cidr.Parse(prefix), PathAttributes.Local);
        net.TakeAll();
        Assert.Equal(["fd00:1::/122"], net.Told(1).Keys.Select(k => k.ToString()));
    }

    [Fact]
    public void A_route_reflector_is_in_no_mesh()
    {
        var text = Mesh().Replace("192.0.2.3/24", "192.0.2.3/24, routeReflectorClusterID: 1.0.0.1", StringComparison.Ordinal);

        Assert.Empty(Config("n3", text).Peers);
        Assert.DoesNotContain(Config("n1", text).Peers, p => p.Address == IpAddr.Parse("192.0.2.3"));
        Assert.Equal("1.0.0.1", Config("n3", text).ClusterId.ToString());
    }

    [Theory]
    [InlineData("n1", null, "192.0.2.1")]
    [InlineData("n1", "9.9.9.9", "9.9.9.9")]
    [InlineData("node1", "hash", "202.18.243.27")]
    public void The_router_id_is_the_address_or_what_was_given_or_a_hash(string node, string? given, string id)
    {
        var inputs = Inputs(node, ThreeNodes.Replace("name: n1", "name: " + node, StringComparison.Ordinal));

        Assert.Equal(id, Peering.Of(inputs with { RouterId = given })!.RouterId.ToString());
    }

    [Fact]
    public void A_node_with_IPv6_alone_needs_a_router_id_of_its_own()
    {
        var inputs = Inputs("n1", ThreeNodes.Replace("ipv4Address: 192.0.2.1/24, ", "", StringComparison.Ordinal));

        Assert.False(Peering.TryOf(inputs, out _, out var why));
        Assert.Contains("CALICO_ROUTER_ID", why, StringComparison.Ordinal);
        var config = Peering.Of(inputs with { RouterId = "hash" })!;
        Assert.Equal("::", Assert.Single(config.ListenAddresses).ToString());
        Assert.Null(config.AddressV4);
    }

    [Fact]
    public void A_node_listens_on_its_own_addresses_only_if_that_is_wanted()
    {
        Assert.Equal(["0.0.0.0", "::"], Config("n1", Mesh()).ListenAddresses.Select(a => a.ToString()));
        Assert.Equal(["192.0.2.1", "fd00::1"], Config("n1", Mesh("{bindMode: NodeIP}")).ListenAddresses.Select(a => a.ToString()));
    }

    [Fact]
    public void A_peer_of_a_family_that_this_node_has_not_gets_no_session() =>
        Assert.Empty(Names("n3", Peer("{peerIP: \"fd00::9\", asNumber: 65001}")));

    [Fact]
    public void Every_option_of_a_peer_reaches_its_session()
    {
        var peer = Only("n1", Peer("""
            {node: n1, peerIP: "198.51.100.1:1790", asNumber: 65001, localASNumber: 65009, sourceAddress: None, maxRestartTime: 7s, keepaliveTime: 9s,
             ttlSecurity: 3, numAllowedLocalASNumbers: 2, nextHopMode: Keep}
            """));

        Assert.Equal(("Node_198_51_100_1_port_1790", PeerKind.NodePeer, 1790, 65001u, 65009u, null),
            (peer.Name, peer.Kind, peer.Port, peer.As.Value, peer.LocalAs!.Value.Value, peer.SourceAddress));
        Assert.Equal((7, 9, 3, 2, NextHopMode.Keep),
            ((int)peer.RestartTime!.Value.TotalSeconds, (int)peer.KeepaliveTime!.Value.TotalSeconds, (int)peer.TtlSecurityHops!, peer.AllowedOwnAs, peer.NextHopMode));
    }

    [Theory]
    [InlineData("nextHopMode: Keep", 64512, NextHopMode.Auto)]
    [InlineData("keepOriginalNextHop: true", 64512, NextHopMode.Auto)]
    [InlineData("keepOriginalNextHop: true", 65001, NextHopMode.Keep)]
    [InlineData("nextHopMode: Self", 64512, NextHopMode.Self)]
    [InlineData("nextHopMode: Auto", 65001, NextHopMode.Auto)]
    public void Keeping_the_next_hop_means_something_to_external_peers_only(string option, int asn, NextHopMode mode) =>
        Assert.Equal(mode, Only("n1", Peer($"{{node: n1, peerIP: 198.51.100.1, asNumber: {asn}, {option}}}")).NextHopMode);

    [Fact]
    public void A_global_peer_wins_over_a_node_peer_of_the_same_address() =>
        Assert.Equal(["Global_198_51_100_1"], Names("n1", Peer("{node: n1, peerIP: 198.51.100.1, asNumber: 65001}", "a") + Peer("{peerIP: 198.51.100.1, asNumber: 65001}", "b")));

    [Fact]
    public void A_global_peer_that_is_a_node_of_ours_waits_where_its_address_is_greater_and_never_talks_to_itself()
    {
        var peer = Peer("{peerIP: 192.0.2.2, asNumber: 64512}");

        Assert.True(Only("n1", peer).Passive);
        Assert.False(Only("n3", peer).Passive);
        Assert.Equal(["Node_192_0_2_1", "Node_192_0_2_3"], Names("n2", peer));
        Assert.All(Of("n2", peer).Peers, p => Assert.False(p.Passive));
    }

    [Fact]
    public void Selectors_choose_both_ends_and_the_other_end_knows_by_itself()
    {
        var peer = Peer("{nodeSelector: n == '1', peerSelector: n == '2'}");

        Assert.Equal(["Node_192_0_2_2", "Node_fd00__2"], Names("n1", peer));
        Assert.Equal(["Node_192_0_2_1", "Node_fd00__1"], Names("n2", peer));
        Assert.Empty(Names("n3", peer));
    }

    [Fact]
    public void Manual_peering_leaves_the_other_end_to_somebody_else() =>
        Assert.Empty(Names("n2", Peer("{nodeSelector: n == '1', peerSelector: n == '2', reversePeering: Manual}")));

    [Fact]
    public void The_reverse_of_a_session_with_an_AS_of_its_own_expects_that_AS()
    {
        var peer = Peer("{node: n1, peerIP: 192.0.2.2, asNumber: 64512, localASNumber: 65009, ttlSecurity: 1}");

        Assert.Equal((65009u, (byte?)1), (Only("n2", peer).As.Value, Only("n2", peer).TtlSecurityHops));
        Assert.Null(Only("n2", peer).LocalAs);
    }

    [Theory]
    [InlineData("peerIP: 192.0.2.2, asNumber: 65001")]
    [InlineData("peerIP: \"192.0.2.2:1790\", asNumber: 64512")]
    public void An_address_of_ours_with_another_AS_or_port_is_not_this_speaker(string who) =>
        Assert.Empty(Names("n2", Peer($"{{node: n1, {who}}}")));

    [Fact]
    public void A_reflector_has_clients_and_its_equals_are_none()
    {
        var text = ThreeNodes.Replace("192.0.2.1/24", "192.0.2.1/24, routeReflectorClusterID: 1.0.0.1", StringComparison.Ordinal)
            .Replace("192.0.2.2/24", "192.0.2.2/24, routeReflectorClusterID: 1.0.0.1", StringComparison.Ordinal)
            + Peer("{peerSelector: n == '1'}", "a") + Peer("{node: n1, peerIP: 198.51.100.1, asNumber: 65001}", "b");

        var clients = Config("n1", text).Peers.ToDictionary(p => p.Name, p => p.ReflectorClient);

        Assert.Equal([("Node_192_0_2_2", false), ("Node_192_0_2_3", true), ("Node_198_51_100_1", false), ("Node_fd00__2", false)],
            clients.OrderBy(c => c.Key, StringComparer.Ordinal).Select(c => (c.Key, c.Value)));
        Assert.False(Assert.Single(Config("n3", text).Peers).ReflectorClient);
    }

    [Fact]
    public void Local_pods_dial_and_the_node_waits()
    {
        var workload = """
            ---
            {apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: NODE-k8s-p-eth0, namespace: d, labels: {role: router}},
             spec: {node: NODE, orchestrator: k8s, pod: p, endpoint: eth0, ipNetworks: [10.1.0.5/32, "fd01::5/128"]}}

            """;
        var resources = Peer("{localWorkloadSelector: role == 'router', asNumber: 65010, ttlSecurity: 1}") + workload.Replace("NODE", "n1", StringComparison.Ordinal)
            + workload.Replace("NODE", "n2", StringComparison.Ordinal).Replace("10.1.0.5", "10.1.0.6", StringComparison.Ordinal);

        var peers = Of("n1", resources).Peers;

        Assert.Equal(["Local_Workload_10_1_0_5", "Local_Workload_fd01__5"], peers.Select(p => p.Name));
        Assert.All(peers, p => Assert.Equal((true, null, (ushort)179, 65010u, null), (p.Passive, p.SourceAddress, p.Port, p.As.Value, p.TtlSecurityHops)));
    }

    [Fact]
    public void A_session_whose_password_cannot_be_had_is_withheld_with_the_reason()
    {
        var inputs = Inputs("n1", ThreeNodes + Peer("{node: n1, peerIP: 198.51.100.1, asNumber: 65001, password: {secretKeyRef: {name: s, key: k}}}"));

        var without = Peering.Of(inputs)!;
        var with = Peering.Of(inputs with { Secret = (name, key) => (name, key) == ("s", "k") ? "secret" : null })!;

        Assert.Empty(without.Peers);
        var withheld = Assert.Single(without.Withheld);
        Assert.Equal("Node_198_51_100_1", withheld.Peer.Name);
        Assert.Contains("Secret 's' has no key 'k'", withheld.Reason, StringComparison.Ordinal);
        Assert.Equal("secret", Assert.Single(with.Peers).Password);
        Assert.DoesNotContain("secret", with.Peers[0].ToString(), StringComparison.Ordinal);
        Assert.Empty(with.Withheld);
        Assert.Single(Peering.Of(inputs with { Secret = (_, _) => new string('x', 81) })!.Withheld);
    }

    [Fact]
    public void A_speaker_alone_says_which_file_the_password_belongs_in()
    {
        var inputs = Inputs("n1", ThreeNodes + Peer("{node: n1, peerIP: 198.51.100.1, asNumber: 65001, password: {secretKeyRef: {name: s, key: k}}}")) with { IsAlone = true };

        Assert.Contains("set it to the directory of a file s/k", Assert.Single(Peering.Of(inputs)!.Withheld).Reason, StringComparison.Ordinal);
        Assert.Contains("the file /secrets/s/k is missing", Assert.Single(Peering.Of(inputs with { SecretsDirectory = "/secrets" })!.Withheld).Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void A_node_announces_the_cluster_by_its_resources()
    {
        var inputs = Inputs("n1", ThreeNodes.Replace("{nodeToNodeMeshEnabled: false}", """
            {nodeToNodeMeshEnabled: false, ipv4NormalRoutePriority: 2048, communities: [{name: rack, value: "65001:7"}],
             prefixAdvertisements: [{cidr: 10.1.0.0/16, communities: [rack, "65001:1:2"]}, {cidr: "fd01::/64", communities: [rack]}]}
            """, StringComparison.Ordinal) + """
            ---
            {apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: a}, spec: {cidr: 10.1.0.0/16}}
            ---
            {apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: b}, spec: {cidr: 10.2.0.0/16, disableBGPExport: true}}
            ---
            {apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: c}, spec: {cidr: "fd01::/64"}}

            """ + Peer("{peerIP: 198.51.100.1, asNumber: 65001}", "a") + Peer("{peerIP: 198.51.100.2, asNumber: 64512}", "b"))
            with
        { Blocks = [Cidr.Parse("10.1.0.0/26"), Cidr.Parse("fd01::/122")] };

        var peers = Peering.Of(inputs)!.Peers;

        var external = Assert.IsType<ExportPolicy>(peers[0].Export).Cluster!;
        Assert.Equal(("[10.1.0.0/16]", "[10.2.0.0/16]", "[10.1.0.0/26]", 2048u),
            (external.Pools.ToString(), external.HiddenPools.ToString(), external.Blocks.ToString(), external.NormalPriority));
        Assert.Equal("[65001:7, 65001:1:2]", Assert.Single(external.Tags).Tags.ToString());
        Assert.True(Assert.IsType<ExportPolicy>(peers[1].Export).Cluster!.Blocks.IsEmpty);
        Assert.True(Peering.Of(inputs)!.Peers.SequenceEqual(peers));
        Assert.True(Peering.Of(inputs)!.SameAs(Peering.Of(inputs)!));
    }

    [Fact]
    public void A_speaker_alone_passes_on_what_it_learns_unless_a_filter_says_otherwise()
    {
        var inputs = Inputs("n1", ThreeNodes + Peer("{peerIP: 198.51.100.1, asNumber: 65001}", "a") + Peer("{peerIP: 198.51.100.2, asNumber: 65001, filters: [f]}", "b")) with { IsAlone = true };

        var peers = Peering.Of(inputs)!.Peers;

        Assert.Null(peers[0].Export);
        Assert.Null(Assert.IsType<ExportPolicy>(peers[1].Export).Cluster);
        Assert.Equal(["f"], Peering.MissingFilters(inputs));
    }

    [Fact]
    public void A_reflector_lets_addresses_of_services_pass()
    {
        var text = ThreeNodes.Replace("192.0.2.1/24", "192.0.2.1/24, routeReflectorClusterID: 1.0.0.1", StringComparison.Ordinal)
            .Replace("{nodeToNodeMeshEnabled: false}", "{nodeToNodeMeshEnabled: false, serviceExternalIPs: [{cidr: 203.0.113.0/24}], serviceLoadBalancerIPs: [{cidr: 198.18.0.0/24}]}", StringComparison.Ordinal)
            + Peer("{peerSelector: n == '1'}");

        Assert.Equal("[198.18.0.0/24, 203.0.113.0/24]", ((ExportPolicy)Config("n1", text).Peers[0].Export!).Cluster!.Reflected.ToString());
        Assert.True(((ExportPolicy)Config("n3", text).Peers[0].Export!).Cluster!.Reflected.IsEmpty);
    }
}

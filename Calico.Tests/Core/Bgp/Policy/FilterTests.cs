using Calico.Core.Bgp.Policy;
using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Wire;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore.Manifests;
using Community = Calico.Core.Bgp.Wire.Community;

namespace Calico.Tests.Core.Bgp.Policy;

[Layer("unit")]
public class FilterTests
{
    private readonly PolicyBed _bed = new("eth0", "eth1", "vxlan.calico");

    private static BGPFilter Filter(string spec) => (BGPFilter)ResourceCodec.ParseStrict(Assert.Single(ManifestReader.Read(
        $"{{apiVersion: projectcalico.org/v3, kind: BGPFilter, metadata: {{name: f}}, spec: {spec}}}", "test")).Json);

    // A policy of one rule that accepts, with a last one that refuses what it does not match.
    private static ExportPolicy If(string conditions, IpVersion version = IpVersion.V4) =>
        Export($"{{export{version}: [{{action: Accept{(conditions.Length > 0 ? ", " : "")}{conditions}}}, {{action: Reject}}]}}", version);

    private static ExportPolicy Export(string spec, IpVersion version = IpVersion.V4) => new(FilterCompiler.Compile([Filter(spec)], isExport: true, version), null);

    [Theory]
    [InlineData("In", "10.1.0.0/16", true)]
    [InlineData("In", "10.1.2.0/24", true)]
    [InlineData("In", "10.0.0.0/8", false)]
    [InlineData("In", "10.2.0.0/24", false)]
    [InlineData("NotIn", "10.1.2.0/24", false)]
    [InlineData("NotIn", "10.0.0.0/8", true)]
    [InlineData("Equal", "10.1.0.0/16", true)]
    [InlineData("Equal", "10.1.2.0/24", false)]
    [InlineData("NotEqual", "10.1.2.0/24", true)]
    [InlineData("NotEqual", "10.1.0.0/16", false)]
    public void A_prefix_is_compared_as_the_operator_says(string by, string prefix, bool matches) =>
        Assert.Equal(matches, _bed.Lets(If($"cidr: 10.1.0.0/16, matchOperator: {by}"), _bed.Route(prefix)));

    [Theory]
    [InlineData("In", "10.1.2.0/24", true)]
    [InlineData("In", "10.1.2.0/26", true)]
    [InlineData("In", "10.1.2.0/27", false)]
    [InlineData("In", "10.1.0.0/16", false)]
    [InlineData("NotIn", "10.1.0.0/16", true)]
    [InlineData("NotIn", "10.1.2.0/24", false)]
    public void Lengths_are_part_of_what_the_cidr_names(string by, string prefix, bool matches) =>
        Assert.Equal(matches, _bed.Lets(If($"cidr: 10.1.0.0/16, matchOperator: {by}, prefixLength: {{min: 24, max: 26}}"), _bed.Route(prefix)));

    [Theory]
    [InlineData("eth0", "eth0", true)]
    [InlineData("eth*", "eth1", true)]
    [InlineData("*.calico", "vxlan.calico", true)]
    [InlineData("*", "eth0", true)]
    [InlineData("v*.c*o", "vxlan.calico", true)]
    [InlineData("eth.", "eth0", false)]
    [InlineData("eth", "eth0", false)]
    [InlineData("*", null, false)]
    public void An_interface_is_compared_with_stars(string pattern, string? name, bool matches) =>
        Assert.Equal(matches, _bed.Lets(If($"interface: \"{pattern}\""), _bed.Route("10.1.0.0/24", PolicyBed.External, by: name)));

    [Fact]
    public void Routes_of_our_own_leave_by_no_interface_and_come_from_no_peer()
    {
        Assert.False(_bed.Lets(If("interface: \"*\""), _bed.Route("10.1.0.0/24")));
        Assert.False(_bed.Lets(If("source: RemotePeers"), _bed.Route("10.1.0.0/24")));
        Assert.True(_bed.Lets(If("source: RemotePeers"), _bed.Route("10.1.0.0/24", PolicyBed.Internal)));
    }

    [Fact]
    public void The_type_of_a_peer_is_that_of_the_session_that_the_filter_is_on()
    {
        Assert.True(_bed.Lets(If("peerType: eBGP"), _bed.Route("10.1.0.0/24", PolicyBed.Internal, PolicyBed.External)));
        Assert.False(_bed.Lets(If("peerType: iBGP"), _bed.Route("10.1.0.0/24", PolicyBed.Internal, PolicyBed.External)));
        Assert.True(_bed.Lets(If("peerType: iBGP"), _bed.Route("10.1.0.0/24", PolicyBed.Internal)));
    }

    [Theory]
    [InlineData("65001:10", true)]
    [InlineData("65001:11", false)]
    [InlineData("65001:1:2", true)]
    [InlineData("65001:1:3", false)]
    public void A_community_is_looked_for_in_its_own_attribute(string community, bool matches)
    {
        var attributes = PolicyBed.Plain with { Communities = [Community.Of(1, 1), Community.Of(65001, 10)], LargeCommunities = [new(65001, 1, 2)] };

        Assert.Equal(matches, _bed.Lets(If($"communities: {{values: [\"{community}\"]}}"), _bed.Route("10.1.0.0/24", attributes: attributes)));
    }

    [Theory]
    [InlineData("[65001]", true)]
    [InlineData("[65001, 65002]", true)]
    [InlineData("[65001, 65002, 65003]", true)]
    [InlineData("[65002]", false)]
    [InlineData("[65001, 65002, 65003, 65004]", false)]
    public void A_path_is_compared_from_its_start_over_segments(string prefix, bool matches)
    {
        var path = AsPath.Sequence(65001, 65002).Then(SegmentType.Sequence, 65003).Then(SegmentType.Set, 65004);

        Assert.Equal(matches, _bed.Lets(If($"asPathPrefix: {prefix}"), _bed.Route("10.1.0.0/24", attributes: PolicyBed.Plain with { AsPath = path })));
    }

    [Fact]
    public void The_priority_is_what_LOCAL_PREF_carries()
    {
        Assert.True(_bed.Lets(If("priority: 1024"), _bed.Route("10.1.0.0/24")));
        Assert.False(_bed.Lets(If("priority: 512"), _bed.Route("10.1.0.0/24")));
        Assert.Equal(2147482623u, RoutePriority.ToLocalPref(1024));
    }

    [Fact]
    public void Every_condition_must_hold()
    {
        var policy = If("cidr: 10.1.0.0/16, matchOperator: In, source: RemotePeers, interface: eth0");

        Assert.True(_bed.Lets(policy, _bed.Route("10.1.0.0/24", PolicyBed.External, by: "eth0")));
        Assert.False(_bed.Lets(policy, _bed.Route("10.1.0.0/24", PolicyBed.External, by: "eth1")));
        Assert.False(_bed.Lets(policy, _bed.Route("10.2.0.0/24", PolicyBed.External, by: "eth0")));
    }

    [Fact]
    public void Operations_are_made_in_order_on_what_is_accepted()
    {
        var policy = If("""
            operations: [{addCommunity: {value: "65001:10"}}, {addCommunity: {value: "65001:1:2"}}, {prependASPath: {prefix: [65001, 65002]}},
             {prependASPath: {prefix: [65003]}}, {setPriority: {value: 512}}]
            """);

        var changed = _bed.Ask(policy, _bed.Route("10.1.0.0/24", attributes: PolicyBed.Plain with { AsPath = AsPath.Sequence(65009) }))!;

        Assert.Equal("65003 65001 65002 65009", changed.AsPath.ToString());
        Assert.Equal(1, changed.AsPath.Octets[..2].ToArray().Count(b => b == 4));
        Assert.Equal(("65001:10", "65001:1:2"), (Assert.Single(changed.Communities).ToString(), Assert.Single(changed.LargeCommunities).ToString()));
        Assert.Equal(RoutePriority.ToLocalPref(512), changed.LocalPref);
    }

    [Fact]
    public void The_first_rule_that_matches_decides_over_all_filters_in_order()
    {
        var first = Filter("{importV4: [{action: Reject, cidr: 10.1.2.0/24, matchOperator: Equal}]}");
        var second = Filter("{importV4: [{action: Accept, cidr: 10.1.0.0/16, matchOperator: In}, {action: Reject}]}");
        var policy = new ImportPolicy(FilterCompiler.Compile([first, second], isExport: false, IpVersion.V4));

        Assert.False(_bed.Lets(policy, _bed.Route("10.1.2.0/24", PolicyBed.External)));
        Assert.True(_bed.Lets(policy, _bed.Route("10.1.3.0/24", PolicyBed.External)));
        Assert.False(_bed.Lets(policy, _bed.Route("10.2.0.0/24", PolicyBed.External)));
    }

    [Fact]
    public void Directions_and_families_have_rules_of_their_own()
    {
        var filter = Filter("{exportV4: [{action: Reject}], importV6: [{action: Reject, cidr: \"fd00::/16\", matchOperator: In}]}");

        Assert.Single(FilterCompiler.Compile([filter], isExport: true, IpVersion.V4).Items);
        Assert.Empty(FilterCompiler.Compile([filter], isExport: false, IpVersion.V4).Items);
        var v6 = new ImportPolicy(FilterCompiler.Compile([filter], isExport: false, IpVersion.V6));
        Assert.False(_bed.Lets(v6, _bed.Route("fd00:1::/64", PolicyBed.External)));
        Assert.True(_bed.Lets(v6, _bed.Route("2001:db8::/64", PolicyBed.External)));
    }

    [Fact]
    public void A_filter_that_does_not_exist_lets_nothing_pass()
    {
        var policy = new ImportPolicy(FilterCompiler.Compile([Filter("{importV4: [{action: Accept, cidr: 10.1.0.0/16, matchOperator: In}]}"), null], isExport: false, IpVersion.V4));

        Assert.True(_bed.Lets(policy, _bed.Route("10.1.3.0/24", PolicyBed.External)));
        Assert.False(_bed.Lets(policy, _bed.Route("10.2.3.0/24", PolicyBed.External)));
    }

    [Fact]
    public void Equal_filters_make_equal_policies()
    {
        const string Conditions = "cidr: 10.1.0.0/16, matchOperator: In, asPathPrefix: [65001], communities: {values: [\"1:2\"]}, operations: [{prependASPath: {prefix: [65001]}}]";

        Assert.Equal(If(Conditions), If(Conditions));
        Assert.Equal(If(Conditions).GetHashCode(), If(Conditions).GetHashCode());
        Assert.NotEqual(If(Conditions), If(Conditions.Replace("[65001]", "[65002]", StringComparison.Ordinal)));
    }

    [Fact]
    public void A_route_that_is_not_changed_costs_no_object()
    {
        var policy = Export("""
            {exportV4: [{action: Reject, communities: {values: ["1:2"]}}, {action: Reject, asPathPrefix: [65001]}, {action: Reject, interface: "x*"},
             {action: Reject, cidr: 10.1.2.0/24, matchOperator: Equal, prefixLength: {min: 24}}, {action: Reject, priority: 7}]}
            """) with
        { Cluster = new ClusterExport { Pools = PolicyBed.Ranges("10.0.0.0/8"), Blocks = PolicyBed.Ranges("10.7.0.0/26") } };
        var route = _bed.Route("10.1.0.0/24", PolicyBed.Internal, PolicyBed.External, by: "eth0");

        Assert.True(_bed.Lets(policy, route));
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 1000; i++)
            policy.Apply(route, _bed.Attributes);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 500);
    }
}

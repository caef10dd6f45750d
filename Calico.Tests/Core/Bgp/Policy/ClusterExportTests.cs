using Calico.Core.Bgp.Policy;
using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Tests.Core.Bgp.Policy;

[Layer("unit")]
public class ClusterExportTests
{
    private const string OwnBlock = "10.1.0.0/26";

    private static readonly ClusterExport Cluster = new()
    {
        Pools = PolicyBed.Ranges("10.1.0.0/16"),
        HiddenPools = PolicyBed.Ranges("10.2.0.0/16"),
        Blocks = PolicyBed.Ranges(OwnBlock),
    };

    private readonly PolicyBed _bed = new();

    private bool Lets(ClusterExport cluster, string prefix, RibPeer? source = null, uint priority = RoutePriority.Normal) => _bed.Lets(new ExportPolicy([], cluster),
        _bed.Route(prefix, source, PolicyBed.External, new PathAttributes { LocalPref = RoutePriority.ToLocalPref(priority) }));

    [Theory]
    [InlineData("10.1.0.64/26", true)]
    [InlineData("10.1.9.9/32", true)]
    [InlineData("10.2.0.0/26", false)]
    [InlineData("10.3.0.0/26", false)]
    [InlineData("0.0.0.0/0", false)]
    public void Of_what_others_have_told_only_the_clusters_own_is_passed_on(string prefix, bool goes) => Assert.Equal(goes, Lets(Cluster, prefix, PolicyBed.Internal));

    [Theory]
    [InlineData(OwnBlock, true)]
    [InlineData("10.1.7.7/32", true)]
    [InlineData("10.96.0.0/12", true)]
    [InlineData("10.2.0.0/26", false)]
    public void What_is_ours_goes_unless_its_pool_is_kept_out_of_BGP(string prefix, bool goes) => Assert.Equal(goes, Lets(Cluster, prefix));

    [Fact]
    public void Parts_of_an_own_block_stay_here_unless_a_workload_is_moving()
    {
        Assert.False(Lets(Cluster, "10.1.0.7/32", PolicyBed.Internal));
        Assert.True(Lets(Cluster, "10.1.0.7/32", PolicyBed.Internal, priority: 512));
        Assert.False(Lets(Cluster with { NormalPriority = 512 }, "10.1.0.7/32", PolicyBed.Internal, priority: 512));
    }

    [Fact]
    public void A_reflector_passes_on_addresses_of_services()
    {
        Assert.False(Lets(Cluster, "198.51.100.7/32", PolicyBed.Internal));
        Assert.True(Lets(Cluster with { Reflected = PolicyBed.Ranges("198.51.100.0/24") }, "198.51.100.7/32", PolicyBed.Internal));
    }

    [Fact]
    public void A_filter_that_decides_ends_the_matter()
    {
        var accept = new ExportPolicy([new FilterRule { Accepts = true, Prefix = new PrefixMatch(Cidr.Parse("10.2.0.0/16"), MatchOperator.In, 0, 32) }], Cluster);
        var reject = accept with { Rules = [FilterRule.RejectAll] };

        Assert.True(_bed.Lets(accept, _bed.Route("10.2.0.0/26")));
        Assert.False(_bed.Lets(accept, _bed.Route("10.3.0.0/26", PolicyBed.Internal)));
        Assert.False(_bed.Lets(reject, _bed.Route(OwnBlock)));
    }

    [Fact]
    public void What_goes_carries_the_communities_of_its_ranges_once()
    {
        Assert.True(RouteTag.TryParse("65001:10", out var one));
        Assert.True(RouteTag.TryParse("65001:1:2", out var other));
        var policy = new ExportPolicy([], Cluster with { Tags = [new PrefixTags(Cidr.Parse("10.1.0.0/16"), [one]), new PrefixTags(Cidr.Parse("10.1.0.0/24"), [one, other])] });

        var tagged = _bed.Ask(policy, _bed.Route(OwnBlock))!;
        Assert.Equal(("65001:10", "65001:1:2"), (Assert.Single(tagged.Communities).ToString(), Assert.Single(tagged.LargeCommunities).ToString()));
        Assert.Equal("65001:10", Assert.Single(_bed.Ask(policy, _bed.Route("10.1.5.0/26"))!.Communities).ToString());
        Assert.True(_bed.Lets(policy, _bed.Route(OwnBlock, attributes: tagged)));
    }

    [Fact]
    public void Equal_clusters_are_equal_and_others_are_not()
    {
        Assert.Equal(Cluster, Cluster with { Pools = PolicyBed.Ranges("10.1.0.0/16") });
        Assert.NotEqual(Cluster, Cluster with { Blocks = PolicyBed.Ranges("10.1.0.64/26") });
    }

    [Fact]
    public void A_RIB_with_this_policy_tells_an_external_router_the_cluster_and_nothing_else()
    {
        var rib = new RibHarness();
        var (node, router, other) = (RibHarness.Peer(1, isInternal: true), RibHarness.Peer(2, isInternal: false, export: new ExportPolicy([], Cluster)), RibHarness.Peer(3, isInternal: false));
        rib.Up(node);
        rib.Up(router);
        rib.Up(other);

        rib.Rib.Originate(Cidr.Parse(OwnBlock), PathAttributes.Local with { LocalPref = RoutePriority.ToLocalPref(RoutePriority.Normal) });
        rib.Announce(node, PolicyBed.Plain, "10.0.0.1", "10.1.0.64/26", "10.1.0.9/32", "10.2.0.0/26");
        rib.Announce(other, new PathAttributes { AsPath = AsPath.Sequence(65003) }, "10.0.0.3", "0.0.0.0/0");
        rib.TakeAll();

        Assert.Equal(["10.1.0.0/26", "10.1.0.64/26"], rib.Told(2).Keys.Order().Select(k => k.ToString()));
        Assert.All(rib.Told(2).Values, t => Assert.Null(t.Attributes.LocalPref));
        Assert.Equal(RoutePriority.ToLocalPref(RoutePriority.Normal), rib.Told(1)[Cidr.Parse(OwnBlock)].Attributes.LocalPref);
    }
}

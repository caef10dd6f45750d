using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Tests.Core.Bgp;

[Layer("unit")]
public class RibTests
{
    private static readonly RibPeer Internal1 = RibHarness.Peer(1, isInternal: true);
    private static readonly RibPeer Internal2 = RibHarness.Peer(2, isInternal: true);
    private static readonly RibPeer External3 = RibHarness.Peer(3, isInternal: false);
    private static readonly RibPeer External4 = RibHarness.Peer(4, isInternal: false);
    private static readonly Cidr Block = Cidr.Parse("10.65.1.0/26");

    private readonly RibHarness _net = new();

    public RibTests()
    {
        foreach (var peer in new[] { Internal1, Internal2, External3, External4 })
            _net.Up(peer);
    }

    [Fact]
    public void Our_own_block_goes_to_everybody_with_our_address_as_next_hop()
    {
        _net.Rib.Originate(Block, PathAttributes.Local);
        _net.TakeAll();

        Assert.Equal((new PathAttributes { LocalPref = 100 }, IpAddr.Parse("10.0.0.100")), _net.Told(1)[Block]);
        Assert.Equal((new PathAttributes { AsPath = AsPath.Sequence(64512) }, IpAddr.Parse("10.0.0.100")),
            _net.Told(3)[Block]);
        Assert.Empty(_net.Kernel);
    }

    [Fact]
    public void An_ipv6_block_goes_out_with_our_ipv6_address()
    {
        _net.Rib.Originate(Cidr.Parse("fd00:65::/122"), PathAttributes.Local);
        _net.TakeAll();

        Assert.Equal(IpAddr.Parse("fd00::100"), _net.Told(1)[Cidr.Parse("fd00:65::/122")].NextHop);
    }

    [Fact]
    public void A_route_of_the_mesh_goes_into_the_kernel_and_to_external_peers_only()
    {
        _net.Announce(Internal1, new PathAttributes { LocalPref = 100, Med = 7 }, "10.0.0.1", "10.65.2.0/26");
        _net.TakeAll();

        var hop = Assert.Single(_net.Kernel[Cidr.Parse("10.65.2.0/26")].NextHops);
        Assert.Equal((IpAddr.Parse("10.0.0.1"), Internal1.Address), (hop.NextHop, hop.Peer));
        Assert.Empty(_net.Told(1));
        Assert.Empty(_net.Told(2));
        Assert.Equal((new PathAttributes { AsPath = AsPath.Sequence(64512), Med = 1 }, IpAddr.Parse("10.0.0.100")),
            _net.Told(3)[Cidr.Parse("10.65.2.0/26")]);
    }

    [Fact]
    public void A_router_on_the_same_link_is_told_the_node_itself_and_never_what_goes_through_the_router()
    {
        var net = new RibHarness(new FakeResolver
        {
            ["10.0.0.0/24"] = new(true, null, 2, 0),
            ["10.1.0.0/24"] = new(true, External3.Address, 2, 1),
            ["10.2.0.0/24"] = new(true, IpAddr.Parse("10.0.0.254"), 2, 1),
        });
        net.Up(Internal1);
        net.Up(External3);
        net.Announce(Internal1, PathAttributes.Local, "10.0.0.1", "10.65.1.0/26");
        net.Announce(Internal1, PathAttributes.Local, "10.1.0.1", "10.65.2.0/26");
        net.Announce(Internal1, PathAttributes.Local, "10.2.0.1", "10.65.3.0/26");
        net.TakeAll();

        Assert.Equal(["10.0.0.1", "10.0.0.100"], Hops());

        net.Rib.ResolveNextHops(new FakeResolver
        {
            ["10.0.0.1/32"] = new(true, null, 3, 0),
            ["10.0.0.0/24"] = new(true, null, 2, 0),
            ["10.1.0.0/24"] = new(true, IpAddr.Parse("10.0.0.254"), 2, 1),
        });
        net.TakeAll();

        Assert.Equal(["10.0.0.100", "10.0.0.100"], Hops());

        IEnumerable<string> Hops() => net.Told(3).OrderBy(t => t.Key).Select(t => t.Value.NextHop.ToString());
    }

    [Fact]
    public void A_route_from_outside_reaches_the_mesh_with_its_next_hop_unchanged()
    {
        _net.Announce(External3, new PathAttributes { AsPath = AsPath.Sequence(65003, 7), Med = 7 }, "172.16.0.9",
            "192.0.2.0/24");
        _net.TakeAll();

        var (attributes, nextHop) = _net.Told(1)[Cidr.Parse("192.0.2.0/24")];
        Assert.Equal(new PathAttributes { AsPath = AsPath.Sequence(65003, 7), Med = 7, LocalPref = 100 }, attributes);
        Assert.Equal(IpAddr.Parse("172.16.0.9"), nextHop);
        Assert.DoesNotContain(Cidr.Parse("192.0.2.0/24"), _net.Told(3).Keys);
        Assert.Equal("64512 65003 7", _net.Told(4)[Cidr.Parse("192.0.2.0/24")].Attributes.AsPath.ToString());
    }

    [Theory]
    [InlineData(WellKnownCommunity.NoAdvertise, false, false)]
    [InlineData(WellKnownCommunity.NoExport, true, false)]
    [InlineData(0xFC000001u, true, true)]
    public void Well_known_communities_are_honoured(uint community, bool toMesh, bool toOutside)
    {
        _net.Announce(External3,
            new PathAttributes { AsPath = AsPath.Sequence(65003), Communities = [new(community)] }, "10.0.0.3",
            "192.0.2.0/24");
        _net.TakeAll();

        Assert.Equal(toMesh, _net.Told(1).Count == 1);
        Assert.Equal(toOutside, _net.Told(4).Count == 1);
    }

    [Fact]
    public void Routes_that_were_here_before_are_not_used()
    {
        _net.Announce(External3, new PathAttributes { AsPath = AsPath.Sequence(65003, 64512) }, "10.0.0.3",
            "192.0.2.0/24");
        _net.Announce(Internal1, new PathAttributes { OriginatorId = RibHarness.OwnId }, "10.0.0.9", "192.0.3.0/24");
        _net.Announce(Internal1, PathAttributes.Local, "10.0.0.100", "192.0.4.0/24");
        _net.TakeAll();

        Assert.Empty(_net.Kernel);
        Assert.Equal(0, _net.Rib.Attributes(Families.Ipv4Unicast).Count);
    }

    [Fact]
    public void A_looped_route_replaces_the_good_one_it_follows()
    {
        _net.Announce(External3, new PathAttributes { AsPath = AsPath.Sequence(65003) }, "10.0.0.3", "192.0.2.0/24");
        _net.Announce(External3, new PathAttributes { AsPath = AsPath.Sequence(65003, 64512) }, "10.0.0.3",
            "192.0.2.0/24");
        _net.TakeAll();

        Assert.Empty(_net.Kernel);
    }

    [Fact]
    public void Equal_routes_become_one_with_several_next_hops_and_split_again()
    {
        _net.Announce(Internal1, PathAttributes.Local, "10.0.0.1", "10.65.9.0/26");
        _net.Announce(Internal2, PathAttributes.Local, "10.0.0.2", "10.65.9.0/26");
        _net.TakeAll();
        Assert.Equal(["10.0.0.1", "10.0.0.2"],
            _net.Kernel[Cidr.Parse("10.65.9.0/26")].NextHops.Select(h => h.NextHop.ToString()));

        _net.Withdraw(Internal1, "10.65.9.0/26");
        _net.TakeAll();
        Assert.Equal(["10.0.0.2"], _net.Kernel[Cidr.Parse("10.65.9.0/26")].NextHops.Select(h => h.NextHop.ToString()));
    }

    [Fact]
    public void Our_own_route_hides_the_one_of_a_peer_from_the_kernel()
    {
        _net.Announce(Internal1, PathAttributes.Local with { LocalPref = 500 }, "10.0.0.1", "10.65.1.0/26");
        _net.TakeAll();
        Assert.Contains(Block, _net.Kernel.Keys);

        _net.Rib.Originate(Block, PathAttributes.Local);
        _net.TakeAll();
        Assert.Empty(_net.Kernel);
        Assert.Contains(Block, _net.Told(1).Keys);

        _net.Rib.WithdrawLocal(Block);
        _net.TakeAll();
        Assert.Contains(Block, _net.Kernel.Keys);
        Assert.Empty(_net.Told(1));
    }

    [Fact]
    public void A_peer_that_goes_takes_its_routes_and_leaves_nothing_behind()
    {
        _net.Announce(Internal1, PathAttributes.Local, "10.0.0.1", "10.65.2.0/26", "10.65.3.0/26");
        _net.TakeAll();

        _net.Down(1);
        _net.TakeAll();

        Assert.Empty(_net.Kernel);
        Assert.Empty(_net.Told(3));
        Assert.Equal(0, _net.Rib.Prefixes(Families.Ipv4Unicast));
        Assert.Equal(0, _net.Rib.Attributes(Families.Ipv4Unicast).Count);
    }

    [Fact]
    public void A_restarting_peers_routes_stay_until_it_did_not_repeat_them()
    {
        _net.Announce(Internal1, PathAttributes.Local, "10.0.0.1", "10.65.2.0/26", "10.65.3.0/26");
        _net.TakeAll();

        _net.Down(1, Families.Ipv4Unicast);
        _net.TakeAll();
        Assert.Equal(2, _net.Kernel.Count);
        Assert.All(_net.Rib.Dump(Families.Ipv4Unicast), r => Assert.True(r.IsStale));

        _net.Up(Internal1);
        _net.Announce(Internal1, PathAttributes.Local, "10.0.0.1", "10.65.2.0/26");
        _net.Rib.SweepStale(1, Families.Ipv4Unicast);
        _net.TakeAll();
        Assert.Equal("10.65.2.0/26", Assert.Single(_net.Kernel.Keys).ToString());
    }

    [Fact]
    public void A_second_restart_before_the_end_of_the_first_drops_what_was_stale()
    {
        _net.Announce(Internal1, PathAttributes.Local, "10.0.0.1", "10.65.2.0/26", "10.65.3.0/26");
        _net.Down(1, Families.Ipv4Unicast);
        _net.Up(Internal1);
        _net.Announce(Internal1, PathAttributes.Local, "10.0.0.1", "10.65.2.0/26");
        _net.Down(1, Families.Ipv4Unicast);
        _net.TakeAll();

        Assert.Equal("10.65.2.0/26", Assert.Single(_net.Kernel.Keys).ToString());
    }

    [Fact]
    public void An_enhanced_refresh_of_the_peer_removes_what_it_does_not_repeat()
    {
        _net.Announce(Internal1, PathAttributes.Local, "10.0.0.1", "10.65.2.0/26", "10.65.3.0/26");
        _net.Mark(Internal1, RouteAction.RefreshBegin, Families.Ipv4Unicast);
        _net.Announce(Internal1, PathAttributes.Local, "10.0.0.1", "10.65.3.0/26");
        _net.Mark(Internal1, RouteAction.RefreshEnd, Families.Ipv4Unicast);
        _net.TakeAll();

        Assert.Equal("10.65.3.0/26", Assert.Single(_net.Kernel.Keys).ToString());
    }

    [Fact]
    public void A_refresh_repeats_everything_between_its_marks()
    {
        var peer = RibHarness.Peer(5, isInternal: true, enhanced: true);
        _net.Up(peer);
        _net.Rib.Originate(Block, PathAttributes.Local);
        _net.TakeAll();
        _net.Order.Clear();

        _net.Rib.Refresh(5, Families.Ipv4Unicast);
        _net.TakeAll();

        Assert.Equal(["5 BeginOfRouteRefresh Ipv4Unicast", "5 EndOfRouteRefresh Ipv4Unicast"], _net.Order);
        Assert.Contains(Block, _net.Told(5).Keys);
    }

    [Fact]
    public void End_of_rib_waits_for_leave_and_for_the_last_route()
    {
        var net = new RibHarness();
        net.Rib.EndOfRibAllowed = false;
        net.Rib.Originate(Block, PathAttributes.Local);
        net.Up(Internal1);
        net.TakeAll();
        Assert.Equal(Families.None, net.EndOfRib(1));
        Assert.False(net.Rib.HasUpdates(1));

        net.Rib.EndOfRibAllowed = true;
        Assert.True(net.Rib.HasUpdates(1));
        net.TakeAll();
        Assert.Equal(Families.Both, net.EndOfRib(1));
        Assert.False(net.Rib.HasUpdates(1));
    }

    [Fact]
    public void Next_hops_are_resolved_and_resolved_again_only_where_they_changed()
    {
        var routes = new FakeResolver
        {
            ["10.0.0.0/24"] = new(true, null, 2, 0),
            ["10.1.0.0/24"] = new(true, IpAddr.Parse("10.0.0.254"), 2, 20)
        };
        var net = new RibHarness(routes);
        net.Up(Internal1);
        net.Up(Internal2);
        net.Announce(Internal1, PathAttributes.Local, "10.1.0.1", "10.65.2.0/26");
        net.Announce(Internal2, PathAttributes.Local, "10.2.0.1", "10.65.3.0/26");
        net.TakeAll();
        var hop = Assert.Single(Assert.Single(net.Kernel).Value.NextHops);
        Assert.Equal((IpAddr.Parse("10.1.0.1"), (IpAddr?)IpAddr.Parse("10.0.0.254"), 2),
            (hop.NextHop, hop.Gateway, hop.LinkIndex));

        var later = new FakeResolver
        {
            ["10.1.0.0/24"] = new(true, IpAddr.Parse("10.0.0.253"), 3, 20),
            ["10.2.0.0/24"] = new(true, null, 4, 0)
        };
        net.Rib.ResolveNextHops(later, [Cidr.Parse("10.2.0.0/24")]);
        net.TakeAll();
        Assert.Equal(["10.2.0.1"], later.Asked);
        Assert.Equal(2, net.Kernel.Count);

        net.Rib.ResolveNextHops(later);
        net.TakeAll();
        Assert.Equal(3, net.Kernel[Cidr.Parse("10.65.2.0/26")].NextHops[0].LinkIndex);

        net.Rib.ResolveNextHops(new FakeResolver());
        net.TakeAll();
        Assert.Empty(net.Kernel);
    }

    [Fact]
    public void Policies_refuse_and_change_routes_in_both_directions()
    {
        var net = new RibHarness();
        var tag = new Tagging();
        net.Up(RibHarness.Peer(1, true, import: tag));
        net.Up(RibHarness.Peer(3, false, export: tag));
        net.Announce(Internal1, PathAttributes.Local, "10.0.0.1", "10.65.2.0/26", "10.66.0.0/26");
        net.TakeAll();

        Assert.Equal("10.65.2.0/26", Assert.Single(net.Kernel.Keys).ToString());
        Assert.Equal(["64512:1", "64512:1"],
            net.Told(3)[Cidr.Parse("10.65.2.0/26")].Attributes.Communities.Select(c => c.ToString()));
        net.Withdraw(Internal1, "10.65.2.0/26");
        net.TakeAll();
        net.Announce(Internal1, PathAttributes.Local, "10.0.0.1", "10.66.0.0/26");
        Assert.Equal(0, net.Rib.Attributes(Families.Ipv4Unicast).Count);
    }

    [Theory]
    [InlineData("224.0.0.0/8", "10.65.2.0/26")]
    [InlineData("127.0.0.0/8", "126.0.0.0/8")]
    [InlineData("127.0.0.1/32", "128.0.0.0/8")]
    [InlineData("0.0.0.0/8", "0.0.0.0/0")]
    [InlineData("0.0.0.1/32", "0.0.0.0/7")]
    [InlineData("ff02::1/128", "fd00:65::/64")]
    [InlineData("fe80::/64", "fe00::/9")]
    [InlineData("::1/128", "::/0")]
    [InlineData("::/128", "::2/128")]
    public void Prefixes_that_no_route_may_have_are_ignored(string martian, string good)
    {
        _net.Announce(Internal1, PathAttributes.Local, martian.Contains(':', StringComparison.Ordinal) ? "fd00::1" : "10.0.0.1", martian, good);
        _net.TakeAll();

        Assert.Equal(good, Assert.Single(_net.Kernel.Keys).ToString());
    }

    [Fact]
    public void A_kernel_that_lost_its_memory_is_told_everything_again()
    {
        _net.Announce(Internal1, PathAttributes.Local, "10.0.0.1", "10.65.2.0/26", "10.65.3.0/26");
        _net.TakeAll();
        _net.Kernel.Clear();

        _net.Rib.RepeatBest();
        _net.TakeAll();

        Assert.Equal(2, _net.Kernel.Count);
    }

    [Fact]
    public void A_set_too_long_for_the_peers_messages_is_not_announced_and_an_earlier_one_withdrawn()
    {
        _net.Announce(External3, new PathAttributes { AsPath = AsPath.Sequence(65003) }, "10.0.0.3", "192.0.2.0/24");
        _net.TakeAll();
        Assert.Single(_net.Told(4));

        // It fits into the message it came in, but not with our AS in front.
        var communities = Enumerable.Repeat(Community.Of(1, 1), 1011);
        _net.Announce(External3,
            new PathAttributes { AsPath = AsPath.Sequence(65003), Communities = [.. communities] }, "10.0.0.3",
            "192.0.2.0/24");
        _net.TakeAll();

        Assert.Empty(_net.Told(4));
    }

    private sealed class FakeResolver : Dictionary<string, NextHopResolution>, INextHopResolver
    {
        public List<string> Asked { get; } = [];

        public NextHopResolution Resolve(IpAddr nextHop)
        {
            Asked.Add(nextHop.ToString());
            return this.FirstOrDefault(r => Cidr.Parse(r.Key).Contains(nextHop)).Value;
        }
    }

    /// <summary>Adds a community, refuses 10.66/16.</summary>
    private sealed class Tagging : IRoutePolicy
    {
        public int Apply(in PolicyRoute route, AttributeTable attributes)
        {
            if (Cidr.Parse("10.66.0.0/16").Contains(route.Prefix))
                return AttributeTable.None;
            var set = attributes.Attributes(route.AttributeSet);
            return attributes.Intern(set with { Communities = set.Communities.Add(Community.Of(64512, 1)) },
                attributes.NextHop(route.AttributeSet));
        }
    }
}

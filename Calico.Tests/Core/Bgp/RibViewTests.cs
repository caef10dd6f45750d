using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Tests.Core.Bgp;

/// <summary>The tables as people see them: pages, what a peer told and is told, and why a route won.</summary>
[Layer("unit")]
public class RibViewTests
{
    private static readonly RibPeer One = RibHarness.Peer(1, isInternal: true);
    private static readonly RibPeer Two = RibHarness.Peer(2, isInternal: true);
    private static readonly RibPeer Outside = RibHarness.Peer(3, isInternal: false);

    private readonly RibHarness _net = new(new Unreachable(IpAddr.Parse("10.0.0.66")));

    public RibViewTests()
    {
        foreach (var peer in new[] { One, Two, Outside })
            _net.Up(peer);
    }

    [Fact]
    public void Pages_show_everything_once_and_all_routes_of_a_prefix_together()
    {
        for (var i = 0; i < 25; i++)
        {
            _net.Announce(One, new PathAttributes { LocalPref = 100 }, "10.0.0.1", $"10.1.{i}.0/24");
            _net.Announce(Two, new PathAttributes { LocalPref = 200 }, "10.0.0.2", $"10.1.{i}.0/24");
        }

        var pages = new List<RibPage>();
        for (int? after = 0; after is { } from;)
        {
            pages.Add(_net.Rib.Look(new RibQuery(Families.Ipv4Unicast) { After = from, Limit = 4 }));
            after = pages[^1].Next;
        }

        Assert.All(pages.SkipLast(1), p => Assert.Equal(4, p.Routes.Length));
        Assert.Equal(50, pages.SelectMany(p => p.Routes).Select(r => (r.Prefix, r.Source.Index)).Distinct().Count());
        Assert.All(pages.SelectMany(p => p.Routes), r => Assert.Equal(r.Source.Index == 2, r.IsBest));
    }

    [Fact]
    public void A_query_says_of_whom_and_where()
    {
        _net.Announce(One, new PathAttributes { LocalPref = 100 }, "10.0.0.1", "10.1.0.0/24", "10.2.0.0/24");
        _net.Announce(Two, new PathAttributes { LocalPref = 100 }, "10.0.0.2", "10.1.1.0/24");
        var all = new RibQuery(Families.Ipv4Unicast);

        Assert.Equal(["10.1.0.0/24", "10.2.0.0/24"], Shown(all with { From = One.Address }));
        Assert.Equal(["10.1.0.0/24", "10.1.1.0/24"], Shown(all with { Within = Cidr.Parse("10.1.0.0/16") }));
        Assert.Empty(Shown(all with { From = IpAddr.Parse("192.0.2.1") }));
        Assert.Empty(Shown(new RibQuery(Families.Ipv6Unicast)));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_a_peer_is_told_is_shown_as_it_sees_it(bool addPath)
    {
        var router = RibHarness.Peer(4, isInternal: false, addPath: addPath);
        _net.Up(router);
        _net.Announce(Outside, new PathAttributes { AsPath = AsPath.Sequence(65003), Med = 7 }, "10.0.0.3", "192.0.2.0/24");
        var query = new RibQuery(Families.Ipv4Unicast) { To = router.Address };
        Assert.Empty(Shown(query));
        _net.TakeAll();

        var told = Assert.Single(_net.Rib.Look(query).Routes);

        var heard = Assert.Single(_net.Paths(4, Cidr.Parse("192.0.2.0/24")));
        Assert.Equal(("64512 65003", null, heard.NextHop), (told.Attributes.AsPath.ToString(), told.Attributes.Med, told.NextHop));
        Assert.Equal(heard.Attributes.AsPath, told.Attributes.AsPath);
        Assert.Equal(addPath, told.PathId > 0);
        Assert.Empty(Shown(query with { To = Outside.Address }));
    }

    [Fact]
    public void The_explanation_names_the_step_at_which_each_route_lost()
    {
        _net.Announce(One, new PathAttributes { LocalPref = 200 }, "10.0.0.1", "10.1.0.0/24");
        _net.Announce(Two, new PathAttributes { LocalPref = 100 }, "10.0.0.2", "10.1.0.0/24");
        _net.Announce(Outside, new PathAttributes { AsPath = AsPath.Sequence(65003) }, "10.0.0.66", "10.1.0.0/24");

        var why = _net.Rib.Explain(Cidr.Parse("10.1.0.9/32"))!;

        Assert.Equal("10.1.0.0/24", why.Prefix.ToString());
        Assert.Equal([(1, null, null, null), (2, DecisionStep.LocalPref, "100", "200"), (3, DecisionStep.NextHopReachable, "unreachable", "reachable")],
            why.Routes.Select(r => ((int)r.Route.Source.Index, r.LostAt, r.Value, r.BestValue)));
        Assert.Null(_net.Rib.Explain(Cidr.Parse("10.9.0.0/24")));
    }

    [Fact]
    public void Of_routes_that_are_as_good_the_explanation_says_that_they_forward_too()
    {
        _net.Announce(Two, new PathAttributes { LocalPref = 100 }, "10.0.0.2", "10.1.0.0/24");
        _net.Announce(One, new PathAttributes { LocalPref = 100 }, "10.0.0.1", "10.1.0.0/24");

        var why = _net.Rib.Explain(Cidr.Parse("10.1.0.0/24"))!;

        Assert.Equal([(1, null, true), (2, DecisionStep.RouterId, true)], why.Routes.Select(r => ((int)r.Route.Source.Index, r.LostAt, r.Route.IsMultipath)));
    }

    private IEnumerable<string> Shown(RibQuery query) => _net.Rib.Look(query).Routes.Select(r => r.Prefix.ToString()).Order(StringComparer.Ordinal);

    private sealed class Unreachable(IpAddr address) : INextHopResolver
    {
        public NextHopResolution Resolve(IpAddr nextHop) => new(nextHop != address, null, 1, 0);
    }
}

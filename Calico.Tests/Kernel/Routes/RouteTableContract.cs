using System.Collections.Immutable;
using Calico.Core.Net;
using Calico.Kernel;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Routes;

namespace Calico.Tests.Kernel.Routes;

/// <summary>
/// What routes do, in the kernel and in the fake. Each test begins in a namespace with a running veth pair:
/// <c>left</c> has 10.0.0.1/24 and fd00::1/64, <c>right</c> is in the same namespace and has no address.
/// </summary>
public abstract class RouteTableContract : IDisposable
{
    private const byte Ours = 80;
    private readonly ITestWorld _world;
    private readonly INetworkNamespace _host;
    private readonly ILinkTable _links;
    private readonly IRouteTable _routes;
    private readonly int _left;
    private readonly int _right;

    protected RouteTableContract(ITestWorld world)
    {
        _world = world;
        _host = world.Create();
        _links = _host.OpenLinks();
        _routes = _host.OpenRoutes();
        _left = _links.CreateVeth(new VethPair("left", "right", -1), up: true).Index;
        _right = _links.Find("right")!.Index;
        _links.Change(new LinkChange(_right) { Up = true });
        _links.AddAddress(new LinkAddress(_left, Cidr.Parse("10.0.0.1/24")));
        _links.AddAddress(new LinkAddress(_left, Cidr.Parse("fd00::1/64")));
    }

    public void Dispose()
    {
        _routes.Dispose();
        _links.Dispose();
        _world.Dispose();
        GC.SuppressFinalize(this);
    }

    [Theory]
    [InlineData("10.1.0.0/16", "10.0.0.2")]
    [InlineData("10.1.2.3/32", "10.0.0.2")]
    [InlineData("0.0.0.0/0", "10.0.0.2")]
    [InlineData("fd01::/64", "fd00::2")]
    [InlineData("fd01::5/128", "fd00::2")]
    [InlineData("::/0", "fd00::2")]
    public void A_route_reads_back_as_it_was_written(string destination, string gateway)
    {
        var route = Via(destination, new NextHop(IpAddr.Parse(gateway), _left), metric: 77) with { Mtu = 1400 };

        Assert.Equal(Errno.None, Add(route));

        Assert.Equal(route, Assert.Single(DumpOurs()));
        Assert.Equal(1, _routes.WriteCount);
    }

    [Fact]
    public void A_workload_route_to_a_device_has_scope_link()
    {
        var route = Via("10.65.0.7/32", new NextHop(null, _right)) with { Scope = RouteScope.Link };

        Assert.Equal(Errno.None, Add(route));

        Assert.Equal(route, Assert.Single(DumpOurs()));
    }

    [Fact]
    public void The_kernel_finds_the_link_of_a_gateway()
    {
        Assert.Equal(Errno.None, Add(Via("10.1.0.0/16", new NextHop(IpAddr.Parse("10.0.0.2")))));
        Assert.Equal(Errno.None, Add(Via("fd01::/64", new NextHop(IpAddr.Parse("fd00::2")))));

        Assert.All(DumpOurs(), r => Assert.Equal(_left, r.NextHops[0].LinkIndex));
        Assert.Equal(2, DumpOurs().Count);
    }

    [Fact]
    public void The_same_key_replaces_the_route()
    {
        Add(Via("10.1.0.0/16", new NextHop(IpAddr.Parse("10.0.0.2"), _left)));
        var second = Via("10.1.0.0/16", new NextHop(IpAddr.Parse("10.0.0.3"), _left));

        Assert.Equal(Errno.None, Add(second));

        Assert.Equal(second, Assert.Single(DumpOurs()));
    }

    [Theory]
    [InlineData("10.1.0.0/16", "10.0.0.2")]
    [InlineData("fd01::/64", "fd00::2")]
    public void A_blackhole_can_take_the_place_of_a_gateway_route_and_back(string destination, string gateway)
    {
        var route = Via(destination, new NextHop(IpAddr.Parse(gateway), _left), metric: 9);
        var blackhole = route with { Kind = RouteKind.Blackhole, NextHops = [] };
        Add(route);

        Assert.Equal(Errno.None, Add(blackhole));
        Assert.Equal(blackhole, Assert.Single(DumpOurs()));
        Assert.Equal(Errno.None, Add(route));
        Assert.Equal(route, Assert.Single(DumpOurs()));
    }

    [Fact]
    public void Metrics_and_tables_tell_routes_apart()
    {
        var hop = new NextHop(IpAddr.Parse("10.0.0.2"), _left);
        Route[] routes =
        [
            Via("10.1.0.0/16", hop, metric: 5), Via("10.1.0.0/16", hop, metric: 6),
            Via("10.1.0.0/16", hop, metric: 5, table: 100), Via("10.1.0.0/16", hop, metric: 5, table: 70_000),
        ];

        foreach (var route in routes)
            Assert.Equal(Errno.None, Add(route));

        Assert.Equal(4, _routes.Dump(new RouteFilter(Table: null, Protocol: Ours)).Count);
        Assert.Equal(routes[3], Assert.Single(_routes.Dump(new RouteFilter(Table: 70_000))));
        Assert.Equal(2, DumpOurs().Count);
    }

    [Fact]
    public void IPv6_stores_metric_0_as_1024()
    {
        Add(Via("fd01::/64", new NextHop(IpAddr.Parse("fd00::2"), _left)));

        Assert.Equal(1024u, Assert.Single(DumpOurs()).Key.Metric);
        Assert.Equal(Errno.None, Delete(Via("fd01::/64", new NextHop(IpAddr.Parse("fd00::2"), _left))));
        Assert.Empty(DumpOurs());
    }

    [Fact]
    public void IPv6_removes_metric_1024_only_when_asked_for_metric_0()
    {
        Add(Via("fd01::/64", new NextHop(IpAddr.Parse("fd00::2"), _left), metric: 5));

        Delete(Via("fd01::/64", new NextHop(IpAddr.Parse("fd00::2"), _left)));

        Assert.Single(DumpOurs());
    }

    [Fact]
    public void IPv4_removes_the_lowest_metric_when_asked_for_metric_0()
    {
        var hop = new NextHop(IpAddr.Parse("10.0.0.2"), _left);
        Add(Via("10.1.0.0/16", hop, metric: 7));
        Add(Via("10.1.0.0/16", hop, metric: 5));

        Delete(Via("10.1.0.0/16", hop));

        Assert.Equal(7u, Assert.Single(DumpOurs()).Key.Metric);
    }

    [Theory]
    [InlineData("10.1.0.0/16", "10.0.0.2")]
    [InlineData("fd01::/64", "fd00::2")]
    public void Removing_looks_at_the_key_and_not_at_the_rest(string destination, string gateway)
    {
        Add(Via(destination, new NextHop(IpAddr.Parse(gateway), _left), metric: 5) with { Mtu = 1400 });

        var result = Delete(new Route(new RouteKey(Cidr.Parse(destination), 5), RouteKind.Blackhole, Ours, []));

        Assert.Equal(Errno.None, result);
        Assert.Empty(DumpOurs());
    }

    [Theory]
    [InlineData("10.1.0.0/16", "10.0.0.2")]
    [InlineData("fd01::/64", "fd00::2")]
    public void A_route_of_somebody_else_is_not_removed(string destination, string gateway)
    {
        var theirs = Via(destination, new NextHop(IpAddr.Parse(gateway), _left), metric: 5) with { Protocol = 186 };
        Add(theirs);
        var writes = _routes.WriteCount;

        var result = Delete(theirs with { Protocol = Ours });

        Assert.Equal(Errno.None, result);
        Assert.Equal(writes, _routes.WriteCount);
        Assert.Equal(theirs, Assert.Single(_routes.Dump(new RouteFilter(Protocol: 186))));
    }

    [Theory]
    [InlineData("10.0.0.0/24", "10.0.0.2", 0)]
    [InlineData("10.1.0.0/16", "10.0.0.2", 0)]
    [InlineData("fd00::/64", "fd00::2", 256)]
    [InlineData("fd01::/64", "fd00::2", 1024)]
    public void A_route_that_yields_takes_no_place_that_another_has(string destination, string gateway, uint metric)
    {
        var ours = Via(destination, new NextHop(IpAddr.Parse(gateway), _left), metric);
        // The subnets of the link have routes of the kernel already.
        if (destination is "10.1.0.0/16" or "fd01::/64")
            Add(ours with { Protocol = 186 });
        var before = _routes.Dump(new RouteFilter());

        Assert.Equal(Errno.EEXIST, Apply(new RouteChange(ours, Delete: false) { Yields = true }));
        Assert.Equal(before, _routes.Dump(new RouteFilter()));

        var elsewhere = ours with { Key = ours.Key with { Metric = metric + 1 } };
        Assert.Equal(Errno.None, Apply(new RouteChange(elsewhere, Delete: false) { Yields = true }));
        Assert.Equal(elsewhere, Assert.Single(DumpOurs()));
    }

    [Theory]
    [InlineData("10.9.0.0/16")]
    [InlineData("fd09::/64")]
    public void Removing_a_route_that_is_not_there_is_success_and_no_write(string destination)
    {
        Assert.Equal(Errno.None, Delete(Via(destination, new NextHop(null, _left))));
        Assert.Equal(Errno.None, Delete(Via(destination, new NextHop(null, _left), table: 4711)));
        Assert.Equal(0, _routes.WriteCount);
    }

    [Theory]
    [InlineData(RouteKind.Blackhole)]
    [InlineData(RouteKind.Unreachable)]
    [InlineData(RouteKind.Prohibit)]
    [InlineData(RouteKind.Throw)]
    public void Routes_without_next_hops_read_back_without(RouteKind kind)
    {
        var v4 = new Route(new RouteKey(Cidr.Parse("10.65.0.0/26"), 1024), kind, Ours, []);
        var v6 = new Route(new RouteKey(Cidr.Parse("fd65::/122"), 1024), kind, Ours, []);

        Assert.Equal(Errno.None, Add(v4));
        Assert.Equal(Errno.None, Add(v6));

        Assert.Equal([v4, v6], DumpOurs());
    }

    [Theory]
    [InlineData("10.1.0.0/16", "10.0.0.2", "10.0.0.3")]
    [InlineData("fd01::/64", "fd00::2", "fd00::3")]
    public void Several_next_hops_read_back_with_their_weights(string destination, string first, string second)
    {
        var route = new Route(new RouteKey(Cidr.Parse(destination), 5), RouteKind.Unicast, Ours,
            [new NextHop(IpAddr.Parse(first), _left, Weight: 1), new NextHop(IpAddr.Parse(second), _left, Weight: 3)]);

        Assert.Equal(Errno.None, Add(route));

        Assert.Equal(route, Assert.Single(DumpOurs()));
    }

    [Theory]
    [InlineData("10.1.0.0/16", "10.0.0.2", "10.0.0.3")]
    [InlineData("fd01::/64", "fd00::2", "fd00::3")]
    public void Several_next_hops_shrink_to_one_and_grow_again(string destination, string first, string second)
    {
        var both = new Route(new RouteKey(Cidr.Parse(destination), 5), RouteKind.Unicast, Ours,
            [new NextHop(IpAddr.Parse(first), _left), new NextHop(IpAddr.Parse(second), _left)]);
        var one = both with { NextHops = [both.NextHops[1]] };
        Add(both);

        Assert.Equal(Errno.None, Add(one));
        Assert.Equal(one, Assert.Single(DumpOurs()));
        Assert.Equal(Errno.None, Add(both));
        Assert.Equal(both, Assert.Single(DumpOurs()));
        Assert.Equal(Errno.None, Delete(both));
        Assert.Empty(DumpOurs());
    }

    [Fact]
    public void An_IPv4_route_can_go_over_an_IPv6_gateway()
    {
        var route = Via("10.1.0.0/16", new NextHop(IpAddr.Parse("fe80::5"), _left));

        Assert.Equal(Errno.None, Add(route));

        Assert.Equal(route, Assert.Single(DumpOurs()));
    }

    [Fact]
    public void An_IPv4_ECMP_route_can_mix_gateways_of_both_families()
    {
        var route = new Route(new RouteKey(Cidr.Parse("10.1.0.0/16"), 0), RouteKind.Unicast, Ours,
            [new NextHop(IpAddr.Parse("10.0.0.2"), _left), new NextHop(IpAddr.Parse("fe80::5"), _right)]);

        Assert.Equal(Errno.None, Add(route));

        Assert.Equal(route, Assert.Single(DumpOurs()));
    }

    [Theory]
    [InlineData("10.1.0.0/16", "10.77.0.1", Errno.ENETUNREACH)]
    [InlineData("fd01::/64", "fd77::1", Errno.EHOSTUNREACH)]
    public void A_gateway_that_is_not_on_link_is_refused_unless_told_so(string destination, string gateway, Errno errno)
    {
        var hop = new NextHop(IpAddr.Parse(gateway), _left);
        var onLink = Via(destination, hop with { OnLink = true }, metric: 5);

        Assert.Equal(errno, Add(Via(destination, hop with { LinkIndex = 0 }, metric: 5)));
        Assert.Equal(errno, Add(Via(destination, hop, metric: 5)));
        Assert.Equal(0, _routes.WriteCount);
        Assert.Equal(Errno.None, Add(onLink));
        Assert.Equal(onLink, Assert.Single(DumpOurs()));
    }

    [Fact]
    public void A_gateway_behind_another_gateway_is_not_on_link()
    {
        Add(Via("10.77.0.0/16", new NextHop(IpAddr.Parse("10.0.0.2"), _left)));
        Add(Via("fd77::/64", new NextHop(IpAddr.Parse("fd00::2"), _left)));

        Assert.Equal(Errno.ENETUNREACH, Add(Via("10.1.0.0/16", new NextHop(IpAddr.Parse("10.77.0.1")))));
        Assert.Equal(Errno.EHOSTUNREACH, Add(Via("fd01::/64", new NextHop(IpAddr.Parse("fd77::1")))));
    }

    [Fact]
    public void A_link_route_makes_its_destination_a_gateway()
    {
        Add(Via("169.254.1.1/32", new NextHop(null, _left)) with { Scope = RouteScope.Link });
        var viaGateway = Via("0.0.0.0/0", new NextHop(IpAddr.Parse("169.254.1.1"), _left));

        Assert.Equal(Errno.None, Add(viaGateway));
    }

    [Theory]
    [InlineData("10.1.0.0/16")]
    [InlineData("fd01::/64")]
    public void A_route_needs_a_next_hop_that_exists_and_is_up(string destination)
    {
        Assert.Equal(Errno.ENODEV, Add(new Route(new RouteKey(Cidr.Parse(destination), 5), RouteKind.Unicast, Ours, [])));
        Assert.Equal(Errno.ENODEV, Add(Via(destination, new NextHop(null, 4711))));
        _links.Change(new LinkChange(_right) { Up = false });
        Assert.Equal(Errno.ENETDOWN, Add(Via(destination, new NextHop(null, _right))));
    }

    [Fact]
    public void Nonsense_is_refused()
    {
        Assert.Equal(Errno.EINVAL, Add(Via("10.1.2.3/16", new NextHop(null, _left))));
        Assert.Equal(Errno.EINVAL, Add(Via("10.1.0.0/16", new NextHop(IpAddr.Parse("10.0.0.255")))));
        Assert.Equal(Errno.ENODEV, Add(Via("10.1.0.0/16", new NextHop(IpAddr.Parse("10.77.0.1"), OnLink: true))));
        Assert.Equal(Errno.EINVAL, Add(Via("fd01::/64", new NextHop(IpAddr.Parse("fe80::5")))));
        Assert.Equal(Errno.EINVAL, Add(Via("fd01::/64", new NextHop(IpAddr.Parse("fd00::1")))));
        Assert.Equal(Errno.EINVAL, Add(Via("10.1.0.0/16", new NextHop(null, _left)) with { PreferredSource = IpAddr.Parse("10.7.7.7") }));
        Assert.Equal(Errno.EINVAL, Add(new Route(new RouteKey(Cidr.Parse("10.1.0.0/16"), 0), RouteKind.Blackhole, Ours, [new NextHop(null, _left)])));
        Assert.Empty(DumpOurs());
    }

    [Fact]
    public void Each_change_of_a_batch_has_its_own_result()
    {
        var hop = new NextHop(IpAddr.Parse("10.0.0.2"), _left);
        RouteChange[] changes =
        [
            new(Via("10.1.0.0/16", hop), Delete: false),
            new(Via("10.2.0.0/16", new NextHop(IpAddr.Parse("10.77.0.1"))), Delete: false),
            new(Via("10.3.0.0/16", hop), Delete: true),
            new(Via("10.4.0.0/16", hop), Delete: false),
            new(Via("10.1.0.0/16", hop), Delete: true),
        ];
        var results = new Errno[5];

        _routes.Apply(changes, results);

        Assert.Equal([Errno.None, Errno.ENETUNREACH, Errno.None, Errno.None, Errno.None], results);
        Assert.Equal(3, _routes.WriteCount);
        Assert.Equal("10.4.0.0/16", Assert.Single(DumpOurs()).Key.Destination.ToString());
    }

    [Fact]
    public void Twenty_thousand_changes_go_through_in_order()
    {
        var hop = new NextHop(IpAddr.Parse("10.0.0.2"), _left);
        var changes = new RouteChange[20_000];
        for (var i = 0; i < changes.Length; i++)
            changes[i] = new(new Route(new RouteKey(Cidr.Host(IpAddr.FromV4(0x0B000000u + (uint)i)), 0), RouteKind.Unicast, Ours, [hop]), Delete: false);
        var results = new Errno[changes.Length];

        _routes.Apply(changes, results);

        Assert.All(results, r => Assert.Equal(Errno.None, r));
        Assert.Equal(changes.Select(c => c.Route), DumpOurs().OrderBy(r => r.Key.Destination));
        Assert.Equal(changes.Length, _routes.WriteCount);
    }

    [Fact]
    public void Every_refusal_of_a_long_batch_is_reported()
    {
        var changes = new RouteChange[20_000];
        for (var i = 0; i < changes.Length; i++)
            changes[i] = new(new Route(new RouteKey(Cidr.Host(IpAddr.FromV4(0x0B000000u + (uint)i)), 0), RouteKind.Unicast, Ours, [new NextHop(null, 4711)]), Delete: false);
        var results = new Errno[changes.Length];

        _routes.Apply(changes, results);

        Assert.All(results, r => Assert.Equal(Errno.ENODEV, r));
    }

    [Fact]
    public void An_address_brings_its_routes()
    {
        var main = _routes.Dump(new RouteFilter());
        var local = _routes.Dump(new RouteFilter(Table: 255));

        Assert.Contains(main, r => r.Key.Destination == Cidr.Parse("10.0.0.0/24") && r.Scope == RouteScope.Link
            && r.PreferredSource == IpAddr.Parse("10.0.0.1") && r.Protocol == 2 && r.NextHops[0].LinkIndex == _left);
        Assert.Contains(main, r => r.Key == new RouteKey(Cidr.Parse("fd00::/64"), 256) && r.Protocol == 2);
        Assert.Contains(local, r => r.Kind == RouteKind.Local && r.Key.Destination == Cidr.Parse("10.0.0.1/32") && r.Scope == RouteScope.Host);
        Assert.Contains(local, r => r.Kind == RouteKind.Broadcast && r.Key.Destination == Cidr.Parse("10.0.0.255/32"));
        // The kernel adds it in the background.
        Assert.True(SpinWait.SpinUntil(() => _routes.Dump(new RouteFilter(Table: 255))
            .Any(r => r.Kind == RouteKind.Local && r.Key.Destination == Cidr.Parse("fd00::1/128")), TimeSpan.FromSeconds(30)));
    }

    [Fact]
    public void An_address_takes_its_routes_and_those_that_prefer_it_along()
    {
        _links.AddAddress(new LinkAddress(_right, Cidr.Parse("10.99.0.1/32")));
        Add(Via("10.1.0.0/16", new NextHop(IpAddr.Parse("10.0.0.2"), _left)) with { PreferredSource = IpAddr.Parse("10.99.0.1") });

        _links.DeleteAddress(new LinkAddress(_right, Cidr.Parse("10.99.0.1/32")));

        Assert.Empty(DumpOurs());
        Assert.DoesNotContain(_routes.Dump(new RouteFilter(Table: null)), r => r.Key.Destination == Cidr.Parse("10.99.0.1/32"));
    }

    [Fact]
    public void Losing_carrier_keeps_the_routes()
    {
        Add(Via("10.1.0.0/16", new NextHop(IpAddr.Parse("10.0.0.2"), _left)));
        Add(Via("fd01::/64", new NextHop(IpAddr.Parse("fd00::2"), _left)));

        _links.Change(new LinkChange(_right) { Up = false });

        Assert.Equal(2, DumpOurs().Count);
    }

    [Fact]
    public void Going_down_costs_the_routes_of_the_link()
    {
        Add(Via("10.1.0.0/16", new NextHop(IpAddr.Parse("10.0.0.2"), _left)));
        Add(Via("fd01::/64", new NextHop(IpAddr.Parse("fd00::2"), _left)));
        Add(new Route(new RouteKey(Cidr.Parse("10.65.0.0/26"), 0), RouteKind.Blackhole, Ours, []));
        Add(new Route(new RouteKey(Cidr.Parse("fd65::/122"), 0), RouteKind.Blackhole, Ours, []));

        _links.Change(new LinkChange(_left) { Up = false });

        Assert.Equal(["10.65.0.0/26", "fd65::/122"], DumpOurs().Select(r => r.Key.Destination.ToString()));
        Assert.DoesNotContain(_routes.Dump(new RouteFilter()), r => r.Key.Destination == Cidr.Parse("10.0.0.0/24"));
    }

    [Fact]
    public void Coming_up_again_brings_the_connected_routes_back()
    {
        _links.Change(new LinkChange(_left) { Up = false });
        _links.Change(new LinkChange(_left) { Up = true });

        Assert.Contains(_routes.Dump(new RouteFilter()), r => r.Key.Destination == Cidr.Parse("10.0.0.0/24"));
    }

    [Theory]
    [InlineData("10.1.0.0/16")]
    [InlineData("fd01::/64")]
    public void An_ECMP_route_survives_until_its_last_link_is_down(string destination)
    {
        Assert.Equal(Errno.None, Add(OverBothLinks(destination)));

        _links.Change(new LinkChange(_right) { Up = false });
        var oneUp = DumpOurs().Count;
        _links.Change(new LinkChange(_left) { Up = false });

        Assert.Equal(1, oneUp);
        Assert.Empty(DumpOurs());
    }

    [Theory]
    [InlineData("10.1.0.0/16", 0)]
    [InlineData("fd01::/64", 1)]
    public void An_ECMP_route_that_loses_a_link_for_good_goes_in_IPv4_and_shrinks_in_IPv6(string destination, int left)
    {
        var pod = _world.Create();
        var other = _links.CreateVeth(new VethPair("other", "peer", pod.Fd), up: true).Index;
        var route = OverBothLinks(destination);
        Assert.Equal(Errno.None, Add(route with { NextHops = [route.NextHops[0], route.NextHops[1] with { LinkIndex = other }] }));

        _links.Delete("other");

        Assert.Equal(left, DumpOurs().Count);
        Assert.All(DumpOurs(), r => Assert.Equal(route.NextHops[0], Assert.Single(r.NextHops)));
    }

    [Fact]
    public void An_IPv6_route_over_several_links_needs_gateways()
    {
        var route = new Route(new RouteKey(Cidr.Parse("fd01::/64"), 0), RouteKind.Unicast, Ours, [new NextHop(null, _left), new NextHop(null, _right)]);

        Assert.Equal(Errno.EINVAL, Add(route));
    }

    [Fact]
    public void A_deleted_link_takes_its_routes_along_in_every_table()
    {
        Add(Via("10.1.0.0/16", new NextHop(IpAddr.Parse("10.0.0.2"), _left), table: 100));
        Add(Via("fd01::/64", new NextHop(IpAddr.Parse("fd00::2"), _left), table: 100));

        _links.Delete("left");

        Assert.Empty(_routes.Dump(new RouteFilter(Table: null)));
    }

    [Fact]
    public void A_lookup_names_link_gateway_and_source()
    {
        Add(Via("10.1.0.0/16", new NextHop(IpAddr.Parse("10.0.0.2"), _left)));
        Add(Via("fd01::/64", new NextHop(IpAddr.Parse("fd00::2"), _left)));

        var v4 = _routes.Lookup(IpAddr.Parse("10.1.2.3"))!;
        var v6 = _routes.Lookup(IpAddr.Parse("fd01::9"))!;
        var near = _routes.Lookup(IpAddr.Parse("10.0.0.77"))!;

        Assert.Equal(new NextHop(IpAddr.Parse("10.0.0.2"), _left), Assert.Single(v4.NextHops));
        Assert.Equal((Cidr.Parse("10.1.2.3/32"), IpAddr.Parse("10.0.0.1")), (v4.Key.Destination, v4.PreferredSource));
        Assert.Equal(new NextHop(IpAddr.Parse("fd00::2"), _left), Assert.Single(v6.NextHops));
        Assert.Equal(Cidr.Parse("fd01::9/128"), v6.Key.Destination);
        Assert.Equal(IpAddr.Parse("fd00::1"), v6.PreferredSource);
        Assert.Equal(new NextHop(null, _left), Assert.Single(near.NextHops));
    }

    [Theory]
    [InlineData(RouteKind.Blackhole)]
    [InlineData(RouteKind.Unreachable)]
    [InlineData(RouteKind.Prohibit)]
    [InlineData(RouteKind.Throw)]
    public void A_lookup_that_leads_nowhere_finds_no_route(RouteKind kind)
    {
        Add(new Route(new RouteKey(Cidr.Parse("10.65.0.0/16"), 0), kind, Ours, []));
        Add(new Route(new RouteKey(Cidr.Parse("fd65::/64"), 0), kind, Ours, []));

        Assert.Null(_routes.Lookup(IpAddr.Parse("10.65.0.1")));
        Assert.Null(_routes.Lookup(IpAddr.Parse("fd65::1")));
        Assert.Null(_routes.Lookup(IpAddr.Parse("192.0.2.1")));
    }

    [Fact]
    public void A_lookup_takes_the_longest_prefix_and_then_the_lowest_metric()
    {
        Add(Via("10.1.0.0/16", new NextHop(IpAddr.Parse("10.0.0.2"), _left)));
        Add(Via("10.1.1.0/24", new NextHop(IpAddr.Parse("10.0.0.3"), _left), metric: 20));
        Add(Via("10.1.1.0/24", new NextHop(IpAddr.Parse("10.0.0.4"), _left), metric: 10));

        Assert.Equal("10.0.0.4", _routes.Lookup(IpAddr.Parse("10.1.1.1"))!.NextHops[0].Gateway.ToString());
        Assert.Equal("10.0.0.2", _routes.Lookup(IpAddr.Parse("10.1.2.1"))!.NextHops[0].Gateway.ToString());
    }

    [Fact]
    public void A_lookup_follows_the_rules()
    {
        using var rules = _host.OpenRules();
        Add(Via("10.1.0.0/16", new NextHop(IpAddr.Parse("10.0.0.2"), _left)));
        Add(Via("10.1.0.0/16", new NextHop(IpAddr.Parse("10.0.0.9"), _left), table: 100));
        rules.Add(new Calico.Kernel.Rules.RoutingRule(IpVersion.V4, 50, 100) { Destination = Cidr.Parse("10.1.7.0/24") });

        Assert.Equal("10.0.0.9", _routes.Lookup(IpAddr.Parse("10.1.7.1"))!.NextHops[0].Gateway.ToString());
        Assert.Equal("10.0.0.2", _routes.Lookup(IpAddr.Parse("10.1.8.1"))!.NextHops[0].Gateway.ToString());
    }

    [Fact]
    public void A_table_without_routes_is_empty() => Assert.Empty(_routes.Dump(new RouteFilter(Table: 4711)));

    private static Route Via(string destination, NextHop hop, uint metric = 0, uint table = RouteKey.MainTable) =>
        new(new RouteKey(Cidr.Parse(destination), metric, table), RouteKind.Unicast, Ours, [hop]);

    private Route OverBothLinks(string destination) =>
        new(new RouteKey(Cidr.Parse(destination), 5), RouteKind.Unicast, Ours,
            [new NextHop(IpAddr.Parse("fe80::5"), _left), new NextHop(IpAddr.Parse("fe80::6"), _right)]);

    private IReadOnlyList<Route> DumpOurs() => _routes.Dump(new RouteFilter(Protocol: Ours));
    private Errno Add(Route route) => Apply(new RouteChange(route, Delete: false));
    private Errno Delete(Route route) => Apply(new RouteChange(route, Delete: true));

    private Errno Apply(RouteChange change)
    {
        Span<Errno> result = [Errno.EIO];
        _routes.Apply([change], result);
        return result[0];
    }
}

[Layer("kernel")]
public sealed class RouteTableTests() : RouteTableContract(new TestNamespaces())
{
    [Fact]
    public void Changes_allocate_nothing()
    {
        using var world = new TestNamespaces();
        using var routes = world.Create().OpenRoutes();
        var changes = new RouteChange[10_000];
        for (var i = 0; i < changes.Length; i++)
        {
            var blackhole = new Route(new RouteKey(Cidr.Host(IpAddr.FromV4(0x0B000000u + (uint)i)), 0), RouteKind.Blackhole, 80, []);
            changes[i] = new RouteChange(blackhole, Delete: false);
        }
        var results = new Errno[changes.Length];
        routes.Apply(changes, results);

        var before = GC.GetAllocatedBytesForCurrentThread();
        routes.Apply(changes, results);
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;

        Assert.Equal(0, allocated);
    }
}

[Layer("unit")]
public sealed class FakeRouteTableTests() : RouteTableContract(new FakeNamespaces());

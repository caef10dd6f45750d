using Calico.Core.Net;
using Calico.Kernel;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Neighbours;
using Calico.Kernel.Routes;

namespace Calico.Tests.Kernel.Namespaces;

/// <summary>What is reported, by the kernel and by the fake.</summary>
public abstract class KernelMonitorContract : IDisposable
{
    private readonly ITestWorld _world;
    private readonly CancellationTokenSource _patience = new(TimeSpan.FromSeconds(60));
    private readonly INetworkNamespace _host;
    private readonly ILinkTable _links;

    protected KernelMonitorContract(ITestWorld world)
    {
        _world = world;
        _host = world.Create();
        _links = _host.OpenLinks();
    }

    public void Dispose()
    {
        _links.Dispose();
        _world.Dispose();
        _patience.Dispose();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Links_are_reported_as_they_come_change_and_go()
    {
        using var monitor = _host.OpenMonitor(KernelEventGroups.Links);

        var left = _links.CreateVeth(new VethPair("left", "right", -1), up: false);
        _links.Change(new LinkChange(left.Index) { Up = true });
        _links.Change(new LinkChange(left.Index) { Mtu = 1300 });
        _links.Delete("left");

        var events = await Until(monitor, e => e is KernelEvent.LinkRemoved { Name: "left" });
        Assert.Contains(events, e => e is KernelEvent.LinkChanged { Link: { Name: "left", Kind: "veth", Up: false } });
        Assert.Contains(events, e => e is KernelEvent.LinkChanged { Link: { Name: "left", Up: true } });
        Assert.Contains(events, e => e is KernelEvent.LinkChanged { Link: { Name: "left", Mtu: 1300 } });
        Assert.Contains(events, e => e is KernelEvent.LinkChanged { Link.Name: "right" });
    }

    [Fact]
    public async Task Who_writes_routes_is_not_told_of_its_own_and_hears_of_others()
    {
        using var own = _host.OpenRoutes();
        using var other = _host.OpenRoutes();
        using var monitor = _host.OpenMonitor(KernelEventGroups.RoutesV4 | KernelEventGroups.RoutesV6, new KernelEventFilter(Writer: own));

        Write(own, delete: false, Blackhole("10.1.0.0/24", 80), Blackhole("fd00:1::/64", 80), Blackhole("10.2.0.0/24", 80));
        Write(own, delete: true, Blackhole("10.2.0.0/24", 80));
        Write(other, delete: true, Blackhole("10.1.0.0/24", 80));
        Write(other, delete: false, Blackhole("10.9.0.0/24", 4));

        Assert.Equal(["-10.1.0.0/24", "+10.9.0.0/24"], Told(await Until(monitor, IsLast)));
    }

    [Fact]
    public async Task Routes_of_a_protocol_can_be_left_out_and_nothing_else_is()
    {
        using var routes = _host.OpenRoutes();
        using var monitor = _host.OpenMonitor(KernelEventGroups.RoutesV4 | KernelEventGroups.RoutesV6 | KernelEventGroups.Links,
            new KernelEventFilter(RouteProtocol: 80));

        Write(routes, delete: false, Blackhole("10.1.0.0/24", 80), Blackhole("fd00:1::/64", 80));
        Write(routes, delete: false, Blackhole("fd00:2::/64", 4), Blackhole("10.3.0.0/24", 81));
        Write(routes, delete: true, Blackhole("10.1.0.0/24", 80), Blackhole("10.3.0.0/24", 81));
        _links.CreateVeth(new VethPair("left", "right", -1), up: false);
        Write(routes, delete: false, Blackhole("10.9.0.0/24", 4));

        var events = await Until(monitor, IsLast);
        Assert.Equal(["+fd00:2::/64", "+10.3.0.0/24", "-10.3.0.0/24", "+10.9.0.0/24"], Told(events));
        Assert.Contains(events, e => e is KernelEvent.LinkChanged { Link.Name: "left" });
    }

    [Fact]
    public async Task Carrier_is_reported_at_the_other_end()
    {
        _links.CreateVeth(new VethPair("left", "right", -1), up: true);
        using var monitor = _host.OpenMonitor(KernelEventGroups.Links);

        _links.Change(new LinkChange(_links.Find("right")!.Index) { Up = true });

        await Until(monitor, e => e is KernelEvent.LinkChanged { Link: { Name: "left", Running: true } });
    }

    [Fact]
    public async Task A_port_that_leaves_its_bridge_is_not_reported_as_gone()
    {
        var left = _links.CreateVeth(new VethPair("left", "right", -1), up: true);
        var bridge = _links.CreateBridge("br0");
        using var monitor = _host.OpenMonitor(KernelEventGroups.Links);

        _links.Change(new LinkChange(left.Index) { MasterIndex = bridge.Index });
        _links.Change(new LinkChange(left.Index) { MasterIndex = 0 });
        _links.Change(new LinkChange(left.Index) { Mtu = 1300 });

        var events = await Until(monitor, e => e is KernelEvent.LinkChanged { Link: { Name: "left", Mtu: 1300 } });
        Assert.DoesNotContain(events, e => e is KernelEvent.LinkRemoved);
        Assert.Contains(events, e => e is KernelEvent.LinkChanged { Link: { Name: "left" } l } && l.MasterIndex == bridge.Index);
    }

    [Theory]
    [InlineData("10.0.0.1/24")]
    [InlineData("fd00::1/64")]
    public async Task Addresses_are_reported(string text)
    {
        var left = _links.CreateVeth(new VethPair("left", "right", -1), up: true);
        var address = new LinkAddress(left.Index, Cidr.Parse(text));
        using var monitor = _host.OpenMonitor(KernelEventGroups.Addresses);

        // The kernel announces an IPv6 address in the background, and not at all if it is gone by then.
        _links.AddAddress(address);
        await Until(monitor, e => e.Equals(new KernelEvent.AddressChanged(address, Removed: false)));
        _links.DeleteAddress(address);
        await Until(monitor, e => e.Equals(new KernelEvent.AddressChanged(address, Removed: true)));
    }

    [Theory]
    [InlineData("10.1.0.0/16")]
    [InlineData("fd01::/64")]
    public async Task Routes_are_reported(string destination)
    {
        var left = _links.CreateVeth(new VethPair("left", "right", -1), up: true);
        using var routes = _host.OpenRoutes();
        var route = new Route(new RouteKey(Cidr.Parse(destination), 7), RouteKind.Unicast, 80, [new NextHop(null, left.Index)]);
        var results = new Errno[2];
        using var monitor = _host.OpenMonitor(KernelEventGroups.RoutesV4 | KernelEventGroups.RoutesV6);

        routes.Apply([new RouteChange(route, Delete: false), new RouteChange(route, Delete: true)], results);

        var events = await Until(monitor, e => e is KernelEvent.RouteChanged { Removed: true });
        Assert.Contains(new KernelEvent.RouteChanged(route, Removed: false), events);
        Assert.Contains(new KernelEvent.RouteChanged(route, Removed: true), events);
    }

    [Fact]
    public async Task A_lost_link_takes_IPv4_routes_without_a_word_and_IPv6_ones_with()
    {
        var left = _links.CreateVeth(new VethPair("left", "right", -1), up: true);
        using var routes = _host.OpenRoutes();
        foreach (var destination in (string[])["10.1.0.0/16", "fd01::/64"])
        {
            var route = new Route(new RouteKey(Cidr.Parse(destination), 7), RouteKind.Unicast, 80, [new NextHop(null, left.Index)]);
            routes.Apply([new RouteChange(route, Delete: false)], new Errno[1]);
        }
        using var monitor = _host.OpenMonitor(KernelEventGroups.Links | KernelEventGroups.RoutesV4 | KernelEventGroups.RoutesV6);

        _links.Delete("left");

        var events = await Until(monitor, e => e is KernelEvent.LinkRemoved { Name: "left" });
        Assert.DoesNotContain(events, e => e is KernelEvent.RouteChanged { Route.Key: var k } && k.Destination == Cidr.Parse("10.1.0.0/16"));
        Assert.Contains(events, e => e is KernelEvent.RouteChanged { Removed: true, Route.Key: var k } && k.Destination == Cidr.Parse("fd01::/64"));
    }

    [Fact]
    public async Task Neighbours_are_reported()
    {
        var left = _links.CreateVeth(new VethPair("left", "right", -1), up: true);
        using var neighbours = _host.OpenNeighbours();
        var neighbour = new Neighbour(left.Index, IpAddr.Parse("10.0.0.9"), MacAddress.Parse("02:00:00:00:00:01"));
        using var monitor = _host.OpenMonitor(KernelEventGroups.Neighbours);

        neighbours.Set(neighbour);
        neighbours.Delete(neighbour);

        var events = await Until(monitor, e => e is KernelEvent.NeighbourChanged { Removed: true } n && n.Neighbour.Address == neighbour.Address);
        Assert.Contains(new KernelEvent.NeighbourChanged(neighbour, Removed: false), events);
    }

    [Fact]
    public async Task Only_what_was_asked_for_is_reported()
    {
        using var monitor = _host.OpenMonitor(KernelEventGroups.Addresses);

        var bridge = _links.CreateBridge("br0");
        _links.AddAddress(new LinkAddress(bridge.Index, Cidr.Parse("10.0.0.1/24")));

        var events = await Until(monitor, e => e is KernelEvent.AddressChanged);
        Assert.All(events, e => Assert.IsType<KernelEvent.AddressChanged>(e));
    }

    [Fact]
    public async Task Disposal_ends_the_wait_with_nothing()
    {
        var monitor = _host.OpenMonitor(KernelEventGroups.Links);
        var waiting = monitor.NextAsync(_patience.Token);

        monitor.Dispose();

        Assert.Empty(await waiting);
        Assert.Empty(await monitor.NextAsync(_patience.Token));
        monitor.Dispose();
    }

    [Fact]
    public async Task A_wait_can_be_cancelled_and_the_monitor_goes_on()
    {
        using var monitor = _host.OpenMonitor(KernelEventGroups.Links);
        using var cancelled = new CancellationTokenSource();
        var waiting = monitor.NextAsync(cancelled.Token);

        await cancelled.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await waiting);
        _links.CreateBridge("br0");
        await Until(monitor, e => e is KernelEvent.LinkChanged { Link.Name: "br0" });
    }

    [Fact]
    public async Task Too_many_events_for_the_reader_are_an_overflow_and_not_silence()
    {
        var left = _links.CreateVeth(new VethPair("left", "right", -1), up: true);
        using var routes = _host.OpenRoutes();
        using var monitor = _host.OpenMonitor(KernelEventGroups.RoutesV4);
        var changes = new RouteChange[60_000];
        for (var i = 0; i < changes.Length; i++)
        {
            changes[i] = new RouteChange(new Route(new RouteKey(Cidr.Host(IpAddr.FromV4(0x0B000000u + (uint)i)), 0),
                RouteKind.Unicast, 80, [new NextHop(null, left.Index)]), Delete: false);
        }

        routes.Apply(changes, new Errno[changes.Length]);

        await Until(monitor, e => e is KernelEvent.Overflow);
    }

    private static Route Blackhole(string destination, byte protocol) =>
        new(new RouteKey(Cidr.Parse(destination), 0), RouteKind.Blackhole, protocol, []);

    private static void Write(IRouteTable table, bool delete, params Route[] routes)
    {
        var results = new Errno[routes.Length];
        table.Apply([.. routes.Select(r => new RouteChange(r, delete))], results);
        Assert.All(results, r => Assert.Equal(Errno.None, r));
    }

    private static bool IsLast(KernelEvent e) => e is KernelEvent.RouteChanged { Removed: false } added && added.Route.Key.Destination == Cidr.Parse("10.9.0.0/24");

    private static string[] Told(IEnumerable<KernelEvent> events) =>
        [.. events.OfType<KernelEvent.RouteChanged>().Select(e => $"{(e.Removed ? '-' : '+')}{e.Route.Key.Destination}")];

    private async Task<List<KernelEvent>> Until(IKernelMonitor monitor, Predicate<KernelEvent> last)
    {
        var seen = new List<KernelEvent>();
        while (!seen.Exists(last))
        {
            var next = await monitor.NextAsync(_patience.Token);
            Assert.NotEmpty(next);
            seen.AddRange(next);
        }
        return seen;
    }
}

[Layer("kernel")]
public sealed class KernelMonitorTests() : KernelMonitorContract(new TestNamespaces());

[Layer("unit")]
public sealed class FakeMonitorTests() : KernelMonitorContract(new FakeNamespaces());

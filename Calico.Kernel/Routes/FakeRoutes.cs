using System.Collections.Immutable;
using Calico.Core.Net;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;

namespace Calico.Kernel.Routes;

/// <summary>
/// The routes of a fake namespace: checks of next hops as the kernel makes them, routes that come and go with
/// addresses and links, and the lookup. The kernel reports IPv4 routes that go with a link to nobody, IPv6 ones it does.
/// </summary>
internal sealed class FakeRoutes(FakeNamespaceState state)
{
    public const uint LocalTable = 255;
    private const byte ProtocolKernel = 2;
    private const uint ConnectedMetricV6 = 256;

    // The routes of a destination in a table, by metric.
    private readonly Dictionary<(uint Table, Cidr Destination), List<Route>> _routes = [];

    /// <summary>In the order of the kernel's dump: by table, destination and metric.</summary>
    public IEnumerable<Route> All => _routes.OrderBy(r => r.Key.Table).ThenBy(r => r.Key.Destination).SelectMany(r => r.Value);

    public Errno Replace(Route wanted, IRouteTable? by = null, bool yields = false)
    {
        var checkedAnswer = Check(wanted, out var route);
        if (checkedAnswer != Errno.None)
            return checkedAnswer;
        var list = ListOf(route.Key);
        var same = list.FindIndex(r => r.Key.Metric == route.Key.Metric);
        if (same < 0)
            Insert(list, route);
        else if (yields)
            return Errno.EEXIST;
        else if (list[same].Equals(route) && route.Key.Destination.IsV4)
            return Errno.None;
        else
            list[same] = route;
        Report(route, removed: false, by);
        return Errno.None;
    }

    public Errno Delete(RouteKey key, byte protocol, IRouteTable? by = null)
    {
        key = key with { Destination = key.Destination.Network, Metric = RouteMessage.StoredMetric(key) };
        var anyMetric = key.Destination.IsV4 && key.Metric == 0;
        var found = _routes.GetValueOrDefault((key.Table, key.Destination))?
            .Find(r => (anyMetric || r.Key.Metric == key.Metric) && (protocol == 0 || r.Protocol == protocol));
        if (found is null)
            return Errno.ESRCH;
        Remove(found);
        Report(found, removed: true, by);
        return Errno.None;
    }

    public void AddressAdded(LinkAddress address)
    {
        var ip = address.Address;
        if (ip.IsV4)
            AddV4(new Cidr(ip.Address, 32), LocalTable, RouteKind.Local, RouteScope.Host, address);
        else
            Add(new Route(new RouteKey(Cidr.Host(ip.Address), 0, LocalTable), RouteKind.Local, ProtocolKernel, Via(address.LinkIndex)));
        if (state.Find(address.LinkIndex) is { Up: true })
            AddressUp(address);
    }

    /// <summary>The routes of an address whose link is up.</summary>
    public void AddressUp(LinkAddress address)
    {
        var ip = address.Address;
        if (!ip.IsV4)
        {
            Add(new Route(new RouteKey(ip.Network, ConnectedMetricV6), RouteKind.Unicast, ProtocolKernel, Via(address.LinkIndex)));
            return;
        }
        var loopback = ip.Address.IsLoopback;
        if (!ip.IsHost)
            AddV4(ip.Network, loopback ? LocalTable : RouteKey.MainTable, loopback ? RouteKind.Local : RouteKind.Unicast,
                loopback ? RouteScope.Host : RouteScope.Link, address);
        if (ip.PrefixLength < 31)
            AddV4(Cidr.Host(ip.Last), LocalTable, RouteKind.Broadcast, RouteScope.Link, address);
    }

    public void AddressRemoved(LinkAddress address)
    {
        var ip = address.Address;
        foreach (var route in All.Where(r => r.Protocol == ProtocolKernel && r.Key.Destination.Version == ip.Version
            && Uses(r, address.LinkIndex) && Belongs(r, address)).ToArray())
            Remove(route);
        // Routes that prefer a source which is gone go with it.
        foreach (var route in All.Where(r => r.PreferredSource == ip.Address).ToArray())
        {
            Remove(route);
            Report(route, removed: true);
        }
        bool Belongs(Route r, LinkAddress a) => r.Key.Destination.IsV4
            ? r.PreferredSource == a.Address.Address
            : (r.Kind == RouteKind.Local ? r.Key.Destination == Cidr.Host(a.Address.Address) : r.Key.Destination == a.Address.Network)
                && !state.Addresses.Exists(o => o.LinkIndex == a.LinkIndex && o.Address.Network == a.Address.Network);
    }

    public void AddMulticast(FakeLink link) => Add(new Route(
        new RouteKey(Cidr.Parse("ff00::/8"), ConnectedMetricV6, LocalTable), RouteKind.Multicast, ProtocolKernel, Via(link.Index)));

    /// <summary>The link went down: its routes go, those to local IPv4 addresses stay, ECMP goes when its last link does.</summary>
    public void LinkDown(int index) => Flush(
        r => Uses(r, index) && !(r.Key.Destination.IsV4 && r.Kind == RouteKind.Local)
            && r.NextHops.All(h => state.Find(h.LinkIndex) is not { Up: true }));

    public void LinkWithoutV6(int index) => Flush(r => !r.Key.Destination.IsV4 && Uses(r, index) && r.NextHops.Length == 1);

    public void LinkRemoved(int index)
    {
        Flush(r => Uses(r, index) && (r.Key.Destination.IsV4 || r.NextHops.All(h => h.LinkIndex == index)));
        // IPv6 keeps the next hops of an ECMP route apart and drops the dead one.
        foreach (var route in All.Where(r => !r.Key.Destination.IsV4 && Uses(r, index)).ToArray())
        {
            var list = ListOf(route.Key);
            list[list.IndexOf(route)] = route with { NextHops = route.NextHops.RemoveAll(h => h.LinkIndex == index) };
        }
    }

    public Route? Lookup(IpAddr destination) => FakeRouteLookup.Find(state, this, destination);

    /// <summary>The longest match in a table with the lowest metric, of those the filter lets pass.</summary>
    public Route? Match(uint table, IpAddr destination, Func<Route, bool> filter)
    {
        for (var length = destination.BitLength; length >= 0; length--)
        {
            if (_routes.TryGetValue((table, new Cidr(destination, length).Network), out var list)
                && list.Find(r => filter(r)) is { } best)
                return best;
        }
        return null;
    }

    private Errno Check(Route wanted, out Route route)
    {
        var key = wanted.Key;
        var isV4 = key.Destination.IsV4;
        route = wanted;
        if (isV4 && !key.Destination.IsMasked)
            return Errno.EINVAL;
        var hops = wanted.NextHops;
        if (RouteMessage.HasNoHops(wanted.Kind))
        {
            if (isV4 && !hops.IsEmpty)
                return Errno.EINVAL;
            hops = [];
        }
        else
        {
            if (hops.IsEmpty)
                return Errno.ENODEV;
            if (!isV4 && hops.Length > 1 && hops.Any(h => h.Gateway is null))
                return Errno.EINVAL;
            var stored = hops.ToBuilder();
            for (var i = 0; i < hops.Length; i++)
            {
                var answer = FakeNextHopCheck.Check(state, this, wanted, hops[i], out var resolved);
                if (answer != Errno.None)
                    return answer;
                stored[i] = hops.Length == 1 ? resolved with { Weight = 1 } : resolved;
            }
            hops = stored.MoveToImmutable();
        }
        if (wanted.PreferredSource is { } source && !state.Addresses.Exists(a => a.Address.Address == source))
            return Errno.EINVAL;
        route = wanted with
        {
            Key = key with { Destination = key.Destination.Network, Metric = RouteMessage.StoredMetric(key) },
            NextHops = hops,
            Scope = isV4 ? wanted.Scope : RouteScope.Universe,
        };
        return Errno.None;
    }

    private void Flush(Predicate<Route> which)
    {
        foreach (var route in All.Where(r => which(r)).ToArray())
        {
            Remove(route);
            if (!route.Key.Destination.IsV4)
                Report(route, removed: true);
        }
    }

    private void AddV4(Cidr destination, uint table, RouteKind kind, RouteScope scope, LinkAddress address) =>
        Add(new Route(new RouteKey(destination, 0, table), kind, ProtocolKernel, Via(address.LinkIndex))
        {
            Scope = scope,
            PreferredSource = address.Address.Address,
        });

    private void Add(Route route)
    {
        var list = ListOf(route.Key);
        if (list.Exists(r => r.Key == route.Key && r.NextHops.AsSpan().SequenceEqual(route.NextHops.AsSpan())))
            return;
        Insert(list, route);
        Report(route, removed: false);
    }

    private static void Insert(List<Route> list, Route route)
    {
        var index = list.FindIndex(r => r.Key.Metric > route.Key.Metric);
        list.Insert(index < 0 ? list.Count : index, route);
    }

    private void Remove(Route route)
    {
        var list = ListOf(route.Key);
        list.Remove(route);
        if (list.Count == 0)
            _routes.Remove((route.Key.Table, route.Key.Destination));
    }

    private List<Route> ListOf(RouteKey key)
    {
        if (!_routes.TryGetValue((key.Table, key.Destination), out var list))
            _routes.Add((key.Table, key.Destination), list = []);
        return list;
    }

    private void Report(Route route, bool removed, IRouteTable? by = null) =>
        state.Emit(route.Key.Destination.IsV4 ? KernelEventGroups.RoutesV4 : KernelEventGroups.RoutesV6, new KernelEvent.RouteChanged(route, removed), by);

    private static bool Uses(Route route, int link) => route.NextHops.Any(h => h.LinkIndex == link);
    private static ImmutableArray<NextHop> Via(int link) => [new NextHop(null, link)];
}

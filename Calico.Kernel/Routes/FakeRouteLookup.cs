using Calico.Core.Net;
using Calico.Kernel.Namespaces;

namespace Calico.Kernel.Routes;

/// <summary>How the kernel checks a next hop before it stores a route (fib_check_nh, ip6_validate_gw).</summary>
internal static class FakeNextHopCheck
{
    /// <summary>The kernel's answer and the next hop as it is stored, with the link found.</summary>
    public static Errno Check(FakeNamespaceState state, FakeRoutes routes, Route route, NextHop hop, out NextHop resolved)
    {
        resolved = hop;
        var link = hop.LinkIndex == 0 ? null : state.Find(hop.LinkIndex);
        if (hop.LinkIndex != 0 && link is null)
            return Errno.ENODEV;
        if (hop.Gateway is not { } gateway)
            return link is null ? Errno.ENODEV : link.Up ? Errno.None : Errno.ENETDOWN;
        if (route.Key.Destination.IsV4 && route.Scope >= RouteScope.Link)
            return Errno.EINVAL;
        if (hop.OnLink)
            return link is null ? (gateway.IsV4 ? Errno.ENODEV : Errno.EINVAL) : !link.Up ? Errno.ENETDOWN : IsOwn(state, gateway) ? Errno.EINVAL : Errno.None;
        return gateway.IsV4
            ? CheckV4(routes, gateway, ref resolved)
            : CheckV6(state, routes, gateway, link, ref resolved);
    }

    private static Errno CheckV4(FakeRoutes routes, IpAddr gateway, ref NextHop hop)
    {
        var index = hop.LinkIndex;
        bool OnLink(Route r) => r.Scope >= RouteScope.Link && Through(r, index);
        var match = routes.Match(FakeRoutes.LocalTable, gateway, OnLink) ?? routes.Match(RouteKey.MainTable, gateway, OnLink);
        if (match is null)
            return Errno.ENETUNREACH;
        if (match.Kind is not (RouteKind.Unicast or RouteKind.Local))
            return Errno.EINVAL;
        hop = hop with { LinkIndex = index != 0 ? index : match.NextHops[0].LinkIndex };
        return Errno.None;
    }

    private static Errno CheckV6(FakeNamespaceState state, FakeRoutes routes, IpAddr gateway, FakeLink? link, ref NextHop hop)
    {
        if (gateway.IsMulticast || gateway.IsUnspecified || IsOwn(state, gateway))
            return Errno.EINVAL;
        if (gateway.IsLinkLocal)
            return link is null ? Errno.EINVAL : link.Up ? Errno.None : Errno.ENETDOWN;
        var index = hop.LinkIndex;
        var match = routes.Match(RouteKey.MainTable, gateway, r => Through(r, index));
        if (match is null || match.Kind != RouteKind.Unicast || match.NextHops[0].Gateway is not null)
            return Errno.EHOSTUNREACH;
        hop = hop with { LinkIndex = match.NextHops[0].LinkIndex };
        return Errno.None;
    }

    private static bool Through(Route route, int link) => link == 0 || route.NextHops.Any(h => h.LinkIndex == link);

    private static bool IsOwn(FakeNamespaceState state, IpAddr address) =>
        state.Addresses.Exists(a => a.Address.Address == address);
}

/// <summary>The kernel's way from an address to a route: rules in order, longest prefix, lowest metric.</summary>
internal static class FakeRouteLookup
{
    public static Route? Find(FakeNamespaceState state, FakeRoutes routes, IpAddr destination)
    {
        foreach (var rule in state.Rules.Where(r => r.Family == destination.Version))
        {
            if (!Applies(rule, destination))
                continue;
            var match = routes.Match(rule.Table, destination, r => r.Kind != RouteKind.Broadcast || r.Key.Destination.IsV4);
            if (match is null || match.Kind == RouteKind.Throw
                || (rule.SuppressPrefixLength is { } length && match.Key.Destination.PrefixLength <= length))
                continue;
            return RouteMessage.HasNoHops(match.Kind) ? null : Resolve(state, match, destination);
        }
        return null;
    }

    private static Route Resolve(FakeNamespaceState state, Route match, IpAddr destination)
    {
        // A packet to an own address goes over the loopback device.
        var hop = match.Kind == RouteKind.Local
            ? new NextHop(null, state.Find("lo")?.Index ?? 0)
            : match.NextHops.FirstOrDefault(h => state.Find(h.LinkIndex) is { Up: true }, match.NextHops[0]) with { Weight = 1 };
        return match with
        {
            Key = match.Key with { Destination = Cidr.Host(destination) },
            NextHops = [hop],
            PreferredSource = match.PreferredSource ?? (match.Kind == RouteKind.Local ? destination : Source(state, hop, destination)),
        };
    }

    private static IpAddr? Source(FakeNamespaceState state, NextHop hop, IpAddr destination)
    {
        var near = hop.Gateway is { } g && g.Version == destination.Version ? g : destination;
        var candidates = state.Addresses.Where(a => a.Address.Version == destination.Version && a.Scope < RouteScope.Host
            && (a.Scope != RouteScope.Link || destination.IsLinkLocal)).ToArray();
        var own = candidates.Where(a => a.LinkIndex == hop.LinkIndex).ToArray();
        return own.Where(a => a.Address.Contains(near)).Concat(own).Concat(candidates)
            .Select(a => (IpAddr?)a.Address.Address).FirstOrDefault();
    }

    // A packet of our own: no input device, no mark.
    private static bool Applies(Rules.RoutingRule rule, IpAddr destination)
    {
        var matches = rule.InputLink is null && (rule.MarkMask == 0 || (rule.Mark & rule.MarkMask) == 0)
            && rule.Source is null && (rule.Destination is not { } d || d.Contains(destination));
        return matches != rule.Not;
    }
}

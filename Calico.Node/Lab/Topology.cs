using Calico.Core.Net;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Routes;

namespace Calico.Node.Lab;

/// <summary>
/// The lab's cables: namespaces, bridges, veth pairs, addresses. Both bridges are inside the router's namespace, so
/// that nothing of the lab exists in the machine's own.
/// </summary>
internal sealed class Topology(LabPlace place)
{
    private const byte ProtocolStatic = 4;

    public void CreateRouter()
    {
        using var router = NetworkNamespace.CreateNamed(place.RouterNamespace);
        using var links = router.OpenLinks();
        SetUp(links, "lo");
        foreach (var (bridge, address) in ((string, Cidr)[])[("br-a", LabNode.SegmentA), ("br-b", LabNode.SegmentB)])
        {
            var link = links.CreateBridge(bridge);
            links.AddAddress(new LinkAddress(link.Index, address));
            links.Change(new LinkChange(link.Index) { Up = true });
        }
        links.AddAddress(new LinkAddress(links.Find("lo")!.Index, Cidr.Host(LabPlace.External)));
        using var sysctl = router.OpenSysctl();
        sysctl.Write("ipv4/ip_forward", "1");
    }

    /// <summary>A node's namespace: eth0 on its segment's bridge, everything else by way of the router.</summary>
    public void CreateNode(LabNode node)
    {
        using var router = NetworkNamespace.OpenNamed(place.RouterNamespace);
        using var inside = NetworkNamespace.CreateNamed(place.NodeNamespace(node.Name));
        using var routerLinks = router.OpenLinks();
        using var links = inside.OpenLinks();
        SetUp(links, "lo");
        var bridge = routerLinks.Find(node.OnSegmentA ? "br-a" : "br-b")!;
        var port = routerLinks.CreateVeth(new VethPair($"to-{node.Name}", "eth0", inside.Fd), up: true);
        routerLinks.Change(new LinkChange(port.Index) { MasterIndex = bridge.Index });
        var eth0 = links.Find("eth0")!;
        links.AddAddress(new LinkAddress(eth0.Index, node.Address));
        SetUp(links, "eth0");
        using var routes = inside.OpenRoutes();
        Add(routes, new Route(new RouteKey(Cidr.Parse("0.0.0.0/0"), 0), RouteKind.Unicast, ProtocolStatic, [new NextHop(node.Router, eth0.Index)]));
        using var sysctl = inside.OpenSysctl();
        sysctl.Write("ipv4/ip_forward", "1");
    }

    /// <summary>The node is off the network at once; a veth pair goes with either end.</summary>
    public void CutCable(LabNode node)
    {
        using var router = NetworkNamespace.OpenNamed(place.RouterNamespace);
        using var links = router.OpenLinks();
        links.Delete($"to-{node.Name}");
    }

    /// <summary>Pulls the node's cable, or plugs it in again.</summary>
    public void SetCable(LabNode node, bool plugged)
    {
        using var router = NetworkNamespace.OpenNamed(place.RouterNamespace);
        using var links = router.OpenLinks();
        links.Change(new LinkChange(links.Find($"to-{node.Name}")!.Index) { Up = plugged });
    }

    public void RemoveNode(LabNode node) => NetworkNamespace.DeleteNamed(place.NodeNamespace(node.Name));

    /// <summary>One more router on segment A, which answers at an address behind it.</summary>
    public void CreateUplink(string uplink, Cidr address, IpAddr behind)
    {
        using var router = NetworkNamespace.OpenNamed(place.RouterNamespace);
        using var inside = NetworkNamespace.CreateNamed(place.UplinkNamespace(uplink));
        using var routerLinks = router.OpenLinks();
        using var links = inside.OpenLinks();
        routerLinks.CreateVeth(new VethPair($"to-{uplink}", "eth0", inside.Fd), up: true);
        links.AddAddress(new LinkAddress(links.Find("eth0")!.Index, address));
        links.AddAddress(new LinkAddress(links.Find("lo")!.Index, Cidr.Host(behind)));
        SetUp(links, "lo");
        SetUp(links, "eth0");
        using var sysctl = inside.OpenSysctl();
        sysctl.Write("ipv4/ip_forward", "1");
        SetUplink(uplink, joined: true);
    }

    /// <summary>Whether the switch passes frames from and to an uplink. Nobody's device changes by it: only silence tells.</summary>
    public void SetUplink(string uplink, bool joined)
    {
        using var router = NetworkNamespace.OpenNamed(place.RouterNamespace);
        using var links = router.OpenLinks();
        links.Change(new LinkChange(links.Find($"to-{uplink}")!.Index) { MasterIndex = joined ? links.Find("br-a")!.Index : 0 });
    }

    public void RemoveUplink(string uplink) => NetworkNamespace.DeleteNamed(place.UplinkNamespace(uplink));

    public void CreatePod(PodId pod)
    {
        using var inside = NetworkNamespace.CreateNamed(place.PodNamespace(pod));
        using var links = inside.OpenLinks();
        SetUp(links, "lo");
    }

    public void RemovePod(PodId pod) => NetworkNamespace.DeleteNamed(place.PodNamespace(pod));

    /// <summary>Every namespace that carries the lab's name, also those that no state file knows.</summary>
    public IReadOnlyList<string> Namespaces() => [.. NamedNamespaces.List().Where(place.Owns)];

    public NetworkNamespace OpenRouter() => NetworkNamespace.OpenNamed(place.RouterNamespace);
    public NetworkNamespace OpenNode(string node) => NetworkNamespace.OpenNamed(place.NodeNamespace(node));
    public NetworkNamespace OpenUplink(string uplink) => NetworkNamespace.OpenNamed(place.UplinkNamespace(uplink));
    public NetworkNamespace OpenPod(PodId pod) => NetworkNamespace.OpenNamed(place.PodNamespace(pod));

    private static void SetUp(ILinkTable links, string name) =>
        links.Change(new LinkChange(links.Find(name)!.Index) { Up = true });

    private static void Add(IRouteTable routes, Route route)
    {
        Kernel.Errno[] results = [Kernel.Errno.None];
        routes.Apply([new RouteChange(route, Delete: false)], results);
        if (results[0] != Kernel.Errno.None)
            throw new Kernel.KernelException(results[0], "add route", route.Key.Destination.ToString());
    }
}

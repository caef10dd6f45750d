using System.Collections.Immutable;
using Calico.Actors.Cni;
using Calico.Core.Cni;
using Calico.Core.Net;
using Calico.Kernel;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Routes;
using Calico.Node.Lab;

namespace Calico.Tests.Lab;

/// <summary>
/// Stands in for a node's agent where the lab itself is under test: answers the shim, wires the pod, and knows the other
/// nodes' blocks from the beginning. One block a node, no policy, no memory.
/// </summary>
internal sealed class MiniNode : IAsyncDisposable
{
    private const byte ProtocolCalico = 80;
    private static readonly IpAddr Gateway = IpAddr.Parse("169.254.1.1");

    private readonly Topology _topology;
    private readonly LabNode _node;
    private readonly CniListener _listener;
    private readonly Lock _gate = new();
    private readonly Dictionary<string, string> _links = [];
    private int _last;

    public MiniNode(LabPlace place, Topology topology, LabNode node, IEnumerable<LabNode> nodes)
    {
        _topology = topology;
        _node = node;
        using (var inside = topology.OpenNode(node.Name))
        using (var routes = inside.OpenRoutes())
        {
            Add(routes, new Route(new RouteKey(BlockOf(node), 0), RouteKind.Blackhole, ProtocolCalico, []));
            foreach (var other in nodes.Where(n => n != node))
            {
                var via = other.OnSegmentA == node.OnSegmentA ? other.Address.Address : node.Router;
                Add(routes, new Route(new RouteKey(BlockOf(other), 0), RouteKind.Unicast, ProtocolCalico, [new NextHop(via)]));
            }
        }
        _listener = CniListener.Start(new CniListenerOptions(place.NodeSocket(node.Name)), async (call, _) => await call.ReplyAsync(Serve(call)));
    }

    public static Cidr BlockOf(LabNode node) => Cidr.Parse($"10.65.{node.Number}.0/26");

    public ValueTask DisposeAsync() => _listener.DisposeAsync();

    /// <summary>Takes a pod's route away, as a broken dataplane would.</summary>
    public void Blackhole(IpAddr pod)
    {
        using var inside = _topology.OpenNode(_node.Name);
        using var routes = inside.OpenRoutes();
        Add(routes, new Route(new RouteKey(Cidr.Host(pod), 0), RouteKind.Blackhole, ProtocolCalico, []));
    }

    private CniReply Serve(CniCall call)
    {
        lock (_gate)
        {
            if (!CniNetworkConfig.TryParse(call.Request.Config, call.Request.Command, out var config, out var error))
                return error!.ToReply(CniVersion.Newest);
            return call.Request.Command switch
            {
                CniCommand.Add => CniReply.Result(Wire(call), config.Version),
                CniCommand.Del => Unwire(call),
                _ => CniReply.Done,
            };
        }
    }

    private CniResult Wire(CniCall call)
    {
        var address = BlockOf(_node).First.Add((uint)++_last);
        var name = $"cali{_node.Number}x{_last}";
        _links[call.Request.ContainerId] = name;
        using var inside = _topology.OpenNode(_node.Name);
        using var pod = NetworkNamespace.Open($"/proc/self/fd/{call.Netns!.DangerousGetHandle()}");
        using var links = inside.OpenLinks();
        using var podLinks = pod.OpenLinks();
        var host = links.CreateVeth(new VethPair(name, call.Request.InterfaceName, pod.Fd), up: true);
        var eth0 = podLinks.Find(call.Request.InterfaceName)!;
        podLinks.Change(new LinkChange(eth0.Index) { Up = true });
        podLinks.AddAddress(new LinkAddress(eth0.Index, Cidr.Host(address)));
        using var podRoutes = pod.OpenRoutes();
        Add(podRoutes, new Route(new RouteKey(Cidr.Host(Gateway), 0), RouteKind.Unicast, ProtocolCalico, [new NextHop(null, eth0.Index)]) { Scope = RouteScope.Link });
        Add(podRoutes, new Route(new RouteKey(Cidr.Parse("0.0.0.0/0"), 0), RouteKind.Unicast, ProtocolCalico, [new NextHop(Gateway, eth0.Index)]));
        using var sysctl = inside.OpenSysctl();
        sysctl.Write($"ipv4/conf/{name}/proxy_arp", "1");
        sysctl.Write($"ipv4/neigh/{name}/proxy_delay", "0");
        using var routes = inside.OpenRoutes();
        Add(routes, new Route(new RouteKey(Cidr.Host(address), 0), RouteKind.Unicast, ProtocolCalico, [new NextHop(null, host.Index)]) { Scope = RouteScope.Link });
        return new CniResult([new CniInterface(name), new CniInterface("eth0", "", call.Request.NetnsPath)], [new CniAddress(Cidr.Host(address), 1)], []);
    }

    private CniReply Unwire(CniCall call)
    {
        if (_links.Remove(call.Request.ContainerId, out var name))
        {
            using var inside = _topology.OpenNode(_node.Name);
            using var links = inside.OpenLinks();
            links.Delete(name);
        }
        return CniReply.Done;
    }

    private static void Add(IRouteTable routes, Route route)
    {
        Errno[] results = [Errno.None];
        routes.Apply([new RouteChange(route, Delete: false)], results);
        Assert.Equal(Errno.None, results[0]);
    }
}

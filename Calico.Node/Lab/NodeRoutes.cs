using Calico.Core.Net;
using Calico.Kernel.Routes;

namespace Calico.Node.Lab;

/// <summary>The routes of a node's kernel, sorted by what they are for.</summary>
internal sealed record NodeRoutes(IReadOnlyList<Cidr> OwnBlocks, IReadOnlyList<Route> RemoteBlocks, IReadOnlyList<(Cidr Pod, string Link)> LocalPods,
    IReadOnlyList<Route> Others)
{
    // What `ip route` shows as "proto 80".
    private const byte ProtocolCalico = 80;
    private static readonly Cidr Pods = Cidr.Parse(LabPlace.PodNetwork);

    public static NodeRoutes Read(Topology topology, LabNode node)
    {
        using var inside = topology.OpenNode(node.Name);
        using var table = inside.OpenRoutes();
        using var links = inside.OpenLinks();
        var names = links.Dump().ToDictionary(l => l.Index, l => l.Name);
        var routes = table.Dump(new RouteFilter(IpVersion.V4));
        var pods = routes.Where(r => Pods.Contains(r.Key.Destination)).ToList();
        return new NodeRoutes(
            [.. pods.Where(r => r.Kind == RouteKind.Blackhole && r.Protocol == ProtocolCalico).Select(r => r.Key.Destination).Order()],
            [.. pods.Where(r => r is { Kind: RouteKind.Unicast, Protocol: ProtocolCalico } && r.NextHops is [{ Gateway: not null }, ..]).OrderBy(r => r.Key.Destination)],
            [.. pods.Where(r => r.Key.Destination.IsHost && r.NextHops is [{ Gateway: null }])
                .Select(r => (r.Key.Destination, names.GetValueOrDefault(r.NextHops[0].LinkIndex, "?")))],
            [.. routes.Except(pods)]);
    }
}

using Calico.Core.Net;

namespace Calico.Node.Lab.Check;

/// <summary>What the nodes' kernels hold: own blocks as blackholes, others' learned by BGP, local pods on cali interfaces.</summary>
internal static class RouteSteps
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    public static async Task RunAsync(CheckRun run)
    {
        foreach (var node in run.Lab.State.AllNodes)
            await run.StepAsync($"{node.Name}: own blocks blackholed, others' learned (proto 80), pods on cali interfaces", async () =>
            {
                await CheckRun.UntilRightAsync(Limit, () => Task.FromResult(Wrong(run.Lab, node)));
                var routes = NodeRoutes.Read(run.Lab.Topology, node);
                return $"own {string.Join(' ', routes.OwnBlocks)}, {routes.RemoteBlocks.Count} learned, {routes.LocalPods.Count} pods";
            });
    }

    /// <summary>What is wrong with a node's routes, or nothing.</summary>
    public static string Wrong(Lab lab, LabNode node)
    {
        var wrong = new List<string>();
        var routes = NodeRoutes.Read(lab.Topology, node);
        if (routes.OwnBlocks.Count == 0)
            wrong.Add("it has no blackhole route for a block of its own");
        foreach (var pod in lab.State.WiredPods.Where(p => p.Node == node.Name))
        {
            var address = IpAddr.Parse(pod.Address);
            if (!routes.LocalPods.Any(l => l.Pod == Cidr.Host(address) && l.Link.StartsWith("cali", StringComparison.Ordinal)))
                wrong.Add($"pod {pod.Id} ({address}) has no route to a cali interface");
            if (!routes.OwnBlocks.Any(b => b.Contains(address)))
                wrong.Add($"pod {pod.Id} ({address}) is in no block of this node");
        }
        var expected = lab.State.AllNodes.Where(n => n != node)
            .SelectMany(n => NodeRoutes.Read(lab.Topology, n).OwnBlocks.Select(b => (Block: b, Node: n))).ToList();
        foreach (var (block, owner) in expected)
        {
            var learned = routes.RemoteBlocks.FirstOrDefault(r => r.Key.Destination == block);
            // On the other segment the next hop resolves through the router.
            var wanted = owner.OnSegmentA == node.OnSegmentA ? owner.Address.Address : node.Router;
            if (learned is null)
                wrong.Add($"block {block} of {owner.Name} has no route");
            else if (learned.NextHops[0].Gateway != wanted)
                wrong.Add($"block {block} of {owner.Name} goes via {learned.NextHops[0].Gateway}, not via {wanted}");
        }
        wrong.AddRange(routes.RemoteBlocks.Where(r => !expected.Exists(e => e.Block.Contains(r.Key.Destination)))
            .Select(r => $"route {r.Key.Destination} belongs to no node's block"));
        return string.Join("; ", wrong);
    }
}

using Calico.Core.Net;

namespace Calico.Node.Lab.Check;

/// <summary>The foreign BGP speaker's view, and the way out of the cluster.</summary>
internal static class RouterSteps
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    public static async Task RunAsync(CheckRun run)
    {
        await run.StepAsync("BIRD holds every block with the right next hop", async () =>
        {
            await CheckRun.UntilRightAsync(Limit, () => WrongAsync(run.Lab));
            return $"{(await run.Lab.Router.RoutesAsync(run.Lab.Topology)).Count} routes";
        });
        await run.StepAsync($"every pod reaches {LabPlace.External} behind the router", () => ReachOutsideAsync(run));
    }

    /// <summary>What is wrong with BIRD's table, or nothing.</summary>
    public static async Task<string> WrongAsync(Lab lab)
    {
        var wrong = new List<string>();
        var routes = await lab.Router.RoutesAsync(lab.Topology);
        var expected = lab.State.AllNodes.SelectMany(n => NodeRoutes.Read(lab.Topology, n).OwnBlocks.Select(b => (Block: b, Node: n))).ToList();
        foreach (var (block, node) in expected)
        {
            var route = routes.FirstOrDefault(r => r.Destination == block);
            if (route is null)
                wrong.Add($"BIRD has no route to {block} of {node.Name}");
            else if (route.NextHop != node.Address.Address)
                wrong.Add($"BIRD's route to {block} goes via {route.NextHop}, not via {node.Address.Address} ({node.Name})");
        }
        wrong.AddRange(routes.Where(r => r.NextHop is not null && !expected.Exists(e => e.Block.Contains(r.Destination)))
            .Select(r => $"BIRD has a route to {r.Destination}, which belongs to no node"));
        return string.Join("; ", wrong);
    }

    private static async Task<string> ReachOutsideAsync(CheckRun run)
    {
        var pods = run.Lab.State.WiredPods.ToList();
        await CheckRun.UntilRightAsync(Limit, async () =>
        {
            var results = await Task.WhenAll(pods.Select(async pod =>
            {
                using var inside = run.Lab.Topology.OpenPod(pod.Id);
                var result = await Probe.RunAsync(inside, ConnectivitySteps.Icmp, LabPlace.External, "", TimeSpan.FromSeconds(1));
                return result == ProbeResult.Reached ? "" : $"{pod.Id} does not reach it";
            }));
            return string.Join("; ", results.Where(r => r.Length > 0));
        });
        // Only a route learned by BGP leads there: the nodes' default route must not be what answers.
        foreach (var node in run.Lab.State.AllNodes)
        {
            var learned = NodeRoutes.Read(run.Lab.Topology, node).Others.Any(r => r.Key.Destination == Cidr.Parse(LabPlace.ExternalNetwork));
            CheckRun.Require(learned, $"{node.Name} has no route to {LabPlace.ExternalNetwork}");
        }
        return $"{pods.Count} pods";
    }
}

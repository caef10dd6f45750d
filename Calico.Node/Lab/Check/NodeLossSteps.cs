using Calico.Core.Net;

namespace Calico.Node.Lab.Check;

/// <summary>A power cut: the node's blocks get another owner at another epoch, its routes go everywhere.</summary>
internal static class NodeLossSteps
{
    private static readonly LabNode Victim = new(3);

    // The longest way: hold time 90 s, then nobody waits for a restart that does not come.
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(240);

    public static async Task RunAsync(CheckRun run)
    {
        IReadOnlyList<Cidr> blocks = [];
        var before = new Dictionary<string, LabStore.Block>();
        var cut = await run.StepAsync($"{Victim.Name} is cut off for good", async () =>
        {
            blocks = NodeRoutes.Read(run.Lab.Topology, Victim).OwnBlocks;
            foreach (var block in await LabStore.BlocksAsync(run.Lab))
                before[block.Cidr] = block;
            await run.Lab.RemoveNodeAsync(Victim);
            return $"it held {string.Join(' ', blocks)}";
        });
        if (!cut)
            return;
        await run.StepAsync($"no node routes to {Victim.Name}'s blocks any more", async () =>
        {
            await CheckRun.UntilRightAsync(Limit, async () =>
            {
                var wrong = run.Lab.State.AllNodes.Select(n => Stale(run.Lab, n, blocks)).Append(await StaleInBirdAsync(run.Lab, blocks));
                return string.Join("; ", wrong.Where(w => w.Length > 0));
            });
        });
        await run.StepAsync($"{Victim.Name}'s blocks are free or held by another node at a new epoch", async () =>
        {
            var detail = "";
            await CheckRun.UntilRightAsync(Limit, async () =>
            {
                var now = (await LabStore.BlocksAsync(run.Lab)).Where(b => blocks.Any(own => own.ToString() == b.Cidr)).ToList();
                detail = now.Count == 0 ? "free" : string.Join(", ", now.Select(b => $"{b.Cidr} {b.Affinity ?? "free"} at {b.SequenceNumber}"));
                return string.Join("; ", now.Where(b => b.Affinity == $"host:{Victim.Name}" || b.SequenceNumber <= before[b.Cidr].SequenceNumber)
                    .Select(b => $"{b.Cidr} is still held by {b.Affinity} at {b.SequenceNumber}"));
            });
            return detail;
        });
        await run.StepAsync("the pods of the other nodes do not notice", () => ConnectivitySteps.AllReachAllAsync(run, ConnectivitySteps.Web));
    }

    private static string Stale(Lab lab, LabNode node, IReadOnlyList<Cidr> blocks)
    {
        // A block that found a new owner may well be routed again, but not to the lost node.
        var stale = NodeRoutes.Read(lab.Topology, node).RemoteBlocks
            .Where(r => blocks.Any(b => b.Contains(r.Key.Destination)) && r.NextHops[0].Gateway == Victim.Address.Address).ToList();
        var orphans = NodeRoutes.Read(lab.Topology, node).RemoteBlocks
            .Where(r => blocks.Any(b => b.Contains(r.Key.Destination)) && !HasOwner(lab, r.Key.Destination)).ToList();
        return string.Join("; ", stale.Union(orphans).Select(r => $"{node.Name} still has a route to {r.Key.Destination} via {r.NextHops[0].Gateway}"));
    }

    private static bool HasOwner(Lab lab, Cidr block) =>
        lab.State.AllNodes.Any(n => NodeRoutes.Read(lab.Topology, n).OwnBlocks.Any(b => b.Contains(block)));

    private static async Task<string> StaleInBirdAsync(Lab lab, IReadOnlyList<Cidr> blocks) =>
        string.Join("; ", (await lab.Router.RoutesAsync(lab.Topology))
            .Where(r => blocks.Any(b => b.Contains(r.Destination)) && r.NextHop == Victim.Address.Address)
            .Select(r => $"BIRD still has a route to {r.Destination} via {r.NextHop}"));
}

namespace Calico.Node.Lab.Check;

/// <summary>
/// A host that counts as gone and is not: its cable is pulled until the others have taken what it had, then plugged in
/// again. Its pods never stopped, so they must have their addresses back, in IPAM and in fact.
/// </summary>
internal static class ReturnSteps
{
    private const string EndpointPrefix = "/calico/resources/v3/projectcalico.org/workloadendpoints/";
    private static readonly LabNode Traveller = new(2);
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(120);

    public static async Task RunAsync(CheckRun run)
    {
        var pods = run.Lab.State.WiredPods.Where(p => p.Node == Traveller.Name).ToList();
        try
        {
            if (!await run.StepAsync($"{Traveller.Name}'s cable is pulled until it counts as gone: endpoints and blocks are taken back", () => LeaveAsync(run)))
                return;
        }
        finally
        {
            run.Lab.Topology.SetCable(Traveller, plugged: true);
        }
        await run.StepAsync($"{Traveller.Name} is back: its pods have the addresses that they had, in IPAM too", () => ReturnAsync(run, pods));
        await run.StepAsync("every pod reaches every other as before", () => ReachAsync(run));
        await run.StepAsync($"the Node resource of {Traveller.Name} is deleted while its agent runs: it registers again and keeps its pods", async () =>
        {
            var (exit, _, errors) = await run.Lab.Ctl.RunAsync(null, "delete", "node", Traveller.Name);
            CheckRun.Require(exit == 0, errors);
            await ReturnAsync(run, pods);
            // The node's own peers went with it, as calicoctl does.
            await run.Lab.Ctl.ApplyTextAsync(LabCtl.BgpPeers([Traveller]));
            await ReachAsync(run);
        });
    }

    private static Task ReachAsync(CheckRun run) => CheckRun.UntilRightAsync(Limit, async () =>
    {
        try
        {
            await ConnectivitySteps.AllReachAllAsync(run, ConnectivitySteps.Web);
            return "";
        }
        catch (CheckFailedException e)
        {
            return e.Message;
        }
    });

    private static async Task LeaveAsync(CheckRun run)
    {
        run.Lab.Topology.SetCable(Traveller, plugged: false);
        await CheckRun.UntilRightAsync(Limit, async () =>
        {
            var left = await EndpointsAsync(run);
            var held = await HeldAsync(run);
            return left.Count > 0 ? $"{left.Count} endpoints are still there" : held.Count > 0 ? $"it still holds {string.Join(' ', held)}" : "";
        });
    }

    private static Task ReturnAsync(CheckRun run, IReadOnlyList<LabPod> pods) => CheckRun.UntilRightAsync(Limit, async () =>
    {
        var endpoints = await EndpointsAsync(run);
        var missing = pods.Where(p => !endpoints.Any(e => e.Contains($"\"{p.Address}/32\"", StringComparison.Ordinal))).Select(p => p.Id.ToString()).ToList();
        if (missing.Count > 0)
            return $"no endpoint of {string.Join(", ", missing)}";
        if ((await HeldAsync(run)).Count == 0)
            return "it holds no block";
        foreach (var pod in pods)
        {
            var (exit, output, _) = await run.Lab.Ctl.RunAsync(null, "ipam", "show", "--ip", pod.Address);
            if (exit != 0 || !output.Contains("is in use", StringComparison.Ordinal))
                return $"IPAM does not know {pod.Id}: {output}".Trim();
        }
        using var inside = run.Lab.Topology.OpenNode(Traveller.Name);
        var (ready, why) = await NodeHttp.TryGetAsync(inside, 9099, "/readiness");
        return ready ? "" : why;
    });

    private static async Task<IReadOnlyList<string>> EndpointsAsync(CheckRun run) =>
        [.. (await LabStore.ListAsync(run.Lab, EndpointPrefix)).Where(e => e.Key.Contains($"/{Traveller.Name}-k8s-", StringComparison.Ordinal)).Select(e => e.Value)];

    private static async Task<IReadOnlyList<string>> HeldAsync(CheckRun run) =>
        [.. (await LabStore.BlocksAsync(run.Lab)).Where(b => b.Affinity == $"host:{Traveller.Name}").Select(b => b.Cidr)];
}

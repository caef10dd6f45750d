namespace Calico.Node.Lab.Check;

/// <summary>The pages that probes and Prometheus ask for.</summary>
internal static class HttpSteps
{
    private static readonly string[] FelixMetrics = ["felix_active_local_endpoints", "felix_int_dataplane_apply_time_seconds_count"];

    public static async Task RunAsync(CheckRun run)
    {
        foreach (var node in run.Lab.State.AllNodes)
            await run.StepAsync($"{node.Name}: /liveness and /readiness on 9099, /metrics on 9091", async () =>
            {
                using var inside = run.Lab.Topology.OpenNode(node.Name);
                foreach (var path in (string[])["/liveness", "/readiness"])
                {
                    var (ok, text) = await NodeHttp.TryGetAsync(inside, 9099, path);
                    CheckRun.Require(ok, text);
                }
                var metrics = await NodeHttp.MetricsAsync(inside);
                foreach (var name in FelixMetrics)
                    CheckRun.Require(metrics.Any(m => m.Name == name), $"the metric {name} is not there");
                return $"{metrics.Count} samples";
            });
    }
}

namespace Calico.Node.Lab.Check;

/// <summary>Pods on every node, and every one of them reaches every other.</summary>
internal static class ConnectivitySteps
{
    public static readonly LabPort Web = LabPort.Parse("80/tcp");
    public static readonly LabPort Other = LabPort.Parse("81/tcp");
    public static readonly LabPort Dns = LabPort.Parse("53/udp");
    public static readonly LabPort Icmp = LabPort.Parse("icmp");

    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);

    /// <summary>The pods of the check: a shop of three, and a namespace of others; each node has one of both.</summary>
    public static IReadOnlyList<PodRequest> Pods { get; } =
    [
        Pod("shop", "web", "node1"), Pod("shop", "api", "node2"), Pod("shop", "db", "node3"),
        Pod("other", "web", "node1"), Pod("other", "batch", "node2"), Pod("other", "idle", "node3"),
    ];

    public static async Task RunAsync(CheckRun run)
    {
        foreach (var request in Pods)
            await run.StepAsync($"pod {request.Id} on {request.Node}", async () => (await run.Lab.AddPodAsync(request)).Address);
        foreach (var port in (LabPort[])[Web, Dns, Icmp])
            await run.StepAsync($"every pod reaches every other on {port}", () => AllReachAllAsync(run, port));
    }

    public static async Task<string> AllReachAllAsync(CheckRun run, LabPort port)
    {
        var count = 0;
        await CheckRun.UntilRightAsync(Limit, async () =>
        {
            var matrix = await run.Lab.MatrixAsync(port, IsOurs);
            count = matrix.Pods.Count;
            return matrix.Difference((_, _) => true);
        });
        CheckRun.Require(count > 1, $"only {count} pods are there");
        return $"{count * (count - 1)} of {count * (count - 1)} pairs";
    }

    public static bool IsOurs(LabPod pod) => pod.Namespace is "shop" or "other";

    private static PodRequest Pod(string space, string name, string node) => new(new PodId(space, name), node)
    {
        Labels = new Dictionary<string, string> { ["app"] = name },
        Listen = [Web, Other, Dns],
    };
}

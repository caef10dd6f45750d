namespace Calico.Node.Lab.Check;

/// <summary>
/// The datastore is killed, and pods start and stop all the same: addresses come from the blocks that the node holds.
/// When it is back everything agrees, and nothing is left over.
/// </summary>
internal static class OfflineSteps
{
    private const int Pods = 50;
    private const int Kept = 10;
    private const int AtOnce = 8;
    private static readonly LabNode Host = new(1);
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    public static async Task RunAsync(CheckRun run)
    {
        var before = (await LabStore.BlocksAsync(run.Lab)).Sum(b => b.SequenceNumber);
        await run.Lab.KillDatastoreAsync();
        try
        {
            await run.StepAsync($"without a datastore {Pods} pods start on {Host.Name}, each with an address of its own", () => StartAsync(run));
            await run.StepAsync("they reach the pods of the other nodes and are reached", () => ReachAsync(run));
            await run.StepAsync($"all but {Kept} of them stop again", () => StopAsync(run, Kept, Pods));
        }
        finally
        {
            await run.Lab.StartDatastoreAsync();
        }
        await run.StepAsync("the datastore is back: every pod that is there has its endpoint and its address, nobody else has any", async () =>
        {
            await CheckRun.UntilRightAsync(Limit, async () => string.Join("; ", await Consistency.FindAsync(run.Lab)));
            CheckRun.Require((await LabStore.BlocksAsync(run.Lab)).Sum(b => b.SequenceNumber) != before, "no block was written");
        });
        await run.StepAsync("the rest of them stop", async () =>
        {
            await StopAsync(run, 0, Kept);
            await CheckRun.UntilRightAsync(Limit, async () => string.Join("; ", await Consistency.FindAsync(run.Lab)));
        });
    }

    private static PodId IdOf(int number) => new("other", $"offline-{number}");

    private static async Task<string> StartAsync(CheckRun run)
    {
        await EachAsync(0, Pods, number => run.Lab.AddPodAsync(new PodRequest(IdOf(number), Host.Name)));
        var shared = run.Lab.State.WiredPods.GroupBy(p => p.Address).Where(g => g.Count() > 1).Select(g => $"{g.Key} {g.Count()} times").ToList();
        CheckRun.Require(shared.Count == 0, string.Join("; ", shared));
        return $"{run.Lab.State.WiredPods.Count(p => p.Node == Host.Name)} pods there now";
    }

    // The first and the last of them, and everybody who was there before.
    private static Task ReachAsync(CheckRun run) => CheckRun.UntilRightAsync(Limit, async () =>
        (await run.Lab.MatrixAsync(ConnectivitySteps.Icmp, p => ConnectivitySteps.IsOurs(p)
            && (!p.Name.StartsWith("offline-", StringComparison.Ordinal) || p.Id == IdOf(0) || p.Id == IdOf(Pods - 1)))).Difference((_, _) => true));

    private static Task StopAsync(CheckRun run, int from, int to) => EachAsync(from, to, number => run.Lab.RemovePodAsync(IdOf(number)));

    private static Task EachAsync(int from, int to, Func<int, Task> act) => Parallel.ForEachAsync(Enumerable.Range(from, to - from),
        new ParallelOptions { MaxDegreeOfParallelism = AtOnce }, async (number, _) => await act(number));
}

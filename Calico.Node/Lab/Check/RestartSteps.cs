using System.Diagnostics;
using System.Globalization;

namespace Calico.Node.Lab.Check;

/// <summary>kill -9 of an agent while packets flow: nothing is lost, and the new one adopts what it finds.</summary>
internal static class RestartSteps
{
    private const string KernelWrites = "calico_kernel_writes_total";
    private static readonly LabNode Victim = new(1);
    private static readonly TimeSpan Dead = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    public static async Task RunAsync(CheckRun run)
    {
        await run.StepAsync($"kill -9 of {Victim.Name}'s agent and restart under running pings: no packet lost", () => KillAsync(run));
        await run.StepAsync($"{Victim.Name}'s new agent wrote nothing needless to the kernel", () => WroteNothingAsync(run));
        await run.StepAsync($"{Victim.Name}'s sessions are back", () => SessionsBackAsync(run));
        await run.StepAsync($"{Victim.Name} still wires and unwires pods", async () =>
        {
            var pod = await run.Lab.AddPodAsync(new PodRequest(new PodId("other", "late"), Victim.Name) { Listen = [ConnectivitySteps.Web] });
            await ConnectivitySteps.AllReachAllAsync(run, ConnectivitySteps.Icmp);
            await run.Lab.RemovePodAsync(pod.Id);
            return pod.Address;
        });
    }

    private static async Task<string> KillAsync(CheckRun run)
    {
        var pods = run.Lab.State.WiredPods.ToList();
        var flows = (from here in pods.Where(p => p.Node == Victim.Name)
                     from there in pods.Where(p => p.Node != Victim.Name)
                     from pair in ((LabPod, LabPod)[])[(here, there), (there, here)]
                     select PingFlow.Start(run.Lab.Topology, pair.Item1, pair.Item2)).Take(16).ToList();
        var begun = Stopwatch.GetTimestamp();
        try
        {
            await Task.Delay(Dead / 3);
            var killed = Stopwatch.GetElapsedTime(begun);
            await run.Lab.KillNodeAsync(Victim);
            await Task.Delay(Dead);
            var started = Stopwatch.GetElapsedTime(begun);
            await run.Lab.StartNodeAsync(Victim);
            await SessionsBackAsync(run);
            var back = Stopwatch.GetElapsedTime(begun);
            await Task.Delay(Dead);
            var results = await Task.WhenAll(flows.Select(async f => (f.Name, Result: await f.StopAsync())));
            var lossy = results.Where(r => r.Result.Lost.Count > 0).ToList();
            CheckRun.Require(lossy.Count == 0, string.Create(CultureInfo.InvariantCulture,
                $"killed at {killed.TotalSeconds:0.00} s, started at {started.TotalSeconds:0.00}, sessions back at {back.TotalSeconds:0.00}; ")
                + string.Join("; ", lossy.Select(r => string.Create(CultureInfo.InvariantCulture,
                    $"{r.Name} lost {r.Result.Lost.Count} of {r.Result.Sent}, sent at {r.Result.Lost[0].TotalSeconds:0.00} to {r.Result.Lost[^1].TotalSeconds:0.00} s"))));
            return string.Create(CultureInfo.InvariantCulture, $"{results.Sum(r => r.Result.Sent)} echo requests in {results.Length} flows, all answered");
        }
        finally
        {
            foreach (var flow in flows)
                await flow.DisposeAsync();
        }
    }

    private static async Task<string> WroteNothingAsync(CheckRun run)
    {
        using var inside = run.Lab.Topology.OpenNode(Victim.Name);
        var samples = (await NodeHttp.MetricsAsync(inside)).Where(m => m.Name == KernelWrites).ToList();
        CheckRun.Require(samples.Count > 0, $"the metric {KernelWrites} is not there");
        var writes = samples.Where(m => m.Value > 0).ToList();
        CheckRun.Require(writes.Count == 0, string.Join("; ", writes.Select(m =>
            $"{m.Value} writes by {string.Join(',', m.Labels.Select(l => $"{l.Key}={l.Value}"))}")));
        return $"{KernelWrites} is 0 in {samples.Count} samples";
    }

    private static async Task<string> SessionsBackAsync(CheckRun run)
    {
        await run.Lab.UntilSessionsAsync(run.Lab.State.AllNodes);
        var others = run.Lab.State.AllNodes.Where(n => n != Victim).ToList();
        await CheckRun.UntilRightAsync(Limit, async () =>
        {
            var (exit, output, errors) = await run.Lab.Ctl.RunOnNodeAsync(Victim.Name, "node", "status");
            if (exit != 0)
                return $"calicoctl node status: {errors}{output}".Trim();
            var lines = output.Split('\n');
            return string.Join("; ", others.Select(n => n.Address.Address).Append(Victim.Router)
                .Where(peer => !lines.Any(l => l.Contains($" {peer} ", StringComparison.Ordinal) && l.Contains("Established", StringComparison.Ordinal)))
                .Select(peer => $"the session with {peer} is not established"));
        });
        return $"{others.Count} in the mesh, one with the router";
    }
}

using System.Globalization;
using System.Text.Json;
using Calico.Node.Lab.Check;

namespace Calico.Node.Lab.Churn;

/// <summary>
/// Examines the lab when nobody calls and nothing is broken. What has to come right by itself has time for it; what must
/// never have happened fails at once. Keeps the evidence of a failure.
/// </summary>
internal sealed class Examiner(ChurnContext context)
{
    private const int MostSaid = 20;
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    private readonly EvidenceReader _reader = new(context.Lab);
    private readonly Random _random = new(context.Options.Seed);
    private Evidence? _last;

    private Lab Lab => context.Lab;

    public async Task ExamineAsync(string when, CancellationToken cancellation)
    {
        RequireNoViolation();
        await Lab.Output.StepAsync("agents can forward for their pods", () => UntilAsync(NotReadyAsync, cancellation));
        await Lab.Output.StepAsync("datastore, kernels and runtimes agree", () => UntilAsync(DisagreementsAsync, cancellation));
        var probes = new ProbeRound(context);
        await Lab.Output.StepAsync("every pod has its address and works, pods reach each other as policy says", () =>
            UntilAsync(() => probes.RunAsync(context.Ledger.Pods, _random), cancellation));
        RequireNoViolation();
        var ipam = RawIpam.Read(_last!.Store);
        Lab.Output.Line(string.Create(CultureInfo.InvariantCulture,
            $"ok     {when}: {context.Ledger.Count} pods; {ipam.Allocations.Count - ipam.Cooling} allocated + {ipam.Free} free + {ipam.Cooling} cooling = {ipam.Capacity} in {ipam.Blocks} blocks; {probes.Probes} probes"));
    }

    /// <summary>Copies what tells about a failure out of the lab's folder, which goes; returns where to.</summary>
    public async Task<string> KeepAsync()
    {
        var folder = Path.Combine(Path.GetDirectoryName(LabPlace.NodeProgram)!, "..", "churn",
            $"seed-{context.Options.Seed}-{TimeProvider.System.GetLocalNow():HHmmss}");
        folder = Path.GetFullPath(folder);
        Directory.CreateDirectory(folder);
        File.Copy(context.Log.Path, Path.Combine(folder, "calls.jsonl"), overwrite: true);
        foreach (var node in Lab.State.AllNodes.Where(n => File.Exists(Lab.Place.NodeLog(n.Name))))
            File.Copy(Lab.Place.NodeLog(node.Name), Path.Combine(folder, $"{node.Name}.log"), overwrite: true);
        if (File.Exists(Lab.Place.DatastoreLog))
            File.Copy(Lab.Place.DatastoreLog, Path.Combine(folder, "datastore.log"), overwrite: true);
        await File.WriteAllLinesAsync(Path.Combine(folder, "pods.txt"), context.Ledger.Pods.Select(p => $"{p.Container} {p.Name} {p.Node} {p.Role} {p.Address}"));
        try
        {
            _last = await _reader.ReadAsync();
        }
        catch (LabException e)
        {
            await File.WriteAllTextAsync(Path.Combine(folder, "unread.txt"), e.Message);
        }
        if (_last is { } evidence)
        {
            await File.WriteAllLinesAsync(Path.Combine(folder, "datastore.txt"), evidence.Store.OrderBy(e => e.Key, StringComparer.Ordinal).Select(e => $"{e.Key} {e.Value}"));
            foreach (var node in evidence.Nodes)
                await File.WriteAllTextAsync(Path.Combine(folder, $"{node.Node}.kernel.json"), JsonSerializer.Serialize(new
                {
                    node.Links,
                    routes = node.Routes.Select(r => $"{r.Address} {r.Link}"),
                    node.Chains,
                    node.Sets,
                    node.Remembered,
                }));
        }
        return folder;
    }

    private async Task<IReadOnlyList<string>> DisagreementsAsync()
    {
        try
        {
            _last = await _reader.ReadAsync();
        }
        catch (LabException e)
        {
            return [e.Message];
        }
        return [.. Examination.Examine(_last, context.Ledger.Pods), .. Lab.State.AllNodes.Select(n => RouteSteps.Wrong(Lab, n)).Where(w => w.Length > 0)];
    }

    private async Task<IReadOnlyList<string>> NotReadyAsync()
    {
        var wrong = new List<string>();
        foreach (var node in Lab.State.AllNodes)
        {
            using var inside = Lab.Topology.OpenNode(node.Name);
            var (ready, why) = await NodeHttp.TryGetAsync(inside, 9099, "/readiness");
            if (!ready)
                wrong.Add($"{node.Name}: {why}");
        }
        return wrong;
    }

    private async Task UntilAsync(Func<Task<IReadOnlyList<string>>> wrong, CancellationToken cancellation)
    {
        var begun = TimeProvider.System.GetTimestamp();
        while (await wrong() is { Count: > 0 } what)
        {
            cancellation.ThrowIfCancellationRequested();
            if (TimeProvider.System.GetElapsedTime(begun) > context.Options.Patience)
                throw new CheckFailedException($"after {context.Options.Patience.TotalSeconds:0} s {Said(what)}");
            await Task.Delay(Pause, cancellation);
        }
    }

    private void RequireNoViolation()
    {
        if (context.Log.Violations is { Count: > 0 } seen)
            throw new CheckFailedException($"callers saw {Said(seen)}");
    }

    private static string Said(IReadOnlyList<string> what) => $"{what.Count} wrong:\n  " + string.Join("\n  ", what.Take(MostSaid))
        + (what.Count > MostSaid ? "\n  …" : "");
}

using System.Diagnostics;
using System.Globalization;
using Calico.Kernel;
using Calico.Node.Lab.Check;

namespace Calico.Node.Lab.Churn;

/// <summary>
/// <c>./run.sh churn</c>: a lab from nothing to nothing, and on the way rounds of calls under faults with an examination after
/// each. The first examination that fails ends it; what it saw is kept where the last line says.
/// </summary>
internal sealed class ChurnRun(Lab lab, ChurnOptions options)
{
    private static readonly TimeSpan ProgressEvery = TimeSpan.FromSeconds(10);

    private readonly List<Fault> _planned = [];
    private int _faults;

    public async Task<int> RunAsync(CancellationToken cancellation)
    {
        if (lab.Topology.Namespaces().Count > 0)
            throw new LabException("a lab is up; the churn needs to make its own: './run.sh down' first");
        lab.Output.Line($"churn: {options.Nodes} nodes, {options.Pods} pods, {options.Rounds} rounds of {options.RoundLength.TotalSeconds:0} s, datastore {options.Datastore}, seed {options.Seed}");
        try
        {
            await lab.UpAsync(options.Nodes, options.Datastore, nodeGoneSeconds: 0);
            using var log = new CallLog(Path.Combine(lab.Place.Folder, "churn", "calls.jsonl"));
            return await ChurnAsync(log, cancellation) ? 0 : 1;
        }
        catch (OperationCanceledException)
        {
            lab.Output.Line("interrupted");
            return 130;
        }
        finally
        {
            await lab.Output.StepAsync("lab down", lab.DownAsync);
        }
    }

    private async Task<bool> ChurnAsync(CallLog log, CancellationToken cancellation)
    {
        using var context = new ChurnContext(lab, options, log);
        var examiner = new Examiner(context);
        try
        {
            await lab.EnsureNamespaceAsync(Runtime.Namespace);
            await lab.Ctl.ApplyTextAsync(ChurnPolicy.Manifest);
            var callers = Callers(context);
            await lab.Output.StepAsync($"{options.Pods} pods start", () => TogetherAsync(context, callers, c => c.FillAsync(cancellation)));
            for (var round = 1; round <= options.Rounds; round++)
            {
                await RoundAsync(context, callers, round, cancellation);
                await examiner.ExamineAsync($"round {round}", cancellation);
            }
            await lab.Output.StepAsync("every pod goes", () => TogetherAsync(context, callers, c => c.DrainAsync()));
            await examiner.ExamineAsync("the end: nothing is left", cancellation);
            Summarize(log);
            lab.Output.Line($"ok: no duplicate, no leak, seed {options.Seed}");
            return true;
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            Summarize(log);
            lab.Output.Line($"FAILED (seed {options.Seed}): {(e is CheckFailedException or LabException ? e.Message : e)}");
            foreach (var fault in _planned)
                lab.Output.Line($"  {fault}");
            lab.Output.Line($"evidence (calls, faults, logs of agents and datastore, the datastore's contents): {await examiner.KeepAsync()}");
            return false;
        }
        finally
        {
            await context.HaltAsync();
        }
    }

    private List<Caller> Callers(ChurnContext context) => [.. Enumerable.Range(0, options.Nodes * options.CallersPerNode).Select(i => new Caller(context,
        new LabNode(1 + (i % options.Nodes)),
        [.. Enumerable.Range(0, options.Pods).Where(p => p % (options.Nodes * options.CallersPerNode) == i).Select(p => $"p{p}")],
        new Random((options.Seed * 1000) + i)))];

    private async Task RoundAsync(ChurnContext context, List<Caller> callers, int round, CancellationToken cancellation)
    {
        var injector = new FaultInjector(lab, context.Log);
        var schedule = FaultSchedule.Plan((options.Seed * 100) + round, options.Nodes, options.RoundLength);
        _planned.AddRange(schedule);
        lab.Output.Heading($"Round {round}: {schedule.Count} faults");
        using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        over.CancelAfter(options.RoundLength);
        context.FaultsBegin();
        var work = callers.Select(c => context.Begin(() => c.WorkAsync(over.Token))).ToList();
        var faults = context.Begin(() => injector.RunAsync(schedule, over.Token));
        try
        {
            await WatchAsync(context, injector, over.Token);
        }
        finally
        {
            await over.CancelAsync();
            await faults;
        }
        _faults += injector.Injected;
        context.CallsMustEnd();
        await lab.Output.StepAsync($"round {round}: all is healed, the calls under way end", () => Task.WhenAll(work));
        cancellation.ThrowIfCancellationRequested();
    }

    private static async Task TogetherAsync(ChurnContext context, List<Caller> callers, Func<Caller, Task> act)
    {
        context.CallsMustEnd();
        await Task.WhenAll(callers.Select(c => context.Begin(() => act(c))));
    }

    // Until the round is over. An agent that ends without a fault is one.
    private async Task WatchAsync(ChurnContext context, FaultInjector injector, CancellationToken over)
    {
        var told = TimeSpan.Zero;
        var begun = Stopwatch.GetTimestamp();
        while (!over.IsCancellationRequested)
        {
            await Task.Delay(TimeSpan.FromSeconds(1), CancellationToken.None);
            foreach (var dead in lab.State.Processes.Where(p => !injector.IsSuffering(p.Role) && !Processes.IsAlive(p)))
            {
                // It may have begun to suffer meanwhile.
                if (!injector.IsSuffering(dead.Role) && lab.State.Process(dead.Role) == dead)
                    throw new CheckFailedException($"{dead.Role} ended by itself (process {dead.Pid})");
            }
            var since = Stopwatch.GetElapsedTime(begun);
            if (since - told < ProgressEvery)
                continue;
            told = since;
            lab.Output.Line(string.Create(CultureInfo.InvariantCulture,
                $"{since.TotalSeconds,5:0} s  {context.Ledger.Count} pods, {context.Log.Calls} calls, {context.Log.Count(c => !c.Succeeded)} not done at once")
                + string.Concat(injector.UnderWay.Select(f => $"; {f}")));
        }
    }

    private void Summarize(CallLog log)
    {
        lab.Output.Heading($"{log.Calls} calls, {_faults} faults:");
        foreach (var line in log.Summary())
            lab.Output.Line("  " + line);
    }
}

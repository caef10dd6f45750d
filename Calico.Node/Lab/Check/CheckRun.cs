using System.Diagnostics;
using System.Globalization;
using Calico.Kernel;

namespace Calico.Node.Lab.Check;

/// <summary>An assertion of the check did not hold; the message says what was seen.</summary>
internal sealed class CheckFailedException(string message) : Exception(message);

/// <summary>
/// <c>./run.sh check</c>: a lab of three nodes from nothing to nothing, and on the way everything that Calico promises
/// and a lab can show, or the chapters that are given. A step that fails does not stop those that can do without it. One
/// line a step.
/// </summary>
internal sealed class CheckRun(Lab lab, int nodes = 3, IReadOnlyList<Func<CheckRun, Task>>? chapters = null)
{
    private int _passed, _failed;

    public Lab Lab => lab;

    public async Task<int> RunAsync(CancellationToken cancellation)
    {
        var started = Stopwatch.GetTimestamp();
        if (lab.Topology.Namespaces().Count > 0)
            throw new LabException("a lab is up; the check needs to make its own: './run.sh down' first");
        try
        {
            if (await StepAsync($"lab up: {nodes} nodes on two segments", () => lab.UpAsync(nodes)))
                await AssertAllAsync(cancellation);
        }
        finally
        {
            await StepAsync("lab down: nothing left", () => CleanupSteps.DownAsync(this));
        }
        lab.Output.Line(string.Create(CultureInfo.InvariantCulture,
            $"{_passed} ok, {_failed} failed, {Stopwatch.GetElapsedTime(started).TotalSeconds:0} s"));
        return _failed == 0 ? 0 : 1;
    }

    /// <summary>Runs one step; its text result is the detail of an ok.</summary>
    public async Task<bool> StepAsync(string what, Func<Task<string>> step)
    {
        var started = Stopwatch.GetTimestamp();
        string detail;
        var ok = false;
        try
        {
            detail = await step();
            ok = true;
        }
        catch (Exception e) when (e is CheckFailedException or LabException or KernelException or IOException)
        {
            detail = e.Message;
        }
        var seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
        lab.Output.Outcome(ok, what, string.Create(CultureInfo.InvariantCulture, $"{detail}{(detail.Length > 0 ? ", " : "")}{seconds:0.0} s"));
        if (ok)
            _passed++;
        else
            _failed++;
        return ok;
    }

    public Task<bool> StepAsync(string what, Func<Task> step) => StepAsync(what, async () =>
    {
        await step();
        return "";
    });

    /// <summary>Waits until a description of what is wrong is empty; fails with the last one.</summary>
    public static async Task UntilRightAsync(TimeSpan limit, Func<Task<string>> wrong)
    {
        var started = Stopwatch.GetTimestamp();
        while (await wrong() is { Length: > 0 } what)
        {
            if (Stopwatch.GetElapsedTime(started) > limit)
                throw new CheckFailedException($"after {limit.TotalSeconds:0} s: {what}");
            await Task.Delay(TimeSpan.FromMilliseconds(200));
        }
    }

    public static void Require(bool condition, string otherwise)
    {
        if (!condition)
            throw new CheckFailedException(otherwise);
    }

    private async Task AssertAllAsync(CancellationToken cancellation)
    {
        foreach (var chapter in chapters ?? Everything)
        {
            cancellation.ThrowIfCancellationRequested();
            await chapter(this);
        }
    }

    private static readonly IReadOnlyList<Func<CheckRun, Task>> Everything =
        [
            ConnectivitySteps.RunAsync,
            RouteSteps.RunAsync,
            RouterSteps.RunAsync,
            WorkloadPeeringSteps.RunAsync,
            CutLinkSteps.RunAsync,
            HttpSteps.RunAsync,
            PolicySteps.RunAsync,
            BadInputSteps.RunAsync,
            RestartSteps.RunAsync,
            OfflineSteps.RunAsync,
            ReturnSteps.RunAsync,
            NodeLossSteps.RunAsync,
        ];
}

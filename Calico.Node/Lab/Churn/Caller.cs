namespace Calico.Node.Lab.Churn;

/// <summary>
/// One worker of a node's container runtime with pods of its own, which it starts, asks about, replaces and removes as chance
/// has it. What it does wrong on purpose runtimes do as well: two calls for one pod at once, calls repeated, an ADD broken
/// off, a namespace gone before its DEL, the DEL of an old sandbox after the ADD of the new one. Each such mess ends with a
/// call whose success leaves no doubt, so that afterwards a pod is there or it is not.
/// </summary>
internal sealed class Caller(ChurnContext context, LabNode node, IReadOnlyList<string> names, Random random)
{
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan FirstRetry = TimeSpan.FromMilliseconds(300);
    private static readonly TimeSpan LongestRetry = TimeSpan.FromSeconds(4);

    private readonly LivingPod?[] _pods = new LivingPod?[names.Count];

    private Runtime Runtime => context.Runtime;

    /// <summary>Starts every pod that is not there.</summary>
    public async Task FillAsync(CancellationToken given)
    {
        for (var slot = 0; slot < _pods.Length && !given.IsCancellationRequested; slot++)
        {
            if (_pods[slot] is null)
                await StartAsync(slot, Make(slot));
        }
    }

    /// <summary>Until it is told to stop; then what it began comes to its end.</summary>
    public async Task WorkAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            var slot = random.Next(_pods.Length);
            await (_pods[slot] is { } pod ? VisitAsync(slot, pod) : ComeAsync(slot));
            await Task.Delay(LongestPause * random.NextDouble(), CancellationToken.None);
        }
    }

    /// <summary>Removes every pod.</summary>
    public async Task DrainAsync()
    {
        for (var slot = 0; slot < _pods.Length; slot++)
        {
            if (_pods[slot] is { } pod)
                await GoAsync(slot, pod);
        }
    }

    // ---- pods that come ------------------------------------------------------------------------------------------

    private async Task ComeAsync(int slot)
    {
        var sandbox = Make(slot);
        switch (random.Next(12))
        {
            case 0:
                await RequireSameAsync(sandbox, await Task.WhenAll(Runtime.AddAsync(sandbox), LaterAsync(() => Runtime.AddAsync(sandbox))));
                break;
            case 1:
                await Task.WhenAll(Runtime.AddAsync(sandbox), LaterAsync(() => Runtime.DelAsync(sandbox)));
                await RemoveAsync(sandbox);
                sandbox = Make(slot);
                break;
            case 2:
                await Runtime.AddAsync(sandbox, TimeSpan.FromMilliseconds(random.Next(1, 200)));
                if (random.Next(2) == 0)
                {
                    await RemoveAsync(sandbox);
                    sandbox = Make(slot);
                }
                break;
            case 3:
                await UntilDoneAsync(() => Runtime.DelAsync(sandbox));
                break;
        }
        await StartAsync(slot, sandbox);
    }

    // As a runtime does: the same call again, or a DEL and another sandbox.
    private async Task StartAsync(int slot, Sandbox sandbox)
    {
        CallOutcome added;
        for (var attempt = 0; !(added = await Runtime.AddAsync(sandbox)).Succeeded; attempt++)
        {
            if (added.Code != CallOutcome.TryAgainLater)
                context.Log.Violation($"{Describe(added)}");
            if (!await PauseAsync(attempt, added))
            {
                await RemoveAsync(sandbox);
                return;
            }
            if (random.Next(2) == 0)
                continue;
            await RemoveAsync(sandbox);
            sandbox = Make(slot);
        }
        if (Runtime.AddressOf(added) is not { } address)
        {
            context.Log.Violation($"{Describe(added)}: not one address of its own");
            await RemoveAsync(sandbox);
            return;
        }
        var pod = new LivingPod(sandbox.Name, sandbox.Container, sandbox.Node, sandbox.Role, address, added.Text);
        context.Ledger.Lives(pod);
        _pods[slot] = pod;
    }

    private Sandbox Make(int slot) => Runtime.Make(names[slot], node.Name, slot % 2 == 0 ? "a" : "b");

    // ---- pods that are there -------------------------------------------------------------------------------------

    private Task VisitAsync(int slot, LivingPod pod) => random.Next(20) switch
    {
        < 4 => GoAsync(slot, pod),
        < 8 => ReplaceAsync(slot, pod),
        < 11 => AgainAsync(pod),
        _ => CheckAsync(pod),
    };

    private async Task GoAsync(int slot, LivingPod pod)
    {
        var sandbox = SandboxOf(pod);
        context.Ledger.Dies(pod);
        _pods[slot] = null;
        switch (random.Next(4))
        {
            case 0:
                await Task.WhenAll(Runtime.DelAsync(sandbox), LaterAsync(() => Runtime.DelAsync(sandbox)));
                break;
            case 1:
                Runtime.Discard(sandbox.Container);
                break;
        }
        await RemoveAsync(sandbox);
    }

    // A pod whose sandbox died: the new one's ADD and the old one's DEL come in any order, and the DEL once more.
    private async Task ReplaceAsync(int slot, LivingPod pod)
    {
        var (earlier, sandbox) = (SandboxOf(pod), Make(slot));
        context.Ledger.Dies(pod);
        _pods[slot] = null;
        var (first, second) = random.Next(2) == 0
            ? ((Func<Task<CallOutcome>>)(() => Runtime.AddAsync(sandbox)), (Func<Task<CallOutcome>>)(() => Runtime.DelAsync(earlier)))
            : (() => Runtime.DelAsync(earlier), () => Runtime.AddAsync(sandbox));
        await Task.WhenAll(first(), LaterAsync(second));
        await StartAsync(slot, sandbox);
        await RemoveAsync(earlier);
    }

    private async Task AgainAsync(LivingPod pod)
    {
        var added = await Runtime.AddAsync(SandboxOf(pod));
        if (added.Succeeded ? Runtime.AddressOf(added) != pod.Address : added.Code != CallOutcome.TryAgainLater)
            context.Log.Violation($"an ADD repeated for a pod that has {pod.Address}: {Describe(added)}");
    }

    private async Task CheckAsync(LivingPod pod)
    {
        var checkedPod = await Runtime.CheckAsync(SandboxOf(pod), pod.Result);
        if (checkedPod.Code is not (0 or CallOutcome.TryAgainLater))
            context.Log.Violation(Describe(checkedPod));
    }

    // ---- calls ---------------------------------------------------------------------------------------------------

    private async Task RemoveAsync(Sandbox sandbox)
    {
        await UntilDoneAsync(() => Runtime.DelAsync(sandbox));
        Runtime.Discard(sandbox.Container);
    }

    private async Task UntilDoneAsync(Func<Task<CallOutcome>> call)
    {
        CallOutcome outcome;
        for (var attempt = 0; !(outcome = await call()).Succeeded; attempt++)
        {
            if (outcome.Code != CallOutcome.TryAgainLater)
                context.Log.Violation(Describe(outcome));
            if (!await PauseAsync(attempt, outcome))
                return;
        }
    }

    // Who was told of an address was told of the same one.
    private async Task RequireSameAsync(Sandbox sandbox, CallOutcome[] outcomes)
    {
        var told = outcomes.Where(o => o.Succeeded).Select(o => Runtime.AddressOf(o)).Distinct().ToList();
        if (told.Count == 2)
            context.Log.Violation($"two ADDs of {sandbox.Container} were answered with {string.Join(" and ", told)}");
        if (told.Count > 0 && await Runtime.AddAsync(sandbox) is { Succeeded: true } again && !told.Contains(Runtime.AddressOf(again)))
            context.Log.Violation($"an ADD repeated for {sandbox.Container}, which has {told[0]}: {Describe(again)}");
    }

    private async Task<CallOutcome> LaterAsync(Func<Task<CallOutcome>> call)
    {
        await Task.Delay(random.Next(60));
        return await call();
    }

    /// <summary>False, and a violation, when the churn has been waiting long enough for calls to succeed.</summary>
    private async Task<bool> PauseAsync(int attempt, CallOutcome refused)
    {
        if (context.IsOutOfPatience)
        {
            context.Log.Violation($"refused to the end: {Describe(refused)}");
            return false;
        }
        var pause = FirstRetry * Math.Pow(1.5, Math.Min(attempt, 20)) * (0.5 + random.NextDouble());
        await Task.Delay(pause < LongestRetry ? pause : LongestRetry);
        return true;
    }

    private static Sandbox SandboxOf(LivingPod pod) => new(pod.Name, pod.Container, pod.Node, pod.Role);

    private static string Describe(CallOutcome outcome) =>
        $"{outcome.Command} of {outcome.Pod} ({outcome.Container} on {outcome.Node}) was answered with {(outcome.Succeeded ? "" : $"code {outcome.Code}: ")}{outcome.Text}";
}

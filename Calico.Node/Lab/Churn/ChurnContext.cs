using System.Diagnostics;

namespace Calico.Node.Lab.Churn;

/// <summary>What all callers share.</summary>
internal sealed class ChurnContext(Lab lab, ChurnOptions options, CallLog log) : IDisposable
{
    private readonly CancellationTokenSource _halt = new();
    private readonly List<Task> _working = [];
    private Runtime? _runtime;
    private long _lastCalls;

    public Lab Lab => lab;
    public ChurnOptions Options => options;
    public CallLog Log => log;
    public PodLedger Ledger { get; } = new(log.Violation);
    public Runtime Runtime => _runtime ??= new Runtime(lab, log, _halt.Token);

    /// <summary>From now on calls must come to an end: nothing breaks any more.</summary>
    public void CallsMustEnd() => Volatile.Write(ref _lastCalls, Stopwatch.GetTimestamp());

    /// <summary>Faults go on, and with them refusals.</summary>
    public void FaultsBegin() => Volatile.Write(ref _lastCalls, 0);

    /// <summary>Work that must be over before the lab goes.</summary>
    public Task Begin(Func<Task> work)
    {
        var task = Task.Run(work);
        _working.Add(task);
        return task;
    }

    /// <summary>No call begins any more, those under way are broken off; returns when nobody works.</summary>
    public async Task HaltAsync()
    {
        await _halt.CancelAsync();
        // What they came to has been said already, or does not matter any more.
        await Task.WhenAll(_working).ContinueWith(_ => { }, TaskScheduler.Default);
    }

    public void Dispose() => _halt.Dispose();

    public bool IsOutOfPatience => Volatile.Read(ref _lastCalls) is not 0 and var since && Stopwatch.GetElapsedTime(since) > options.Patience;
}

using System.Diagnostics;
using Calico.Core.Cni;
using Prometheus;

namespace Calico.Actors.Cni;

/// <summary>How many calls there were and where an ADD spends its time.</summary>
public sealed class CniMetrics(IMetricFactory factory)
{
    private readonly Counter _calls = factory.CreateCounter("calico_cni_calls_total", "CNI calls by command and outcome.", ["command", "outcome"]);
    private readonly Histogram _phases = factory.CreateHistogram("calico_cni_add_phase_seconds", "Time of each phase of a successful ADD.",
        new HistogramConfiguration { LabelNames = ["phase"], Buckets = Histogram.ExponentialBuckets(0.0001, 2, 16) });

    public void Count(CniCommand command, CniReply reply) =>
        _calls.WithLabels(command.ToString().ToUpperInvariant(), reply.ExitCode == 0 ? "ok" : "error").Inc();

    public CniTiming Start() => new(_phases);
}

/// <summary>A stopwatch that is read at the end of each phase.</summary>
public sealed class CniTiming(Histogram phases) : IDisposable
{
    private readonly long _start = Stopwatch.GetTimestamp();
    private long _last = Stopwatch.GetTimestamp();

    public void Phase(string name)
    {
        var now = Stopwatch.GetTimestamp();
        phases.WithLabels(name).Observe(Stopwatch.GetElapsedTime(_last, now).TotalSeconds);
        _last = now;
    }

    public void Dispose() => phases.WithLabels("total").Observe(Stopwatch.GetElapsedTime(_start).TotalSeconds);
}

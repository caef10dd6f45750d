using System.Diagnostics;
using Prometheus;

namespace Calico.Actors.Dataplane;

/// <summary>Felix's numbers about applying changes to the kernel, over all writers of this process.</summary>
internal static class DataplaneMetrics
{
    private static readonly Summary ApplyTime = Metrics.CreateSummary("felix_int_dataplane_apply_time_seconds",
        "Time in seconds that it took to apply a dataplane update.", new SummaryConfiguration
        {
            Objectives = [new(0.5, 0.05), new(0.9, 0.01), new(0.99, 0.001)],
        });

    private static readonly Counter Failures = Metrics.CreateCounter("felix_int_dataplane_failures",
        "Number of times dataplane updates failed and will be retried.");

    /// <summary>An apply that began at this timestamp of <see cref="Stopwatch"/> has ended.</summary>
    public static void Applied(long began, bool failed)
    {
        ApplyTime.Observe(Stopwatch.GetElapsedTime(began).TotalSeconds);
        if (failed)
            Failures.Inc();
    }
}

using Prometheus;

namespace Calico.Node.Http;

/// <summary>The series of one metric, replaced as a whole: what is not said again is gone. Thread-safe.</summary>
internal sealed class SeriesSet
{
    private readonly Action<string[], double> _set;
    private readonly Action<string[]> _remove;
    private readonly Lock _gate = new();
    private Dictionary<string, string[]> _shown = [];

    private SeriesSet(Action<string[], double> set, Action<string[]> remove)
    {
        _set = set;
        _remove = remove;
    }

    public static SeriesSet Gauge(string name, string help, params string[] labels)
    {
        var gauge = Metrics.CreateGauge(name, help, new GaugeConfiguration { LabelNames = labels, SuppressInitialValue = true });
        return labels.Length == 0 ? new SeriesSet((_, value) => gauge.Set(value), _ => gauge.Unpublish())
            : new SeriesSet((values, value) => gauge.WithLabels(values).Set(value), values => gauge.RemoveLabelled(values));
    }

    /// <summary>One with labels whose values only grow, but for a new beginning.</summary>
    public static SeriesSet Counter(string name, string help, params string[] labels)
    {
        var counter = Metrics.CreateCounter(name, help, labels);
        return new SeriesSet((values, value) => counter.WithLabels(values).IncTo(value), values => counter.RemoveLabelled(values));
    }

    public void Replace(IEnumerable<(string[] Labels, double Value)> series)
    {
        lock (_gate)
        {
            var now = new Dictionary<string, string[]>(StringComparer.Ordinal);
            foreach (var (labels, value) in series)
            {
                now[string.Join('\n', labels)] = labels;
                _set(labels, value);
            }
            foreach (var (_, gone) in _shown.Where(s => !now.ContainsKey(s.Key)))
                _remove(gone);
            _shown = now;
        }
    }
}

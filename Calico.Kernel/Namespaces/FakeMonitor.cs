using Calico.Kernel.Routes;

namespace Calico.Kernel.Namespaces;

/// <summary>
/// The events of a fake namespace. What the reader leaves behind beyond <see cref="QueueLength"/> is lost and reported
/// as an overflow, as by the kernel.
/// </summary>
public sealed class FakeMonitor : IKernelMonitor
{
    /// <summary>How many events wait for the reader at most.</summary>
    public const int QueueLength = 4096;

    private readonly FakeNamespaceState _state;
    private readonly KernelEventGroups _groups;
    private readonly KernelEventFilter _without;
    private readonly List<KernelEvent> _waiting = [];
    private readonly SemaphoreSlim _signal = new(0);
    private bool _disposed;

    internal FakeMonitor(FakeNamespaceState state, KernelEventGroups groups, KernelEventFilter without)
    {
        _state = state;
        _groups = groups;
        _without = without;
        lock (state.Kernel.Gate)
            state.Monitors.Add(this);
    }

    public async ValueTask<IReadOnlyList<KernelEvent>> NextAsync(CancellationToken cancellation)
    {
        while (true)
        {
            lock (_state.Kernel.Gate)
            {
                if (_disposed || _waiting.Count > 0)
                {
                    KernelEvent[] batch = _disposed ? [] : [.. _waiting];
                    _waiting.Clear();
                    return batch;
                }
            }
            await _signal.WaitAsync(cancellation);
        }
    }

    public void Dispose()
    {
        lock (_state.Kernel.Gate)
        {
            _disposed = true;
            _state.Monitors.Remove(this);
            _signal.Release();
        }
    }

    internal void Post(KernelEventGroups group, KernelEvent happened, IRouteTable? by)
    {
        if (!_groups.HasFlag(group) || (by is not null && by == _without.Writer))
            return;
        if (_without.RouteProtocol != 0 && happened is KernelEvent.RouteChanged changed && changed.Route.Protocol == _without.RouteProtocol)
            return;
        if (_waiting.Count < QueueLength)
            Add(happened);
        else if (_waiting[^1] is not KernelEvent.Overflow)
            _waiting[^1] = new KernelEvent.Overflow();
    }

    internal void Overflow() => Add(new KernelEvent.Overflow());

    private void Add(KernelEvent happened)
    {
        _waiting.Add(happened);
        if (_waiting.Count == 1)
            _signal.Release();
    }
}

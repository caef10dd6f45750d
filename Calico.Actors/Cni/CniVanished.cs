using System.Collections.Immutable;
using Calico.Actors.Endpoints;
using Calico.Kernel.Namespaces;

namespace Calico.Actors.Cni;

/// <summary>
/// Pods that are gone without a DEL: somebody removed their namespace or their interface, and the runtime may never say so.
/// A few seconds after the kernel has told of an interface whose pod is still known, the pod is removed as a DEL would, and
/// its addresses are free again. Costs one question for each interface that goes. All pods are looked at when the watch begins,
/// when events were lost, and every few seconds while a removal has failed. A watch that fails begins again.
/// </summary>
public sealed class CniVanished : IAsyncDisposable
{
    /// <summary>A DEL that is under way takes its pod's interface first and forgets the pod last.</summary>
    public static readonly TimeSpan Grace = TimeSpan.FromSeconds(3);

    private static readonly TimeSpan Again = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan AfterStop = TimeSpan.FromSeconds(5);

    private readonly INetworkNamespace _host;
    private readonly CniHandler _handler;
    private readonly TimeProvider _time;
    private readonly Action<string, Exception?> _report;
    private readonly CancellationTokenSource _stopped = new();
    private readonly HashSet<(string Container, string Interface)> _failing = [];
    private readonly Task _loop;
    private bool _isBlind;

    private CniVanished(INetworkNamespace host, CniHandler handler, TimeProvider time, Action<string, Exception?> report)
    {
        _host = host;
        _handler = handler;
        _time = time;
        _report = report;
        _loop = WatchAsync();
    }

    /// <param name="host">The node's own namespace.</param>
    /// <param name="handler">Removes pods.</param>
    /// <param name="time">For the pauses.</param>
    /// <param name="report">Told what a person should hear.</param>
    public static CniVanished Start(INetworkNamespace host, CniHandler handler, TimeProvider time, Action<string, Exception?> report) =>
        new(host, handler, time, report);

    public async ValueTask DisposeAsync()
    {
        await _stopped.CancelAsync();
        try
        {
            await _loop.WaitAsync(AfterStop);
        }
        catch (TimeoutException)
        {
            // What is under way has its own deadlines.
            return;
        }
        _stopped.Dispose();
    }

    private async Task WatchAsync()
    {
        try
        {
            while (true)
            {
                try
                {
                    using var monitor = _host.OpenMonitor(KernelEventGroups.Links);
                    await FollowAsync(monitor);
                }
                catch (Exception e) when (!_stopped.IsCancellationRequested)
                {
                    if (!_isBlind)
                        _report($"pods that vanish without a DEL are not noticed; trying again every {Again.TotalSeconds:0} s", e);
                    _isBlind = true;
                }
                await Task.Delay(Again, _time, _stopped.Token);
            }
        }
        catch (Exception) when (_stopped.IsCancellationRequested)
        {
        }
    }

    // Null stands for every pod: what went before the watch began, or was lost, has no event.
    private async Task FollowAsync(IKernelMonitor monitor)
    {
        IReadOnlySet<string>? gone = null;
        var next = monitor.NextAsync(_stopped.Token).AsTask();
        while (true)
        {
            var isDone = true;
            if (gone is not { Count: 0 })
            {
                await Task.Delay(Grace, _time, _stopped.Token);
                isDone = await RemoveAsync(gone);
            }
            if (!isDone && await Task.WhenAny(next, Task.Delay(Again, _time, _stopped.Token)) != next)
            {
                _stopped.Token.ThrowIfCancellationRequested();
                gone = null;
                continue;
            }
            var events = await next;
            _isBlind = false;
            next = monitor.NextAsync(_stopped.Token).AsTask();
            gone = !isDone || events.Any(e => e is KernelEvent.Overflow)
                ? null
                : events.OfType<KernelEvent.LinkRemoved>().Select(r => r.Name).Where(n => n.StartsWith(_handler.InterfacePrefix, StringComparison.Ordinal)).ToHashSet();
        }
    }

    /// <summary>False: something is left to be done.</summary>
    private async Task<bool> RemoveAsync(IReadOnlySet<string>? interfaces)
    {
        ImmutableArray<Workload> vanished;
        try
        {
            vanished = await _handler.VanishedAsync(interfaces);
        }
        catch (Exception e) when (!_stopped.IsCancellationRequested && e is not OperationCanceledException)
        {
            return false;
        }
        if (interfaces is null)
            _failing.IntersectWith(vanished.Select(w => w.Attachment));
        var isDone = true;
        foreach (var workload in vanished)
            isDone &= await RemoveAsync(workload);
        return isDone;
    }

    private async Task<bool> RemoveAsync(Workload workload)
    {
        var who = $"pod {workload.Namespace}/{workload.Name} (container {workload.ContainerId})";
        try
        {
            if (await _handler.RemoveVanishedAsync(workload, _stopped.Token))
                _report($"{who} is gone without a DEL: its interface {workload.HostInterface} does not exist any more; "
                    + $"{string.Join(", ", workload.Addresses)} free again", null);
            _failing.Remove(workload.Attachment);
            return true;
        }
        catch (Exception e) when (!_stopped.IsCancellationRequested)
        {
            if (_failing.Add(workload.Attachment))
                _report($"{who} is gone without a DEL and cannot be removed; trying again every {Again.TotalSeconds:0} s", e);
            return false;
        }
    }
}

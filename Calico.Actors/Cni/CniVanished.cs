using Calico.Actors.Endpoints;
using Calico.Kernel.Namespaces;

namespace Calico.Actors.Cni;

/// <summary>
/// Pods that are gone without a DEL: somebody removed their namespace or their interface, and the runtime may never say so.
/// A few seconds after the kernel has told of an interface whose pod is still known, the pod is removed as a DEL would, and
/// its addresses are free again. Costs one question for each interface that goes; nothing is scanned unless events were lost.
/// </summary>
public sealed class CniVanished : IAsyncDisposable
{
    /// <summary>A DEL that is under way takes its pod's interface first and forgets the pod last.</summary>
    public static readonly TimeSpan Grace = TimeSpan.FromSeconds(3);

    private static readonly TimeSpan AfterStop = TimeSpan.FromSeconds(5);

    private readonly IKernelMonitor _monitor;
    private readonly CniHandler _handler;
    private readonly string _prefix;
    private readonly TimeProvider _time;
    private readonly Action<string, Exception?> _report;
    private readonly CancellationTokenSource _stopped = new();
    private readonly Task _loop;

    private CniVanished(INetworkNamespace host, CniHandler handler, string prefix, TimeProvider time, Action<string, Exception?> report)
    {
        _monitor = host.OpenMonitor(KernelEventGroups.Links);
        _handler = handler;
        _prefix = prefix;
        _time = time;
        _report = report;
        _loop = WatchAsync();
    }

    /// <param name="host">The node's own namespace.</param>
    /// <param name="handler">Removes pods.</param>
    /// <param name="prefix">Prefix of host interface names.</param>
    /// <param name="report">Told what a person should hear.</param>
    public static CniVanished Start(INetworkNamespace host, CniHandler handler, string prefix, TimeProvider time, Action<string, Exception?> report) =>
        new(host, handler, prefix, time, report);

    public async ValueTask DisposeAsync()
    {
        await _stopped.CancelAsync();
        _monitor.Dispose();
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
            while (await _monitor.NextAsync(_stopped.Token) is { Count: > 0 } events)
            {
                var gone = events.OfType<KernelEvent.LinkRemoved>().Select(r => r.Name).Where(n => n.StartsWith(_prefix, StringComparison.Ordinal)).ToHashSet();
                var isLost = events.Any(e => e is KernelEvent.Overflow);
                if (gone.Count == 0 && !isLost)
                    continue;
                await Task.Delay(Grace, _time, _stopped.Token);
                await RemoveAsync(isLost ? null : gone);
            }
        }
        catch (Exception) when (_stopped.IsCancellationRequested)
        {
        }
        catch (Exception e)
        {
            _report("pods that vanish without a DEL are not noticed any more until the agent starts again", e);
        }
    }

    private async Task RemoveAsync(IReadOnlySet<string>? interfaces)
    {
        try
        {
            foreach (var workload in await _handler.VanishedAsync(interfaces))
            {
                if (await _handler.RemoveVanishedAsync(workload, _stopped.Token))
                    _report($"pod {workload.Namespace}/{workload.Name} (container {workload.ContainerId}) is gone without a DEL: its interface "
                        + $"{workload.HostInterface} does not exist any more; {string.Join(", ", workload.Addresses)} free again", null);
            }
        }
        catch (Exception e) when (e is CniCallException or Akka.Actor.AskTimeoutException)
        {
            // The runtime's DEL, or the next start, does it.
            _report("a pod that is gone without a DEL could not be removed", e);
        }
    }
}

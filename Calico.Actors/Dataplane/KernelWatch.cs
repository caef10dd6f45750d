using Akka.Actor;
using Calico.Actors.Protocol;
using Calico.Kernel.Namespaces;

namespace Calico.Actors.Dataplane;

/// <summary>Turns what the kernel reports into messages to the actor that watches.</summary>
internal static class KernelWatch
{
    /// <summary>There will be no more events: whoever gets this opens a monitor anew.</summary>
    public sealed record Failed(Exception Cause) : ITick
    {
        public InvalidOperationException ToException() => new("the kernel's events are not to be had any more", Cause);
    }

    /// <summary>Tells until the monitor ends or the actor gives up; a monitor that fails is told as <see cref="Failed"/>.</summary>
    /// <param name="toMessage">What to tell of a batch; null for a batch that does not matter.</param>
    public static async Task FollowAsync(IKernelMonitor monitor, IActorRef watcher, Func<IReadOnlyList<KernelEvent>, object?> toMessage,
        CancellationToken cancellation)
    {
        try
        {
            while (await monitor.NextAsync(cancellation) is { Count: > 0 } events)
            {
                if (toMessage(events) is { } message)
                    watcher.Tell(message);
            }
        }
        catch (Exception) when (cancellation.IsCancellationRequested)
        {
        }
        catch (Exception e)
        {
            watcher.Tell(new Failed(e));
        }
    }
}

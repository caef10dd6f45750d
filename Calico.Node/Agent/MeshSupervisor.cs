using Akka.Actor;
using Calico.Actors.Cluster;
using Serilog;

namespace Calico.Node.Agent;

/// <summary>
/// Keeps a mesh system alive: starts one, waits for its end (the split brain resolver, a duel of clusters, a crash),
/// and builds the next after a pause that grows while they end quickly. Forwarding does not notice.
/// </summary>
internal sealed class MeshSupervisor(MeshOptions options, MeshPorts ports)
{
    private static readonly TimeSpan MinPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan MaxPause = TimeSpan.FromSeconds(30);

    /// <summary>A system that lived this long did not end because of a fault that the next one will meet at once.</summary>
    private static readonly TimeSpan LongLife = TimeSpan.FromMinutes(1);

    private volatile ActorSystem? _current;

    /// <summary>How many mesh systems this process has had.</summary>
    public int Lives { get; private set; }

    public async Task RunAsync(CancellationToken cancellation)
    {
        var pause = MinPause;
        while (!cancellation.IsCancellationRequested)
        {
            var born = ports.Time.GetTimestamp();
            try
            {
                Lives++;
                _current = await MeshSystem.StartAsync(options, ports);
                await _current.WhenTerminated.WaitAsync(cancellation);
                if (ports.Time.GetElapsedTime(born) > LongLife)
                    pause = MinPause;
                Log.Warning("mesh: the actor system has ended; a new one follows in {Pause}", pause);
            }
            catch (OperationCanceledException)
            {
                break;
            }
            catch (Exception e) when (!IsForGood(e))
            {
                Log.Error(e, "mesh: the actor system did not start; trying again in {Pause}", pause);
            }
            try
            {
                await Task.Delay(pause, ports.Time, cancellation);
            }
            catch (OperationCanceledException)
            {
                break;
            }
            pause = pause * 2 > MaxPause ? MaxPause : pause * 2;
        }
        await StopAsync();
    }

    // A type that could not be initialized stays so for the life of the process.
    private static bool IsForGood(Exception? e) => e is not null && (e is TypeInitializationException || IsForGood(e.InnerException));

    // Leaving in order lets others take over its owners at once; more than a few seconds it does not get.
    private async Task StopAsync()
    {
        if (_current is not { } system || system.WhenTerminated.IsCompleted)
            return;
        try
        {
            await CoordinatedShutdown.Get(system).Run(CoordinatedShutdown.ClrExitReason.Instance).WaitAsync(TimeSpan.FromSeconds(15));
        }
        catch (TimeoutException)
        {
            Log.Warning("mesh: leaving the cluster took too long; going without");
        }
    }
}

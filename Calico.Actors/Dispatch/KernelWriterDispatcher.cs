using Akka.Configuration;
using Akka.Dispatch;
using Akka.Event;
using Calico.Kernel.Namespaces;

namespace Calico.Actors.Dispatch;

/// <summary>Names of dispatchers in the node's actor system.</summary>
internal static class DispatcherNames
{
    /// <summary>A thread of its own for each actor: kernel calls block, and must not hold up anybody else.</summary>
    public const string KernelWriter = "calico.kernel-writer";

    public const string Hocon = KernelWriter + """ { type = "Calico.Actors.Dispatch.KernelWriterDispatcher, Calico.Actors" }""";
}

/// <summary>
/// Gives every actor that asks for it one thread that sleeps while there is nothing to do. Akka's pinned dispatcher
/// does the same with a queue that spins before it sleeps; with a few pods a second on a small machine that spinning
/// costs more than the work (docs/performance.md).
/// </summary>
public sealed class KernelWriterDispatcher(Config config, IDispatcherPrerequisites prerequisites)
    : MessageDispatcherConfigurator(config, prerequisites)
{
    private static readonly TimeSpan ShutdownAfter = TimeSpan.FromSeconds(1);

    public override MessageDispatcher Dispatcher() =>
        new Dispatcher(this, DispatcherNames.KernelWriter, throughput: 100, throughputDeadlineTime: null, new Threads(Config, Prerequisites), ShutdownAfter);

    private sealed class Threads(Config config, IDispatcherPrerequisites prerequisites) : ExecutorServiceConfigurator(config, prerequisites)
    {
        public override ExecutorService Produce(string id) => new SleepingThread(id, failure =>
            Prerequisites.EventStream.Publish(new Error(failure, id, typeof(KernelWriterDispatcher), "work outside of any actor failed")));
    }
}

/// <summary>One thread that carries out what it is given, in order; what fails is told and the next thing done.</summary>
internal sealed class SleepingThread : ExecutorService
{
    private readonly Queue<IRunnable> _queue = new();
    private readonly Action<Exception> _failed;
    private bool _stopped;

    public SleepingThread(string id, Action<Exception> failed)
        : base(id)
    {
        _failed = failed;
        new Thread(Serve) { IsBackground = true, Name = id }.Start();
    }

    public override void Execute(IRunnable run)
    {
        lock (_queue)
        {
            if (_stopped)
                throw new InvalidOperationException($"{Id} has been shut down");
            _queue.Enqueue(run);
            Monitor.Pulse(_queue);
        }
    }

    // What is queued already is still carried out.
    public override void Shutdown()
    {
        lock (_queue)
        {
            _stopped = true;
            Monitor.Pulse(_queue);
        }
    }

    private void Serve()
    {
        NetworkNamespace.LendThread();
        while (Next() is { } run)
            Run(run);
    }

    // An actor's failures are its supervisor's. What comes here would end the process, with everything in it.
    [System.Diagnostics.CodeAnalysis.SuppressMessage("Design", "CA1031", Justification = "Nobody else can take it; it is told")]
    private void Run(IRunnable run)
    {
        try
        {
            run.Run();
        }
        catch (Exception e)
        {
            _failed(e);
        }
    }

    private IRunnable? Next()
    {
        lock (_queue)
        {
            while (_queue.Count == 0)
            {
                if (_stopped)
                    return null;
                Monitor.Wait(_queue);
            }
            return _queue.Dequeue();
        }
    }
}

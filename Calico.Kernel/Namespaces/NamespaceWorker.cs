using System.Runtime.ExceptionServices;
using Calico.Kernel.Netlink;

namespace Calico.Kernel.Namespaces;

/// <summary>
/// A thread that stays inside one network namespace and does short jobs there: opening sockets, reading and writing
/// sysctls. It starts with the first job and ends when the last holder lets go, who closes the descriptor, too. Jobs for
/// the namespace that the process itself runs in are done on the calling thread, and so are all jobs of a thread that may
/// visit namespaces: two system calls instead of a thread.
/// </summary>
internal sealed class NamespaceWorker(FdHandle space, bool isOwnNamespace) : IDisposable
{
    // One job at a time, handed over through _job under _hand; waiting on a monitor sleeps at once, where the other
    // synchronisation types spin first.
    private readonly Lock _gate = new();
    private readonly object _hand = new();
    private Thread? _thread;
    private Action? _job;
    private bool _ends;
    private int _holders = 1;

    /// <summary>Takes part in the ownership; every holder disposes once.</summary>
    public NamespaceWorker Hold()
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_holders == 0, this);
            _holders++;
        }
        return this;
    }

    /// <summary>Runs the job inside the namespace and returns when it is done.</summary>
    /// <exception cref="KernelException">The namespace cannot be entered.</exception>
    public T Run<T>(Func<T> action)
    {
        if (isOwnNamespace && !NamespaceThread.HasMoved)
            return action();
        if (NamespaceThread.MayVisit)
        {
            lock (_gate)
            {
                ObjectDisposedException.ThrowIf(_holders == 0, this);
                return NamespaceThread.Visit(space.Fd, action);
            }
        }
        T result = default!;
        ExceptionDispatchInfo? fault = null;
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_holders == 0, this);
            StartThread();
            HandOver(() =>
            {
                try
                {
                    result = action();
                }
                catch (Exception e)
                {
                    fault = ExceptionDispatchInfo.Capture(e);
                }
            });
        }
        fault?.Throw();
        return result;
    }

    public void Dispose()
    {
        lock (_gate)
        {
            if (_holders == 0 || --_holders > 0)
                return;
            if (_thread is not null)
            {
                lock (_hand)
                {
                    _ends = true;
                    Monitor.PulseAll(_hand);
                }
                _thread.Join();
                _thread = null;
            }
            space.Dispose();
        }
    }

    private void StartThread()
    {
        if (_thread is not null)
            return;
        ExceptionDispatchInfo? refused = null;
        var thread = NamespaceThread.Create(() =>
        {
            // Entering is the first job: the caller waits for it.
            try
            {
                NamespaceThread.Enter(space.Fd);
            }
            catch (KernelException e)
            {
                refused = ExceptionDispatchInfo.Capture(e);
            }
            Done();
            if (refused is null)
                Serve();
        });
        lock (_hand)
        {
            _job = () => { };
            thread.Start();
            WaitUntilDone();
        }
        refused?.Throw();
        _thread = thread;
    }

    private void HandOver(Action job)
    {
        lock (_hand)
        {
            _job = job;
            Monitor.PulseAll(_hand);
            WaitUntilDone();
        }
    }

    private void WaitUntilDone()
    {
        while (_job is not null)
            Monitor.Wait(_hand);
    }

    private void Done()
    {
        lock (_hand)
        {
            _job = null;
            Monitor.PulseAll(_hand);
        }
    }

    private void Serve()
    {
        while (true)
        {
            Action job;
            lock (_hand)
            {
                while (_job is null && !_ends)
                    Monitor.Wait(_hand);
                if (_job is null)
                    return;
                job = _job;
            }
            job();
            Done();
        }
    }
}

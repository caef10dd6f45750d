using System.Runtime.ExceptionServices;
using Calico.Kernel.Netlink;

namespace Calico.Kernel.Namespaces;

/// <summary>
/// A thread that stays inside one network namespace and does short jobs there: opening sockets, reading and writing
/// sysctls. It starts with the first job and ends when the last holder lets go, who closes the descriptor, too. Jobs for
/// the namespace that the process itself runs in are done on the calling thread.
/// </summary>
internal sealed class NamespaceWorker(FdHandle space, bool isOwnNamespace) : IDisposable
{
    private readonly Lock _gate = new();
    private readonly SemaphoreSlim _work = new(0);
    private readonly SemaphoreSlim _done = new(0);
    private Thread? _thread;
    private Action? _job;
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
        T result = default!;
        ExceptionDispatchInfo? fault = null;
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_holders == 0, this);
            StartThread();
            _job = () =>
            {
                try
                {
                    result = action();
                }
                catch (Exception e)
                {
                    fault = ExceptionDispatchInfo.Capture(e);
                }
            };
            _work.Release();
            _done.Wait();
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
                _job = null;
                _work.Release();
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
            try
            {
                NamespaceThread.Enter(space.Fd);
            }
            catch (KernelException e)
            {
                refused = ExceptionDispatchInfo.Capture(e);
                _done.Release();
                return;
            }
            _done.Release();
            Serve();
        });
        thread.Start();
        _done.Wait();
        refused?.Throw();
        _thread = thread;
    }

    private void Serve()
    {
        while (true)
        {
            _work.Wait();
            if (_job is null)
                return;
            _job();
            _done.Release();
        }
    }
}

using System.Runtime.ExceptionServices;
using Calico.Kernel.Netlink;

namespace Calico.Kernel.Namespaces;

/// <summary>
/// Runs code on a thread made for it, inside a network namespace. The namespace is a property of a kernel thread, so
/// such a thread must never go back to the pool: it ends with the code.
/// </summary>
internal static class NamespaceThread
{
    // The code that runs here opens sockets and files or starts a process.
    private const int StackBytes = 256 * 1024;

    [ThreadStatic]
    private static bool _moved;

    // The namespace to come back to, where the thread may leave it at all.
    [ThreadStatic]
    private static FdHandle? _home;

    /// <summary>The calling thread has left the namespace that the process runs in.</summary>
    public static bool HasMoved => _moved;

    /// <exception cref="KernelException">The namespace cannot be entered.</exception>
    public static T Run<T>(int namespaceFd, Func<T> action) => RunAlone(() =>
    {
        Enter(namespaceFd);
        return action();
    });

    /// <summary>Runs code on a thread of its own, which may then change its namespaces as it likes.</summary>
    public static T RunAlone<T>(Func<T> action)
    {
        T result = default!;
        ExceptionDispatchInfo? fault = null;
        var thread = Create(() =>
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
        thread.Start();
        thread.Join();
        fault?.Throw();
        return result;
    }

    /// <summary>The calling thread may visit other namespaces, and is not in one now.</summary>
    public static bool MayVisit => _home is not null && !_moved;

    /// <summary>From now on the calling thread, which must be ours alone, may visit other namespaces.</summary>
    public static void AllowVisits()
    {
        const string path = "/proc/thread-self/ns/net";
        if (_home is not null)
            return;
        var fd = Libc.Open(path, Libc.OReadOnly | Libc.OCloexec);
        _home = fd >= 0 ? new FdHandle(fd) : throw new KernelException(Libc.LastErrno, "open network namespace", path);
    }

    /// <summary>Runs code inside the namespace on the calling thread, which then comes back.</summary>
    /// <exception cref="KernelException">The namespace cannot be entered.</exception>
    public static T Visit<T>(int namespaceFd, Func<T> action)
    {
        Enter(namespaceFd);
        try
        {
            return action();
        }
        finally
        {
            // Whatever this thread did next would be done to a pod instead of the node.
            if (Libc.SetNs(_home!.Fd, Libc.CloneNewNet) < 0)
                Environment.FailFast($"cannot come back from a network namespace: {Libc.LastErrno}");
            _moved = false;
        }
    }

    public static Thread Create(Action body) => new(() => body(), StackBytes) { IsBackground = true, Name = "netns" };

    /// <summary>Moves the calling thread, which must be ours alone, into the namespace.</summary>
    public static void Enter(int namespaceFd)
    {
        if (Libc.SetNs(namespaceFd, Libc.CloneNewNet) < 0)
            throw new KernelException(Libc.LastErrno, "enter network namespace", $"fd {namespaceFd}");
        _moved = true;
    }

    /// <summary>Moves the calling thread, which must be ours alone, into a new namespace.</summary>
    public static void EnterNew()
    {
        _moved = true;
        if (Libc.Unshare(Libc.CloneNewNet) < 0)
            throw new KernelException(Libc.LastErrno, "create", "network namespace");
    }
}

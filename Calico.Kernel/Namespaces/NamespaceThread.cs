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

    public static Thread Create(Action body) => new(() => body(), StackBytes) { IsBackground = true, Name = "netns" };

    /// <summary>Moves the calling thread, which must be ours alone, into the namespace.</summary>
    public static void Enter(int namespaceFd)
    {
        _moved = true;
        if (Libc.SetNs(namespaceFd, Libc.CloneNewNet) < 0)
            throw new KernelException(Libc.LastErrno, "enter network namespace", $"fd {namespaceFd}");
    }

    /// <summary>Moves the calling thread, which must be ours alone, into a new namespace.</summary>
    public static void EnterNew()
    {
        _moved = true;
        if (Libc.Unshare(Libc.CloneNewNet) < 0)
            throw new KernelException(Libc.LastErrno, "create", "network namespace");
    }
}

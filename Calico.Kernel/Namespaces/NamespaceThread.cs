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
        var thread = new Thread(() =>
        {
            try
            {
                result = action();
            }
            catch (Exception e)
            {
                fault = ExceptionDispatchInfo.Capture(e);
            }
        }, StackBytes)
        { IsBackground = true, Name = "netns" };
        thread.Start();
        thread.Join();
        fault?.Throw();
        return result;
    }

    /// <summary>Moves the calling thread, which must be ours alone, into the namespace.</summary>
    public static void Enter(int namespaceFd)
    {
        if (Libc.SetNs(namespaceFd, Libc.CloneNewNet) < 0)
            throw new KernelException(Libc.LastErrno, "enter network namespace", $"fd {namespaceFd}");
    }
}

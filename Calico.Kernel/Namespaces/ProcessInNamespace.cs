using System.Diagnostics;

namespace Calico.Kernel.Namespaces;

/// <summary>
/// Starts child processes inside a network namespace. A child gets the namespaces of the thread that forks it, so the
/// start happens on a thread of our own that has entered the namespace. Unlike <c>ip netns exec</c> this changes
/// nothing but the network: <c>/sys</c> and <c>/etc</c> of the child are ours.
/// </summary>
public static class ProcessInNamespace
{
    /// <exception cref="KernelException">The namespace cannot be entered.</exception>
    /// <exception cref="System.ComponentModel.Win32Exception">The program cannot be started.</exception>
    public static Process Start(ProcessStartInfo start, int namespaceFd) =>
        NamespaceThread.Run(namespaceFd, () => Process.Start(start))
        ?? throw new InvalidOperationException($"{start.FileName} did not start");

    /// <summary>As the other overload, by the namespace itself.</summary>
    public static Process Start(ProcessStartInfo start, INetworkNamespace inside) => Start(start, inside.Fd);
}

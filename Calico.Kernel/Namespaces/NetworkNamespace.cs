using Calico.Kernel.Links;
using Calico.Kernel.Neighbours;
using Calico.Kernel.Netlink;
using Calico.Kernel.Routes;
using Calico.Kernel.Rules;
using Calico.Kernel.Sysctl;

namespace Calico.Kernel.Namespaces;

/// <summary>
/// A network namespace of this machine, held open by a descriptor: it lives at least as long as this object, even if
/// its name or its last process goes away.
/// <para>
/// The kernel gives a socket the namespace of the thread that opens it. Pool threads never change their namespace here:
/// tables are opened, and sysctls written, by a thread of our own that has entered the namespace
/// (<see cref="NamespaceWorker"/>), and <see cref="Run{T}"/> makes a thread for the caller's code.
/// </para>
/// </summary>
public sealed class NetworkNamespace : INetworkNamespace
{
    private readonly FdHandle _fd;
    private readonly NamespaceWorker _worker;
    private bool _disposed;

    private NetworkNamespace(FdHandle fd, string path)
    {
        _fd = fd;
        Path = path;
        Identity = InodeOf(fd.Fd, "", Libc.AtEmptyPath);
        _worker = new NamespaceWorker(fd, Identity == InodeOf(Libc.AtFdCwd, "/proc/self/ns/net", 0));
    }

    public int Fd
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return _fd.Fd;
        }
    }

    /// <summary>Where it was opened from; for messages.</summary>
    public string Path { get; }

    /// <summary>The kernel's number of the namespace, its inode: equal for equal namespaces while one of them is open.</summary>
    public ulong Identity { get; }

    /// <summary>Opens a namespace file, such as a container runtime passes to a CNI plugin.</summary>
    /// <exception cref="KernelException">There is no such file, or it is no network namespace.</exception>
    public static NetworkNamespace Open(string path)
    {
        var raw = Libc.Open(path, Libc.OReadOnly | Libc.OCloexec);
        if (raw < 0)
            throw new KernelException(Libc.LastErrno, "open network namespace", path);
        var fd = new FdHandle(raw);
        // A name whose mount is gone is a plain empty file.
        if (Libc.Ioctl(fd, Libc.NsGetNsType, 0) != Libc.CloneNewNet)
        {
            fd.Dispose();
            throw new KernelException(Errno.EINVAL, "open network namespace", path, "not a network namespace");
        }
        return new NetworkNamespace(fd, path);
    }

    /// <summary>Opens a namespace by the name that <c>ip netns</c> knows it by.</summary>
    public static NetworkNamespace OpenNamed(string name) => Open(NamedNamespaces.PathOf(name));

    /// <summary>Opens the namespace of a process.</summary>
    public static NetworkNamespace OpenProcess(int pid) => Open($"/proc/{pid}/ns/net");

    /// <summary>Opens the namespace of the calling thread.</summary>
    public static NetworkNamespace OpenCurrent() => Open("/proc/thread-self/ns/net");

    /// <summary>Creates a namespace without a name: it goes away with the last descriptor, socket or process in it.</summary>
    public static NetworkNamespace CreateUnnamed() => NamespaceThread.RunAlone(() =>
    {
        NamespaceThread.EnterNew();
        return OpenCurrent();
    });

    /// <summary>Creates a namespace under <c>/run/netns</c>, as <c>ip netns add</c> does, and opens it.</summary>
    /// <exception cref="KernelException">The name is taken or the kernel refuses.</exception>
    public static NetworkNamespace CreateNamed(string name)
    {
        NamedNamespaces.Create(name);
        return OpenNamed(name);
    }

    /// <summary>Takes the name away; the namespace itself goes with its last user. Returns whether it was there.</summary>
    public static bool DeleteNamed(string name) => NamedNamespaces.Delete(name);

    public ILinkTable OpenLinks() => new LinkTable(OpenSocket());
    public IRouteTable OpenRoutes() => new RouteTable(OpenSocket());
    public INeighbourTable OpenNeighbours() => new NeighbourTable(OpenSocket());
    public IRuleTable OpenRules() => new RuleTable(OpenSocket());
    public ISysctl OpenSysctl() => new ProcSysctl(_worker.Hold());

    public IKernelMonitor OpenMonitor(KernelEventGroups groups, KernelEventFilter without = default) =>
        KernelMonitor.Start(OpenSocket(), groups, new NetlinkFilter(without.RouteProtocol, (without.Writer as NetlinkTable)?.PortId ?? 0));

    /// <summary>
    /// Says that the calling thread is the caller's alone for good. It then does its jobs inside other namespaces itself and
    /// comes back after each, instead of having a thread made for them.
    /// </summary>
    /// <exception cref="KernelException">The thread's own namespace cannot be opened.</exception>
    public static void LendThread() => NamespaceThread.AllowVisits();

    /// <summary>Opens a netlink socket that lives in this namespace.</summary>
    public NetlinkSocket OpenSocket(NetlinkProtocol protocol = NetlinkProtocol.Route) =>
        _worker.Run(() => NetlinkSocket.Open(protocol));

    /// <summary>
    /// Runs code inside the namespace on a thread of its own and waits for it. What the code opens stays in the
    /// namespace; what it awaits continues elsewhere, outside of it.
    /// </summary>
    public T Run<T>(Func<T> action) => NamespaceThread.Run(Fd, action);

    /// <summary>Runs code inside the namespace on a thread of its own and waits for it.</summary>
    public void Run(Action action) => NamespaceThread.Run(Fd, () =>
    {
        action();
        return true;
    });

    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        _worker.Dispose();
    }

    public override string ToString() => $"{Path} net:[{Identity}]";

    private static unsafe ulong InodeOf(int directory, string path, int flags)
    {
        var stat = stackalloc byte[Libc.StatXSize];
        if (Libc.StatX(directory, path, flags, Libc.StatXInode, stat) < 0)
            throw new KernelException(Libc.LastErrno, "stat network namespace", path);
        return *(ulong*)(stat + Libc.StatXInodeOffset);
    }
}

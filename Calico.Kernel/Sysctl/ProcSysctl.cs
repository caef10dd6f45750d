using System.Text;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Netlink;

namespace Calico.Kernel.Sysctl;

/// <summary>
/// Sysctls through <c>/proc/sys/net</c>. The kernel resolves these files by the namespace of the thread that opens
/// them, whichever proc is mounted, so each access runs on the namespace's own thread.
/// </summary>
internal sealed class ProcSysctl(NamespaceWorker worker) : ISysctl
{
    private const string Root = "/proc/sys/net/";
    private const int MaxLength = 4096;
    private bool _disposed;

    public string? Read(string path)
    {
        var file = Resolve(path);
        return worker.Run(() => ReadFile(path, file, missing: null));
    }

    public bool Write(string path, string value)
    {
        var file = Resolve(path);
        return worker.Run(() =>
        {
            var now = ReadFile(path, file, missing: Errno.ENOENT);
            if (SysctlValue.Same(now!, value))
                return false;
            WriteFile(path, file, value);
            return true;
        });
    }

    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        worker.Dispose();
    }

    private string Resolve(string path)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        return Root + SysctlValue.CheckPath(path);
    }

    private static unsafe string? ReadFile(string path, string file, Errno? missing)
    {
        using var fd = new FdHandle(Libc.Open(file, Libc.OReadOnly | Libc.OCloexec));
        if (fd.IsInvalid)
        {
            var errno = Libc.LastErrno;
            return errno == Errno.ENOENT && missing is null ? null : throw new KernelException(errno, "read sysctl", path);
        }
        var buffer = stackalloc byte[MaxLength];
        var length = Libc.Read(fd, buffer, MaxLength);
        if (length < 0)
            throw new KernelException(Libc.LastErrno, "read sysctl", path);
        return Encoding.UTF8.GetString(buffer, (int)length).TrimEnd('\n');
    }

    private static unsafe void WriteFile(string path, string file, string value)
    {
        using var fd = new FdHandle(Libc.Open(file, Libc.OWriteOnly | Libc.OCloexec));
        if (fd.IsInvalid)
            throw new KernelException(Libc.LastErrno, "write sysctl", path);
        fixed (byte* bytes = Encoding.UTF8.GetBytes(value))
        {
            if (Libc.Write(fd, bytes, (nuint)Encoding.UTF8.GetByteCount(value)) < 0)
                throw new KernelException(Libc.LastErrno, "write sysctl", $"{path} = {value}");
        }
    }
}

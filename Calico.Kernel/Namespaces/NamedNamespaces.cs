using Calico.Kernel.Netlink;

namespace Calico.Kernel.Namespaces;

/// <summary>
/// Names for network namespaces as <c>ip netns</c> keeps them: a file under <c>/run/netns</c> on which the
/// namespace is bind-mounted. The directory is a shared mount, so that a name made in one mount namespace is gone from
/// the others, too, when it is deleted.
/// </summary>
public static class NamedNamespaces
{
    private const string Root = "/run/netns";
    private static readonly Lock Gate = new();

    /// <summary>Where the namespace of that name is mounted.</summary>
    /// <exception cref="ArgumentException">The name cannot be a file name.</exception>
    public static string PathOf(string name)
    {
        if (name.Length is 0 or > 255 || name is "." or ".." || name.AsSpan().ContainsAny('/', '\0'))
            throw new ArgumentException($"'{name}' cannot name a network namespace", nameof(name));
        return $"{Root}/{name}";
    }

    /// <summary>All names, mounted or left over.</summary>
    public static IReadOnlyList<string> List() =>
        Directory.Exists(Root) ? [.. Directory.EnumerateFiles(Root).Select(p => Path.GetFileName(p)).Order(StringComparer.Ordinal)] : [];

    internal static void Create(string name)
    {
        var path = PathOf(name);
        lock (Gate)
            ShareRoot();
        using (var file = new FdHandle(Libc.Open(path, Libc.OCreate | Libc.OExclusive | Libc.OCloexec)))
        {
            if (file.IsInvalid)
                throw new KernelException(Libc.LastErrno, "create network namespace", name);
        }
        try
        {
            NamespaceThread.RunAlone(() =>
            {
                NamespaceThread.EnterNew();
                if (Libc.Mount("/proc/thread-self/ns/net", path, "none", Libc.MsBind, 0) < 0)
                    throw new KernelException(Libc.LastErrno, "mount network namespace", name);
                return true;
            });
        }
        catch
        {
            File.Delete(path);
            throw;
        }
    }

    internal static bool Delete(string name)
    {
        var path = PathOf(name);
        if (!File.Exists(path))
            return false;
        // EINVAL: a leftover file on which nothing is mounted.
        if (Libc.Unmount(path, Libc.MntDetach) < 0 && Libc.LastErrno is not (Errno.EINVAL or Errno.ENOENT))
            throw new KernelException(Libc.LastErrno, "unmount network namespace", name);
        File.Delete(path);
        return true;
    }

    private static void ShareRoot()
    {
        Directory.CreateDirectory(Root);
        if (Libc.Mount("", Root, "none", Libc.MsShared | Libc.MsRec, 0) == 0)
            return;
        // EINVAL: not a mount point yet. Only mount points can be shared, so mount it on itself.
        if (Libc.LastErrno != Errno.EINVAL
            || Libc.Mount(Root, Root, "none", Libc.MsBind | Libc.MsRec, 0) < 0
            || Libc.Mount("", Root, "none", Libc.MsShared | Libc.MsRec, 0) < 0)
            throw new KernelException(Libc.LastErrno, "share mount", Root);
    }
}

using Calico.Core.Cni;

namespace Calico.Cni;

/// <summary>
/// Records a DEL that found no node, for the node's next start: a pod must be removable whatever happened to the node.
/// The record is on disk whole, or the DEL has failed.
/// </summary>
internal static class Spool
{
    /// <summary>Null when the DEL is recorded, which standard error is told; else why the runtime has to try again.</summary>
    public static CniError? Record(string socket, CniRequest request, string network, CniError cause)
    {
        var folder = CniPendingDelete.FolderOf(socket);
        var path = $"{folder}/{CniPendingDelete.NameOf(request.Plugin, network, request.ContainerId, request.InterfaceName)}";
        // A descriptor cannot wait, and the node needs none to take a pod away.
        var problem = Write(folder, path, (request with { NetnsAttached = false }).ToFrame());
        if (problem is not null)
            return cause with { Message = $"{cause.Message}; and the DEL cannot be left for its next start: {problem}" };
        Libc.WriteAll(2, System.Text.Encoding.UTF8.GetBytes(
            $"calico: {cause.Message}; the DEL of container {request.ContainerId} waits in {path} and is carried out when the node is back\n"));
        return null;
    }

    private static string? Write(string folder, string path, ReadOnlySpan<byte> frame)
    {
        if (Prepare(folder) is { } unusable)
            return unusable;
        var directory = Libc.OpenDirectory(folder);
        if (directory < 0)
            return Fault("open", folder);
        if (CheckRoom(folder, directory, path, frame.Length) is { } full)
            return full;
        var temporary = $"{path}.{Environment.ProcessId}{CniPendingDelete.TemporarySuffix}";
        // A process of the same number that was killed in the middle of this.
        Libc.Unlink(temporary);
        var file = Libc.CreateNew(temporary);
        if (file < 0)
            return Fault("create", temporary);
        if (Libc.WriteAll(file, frame) && Libc.Sync(file) && Libc.Rename(temporary, path) && Libc.Sync(directory))
            return null;
        var fault = Fault("write", temporary);
        Libc.Unlink(temporary);
        return fault;
    }

    // Whoever may write here may have the node remove any pod.
    private static string? Prepare(string folder)
    {
        for (var slash = folder.IndexOf('/', 1); slash > 0; slash = folder.IndexOf('/', slash + 1))
        {
            if (!Libc.MakeDirectory(folder[..slash], 0x1ED) && Libc.Errno != Libc.EEXIST)
                return Fault("create", folder[..slash]);
        }
        if (!Libc.MakeDirectory(folder, 0x1C0) && Libc.Errno != Libc.EEXIST)
            return Fault("create", folder);
        if (!Libc.TryStat(folder, out var status))
            return Fault("look at", folder);
        return !status.IsDirectory ? $"{folder} is not a directory"
            : status.Uid != 0 && status.Uid != Libc.EffectiveUid ? $"{folder} belongs to user {status.Uid}, not to root"
            : status.IsOpenToOthers ? $"others than root may write to {folder}"
            : null;
    }

    private static string? CheckRoom(string folder, int directory, string path, int length)
    {
        var (count, bytes) = (0, (long)length);
        var readable = Libc.ForEachEntry(directory, name =>
        {
            var entry = $"{folder}/{name}";
            // A repetition takes the place of what is there.
            if (name is "." or ".." || entry == path || !Libc.TryStat(entry, out var status))
                return;
            count++;
            bytes += status.Size;
        });
        return !readable ? Fault("read", folder)
            : count >= CniPendingDelete.MaxCount ? $"{count} DELs wait in {folder} already"
            : bytes > CniPendingDelete.MaxBytes ? $"the DELs in {folder} would take {bytes} bytes, more than {CniPendingDelete.MaxBytes}"
            : null;
    }

    private static string Fault(string verb, string what) => $"cannot {verb} {what}: {Libc.ErrorText(Libc.Errno)}";
}

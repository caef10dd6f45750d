using System.Runtime.InteropServices;

namespace Calico.Kernel.Files;

/// <summary>Files that others read while they are replaced: they see the old one or the new one, also after a power cut.</summary>
public static partial class WholeFile
{
    private const int ReadOnlyDirectory = 0x10000 | 0x80000;

    /// <summary>Puts the content in the place of what the file had.</summary>
    /// <param name="path">The file.</param>
    /// <param name="content">What it shall have.</param>
    /// <param name="mode">Its rights.</param>
    /// <param name="isSynced">Also after a power cut; without it only after a crash of programs.</param>
    /// <exception cref="IOException">Nothing has changed, but perhaps a temporary file is left.</exception>
    public static void Write(string path, ReadOnlySpan<byte> content, UnixFileMode mode, bool isSynced = true)
    {
        // An ending that no runtime reads as a configuration, and the same each time: what a kill leaves is replaced.
        var temporary = path + ".tmp";
        File.Delete(temporary);
        try
        {
            using (var file = new FileStream(temporary, new FileStreamOptions
            {
                Mode = FileMode.CreateNew,
                Access = FileAccess.Write,
                UnixCreateMode = OperatingSystem.IsWindows() ? null : UnixFileMode.UserRead | UnixFileMode.UserWrite,
            }))
            {
                file.Write(content);
                if (!OperatingSystem.IsWindows())
                    File.SetUnixFileMode(file.SafeFileHandle, mode);
                file.Flush(flushToDisk: isSynced);
            }
            File.Move(temporary, path, overwrite: true);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }
        if (isSynced)
            SyncFolder(Path.GetDirectoryName(path)!);
    }

    /// <summary>The file is gone, also after a power cut; one that was not there is none of its business.</summary>
    public static void Delete(string path)
    {
        File.Delete(path);
        SyncFolder(Path.GetDirectoryName(path)!);
    }

    // .NET opens no directories. A file system that cannot sync one says so, and is none the worse.
    private static void SyncFolder(string folder)
    {
        var fd = open(folder, ReadOnlyDirectory);
        if (fd < 0)
            throw new IOException($"cannot open {folder}: {Marshal.GetLastPInvokeErrorMessage()}");
        _ = fsync(fd);
        _ = close(fd);
    }

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int open(string path, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fsync(int fd);

    [LibraryImport("libc")]
    private static partial int close(int fd);
}

using System.Runtime.InteropServices;
using System.Text;

namespace Calico.Cni;

/// <summary>
/// The system calls of the shim, linked straight to the C library: .NET's Socket, FileStream and Console would each
/// cost more start-up time than the whole call. Layouts are those of 64-bit Linux, the same on x86-64 and arm64.
/// </summary>
internal static unsafe partial class Libc
{
    public const int AtFdCwd = -100;
    public const int AtEmptyPath = 0x1000;
    public const int AtSymlinkNoFollow = 0x100;
    public const uint StatxBasic = 0x7ff;
    public const int OpenReadOnlyCloseOnExec = 0x80000;
    public const int AddressFamilyUnix = 1;
    public const int StreamCloseOnExec = 1 | 0x80000;
    public const int SolSocket = 1;
    public const int ScmRights = 1;
    public const int SoPeerCredentials = 17;
    public const int SoSendTimeout = 21;
    public const int NoSignal = 0x4000;
    private const short PollIn = 1;
    public const nuint GetNamespaceType = 0xb703;
    public const int NetworkNamespace = 0x40000000;

    private const int OpenWriteNewCloseOnExec = 0x80000 | 0x1 | 0x40 | 0x80;
    private const int OpenDirectoryCloseOnExec = 0x80000 | 0x10000;
    private const int Kill9 = 9;

    public const int EINTR = 4;
    public const int ENOENT = 2;
    public const int EAGAIN = 11;
    public const int EEXIST = 17;
    public const int MaxSocketPath = 107;

    public static int Errno => Marshal.GetLastPInvokeError();

    public static string ErrorText(int errno) => Marshal.GetPInvokeErrorMessage(errno);

    /// <summary>Who owns a file, and which file it is.</summary>
    public readonly record struct FileStatus(uint Uid, ushort Mode, ulong Device, ulong Inode, long Size)
    {
        public bool IsSocket => (Mode & 0xF000) == 0xC000;
        public bool IsDirectory => (Mode & 0xF000) == 0x4000;
        public bool IsRegular => (Mode & 0xF000) == 0x8000;
        public bool IsExecutable => IsRegular && (Mode & 0x49) != 0;

        /// <summary>Others than the owner may write to it.</summary>
        public bool IsOpenToOthers => (Mode & 0x12) != 0;
    }

    public static bool TryStat(string path, out FileStatus status)
    {
        fixed (byte* bytes = Terminated(path))
            return TryStat(AtFdCwd, bytes, AtSymlinkNoFollow, out status);
    }

    /// <summary>The same of what a symbolic link leads to.</summary>
    public static bool TryStatTarget(string path, out FileStatus status)
    {
        fixed (byte* bytes = Terminated(path))
            return TryStat(AtFdCwd, bytes, 0, out status);
    }

    public static bool TryStat(int fd, out FileStatus status)
    {
        byte empty = 0;
        return TryStat(fd, &empty, AtEmptyPath, out status);
    }

    /// <summary>Opens for reading, or returns -1.</summary>
    public static int Open(string path)
    {
        fixed (byte* bytes = Terminated(path))
            return open(bytes, OpenReadOnlyCloseOnExec);
    }

    public static int Read(int fd, Span<byte> buffer)
    {
        fixed (byte* bytes = buffer)
        {
            nint n;
            do
                n = read(fd, bytes, (nuint)buffer.Length);
            while (n < 0 && Errno == EINTR);
            return (int)n;
        }
    }

    public static bool WriteAll(int fd, ReadOnlySpan<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            nint n;
            fixed (byte* bytes = buffer)
                n = write(fd, bytes, (nuint)buffer.Length);
            if (n < 0 && Errno == EINTR)
                continue;
            if (n <= 0)
                return false;
            buffer = buffer[(int)n..];
        }
        return true;
    }

    /// <summary>A connected stream socket, or -1 with the reason in <see cref="Errno"/>. Connecting and sending time out.</summary>
    public static int Connect(string path, int timeoutSeconds)
    {
        var fd = socket(AddressFamilyUnix, StreamCloseOnExec, 0);
        if (fd < 0)
            return -1;
        long* timeout = stackalloc long[2] { timeoutSeconds, 0 };
        _ = setsockopt(fd, SolSocket, SoSendTimeout, timeout, 16);
        byte* address = stackalloc byte[2 + MaxSocketPath + 1];
        *(ushort*)address = AddressFamilyUnix;
        var length = Encoding.UTF8.GetBytes(path, new Span<byte>(address + 2, MaxSocketPath));
        address[2 + length] = 0;
        int result;
        do
            result = connect(fd, address, (uint)(2 + length + 1));
        while (result < 0 && Errno == EINTR);
        return result < 0 ? -1 : fd;
    }

    /// <summary>The user at the other end of a connection.</summary>
    public static bool TryGetPeerUid(int fd, out uint uid)
    {
        uint* credentials = stackalloc uint[3];
        uint length = 12;
        var ok = getsockopt(fd, SolSocket, SoPeerCredentials, credentials, &length) == 0;
        uid = credentials[1];
        return ok;
    }

    public static uint EffectiveUid => geteuid();

    /// <summary>Sends all bytes, with <paramref name="attached"/> as an SCM_RIGHTS message on the first of them unless it is -1.</summary>
    public static bool Send(int fd, ReadOnlySpan<byte> bytes, int attached)
    {
        // cmsghdr {length, level, type} and one int, padded to eight bytes.
        byte* control = stackalloc byte[24];
        *(nuint*)control = 20;
        *(int*)(control + 8) = SolSocket;
        *(int*)(control + 12) = ScmRights;
        *(int*)(control + 16) = attached;
        *(int*)(control + 20) = 0;
        while (!bytes.IsEmpty)
        {
            nint n;
            fixed (byte* start = bytes)
            {
                var vector = new IoVector { Base = start, Length = (nuint)bytes.Length };
                var message = new MessageHeader { Vectors = &vector, VectorCount = 1 };
                if (attached >= 0)
                {
                    message.Control = control;
                    message.ControlLength = 24;
                }
                n = sendmsg(fd, &message, NoSignal);
            }
            if (n < 0 && Errno == EINTR)
                continue;
            if (n <= 0)
                return false;
            attached = -1;
            bytes = bytes[(int)n..];
        }
        return true;
    }

    /// <summary>Whether a descriptor is a network namespace, and not any other file (ioctl_ns(2)).</summary>
    public static bool IsNetworkNamespace(int fd) => ioctl(fd, GetNamespaceType, 0) == NetworkNamespace;

    /// <summary>Waits until there is something to read; false when the time is over.</summary>
    public static bool WaitReadable(int fd, int milliseconds)
    {
        var poll = new PollEntry { Fd = fd, Events = PollIn };
        int n;
        do
            n = Libc.poll(&poll, 1, milliseconds);
        while (n < 0 && Errno == EINTR);
        return n > 0;
    }

    // ---- files, for the DELs that wait -------------------------------------------------------------------------------

    /// <summary>Makes a directory; false with the reason in <see cref="Errno"/>.</summary>
    public static bool MakeDirectory(string path, uint mode)
    {
        fixed (byte* bytes = Terminated(path))
            return mkdir(bytes, mode) == 0;
    }

    /// <summary>A new file of root's, or -1.</summary>
    public static int CreateNew(string path)
    {
        fixed (byte* bytes = Terminated(path))
            return open(bytes, OpenWriteNewCloseOnExec, 0x180);
    }

    public static int OpenDirectory(string path)
    {
        fixed (byte* bytes = Terminated(path))
            return open(bytes, OpenDirectoryCloseOnExec);
    }

    public static bool Sync(int fd) => fsync(fd) == 0;

    public static void Close(int fd) => _ = close(fd);

    public static bool Rename(string from, string to)
    {
        fixed (byte* source = Terminated(from))
        fixed (byte* target = Terminated(to))
            return rename(source, target) == 0;
    }

    public static void Unlink(string path)
    {
        fixed (byte* bytes = Terminated(path))
            _ = unlink(bytes);
    }

    /// <summary>Calls back with the name of every entry; false if the directory cannot be read.</summary>
    public static bool ForEachEntry(int directory, Action<string> entry)
    {
        // linux_dirent64: inode, offset, length at 16, type, name at 19.
        const int size = 32 << 10;
        var buffer = new byte[size];
        fixed (byte* start = buffer)
        {
            while (true)
            {
                var n = getdents64(directory, start, size);
                if (n <= 0)
                    return n == 0;
                for (nint at = 0; at < n; at += *(ushort*)(start + at + 16))
                    entry(Marshal.PtrToStringUTF8((nint)(start + at + 19))!);
            }
        }
    }

    // ---- another's program -------------------------------------------------------------------------------------------

    /// <summary>
    /// Runs a program and returns its exit status, or -1 with the reason in <see cref="Errno"/>; -2 if it was still running
    /// at the end of the time and was killed.
    /// </summary>
    /// <param name="path">The program.</param>
    /// <param name="environment">Its environment, <c>NAME=value</c> each.</param>
    /// <param name="input">All of its standard input.</param>
    /// <param name="output">What it prints; what is beyond the length of the buffer is dropped.</param>
    /// <param name="length">How much it printed.</param>
    /// <param name="milliseconds">How long it may take.</param>
    public static int Execute(string path, IReadOnlyList<string> environment, ReadOnlySpan<byte> input, Span<byte> output, out int length,
        int milliseconds)
    {
        length = 0;
        byte noName = 0;
        int* ends = stackalloc int[2];
        // A file in memory: the program may print before it has read everything.
        var stdin = memfd_create(&noName, 1);
        if (stdin < 0 || !WriteAll(stdin, input) || lseek(stdin, 0, 0) != 0 || pipe2(ends, 0x80000) != 0)
            return -1;
        var pid = Spawn(path, environment, stdin, ends[1]);
        Close(stdin);
        Close(ends[1]);
        if (pid < 0)
            return -1;
        var deadline = Environment.TickCount64 + milliseconds;
        var inTime = Collect(ends[0], output, ref length, deadline);
        Close(ends[0]);
        if (!inTime)
            _ = kill(pid, Kill9);
        int status;
        while (waitpid(pid, &status, 0) < 0)
        {
            if (Errno != EINTR)
                return -1;
        }
        return !inTime ? -2 : (status & 0x7f) == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f);
    }

    private static int Spawn(string path, IReadOnlyList<string> environment, int stdin, int stdout)
    {
        byte* actions = stackalloc byte[256];
        _ = posix_spawn_file_actions_init(actions);
        _ = posix_spawn_file_actions_adddup2(actions, stdin, 0);
        _ = posix_spawn_file_actions_adddup2(actions, stdout, 1);
        var variables = stackalloc nint[environment.Count + 1];
        for (var i = 0; i < environment.Count; i++)
            variables[i] = Marshal.StringToCoTaskMemUTF8(environment[i]);
        variables[environment.Count] = 0;
        fixed (byte* program = Terminated(path))
        {
            var arguments = stackalloc nint[2] { (nint)program, 0 };
            int pid;
            // No errno: posix_spawn returns it.
            var fault = posix_spawn(&pid, program, actions, null, arguments, variables);
            if (fault == 0)
                return pid;
            Marshal.SetLastPInvokeError(fault);
            return -1;
        }
    }

    private static bool Collect(int fd, Span<byte> output, ref int length, long deadline)
    {
        Span<byte> rest = stackalloc byte[512];
        while (true)
        {
            var left = deadline - Environment.TickCount64;
            if (left <= 0 || !WaitReadable(fd, (int)left))
                return false;
            var n = Read(fd, length < output.Length ? output[length..] : rest);
            if (n <= 0)
                return true;
            length = Math.Min(output.Length, length + n);
        }
    }

    // Offsets of struct statx: mode 28, uid 20, inode 32, size 40, device 136 (major) and 140 (minor).
    private static bool TryStat(int directory, byte* path, int flags, out FileStatus status)
    {
        byte* buffer = stackalloc byte[256];
        if (statx(directory, path, flags, StatxBasic, buffer) != 0)
        {
            status = default;
            return false;
        }
        status = new FileStatus(*(uint*)(buffer + 20), *(ushort*)(buffer + 28), *(ulong*)(buffer + 136), *(ulong*)(buffer + 32),
            *(long*)(buffer + 40));
        return true;
    }

    private static byte[] Terminated(string path)
    {
        var bytes = new byte[Encoding.UTF8.GetByteCount(path) + 1];
        Encoding.UTF8.GetBytes(path, bytes);
        return bytes;
    }

    private struct IoVector
    {
        public byte* Base;
        public nuint Length;
    }

    private struct MessageHeader
    {
        public void* Name;
        public uint NameLength;
        public IoVector* Vectors;
        public nuint VectorCount;
        public void* Control;
        public nuint ControlLength;
        public int Flags;
    }

    private struct PollEntry
    {
        public int Fd;
        public short Events;
        public short Returned;
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int open(byte* path, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int open(byte* path, int flags, uint mode);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int mkdir(byte* path, uint mode);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fsync(int fd);

    [LibraryImport("libc")]
    private static partial int close(int fd);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int rename(byte* from, byte* to);

    [LibraryImport("libc")]
    private static partial int unlink(byte* path);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint getdents64(int fd, byte* buffer, nuint size);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int memfd_create(byte* name, uint flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial long lseek(int fd, long offset, int from);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int pipe2(int* ends, int flags);

    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_init(byte* actions);

    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_adddup2(byte* actions, int from, int to);

    [LibraryImport("libc")]
    private static partial int posix_spawn(int* pid, byte* path, byte* actions, byte* attributes, nint* arguments, nint* environment);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int waitpid(int pid, int* status, int options);

    [LibraryImport("libc")]
    private static partial int kill(int pid, int signal);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint read(int fd, byte* buffer, nuint count);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint write(int fd, byte* buffer, nuint count);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int socket(int family, int type, int protocol);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int connect(int fd, void* address, uint length);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int setsockopt(int fd, int level, int option, void* value, uint length);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int getsockopt(int fd, int level, int option, void* value, uint* length);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint sendmsg(int fd, MessageHeader* message, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int poll(PollEntry* entries, nuint count, int timeout);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int statx(int directory, byte* path, int flags, uint mask, void* buffer);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int ioctl(int fd, nuint request, nint argument);

    [LibraryImport("libc")]
    private static partial uint geteuid();
}

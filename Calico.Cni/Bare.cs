using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Calico.Cni;

/// <summary>Bytes that somebody else keeps: an environment variable, a part of the configuration.</summary>
internal readonly unsafe struct Text(byte* start, int length)
{
    public readonly byte* Start = start;
    public readonly int Length = length;

    public static Text Of(ReadOnlySpan<byte> literal) =>
        new((byte*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(literal)), literal.Length);

    public static Text OfTerminated(byte* start)
    {
        var length = 0;
        while (start[length] != 0)
            length++;
        return new Text(start, length);
    }

    public bool Is(ReadOnlySpan<byte> literal)
    {
        if (Length != literal.Length)
            return false;
        for (var i = 0; i < Length; i++)
        {
            if (Start[i] != literal[i])
                return false;
        }
        return true;
    }

    /// <summary>The same without regard to the case of ASCII letters.</summary>
    public bool Resembles(ReadOnlySpan<byte> literal)
    {
        if (Length != literal.Length)
            return false;
        for (var i = 0; i < Length; i++)
        {
            if (Lower(Start[i]) != Lower(literal[i]))
                return false;
        }
        return true;
    }

    private static int Lower(byte c) => c is >= (byte)'A' and <= (byte)'Z' ? c | 0x20 : c;
}

/// <summary>
/// System calls of <see cref="Shortcut"/>: the C library's functions without the transition by which the garbage collector
/// knows that a thread has left managed code. There is none yet. Layouts and numbers as in <see cref="Libc"/>.
/// </summary>
internal static unsafe partial class Bare
{
    public const int Monotonic = 1;
    public const int StatusSize = 256;
    public const int IsSocket = 0xC000;

    // struct statx: uid at 20, mode at 28, inode at 32, device at 136 and 140.
    public static uint Uid(byte* status) => *(uint*)(status + 20);
    public static int Mode(byte* status) => *(ushort*)(status + 28);
    public static ulong Inode(byte* status) => *(ulong*)(status + 32);
    public static ulong Device(byte* status) => *(ulong*)(status + 136);

    public struct IoVector
    {
        public byte* Base;
        public nuint Length;
    }

    public struct MessageHeader
    {
        public void* Name;
        public uint NameLength;
        public IoVector* Vectors;
        public nuint VectorCount;
        public void* Control;
        public nuint ControlLength;
        public int Flags;
    }

    public struct PollEntry
    {
        public int Fd;
        public short Events;
        public short Returned;
    }

    /// <summary>The main function of the .NET runtime, which runs Program.cs.</summary>
    [LibraryImport("libc", EntryPoint = "__real_main")]
    [SuppressGCTransition]
    public static partial int RuntimeMain(int argc, byte** argv);

    [LibraryImport("libc")]
    [SuppressGCTransition]
    public static partial byte* malloc(nuint size);

    [LibraryImport("libc")]
    [SuppressGCTransition]
    public static partial int open(byte* path, int flags);

    [LibraryImport("libc")]
    [SuppressGCTransition]
    public static partial nint read(int fd, byte* buffer, nuint count);

    [LibraryImport("libc")]
    [SuppressGCTransition]
    public static partial nint write(int fd, byte* buffer, nuint count);

    [LibraryImport("libc")]
    [SuppressGCTransition]
    public static partial int socket(int family, int type, int protocol);

    [LibraryImport("libc")]
    [SuppressGCTransition]
    public static partial int connect(int fd, void* address, uint length);

    [LibraryImport("libc")]
    [SuppressGCTransition]
    public static partial int setsockopt(int fd, int level, int option, void* value, uint length);

    [LibraryImport("libc")]
    [SuppressGCTransition]
    public static partial int getsockopt(int fd, int level, int option, void* value, uint* length);

    [LibraryImport("libc")]
    [SuppressGCTransition]
    public static partial nint sendmsg(int fd, MessageHeader* message, int flags);

    [LibraryImport("libc")]
    [SuppressGCTransition]
    public static partial int poll(PollEntry* entries, nuint count, int timeout);

    [LibraryImport("libc")]
    [SuppressGCTransition]
    public static partial int statx(int directory, byte* path, int flags, uint mask, void* buffer);

    [LibraryImport("libc")]
    [SuppressGCTransition]
    public static partial int ioctl(int fd, nuint request, nint argument);

    [LibraryImport("libc")]
    [SuppressGCTransition]
    public static partial uint geteuid();

    [LibraryImport("libc")]
    [SuppressGCTransition]
    public static partial int clock_gettime(int clock, long* time);
}

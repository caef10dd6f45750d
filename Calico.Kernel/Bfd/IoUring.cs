using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Calico.Kernel.Netlink;

namespace Calico.Kernel.Bfd;

/// <summary>
/// As much of io_uring as it takes to have the kernel send datagrams at given times, whatever the thread does meanwhile. For each
/// there is a timeout and, linked to it, a sendmsg: the kernel begins the second when the first has run out. It does so in the name of the thread that submitted them, also while that thread waits for something else; when the thread
/// ends, they end. Only that thread may use this. Makes no object after construction. Linux 5.19.
/// </summary>
internal sealed unsafe partial class IoUring : IDisposable
{
    /// <summary>A request that was cancelled, or whose predecessor was.</summary>
    public const int Canceled = -125;

    public const int LongestChain = (int)(Entries / 2) - 1;

    private const nint SetupCall = 425;
    private const nint EnterCall = 426;
    private const uint Entries = 1024;
    private const uint Completions = 8192;
    private const uint SetupCompletionSize = 1 << 3;
    private const uint EnterGetEvents = 1;
    private const uint RingOverflow = 1 << 1;
    private const uint FeatureSingleMap = 1;
    private const nint RequestsOffset = 0x10000000;
    private const int RequestSize = 64;
    private const int CompletionSize = 16;
    private const byte OpSendMessage = 9;
    private const byte OpTimeout = 11;
    private const byte OpCancel = 14;
    private const byte LinkNext = 1 << 2;
    private const byte LinkNextAnyway = 1 << 3;
    private const uint TimeoutAbsolute = 1;
    private const uint TimeoutIsSuccess = 1 << 5;
    private const uint CancelAll = 1;
    private const int Attempts = 16;

    [StructLayout(LayoutKind.Sequential)]
    private struct Offsets
    {
        public uint Head, Tail, Mask, Count, A, B, C, Reserved;
        public ulong User;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Parameters
    {
        public uint SubmissionEntries, CompletionEntries, Flags, Cpu, Idle, Features, WorkQueue, Reserved1, Reserved2, Reserved3;
        public Offsets Submission, Completion;
    }

    [StructLayout(LayoutKind.Explicit, Size = RequestSize)]
    private struct Request
    {
        [FieldOffset(0)] public byte Operation;
        [FieldOffset(1)] public byte Flags;
        [FieldOffset(4)] public int Fd;
        [FieldOffset(16)] public ulong Address;
        [FieldOffset(24)] public uint Length;
        [FieldOffset(28)] public uint OperationFlags;
        [FieldOffset(32)] public ulong Tag;
    }

    private readonly FdHandle _fd;
    private readonly nuint _ringSize;
    private readonly byte* _ring;
    private readonly Request* _requests;
    private readonly BfdNative.TimeSpec* _times;
    private readonly uint* _submissionTail;
    private readonly uint* _submissionFlags;
    private readonly uint* _slots;
    private readonly uint _submissionMask;
    private readonly uint* _completionHead;
    private readonly uint* _completionTail;
    private readonly byte* _completions;
    private readonly uint _completionMask;
    private uint _queued;

    private IoUring(FdHandle fd, in Parameters parameters)
    {
        _fd = fd;
        _ringSize = Math.Max(parameters.Submission.C + (parameters.SubmissionEntries * sizeof(uint)),
            parameters.Completion.B + (parameters.CompletionEntries * CompletionSize));
        _ring = Map(fd, _ringSize, 0);
        _requests = (Request*)Map(fd, parameters.SubmissionEntries * RequestSize, RequestsOffset);
        _submissionTail = (uint*)(_ring + parameters.Submission.Tail);
        _submissionMask = *(uint*)(_ring + parameters.Submission.Mask);
        // struct io_sqring_offsets: flags, dropped, array; struct io_cqring_offsets: overflow, cqes, flags.
        _submissionFlags = (uint*)(_ring + parameters.Submission.A);
        _slots = (uint*)(_ring + parameters.Submission.C);
        _completionHead = (uint*)(_ring + parameters.Completion.Head);
        _completionTail = (uint*)(_ring + parameters.Completion.Tail);
        _completionMask = *(uint*)(_ring + parameters.Completion.Mask);
        _completions = _ring + parameters.Completion.B;
        _times = (BfdNative.TimeSpec*)NativeMemory.AllocZeroed(Entries, (nuint)sizeof(BfdNative.TimeSpec));
    }

    /// <summary>A ring of the calling thread; null where the kernel has none, is too old, or does not allow it.</summary>
    public static IoUring? TryOpen()
    {
        var parameters = new Parameters { Flags = SetupCompletionSize, CompletionEntries = Completions };
        var fd = new FdHandle((int)Call(SetupCall, (nint)Entries, (nint)(&parameters), 0, 0, 0, 0));
        if (fd.IsInvalid || (parameters.Features & FeatureSingleMap) == 0)
        {
            fd.Dispose();
            return null;
        }
        try
        {
            var ring = new IoUring(fd, parameters);
            if (ring.CanCancelAll())
                return ring;
            ring.Dispose();
        }
        catch (KernelException)
        {
            fd.Dispose();
        }
        return null;
    }

    /// <summary>
    /// Queues a datagram for an instant of CLOCK_MONOTONIC; the message and all that it points to stays until it is completed. The
    /// next one, unless this is the last of its chain, begins to wait when this is sent or could not be: of a chain, only one wait
    /// is there to be found by <see cref="Cancel"/>. A chain is queued without a flush between, and of at most
    /// <see cref="LongestChain"/> datagrams.
    /// </summary>
    /// <param name="waitTag">Completes the wait, and names it for <see cref="Cancel"/>.</param>
    public void SendAt(TimeSpan time, int fd, BfdNative.MsgHdr* message, ulong waitTag, ulong sendTag, bool isLast)
    {
        var wait = Next(out var slot);
        _times[slot] = BfdNative.TimeSpec.Of(time);
        *wait = new Request
        {
            Operation = OpTimeout,
            Flags = LinkNext,
            Fd = -1,
            Address = (ulong)(_times + slot),
            Length = 1,
            OperationFlags = TimeoutAbsolute | TimeoutIsSuccess,
            Tag = waitTag,
        };
        *Next(out _) = new Request
        {
            Operation = OpSendMessage,
            Flags = isLast ? (byte)0 : LinkNextAnyway,
            Fd = fd,
            Address = (ulong)message,
            Length = 1,
            OperationFlags = Libc.MsgDontWait | BfdNative.MsgNoSignal,
            Tag = sendTag,
        };
    }

    /// <summary>
    /// Queues the end of all waits of that tag, and of what is linked to them. Once flushed, no datagram of theirs is sent any more.
    /// </summary>
    public void Cancel(ulong waitTag, ulong tag) => *Next(out _) = new Request
    {
        Operation = OpCancel,
        Fd = -1,
        Address = waitTag,
        OperationFlags = CancelAll,
        Tag = tag,
    };

    /// <summary>Hands what is queued to the kernel; false if it takes no more of it, and then the rest stays queued.</summary>
    public bool Flush()
    {
        // A kernel short of memory takes some at a time.
        for (var attempt = 0; _queued > 0 && attempt < Attempts; attempt++)
        {
            var taken = Call(EnterCall, _fd.Fd, (nint)_queued, 0, 0, 0, 0);
            if (taken <= 0)
                continue;
            _queued -= (uint)taken;
            attempt = 0;
        }
        return _queued == 0;
    }

    /// <summary>The next request that is done, and its result; false if there is none.</summary>
    public bool TryReap(out ulong tag, out int result)
    {
        (tag, result) = (0, 0);
        if (*_completionHead == Volatile.Read(ref Unsafe.AsRef<uint>(_completionTail)))
        {
            if ((Volatile.Read(ref Unsafe.AsRef<uint>(_submissionFlags)) & RingOverflow) == 0)
                return false;
            // The kernel keeps what had no room in the ring.
            Call(EnterCall, _fd.Fd, 0, 0, (nint)EnterGetEvents, 0, 0);
            if (*_completionHead == Volatile.Read(ref Unsafe.AsRef<uint>(_completionTail)))
                return false;
        }
        var completion = _completions + ((*_completionHead & _completionMask) * CompletionSize);
        (tag, result) = (*(ulong*)completion, *(int*)(completion + 8));
        Volatile.Write(ref Unsafe.AsRef<uint>(_completionHead), *_completionHead + 1);
        return true;
    }

    public void Dispose()
    {
        if (_fd.IsClosed)
            return;
        Unmap(_ring, _ringSize);
        Unmap((byte*)_requests, Entries * RequestSize);
        _fd.Dispose();
        NativeMemory.Free(_times);
    }

    // What is queued is never written over: its memory is the kernel's once it takes it.
    private Request* Next(out uint slot)
    {
        if (_queued == Entries && !Flush() && _queued == Entries)
            throw new InvalidOperationException($"io_uring: the kernel takes none of {Entries} requests, and there is room for no more");
        var tail = *_submissionTail;
        slot = tail & _submissionMask;
        _slots[slot] = slot;
        _queued++;
        Volatile.Write(ref Unsafe.AsRef<uint>(_submissionTail), tail + 1);
        return _requests + slot;
    }

    // The flag came with Linux 5.19, after everything else that is used here.
    private bool CanCancelAll()
    {
        Cancel(waitTag: ulong.MaxValue, tag: 0);
        return Flush() && TryReap(out _, out var result) && result != -(int)Errno.EINVAL;
    }

    private static byte* Map(FdHandle fd, nuint size, nint offset)
    {
        // PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE
        var at = MemoryMap(0, size, 3, 0x8001, fd.Fd, offset);
        return at != -1 ? (byte*)at : throw new KernelException(BfdNative.LastErrno, "map", "io_uring");
    }

    private static void Unmap(byte* at, nuint size) => _ = MemoryUnmap(at, size);

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial nint Call(nint number, nint a, nint b, nint c, nint d, nint e, nint f);

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial nint MemoryMap(nint at, nuint length, int protection, int flags, int fd, nint offset);

    [LibraryImport("libc", EntryPoint = "munmap", SetLastError = true)]
    private static partial int MemoryUnmap(byte* at, nuint length);
}

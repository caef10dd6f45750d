using System.Runtime.InteropServices;
using Calico.Kernel.Netlink;

namespace Calico.Kernel.Bfd;

/// <summary>
/// System calls of the BFD thread, by plain descriptors: its owner closes them after the thread has ended, so nothing needs to be
/// counted on each call. Linux numbers, 64-bit ABIs.
/// </summary>
internal static unsafe partial class BfdNative
{
    public const int AfInet = 2;
    public const int AfInet6 = 10;
    public const int SockDgram = 2;
    public const int SockNonBlock = 0x800;
    public const int SoReuseAddr = 2;
    public const int SoPriority = 12;
    public const int SoBindToDevice = 25;
    public const int IpProtoIp = 0;
    public const int IpTos = 1;
    public const int IpTtl = 2;
    public const int IpPktInfo = 8;
    public const int IpRecvTtl = 12;
    public const int IpProtoIpV6 = 41;
    public const int IpV6UnicastHops = 16;
    public const int IpV6Only = 26;
    public const int IpV6RecvPktInfo = 49;
    public const int IpV6PktInfo = 50;
    public const int IpV6RecvHopLimit = 51;
    public const int IpV6HopLimit = 52;
    public const int IpV6TClass = 67;
    public const int MsgNoSignal = 0x4000;
    public const int SockAddrSize = 28;
    public const int EfdNonBlock = 0x800;

    [StructLayout(LayoutKind.Sequential)]
    public struct MsgHdr
    {
        public byte* Name;
        public uint NameLength;
        public IoVec* Vectors;
        public nuint VectorCount;
        public byte* Control;
        public nuint ControlLength;
        public int Flags;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct IoVec
    {
        public byte* Base;
        public nuint Length;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct TimeSpec
    {
        public long Seconds;
        public long Nanoseconds;

        public static TimeSpec Of(TimeSpan time) => new()
        {
            Seconds = time.Ticks / TimeSpan.TicksPerSecond,
            Nanoseconds = time.Ticks % TimeSpan.TicksPerSecond * 100,
        };
    }

    [LibraryImport("libc", EntryPoint = "bind", SetLastError = true)]
    public static partial int Bind(int fd, byte* address, uint length);

    [LibraryImport("libc", EntryPoint = "setsockopt", SetLastError = true)]
    public static partial int SetSockOpt(int fd, int level, int option, void* value, uint length);

    [LibraryImport("libc", EntryPoint = "sendto", SetLastError = true)]
    public static partial nint SendTo(int fd, byte* buffer, nuint length, int flags, byte* address, uint addressLength);

    [LibraryImport("libc", EntryPoint = "recvmsg", SetLastError = true)]
    public static partial nint ReceiveMessage(int fd, MsgHdr* message, int flags);

    [LibraryImport("libc", EntryPoint = "ppoll", SetLastError = true)]
    public static partial int Poll(Libc.PollFd* fds, nuint count, TimeSpec* timeout, nint signals);

    [LibraryImport("libc", EntryPoint = "read", SetLastError = true)]
    public static partial nint Read(int fd, void* buffer, nuint length);

    [LibraryImport("libc", EntryPoint = "if_nametoindex", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial uint DeviceIndex(string name);

    [LibraryImport("libc", EntryPoint = "setpriority", SetLastError = true)]
    public static partial int SetPriority(int which, uint who, int priority);

    public static Errno LastErrno => (Errno)Marshal.GetLastPInvokeError();
}

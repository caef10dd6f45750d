using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using Calico.Core.Net;
using Calico.Kernel.Netlink;

namespace Calico.Kernel.Bfd;

/// <summary>Opens UDP sockets as BFD wants them and writes addresses as the kernel wants them.</summary>
internal static unsafe class BfdSocketOptions
{
    // Internetwork control (RFC 2474), as routing protocols send.
    private const int ControlTrafficClass = 0xC0;
    private const int HighestPriority = 6;

    // A thousand packets for each of many sessions while nobody reads.
    private const int ReceiveBuffer = 4 * 1024 * 1024;

    /// <summary>A socket bound to an address of ours, or the errno that says why not.</summary>
    /// <param name="device">Binds to the device, too, if not null.</param>
    public static FdHandle Open(IpAddr local, ushort port, string? device, uint scope, string subject)
    {
        var fd = new FdHandle(Libc.Socket(local.IsV4 ? BfdNative.AfInet : BfdNative.AfInet6,
            BfdNative.SockDgram | BfdNative.SockNonBlock | Libc.SockCloexec, 0));
        if (fd.IsInvalid)
            throw new KernelException(Libc.LastErrno, "open BFD socket", subject);
        try
        {
            if (local.IsV6)
                Set(fd, BfdNative.IpProtoIpV6, BfdNative.IpV6Only, 1, subject);
            if (device is not null)
                BindToDevice(fd, device, subject);
            var address = stackalloc byte[BfdNative.SockAddrSize];
            var length = WriteAddress(address, local, port, scope);
            if (BfdNative.Bind(fd.Fd, address, length) < 0)
                throw new KernelException(Libc.LastErrno, "bind BFD socket", subject);
            return fd;
        }
        catch
        {
            fd.Dispose();
            throw;
        }
    }

    /// <summary>Hop limit 255, which the neighbour checks (RFC 5881 section 5), and the class of control traffic.</summary>
    public static void PrepareToSend(FdHandle fd, bool v4, string subject)
    {
        Set(fd, v4 ? BfdNative.IpProtoIp : BfdNative.IpProtoIpV6, v4 ? BfdNative.IpTtl : BfdNative.IpV6UnicastHops, 255, subject);
        Set(fd, v4 ? BfdNative.IpProtoIp : BfdNative.IpProtoIpV6, v4 ? BfdNative.IpTos : BfdNative.IpV6TClass, ControlTrafficClass, subject);
        Set(fd, Libc.SolSocket, BfdNative.SoPriority, HighestPriority, subject);
        // Nobody reads what comes to the source port.
        Set(fd, Libc.SolSocket, Libc.SoRcvBuf, 0, subject);
    }

    /// <summary>Each packet comes with its hop limit and device.</summary>
    public static void PrepareToReceive(FdHandle fd, bool v4, string subject)
    {
        var level = v4 ? BfdNative.IpProtoIp : BfdNative.IpProtoIpV6;
        Set(fd, level, v4 ? BfdNative.IpRecvTtl : BfdNative.IpV6RecvHopLimit, 1, subject);
        Set(fd, level, v4 ? BfdNative.IpPktInfo : BfdNative.IpV6RecvPktInfo, 1, subject);
        // Without the right to more than the system's limit, up to the limit.
        var size = ReceiveBuffer;
        if (BfdNative.SetSockOpt(fd.Fd, Libc.SolSocket, Libc.SoRcvBufForce, &size, sizeof(int)) < 0)
            Set(fd, Libc.SolSocket, Libc.SoRcvBuf, ReceiveBuffer, subject);
    }

    /// <summary>Writes a sockaddr_in or sockaddr_in6 and returns its length.</summary>
    public static uint WriteAddress(byte* destination, IpAddr address, ushort port, uint scope)
    {
        var bytes = new Span<byte>(destination, BfdNative.SockAddrSize);
        bytes.Clear();
        MemoryMarshal.Write(bytes, (ushort)(address.IsV4 ? BfdNative.AfInet : BfdNative.AfInet6));
        BinaryPrimitives.WriteUInt16BigEndian(bytes[2..], port);
        if (address.IsV4)
        {
            address.WriteTo(bytes[4..]);
            return 16;
        }
        address.WriteTo(bytes[8..]);
        MemoryMarshal.Write(bytes[24..], address.IsLinkLocal ? scope : 0);
        return BfdNative.SockAddrSize;
    }

    private static void BindToDevice(FdHandle fd, string device, string subject)
    {
        Span<byte> name = stackalloc byte[Encoding.UTF8.GetMaxByteCount(device.Length) + 1];
        var length = Encoding.UTF8.GetBytes(device, name);
        name[length] = 0;
        fixed (byte* p = name)
        {
            if (BfdNative.SetSockOpt(fd.Fd, Libc.SolSocket, BfdNative.SoBindToDevice, p, (uint)length + 1) < 0)
                throw new KernelException(Libc.LastErrno, "bind BFD socket to device", subject);
        }
    }

    private static void Set(FdHandle fd, int level, int option, int value, string subject)
    {
        if (BfdNative.SetSockOpt(fd.Fd, level, option, &value, sizeof(int)) < 0)
            throw new KernelException(Libc.LastErrno, $"set BFD socket option {level}/{option}", subject);
    }
}

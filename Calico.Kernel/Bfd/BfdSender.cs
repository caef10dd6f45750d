using System.Runtime.InteropServices;
using Calico.Core.Bfd;
using Calico.Kernel.Netlink;

namespace Calico.Kernel.Bfd;

/// <summary>The socket that one session speaks by: a source port of its own (RFC 5881 section 4), hop limit 255.</summary>
internal sealed unsafe class BfdSender : IDisposable
{
    private const ushort FirstPort = 49152;
    private const int Ports = 65536 - FirstPort;
    private const int Attempts = 64;

    private readonly FdHandle _fd;
    private readonly byte* _memory;
    private readonly uint _addressLength;

    private BfdSender(FdHandle fd, BfdEndpoint endpoint, ushort sourcePort, uint deviceIndex)
    {
        _fd = fd;
        Fd = fd.Fd;
        SourcePort = sourcePort;
        DeviceIndex = (int)deviceIndex;
        _memory = (byte*)NativeMemory.AllocZeroed(BfdNative.SockAddrSize + BfdPacket.Length);
        _addressLength = BfdSocketOptions.WriteAddress(_memory, endpoint.Neighbour, endpoint.Port, deviceIndex);
    }

    public int Fd { get; }
    public ushort SourcePort { get; }

    /// <summary>Of the endpoint's device; zero if it has none.</summary>
    public int DeviceIndex { get; }

    /// <summary>The neighbour as a socket address, for as long as this object is open.</summary>
    public byte* Address => _memory;

    public uint AddressLength => _addressLength;

    /// <param name="preferredPort">The source port to have again, if it is free; zero for any.</param>
    /// <exception cref="KernelException">The address is not ours, the device is not there, or no port is free.</exception>
    public static BfdSender Open(BfdEndpoint endpoint, ushort preferredPort, Random random)
    {
        var subject = endpoint.ToString();
        var index = endpoint.Device is { } device ? BfdNative.DeviceIndex(device) : 0;
        if (index == 0 && endpoint.Device is not null)
            throw new KernelException(Errno.ENODEV, "find device of BFD session", subject);
        var port = preferredPort != 0 ? preferredPort : (ushort)(FirstPort + random.Next(Ports));
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return Open(endpoint, port, index, subject);
            }
            catch (KernelException e) when (e.Errno == Errno.EADDRINUSE && attempt < Attempts)
            {
                port = (ushort)(FirstPort + random.Next(Ports));
            }
        }
    }

    /// <summary>Sends one packet to the neighbour; never waits.</summary>
    public Errno Send(in BfdPacket packet)
    {
        var octets = _memory + BfdNative.SockAddrSize;
        packet.Encode(new Span<byte>(octets, BfdPacket.Length));
        var sent = BfdNative.SendTo(Fd, octets, BfdPacket.Length, Libc.MsgDontWait | BfdNative.MsgNoSignal, _memory, _addressLength);
        return sent < 0 ? BfdNative.LastErrno : Errno.None;
    }

    public void Dispose()
    {
        _fd.Dispose();
        NativeMemory.Free(_memory);
    }

    private static BfdSender Open(BfdEndpoint endpoint, ushort port, uint index, string subject)
    {
        var fd = BfdSocketOptions.Open(endpoint.Local, port, endpoint.Device, index, subject);
        try
        {
            BfdSocketOptions.PrepareToSend(fd, endpoint.Local.IsV4, subject);
            return new BfdSender(fd, endpoint, port, index);
        }
        catch
        {
            fd.Dispose();
            throw;
        }
    }
}

using System.Runtime.InteropServices;
using Calico.Core.Bfd;
using Calico.Core.Net;
using Calico.Kernel.Netlink;

namespace Calico.Kernel.Bfd;

/// <summary>Where a datagram came from and how far it had gone.</summary>
internal readonly record struct BfdArrival(IpAddr Source, int DeviceIndex, int HopLimit);

/// <summary>
/// The socket that all sessions of one local address and port hear by. Reading makes no object: its buffers are made once.
/// </summary>
internal sealed unsafe class BfdReceiver : IDisposable
{
    private const int PayloadSize = 256;
    private const int ControlSize = 128;
    private const int ControlHeader = 16;

    private readonly FdHandle _fd;
    private readonly bool _v4;
    private readonly byte* _memory;
    private readonly BfdNative.MsgHdr* _message;

    private BfdReceiver(FdHandle fd, BfdReceiverKey key)
    {
        _fd = fd;
        _v4 = key.Local.IsV4;
        Key = key;
        Fd = fd.Fd;
        _memory = (byte*)NativeMemory.AllocZeroed(PayloadSize + ControlSize + 64 + (nuint)sizeof(BfdNative.IoVec) + (nuint)sizeof(BfdNative.MsgHdr));
        _message = (BfdNative.MsgHdr*)(_memory + PayloadSize + ControlSize + 32);
        var vector = (BfdNative.IoVec*)(_message + 1);
        *vector = new BfdNative.IoVec { Base = _memory, Length = PayloadSize };
        *_message = new BfdNative.MsgHdr
        {
            Control = _memory + PayloadSize,
            Name = _memory + PayloadSize + ControlSize,
            Vectors = vector,
            VectorCount = 1,
        };
    }

    public BfdReceiverKey Key { get; }
    public int Fd { get; }

    /// <summary>How many sessions hear by it.</summary>
    public int Users { get; set; }

    /// <exception cref="KernelException">The address is not ours, or the port is taken.</exception>
    public static BfdReceiver Open(BfdReceiverKey key)
    {
        var subject = $"{key.Local} port {key.Port}";
        var scope = key.Device is { } device ? BfdNative.DeviceIndex(device) : 0;
        var fd = BfdSocketOptions.Open(key.Local, key.Port, key.Device, scope, subject);
        try
        {
            BfdSocketOptions.PrepareToReceive(fd, key.Local.IsV4, subject);
            return new BfdReceiver(fd, key);
        }
        catch
        {
            fd.Dispose();
            throw;
        }
    }

    /// <summary>Takes the next datagram out of the socket; false when there is none. The payload is good until the next call.</summary>
    public bool TryReceive(out ReadOnlySpan<byte> payload, out BfdArrival arrival)
    {
        _message->NameLength = BfdNative.SockAddrSize;
        _message->ControlLength = ControlSize;
        var length = BfdNative.ReceiveMessage(Fd, _message, Libc.MsgDontWait);
        if (length < 0)
        {
            payload = default;
            arrival = default;
            return false;
        }
        payload = new ReadOnlySpan<byte>(_memory, (int)length);
        var name = new ReadOnlySpan<byte>(_message->Name, BfdNative.SockAddrSize);
        ReadControl(out var hops, out var device);
        arrival = new BfdArrival(IpAddr.FromBytes(_v4 ? name.Slice(4, 4) : name.Slice(8, 16)), device, hops);
        return true;
    }

    public void Dispose()
    {
        _fd.Dispose();
        NativeMemory.Free(_memory);
    }

    // struct cmsghdr { size_t len; int level; int type; }, data, padding to eight octets.
    private void ReadControl(out int hops, out int device)
    {
        (hops, device) = (0, 0);
        var rest = new ReadOnlySpan<byte>(_message->Control, (int)Math.Min(_message->ControlLength, ControlSize));
        while (rest.Length >= ControlHeader)
        {
            var length = (int)Math.Min(MemoryMarshal.Read<ulong>(rest), (ulong)rest.Length);
            if (length < ControlHeader)
                return;
            var data = rest[ControlHeader..length];
            switch (MemoryMarshal.Read<int>(rest[8..]), MemoryMarshal.Read<int>(rest[12..]), data.Length)
            {
                case (BfdNative.IpProtoIp, BfdNative.IpTtl, >= 4) or (BfdNative.IpProtoIpV6, BfdNative.IpV6HopLimit, >= 4):
                    hops = MemoryMarshal.Read<int>(data);
                    break;
                case (BfdNative.IpProtoIp, BfdNative.IpPktInfo, >= 4):
                    device = MemoryMarshal.Read<int>(data);
                    break;
                case (BfdNative.IpProtoIpV6, BfdNative.IpV6PktInfo, >= 20):
                    device = MemoryMarshal.Read<int>(data[16..]);
                    break;
                default:
                    break;
            }
            rest = rest[Math.Min((length + 7) & ~7, rest.Length)..];
        }
    }
}

/// <summary>What a receiving socket is bound to; a device only where the address means nothing without.</summary>
internal readonly record struct BfdReceiverKey(IpAddr Local, ushort Port, string? Device)
{
    public static BfdReceiverKey Of(BfdEndpoint endpoint) =>
        new(endpoint.Local, endpoint.Port, endpoint.IsLinkLocal ? endpoint.Device : null);
}

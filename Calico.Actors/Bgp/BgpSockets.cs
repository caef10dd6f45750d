using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Calico.Core.Bgp.Session;
using Calico.Core.Net;

namespace Calico.Actors.Bgp;

/// <summary>
/// The socket options that BGP wants and the library has no names for, and what socket errors mean to an operator.
/// </summary>
internal static class BgpSockets
{
    // Linux: asm-generic/socket.h, linux/in.h, linux/in6.h, linux/tcp.h.
    private const int SolSocket = 1;
    private const int SoReuseAddr = 2;
    private const int SoBindToDevice = 25;
    private const int IpProtoIp = 0;
    private const int IpMinTtl = 21;
    private const int IpProtoIpV6 = 41;
    private const int IpV6MinHopCount = 73;
    private const int IpProtoTcp = 6;
    private const int TcpMd5Sig = 14;
    private const int Md5MaxKey = 80;

    /// <summary>A socket to dial the peer with, bound and with all options set.</summary>
    /// <exception cref="SocketException">An option or the source address was refused.</exception>
    public static Socket CreateForDial(PeerConfig peer)
    {
        var socket = new Socket(FamilyOf(peer.Address), SocketType.Stream, ProtocolType.Tcp);
        try
        {
            Prepare(socket, peer);
            if (peer.Password is { Length: > 0 } password)
                SetMd5(socket, peer.Address, password);
            if (peer.SourceAddress is { } source)
                socket.Bind(new IPEndPoint(source.ToIPAddress(), 0));
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>A listening socket.</summary>
    /// <exception cref="SocketException">The address is not ours or the port is taken.</exception>
    public static Socket CreateListener(IpAddr address, ushort port)
    {
        var socket = CreateBound(address, port);
        try
        {
            socket.Listen(128);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Whether somebody listens there already; nobody else notices that we asked.</summary>
    public static bool IsTaken(IpAddr address, ushort port)
    {
        try
        {
            CreateBound(address, port).Dispose();
            return false;
        }
        catch (SocketException e)
        {
            return e.SocketErrorCode == SocketError.AddressAlreadyInUse;
        }
    }

    private static Socket CreateBound(IpAddr address, ushort port)
    {
        var socket = new Socket(FamilyOf(address), SocketType.Stream, ProtocolType.Tcp);
        try
        {
            if (address.IsV6)
                socket.DualMode = false;
            // The library's ReuseAddress sets SO_REUSEPORT too, and then a second speaker would share the port in silence.
            socket.SetRawSocketOption(SolSocket, SoReuseAddr, BitConverter.GetBytes(1));
            socket.Bind(new IPEndPoint(address.ToIPAddress(), port));
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Options of a connection, dialled or accepted.</summary>
    public static void Prepare(Socket socket, PeerConfig peer)
    {
        socket.NoDelay = true;
        if (peer.BindDevice is { Length: > 0 } device)
            socket.SetRawSocketOption(SolSocket, SoBindToDevice, Encoding.ASCII.GetBytes(device + '\0'));
        if (peer.TtlSecurityHops is not { } hops)
            return;
        // RFC 5082: both sides send 255 and take only what lost at most the allowed hops.
        socket.Ttl = 255;
        var minimum = 256 - Math.Clamp((int)hops, 1, 255);
        if (peer.Address.IsV4)
            socket.SetRawSocketOption(IpProtoIp, IpMinTtl, BitConverter.GetBytes(minimum));
        else
            socket.SetRawSocketOption(IpProtoIpV6, IpV6MinHopCount, BitConverter.GetBytes(minimum));
    }

    /// <summary>Sets or (with an empty password) clears the MD5 key for segments to and from an address (RFC 2385).</summary>
    public static void SetMd5(Socket socket, IpAddr peer, string password)
    {
        // struct tcp_md5sig: sockaddr_storage (128), flags, prefixlen, keylen (2), ifindex (4), key (80).
        Span<byte> option = stackalloc byte[128 + 8 + Md5MaxKey];
        option.Clear();
        MemoryMarshal.Write(option, (ushort)(peer.IsV4 ? 2 : 10));
        peer.WriteTo(option[(peer.IsV4 ? 4 : 8)..]);
        var key = Encoding.UTF8.GetBytes(password);
        if (key.Length > Md5MaxKey)
            throw new ArgumentException($"a TCP MD5 password has at most {Md5MaxKey} octets", nameof(password));
        MemoryMarshal.Write(option[130..], (ushort)key.Length);
        key.CopyTo(option[136..]);
        socket.SetRawSocketOption(IpProtoTcp, TcpMd5Sig, option);
    }

    public static IpAddr RemoteAddress(Socket socket) => AddressOf(((IPEndPoint)socket.RemoteEndPoint!).Address);

    public static IpAddr LocalAddress(Socket socket) => AddressOf(((IPEndPoint)socket.LocalEndPoint!).Address);

    public static TransportFault FaultOf(SocketError error) => error switch
    {
        SocketError.ConnectionRefused => TransportFault.Refused,
        SocketError.TimedOut => TransportFault.TimedOut,
        SocketError.HostUnreachable or SocketError.NetworkUnreachable or SocketError.HostDown or SocketError.NetworkDown => TransportFault.Unreachable,
        SocketError.ConnectionReset or SocketError.ConnectionAborted => TransportFault.Reset,
        SocketError.AddressNotAvailable => TransportFault.LocalAddressMissing,
        SocketError.AccessDenied => TransportFault.NotPermitted,
        _ => TransportFault.Other,
    };

    private static IpAddr AddressOf(IPAddress address) =>
        IpAddr.From(address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address);

    private static AddressFamily FamilyOf(IpAddr address) =>
        address.IsV4 ? AddressFamily.InterNetwork : AddressFamily.InterNetworkV6;
}

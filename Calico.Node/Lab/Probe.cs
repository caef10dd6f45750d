using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Calico.Core.Net;
using Calico.Kernel.Namespaces;

namespace Calico.Node.Lab;

internal enum ProbeResult
{
    /// <summary>The other end answered, and it was the right one.</summary>
    Reached,

    /// <summary>Nothing came back in time, or the kernel knows no way.</summary>
    Blocked,

    /// <summary>The machine answered that nobody listens: the network let it through.</summary>
    Refused,

    /// <summary>Somebody else answered.</summary>
    Misrouted,
}

/// <summary>
/// One knock from inside a pod. Only the opening of the socket happens inside the namespace, on a thread of its own; a
/// socket stays where it was opened, so the waiting is ordinary asynchronous code.
/// </summary>
internal static class Probe
{
    private const byte EchoRequest = 8;
    private const byte EchoReply = 0;
    private static int _lastEcho;

    public static Task<ProbeResult> RunAsync(NetworkNamespace inside, LabPort port, IpAddr target, string expected, TimeSpan limit) =>
        port.Protocol switch
        {
            LabProtocol.Icmp => IcmpAsync(inside, target, limit),
            LabProtocol.Tcp => TcpAsync(inside, port, target, expected, limit),
            _ => UdpAsync(inside, port, target, expected, limit),
        };

    private static async Task<ProbeResult> TcpAsync(NetworkNamespace inside, LabPort port, IpAddr target, string expected, TimeSpan limit)
    {
        using var socket = inside.Run(() => new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp));
        using var timer = new CancellationTokenSource(limit);
        try
        {
            await socket.ConnectAsync(new IPEndPoint(target.ToIPAddress(), port.Port), timer.Token);
            var answer = new byte[256];
            var n = await socket.ReceiveAsync(answer, SocketFlags.None, timer.Token);
            return Compare(answer.AsSpan(0, n), expected);
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionRefused)
        {
            return ProbeResult.Refused;
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            return ProbeResult.Blocked;
        }
    }

    // Asked twice: a first datagram may be lost to the resolution of a neighbour.
    private static async Task<ProbeResult> UdpAsync(NetworkNamespace inside, LabPort port, IpAddr target, string expected, TimeSpan limit)
    {
        using var socket = inside.Run(() => new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp));
        await socket.ConnectAsync(new IPEndPoint(target.ToIPAddress(), port.Port));
        var answer = new byte[256];
        for (var attempt = 0; attempt < 2; attempt++)
        {
            using var timer = new CancellationTokenSource(limit / 2);
            try
            {
                await socket.SendAsync("?"u8.ToArray(), timer.Token);
                var n = await socket.ReceiveAsync(answer, SocketFlags.None, timer.Token);
                return Compare(answer.AsSpan(0, n), expected);
            }
            catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionRefused)
            {
                return ProbeResult.Refused;
            }
            catch (Exception e) when (e is SocketException or OperationCanceledException)
            {
                // Once more, or blocked.
            }
        }
        return ProbeResult.Blocked;
    }

    private static async Task<ProbeResult> IcmpAsync(NetworkNamespace inside, IpAddr target, TimeSpan limit)
    {
        using var echo = new Echo(inside, target);
        for (var attempt = 0; attempt < 2; attempt++)
        {
            if (!echo.TrySend())
                return ProbeResult.Blocked;
            if (await echo.ReceiveAsync(limit / 2) is not null)
                return ProbeResult.Reached;
        }
        return ProbeResult.Blocked;
    }

    private static ProbeResult Compare(ReadOnlySpan<byte> answer, string expected) =>
        Encoding.UTF8.GetString(answer) == expected ? ProbeResult.Reached : ProbeResult.Misrouted;

    /// <summary>A raw ICMP socket with an identifier of its own (RFC 792).</summary>
    internal sealed class Echo : IDisposable
    {
        private readonly Socket _socket;
        private readonly IPEndPoint _target;
        private readonly ushort _identifier = (ushort)Interlocked.Increment(ref _lastEcho);
        private readonly byte[] _buffer = new byte[512];
        private ushort _sequence;

        public Echo(NetworkNamespace inside, IpAddr target)
        {
            _target = new IPEndPoint(target.ToIPAddress(), 0);
            _socket = inside.Run(() => new Socket(AddressFamily.InterNetwork, SocketType.Raw, ProtocolType.Icmp));
        }

        public ushort Sent => _sequence;

        /// <summary>False: the kernel would not send it.</summary>
        public bool TrySend()
        {
            Span<byte> request = stackalloc byte[16];
            request.Clear();
            request[0] = EchoRequest;
            BinaryPrimitives.WriteUInt16BigEndian(request[4..], _identifier);
            BinaryPrimitives.WriteUInt16BigEndian(request[6..], ++_sequence);
            BinaryPrimitives.WriteUInt16BigEndian(request[2..], Checksum(request));
            try
            {
                return _socket.SendTo(request, _target) == request.Length;
            }
            catch (SocketException)
            {
                return false;
            }
        }

        /// <summary>The number of the next answer of ours, or null when the time is over.</summary>
        public async Task<ushort?> ReceiveAsync(TimeSpan limit)
        {
            var started = Stopwatch.GetTimestamp();
            try
            {
                while (true)
                {
                    var left = limit - Stopwatch.GetElapsedTime(started);
                    // On a busy machine the time may be over before somebody has looked at an answer that is there.
                    if (left <= TimeSpan.Zero && _socket.Available == 0)
                        return null;
                    if (await ReceiveAnyAsync(left) is { } n && Parse(_buffer.AsSpan(0, n)) is { } sequence)
                        return sequence;
                }
            }
            catch (SocketException)
            {
                return null;
            }
        }

        private async Task<int?> ReceiveAnyAsync(TimeSpan left)
        {
            if (left <= TimeSpan.Zero)
                return _socket.Receive(_buffer, SocketFlags.None);
            using var timer = new CancellationTokenSource(left);
            try
            {
                return await _socket.ReceiveAsync(_buffer, SocketFlags.None, timer.Token);
            }
            catch (OperationCanceledException)
            {
                return null;
            }
        }

        public void Dispose() => _socket.Dispose();

        // A raw socket shows the IP header, and every ICMP packet that reaches the pod.
        private ushort? Parse(ReadOnlySpan<byte> packet)
        {
            if (packet.Length < 28)
                return null;
            var icmp = packet[((packet[0] & 0xF) * 4)..];
            return icmp.Length >= 8 && icmp[0] == EchoReply && BinaryPrimitives.ReadUInt16BigEndian(icmp[4..]) == _identifier
                ? BinaryPrimitives.ReadUInt16BigEndian(icmp[6..])
                : null;
        }

        private static ushort Checksum(ReadOnlySpan<byte> bytes)
        {
            uint sum = 0;
            for (var i = 0; i + 1 < bytes.Length; i += 2)
                sum += BinaryPrimitives.ReadUInt16BigEndian(bytes[i..]);
            while (sum >> 16 != 0)
                sum = (sum & 0xFFFF) + (sum >> 16);
            return (ushort)~sum;
        }
    }
}

using System.Net;
using System.Net.Sockets;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Tests.Actors.Bgp;

/// <summary>A peer that says exactly what a test wants, octet by octet, from an address of its own.</summary>
internal sealed class ScriptedPeer : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(15);

    private readonly Socket _socket;
    private readonly List<byte> _received = [];

    private ScriptedPeer(Socket socket) => _socket = socket;

    public static async Task<ScriptedPeer> Connect(IpAddr from, IpAddr to, ushort port)
    {
        using var patience = new CancellationTokenSource(Patience);
        while (true)
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                socket.Bind(new IPEndPoint(from.ToIPAddress(), 0));
                await socket.ConnectAsync(new IPEndPoint(to.ToIPAddress(), port), patience.Token);
                return new ScriptedPeer(socket);
            }
            catch (SocketException) when (!patience.IsCancellationRequested)
            {
                // Not listening yet.
                socket.Dispose();
                await Task.Delay(20, patience.Token);
            }
        }
    }

    /// <summary>Brings the session up from the first octet to Established.</summary>
    public async Task Establish(OpenMessage open)
    {
        Assert.Equal(MessageType.Open, (await Read())!.Value.Type);
        await Send(open.Encode());
        await Send(KeepaliveMessage.Bytes);
        Assert.Equal(MessageType.Keepalive, (await Read())!.Value.Type);
    }

    public async Task Send(ReadOnlyMemory<byte> octets)
    {
        while (!octets.IsEmpty)
            octets = octets[await _socket.SendAsync(octets)..];
    }

    /// <summary>The next message, or null at the end of the stream.</summary>
    public async Task<(MessageType Type, byte[] Body)?> Read()
    {
        using var patience = new CancellationTokenSource(Patience);
        var buffer = new byte[65536];
        while (true)
        {
            var octets = _received.ToArray();
            var status = BgpFraming.Inspect(octets, BgpFraming.ExtendedMaxLength, out var type, out var length,
                out var error);
            Assert.True(status != FrameStatus.Malformed, error?.Reason);
            if (status == FrameStatus.Complete)
            {
                _received.RemoveRange(0, length);
                return (type, octets[19..length]);
            }
            var count = 0;
            try
            {
                count = await _socket.ReceiveAsync(buffer, SocketFlags.None, patience.Token);
            }
            catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionReset)
            {
                // The same as an end for whoever reads messages.
            }
            if (count == 0)
                return null;
            _received.AddRange(buffer.AsSpan(0, count));
        }
    }

    /// <summary>Skips what comes until a NOTIFICATION; null if the stream ends without one.</summary>
    public async Task<NotificationMessage?> ReadNotification()
    {
        while (await Read() is { } message)
        {
            if (message.Type == MessageType.Notification
                && NotificationMessage.TryDecode(message.Body, out var notification))
                return notification;
        }
        return null;
    }

    /// <summary>Sends what the other side takes, ends the stream and waits until the other side has ended its own.</summary>
    public async Task SendAndDrain(ReadOnlyMemory<byte> octets)
    {
        using var patience = new CancellationTokenSource(Patience);
        var buffer = new byte[65536];
        try
        {
            await Send(octets);
            _socket.Shutdown(SocketShutdown.Send);
            while (await _socket.ReceiveAsync(buffer, SocketFlags.None, patience.Token) > 0)
            {
            }
        }
        catch (SocketException)
        {
            // It closed before it had read everything: that is an answer.
        }
    }

    public void Dispose() => _socket.Dispose();
}

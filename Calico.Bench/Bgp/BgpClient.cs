using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;
using Calico.Kernel.Namespaces;

namespace Calico.Bench.Bgp;

/// <summary>One peer of the measured speaker, as little as does: sends what it is given and counts what it is told.</summary>
internal sealed class BgpClient : IDisposable
{
    private static readonly TimeSpan ConnectFor = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan KeepaliveEvery = TimeSpan.FromSeconds(20);

    private readonly Lock _sending = new();
    private readonly Socket _socket;
    private readonly Timer _keepalive;
    private readonly ManualResetEventSlim _established = new();
    private volatile string? _end;
    private long _announced;
    private long _withdrawn;
    private int _marks;

    private BgpClient(Socket socket, uint asn, IpAddr address)
    {
        _socket = socket;
        _keepalive = new Timer(_ => Send(KeepaliveMessage.Bytes.Span), null, KeepaliveEvery, KeepaliveEvery);
        Send(new OpenMessage(new Asn(asn), TimeSpan.FromSeconds(240), RouterId.From(address), new Capabilities
        {
            Multiprotocol = [AfiSafi.Of(Families.Ipv4Unicast)],
            FourOctetAs = new Asn(asn),
        }).Encode());
        new Thread(Read) { IsBackground = true }.Start();
    }

    public long Announced => Interlocked.Read(ref _announced);

    /// <summary>How many of the <see cref="BgpTable.Mark"/>s it was told.</summary>
    public int Marks => Volatile.Read(ref _marks);

    public long Withdrawn => Interlocked.Read(ref _withdrawn);

    /// <summary>Returns with an established session.</summary>
    public static async Task<BgpClient> ConnectAsync(NetworkNamespace space, IpAddr own, uint asn, IpAddr speaker)
    {
        var begun = Stopwatch.GetTimestamp();
        while (true)
        {
            try
            {
                var client = new BgpClient(space.Run(() => Dial(own, speaker)), asn, own);
                if (client._established.Wait(ConnectFor))
                    return client;
                throw new IOException($"{speaker}: no session of {own} in {ConnectFor.TotalSeconds:0} s: {client._end ?? "no answer"}");
            }
            catch (SocketException) when (Stopwatch.GetElapsedTime(begun) < ConnectFor)
            {
                await Task.Delay(50);
            }
        }
    }

    public void Reset()
    {
        Interlocked.Exchange(ref _announced, 0);
        Interlocked.Exchange(ref _withdrawn, 0);
    }

    public void Send(ReadOnlySpan<byte> octets)
    {
        lock (_sending)
        {
            while (!octets.IsEmpty)
                octets = octets[_socket.Send(octets)..];
        }
    }

    /// <summary>Throws if the session is over.</summary>
    public void Check()
    {
        if (_end is { } end)
            throw new IOException($"the session ended: {end}");
    }

    public void Dispose()
    {
        _keepalive.Dispose();
        _socket.Dispose();
    }

    private static Socket Dial(IpAddr own, IpAddr speaker)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            socket.Bind(new IPEndPoint(own.ToIPAddress(), 0));
            socket.Connect(new IPEndPoint(speaker.ToIPAddress(), 179));
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private void Read()
    {
        var buffer = new byte[1 << 17];
        var have = 0;
        try
        {
            while (_end is null && _socket.Receive(buffer.AsSpan(have)) is var count and > 0)
            {
                have += count;
                var at = 0;
                for (int length; have - at >= BgpFraming.HeaderLength && have - at >= (length = BinaryPrimitives.ReadUInt16BigEndian(buffer.AsSpan(at + 16))); at += length)
                    Take((MessageType)buffer[at + 18], buffer.AsSpan(at + BgpFraming.HeaderLength, length - BgpFraming.HeaderLength));
                buffer.AsSpan(at, have - at).CopyTo(buffer);
                have -= at;
            }
            _end ??= "closed by the speaker";
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            _end = e.Message;
        }
    }

    private void Take(MessageType type, ReadOnlySpan<byte> body)
    {
        switch (type)
        {
            case MessageType.Open:
                Send(KeepaliveMessage.Bytes.Span);
                break;
            case MessageType.Keepalive:
                _established.Set();
                break;
            case MessageType.Notification:
                _end = $"NOTIFICATION {body[0]}/{body[1]}";
                break;
            case MessageType.Update:
                var withdrawn = BinaryPrimitives.ReadUInt16BigEndian(body);
                var attributes = BinaryPrimitives.ReadUInt16BigEndian(body[(2 + withdrawn)..]);
                Interlocked.Add(ref _withdrawn, Count(body.Slice(2, withdrawn)));
                var announced = body[(4 + withdrawn + attributes)..];
                if (announced.Length >= 5 && announced[0] == 32 && announced[1] == 223)
                    Interlocked.Add(ref _marks, Count(announced));
                else
                    Interlocked.Add(ref _announced, Count(announced));
                break;
        }
    }

    private static int Count(ReadOnlySpan<byte> prefixes)
    {
        var count = 0;
        for (; !prefixes.IsEmpty; count++)
            prefixes = prefixes[(1 + ((prefixes[0] + 7) >> 3))..];
        return count;
    }
}

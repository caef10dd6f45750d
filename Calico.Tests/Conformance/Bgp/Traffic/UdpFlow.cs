using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Calico.Core.Net;
using Calico.Kernel.Namespaces;

namespace Calico.Tests.Conformance.Bgp.Traffic;

/// <summary>Numbered datagrams from one namespace to another, every few milliseconds, and which of them arrived.</summary>
internal sealed class UdpFlow : IAsyncDisposable
{
    private const int SolSocket = 1, SoRcvbufForce = 33, Buffer = 4 << 20;
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(4);
    private static readonly TimeSpan Straggler = TimeSpan.FromSeconds(2);

    private readonly Socket _sender;
    private readonly Socket _receiver;
    private readonly CancellationTokenSource _stop = new(), _closed = new();
    private readonly HashSet<int> _arrived = [];
    private readonly List<string> _refused = [];
    private readonly Task _sending;
    private readonly Task _receiving;
    private int _sent;
    private volatile int _arrivals;

    private UdpFlow(string name, Socket sender, Socket receiver)
    {
        (Name, _sender, _receiver) = (name, sender, receiver);
        _receiving = Task.Run(ReceiveAsync);
        _sending = Task.Run(SendAsync);
    }

    public string Name { get; }

    /// <summary>Something arrived already.</summary>
    public bool Flows => _arrivals > 0;

    public static UdpFlow Start(NetworkNamespace from, IpAddr source, NetworkNamespace to, IpAddr target)
    {
        var receiver = to.Run(() => Open(target));
        // A test process that is held up must not be the one that loses something.
        receiver.SetRawSocketOption(SolSocket, SoRcvbufForce, BitConverter.GetBytes(Buffer));
        receiver.Bind(new IPEndPoint(target.ToIPAddress(), 0));
        var sender = from.Run(() => Open(source));
        sender.Bind(new IPEndPoint(source.ToIPAddress(), 0));
        sender.Connect(receiver.LocalEndPoint!);
        return new UdpFlow($"{source} -> {target}", sender, receiver);
    }

    /// <summary>Stops, waits for stragglers, and tells how many were sent and which never came.</summary>
    public async Task<(int Sent, IReadOnlyList<int> Lost, IReadOnlyList<string> Refused)> StopAsync()
    {
        await _stop.CancelAsync();
        await _sending;
        for (var i = 0; i < 20 && _arrivals < _sent; i++)
            await Task.Delay(Straggler / 20);
        await _closed.CancelAsync();
        await _receiving;
        return (_sent, [.. Enumerable.Range(0, _sent).Where(n => !_arrived.Contains(n))], _refused);
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _closed.CancelAsync();
        await Task.WhenAll(_sending, _receiving);
        _sender.Dispose();
        _receiver.Dispose();
        _stop.Dispose();
        _closed.Dispose();
    }

    private static Socket Open(IpAddr address) => new(address.IsV4 ? AddressFamily.InterNetwork : AddressFamily.InterNetworkV6, SocketType.Dgram, ProtocolType.Udp);

    private async Task SendAsync()
    {
        using var timer = new PeriodicTimer(Interval);
        var datagram = new byte[64];
        try
        {
            while (await timer.WaitForNextTickAsync(_stop.Token))
            {
                BinaryPrimitives.WriteInt32BigEndian(datagram, _sent++);
                try
                {
                    _sender.Send(datagram);
                }
                catch (SocketException e)
                {
                    // What the kernel refuses to send is lost, too: no way, or one that a router on the way has not.
                    _refused.Add($"{_sent - 1}: {e.SocketErrorCode}");
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Stopped.
        }
    }

    private async Task ReceiveAsync()
    {
        var datagram = new byte[64];
        try
        {
            while (await _receiver.ReceiveAsync(datagram, SocketFlags.None, _closed.Token) == datagram.Length)
            {
                _arrived.Add(BinaryPrimitives.ReadInt32BigEndian(datagram));
                _arrivals = _arrived.Count;
            }
        }
        catch (OperationCanceledException)
        {
            // Stopped.
        }
    }
}

using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Calico.Node.Lab;

internal enum LabProtocol
{
    Icmp,
    Tcp,
    Udp,
}

/// <summary>What a pod listens on, or a probe knocks at: <c>80/tcp</c>, <c>53/udp</c>, <c>icmp</c>.</summary>
internal readonly record struct LabPort(LabProtocol Protocol, ushort Port)
{
    public static LabPort Parse(string text)
    {
        if (text == "icmp")
            return new LabPort(LabProtocol.Icmp, 0);
        var parts = text.Split('/');
        if (parts.Length == 2 && ushort.TryParse(parts[0], out var port) && port > 0)
        {
            switch (parts[1])
            {
                case "tcp": return new LabPort(LabProtocol.Tcp, port);
                case "udp": return new LabPort(LabProtocol.Udp, port);
            }
        }
        throw new LabException($"'{text}' is not a port; write 80/tcp, 53/udp or icmp");
    }

    public override string ToString() => Protocol switch
    {
        LabProtocol.Icmp => "icmp",
        LabProtocol.Tcp => $"{Port}/tcp",
        _ => $"{Port}/udp",
    };
}

/// <summary>The server in a pod: answers every connection and every datagram with the pod's name, nothing else.</summary>
internal static class Responder
{
    public static async Task RunAsync(string name, IEnumerable<LabPort> ports, CancellationToken cancellation)
    {
        var answer = Encoding.UTF8.GetBytes(name);
        // Bound one after the other, served together: a port that is taken is an error before anything is served.
        var servers = ports.Select(p => p.Protocol == LabProtocol.Udp ? BindUdp(p) : BindTcp(p)).ToList();
        try
        {
            await Task.WhenAll(servers.Select(s => s.ProtocolType == ProtocolType.Udp
                ? ServeUdpAsync(s, answer, cancellation)
                : ServeTcpAsync(s, answer, cancellation)));
        }
        catch (OperationCanceledException)
        {
            // Asked to stop.
        }
        finally
        {
            servers.ForEach(s => s.Dispose());
        }
    }

    private static Socket BindTcp(LabPort port)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Any, port.Port));
        socket.Listen(128);
        return socket;
    }

    private static Socket BindUdp(LabPort port)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        socket.Bind(new IPEndPoint(IPAddress.Any, port.Port));
        return socket;
    }

    private static async Task ServeTcpAsync(Socket server, byte[] answer, CancellationToken cancellation)
    {
        while (true)
        {
            var peer = await server.AcceptAsync(cancellation);
            _ = AnswerAsync(peer, answer, cancellation);
        }
    }

    private static async Task AnswerAsync(Socket peer, byte[] answer, CancellationToken cancellation)
    {
        using (peer)
        {
            try
            {
                await peer.SendAsync(answer, cancellation);
                peer.Shutdown(SocketShutdown.Send);
                // Until the other side closes, so that the answer is never cut off by a reset.
                await peer.ReceiveAsync(new byte[64], cancellation);
            }
            catch (SocketException)
            {
                // It did not want the answer.
            }
        }
    }

    private static async Task ServeUdpAsync(Socket server, byte[] answer, CancellationToken cancellation)
    {
        var buffer = new byte[1500];
        while (true)
        {
            try
            {
                var datagram = await server.ReceiveFromAsync(buffer, SocketFlags.None, new IPEndPoint(IPAddress.Any, 0), cancellation);
                await server.SendToAsync(answer, SocketFlags.None, datagram.RemoteEndPoint, cancellation);
            }
            catch (SocketException)
            {
                // A refusal of an earlier answer; the next datagram is another matter.
            }
        }
    }
}

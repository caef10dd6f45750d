using System.Net;
using System.Net.Sockets;
using Akka.Actor;
using Akka.TestKit.Xunit2;
using Calico.Actors.Bgp;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;

namespace Calico.Tests.Actors.Bgp;

[Layer("actor")]
public sealed class BgpConnectionTests : TestKit
{
    [Fact]
    public async Task A_transport_that_breaks_while_its_news_wait_is_told_even_if_sending_notices_first()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        using var peer = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await peer.ConnectAsync(listener.LocalEndPoint!);
        using var connection = new BgpConnection(new ConnectionId(1), Direction.Incoming, await listener.AcceptAsync(), TestActor, new SessionCounters(), TimeProvider.System);
        connection.Start();
        // Nobody says that these were heard, so the parser waits.
        var keepalive = KeepaliveMessage.Bytes;
        for (var i = 0; i < 40; i++)
            await peer.SendAsync(keepalive);
        for (var i = 0; i < 16; i++)
            Assert.IsType<SessionEvent.KeepaliveReceived>((await ExpectMsgAsync<MessageRead>()).Event);
        peer.LingerState = new LingerOption(true, 0);
        peer.Close();

        for (var i = 0; i < 20; i++)
        {
            connection.Send(keepalive);
            await Task.Delay(20);
        }

        Assert.IsType<SessionEvent.TransportFailed>((await ExpectMsgAsync<MessageRead>(TimeSpan.FromSeconds(30))).Event);
    }
}

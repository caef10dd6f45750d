using System.Text;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Bgp;

[Layer("actor")]
public class HostileInputTests(ITestOutputHelper output) : SpeakerFixture(output)
{
    [Fact]
    public async Task Another_protocol_gets_the_right_notification_and_disturbs_nobody()
    {
        var one = Start(Config(1, Peer(1, 2), Peer(1, 9) with { Passive = true }));
        var two = Start(Config(2, Peer(2, 1)));
        two.Originate("10.65.2.0/26");
        await HasRoute(one, "10.65.2.0/26", Address(2).ToString());

        using var browser = await ScriptedPeer.Connect(Address(9), Address(1), Port);
        await browser.Send(Encoding.ASCII.GetBytes("GET / HTTP/1.1\r\nHost: node\r\n\r\n"));
        var notification = await browser.ReadNotification();

        Assert.Equal((ErrorCode.MessageHeader, HeaderError.ConnectionNotSynchronized),
            (notification!.Code, notification.Subcode));
        Assert.Null(await browser.Read());
        var status = (await one.Status()).Peers;
        Assert.Equal([(SessionPhase.Established, 1)], status.Where(p => p.Address == Address(2))
            .Select(p => (p.Phase, p.Counters.Established)));
        Assert.Equal(1, await one.Changes("10.65.2.0/26"));
    }

    [Fact]
    public async Task A_stranger_is_closed_without_an_answer()
    {
        Start(Config(1, Peer(1, 2)));

        using var stranger = await ScriptedPeer.Connect(Address(77), Address(1), Port);

        Assert.Null(await stranger.Read());
    }

    [Fact]
    public async Task A_session_comes_up_again_after_an_error()
    {
        var one = Start(Config(1, Peer(1, 2) with { Passive = true }));
        using (var bad = await ScriptedPeer.Connect(Address(2), Address(1), Port))
        {
            await bad.Establish(Open());
            await bad.Send(Convert.FromHexString("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF001306"));
            Assert.Equal((ErrorCode.MessageHeader, HeaderError.BadMessageType), await bad.ReadNotification() is { } n
                ? (n.Code, n.Subcode) : default);
        }
        await Eventually(async () => (await one.PeerStatus()).Phase == SessionPhase.Active, "waiting again");

        using var good = await ScriptedPeer.Connect(Address(2), Address(1), Port);
        await good.Establish(Open());

        await IsEstablished(one);
    }

    [Fact]
    public async Task A_message_in_single_octets_and_many_in_one_segment_are_the_same()
    {
        var one = Start(Config(1, Peer(1, 2) with { Passive = true }));
        using var peer = await ScriptedPeer.Connect(Address(2), Address(1), Port);
        foreach (var octet in Open().Encode())
            await peer.Send(new[] { octet });
        byte[] rest = [.. KeepaliveMessage.Bytes.ToArray(), .. Route("10.65.2.0/26"), .. Route("10.65.3.0/26"),
            .. KeepaliveMessage.Bytes.ToArray()];

        // The peer may send its routes only after our KEEPALIVE, which answers its OPEN.
        Assert.Equal(MessageType.Open, (await peer.Read())!.Value.Type);
        Assert.Equal(MessageType.Keepalive, (await peer.Read())!.Value.Type);
        await peer.Send(rest);

        await HasRoute(one, "10.65.2.0/26", Address(2).ToString());
        await HasRoute(one, "10.65.3.0/26", Address(2).ToString());
    }

    [Fact]
    public async Task A_flood_of_keepalives_between_updates_loses_nothing()
    {
        var one = Start(Config(1, Peer(1, 2) with { Passive = true }));
        using var peer = await ScriptedPeer.Connect(Address(2), Address(1), Port);
        await peer.Establish(Open());
        var flood = new List<byte>();
        for (var i = 0; i < 2000; i++)
        {
            flood.AddRange(Route($"10.{i / 256}.{i % 256}.0/24"));
            flood.AddRange(KeepaliveMessage.Bytes.ToArray());
        }

        await peer.Send(flood.ToArray());

        await Eventually(async () => (await one.Routes()).Count == 2000, "all routes");
    }

    private OpenMessage Open() => new SessionConfig
    {
        LocalAs = Asn.CalicoDefault,
        PeerAs = Asn.CalicoDefault,
        PeerAddress = Address(1),
        RouterId = RouterId.From(Address(2)),
    }.BuildOpen();

    private byte[] Route(string prefix)
    {
        var attributes = new WireWriter(new byte[100]);
        new AttributeEdits { FourOctetAs = true, NextHop = Address(2) }.Write(ref attributes,
            PathAttributes.Local.Encode());
        var w = new UpdateWriter<Prefix4>(new byte[200], 4096);
        w.BeginAnnounce(attributes.Written, default);
        w.TryAdd(Prefix4.From(Cidr.Parse(prefix)));
        w.End();
        return w.Written.ToArray();
    }
}

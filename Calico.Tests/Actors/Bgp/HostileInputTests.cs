using System.Text;
using Calico.Actors.Bgp;
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

    private static readonly string Marker = new('F', 32);

    public static TheoryData<string, string, ErrorCode, byte> Faults => new()
    {
        { "version 3", "OPEN:V", ErrorCode.OpenMessage, OpenError.UnsupportedVersion },
        { "another AS", "OPEN:A", ErrorCode.OpenMessage, OpenError.BadPeerAs },
        { "hold time 1", "OPEN:1", ErrorCode.OpenMessage, OpenError.UnacceptableHoldTime },
        { "hold time 2", "OPEN:2", ErrorCode.OpenMessage, OpenError.UnacceptableHoldTime },
        { "identifier 0", "OPEN:I", ErrorCode.OpenMessage, OpenError.BadBgpIdentifier },
        { "a marker with one wrong bit", "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFE001304", ErrorCode.MessageHeader, HeaderError.ConnectionNotSynchronized },
        { "length 18", Marker + "001204", ErrorCode.MessageHeader, HeaderError.BadMessageLength },
        { "length 0", Marker + "000004", ErrorCode.MessageHeader, HeaderError.BadMessageLength },
        { "an OPEN of 4097 octets", Marker + "100101", ErrorCode.MessageHeader, HeaderError.BadMessageLength },
        { "a KEEPALIVE of 65535 octets", Marker + "FFFF04", ErrorCode.MessageHeader, HeaderError.BadMessageLength },
        { "a KEEPALIVE with something in it", Marker + "00140400", ErrorCode.MessageHeader, HeaderError.BadMessageLength },
        { "an OPEN of 28 octets", Marker + "001C0104FDE8005A0A00000200", ErrorCode.MessageHeader, HeaderError.BadMessageLength },
        { "type 6", Marker + "001306", ErrorCode.MessageHeader, HeaderError.BadMessageType },
        { "type 0", Marker + "001300", ErrorCode.MessageHeader, HeaderError.BadMessageType },
    };

    [Theory]
    [MemberData(nameof(Faults))]
    public async Task What_is_wrong_from_the_start_gets_its_notification_is_counted_and_touches_no_other_session(string what, string octets, ErrorCode code, byte subcode)
    {
        var one = Start(Config(1, Peer(1, 2), Peer(1, 9) with { Passive = true }));
        var two = Start(Config(2, Peer(2, 1)));
        two.Originate("10.65.2.0/26");
        await HasRoute(one, "10.65.2.0/26", Address(2).ToString());

        using var bad = await ScriptedPeer.Connect(Address(9), Address(1), Port);
        await bad.Send(octets.StartsWith("OPEN:", StringComparison.Ordinal) ? BadOpen(octets[5]) : Convert.FromHexString(octets));
        var said = await bad.ReadNotification();

        Assert.True(said is not null && (said.Code, said.Subcode) == (code, subcode), $"{what}: {said}");
        await Eventually(async () => (await one.Status()).Peers.Single(p => p.Address == Address(9)).Counters.Notifications.Contains(new NotificationCount(true, code, subcode, 1)), "it is counted");
        Assert.Equal((SessionPhase.Established, 1), (await one.Status()).Peers.Where(p => p.Address == Address(2)).Select(p => (p.Phase, p.Counters.Established)).Single());
        Assert.Equal(1, await one.Changes("10.65.2.0/26"));
    }

    private byte[] BadOpen(char which)
    {
        var open = Open();
        var octets = (which switch
        {
            'A' => open with { MyAs = new Asn(65099), Capabilities = open.Capabilities with { FourOctetAs = new Asn(65099) } },
            '1' or '2' => open with { HoldTime = TimeSpan.FromSeconds(which - '0') },
            'I' => open with { RouterId = new RouterId(0) },
            _ => open,
        }).Encode();
        if (which == 'V')
            octets[BgpFraming.HeaderLength] = 3;
        return octets;
    }

    [Fact]
    public async Task Faulty_attributes_cost_their_routes_and_are_counted_and_nothing_else_happens()
    {
        var one = Start(Config(1, Peer(1, 2) with { Passive = true }));
        using var peer = await ScriptedPeer.Connect(Address(2), Address(1), Port);
        await peer.Establish(Open());
        await peer.Send(Route("10.65.2.0/26"));
        await HasRoute(one, "10.65.2.0/26", Address(2).ToString());

        // An undefined origin; a path with our own AS; a group of machines as destination; five thousand attributes.
        await peer.Send(Route("10.65.2.0/26", set => set with { Origin = (Origin)9 }));
        await LacksRoute(one, "10.65.2.0/26");
        await peer.Send(Route("10.65.3.0/26", set => set with { AsPath = AsPath.Sequence(65001, Asn.CalicoDefault.Value) }));
        await peer.Send(Route("224.1.0.0/16"));
        await peer.Send(WithManyAttributes(5_000));
        await peer.Send(Route("10.65.5.0/26"));

        await HasRoute(one, "10.65.5.0/26", Address(2).ToString());
        await HasRoute(one, "10.65.4.0/26", Address(2).ToString());
        Assert.Equal(2, (await one.Routes()).Count(r => !r.Value.NextHops.IsEmpty));
        var counters = (await one.PeerStatus()).Counters;
        Assert.Equal((1, 1, 1), (counters.Established, (int)counters.TreatedAsWithdrawn, (int)counters.AttributesDiscarded));
        Assert.Empty(counters.Notifications);
    }

    // An attribute stands once; each further one of its type is passed over (RFC 7606 section 3 (g)).
    private byte[] WithManyAttributes(int count)
    {
        var route = Route("10.65.4.0/26");
        var attributes = (route[BgpFraming.HeaderLength + 2] << 8) | route[BgpFraming.HeaderLength + 3];
        byte[] more = [.. Enumerable.Repeat((byte[])[0xC0, 0x99, 0], count).SelectMany(a => a)];
        var (end, all) = (BgpFraming.HeaderLength + 4 + attributes, attributes + more.Length);
        byte[] message = [.. route[..end], .. more, .. route[end..]];
        (message[BgpFraming.HeaderLength + 2], message[BgpFraming.HeaderLength + 3]) = ((byte)(all >> 8), (byte)all);
        (message[16], message[17]) = ((byte)(message.Length >> 8), (byte)message.Length);
        return message;
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

    private byte[] Route(string prefix, Func<PathAttributes, PathAttributes>? edit = null)
    {
        var attributes = new WireWriter(new byte[100]);
        new AttributeEdits { FourOctetAs = true, NextHop = Address(2) }.Write(ref attributes,
            (edit?.Invoke(PathAttributes.Local) ?? PathAttributes.Local).Encode());
        var w = new UpdateWriter<Prefix4>(new byte[200], 4096);
        w.BeginAnnounce(attributes.Written, default);
        w.TryAdd(Prefix4.From(Cidr.Parse(prefix)));
        w.End();
        return w.Written.ToArray();
    }
}

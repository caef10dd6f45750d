using System.Buffers;
using Calico.Core.Bgp.Wire;
using CsCheck;

namespace Calico.Tests.Core.Bgp;

[Layer("unit")]
public class FramingTests
{
    private static readonly byte[] Stream =
    [
        .. KeepaliveMessage.Bytes.Span,
        .. new RouteRefreshMessage(AfiSafi.Of(Families.Ipv6Unicast), RefreshSubtype.Request).Encode(),
        .. NotificationMessage.Shutdown(CeaseError.AdministrativeShutdown, "maintenance until noon").Encode(),
        .. KeepaliveMessage.Bytes.Span,
    ];

    [Fact]
    public void A_stream_split_at_any_two_places_yields_the_same_messages()
    {
        var whole = Read(new ReadOnlySequence<byte>(Stream));
        Assert.Equal(["Keepalive 0", "RouteRefresh 4", "Notification 25", "Keepalive 0"], whole);

        for (var first = 0; first <= Stream.Length; first++)
        {
            for (var second = first; second <= Stream.Length; second++)
                Assert.Equal(whole, Read(Chain(Stream[..first], Stream[first..second], Stream[second..])));
        }
    }

    [Fact]
    public void Every_proper_front_of_a_message_is_incomplete()
    {
        for (var length = 0; length < 19; length++)
        {
            var status = BgpFraming.Inspect(KeepaliveMessage.Bytes.Span[..length], 4096, out _, out _, out var error);

            Assert.Equal(FrameStatus.Incomplete, status);
            Assert.Null(error);
        }
    }

    [Fact]
    public void Another_protocol_is_noticed_at_its_first_octet()
    {
        var status = BgpFraming.Inspect("G"u8, 4096, out _, out _, out var error);

        Assert.Equal(FrameStatus.Malformed, status);
        Assert.Equal((ErrorCode.MessageHeader, HeaderError.ConnectionNotSynchronized), (error!.Code, error.Subcode));
    }

    [Theory]
    [InlineData(1, 28)]
    [InlineData(2, 22)]
    [InlineData(3, 20)]
    [InlineData(4, 18)]
    [InlineData(4, 20)]
    [InlineData(2, 4097)]
    [InlineData(4, 0)]
    public void A_length_that_does_not_fit_the_type_is_named_in_the_notification(byte type, ushort length)
    {
        var status = BgpFraming.Inspect(Header(type, length), 4096, out _, out _, out var error);

        Assert.Equal(FrameStatus.Malformed, status);
        Assert.Equal((ErrorCode.MessageHeader, HeaderError.BadMessageLength), (error!.Code, error.Subcode));
        Assert.Equal<byte>([(byte)(length >> 8), (byte)length], [.. error.Data]);
    }

    [Fact]
    public void An_unknown_type_is_named_in_the_notification()
    {
        BgpFraming.Inspect(Header(9, 40), 4096, out _, out _, out var error);

        Assert.Equal((ErrorCode.MessageHeader, HeaderError.BadMessageType), (error!.Code, error.Subcode));
        Assert.Equal<byte>([9], [.. error.Data]);
    }

    [Fact]
    public void Long_messages_need_the_capability_and_an_open_never_has_it()
    {
        Assert.Equal(FrameStatus.Incomplete, BgpFraming.Inspect(Header(2, 65535), 65535, out _, out _, out _));
        Assert.Equal(FrameStatus.Malformed, BgpFraming.Inspect(Header(2, 65535), 4096, out _, out _, out _));
        Assert.Equal(FrameStatus.Malformed, BgpFraming.Inspect(Header(1, 5000), 65535, out _, out _, out _));
    }

    [Fact]
    public void Random_octets_never_throw() =>
        Gen.Byte.Array[0, 200].Sample(bytes =>
        {
            var sequence = new ReadOnlySequence<byte>(bytes);
            while (BgpFraming.TryRead(ref sequence, 4096, out _, out _, out _) == FrameStatus.Complete)
            {
            }
        });

    private static byte[] Header(byte type, ushort length)
    {
        var header = Enumerable.Repeat((byte)0xFF, 19).ToArray();
        header[16] = (byte)(length >> 8);
        header[17] = (byte)length;
        header[18] = type;
        return header;
    }

    private static List<string> Read(ReadOnlySequence<byte> sequence)
    {
        var messages = new List<string>();
        while (BgpFraming.TryRead(ref sequence, 4096, out var type, out var body, out _) == FrameStatus.Complete)
            messages.Add($"{type} {body.Length}");
        Assert.Equal(0, sequence.Length);
        return messages;
    }

    private static ReadOnlySequence<byte> Chain(params byte[][] parts)
    {
        var first = new Segment(parts[0], null);
        var last = first;
        foreach (var part in parts.Skip(1))
            last = new Segment(part, last);
        return new ReadOnlySequence<byte>(first, 0, last, last.Memory.Length);
    }

    private sealed class Segment : ReadOnlySequenceSegment<byte>
    {
        public Segment(byte[] bytes, Segment? previous)
        {
            Memory = bytes;
            RunningIndex = previous is null ? 0 : previous.RunningIndex + previous.Memory.Length;
            if (previous is not null)
                previous.Next = this;
        }
    }
}

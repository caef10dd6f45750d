using System.Runtime.InteropServices;
using Calico.Core.Net;
using Calico.Kernel.Netlink;
using CsCheck;

namespace Calico.Tests.Kernel.Netlink;

[Layer("unit")]
public class NetlinkCodecTests
{
    [Fact]
    public void A_message_has_its_length_type_flags_and_sequence_in_front()
    {
        var writer = new NetlinkWriter(new byte[64], firstSequence: 7);

        var message = writer.BeginMessage(24, NetlinkFlags.Ack);
        writer.WriteUInt32(0xAABBCCDD);
        writer.EndMessage(message);

        Assert.Equal("14000000" + "1800" + "0500" + "07000000" + "00000000" + "DDCCBBAA", Convert.ToHexString(writer.Written));
    }

    [Fact]
    public void Attributes_are_padded_to_four_bytes_with_zeros()
    {
        var buffer = new byte[64];
        Array.Fill(buffer, (byte)0xFF);
        var writer = new NetlinkWriter(buffer, 0);

        writer.AttributeString(3, "eth0");
        writer.AttributeUInt8(2, 9);
        writer.AttributeUInt16BigEndian(4, 0x0102);
        writer.AttributeUInt32BigEndian(5, 0x01020304);
        writer.AttributeMac(1, MacAddress.WorkloadHostSide);

        Assert.Equal(
            "0900030065746830" + "00000000" + "0500020009000000" + "0600040001020000" + "0800050001020304" + "0A000100EEEEEEEEEEEE0000",
            Convert.ToHexString(writer.Written));
    }

    [Fact]
    public void Nested_attributes_carry_the_length_of_their_content_and_the_nested_flag()
    {
        var writer = new NetlinkWriter(new byte[64], 0);

        var outer = writer.BeginNested(18);
        writer.AttributeString(1, "veth");
        var inner = writer.BeginNested(2);
        writer.AttributeFlag(1);
        writer.EndNested(inner);
        writer.EndNested(outer);

        Assert.Equal("18001280" + "0900010076657468" + "00000000" + "08000280" + "04000100", Convert.ToHexString(writer.Written));
    }

    [Fact]
    public void A_batch_grows_and_numbers_its_messages()
    {
        var batch = new NetlinkBatch(capacity: 16);
        batch.Clear(firstSequence: 100);

        var writer = batch.Writer();
        for (var i = 0; i < 50; i++)
        {
            var m = writer.BeginMessage(24, NetlinkFlags.None);
            writer.AttributeInt32(1, i);
            writer.EndMessage(m);
        }
        batch.AcknowledgeLast();

        var messages = new NetlinkMessages(batch.Bytes);
        for (var i = 0; i < 50; i++)
        {
            Assert.True(messages.TryNext(out var message));
            Assert.Equal(100u + (uint)i, message.Sequence);
            Assert.Equal(i == 49 ? NetlinkFlags.Request | NetlinkFlags.Ack : NetlinkFlags.Request, message.Flags);
            Assert.True(message.Attributes(0).TryFind(1, out var attribute));
            Assert.Equal(i, attribute.Int32);
        }
        Assert.False(messages.TryNext(out _));
        Assert.Equal(50, batch.Count);
    }

    [Fact]
    public void An_abandoned_message_leaves_no_trace()
    {
        var batch = new NetlinkBatch();
        batch.Clear(1);
        var writer = batch.Writer();

        var dropped = writer.BeginMessage(24, NetlinkFlags.None);
        writer.AttributeInt32(1, 1);
        writer.Abandon(dropped);
        var kept = writer.BeginMessage(25, NetlinkFlags.None);
        writer.EndMessage(kept);

        var messages = new NetlinkMessages(batch.Bytes);
        Assert.True(messages.TryNext(out var message));
        Assert.Equal((25, 1u), ((int)message.Type, message.Sequence));
        Assert.False(messages.TryNext(out _));
    }

    [Fact]
    public void A_batch_has_an_upper_limit()
    {
        var batch = new NetlinkBatch(capacity: 16, limit: 64);
        batch.Clear(1);

        Assert.Throws<InvalidOperationException>(() => batch.Writer().WriteZeros(65));
    }

    [Fact]
    public void Our_own_oversized_attribute_is_a_bug()
    {
        Assert.Throws<InvalidOperationException>(() =>
        {
            var writer = new NetlinkWriter(new byte[100_000], 0);
            var nested = writer.BeginNested(1);
            writer.WriteZeros(70_000);
            writer.EndNested(nested);
        });
    }

    [Fact]
    public void A_refusal_carries_errno_text_and_offset()
    {
        var datagram = new byte[256];
        var writer = new NetlinkWriter(datagram, 5);
        var m = writer.BeginMessage(NetlinkMessageType.Error, NetlinkFlags.Capped | NetlinkFlags.AckAttributes);
        writer.WriteInt32(-17);
        writer.WriteZeros(16);
        writer.AttributeString(1, "File exists");
        writer.AttributeUInt32(2, 44);
        writer.EndMessage(m);

        var messages = new NetlinkMessages(writer.Written);
        Assert.True(messages.TryNext(out var message));

        Assert.Equal(new NetlinkError(Calico.Kernel.Errno.EEXIST, "File exists", 44), NetlinkError.Read(message, withText: true));
    }

    [Fact]
    public void A_refusal_that_repeats_the_request_is_read_behind_it()
    {
        var datagram = new byte[256];
        var writer = new NetlinkWriter(datagram, 5);
        var m = writer.BeginMessage(NetlinkMessageType.Error, NetlinkFlags.AckAttributes);
        writer.WriteInt32(-22);
        writer.WriteUInt32(16 + 10);
        writer.WriteZeros(12);
        writer.WriteZeros(12);
        writer.AttributeString(1, "no");
        writer.EndMessage(m);

        var messages = new NetlinkMessages(writer.Written);
        Assert.True(messages.TryNext(out var message));

        Assert.Equal("no", NetlinkError.Read(message, withText: true).Text);
    }

    [Fact]
    public void Random_bytes_never_throw_and_never_loop() =>
        Gen.Byte.Array[0, 300].Sample(bytes =>
        {
            var steps = 0;
            var messages = new NetlinkMessages(bytes);
            while (messages.TryNext(out var message))
            {
                NetlinkError.Read(message, withText: true);
                Walk(message.Attributes(8), ref steps);
                steps++;
            }
            Walk(new NetlinkReader(bytes), ref steps);
            return steps < 1000;
        });

    [Fact]
    public void Every_truncation_of_a_message_is_no_message()
    {
        var writer = new NetlinkWriter(new byte[64], 0);
        var m = writer.BeginMessage(24, NetlinkFlags.None);
        writer.AttributeUInt64(1, ulong.MaxValue);
        writer.EndMessage(m);

        for (var length = 0; length < writer.Position; length++)
        {
            var messages = new NetlinkMessages(writer.Written[..length]);
            Assert.False(messages.TryNext(out _));
        }
    }

    [Fact]
    public void Attribute_lengths_are_bounded_by_their_container()
    {
        var bytes = new byte[8];
        MemoryMarshal.Write(bytes, (ushort)9);

        Assert.False(new NetlinkReader(bytes).TryNext(out _));
    }

    private static void Walk(NetlinkReader reader, ref int steps)
    {
        while (reader.TryNext(out var attribute))
        {
            steps++;
            _ = (attribute.UInt8, attribute.UInt16, attribute.UInt32, attribute.UInt64, attribute.String, attribute.Address, attribute.Mac);
            var nested = attribute.Nested();
            while (nested.TryNext(out _))
                steps++;
        }
    }
}

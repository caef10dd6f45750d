using System.Buffers.Binary;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Wire;

public static class UpdateRoom
{
    /// <summary>
    /// Whether a message of the given size has room for these attributes and one prefix. A set that has none cannot
    /// be sent to this peer at all.
    /// </summary>
    public static bool Fits(bool multiprotocol, int attributesLength, int maxMessage, bool pathIds = false) =>
        BgpFraming.HeaderLength + 4 + attributesLength + (pathIds ? 4 : 0) + (multiprotocol ? 9 + 32 + 17 : 5) <= maxMessage;
}

/// <summary>
/// Packs routes of one family into UPDATE messages, as many prefixes in each as fit, message after message into one
/// buffer. Begin a group with <see cref="BeginAnnounce"/> or <see cref="BeginWithdraw"/>, add its prefixes, and end
/// with <see cref="End"/>; a group that overflows a message goes on in the next.
/// IPv4 uses the classic fields unless its next hop is IPv6 (RFC 8950), IPv6 the multiprotocol attributes, which stand first
/// (RFC 7606 section 5.1).
/// </summary>
public ref struct UpdateWriter<T>(Span<byte> buffer, int maxMessage, bool pathIds = false)
    where T : unmanaged, IPrefix<T>
{
    private enum Group
    {
        None,
        Announce,
        Withdraw,
    }

    private readonly Span<byte> _buffer = buffer;
    private Group _group;
    private ReadOnlySpan<byte> _attributes;
    private ReadOnlySpan<byte> _nextHop;
    private int _message = -1;
    private int _position;
    private int _limit;

    /// <summary>The finished messages.</summary>
    public readonly Span<byte> Written => _buffer[..(_message < 0 ? _position : _message)];

    /// <summary>How many messages were begun.</summary>
    public int Messages { get; private set; }

    // Whether the prefixes of the group stand in the fields of RFC 4271.
    private readonly bool Classic => T.Family == Families.Ipv4Unicast && _nextHop.Length != 16;

    /// <param name="attributes">
    /// As they go on the wire, for an IPv4 next hop with NEXT_HOP; must stay unchanged until the group ends.
    /// </param>
    /// <param name="nextHop">The octets of the next hop.</param>
    public void BeginAnnounce(ReadOnlySpan<byte> attributes, ReadOnlySpan<byte> nextHop)
    {
        End();
        _group = Group.Announce;
        _attributes = attributes;
        _nextHop = nextHop;
    }

    public void BeginWithdraw()
    {
        End();
        _group = Group.Withdraw;
        _attributes = default;
        _nextHop = default;
    }

    /// <summary>False: the buffer is full, nothing was written for this prefix, and the writer can only end.</summary>
    /// <param name="prefix">The prefix.</param>
    /// <param name="pathId">Goes in front of it if the writer writes identifiers.</param>
    public bool TryAdd(T prefix, uint pathId = 0)
    {
        var length = prefix.WireLength + (pathIds ? 4 : 0);
        if (_message >= 0 && _position + length > _limit)
            Finish();
        if (_message < 0 && !TryBeginMessage(length))
            return false;
        var w = new WireWriter(_buffer[_position..]);
        if (pathIds)
            w.WriteUInt32(pathId);
        prefix.Write(ref w);
        _position += w.Position;
        return true;
    }

    /// <summary>Ends the group and finishes its last message.</summary>
    public void End()
    {
        if (_message >= 0)
            Finish();
        _group = Group.None;
        _nextHop = default;
    }

    /// <summary>The End-of-RIB marker of the family (RFC 4724 section 2); false if there is no room.</summary>
    public bool TryWriteEndOfRib()
    {
        End();
        var length = BgpFraming.HeaderLength + 4 + (Classic ? 0 : 6);
        if (_buffer.Length - _position < length)
            return false;
        var message = _buffer.Slice(_position, length);
        BgpFraming.BeginMessage(message, MessageType.Update);
        var w = new WireWriter(message[BgpFraming.HeaderLength..]);
        w.WriteUInt16(0);
        w.WriteUInt16(Classic ? (ushort)0 : (ushort)6);
        if (!Classic)
        {
            CanonicalAttributes.WriteHead(ref w, AttributeFlags.Optional, AttributeType.MpUnreachNlri, 3);
            WriteFamily(ref w);
        }
        BgpFraming.EndMessage(message, length);
        _position += length;
        Messages++;
        return true;
    }

    // Header, lengths, attributes up to where prefixes start.
    private bool TryBeginMessage(int firstPrefix)
    {
        if (_group == Group.None)
            throw new InvalidOperationException("a prefix without a group");
        var tail = Tail;
        var head = HeadLength;
        var room = Math.Min(_buffer.Length - _position, maxMessage);
        if (head + tail + firstPrefix > room)
            return false;
        var message = _buffer.Slice(_position, room);
        BgpFraming.BeginMessage(message, MessageType.Update);
        var w = new WireWriter(message[BgpFraming.HeaderLength..]);
        w.WriteUInt16(0);
        if (_group == Group.Announce)
        {
            w.WriteUInt16((ushort)_attributes.Length);
            if (Classic)
                w.WriteBytes(_attributes);
            else
                WriteMpHead(ref w, AttributeType.MpReachNlri);
        }
        else if (!Classic)
        {
            w.WriteUInt16(0);
            WriteMpHead(ref w, AttributeType.MpUnreachNlri);
        }
        _message = _position;
        _limit = _position + room - tail;
        _position += BgpFraming.HeaderLength + w.Position;
        Messages++;
        return true;
    }

    private readonly int HeadLength => BgpFraming.HeaderLength + (_group, Classic) switch
    {
        (Group.Announce, true) => 4 + _attributes.Length,
        (Group.Announce, false) => 4 + 4 + 5 + _nextHop.Length,
        (_, true) => 2,
        _ => 4 + 4 + 3,
    };

    // What must still fit behind the prefixes.
    private readonly int Tail => (_group, Classic) switch
    {
        (Group.Announce, false) => _attributes.Length,
        (Group.Withdraw, true) => 2,
        _ => 0,
    };

    private readonly void WriteMpHead(ref WireWriter w, AttributeType type)
    {
        w.WriteByte((byte)(AttributeFlags.Optional | AttributeFlags.ExtendedLength));
        w.WriteByte((byte)type);
        w.WriteUInt16(0);
        WriteFamily(ref w);
        if (type != AttributeType.MpReachNlri)
            return;
        w.WriteByte((byte)_nextHop.Length);
        w.WriteBytes(_nextHop);
        w.WriteByte(0);
    }

    private static void WriteFamily(ref WireWriter w)
    {
        var numbers = AfiSafi.Of(T.Family);
        w.WriteUInt16(numbers.Afi);
        w.WriteByte(numbers.Safi);
    }

    // Patches the lengths that were not known before the last prefix.
    private void Finish()
    {
        var message = _buffer[_message..];
        var body = message[BgpFraming.HeaderLength..];
        var length = _position - _message;
        if (!Classic)
        {
            BinaryPrimitives.WriteUInt16BigEndian(body[6..], (ushort)(length - BgpFraming.HeaderLength - 8));
            _attributes.CopyTo(message[length..]);
            length += _attributes.Length;
            BinaryPrimitives.WriteUInt16BigEndian(body[2..], (ushort)(length - BgpFraming.HeaderLength - 4));
        }
        else if (_group == Group.Withdraw)
        {
            BinaryPrimitives.WriteUInt16BigEndian(body, (ushort)(length - BgpFraming.HeaderLength - 2));
            BinaryPrimitives.WriteUInt16BigEndian(message[length..], 0);
            length += 2;
        }
        BgpFraming.EndMessage(message, length);
        _position = _message + length;
        _message = -1;
    }
}

using System.Buffers;
using System.Buffers.Binary;

namespace Calico.Core.Bgp.Wire;

/// <summary>What the front of a byte stream holds.</summary>
public enum FrameStatus
{
    Incomplete,
    Complete,
    Malformed,
}

/// <summary>
/// Cuts a byte stream into messages and says nothing about their content (RFC 4271 section 4.1 and 6.1).
/// <code>
///  0                   1                   2                   3
///  +---------------------------------------------------------------+
///  |                Marker: sixteen octets of 0xFF                 |
///  +-------------------------------+---------------+---------------+
///  |  Length, header included      |     Type      |  body ...
///  +-------------------------------+---------------+
/// </code>
/// A wrong marker is noticed at its first octet, so that a client of another protocol gets its answer before it
/// happens to have sent nineteen octets.
/// </summary>
public static class BgpFraming
{
    public const int HeaderLength = 19;
    public const int MarkerLength = 16;

    /// <summary>The longest message without RFC 8654.</summary>
    public const int MaxLength = 4096;

    /// <summary>The longest message with RFC 8654, which excepts OPEN and KEEPALIVE.</summary>
    public const int ExtendedMaxLength = 65535;

    /// <summary>Looks at the front of <paramref name="buffer"/>; <paramref name="length"/> includes the header.</summary>
    public static FrameStatus Inspect(ReadOnlySpan<byte> buffer, int maxLength, out MessageType type, out int length,
        out NotificationError? error)
    {
        type = default;
        length = 0;
        error = null;
        var marker = buffer[..Math.Min(buffer.Length, MarkerLength)];
        if (marker.ContainsAnyExcept((byte)0xFF))
        {
            error = NotificationError.Of(ErrorCode.MessageHeader, HeaderError.ConnectionNotSynchronized,
                "the marker is not all ones: the other side does not speak BGP or lost its place");
            return FrameStatus.Malformed;
        }
        if (buffer.Length < HeaderLength)
            return FrameStatus.Incomplete;
        var lengthField = buffer.Slice(MarkerLength, 2);
        length = BinaryPrimitives.ReadUInt16BigEndian(lengthField);
        type = (MessageType)buffer[MarkerLength + 2];
        if (length < HeaderLength || length > maxLength)
            error = BadLength(lengthField, type, length);
        else if (type is < MessageType.Open or > MessageType.RouteRefresh)
            error = NotificationError.Of(ErrorCode.MessageHeader, HeaderError.BadMessageType, [(byte)type],
                $"message type {(byte)type} is unknown");
        else if (!LengthFitsType(type, length))
            error = type == MessageType.RouteRefresh
                ? NotificationError.Of(ErrorCode.RouteRefreshMessage, RouteRefreshError.InvalidMessageLength,
                    buffer[..Math.Min(buffer.Length, length)], $"a ROUTE-REFRESH of {length} octets")
                : BadLength(lengthField, type, length);
        if (error is not null)
            return FrameStatus.Malformed;
        return buffer.Length < length ? FrameStatus.Incomplete : FrameStatus.Complete;
    }

    /// <summary>
    /// Takes one message off the front of <paramref name="buffer"/>. On <see cref="FrameStatus.Complete"/>
    /// <paramref name="body"/> is the message without its header and the buffer starts behind it; otherwise the buffer
    /// is unchanged.
    /// </summary>
    public static FrameStatus TryRead(ref ReadOnlySequence<byte> buffer, int maxLength, out MessageType type,
        out ReadOnlySequence<byte> body, out NotificationError? error)
    {
        body = default;
        Span<byte> header = stackalloc byte[HeaderLength];
        scoped var front = buffer.FirstSpan;
        if (front.Length < HeaderLength)
        {
            var available = (int)Math.Min(buffer.Length, HeaderLength);
            buffer.Slice(0, available).CopyTo(header);
            front = header[..available];
        }
        var status = Inspect(front, maxLength, out type, out var length, out error);
        if (status == FrameStatus.Malformed || length == 0 || buffer.Length < length)
            return status == FrameStatus.Malformed ? status : FrameStatus.Incomplete;
        body = buffer.Slice(HeaderLength, length - HeaderLength);
        buffer = buffer.Slice(length);
        return FrameStatus.Complete;
    }

    /// <summary>Starts a message; <see cref="EndMessage"/> fills in its length.</summary>
    internal static void BeginMessage(Span<byte> buffer, MessageType type)
    {
        buffer[..MarkerLength].Fill(0xFF);
        buffer[MarkerLength + 2] = (byte)type;
    }

    internal static void EndMessage(Span<byte> buffer, int length) =>
        BinaryPrimitives.WriteUInt16BigEndian(buffer[MarkerLength..], checked((ushort)length));

    private static bool LengthFitsType(MessageType type, int length) => type switch
    {
        MessageType.Open => length is >= 29 and <= MaxLength,
        MessageType.Update => length >= 23,
        MessageType.Notification => length >= 21,
        MessageType.Keepalive => length == HeaderLength,
        MessageType.RouteRefresh => length >= 23,
        _ => false,
    };

    private static NotificationError BadLength(ReadOnlySpan<byte> lengthField, MessageType type, int length) =>
        NotificationError.Of(ErrorCode.MessageHeader, HeaderError.BadMessageLength, lengthField,
            $"a message of type {(byte)type} with length {length}");
}

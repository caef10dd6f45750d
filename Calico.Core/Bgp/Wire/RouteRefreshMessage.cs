using Calico.Core.Net;

namespace Calico.Core.Bgp.Wire;

/// <summary>Whether a ROUTE-REFRESH asks for routes or brackets the answer (RFC 7313).</summary>
public enum RefreshSubtype : byte
{
    Request = 0,
    BeginOfRouteRefresh = 1,
    EndOfRouteRefresh = 2,
}

/// <summary>
/// RFC 2918 and RFC 7313.
/// <code>
///  +-------------------------------+---------------+---------------+
///  |              AFI              |    Subtype    |     SAFI      |
///  +-------------------------------+---------------+---------------+
/// </code>
/// What follows (RFC 5291 filters) is not used here. Unknown subtypes decode and are to be ignored.
/// </summary>
public readonly record struct RouteRefreshMessage(AfiSafi Family, RefreshSubtype Subtype)
{
    public static bool TryDecode(ReadOnlySpan<byte> body, out RouteRefreshMessage message, out NotificationError? error)
    {
        message = default;
        error = null;
        var r = new WireReader(body);
        if (!r.TryReadUInt16(out var afi) || !r.TryReadByte(out var subtype) || !r.TryReadByte(out var safi)
            || (subtype is 1 or 2 && !r.AtEnd))
        {
            // RFC 7313 section 5 wants the whole message as data; the header is always the same.
            var whole = new byte[BgpFraming.HeaderLength + body.Length];
            BgpFraming.BeginMessage(whole, MessageType.RouteRefresh);
            BgpFraming.EndMessage(whole, whole.Length);
            body.CopyTo(whole.AsSpan(BgpFraming.HeaderLength));
            error = NotificationError.Of(ErrorCode.RouteRefreshMessage, RouteRefreshError.InvalidMessageLength, whole,
                $"a ROUTE-REFRESH of {whole.Length} octets");
            return false;
        }
        message = new(new AfiSafi(afi, safi), (RefreshSubtype)subtype);
        return true;
    }

    public byte[] Encode()
    {
        var message = new byte[BgpFraming.HeaderLength + 4];
        BgpFraming.BeginMessage(message, MessageType.RouteRefresh);
        var w = new WireWriter(message.AsSpan(BgpFraming.HeaderLength));
        w.WriteUInt16(Family.Afi);
        w.WriteByte((byte)Subtype);
        w.WriteByte(Family.Safi);
        BgpFraming.EndMessage(message, message.Length);
        return message;
    }
}

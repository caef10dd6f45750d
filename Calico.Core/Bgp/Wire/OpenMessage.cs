using Calico.Core.Net;

namespace Calico.Core.Bgp.Wire;

/// <summary>
/// The first message of each side (RFC 4271 section 4.2).
/// <code>
///  +---------------+
///  |  Version = 4  |
///  +---------------+---------------+
///  |     My autonomous system      |   AS_TRANS when the number needs four octets
///  +-------------------------------+
///  |       Hold time, seconds      |   0, or at least 3
///  +-------------------------------+-------------------------------+
///  |                        BGP identifier                         |
///  +---------------+-----------------------------------------------+
///  | Params length |  parameters: type (1), length (1), value; 255,255,length(2) starts the long form of RFC 9072
///  +---------------+
/// </code>
/// <see cref="MyAs"/> is the real number: the one of the four-octet capability where there is one.
/// </summary>
public sealed record OpenMessage(Asn MyAs, TimeSpan HoldTime, RouterId RouterId, Capabilities Capabilities)
{
    public const byte Version = 4;

    private const byte CapabilitiesParameter = 2;
    private const byte ExtendedForm = 255;

    public static bool TryDecode(ReadOnlySpan<byte> body, out OpenMessage? message, out NotificationError? error)
    {
        message = null;
        error = null;
        var r = new WireReader(body);
        if (!r.TryReadByte(out var version) || !r.TryReadUInt16(out var as2) || !r.TryReadUInt16(out var hold)
            || !r.TryReadUInt32(out var id) || !r.TryReadByte(out var parametersLength))
            return Fail(OpenError.Unspecific, "it is shorter than its fixed part", out error);
        if (version != Version)
        {
            // The data is the largest version we speak, RFC 4271 section 6.2.
            error = NotificationError.Of(ErrorCode.OpenMessage, OpenError.UnsupportedVersion, [0, Version],
                $"the peer speaks BGP version {version}");
            return false;
        }
        if (!TryDecodeParameters(ref r, parametersLength, out var capabilities, out error))
            return false;
        var asn = capabilities.FourOctetAs ?? new Asn(as2);
        if (asn.Value == 0 || as2 == 0)
            return Fail(OpenError.BadPeerAs, "AS 0 is not an AS (RFC 7607)", out error);
        if (id == 0)
            return Fail(OpenError.BadBgpIdentifier, "the BGP identifier is 0.0.0.0", out error);
        if (hold is 1 or 2)
            return Fail(OpenError.UnacceptableHoldTime, $"a hold time of {hold} s is below the RFC's minimum of 3 s",
                out error);
        message = new(asn, TimeSpan.FromSeconds(hold), new RouterId(id), capabilities);
        return true;
    }

    /// <summary>The whole message; capabilities that fill more than 255 octets take the long form of RFC 9072.</summary>
    public byte[] Encode()
    {
        Span<byte> values = new byte[BgpFraming.MaxLength];
        var capabilities = new WireWriter(values);
        Capabilities.Encode(ref capabilities);
        var list = capabilities.Written;

        Span<byte> buffer = new byte[BgpFraming.MaxLength];
        BgpFraming.BeginMessage(buffer, MessageType.Open);
        var w = new WireWriter(buffer[BgpFraming.HeaderLength..]);
        w.WriteByte(Version);
        w.WriteUInt16(MyAs.FitsTwoOctets ? (ushort)MyAs.Value : (ushort)Asn.Trans.Value);
        w.WriteUInt16((ushort)Math.Clamp(HoldTime.TotalSeconds, 0, ushort.MaxValue));
        w.WriteUInt32(RouterId.Value);
        if (list.IsEmpty)
        {
            w.WriteByte(0);
        }
        else if (list.Length + 2 < ExtendedForm)
        {
            var parameters = w.BeginLength8();
            w.WriteByte(CapabilitiesParameter);
            w.WriteByte((byte)list.Length);
            w.WriteBytes(list);
            w.EndLength8(parameters);
        }
        else
        {
            w.WriteByte(ExtendedForm);
            w.WriteByte(ExtendedForm);
            var parameters = w.BeginLength16();
            w.WriteByte(CapabilitiesParameter);
            w.WriteUInt16((ushort)list.Length);
            w.WriteBytes(list);
            w.EndLength16(parameters);
        }
        var length = BgpFraming.HeaderLength + w.Position;
        BgpFraming.EndMessage(buffer, length);
        return buffer[..length].ToArray();
    }

    private static bool TryDecodeParameters(ref WireReader r, byte length, out Capabilities capabilities,
        out NotificationError? error)
    {
        capabilities = Capabilities.None;
        error = null;
        var extended = false;
        int total = length;
        if (length != 0 && !r.AtEnd && r.Rest[0] == ExtendedForm)
        {
            // RFC 9072 section 2: the first "parameter type" is 255; its length octet may be anything but 0.
            extended = true;
            if (!r.TryReadByte(out _) || !r.TryReadUInt16(out var longLength))
                return Fail(OpenError.Unspecific, "the extended parameters are cut off", out error);
            total = longLength;
        }
        if (r.Remaining != total || !r.TryReadNested(total, out var parameters))
            return Fail(OpenError.Unspecific, $"the parameters fill {r.Remaining} octets, not {total}", out error);
        while (!parameters.AtEnd)
        {
            ushort size = 0;
            byte shortSize = 0;
            if (!parameters.TryReadByte(out var type)
                || !(extended ? parameters.TryReadUInt16(out size) : parameters.TryReadByte(out shortSize))
                || !parameters.TryReadNested(extended ? size : shortSize, out var value))
                return Fail(OpenError.Unspecific, "an optional parameter is cut off", out error);
            if (type != CapabilitiesParameter)
                return Fail(OpenError.UnsupportedOptionalParameter, $"optional parameter {type} is not supported",
                    out error);
            if (!Capabilities.TryDecode(ref value, capabilities, out capabilities))
                return Fail(OpenError.Unspecific, "a capability is cut off or has an impossible length", out error);
        }
        return true;
    }

    private static bool Fail(byte subcode, string reason, out NotificationError? error)
    {
        error = NotificationError.Of(ErrorCode.OpenMessage, subcode, "bad OPEN: " + reason);
        return false;
    }
}

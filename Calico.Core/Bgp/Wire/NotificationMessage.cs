using System.Collections.Immutable;
using System.Text;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Wire;

/// <summary>
/// The last message of a session (RFC 4271 section 4.5).
/// <code>
///  +---------------+---------------+-------------------------------+
///  |  Error code   | Error subcode |  Data (variable)
///  +---------------+---------------+-------------------------------+
/// </code>
/// For a cease by shutdown or reset the data is a sentence for the other operator (RFC 9003):
/// one octet of length and that many octets of UTF-8. For a hard reset it is the code, subcode and data of what would
/// have been sent otherwise (RFC 8538).
/// </summary>
public sealed record NotificationMessage(ErrorCode Code, byte Subcode, ImmutableArray<byte> Data)
{
    /// <summary>The longest sentence RFC 9003 can carry, in octets.</summary>
    public const int MaxShutdownText = 255;

    public static NotificationMessage Of(ErrorCode code, byte subcode) => new(code, subcode, []);

    /// <summary>A cease that tells the other operator why; a text that is too long is cut between characters.</summary>
    public static NotificationMessage Shutdown(byte subcode, string text)
    {
        Span<byte> data = stackalloc byte[MaxShutdownText + 1];
        Encoder encoder = Encoding.UTF8.GetEncoder();
        encoder.Convert(text, data[1..], true, out _, out var used, out _);
        data[0] = (byte)used;
        return new(ErrorCode.Cease, subcode, [.. data[..(used + 1)]]);
    }

    /// <summary>RFC 4486 section 4: the family and how many of its prefixes are allowed.</summary>
    public static NotificationMessage MaximumPrefixes(Families family, uint limit)
    {
        var w = new WireWriter(new byte[7]);
        var numbers = AfiSafi.Of(family);
        w.WriteUInt16(numbers.Afi);
        w.WriteByte(numbers.Safi);
        w.WriteUInt32(limit);
        return new(ErrorCode.Cease, CeaseError.MaximumPrefixes, [.. w.Written]);
    }

    /// <summary>The same reason for a peer that would otherwise keep our routes (RFC 8538 section 3.1).</summary>
    public static NotificationMessage HardReset(NotificationMessage reason) =>
        new(ErrorCode.Cease, CeaseError.HardReset, [(byte)reason.Code, reason.Subcode, .. reason.Data]);

    public bool IsHardReset => Code == ErrorCode.Cease && Subcode == CeaseError.HardReset;

    /// <summary>What a hard reset carries; null where that is nothing, or another hard reset.</summary>
    public NotificationMessage? HardResetReason => IsHardReset && Data.Length >= 2
        && (ErrorCode.Cease, CeaseError.HardReset) != ((ErrorCode)Data[0], Data[1])
        ? new((ErrorCode)Data[0], Data[1], Data[2..])
        : null;

    /// <summary>The sentence of RFC 9003, or null where there is none or it is not well formed.</summary>
    public string? ShutdownText
    {
        get
        {
            if (Code != ErrorCode.Cease
                || Subcode is not (CeaseError.AdministrativeShutdown or CeaseError.AdministrativeReset)
                || Data.Length < 2 || Data[0] == 0 || Data[0] > Data.Length - 1)
                return null;
            var text = Data.AsSpan(1, Data[0]);
            return System.Text.Unicode.Utf8.IsValid(text) ? Printable(Encoding.UTF8.GetString(text)) : null;
        }
    }

    public static bool TryDecode(ReadOnlySpan<byte> body, out NotificationMessage message)
    {
        if (body.Length < 2)
        {
            message = Of(default, 0);
            return false;
        }
        message = new((ErrorCode)body[0], body[1], [.. body[2..]]);
        return true;
    }

    public byte[] Encode()
    {
        // An error that quotes a long message must still fit in one.
        var data = Data.AsSpan()[..Math.Min(Data.Length, BgpFraming.MaxLength - BgpFraming.HeaderLength - 2)];
        var message = new byte[BgpFraming.HeaderLength + 2 + data.Length];
        BgpFraming.BeginMessage(message, MessageType.Notification);
        message[BgpFraming.HeaderLength] = (byte)Code;
        message[BgpFraming.HeaderLength + 1] = Subcode;
        data.CopyTo(message.AsSpan(BgpFraming.HeaderLength + 2));
        BgpFraming.EndMessage(message, message.Length);
        return message;
    }

    public bool Equals(NotificationMessage? other) =>
        other is not null && Code == other.Code && Subcode == other.Subcode
            && Data.AsSpan().SequenceEqual(other.Data.AsSpan());

    public override int GetHashCode() => HashCode.Combine(Code, Subcode, Data.Length);

    public override string ToString() => HardResetReason is { } reason
        ? $"{NotificationNames.Describe(Code, Subcode)}: {reason}"
        : ShutdownText is { } text
        ? $"{NotificationNames.Describe(Code, Subcode)} \"{text}\""
        : NotificationNames.Describe(Code, Subcode);

    // The text comes from outside and goes to logs and terminals.
    private static string Printable(string text) => string.Create(text.Length, text, static (chars, t) =>
    {
        for (var i = 0; i < t.Length; i++)
            chars[i] = char.IsControl(t[i]) ? '?' : t[i];
    });
}

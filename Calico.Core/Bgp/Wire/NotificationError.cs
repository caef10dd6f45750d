using System.Collections.Immutable;

namespace Calico.Core.Bgp.Wire;

/// <summary>
/// Why a message could not be accepted, ready to be sent as a NOTIFICATION. <paramref name="Reason"/> is for our own log
/// and never goes on the wire.
/// </summary>
public sealed record NotificationError(ErrorCode Code, byte Subcode, ImmutableArray<byte> Data, string Reason)
{
    public static NotificationError Of(ErrorCode code, byte subcode, string reason) => new(code, subcode, [], reason);

    public static NotificationError Of(ErrorCode code, byte subcode, ReadOnlySpan<byte> data, string reason) =>
        new(code, subcode, [.. data], reason);

    /// <summary>An UPDATE that cannot be understood at all (RFC 7606 "session reset").</summary>
    public static NotificationError Update(byte subcode, string reason) =>
        new(ErrorCode.UpdateMessage, subcode, [], reason);

    public NotificationMessage ToMessage() => new(Code, Subcode, Data);

    public bool Equals(NotificationError? other) =>
        other is not null && Code == other.Code && Subcode == other.Subcode
            && Data.AsSpan().SequenceEqual(other.Data.AsSpan());

    public override int GetHashCode() => HashCode.Combine(Code, Subcode, Data.Length);
}

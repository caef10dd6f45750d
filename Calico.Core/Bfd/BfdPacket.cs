using System.Buffers.Binary;

namespace Calico.Core.Bfd;

/// <summary>
/// The BFD control packet (RFC 5880 section 4.1).
/// <code>
///   0                   1                   2                   3
///   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
///  +-----+---------+---+-+-+-+-+-+-+---------------+---------------+
///  |Vers |  Diag   |Sta|P|F|C|A|D|M|  Detect Mult  |    Length     |
///  +-----+---------+---+-+-+-+-+-+-+---------------+---------------+
///  |                       My Discriminator                        |
///  |                      Your Discriminator                       |
///  |                    Desired Min TX Interval                    |
///  |                   Required Min RX Interval                    |
///  |                 Required Min Echo RX Interval                 |
///  +---------------------------------------------------------------+
/// </code>
/// An authentication section may follow; we have no keys, so a packet with one is discarded by the session. Intervals are
/// microseconds on the wire. A value, read from and written to spans: no object is made.
/// </summary>
public readonly record struct BfdPacket
{
    public const int Length = 24;
    public const byte Version = 1;

    // With an authentication section of the least length: type and length.
    private const int AuthenticatedLength = 26;

    public BfdDiagnostic Diagnostic { get; init; }
    public BfdState State { get; init; }
    public bool Poll { get; init; }
    public bool Final { get; init; }
    public bool ControlPlaneIndependent { get; init; }
    public bool HasAuthentication { get; init; }
    public bool Demand { get; init; }
    public byte DetectMult { get; init; }
    public uint MyDiscriminator { get; init; }
    public uint YourDiscriminator { get; init; }
    public TimeSpan DesiredMinTx { get; init; }
    public TimeSpan RequiredMinRx { get; init; }
    public TimeSpan RequiredMinEchoRx { get; init; }

    /// <summary>
    /// Reads the payload of a datagram and checks what can be checked without knowing the session: the first rules of
    /// RFC 5880 section 6.8.6, in their order. Never throws.
    /// </summary>
    public static BfdDiscard TryDecode(ReadOnlySpan<byte> payload, out BfdPacket packet)
    {
        packet = default;
        if (payload.Length < Length)
            return payload.Length > 0 && payload[0] >> 5 != Version ? BfdDiscard.Version : BfdDiscard.TooShort;
        var flags = payload[1];
        if (payload[0] >> 5 != Version)
            return BfdDiscard.Version;
        var authenticated = (flags & 0x04) != 0;
        if (payload[3] < (authenticated ? AuthenticatedLength : Length))
            return BfdDiscard.TooShort;
        if (payload[3] > payload.Length)
            return BfdDiscard.LengthBeyondPayload;
        packet = new BfdPacket
        {
            Diagnostic = (BfdDiagnostic)(payload[0] & 0x1F),
            State = (BfdState)(flags >> 6),
            Poll = (flags & 0x20) != 0,
            Final = (flags & 0x10) != 0,
            ControlPlaneIndependent = (flags & 0x08) != 0,
            HasAuthentication = authenticated,
            Demand = (flags & 0x02) != 0,
            DetectMult = payload[2],
            MyDiscriminator = BinaryPrimitives.ReadUInt32BigEndian(payload[4..]),
            YourDiscriminator = BinaryPrimitives.ReadUInt32BigEndian(payload[8..]),
            DesiredMinTx = Interval(payload[12..]),
            RequiredMinRx = Interval(payload[16..]),
            RequiredMinEchoRx = Interval(payload[20..]),
        };
        if (packet.DetectMult == 0)
            return BfdDiscard.DetectMultZero;
        if ((flags & 0x01) != 0)
            return BfdDiscard.Multipoint;
        if (packet.MyDiscriminator == 0)
            return BfdDiscard.MyDiscriminatorZero;
        return packet.YourDiscriminator == 0 && packet.State is not (BfdState.Down or BfdState.AdminDown)
            ? BfdDiscard.YourDiscriminatorZero : BfdDiscard.None;
    }

    /// <summary>Writes the packet, without an authentication section; the span has at least <see cref="Length"/> octets.</summary>
    public void Encode(Span<byte> destination)
    {
        destination[0] = (byte)((Version << 5) | ((byte)Diagnostic & 0x1F));
        destination[1] = (byte)(((byte)State << 6) | (Poll ? 0x20 : 0) | (Final ? 0x10 : 0) | (ControlPlaneIndependent ? 0x08 : 0)
            | (Demand ? 0x02 : 0));
        destination[2] = DetectMult;
        destination[3] = Length;
        BinaryPrimitives.WriteUInt32BigEndian(destination[4..], MyDiscriminator);
        BinaryPrimitives.WriteUInt32BigEndian(destination[8..], YourDiscriminator);
        BinaryPrimitives.WriteUInt32BigEndian(destination[12..], Microseconds(DesiredMinTx));
        BinaryPrimitives.WriteUInt32BigEndian(destination[16..], Microseconds(RequiredMinRx));
        BinaryPrimitives.WriteUInt32BigEndian(destination[20..], Microseconds(RequiredMinEchoRx));
    }

    private static TimeSpan Interval(ReadOnlySpan<byte> field) =>
        new(BinaryPrimitives.ReadUInt32BigEndian(field) * TimeSpan.TicksPerMicrosecond);

    private static uint Microseconds(TimeSpan interval) => checked((uint)(interval.Ticks / TimeSpan.TicksPerMicrosecond));
}

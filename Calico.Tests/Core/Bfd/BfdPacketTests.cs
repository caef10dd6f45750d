using Calico.Core.Bfd;
using CsCheck;

namespace Calico.Tests.Core.Bfd;

[Layer("unit")]
public class BfdPacketTests
{
    private static readonly BfdPacket Full = new()
    {
        Diagnostic = BfdDiagnostic.NeighborSignaledSessionDown,
        State = BfdState.Init,
        Poll = true,
        ControlPlaneIndependent = true,
        DetectMult = 5,
        MyDiscriminator = 0x01020304,
        YourDiscriminator = 0x0A0B0C0D,
        DesiredMinTx = TimeSpan.FromMilliseconds(300),
        RequiredMinRx = TimeSpan.FromSeconds(1),
    };

    // The same packet, written by hand from the RFC.
    private const string FullHex = "23" + "A8" + "05" + "18" + "01020304" + "0A0B0C0D" + "000493E0" + "000F4240" + "00000000";

    private static readonly Gen<BfdPacket> Packets =
        from diagnostic in Gen.Byte[0, 31]
        from state in Gen.Byte[0, 3]
        from flags in Gen.Byte
        from mult in Gen.Byte[1, 255]
        from mine in Gen.UInt[1, uint.MaxValue]
        from yours in Gen.UInt[1, uint.MaxValue]
        from times in Gen.UInt.Array[3]
        select new BfdPacket
        {
            Diagnostic = (BfdDiagnostic)diagnostic,
            State = (BfdState)state,
            Poll = (flags & 1) != 0,
            Final = (flags & 2) != 0,
            ControlPlaneIndependent = (flags & 4) != 0,
            Demand = (flags & 8) != 0,
            DetectMult = mult,
            MyDiscriminator = mine,
            YourDiscriminator = yours,
            DesiredMinTx = TimeSpan.FromMicroseconds(times[0]),
            RequiredMinRx = TimeSpan.FromMicroseconds(times[1]),
            RequiredMinEchoRx = TimeSpan.FromMicroseconds(times[2]),
        };

    [Fact]
    public void The_octets_and_the_packet_say_the_same()
    {
        Assert.Equal(FullHex, Convert.ToHexString(Encode(Full)));
        Assert.Equal(BfdDiscard.None, BfdPacket.TryDecode(Convert.FromHexString(FullHex), out var packet));
        Assert.Equal(Full, packet);
    }

    [Fact]
    public void What_is_encoded_decodes_to_itself() => Packets.Sample(packet =>
        BfdPacket.TryDecode(Encode(packet), out var back) == BfdDiscard.None && back == packet);

    [Fact]
    public void Random_octets_never_throw() => Gen.Byte.Array[0, 80].Sample(octets => _ = BfdPacket.TryDecode(octets, out _));

    [Fact]
    public void Every_truncation_is_too_short()
    {
        for (var length = 0; length < BfdPacket.Length; length++)
            Assert.Equal(BfdDiscard.TooShort, BfdPacket.TryDecode(Encode(Full).AsSpan(0, length), out _));
    }

    // One octet of the packet above is another: RFC 5880 section 6.8.6, rule by rule.
    [Theory]
    [InlineData("Version number is not 1", 0, 0x43, BfdDiscard.Version)]
    [InlineData("Version zero of the first draft", 0, 0x03, BfdDiscard.Version)]
    [InlineData("Length is below the minimum", 3, 23, BfdDiscard.TooShort)]
    [InlineData("Length is below the minimum with authentication", 1, 0xAC, BfdDiscard.TooShort)]
    [InlineData("Length is beyond the payload", 3, 25, BfdDiscard.LengthBeyondPayload)]
    [InlineData("Detect Mult is zero", 2, 0, BfdDiscard.DetectMultZero)]
    [InlineData("Multipoint is set", 1, 0xA9, BfdDiscard.Multipoint)]
    public void A_packet_is_discarded_when(string rule, int at, byte value, BfdDiscard expected)
    {
        var octets = Encode(Full);
        octets[at] = value;

        Assert.True(BfdPacket.TryDecode(octets, out _) == expected, rule);
    }

    [Fact]
    public void A_packet_is_discarded_when_my_discriminator_is_zero() =>
        Assert.Equal(BfdDiscard.MyDiscriminatorZero, Decode(Full with { MyDiscriminator = 0 }));

    [Theory]
    [InlineData(BfdState.AdminDown, BfdDiscard.None)]
    [InlineData(BfdState.Down, BfdDiscard.None)]
    [InlineData(BfdState.Init, BfdDiscard.YourDiscriminatorZero)]
    [InlineData(BfdState.Up, BfdDiscard.YourDiscriminatorZero)]
    public void Only_a_neighbour_that_is_down_need_not_know_our_discriminator(BfdState state, BfdDiscard expected) =>
        Assert.Equal(expected, Decode(Full with { State = state, YourDiscriminator = 0 }));

    [Fact]
    public void Octets_after_the_packet_are_nothing_to_us() =>
        Assert.Equal(BfdDiscard.None, BfdPacket.TryDecode([.. Encode(Full), 1, 2, 3], out _));

    [Fact]
    public void A_packet_with_authentication_decodes_and_says_so()
    {
        byte[] octets = [.. Encode(Full), 1, 4, 7, 120];
        octets[1] |= 0x04;
        octets[3] = 28;

        Assert.Equal(BfdDiscard.None, BfdPacket.TryDecode(octets, out var packet));
        Assert.True(packet.HasAuthentication);
    }

    private static BfdDiscard Decode(BfdPacket packet) => BfdPacket.TryDecode(Encode(packet), out _);

    private static byte[] Encode(BfdPacket packet)
    {
        var octets = new byte[BfdPacket.Length];
        packet.Encode(octets);
        return octets;
    }
}

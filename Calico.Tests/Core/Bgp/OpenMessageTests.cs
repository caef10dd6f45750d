using Calico.Core.Bgp.Wire;
using Calico.Core.Net;
using CsCheck;

namespace Calico.Tests.Core.Bgp;

[Layer("unit")]
public class OpenMessageTests
{
    private static readonly OpenMessage Full = new(new Asn(4200000000), TimeSpan.FromSeconds(90),
        RouterId.Parse("192.0.2.1"),
        new Capabilities
        {
            Multiprotocol = [AfiSafi.Of(Families.Ipv4Unicast), AfiSafi.Of(Families.Ipv6Unicast)],
            RouteRefresh = true,
            EnhancedRouteRefresh = true,
            ExtendedMessage = true,
            FourOctetAs = new Asn(4200000000),
            ExtendedNextHop = [NextHopEncoding.Ipv4OverIpv6, new(new AfiSafi(1, 4), 2)],
            Roles = [BgpRole.RouteServerClient],
            GracefulRestart = new(true, false, TimeSpan.FromSeconds(120),
                [new(AfiSafi.Of(Families.Ipv4Unicast), true), new(AfiSafi.Of(Families.Ipv6Unicast), false)]),
        });

    // The same message, written by hand from the RFCs.
    private const string FullHex = "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF" + "0054" + "01"
        + "04" + "5BA0" + "005A" + "C0000201" + "37" + "0235"
        + "010400010001" + "010400020001" + "0200" + "050C" + "000100010002" + "000100040002" + "0600" + "090102" + "400A8078" + "00010180" + "00020100" + "4104FA56EA00" + "4600";

    [Fact]
    public void The_octets_and_the_object_say_the_same()
    {
        Assert.Equal(FullHex, Convert.ToHexString(Full.Encode()));
        Assert.Equal(Full, Decode(Convert.FromHexString(FullHex)));
    }

    [Fact]
    public void More_than_255_octets_of_capabilities_take_the_long_form_and_come_back()
    {
        var open = Full with
        {
            Capabilities = Full.Capabilities with
            {
                Others = [new(200, [.. new byte[200]]),
                new(201, [.. new byte[150]])]
            },
        };

        var octets = open.Encode();

        Assert.Equal([255, 255], octets[28..30]);
        Assert.Equal(open, Decode(octets));
    }

    [Fact]
    public void An_open_without_capabilities_means_ipv4_and_two_octets()
    {
        var open = Decode(new OpenMessage(new Asn(64512), TimeSpan.Zero, new RouterId(1), Capabilities.None).Encode());

        Assert.Equal(Families.Ipv4Unicast, open.Capabilities.Families);
        Assert.Null(open.Capabilities.FourOctetAs);
        Assert.Equal(new Asn(64512), open.MyAs);
    }

    [Fact]
    public void Every_truncation_is_an_error()
    {
        var body = Full.Encode().AsSpan(19).ToArray();

        for (var length = 0; length < body.Length; length++)
        {
            Assert.False(OpenMessage.TryDecode(body.AsSpan(0, length), out _, out var error), $"{length} octets");
            Assert.Equal(ErrorCode.OpenMessage, error!.Code);
        }
    }

    [Theory]
    [InlineData("03FDE9005AC000020100", OpenError.UnsupportedVersion)]
    [InlineData("040000005AC000020100", OpenError.BadPeerAs)]
    [InlineData("04FDE9005A0000000000", OpenError.BadBgpIdentifier)]
    [InlineData("04FDE90002C000020100", OpenError.UnacceptableHoldTime)]
    [InlineData("04FDE9005AC0000201020100", OpenError.UnsupportedOptionalParameter)]
    [InlineData("04FDE9005AC000020106020401020001", OpenError.Unspecific)]
    [InlineData("04FDE9005AC000020100AA", OpenError.Unspecific)]
    public void Each_defect_has_its_subcode(string body, byte subcode)
    {
        Assert.False(OpenMessage.TryDecode(Convert.FromHexString(body), out _, out var error));

        Assert.Equal((ErrorCode.OpenMessage, subcode), (error!.Code, error.Subcode));
    }

    [Fact]
    public void Random_octets_never_throw() =>
        Gen.Byte.Array[0, 120].Sample(bytes => { OpenMessage.TryDecode(bytes, out _, out _); }, iter: 5000);

    [Fact]
    public void Random_changes_to_a_good_message_never_throw() =>
        Gen.Select(Gen.Int[0, 47], Gen.Byte).Array[1, 8].Sample(changes =>
        {
            var body = Full.Encode().AsSpan(19).ToArray();
            foreach (var (at, value) in changes)
                body[at] = value;
            OpenMessage.TryDecode(body, out _, out _);
        }, iter: 5000);

    [Fact]
    public void Decode_of_encode_is_identity() =>
        Gen.Select(Gen.UInt[1, uint.MaxValue], Gen.Int[3, 65535], Gen.UInt[1, uint.MaxValue], Gen.Bool, Gen.Bool,
            Gen.Int[0, 4095], Gen.Byte.Array[0, 250])
            .Sample((asn, hold, id, refresh, restarting, seconds, other) =>
            {
                var open = new OpenMessage(new Asn(asn), TimeSpan.FromSeconds(hold), new RouterId(id), new Capabilities
                {
                    RouteRefresh = refresh,
                    FourOctetAs = new Asn(asn),
                    GracefulRestart = new(restarting, refresh, TimeSpan.FromSeconds(seconds), []),
                    Others = [new(99, [.. other])],
                });
                return open.Equals(Decode(open.Encode()));
            });

    private static OpenMessage Decode(byte[] message)
    {
        Assert.True(OpenMessage.TryDecode(message.AsSpan(19), out var open, out var error), error?.Reason);
        return open!;
    }
}

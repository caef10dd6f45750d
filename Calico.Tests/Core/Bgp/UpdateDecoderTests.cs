using Calico.Core.Bgp.Wire;
using Calico.Core.Net;
using CsCheck;

namespace Calico.Tests.Core.Bgp;

[Layer("unit")]
public class UpdateDecoderTests
{
    private static readonly WireContext External = new(true, false, Internal: false, Families.Both);
    private static readonly WireContext Internal = External with { Internal = true };
    private static readonly WireContext Old = External with { FourOctetAs = false };

    private const string Good = "40010100" + "40020602010000FDE9" + "400304C0000201";
    private const string Nlri = "180A0102";

    [Fact]
    public void A_route_and_a_withdrawal_are_read()
    {
        Decode("0004" + "180A0103" + "0014" + Good + Nlri, External, (update, _) =>
        {
            Assert.Equal(AttributeVerdict.Accept, update.Verdict);
            Assert.Equal(["10.1.3.0/24"], Prefixes(update.Withdrawn));
            Assert.Equal(["10.1.2.0/24"], Prefixes(update.Announced));
            Assert.Equal(IpAddr.Parse("192.0.2.1"), update.NextHop);
            Assert.Equal(new PathAttributes { AsPath = AsPath.Sequence(65001) },
                PathAttributes.Decode(update.Attributes));
        });
    }

    [Fact]
    public void Ipv6_routes_come_with_both_their_next_hops()
    {
        const string attributes = "800E2E" + "000201" + "20" + "20010DB8000000000000000000000001" + "FE800000000000000000000000000001"
            + "00" + "4020010DB800000001" + "40010100" + "40020602010000FDE9";

        Decode("0000" + Length(attributes) + attributes, External, (update, _) =>
        {
            Assert.Equal(AttributeVerdict.Accept, update.Verdict);
            Assert.Equal(IpAddr.Parse("2001:db8::1"), update.Multiprotocol.NextHop);
            Assert.Equal(IpAddr.Parse("fe80::1"), update.Multiprotocol.LinkLocalNextHop);
            Assert.Equal("2001:db8:0:1::/64",
                Assert.Single(Calico.Core.Bgp.Wire.Nlri.ToList<Prefix6>(update.Multiprotocol.Announced)).ToString());
        });
    }

    [Fact]
    public void Bits_behind_the_prefix_length_do_not_matter() =>
        Decode("0000" + "0014" + Good + "0C0AFF", External, (update, _) =>
            Assert.Equal(["10.240.0.0/12"], Prefixes(update.Announced)));

    [Theory]
    [InlineData("800404000000", "a MED cut off by the end of the attributes")]
    [InlineData("C00805FFFFFF0100", "communities of five octets")]
    [InlineData("C0200400000001", "large communities of four octets")]
    [InlineData("C01004FFFFFF01", "extended communities of four octets")]
    [InlineData("40040400000005", "a MED that claims to be well-known")]
    public void A_broken_attribute_withdraws_its_routes_and_keeps_the_session(string extra, string what)
    {
        var attributes = Good + extra;

        Decode("0000" + Length(attributes) + attributes + Nlri, External, (update, problems) =>
        {
            Assert.True(AttributeVerdict.TreatAsWithdraw == update.Verdict, what);
            Assert.Equal(["10.1.2.0/24"], Prefixes(update.Announced));
            Assert.NotEmpty(problems);
        });
    }

    [Theory]
    [InlineData("40010100" + "400304C0000201")]
    [InlineData("40020602010000FDE9" + "400304C0000201")]
    [InlineData("40010100" + "40020602010000FDE9")]
    public void A_missing_mandatory_attribute_withdraws_its_routes(string attributes) =>
        Decode("0000" + Length(attributes) + attributes + Nlri, External,
            (update, _) => Assert.Equal(AttributeVerdict.TreatAsWithdraw, update.Verdict));

    [Theory]
    [InlineData("4006010A")]
    [InlineData("C00706FDE9C0000209")]
    [InlineData("4005040000006480090401010101800A0401010101")]
    public void A_harmless_defect_costs_only_the_attribute(string extra)
    {
        var attributes = Good + extra;

        Decode("0000" + Length(attributes) + attributes + Nlri, External, (update, _) =>
        {
            Assert.Equal(AttributeVerdict.AttributeDiscard, update.Verdict);
            Assert.Equal(new PathAttributes { AsPath = AsPath.Sequence(65001) },
                PathAttributes.Decode(update.Attributes));
        });
    }

    [Theory]
    [InlineData("FFFF", UpdateError.MalformedAttributeList)]
    [InlineData("0000FFFF", UpdateError.MalformedAttributeList)]
    [InlineData("00000000210A0102030405", UpdateError.InvalidNetworkField)]
    [InlineData("0001180000", UpdateError.InvalidNetworkField)]
    [InlineData("00000006800F0300020180", UpdateError.InvalidNetworkField)]
    [InlineData("0000000C800F03000201800F03000201", UpdateError.MalformedAttributeList)]
    [InlineData("00000007800F0400020181", UpdateError.OptionalAttributeError)]
    [InlineData("00000004C0080101", UpdateError.AttributeLengthError)]
    public void What_makes_the_routes_unknowable_resets_the_session(string body, byte subcode)
    {
        Assert.False(new UpdateDecoder().TryDecode(Convert.FromHexString(body), External, out _, out var error));

        Assert.Equal((ErrorCode.UpdateMessage, subcode), (error!.Code, error.Subcode));
    }

    [Fact]
    public void Unknown_transitive_attributes_are_kept_with_partial_and_the_others_dropped()
    {
        const string attributes = Good + "C0C902AABB" + "80CA01CC";

        Decode("0000" + Length(attributes) + attributes + Nlri, External, (update, problems) =>
        {
            Assert.Empty(problems);
            Assert.EndsWith("E0C902AABB", Convert.ToHexString(update.Attributes), StringComparison.Ordinal);
        });
    }

    [Fact]
    public void Attributes_in_any_order_and_length_form_have_one_canonical_form()
    {
        const string shuffled = "400304C0000201" + "C0080400010002" + "50020006" + "02010000FDE9" + "40010100";

        Decode("0000" + Length(shuffled) + shuffled + Nlri, External, (update, _) =>
            Assert.Equal("40010100" + "40020602010000FDE9" + "C0080400010002", Convert.ToHexString(update.Attributes)));
    }

    [Fact]
    public void A_path_from_a_two_octet_speaker_gets_its_real_numbers_back()
    {
        // AS_PATH 100 AS_TRANS AS_TRANS, AS4_PATH 4200000001 4200000002; AGGREGATOR AS_TRANS, AS4_AGGREGATOR 4200000002.
        const string attributes = "40010100" + "4002080203" + "00645BA05BA0" + "400304C0000201" + "C007065BA0C0000209"
            + "C0110A0202FA56EA01FA56EA02" + "C01208FA56EA02C0000209";

        Decode("0000" + Length(attributes) + attributes + Nlri, Old, (update, _) =>
        {
            var set = PathAttributes.Decode(update.Attributes);
            Assert.Equal(AsPath.Sequence(100, 4200000001, 4200000002), set.AsPath);
            Assert.Equal(new Aggregator(new Asn(4200000002), RouterId.Parse("192.0.2.9")), set.Aggregator);
        });
    }

    [Fact]
    public void An_aggregator_set_behind_us_makes_the_long_path_stale()
    {
        const string attributes = "40010100" + "4002080203" + "00645BA05BA0" + "400304C0000201" + "C007060007C0000209"
            + "C0110A0202FA56EA01FA56EA02";

        Decode("0000" + Length(attributes) + attributes + Nlri, Old, (update, _) =>
            Assert.Equal(AsPath.Sequence(100, 23456, 23456), PathAttributes.Decode(update.Attributes).AsPath));
    }

    [Theory]
    [InlineData("00000000", Families.Ipv4Unicast)]
    [InlineData("00000006800F03000201", Families.Ipv6Unicast)]
    [InlineData("00000007900F0003000201", Families.Ipv6Unicast)]
    [InlineData("00000006800F03001946", Families.None)]
    [InlineData("0004180A01030000", Families.None)]
    public void End_of_rib_is_recognised(string body, Families family) =>
        Decode(body, External, (update, _) => Assert.Equal(family, update.EndOfRib));

    [Fact]
    public void Routes_of_families_that_were_not_agreed_are_ignored() =>
        Decode("0004" + "180A0103" + "0014" + Good + Nlri, External with { Families = Families.Ipv6Unicast },
            (update, _) =>
        {
            Assert.True(update.Withdrawn.IsEmpty);
            Assert.True(update.Announced.IsEmpty);
        });

    [Fact]
    public void Every_truncation_of_a_message_is_an_error_or_names_fewer_routes()
    {
        var whole = Convert.FromHexString("0004" + "180A0103" + "0014" + Good + Nlri + "180A0104");
        var decoder = new UpdateDecoder();

        for (var length = 0; length < whole.Length; length++)
        {
            var accepted = decoder.TryDecode(whole.AsSpan(0, length), External, out var update, out var error);

            // Between two prefixes, and before the first one, a shorter message is a message of its own.
            Assert.Equal(length is 28 or 32, accepted);
            Assert.Equal(accepted, error is null);
            if (accepted)
                Assert.Equal((length - 28) / 4, Prefixes(update.Announced).Count);
        }
    }

    [Fact]
    public void Random_octets_never_throw()
    {
        Gen.Select(Gen.Byte.Array[0, 150], Gen.Bool, Gen.Bool, Gen.Bool).Sample((bytes, fourOctet, isInternal, pathIds) =>
        {
            var context = new WireContext(fourOctet, false, isInternal, Families.Both)
            {
                PathIdsIn = pathIds ? Families.Both : Families.None,
            };
            new UpdateDecoder().TryDecode(bytes, context, out _, out _);
        }, iter: 5000);
    }

    [Fact]
    public void Random_attributes_in_a_good_frame_never_throw_and_their_canonical_form_is_stable()
    {
        var type = Gen.OneOf<byte>(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 32, 99, 200);
        var attribute = Gen.Select(Gen.OneOf<byte>(0x40, 0x80, 0xC0, 0xE0, 0x50), type, Gen.Byte.Array[0, 20]);
        Gen.Select(attribute.Array[0, 8], Gen.Bool, Gen.Bool).Sample((list, fourOctet, isInternal) =>
        {
            var octets = list.SelectMany(a => (a.Item1 & 0x10) != 0
                ? [a.Item1, a.Item2, 0, (byte)a.Item3.Length, .. a.Item3]
                : new[] { a.Item1, a.Item2, (byte)a.Item3.Length }.Concat(a.Item3)).ToArray();
            byte[] body = [0, 0, (byte)(octets.Length >> 8), (byte)octets.Length, .. octets, 24, 10, 1, 2];
            var context = new WireContext(fourOctet, false, isInternal, Families.Both);
            if (!new UpdateDecoder().TryDecode(body, context, out var update, out _)
                || update.Verdict >= AttributeVerdict.TreatAsWithdraw)
                return;
            var canonical = update.Attributes.ToArray();
            Assert.Equal(canonical, PathAttributes.Decode(canonical).Encode());
            _ = AttributeFacts.Of(canonical);
        }, iter: 2000);
    }

    private static List<string> Prefixes(ReadOnlySpan<byte> field) =>
        [.. Calico.Core.Bgp.Wire.Nlri.ToList<Prefix4>(field).Select(p => p.ToString())];

    private static string Length(string hex) =>
        (hex.Length / 2).ToString("X4", System.Globalization.CultureInfo.InvariantCulture);

    private delegate void Check(UpdateView update, IReadOnlyList<AttributeProblem> problems);

    private static void Decode(string body, WireContext context, Check check)
    {
        var decoder = new UpdateDecoder();
        Assert.True(decoder.TryDecode(Convert.FromHexString(body), context, out var update, out var error),
            error?.Reason);
        check(update, decoder.Problems);
    }
}

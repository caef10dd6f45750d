using Calico.Core.Bgp.Wire;
using Calico.Core.Net;
using CsCheck;

namespace Calico.Tests.Core.Bgp;

[Layer("unit")]
public class AsPathTests
{
    [Fact]
    public void Two_numbers_are_counted_wherever_they_stand()
    {
        var path = AsPath.Sequence(1, 2, 1).Then(SegmentType.Set, 1, 3);

        Assert.Equal(3, AsPath.CountAs(path.Octets, 1, 1));
        Assert.Equal(4, AsPath.CountAs(path.Octets, 1, 2));
        Assert.Equal(0, AsPath.CountAs(path.Octets, 4, 5));
    }

    [Fact]
    public void The_octets_and_the_object_say_the_same()
    {
        var path = AsPath.Sequence(65001, 4200000000).Then(SegmentType.Set, 1, 2);

        Assert.Equal("02020000FDE9FA56EA0001020000000100000002", Convert.ToHexString(path.Octets));
        Assert.Equal("65001 4200000000 {1,2}", path.ToString());
        Assert.Equal(3, path.Hops);
        Assert.Equal(new Asn(65001), path.First);
        Assert.True(path.Contains(new Asn(2)));
        Assert.False(path.Contains(new Asn(3)));
    }

    [Fact]
    public void A_two_octet_value_is_widened()
    {
        Assert.True(AsPath.TryParse(Convert.FromHexString("0202FDE95BA0"), fourOctet: false, out var path));

        Assert.Equal(AsPath.Sequence(65001, 23456), path);
    }

    [Theory]
    [InlineData("02")]
    [InlineData("0200")]
    [InlineData("0001FDE9")]
    [InlineData("0501FDE9")]
    [InlineData("0202FDE9")]
    [InlineData("0201FDE902")]
    public void A_malformed_value_is_refused(string hex) =>
        Assert.False(AsPath.TryParse(Convert.FromHexString(hex), fourOctet: false, out _));

    [Fact]
    public void Every_truncation_that_cuts_a_segment_is_refused()
    {
        var octets = AsPath.Sequence(1, 2, 3).Octets.ToArray();

        for (var length = 1; length < octets.Length; length++)
            Assert.False(AsPath.TryParse(octets.AsSpan(0, length), true, out _));
    }

    [Fact]
    public void Random_octets_never_throw() => Gen.Byte.Array[0, 40].Sample(bytes =>
    {
        foreach (var fourOctet in new[] { false, true })
        {
            if (AsPath.TryParse(bytes, fourOctet, out var path))
                _ = $"{path} {path.Hops} {path.First} {path.Contains(new Asn(7))}";
        }
    });

    [Fact]
    public void A_sequence_beyond_255_numbers_takes_a_second_segment()
    {
        var path = AsPath.Sequence([.. Enumerable.Range(1, 300).Select(i => (uint)i)]);

        Assert.Equal(300, path.Hops);
        Assert.Equal((2 + (4 * 255)) + (2 + (4 * 45)), path.Octets.Length);
    }
}

using Calico.Core.Net;

namespace Calico.Tests.Core.Net;

[Layer("unit")]
public class CidrTests
{
    [Theory]
    [InlineData("10.65.1.0/26")]
    [InlineData("0.0.0.0/0")]
    [InlineData("192.168.1.5/32")]
    [InlineData("fd00:1::/122")]
    [InlineData("::/0")]
    public void Text_survives_the_round_trip(string text) => Assert.Equal(text, Cidr.Parse(text).ToString());

    [Theory]
    [InlineData("10.0.0.0")]
    [InlineData("10.0.0.0/33")]
    [InlineData("10.0.0/8")]
    [InlineData("10.0.0.0/08")]
    [InlineData("10.0.0.01/8")]
    [InlineData("0x0a.0.0.0/8")]
    [InlineData("fd00::/129")]
    [InlineData("fe80::1%eth0/64")]
    [InlineData("/8")]
    [InlineData("")]
    public void Anything_else_is_refused(string text) => Assert.False(Cidr.TryParse(text, out _));

    [Fact]
    public void A_block_knows_its_bounds()
    {
        var block = Cidr.Parse("10.65.1.77/26");

        Assert.Equal("10.65.1.64/26", block.Network.ToString());
        Assert.Equal("10.65.1.127", block.Last.ToString());
        Assert.Equal((UInt128)64, block.Size);
        Assert.Equal((UInt128)13, block.OrdinalOf(block.Address));
        Assert.False(block.IsMasked);
    }

    [Fact]
    public void Families_never_contain_each_other()
    {
        Assert.False(Cidr.Parse("0.0.0.0/0").Contains(IpAddr.Parse("::")));
        Assert.False(Cidr.Parse("::/0").Overlaps(Cidr.Parse("0.0.0.0/0")));
    }

    [Fact]
    public void Containment_follows_the_prefix()
    {
        var pool = Cidr.Parse("10.65.0.0/16");

        Assert.True(pool.Contains(Cidr.Parse("10.65.255.192/26")));
        Assert.False(pool.Contains(Cidr.Parse("10.0.0.0/8")));
        Assert.True(pool.Overlaps(Cidr.Parse("10.0.0.0/8")));
    }
}

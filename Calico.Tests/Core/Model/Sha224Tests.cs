using System.Text;
using Calico.Core.Model;

namespace Calico.Tests.Core.Model;

[Layer("unit")]
public class Sha224Tests
{
    // FIPS 180-4 examples, and lengths around the block and padding bounds.
    [Theory]
    [InlineData("", 1, "d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f")]
    [InlineData("abc", 1, "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7")]
    [InlineData("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1, "75388b16512776cc5dba5da1fd890150b0c6455cb4f58b1952522525")]
    [InlineData("a", 1000000, "20794655980c91d8bbb4c1ea97618a4bf03f42581948b2ee4ee7ad67")]
    public void Published_digests_come_out(string unit, int times, string digest)
    {
        var data = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat(unit, times)));

        Assert.Equal(digest, Convert.ToHexStringLower(Sha224.HashData(data)));
    }

    [Fact]
    public void Ids_are_those_that_Calico_gives()
    {
        Assert.Equal("s:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug", UniqueId.Make("s", "all()"));
    }
}

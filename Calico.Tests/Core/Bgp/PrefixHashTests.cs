using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Tests.Core.Bgp;

[Layer("unit")]
public class PrefixHashTests
{
    private const int Buckets = 1 << 16;

    /// <summary>As many prefixes as buckets: by chance alone a chain is two long on average, seen from its members.</summary>
    [Theory]
    [InlineData("10.0.0.0", 26)]
    [InlineData("1.0.0.0", 24)]
    [InlineData("16.0.0.0", 20)]
    [InlineData("10.0.0.0", 32)]
    public void Consecutive_prefixes_of_one_length_spread_over_all_buckets(string first, byte length)
    {
        var start = (uint)IpAddr.Parse(first).Bits;
        var hashes = Enumerable.Range(0, Buckets).Select(i =>
            Prefix4.From(new Cidr(IpAddr.FromV4(unchecked(start + ((uint)i << (32 - length)))), length)).StableHash);

        Assert.InRange(LongestOf(hashes), 2, 12);
    }

    [Theory]
    [InlineData(122)]
    [InlineData(64)]
    [InlineData(48)]
    public void The_same_goes_for_IPv6(byte length)
    {
        var start = IpAddr.Parse("2001:db8::").Bits;
        var hashes = Enumerable.Range(0, Buckets).Select(i =>
            Prefix6.From(new Cidr(IpAddr.FromV6(start + ((UInt128)i << (128 - length))), length)).StableHash);

        Assert.InRange(LongestOf(hashes), 2, 12);
    }

    private static int LongestOf(IEnumerable<uint> hashes) => hashes.GroupBy(h => h & (Buckets - 1)).Max(g => g.Count());
}

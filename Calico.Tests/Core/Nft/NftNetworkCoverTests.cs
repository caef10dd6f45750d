using Calico.Core.Net;
using Calico.Core.Nft;
using CsCheck;

namespace Calico.Tests.Core.Nft;

[Layer("unit")]
public sealed class NftNetworkCoverTests
{
    private static readonly Gen<Cidr> Networks = Gen.Select(Gen.UInt[0, 255], Gen.Int[0, 8], Gen.Bool,
        (bits, length, v6) => new Cidr(v6 ? IpAddr.FromV6((UInt128)bits << 120) : IpAddr.FromV4(bits << 24),
            length).Network);

    [Fact]
    public void The_cover_is_what_no_other_network_contains_after_any_changes() =>
        Gen.Select(Networks, Gen.Bool).Array[0, 200].Sample(changes =>
        {
            var cover = new NftNetworkCover();
            var effective = new HashSet<NftElement>();
            var wanted = new HashSet<Cidr>();
            foreach (var (network, add) in changes)
            {
                // No network leaves that is not there and none enters twice; while it changes, nothing overlaps.
                void Leaves(NftElement e) => Assert.True(effective.Remove(e));
                void Enters(NftElement e)
                {
                    Assert.DoesNotContain(effective, x => x.Network.Overlaps(e.Network));
                    effective.Add(e);
                }
                if (add)
                    Assert.Equal(wanted.Add(network), cover.Add(NftElement.Of(network), Leaves, Enters));
                else
                    Assert.Equal(wanted.Remove(network), cover.Remove(NftElement.Of(network), Leaves, Enters));
                Assert.Equal(wanted.Where(n => !wanted.Any(o => o != n && o.Contains(n))).Order(),
                    effective.Select(e => e.Network).Order());
                Assert.Equal(wanted.Count, cover.Count);
            }
        }, iter: 300);

    [Fact]
    public void Many_networks_stay_sorted_over_many_blocks()
    {
        var cover = new NftNetworkCover();
        var effective = new HashSet<NftElement>();
        var all = Enumerable.Range(0, 20_000).Select(i =>
            NftElement.Of(new Cidr(IpAddr.FromV4((uint)(i * 7919 % 20_000) << 8), 24))).ToList();
        foreach (var network in all)
            cover.Add(network, e => effective.Remove(e), e => effective.Add(e));
        var whole = NftElement.Of(Cidr.Parse("0.0.0.0/0"));

        cover.Add(whole, e => effective.Remove(e), e => effective.Add(e));
        Assert.Equal([whole], effective);

        cover.Remove(whole, e => effective.Remove(e), e => effective.Add(e));
        Assert.Equal(20_000, effective.Count);
    }
}

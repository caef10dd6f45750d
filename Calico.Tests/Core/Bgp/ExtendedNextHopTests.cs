using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Tests.Core.Bgp;

/// <summary>RFC 8950: IPv4 routes with IPv6 next hops.</summary>
[Layer("unit")]
public class ExtendedNextHopTests
{
    private static readonly Cidr Block = Cidr.Parse("10.65.2.0/26");
    private static readonly IpAddr Own6 = IpAddr.Parse("fd00::100");

    private static readonly SessionConfig Config = new()
    {
        LocalAs = RibHarness.Own,
        RouterId = RibHarness.OwnId,
        PeerAs = new Asn(65001),
        PeerAddress = IpAddr.Parse("fd00::1"),
        Families = Families.Both,
    };

    [Theory]
    [InlineData("fd00::1", Families.Both, true, true)]
    [InlineData("fd00::1", Families.Ipv4Unicast, true, true)]
    [InlineData("fd00::1", Families.Ipv6Unicast, true, false)]
    [InlineData("10.0.0.1", Families.Both, true, false)]
    [InlineData("fd00::1", Families.Both, false, false)]
    public void It_is_agreed_where_ipv4_travels_over_ipv6_and_both_can_read_it(string peer, Families families, bool peerKnows, bool agreed)
    {
        var config = Config with { PeerAddress = IpAddr.Parse(peer), Families = families };
        var open = (Config with { LocalAs = Config.PeerAs, PeerAs = Config.LocalAs, RouterId = new RouterId(1) }).BuildOpen();
        if (!peerKnows)
            open = open with { Capabilities = open.Capabilities with { ExtendedNextHop = [] } };

        Assert.True(Agreement.TryNegotiate(config, open, out var agreement, out _, out _));

        Assert.Equal(agreed, agreement!.Context.ExtendedNextHop);
    }

    [Fact]
    public void Our_ipv6_address_is_the_next_hop_and_the_route_comes_back_the_same()
    {
        var net = new RibHarness();
        net.Up(Extended(2));
        net.Rib.Originate(Block, PathAttributes.Local);
        net.TakeAll();

        Assert.Equal((new PathAttributes { AsPath = AsPath.Sequence(64512) }, Own6), net.Told(2)[Block]);

        net.Rib.WithdrawLocal(Block);
        net.TakeAll();
        Assert.Empty(net.Told(2));
    }

    [Fact]
    public void A_peer_that_cannot_read_it_is_told_our_own_ipv4_address_or_nothing()
    {
        var net = new RibHarness();
        var from = Extended(1);
        net.Up(from);
        net.Up(RibHarness.Peer(2, isInternal: false));
        net.Up(RibHarness.Peer(3, isInternal: false) with { NextHopMode = NextHopMode.Keep });
        net.Up(Extended(4) with { NextHopMode = NextHopMode.Keep });

        net.Announce(from, new PathAttributes { AsPath = AsPath.Sequence(65001) }, "fd00::1", "10.65.2.0/26");
        net.TakeAll();

        Assert.Equal(IpAddr.Parse("10.0.0.100"), net.Told(2)[Block].NextHop);
        Assert.Empty(net.Told(3));
        Assert.Equal(IpAddr.Parse("fd00::1"), net.Told(4)[Block].NextHop);
        Assert.Equal(IpAddr.Parse("fd00::1"), net.Kernel[Block].NextHops[0].NextHop);
    }

    private static RibPeer Extended(ushort index)
    {
        var peer = RibHarness.Peer(index, isInternal: false);
        return peer with { Context = peer.Context with { ExtendedNextHop = true }, NextHopV4 = Own6 };
    }
}

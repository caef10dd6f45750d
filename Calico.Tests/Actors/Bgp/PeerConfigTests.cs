using Calico.Actors.Bgp;
using Calico.Core.Bgp.Rib;
using Calico.Core.Net;

namespace Calico.Tests.Actors.Bgp;

[Layer("unit")]
public class PeerConfigTests
{
    private static readonly PeerConfig Peer = new()
    {
        Name = "Mesh_10_0_0_2",
        Address = IpAddr.Parse("10.0.0.2"),
        As = new Asn(64512)
    };

    [Theory]
    [InlineData("10.0.0.1", "10.0.0.2", true)]
    [InlineData("10.0.0.2", "10.0.0.1", false)]
    [InlineData("10.0.0.9", "10.0.0.10", false)]
    [InlineData("fd00::1", "fd00::a", true)]
    public void Of_two_mesh_nodes_the_one_with_the_textually_greater_peer_waits(string own, string peer, bool passive)
    {
        Assert.Equal(passive, PeerConfig.IsPassiveInMesh(IpAddr.Parse(own), IpAddr.Parse(peer)));
        Assert.Equal(!passive, PeerConfig.IsPassiveInMesh(IpAddr.Parse(peer), IpAddr.Parse(own)));
    }

    [Fact]
    public void What_is_in_the_open_or_the_transport_needs_a_reset_and_the_rest_does_not()
    {
        Assert.True(Peer.NeedsReset(Peer with { As = new Asn(65001) }));
        Assert.True(Peer.NeedsReset(Peer with { Port = 1790 }));
        Assert.True(Peer.NeedsReset(Peer with { Password = "x" }));
        Assert.True(Peer.NeedsReset(Peer with { SourceAddress = IpAddr.Parse("10.0.0.1") }));
        Assert.False(Peer.NeedsReset(Peer with
        {
            Passive = true,
            HoldTime = TimeSpan.FromSeconds(9),
            NextHopMode = NextHopMode.Self,
            ReflectorClient = true,
            AllowedOwnAs = 1,
            MaxPrefixes = 1000,
            SendHoldTime = TimeSpan.FromMinutes(9),
        }));
        Assert.False(Peer.NeedsReset(Peer));
    }
}

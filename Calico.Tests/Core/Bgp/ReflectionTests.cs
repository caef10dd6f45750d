using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Tests.Core.Bgp;

/// <summary>RFC 4456: two clients, two other peers inside and one outside.</summary>
[Layer("unit")]
public class ReflectionTests
{
    private static readonly RibPeer Client1 = RibHarness.Peer(1, isInternal: true, client: true);
    private static readonly RibPeer Client2 = RibHarness.Peer(2, isInternal: true, client: true);
    private static readonly RibPeer Plain3 = RibHarness.Peer(3, isInternal: true);
    private static readonly RibPeer Plain4 = RibHarness.Peer(4, isInternal: true);
    private static readonly RibPeer External5 = RibHarness.Peer(5, isInternal: false);
    private static readonly Cidr Block = Cidr.Parse("10.65.2.0/26");
    private static readonly PathAttributes Plain = new() { LocalPref = 300, Med = 7 };

    private readonly RibHarness _net = new();

    public ReflectionTests()
    {
        foreach (var peer in new[] { Client1, Client2, Plain3, Plain4, External5 })
            _net.Up(peer);
    }

    [Fact]
    public void A_clients_route_goes_to_everybody_else_as_it_came_with_originator_and_cluster()
    {
        _net.Announce(Client1, Plain, "10.0.0.1", "10.65.2.0/26");
        _net.TakeAll();

        var expected = (Plain with { OriginatorId = Client1.RouterId, ClusterList = [RibHarness.OwnId] },
            IpAddr.Parse("10.0.0.1"));
        foreach (ushort peer in new[] { 2, 3, 4 })
            Assert.Equal(expected, _net.Told(peer)[Block]);
        Assert.Empty(_net.Told(1));
        Assert.Equal((new PathAttributes { AsPath = AsPath.Sequence(64512), Med = 1 }, IpAddr.Parse("10.0.0.100")),
            _net.Told(5)[Block]);
    }

    [Fact]
    public void A_route_of_another_peer_inside_goes_to_clients_only()
    {
        _net.Announce(Plain3, Plain, "10.0.0.3", "10.65.2.0/26");
        _net.TakeAll();

        Assert.Contains(Block, _net.Told(1).Keys);
        Assert.Contains(Block, _net.Told(2).Keys);
        Assert.Empty(_net.Told(3));
        Assert.Empty(_net.Told(4));
    }

    [Fact]
    public void The_originator_stays_and_our_cluster_goes_in_front_of_the_others()
    {
        var reflected = Plain with { OriginatorId = new RouterId(77), ClusterList = [new RouterId(901)] };
        _net.Announce(Client1, reflected, "10.0.0.77", "10.65.2.0/26");
        _net.TakeAll();

        Assert.Equal(reflected with { ClusterList = [RibHarness.OwnId, new RouterId(901)] },
            _net.Told(3)[Block].Attributes);
    }

    [Fact]
    public void Two_clients_that_say_the_same_are_told_apart_by_originator()
    {
        _net.Announce(Client1, Plain, "10.0.0.9", "10.65.1.0/26", "10.65.3.0/26");
        _net.Announce(Client2, Plain, "10.0.0.9", "10.65.2.0/26");
        _net.TakeAll();

        Assert.Equal([Client1.RouterId, Client2.RouterId, Client1.RouterId],
            _net.Told(3).OrderBy(t => t.Key).Select(t => t.Value.Attributes.OriginatorId!.Value));
    }

    [Fact]
    public void Nobody_is_told_its_own_route()
    {
        _net.Announce(Client1, Plain with { OriginatorId = Client2.RouterId }, "10.0.0.9", "10.65.2.0/26");
        _net.TakeAll();

        Assert.Empty(_net.Told(2));
        Assert.Contains(Block, _net.Told(3).Keys);
    }

    [Fact]
    public void What_our_cluster_has_reflected_is_not_used()
    {
        var net = new RibHarness(clusterId: new RouterId(900));
        net.Up(Client1);
        net.Up(Plain3);
        net.Announce(Plain3, Plain with { ClusterList = [new RouterId(901), new RouterId(900)] }, "10.0.0.9",
            "10.65.2.0/26");
        net.Announce(Plain3, Plain with { OriginatorId = RibHarness.OwnId }, "10.0.0.9", "10.65.3.0/26");
        net.Announce(Plain3, Plain with { ClusterList = [new RouterId(901)] }, "10.0.0.9", "10.65.4.0/26");
        net.TakeAll();

        Assert.Equal("10.65.4.0/26", Assert.Single(net.Kernel.Keys).ToString());
        Assert.Equal<RouterId>([new RouterId(900), new RouterId(901)],
            [.. net.Told(1)[Cidr.Parse("10.65.4.0/26")].Attributes.ClusterList]);
    }

    [Fact]
    public void A_peer_that_becomes_a_client_and_ceases_to_be_one_changes_what_all_are_told()
    {
        _net.Announce(Plain3, Plain, "10.0.0.3", "10.65.2.0/26");
        _net.TakeAll();

        _net.Change(Plain3 with { ReflectorClient = true });
        _net.TakeAll();
        Assert.Contains(Block, _net.Told(4).Keys);

        _net.Change(Plain3);
        _net.TakeAll();
        Assert.Empty(_net.Told(4));
    }

    [Fact]
    public void A_new_cluster_is_told_at_once()
    {
        _net.Announce(Client1, Plain, "10.0.0.1", "10.65.2.0/26");
        _net.TakeAll();

        _net.Rib.Reconfigure(new RibConfig(RibHarness.Own, RibHarness.OwnId) { ClusterId = new RouterId(900) });
        _net.TakeAll();

        Assert.Equal<RouterId>([new RouterId(900)], [.. _net.Told(3)[Block].Attributes.ClusterList]);
    }

    [Fact]
    public void A_peer_that_comes_back_with_another_identifier_is_another_router_and_kept_nothing()
    {
        _net.Announce(Client1, Plain, "10.0.0.1", "10.65.2.0/26");
        _net.Down(1, Families.Both);
        _net.TakeAll();
        Assert.Single(_net.Kernel);

        _net.Up(Client1 with { RouterId = new RouterId(5) });
        _net.TakeAll();

        Assert.Empty(_net.Kernel);
        Assert.Empty(_net.Told(3));
    }
}

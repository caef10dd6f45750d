using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Tests.Core.Bgp;

/// <summary>RFC 9234: who may be what to whom, and what that makes of routes.</summary>
[Layer("unit")]
public class RoleTests
{
    private static readonly SessionConfig Config = new()
    {
        LocalAs = RibHarness.Own,
        RouterId = RibHarness.OwnId,
        PeerAs = new Asn(65001),
        PeerAddress = IpAddr.Parse("10.0.0.1"),
    };

    public static TheoryData<BgpRole, BgpRole, bool> Pairs
    {
        get
        {
            var pairs = new TheoryData<BgpRole, BgpRole, bool>();
            foreach (var ours in Enum.GetValues<BgpRole>())
            {
                foreach (var theirs in Enum.GetValues<BgpRole>())
                {
                    // Table 2 of section 4.2.
                    pairs.Add(ours, theirs, (ours, theirs) is (BgpRole.Provider, BgpRole.Customer) or (BgpRole.Customer, BgpRole.Provider)
                        or (BgpRole.RouteServer, BgpRole.RouteServerClient) or (BgpRole.RouteServerClient, BgpRole.RouteServer) or (BgpRole.Peer, BgpRole.Peer));
                }
            }
            return pairs;
        }
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Both_ends_must_agree_on_what_they_are_to_each_other(BgpRole ours, BgpRole theirs, bool agree)
    {
        Assert.Equal(agree, TryNegotiate(ours, [theirs], out var error, out var reason));
        if (agree)
            return;
        Assert.Equal((ErrorCode.OpenMessage, OpenError.RoleMismatch), (error!.Code, error.Subcode));
        Assert.Contains($"we are {ours.Text()} to the peer", reason!.Sentence, StringComparison.Ordinal);
        Assert.Contains($"says {theirs.Text()}", reason.Sentence, StringComparison.Ordinal);
    }

    [Fact]
    public void A_peer_without_a_role_is_taken_as_it_is_and_one_that_contradicts_itself_is_not()
    {
        Assert.True(TryNegotiate(BgpRole.Provider, [], out _, out _));
        Assert.True(TryNegotiate(null, [BgpRole.Provider], out _, out _));
        Assert.False(TryNegotiate(BgpRole.Provider, [BgpRole.Customer, BgpRole.Peer], out _, out _));
        Assert.False(TryNegotiate(BgpRole.Provider, [(BgpRole)200], out _, out var reason));
        Assert.Contains("role 200", reason!.Sentence, StringComparison.Ordinal);
    }

    [Fact]
    public void Inside_an_as_there_are_no_roles()
    {
        var inside = Config with { PeerAs = Config.LocalAs, Role = BgpRole.Provider };
        Assert.Empty(inside.BuildOpen().Capabilities.Roles);

        var net = new RibHarness();
        var peer = RibHarness.Peer(1, isInternal: true) with { Role = BgpRole.Customer };
        net.Up(peer);
        net.Announce(peer, PathAttributes.Local, "10.0.0.1", "10.1.0.0/24");
        Assert.Null(Assert.Single(net.Rib.Look(new RibQuery(Families.Ipv4Unicast)).Routes).Attributes.OnlyToCustomer);
    }

    // Section 5, the way in.
    [Theory]
    [InlineData(BgpRole.Provider, null, true, null)]
    [InlineData(BgpRole.Provider, 65001u, false, null)]
    [InlineData(BgpRole.RouteServer, 7u, false, null)]
    [InlineData(BgpRole.Peer, 65001u, true, 65001u)]
    [InlineData(BgpRole.Peer, 7u, false, null)]
    [InlineData(BgpRole.Peer, null, true, 65001u)]
    [InlineData(BgpRole.Customer, null, true, 65001u)]
    [InlineData(BgpRole.Customer, 7u, true, 7u)]
    [InlineData(BgpRole.RouteServerClient, null, true, 65001u)]
    [InlineData(null, 7u, true, 7u)]
    public void A_leak_is_not_used_and_what_comes_from_above_is_marked(BgpRole? role, uint? told, bool taken, uint? mark)
    {
        var net = new RibHarness();
        var peer = RibHarness.Peer(1, isInternal: false) with { Role = role };
        net.Up(peer);

        net.Announce(peer, Marked(told), "10.0.0.1", "10.1.0.0/24");

        var routes = net.Rib.Look(new RibQuery(Families.Ipv4Unicast)).Routes;
        Assert.Equal(taken ? 1 : 0, routes.Length);
        Assert.Equal(mark, routes.SingleOrDefault()?.Attributes.OnlyToCustomer?.Value);
    }

    // Section 5, the way out.
    [Theory]
    [InlineData(BgpRole.Provider, null, true, 64512u)]
    [InlineData(BgpRole.Provider, 7u, true, 7u)]
    [InlineData(BgpRole.RouteServer, null, true, 64512u)]
    [InlineData(BgpRole.Peer, null, true, 64512u)]
    [InlineData(BgpRole.Peer, 7u, false, null)]
    [InlineData(BgpRole.Customer, null, true, null)]
    [InlineData(BgpRole.Customer, 7u, false, null)]
    [InlineData(BgpRole.RouteServerClient, 7u, false, null)]
    [InlineData(null, 7u, true, 7u)]
    public void What_is_marked_goes_down_only_and_what_goes_down_is_marked(BgpRole? role, uint? learned, bool told, uint? mark)
    {
        var net = new RibHarness();
        var from = RibHarness.Peer(1, isInternal: false);
        net.Up(from);
        net.Up(RibHarness.Peer(2, isInternal: false) with { Role = role });

        net.Announce(from, Marked(learned), "10.0.0.1", "10.1.0.0/24");
        net.TakeAll();

        Assert.Equal(told, net.Told(2).TryGetValue(Cidr.Parse("10.1.0.0/24"), out var route));
        Assert.Equal(mark, route.Attributes?.OnlyToCustomer?.Value);
    }

    private static PathAttributes Marked(uint? by) => new() { AsPath = AsPath.Sequence(65001), OnlyToCustomer = by is { } asn ? new Asn(asn) : null };

    private static bool TryNegotiate(BgpRole? ours, BgpRole[] theirs, out NotificationError? error, out DownReason? reason)
    {
        var open = (Config with { LocalAs = Config.PeerAs, PeerAs = Config.LocalAs, RouterId = new RouterId(1) }).BuildOpen();
        return Agreement.TryNegotiate(Config with { Role = ours }, open with { Capabilities = open.Capabilities with { Roles = [.. theirs] } }, out _, out error, out reason);
    }
}

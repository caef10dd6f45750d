using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Tests.Core.Bgp;

/// <summary>RFC 7911: several paths for a prefix, in the OPEN, on the wire and in the tables.</summary>
[Layer("unit")]
public class AddPathTests
{
    private static readonly Cidr Block = Cidr.Parse("10.65.2.0/26");
    private static readonly RibPeer Many = RibHarness.Peer(1, isInternal: false, addPath: true);
    private static readonly RibPeer Two = RibHarness.Peer(2, isInternal: false);
    private static readonly RibPeer Three = RibHarness.Peer(3, isInternal: false);

    private readonly RibHarness _net = new();

    public AddPathTests()
    {
        foreach (var peer in new[] { Many, Two, Three })
            _net.Up(peer);
    }

    [Fact]
    public void The_capability_and_its_octets_say_the_same()
    {
        var open = Config("10.0.0.1").BuildOpen() with { Capabilities = new() { AddPath = [new(AfiSafi.Of(Families.Ipv4Unicast), true, true), new(AfiSafi.Of(Families.Ipv6Unicast), true, false)] } };

        Assert.Contains("4508" + "00010103" + "00020101", Convert.ToHexString(open.Encode()), StringComparison.Ordinal);
        Assert.True(OpenMessage.TryDecode(open.Encode().AsSpan(19), out var decoded, out _));
        Assert.Equal(open, decoded);
        Assert.Equal((Families.Both, Families.Ipv4Unicast),
            (decoded!.Capabilities.AddPathReceived, decoded.Capabilities.AddPathSent));
    }

    [Theory]
    [InlineData("00010104" + "00010101", Families.Ipv4Unicast, Families.None)]
    [InlineData("00010102" + "00010101", Families.None, Families.Ipv4Unicast)]
    [InlineData("00010100", Families.None, Families.None)]
    public void Unknown_directions_and_repetitions_are_ignored(string hex, Families received, Families sent)
    {
        var octets = Convert.FromHexString($"45{hex.Length / 2:x2}{hex}");
        var r = new WireReader(octets);

        Assert.True(Capabilities.TryDecode(ref r, Capabilities.None, out var capabilities));
        Assert.Equal((received, sent), (capabilities.AddPathReceived, capabilities.AddPathSent));
    }

    [Fact]
    public void A_direction_is_agreed_if_one_side_tells_and_the_other_takes()
    {
        var config = Config("10.0.0.1");
        var open = Config("10.0.0.2").BuildOpen();
        open = open with
        {
            Capabilities = open.Capabilities with { AddPath = [new(AfiSafi.Of(Families.Ipv4Unicast), true, false)] },
        };

        Assert.True(Agreement.TryNegotiate(config, open, out var agreement, out _, out _));
        Assert.Equal((Families.None, Families.Ipv4Unicast), (agreement!.Context.PathIdsIn, agreement.Context.PathIdsOut));
        Assert.True(Agreement.TryNegotiate(config with { AddPaths = false }, open, out agreement, out _, out _));
        Assert.Equal(Families.None, agreement!.Context.PathIdsOut);
    }

    [Fact]
    public void An_update_cut_inside_an_identifier_ends_the_session_and_a_whole_one_does_not()
    {
        var context = new WireContext(true, false, false, Families.Ipv4Unicast) { PathIdsIn = Families.Ipv4Unicast };

        Assert.False(new UpdateDecoder().TryDecode([0, 3, 0, 0, 0, 0, 0], context, out _, out _));
        Assert.True(new UpdateDecoder().TryDecode([0, 6, 0, 0, 0, 7, 8, 10, 0, 0], context, out var update, out _));
        Assert.Equal((Cidr.Parse("10.0.0.0/8"), 7u), Assert.Single(Nlri.ToPaths<Prefix4>(update.Withdrawn, true)));
    }

    [Fact]
    public void Two_paths_of_one_peer_are_two_routes_and_become_one_with_two_next_hops()
    {
        var set = new PathAttributes { AsPath = AsPath.Sequence(65001) };
        _net.Announce(Many, set, IpAddr.Parse("10.0.0.8"), [Block], 1);
        _net.Announce(Many, set, IpAddr.Parse("10.0.0.9"), [Block], 2);
        _net.TakeAll();
        Assert.Equal(["10.0.0.8", "10.0.0.9"], _net.Kernel[Block].NextHops.Select(h => h.NextHop.ToString()));

        _net.Withdraw(Many, [Block], 1);
        _net.TakeAll();
        Assert.Equal(["10.0.0.9"], _net.Kernel[Block].NextHops.Select(h => h.NextHop.ToString()));

        _net.Withdraw(Many, [Block], 3);
        _net.TakeAll();
        Assert.Single(_net.Kernel);
    }

    [Fact]
    public void A_peer_that_takes_them_is_told_all_paths_and_each_change_of_one()
    {
        _net.Announce(Two, new PathAttributes { AsPath = AsPath.Sequence(65002) }, IpAddr.Parse("10.0.0.2"), [Block]);
        _net.Announce(Three, new PathAttributes { AsPath = AsPath.Sequence(65003, 7) }, IpAddr.Parse("10.0.0.3"), [Block]);
        _net.TakeAll();
        Assert.Equal(["64512 65002", "64512 65003 7"], Told());

        _net.Announce(Three, new PathAttributes { AsPath = AsPath.Sequence(65003, 8) }, IpAddr.Parse("10.0.0.3"), [Block]);
        _net.TakeAll();
        Assert.Equal(["64512 65002", "64512 65003 8"], Told());

        _net.Down(2);
        _net.TakeAll();
        Assert.Equal(["64512 65003 8"], Told());
        Assert.Equal(1, _net.Rib.Counters(1, Families.Ipv4Unicast).Advertised);

        IEnumerable<string> Told() => _net.Paths(1, Block).Select(p => p.Attributes.AsPath.ToString()).Order();
    }

    [Fact]
    public void The_number_of_a_path_that_went_may_serve_another_prefix_before_the_peer_hears_of_either()
    {
        var other = Cidr.Parse("10.65.3.0/26");
        var set = new PathAttributes { AsPath = AsPath.Sequence(65002) };
        _net.Announce(Two, set, IpAddr.Parse("10.0.0.2"), [Block]);
        _net.TakeAll();

        _net.Withdraw(Two, [Block]);
        _net.Announce(Two, set, IpAddr.Parse("10.0.0.2"), [other]);
        _net.TakeAll();

        Assert.Empty(_net.Paths(1, Block));
        Assert.Single(_net.Paths(1, other));
    }

    [Fact]
    public void A_change_of_one_path_does_not_repeat_the_others()
    {
        var prefixes = Enumerable.Range(0, 50).Select(i => Cidr.Parse($"10.66.{i}.0/24")).ToArray();
        _net.Announce(Two, new PathAttributes { AsPath = AsPath.Sequence(65002) }, IpAddr.Parse("10.0.0.2"), prefixes);
        _net.Announce(Three, new PathAttributes { AsPath = AsPath.Sequence(65003) }, IpAddr.Parse("10.0.0.3"), prefixes);
        _net.TakeAll();
        Assert.Equal(100, _net.Rib.Counters(1, Families.Ipv4Unicast).Advertised);

        _net.Announce(Two, new PathAttributes { AsPath = AsPath.Sequence(65002, 9) }, IpAddr.Parse("10.0.0.2"), prefixes);
        var buffer = new byte[70_000];
        var length = _net.Rib.FillUpdates(1, buffer);

        // Header, attributes, and fifty prefixes of eight octets.
        Assert.InRange(length, 400, 500);
    }

    private static SessionConfig Config(string id) => new()
    {
        LocalAs = new Asn(64512),
        RouterId = RouterId.Parse(id),
        PeerAs = new Asn(64512),
        PeerAddress = IpAddr.Parse("10.0.0.2"),
        AddPaths = true,
    };
}

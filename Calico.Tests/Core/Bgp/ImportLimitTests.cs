using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;
using CsCheck;

namespace Calico.Tests.Core.Bgp;

/// <summary>What a peer's routes may not be: ours, too often, or too many.</summary>
[Layer("unit")]
public class ImportLimitTests
{
    private static readonly RibPeer External = RibHarness.Peer(3, isInternal: false);
    private readonly RibHarness _net = new();

    [Theory]
    [InlineData(0, 0)]
    [InlineData(1, 1)]
    [InlineData(2, 2)]
    [InlineData(9, 3)]
    public void Our_own_as_may_stand_in_a_path_as_often_as_allowed(int allowed, int accepted)
    {
        var peer = External with { AllowedOwnAs = allowed };
        _net.Up(peer);
        _net.Announce(peer, Path(65003, 64512), "10.0.0.3", "192.0.1.0/24");
        _net.Announce(peer, Path(65003, 64512, 64512), "10.0.0.3", "192.0.2.0/24");
        _net.Announce(peer, Path(65003, 64512, 7, 64512, 64512), "10.0.0.3", "192.0.3.0/24");
        _net.TakeAll();

        Assert.Equal(accepted, _net.Kernel.Count);
    }

    [Fact]
    public void The_as_that_the_peer_sees_and_the_speakers_are_both_our_own()
    {
        var peer = External with { LocalAs = new Asn(65100), AllowedOwnAs = 1 };
        _net.Up(peer);
        _net.Announce(peer, Path(65003, 65100), "10.0.0.3", "192.0.1.0/24");
        _net.Announce(peer, Path(65003, 65100, 64512), "10.0.0.3", "192.0.2.0/24");
        _net.TakeAll();

        Assert.Equal("192.0.1.0/24", Assert.Single(_net.Kernel.Keys).ToString());
    }

    [Fact]
    public void A_peer_in_the_speakers_as_that_sees_another_of_ours_is_external_and_heard()
    {
        var peer = External with { As = RibHarness.Own, LocalAs = new Asn(65100) };
        _net.Up(peer);
        _net.Announce(peer, Path(64512), "10.0.0.3", "192.0.1.0/24");
        _net.TakeAll();

        Assert.Single(_net.Kernel);
    }

    [Fact]
    public void One_prefix_more_than_allowed_is_told_once_and_none_of_them_is_taken()
    {
        _net.Up(External with { MaxPrefixes = 4, WarnPrefixes = 3 });
        for (var i = 0; i < 3; i++)
            Announce($"192.0.{i}.0/24");
        Assert.Equal(new PrefixLimitCrossed(3, Families.Ipv4Unicast, 4, false), Assert.Single(_net.Rib.TakeLimitsCrossed()));

        Announce("192.0.3.0/24");
        Announce("192.0.3.0/24");
        Assert.Empty(_net.Rib.TakeLimitsCrossed());
        for (var i = 4; i < 9; i++)
            Announce($"192.0.{i}.0/24");

        Assert.Equal(new PrefixLimitCrossed(3, Families.Ipv4Unicast, 4, true), Assert.Single(_net.Rib.TakeLimitsCrossed()));
        Assert.Equal(4, _net.Rib.Prefixes(Families.Ipv4Unicast));
        _net.TakeAll();
        Assert.Equal(4, _net.Kernel.Count);
        Assert.Equal(1, _net.Rib.Attributes(Families.Ipv4Unicast).Count);
    }

    [Fact]
    public void What_a_restarted_peer_has_not_confirmed_makes_room_for_what_it_says_now()
    {
        var peer = External with { MaxPrefixes = 2 };
        _net.Up(peer);
        Announce("192.0.1.0/24");
        Announce("192.0.2.0/24");
        _net.Down(3, Families.Both);
        _net.Up(peer);
        Announce("192.0.2.0/24");
        Announce("192.0.3.0/24");
        _net.TakeAll();

        Assert.Equal(["192.0.2.0/24", "192.0.3.0/24"], _net.Kernel.Keys.Order().Select(p => p.ToString()));
        Assert.Empty(_net.Rib.TakeLimitsCrossed());
    }

    [Fact]
    public void A_lower_limit_applies_to_what_is_there_and_repeats_nothing()
    {
        _net.Up(External);
        Announce("192.0.1.0/24");
        Announce("192.0.2.0/24");
        _net.TakeAll();

        _net.Change(External with { MaxPrefixes = 1 });

        Assert.Equal(new PrefixLimitCrossed(3, Families.Ipv4Unicast, 1, true), Assert.Single(_net.Rib.TakeLimitsCrossed()));
        Assert.False(_net.Rib.HasUpdates(3));
    }

    [Fact]
    public void Never_more_is_held_than_allowed_whatever_the_history() =>
        Gen.Select(Gen.Int[0, 30], Gen.Int[0, 9]).Array[1, 60].Sample(steps =>
        {
            var net = new RibHarness();
            net.Up(External with { MaxPrefixes = 5 });
            foreach (var (prefix, what) in steps)
            {
                if (what < 2)
                    net.Withdraw(External, $"192.0.{prefix}.0/24");
                else
                    net.Announce(External, Path(65003), "10.0.0.3", $"192.0.{prefix}.0/24");
                Assert.InRange(net.Rib.Dump(Families.Ipv4Unicast).Count(), 0, 5);
                Assert.Equal(net.Rib.Dump(Families.Ipv4Unicast).Count(),
                    net.Rib.Counters(3, Families.Ipv4Unicast).Received);
            }
        }, iter: 200);

    private void Announce(string prefix) => _net.Announce(External, Path(65003), "10.0.0.3", prefix);

    private static PathAttributes Path(params uint[] path) => new() { AsPath = AsPath.Sequence(path) };
}

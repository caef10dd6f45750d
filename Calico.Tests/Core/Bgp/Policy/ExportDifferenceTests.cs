using Calico.Core.Bgp.Policy;
using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Wire;
using Calico.Core.Model;
using Calico.Core.Net;
using CsCheck;

namespace Calico.Tests.Core.Bgp.Policy;

/// <summary>A changed list of ranges concerns what lies in them: nothing else is told again.</summary>
[Layer("unit")]
public class ExportDifferenceTests
{
    private static readonly Gen<Cidr> Ranges = Gen.Select(Gen.UInt[0, 255], Gen.Int[20, 32], (n, length) => new Cidr(IpAddr.FromV4(0x0A010000u + n), length).Network);
    private static readonly Gen<ValueList<Cidr>> Lists = Ranges.List[0, 4].Select(l => new ValueList<Cidr>([.. l.Distinct().Order()]));

    private static readonly Gen<ClusterExport> Exports = Gen.Select(Lists, Lists, Lists, Lists,
        (hidden, pools, blocks, reflected) => new ClusterExport { HiddenPools = hidden, Pools = pools, Blocks = blocks, Reflected = reflected });

    [Fact]
    public void Outside_of_the_difference_both_decide_the_same() => Gen.Select(Exports, Exports, Ranges, Gen.Bool).Sample((one, other, prefix, isOurs) =>
    {
        var bed = new PolicyBed();
        var (before, after) = (new ExportPolicy([], one), new ExportPolicy([], other));
        var route = bed.Route(prefix.ToString(), isOurs ? PolicyBed.Ours : PolicyBed.Internal, PolicyBed.External);
        var difference = after.DifferenceFrom(before)!.Value;

        Assert.Equal(difference.Order(), before.DifferenceFrom(after)!.Value.Order());
        if (!difference.Any(r => r.Contains(prefix)))
            Assert.Equal(bed.Lets(before, route), bed.Lets(after, route));
    }, iter: 5_000);

    [Fact]
    public void What_is_more_than_ranges_may_be_anywhere()
    {
        var cluster = new ClusterExport { Pools = PolicyBed.Ranges("10.1.0.0/16") };
        var policy = new ExportPolicy([], cluster);

        Assert.Empty(policy.DifferenceFrom(new ExportPolicy([], cluster))!.Value);
        Assert.Null(policy.DifferenceFrom(new ExportPolicy([], cluster with { NormalPriority = 512 })));
        Assert.Null(policy.DifferenceFrom(new ExportPolicy([FilterRule.RejectAll], cluster)));
        Assert.Null(policy.DifferenceFrom(new ExportPolicy([], null)));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_gained_block_takes_its_parts_back_and_repeats_nothing(bool addPath)
    {
        var net = new RibHarness();
        var cluster = new ClusterExport { Pools = PolicyBed.Ranges("10.1.0.0/16") };
        var source = RibHarness.Peer(1, isInternal: true);
        var target = RibHarness.Peer(2, isInternal: false, export: new ExportPolicy([], cluster), addPath: addPath);
        net.Up(source);
        net.Up(target);
        for (var i = 0; i < 50; i++)
            net.Announce(source, new PathAttributes { AsPath = AsPath.Empty, LocalPref = 100, Med = (uint)i }, "10.0.0.1", $"10.1.{i}.0/26", $"10.1.{i}.9/32");
        net.TakeAll();
        Assert.Equal(100, net.Rib.Counters(2, Families.Ipv4Unicast).Advertised);
        var sent = net.Rib.Counters(2, Families.Ipv4Unicast).UpdatesSent;

        net.Change(target with { Export = new ExportPolicy([], cluster with { Blocks = PolicyBed.Ranges("10.1.7.0/26") }) });
        net.TakeAll();

        Assert.Empty(net.Paths(2, Cidr.Parse("10.1.7.9/32")));
        Assert.NotEmpty(net.Paths(2, Cidr.Parse("10.1.7.0/26")));
        Assert.Equal(99, net.Rib.Counters(2, Families.Ipv4Unicast).Advertised);
        Assert.InRange(net.Rib.Counters(2, Families.Ipv4Unicast).UpdatesSent - sent, 1, 3);

        net.Change(target);
        net.TakeAll();
        Assert.NotEmpty(net.Paths(2, Cidr.Parse("10.1.7.9/32")));
    }
}

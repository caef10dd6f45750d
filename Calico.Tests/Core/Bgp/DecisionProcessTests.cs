using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;
using CsCheck;

namespace Calico.Tests.Core.Bgp;

[Layer("unit")]
public class DecisionProcessTests
{
    private static readonly Candidate Typical = new()
    {
        External = true,
        Facts = new(Origin.Igp, AttributeTraits.None, 2, 0, 65001, 0, 100, default),
        Metric = 10,
        RouterId = new(50),
        PeerAddress = IpAddr.Parse("10.0.0.50"),
    };

    public static TheoryData<string> Steps => [.. Better.Keys];

    // Each is better than the typical route in one step and as bad as can be in all later ones.
    private static readonly Dictionary<string, Candidate> Better = new()
    {
        ["1 own"] = Worst with { Local = true, Facts = Worst.Facts with { LocalPref = 1 } },
        ["2 local preference"] = Worst with { Facts = Worst.Facts with { LocalPref = 101 } },
        ["3 path length"] = Worst with { Facts = Worst.Facts with { LocalPref = 100, Hops = 1 } },
        ["4 origin"] = Typical with { Facts = Typical.Facts with { Med = 9 }, External = false, Metric = 99 },
        ["5 med"] = Worst with { Facts = Typical.Facts with { Med = 0 } },
        ["6 external"] = Worst with { Facts = Typical.Facts, External = true },
        ["7 metric"] = Worst with { Facts = Typical.Facts, External = true, Metric = 9 },
        ["8 identifier"] = Worst with { Facts = Typical.Facts, External = true, Metric = 10, RouterId = new(49) },
        ["10 address"] = Typical with { PeerAddress = IpAddr.Parse("10.0.0.9") },
    };

    private static Candidate Worst => Typical with
    {
        External = false,
        Facts = new(Origin.Incomplete, AttributeTraits.None, 9, 9, 65001, 9, 99, default),
        Metric = 99,
        RouterId = new(99),
        PeerAddress = IpAddr.Parse("10.0.0.99"),
    };

    [Theory]
    [MemberData(nameof(Steps))]
    public void An_earlier_step_outweighs_all_later_ones(string step)
    {
        var other = step switch
        {
            "4 origin" => Typical with { Facts = Typical.Facts with { Origin = Origin.Egp } },
            "5 med" => Typical with { Facts = Typical.Facts with { Med = 1 } },
            "6 external" => Typical with { External = false },
            _ => Typical,
        };
        foreach (var swap in new[] { false, true })
        {
            Candidate[] both = swap ? [other with { Path = 1 }, Better[step] with { Path = 2 }]
                : [Better[step] with { Path = 2 }, other with { Path = 1 }];

            DecisionProcess.Select(both);

            Assert.Equal(2, both[0].Path);
        }
    }

    [Fact]
    public void Shorter_cluster_list_breaks_a_tie_of_identifiers()
    {
        Candidate[] both = [Typical with { Path = 1, Facts = Typical.Facts with { ClusterListLength = 2 } },
            Typical with { Path = 2, PeerAddress = IpAddr.Parse("10.0.0.99") }];

        DecisionProcess.Select(both);

        Assert.Equal(2, both[0].Path);
    }

    [Fact]
    public void Med_counts_only_between_routes_of_one_neighbour()
    {
        var a = Typical with { Path = 1, RouterId = new(1), Facts = Typical.Facts with { Med = 100 } };
        var b = Typical with
        {
            Path = 2,
            RouterId = new(2),
            Facts = Typical.Facts with { Med = 0, NeighbourAs = 65002 }
        };
        var c = Typical with { Path = 3, RouterId = new(3), Facts = Typical.Facts with { Med = 50 } };
        Candidate[] all = [a, b, c];

        Assert.Equal(2, DecisionProcess.Select(all));
        // a lost to c inside AS 65001, so b's identifier decides although a's is lower.
        Assert.Equal(2, all[0].Path);
    }

    [Fact]
    public void The_order_of_arrival_never_matters()
    {
        Gen.Select(Lists, Gen.Int[0, 1000]).Sample((list, seed) =>
        {
            var shuffled = (Candidate[])list.Clone();
            new Random(seed).Shuffle(shuffled);

            var first = DecisionProcess.Select(list);
            var second = DecisionProcess.Select(shuffled);

            Assert.Equal(list.Take(first).Select(c => c.Path), shuffled.Take(second).Select(c => c.Path));
        }, iter: 3000);
    }

    [Fact]
    public void An_explanation_tells_the_choice_as_it_was_made() => Lists.Sample(list =>
    {
        var explained = DecisionProcess.Explain(list);
        var all = list.Select(c => c.Path).ToList();
        var survivors = DecisionProcess.Select(list);

        Assert.Equal(all, explained.Select(e => e.Of.Path).Order());
        Assert.Equal((list[0].Path, null), (explained[0].Of.Path, explained[0].LostAt));
        Assert.Equal(list.Take(survivors).Select(c => c.Path).Order(),
            explained.Where(e => e.LostAt is null or > DecisionStep.Metric).Select(e => e.Of.Path).Order());
    }, iter: 3000);

    private static Gen<Candidate[]> Lists => Gen.Select(Gen.Int[0, 1], Gen.UInt[0, 2], Gen.UInt[0, 2], Gen.UInt[1, 3], Gen.Bool, Gen.UInt[0, 1], Gen.UInt[0, 3],
        (origin, med, hops, neighbour, external, metric, id) => Typical with
        {
            External = external,
            Metric = metric,
            RouterId = new(id),
            Facts = new((Origin)origin, 0, (ushort)hops, 0, neighbour, med, 100, default),
        }).Array[1, 8].Select(list => list.Select((c, i) => c with { Path = i, PeerAddress = IpAddr.FromV4((uint)i) }).ToArray());
}

using System.Collections.Immutable;
using Calico.Actors.Ipam;
using Calico.Core.Feed;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using CsCheck;

namespace Calico.Tests.Actors.Ipam;

/// <summary>
/// The search for blocks in pools, against a model that looks at every block: whatever the feed says and whoever refuses, a
/// node asks for blocks that it may have, one after the other, and gives up when and only when there is none.
/// </summary>
[Layer("unit")]
public class BlockSearchModelTests
{
    private static readonly ImmutableArray<PoolRef> Pools =
    [
        new("one", Cidr.Parse("10.65.0.0/28"), 30), new("two", Cidr.Parse("10.66.0.0/29"), 31), new("six", Cidr.Parse("fd00::/124"), 126),
    ];

    private static readonly ImmutableArray<Cidr> Blocks = [.. Pools.SelectMany(p => BlockCandidates.Of(p.Cidr, p.BlockSize, "any")).Order()];

    /// <summary>What becomes of each block: nobody's, another's as the feed says, another's as only its owner knows, reserved.</summary>
    private static readonly Gen<int[]> Fates = Gen.Int[0, 3].Array[Blocks.Length];

    [Fact]
    public void Every_block_that_can_be_had_is_asked_for_once_and_no_other() =>
        Gen.Select(Fates, Gen.Int[1, 7], Gen.Int[0, 3]).Sample((fates, pools, node) =>
        {
            var named = Pools.Where((_, i) => (pools & (1 << i)) != 0).ToImmutableArray();
            foreach (var family in named.Select(p => p.Cidr.Version).Distinct())
                Search(fates, named, family, "node" + node);
        }, iter: 2000);

    private static void Search(int[] fates, ImmutableArray<PoolRef> pools, IpVersion family, string node)
    {
        var settings = new LeaseSettings(TimeProvider.System);
        var search = new BlockSearch(node, safeguard: 1000, settings);
        int Fate(Cidr block) => fates[Blocks.IndexOf(block)];
        settings.Learn(Blocks.Where(b => Fate(b) == 3).Select((b, i) => Reservation("r" + i, b)), (_, why) => Assert.Fail(why));
        search.Learn(Blocks.Where(b => Fate(b) == 1).Select(b => new FeedItem(IpamKeys.Affinity("other", b), "{}"u8.ToArray(), 1)), inSync: true);
        var may = pools.Where(p => p.Cidr.Version == family).SelectMany(p => Blocks.Where(b => p.Cidr.Contains(b))).ToHashSet();
        var request = new LeaseRequest.Allocate(new LeaseProtocol.Allocate(1, new AllocationRequest("h", ImmutableSortedDictionary<string, string>.Empty,
            [family], [.. pools.Select(p => p.Cidr)], []), pools, _ => []), _ => { }, TimeSpan.MaxValue)
        {
            Lacks = family,
        };

        var held = new List<Cidr>();
        var asked = new HashSet<Cidr>();
        var now = TimeSpan.FromHours(1);
        while (search.Next(request, held, now) is BlockSearch.Step.Ask ask)
        {
            Assert.Contains(ask.Block, may);
            Assert.True(asked.Add(ask.Block), $"{ask.Block} is asked for twice");
            Assert.DoesNotContain(Fate(ask.Block), (int[])[1, 3]);
            // While the answer is on its way, nobody asks again.
            Assert.IsType<BlockSearch.Step.Wait>(search.Next(request, held, now));
            if (Fate(ask.Block) == 0)
            {
                Assert.True(search.Answered(ask.RequestId));
                held.Add(ask.Block);
            }
            else
            {
                Assert.True(search.Refused(new BlockProtocol.BlockRefused(ask.Block, BlockProtocol.Refusal.HeldByAnother, "host:other", ask.RequestId), now));
            }
            now += TimeSpan.FromMilliseconds(1);
        }

        Assert.Equal(may.Where(b => Fate(b) is 0 or 2).Order(), asked.Order());
        // A refusal that the feed has not confirmed yet is not the last word.
        var unconfirmed = may.Any(b => Fate(b) == 2);
        Assert.Equal(unconfirmed, search.Next(request, held, now) is BlockSearch.Step.Wait);
        search.Learn(Blocks.Where(b => Fate(b) == 2).Select(b => new FeedItem(IpamKeys.Affinity("other", b), "{}"u8.ToArray(), 2)), inSync: true);
        Assert.IsType<BlockSearch.Step.Exhausted>(search.Next(request, held, now));
    }

    private static FeedItem Reservation(string name, Cidr block) => new(new ResourceKey(ResourceKind.IPReservation, null, name).Path,
        ResourceCodec.Encode(new IPReservation
        {
            Metadata = new ObjectMeta { Name = name },
            Spec = new IPReservationSpec { ReservedCIDRs = [block.ToString()] },
        }), 1);
}

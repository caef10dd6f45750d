using System.Collections.Immutable;
using System.Text;
using System.Text.Json;
using Calico.Core.Ipam;
using Calico.Core.Net;
using CsCheck;

namespace Calico.Tests.Core.Ipam;

[Layer("unit")]
public class IpamBlockTests
{
    private static readonly DateTimeOffset Now = new(2026, 8, 22, 10, 0, 0, TimeSpan.Zero);
    private static AllocationAttributes Owner(string handle) => new(handle, null);
    private static IpamBlock Block(string cidr = "10.65.1.248/29") => IpamBlock.Create(Cidr.Parse(cidr), "host:n1", Now);

    // The example of the Calico etcd layout: one address in use, one cooling down.
    private const string Stored =
        """{"cidr":"10.65.1.248/29","affinity":"host:n1","affinity_claim_time":"2026-08-22T10:00:00Z","allocations":[null,0,1,null,null,null,null,null],"unallocated":[0,3,4,5,6,7],"attributes":[{"handle_id":"k8s-pod-network.4f0c","secondary":{"namespace":"web","node":"n1","pod":"web-0","timestamp":"2026-08-22 10:00:01 +0000 UTC"}},{"handle_id":"k8s-pod-network.77aa","releasedAt":"2026-08-22T10:05:00Z"}],"deleted":false,"sequenceNumber":1787392800000000003,"sequenceNumberForAllocation":{"1":1787392800000000001},"fromTheFuture":{"x":[1,2]}}""";

    [Fact]
    public void The_stored_form_survives_reading_and_writing_with_unknown_keys_and_large_counters() =>
        Assert.Equal(Stored, Encoding.UTF8.GetString(IpamJson.WriteBlock(IpamJson.ParseBlock(Encoding.UTF8.GetBytes(Stored)))));

    [Theory]
    [InlineData("""{"cidr":"10.0.0.0/30","allocations":[null],"unallocated":[]}""")]
    [InlineData("""{"cidr":"10.0.0.0/30","allocations":[0,null,null,null],"unallocated":[],"attributes":[]}""")]
    [InlineData("""{"cidr":"10.0.0.0/30","allocations":[null,null,null,null],"unallocated":[9]}""")]
    [InlineData("""{"cidr":"10.0.0.0/8"}""")]
    [InlineData("""{"cidr":"nonsense"}""")]
    [InlineData("""{"cidr":42}""")]
    [InlineData("""{"cidr":"10.0.0.0/31","allocations":["a",null],"unallocated":[1]}""")]
    [InlineData("""{"cidr":"10.0.0.0/31","allocations":[99999999999,null],"unallocated":[1]}""")]
    [InlineData("""{"cidr":"10.0.0.0/31","allocations":[0,null],"unallocated":[1],"attributes":["x"]}""")]
    [InlineData("""{"cidr":"10.0.0.0/31","allocations":[null,null],"sequenceNumberForAllocation":{"one":1}}""")]
    [InlineData("""{"cidr":"10.0.0.0/31","allocations":[null,null],"sequenceNumber":-1}""")]
    [InlineData("[]")]
    [InlineData("{")]
    public void A_value_that_is_not_a_block_is_a_format_error(string json) =>
        Assert.Throws<FormatException>(() => IpamJson.ParseBlock(Encoding.UTF8.GetBytes(json)));

    [Fact]
    public void A_queue_that_contradicts_the_allocations_hands_nothing_out_twice_and_loses_nothing()
    {
        var block = IpamJson.ParseBlock(Encoding.UTF8.GetBytes(
            """{"cidr":"10.0.0.0/30","allocations":[0,null,null,null],"unallocated":[3,0,3],"attributes":[{"handle_id":"a"}]}"""));

        Assert.Equal([3, 1, 2], block.Unallocated);
        Assert.Equal((3, 1), (block.FreeCount, block.AllocatedCount));
    }

    [Fact]
    public void Released_addresses_go_to_the_end_of_the_queue()
    {
        var block = Block("10.0.0.0/30");
        var first = block.AutoAssign(Owner("a"))!.Value;
        block.Release(first);

        var order = Enumerable.Range(0, 4).Select(_ => block.AutoAssign(Owner("b"))!.Value.ToString());

        Assert.Equal(["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.0"], order);
        Assert.Null(block.AutoAssign(Owner("b")));
    }

    [Fact]
    public void A_release_must_name_the_allocation_it_means()
    {
        var block = Block();
        var address = block.AutoAssign(Owner("new"))!.Value;

        Assert.Equal(AllocationRefusal.OwnedByAnother, block.Release(address, "old"));
        Assert.Equal(AllocationRefusal.OwnedByAnother, block.Release(address, "new", sequenceNumber: 1));
        Assert.Equal(AllocationRefusal.None, block.Release(address, "new", block.SequenceNumber));
        Assert.Equal(AllocationRefusal.NotAssigned, block.Release(address));
    }

    [Fact]
    public void A_released_address_keeps_the_time_of_its_release_and_nothing_else_while_it_rests_as_calico_writes_it()
    {
        var block = Block("10.0.0.0/30");
        var owner = new AllocationAttributes("k8s-pod-network.77aa", new Dictionary<string, string> { ["pod"] = "web-0" });
        var address = block.AutoAssign(owner)!.Value;
        block.SequenceNumber = 7;

        block.Cool([address], Now);

        var stored = JsonDocument.Parse(IpamJson.WriteBlock(block)).RootElement;
        Assert.Equal("[0,null,null,null]", stored.GetProperty("allocations").GetRawText());
        Assert.Equal("""[{"releasedAt":"2026-08-22T10:00:00Z"}]""", stored.GetProperty("attributes").GetRawText());
        Assert.Equal("""{"0":7}""", stored.GetProperty("sequenceNumberForAllocation").GetRawText());
        Assert.Equal((1, 1, null), (block.CoolingCount, block.AllocatedCount, block.AddressOf("k8s-pod-network.77aa")));
        // One that somebody else wrote with its handle is nobody's as well.
        var other = IpamJson.ParseBlock(Encoding.UTF8.GetBytes(Stored));
        Assert.Equal((1, null), (other.CoolingCount, other.AddressOf("k8s-pod-network.77aa")));
    }

    [Fact]
    public void A_reserved_address_is_never_handed_out()
    {
        var block = Block("10.0.0.0/30");

        var given = Enumerable.Range(0, 4).Select(_ => block.AutoAssign(Owner("a"), a => a.Bits % 2 == 0)).OfType<IpAddr>();

        Assert.Equal(["10.0.0.1", "10.0.0.3"], given.Select(a => a.ToString()));
    }

    // Random operations against a plain dictionary: every address is free or owned, never both, and nothing is lost.
    [Fact]
    public void The_block_agrees_with_a_naive_model()
    {
        var operation = Gen.Select(Gen.Int[0, 3], Gen.Int[0, 7], Gen.Int[0, 4]);
        operation.Array[1, 80].Sample(operations =>
        {
            var block = Block();
            var model = new Dictionary<IpAddr, string>();
            foreach (var (kind, ordinal, handle) in operations)
            {
                var address = block.AddressAt(ordinal);
                block.SequenceNumber++;
                switch (kind)
                {
                    case 0:
                        if (block.AutoAssign(Owner($"h{handle}")) is { } got)
                            model.Add(got, $"h{handle}");
                        else
                            Assert.Equal(8, model.Count);
                        break;
                    case 1:
                        Assert.Equal(!model.ContainsKey(address), block.Assign(address, Owner($"h{handle}")) == AllocationRefusal.None);
                        model.TryAdd(address, $"h{handle}");
                        break;
                    case 2:
                        var mine = model.TryGetValue(address, out var o) && o == $"h{handle}";
                        Assert.Equal(mine, block.Release(address, $"h{handle}") == AllocationRefusal.None);
                        if (mine)
                            model.Remove(address);
                        break;
                    default:
                        block.ReleaseWhere((_, a) => a.HandleId == $"h{handle}");
                        foreach (var (a, _) in model.Where(m => m.Value == $"h{handle}").ToList())
                            model.Remove(a);
                        break;
                }
                block = IpamJson.ParseBlock(IpamJson.WriteBlock(block));
                Assert.Equal(model.OrderBy(m => m.Key).Select(m => (m.Key, m.Value)), block.Assigned().Select(a => (a.Address, a.Owner.HandleId!)));
                Assert.Equal(block.Capacity, block.AllocatedCount + block.FreeCount);
                Assert.Equal(block.FreeCount, block.Unallocated.Distinct().Count());
                Assert.All(Enumerable.Range(0, block.Attributes.Count), i => Assert.Contains((int?)i, block.Allocations));
            }
        });
    }

    [Theory]
    [InlineData(-31, true)]
    [InlineData(-30, false)]
    [InlineData(60, false)]
    [InlineData(10 * 365 * 24 * 3600, true)]
    public void An_address_rests_for_its_time_and_not_for_the_years_that_a_wrong_clock_gave_it(int releasedIn, bool rested)
    {
        var now = new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

        Assert.Equal(rested, IpamBlock.HasRested(now.AddSeconds(releasedIn), TimeSpan.FromSeconds(30), now));
    }

    [Fact]
    public void Dual_stack_is_all_or_nothing()
    {
        var v4 = new HeldBlock(Block("10.0.0.0/30"), 5, 4);
        var held = new Dictionary<Cidr, HeldBlock> { [v4.Block.Cidr] = v4 };
        var batch = new LeaseBatch(held, new LeaseRules());

        var outcome = batch.Allocate(new AllocationRequest("h", ImmutableSortedDictionary<string, string>.Empty,
            [IpVersion.V4, IpVersion.V6], [], []));

        Assert.Equal(new AllocationOutcome.NeedsBlock(IpVersion.V6), outcome);
        Assert.True(batch.IsEmpty);
    }

    [Fact]
    public void A_batch_leaves_the_held_blocks_alone_until_it_is_committed()
    {
        var held = new Dictionary<Cidr, HeldBlock>();
        var block = new HeldBlock(Block("10.0.0.0/30"), 5, 4);
        held[block.Block.Cidr] = block;
        var batch = new LeaseBatch(held, new LeaseRules());

        var a = batch.Allocate(new AllocationRequest("h1", ImmutableSortedDictionary<string, string>.Empty, [IpVersion.V4], [], []));
        var b = batch.Allocate(new AllocationRequest("h2", ImmutableSortedDictionary<string, string>.Empty, [IpVersion.V4], [], []));

        Assert.Equal("10.0.0.0", Assert.IsType<AllocationOutcome.Granted>(a).Addresses.Single().ToString());
        Assert.Equal("10.0.0.1", Assert.IsType<AllocationOutcome.Granted>(b).Addresses.Single().ToString());
        Assert.True(block.Block.IsEmpty);
        Assert.Equal(block.Block.SequenceNumber + 1, batch.Changed[block.Block.Cidr].SequenceNumber);
        Assert.Equal(["h1", "h2"], batch.HandleDeltas.Keys);
    }

    [Fact]
    public void Candidates_visit_every_block_of_the_pool_once()
    {
        var pool = Cidr.Parse("10.65.0.0/24");

        var visited = BlockCandidates.Of(pool, 26, "node-1").ToList();

        Assert.Equal(["10.65.0.0/26", "10.65.0.128/26", "10.65.0.192/26", "10.65.0.64/26"], visited.Select(c => c.ToString()).Order(StringComparer.Ordinal));
    }

    // The first half of a /64 is reserved: block by block that would be 2^57 steps.
    [Theory]
    [InlineData("fd00:65::/64", "fd00:65::/65", 122)]
    [InlineData("10.64.0.0/10", "10.64.0.0/11", 32)]
    public void A_network_that_is_not_wanted_is_passed_over_in_one_step(string pool, string reserved, int blockSize)
    {
        var (cidr, network) = (Cidr.Parse(pool), Cidr.Parse(reserved));
        var asked = 0;
        foreach (var host in Enumerable.Range(1, 50))
        {
            var blocks = BlockCandidates.Of(cidr, blockSize, "node-" + host, b =>
            {
                asked++;
                return network.Contains(b) ? network : null;
            }).Take(10).ToList();

            Assert.All(blocks, b => Assert.True(cidr.Contains(b) && !network.Contains(b)));
            Assert.Equal(blocks.Count, blocks.Distinct().Count());
        }
        Assert.InRange(asked, 1, 50 * 12);
    }

    [Fact]
    public void Candidates_beside_a_network_that_is_not_wanted_are_all_visited()
    {
        var (pool, reserved) = (Cidr.Parse("10.65.0.0/24"), Cidr.Parse("10.65.0.64/26"));
        foreach (var host in Enumerable.Range(1, 20))
        {
            Assert.Equal(BlockCandidates.Of(pool, 28, "node-" + host).Where(b => !reserved.Contains(b)),
                BlockCandidates.Of(pool, 28, "node-" + host, b => reserved.Contains(b) ? reserved : null));
        }
    }

    [Theory]
    [InlineData("10.65.1.0/26", "/calico/ipam/v2/assignment/ipv4/block/10.65.1.0-26", "/calico/ipam/v2/host/n1/ipv4/block/10.65.1.0-26")]
    [InlineData("fd00::40/122", "/calico/ipam/v2/assignment/ipv6/block/fd00::40-122", "/calico/ipam/v2/host/n1/ipv6/block/fd00::40-122")]
    public void Keys_are_calicos(string cidr, string blockKey, string affinityKey)
    {
        var block = Cidr.Parse(cidr);

        Assert.Equal(blockKey, IpamKeys.Block(block));
        Assert.Equal(affinityKey, IpamKeys.Affinity("n1", block));
        Assert.True(IpamKeys.TryParseBlock(blockKey, out var b) && b == block);
        Assert.True(IpamKeys.TryParseAffinity(affinityKey, out var host, out b) && host == "n1" && b == block);
        Assert.False(IpamKeys.TryParseAffinity("/calico/ipam/v2/host/n1", out _, out _));
    }
}

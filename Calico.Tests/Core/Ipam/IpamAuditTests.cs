using System.Collections.Immutable;
using System.Text;
using System.Text.Json.Nodes;
using Calico.Core.Ipam;
using Calico.Core.Net;

namespace Calico.Tests.Core.Ipam;

[Layer("unit")]
public class IpamAuditTests
{
    private static readonly DateTimeOffset Now = new(2026, 8, 22, 10, 0, 0, TimeSpan.Zero);
    private static readonly Cidr First = Cidr.Parse("10.65.0.0/29");
    private static readonly PoolRecord Pool = new("pool", Cidr.Parse("10.65.0.0/24"), false);

    [Fact]
    public void Good_records_add_up_and_every_address_that_is_not_free_has_a_reason()
    {
        var block = Block(First, "node1", ("10.65.0.1", "net.a", "web", "node1"), ("10.65.0.2", "net.b", "db", "node2"), ("10.65.0.3", "net.c", "old", "node1"));
        block.Cool([IpAddr.Parse("10.65.0.3")], Now.AddSeconds(-10));

        var report = Report(Records([block], Use("10.65.0.1", "shop/web"), Use("10.65.0.2", "shop/db")) with
        {
            Reservations = [new ReservationRecord("routers", [Cidr.Parse("10.65.0.0/31")])],
        });

        Assert.True(report.IsClean, report.Summary);
        Assert.Equal("Clean: 1 pools, 1 blocks: 2 allocated + 1 cooling + 253 free = 256 of 256; 0 leaked, 0 duplicates, 0 violations, 0 other problems.", report.Summary);
        Assert.Equal("2 allocated + 1 cooling + 5 free = 8 of 8", Assert.Single(report.Blocks).Sums.ToString());
        Assert.Equal(["10.65.0.1 Allocated in use by Workload(shop/web)", "10.65.0.2 Allocated in use by Workload(shop/db)",
            "10.65.0.3 Cooling released, cools down until 2026-08-22T10:00:20Z"], report.Addresses.Select(a => $"{a.Address} {a.State} {a.Reason}"));
        Assert.Equal([false, true, false], report.Addresses.Select(a => a.IsBorrowed));
        Assert.Equal(new ReservedRange(Cidr.Parse("10.65.0.0/31"), "routers", "pool", 1), Assert.Single(report.Reserved));
        Assert.Equal(2, Assert.Single(report.Pools).Reserved);
    }

    [Theory]
    [InlineData("gone", "node1", "no endpoint of pod shop/gone exists")]
    [InlineData("web", "node1", "the endpoint of pod shop/web has other addresses")]
    [InlineData("gone", "node9", "its node node9 does not exist")]
    public void A_leaked_address_is_told_with_what_is_missing(string pod, string node, string reason)
    {
        var block = Block(First, "node1", ("10.65.0.1", "net.a", "web", "node1"), ("10.65.0.2", "net.x", pod, node));

        var report = Report(Records([block], Use("10.65.0.1", "shop/web")));

        var leaked = Assert.Single(report.Addresses, a => a.State == AddressState.Leaked);
        Assert.Equal((IpAddr.Parse("10.65.0.2"), reason), (leaked.Address, leaked.Reason));
        Assert.Equal((false, 1, 0), (report.IsClean, report.Leaked, report.Duplicates));
        Assert.Empty(report.Violations);
    }

    [Fact]
    public void An_address_that_two_use_and_one_that_two_blocks_assign_are_duplicates()
    {
        var inner = Cidr.Parse("10.65.0.4/30");
        var outer = Block(First, "node1", ("10.65.0.1", "net.a", "web", "node1"), ("10.65.0.5", "net.b", "db", "node1"));

        var report = Report(Records([outer, Block(inner, "node2", ("10.65.0.5", "net.c", "other", "node2"))],
            Use("10.65.0.1", "shop/web"), Use("10.65.0.1", "shop/copy"), Use("10.65.0.5", "shop/db")));

        Assert.Equal(2, report.Duplicates);
        Assert.Contains(report.Addresses, a => a.Address == IpAddr.Parse("10.65.0.1") && a.Reason == "in use by Workload(shop/copy) and Workload(shop/web)");
        Assert.Contains(report.Addresses, a => a.Address == IpAddr.Parse("10.65.0.5") && a.Reason == "assigned by the blocks 10.65.0.0/29 and 10.65.0.4/30");
        Assert.Contains("block 10.65.0.4/30 overlaps block 10.65.0.0/29: the addresses that they share may be given out twice", report.Violations);
        Assert.Contains(report.Violations, v => v.StartsWith("pool pool (10.65.0.0/24): ", StringComparison.Ordinal));
        Assert.False(report.Total.AddUp);
    }

    [Fact]
    public void An_address_that_is_neither_free_nor_owned_is_a_sum_that_is_wrong()
    {
        var json = JsonNode.Parse(IpamJson.WriteBlock(Block(First, "node1", ("10.65.0.1", "net.a", "web", "node1"))))!;
        json["unallocated"]!.AsArray().RemoveAt(0);
        var lossy = BlockAudit.Read(First, Encoding.UTF8.GetBytes(json.ToJsonString()), Now);

        var report = Report(Records([], Use("10.65.0.1", "shop/web")) with { Blocks = [lossy] });

        Assert.Equal(new BlockCounts(8, 1, 0, 6), lossy.Counts);
        Assert.False(report.IsClean);
        Assert.Contains(report.Violations, v => v.StartsWith("block 10.65.0.0/29: 1 allocated + 0 cooling + 6 free = 7 instead of 8", StringComparison.Ordinal));
        Assert.Contains(report.Violations, v => v.StartsWith("pool pool (10.65.0.0/24): 1 allocated + 0 cooling + 254 free = 255 instead of 256", StringComparison.Ordinal));
    }

    [Fact]
    public void Of_a_block_that_cannot_be_read_nothing_is_known_and_nobody_is_accused()
    {
        var broken = BlockAudit.Read(First, "{}"u8.ToArray(), Now);

        var report = Report(Records([], Use("10.65.0.1", "shop/web")) with { Blocks = [broken], Handles = [new HandleRecord("net.a", 1, [First])] });

        Assert.Equal((0, 0), (report.Leaked, report.Findings.LeakedHandles.Length));
        Assert.Empty(report.Findings.Unallocated);
        Assert.Contains(report.Violations, v => v.StartsWith("block 10.65.0.0/29: of its 8 addresses nothing is known", StringComparison.Ordinal));
    }

    [Fact]
    public void An_address_in_use_that_no_block_has_is_named_with_its_user()
    {
        var report = Report(Records([Block(First, "node1")], Use("10.65.0.1", "shop/web"), Use("192.0.2.1", "shop/far")));

        Assert.Equal(["10.65.0.1 Unallocated", "192.0.2.1 OutsidePools"], report.Addresses.Select(a => $"{a.Address} {a.State}"));
        Assert.Equal(2, report.Findings.Problems - report.Findings.StrayAffinities.Length);
        Assert.False(report.IsClean);
    }

    [Fact]
    public void Pools_that_overlap_and_a_block_larger_than_its_pool_are_violations()
    {
        var records = Records([Block(Cidr.Parse("10.66.0.0/28"), "node1")]) with
        {
            Pools = [Pool, new PoolRecord("inner", Cidr.Parse("10.65.0.128/25"), false), new PoolRecord("small", Cidr.Parse("10.66.0.8/29"), false)],
        };

        var violations = Report(records).Violations;

        Assert.Contains("pool inner (10.65.0.128/25) overlaps pool pool (10.65.0.0/24)", violations);
        Assert.Contains("block 10.66.0.0/28 is larger than pool small (10.66.0.8/29)", violations);
    }

    [Fact]
    public void Records_that_come_one_by_one_in_any_order_come_to_the_same_as_all_at_once()
    {
        for (var seed = 0; seed < 40; seed++)
        {
            var random = new Random(seed);
            var live = new IpamAudit();
            var blocks = new Dictionary<Cidr, AuditedBlock>();
            var uses = new Dictionary<string, ImmutableArray<AddressUse>>();
            var nodes = new HashSet<string>();
            live.SetPool(Pool.Name, Pool);
            for (var step = 0; step < 120; step++)
            {
                switch (random.Next(3))
                {
                    case 0:
                        var cidr = Cidr.Parse(random.Next(4) switch { 0 => "10.65.0.0/29", 1 => "10.65.0.8/29", 2 => "10.65.0.4/30", _ => "10.66.0.0/29" });
                        if (random.Next(4) == 0)
                            blocks.Remove(cidr);
                        else
                            blocks[cidr] = random.Next(12) == 0 ? BlockAudit.Read(cidr, "{}"u8.ToArray(), Now) : RandomBlock(cidr, random);
                        live.SetBlock(cidr, blocks.GetValueOrDefault(cidr));
                        break;
                    case 1:
                        var source = "source" + random.Next(5);
                        uses[source] = [.. Enumerable.Range(0, random.Next(3)).Select(_ => Use($"10.65.0.{random.Next(18)}", "shop/" + source))];
                        live.SetUses(source, uses[source]);
                        break;
                    default:
                        var node = "node" + random.Next(3);
                        if (!nodes.Remove(node))
                            nodes.Add(node);
                        live.SetNode(node, nodes.Contains(node));
                        break;
                }
            }

            var whole = new IpamRecords
            {
                Blocks = [.. blocks.Values.OrderBy(b => b.Cidr)],
                Affinities = [],
                Handles = [],
                Pools = [Pool],
                Uses = [.. uses.OrderBy(u => u.Key, StringComparer.Ordinal).SelectMany(u => u.Value)],
                Nodes = [.. nodes],
            };
            var expected = Report(whole);
            var actual = new IpamAccounts(live, TimeSpan.FromSeconds(30), Now).Report();
            Assert.Equal(expected.Summary, actual.Summary);
            Assert.Equal(expected.Violations.AsEnumerable(), actual.Violations);
            Assert.Equal(expected.Violations.Length, IpamAccounts.CountViolations(live));
            Assert.Equal(expected.Addresses.Select(Line), actual.Addresses.Select(Line));
            Assert.Equal(expected.Pools.AsEnumerable(), actual.Pools);
            Assert.Equal(expected.Blocks.AsEnumerable(), actual.Blocks);
        }
    }

    [Fact]
    public void A_hundred_thousand_addresses_are_audited_in_seconds()
    {
        var blocks = Enumerable.Range(0, 1600).Select(i =>
        {
            var cidr = BlockCandidates.At(Cidr.Parse("10.64.0.0/10"), 26, i);
            var block = IpamBlock.Create(cidr, $"host:node{i % 100}", Now);
            for (var o = 0; o < 64; o++)
                block.Assign(block.AddressAt(o), new AllocationAttributes($"net.{i}.{o}", new Dictionary<string, string> { ["node"] = $"node{i % 100}", ["pod"] = $"p{i}-{o}", ["namespace"] = "shop" }));
            return new AuditedBlock(cidr, block, null, new BlockCounts(64, 64, 0, 0));
        }).ToImmutableArray();
        var records = Records([]) with
        {
            Blocks = blocks,
            Pools = [.. Enumerable.Range(0, 1024).Select(i => new PoolRecord($"pool{i}", BlockCandidates.At(Cidr.Parse("10.64.0.0/10"), 20, i), false))],
            Uses = [.. blocks.SelectMany(b => b.Block!.Assigned().Skip(1).Select(a => new AddressUse(a.Address, "Workload(shop/x)")))],
            Nodes = [.. Enumerable.Range(0, 100).Select(i => $"node{i}")],
        };

        var watch = System.Diagnostics.Stopwatch.StartNew();
        var report = Report(records);

        Assert.Equal((1600, 0), (report.Leaked, report.Duplicates));
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(30), $"{watch.Elapsed}");
    }

    private static string Line(AccountedAddress a) =>
        $"{a.Address} {a.State} {a.Reason} {a.Pool} {a.Block} {a.Pod} {a.Node} {a.IsBorrowed}";

    private static AuditedBlock RandomBlock(Cidr cidr, Random random)
    {
        var block = IpamBlock.Create(cidr, "host:node" + random.Next(3), Now);
        foreach (var ordinal in Enumerable.Range(0, block.Capacity).Where(_ => random.Next(3) == 0))
        {
            block.Assign(block.AddressAt(ordinal), new AllocationAttributes("net." + random.Next(9),
                new Dictionary<string, string> { ["node"] = "node" + random.Next(3), ["namespace"] = "shop", ["pod"] = "source" + random.Next(6) }));
            if (random.Next(4) == 0)
                block.Cool([block.AddressAt(ordinal)], Now);
        }
        return Audited(block);
    }

    private static IpamAuditReport Report(IpamRecords records) => new IpamAccounts(IpamAudit.Of(records), TimeSpan.FromSeconds(30), Now).Report();

    private static AddressUse Use(string address, string pod) => new(IpAddr.Parse(address), $"Workload({pod})") { Pod = pod };

    private static AuditedBlock Audited(IpamBlock block) => BlockAudit.Read(block.Cidr, IpamJson.WriteBlock(block), Now);

    private static IpamBlock Block(Cidr cidr, string owner, params (string Address, string Handle, string Pod, string Node)[] assigned)
    {
        var block = IpamBlock.Create(cidr, "host:" + owner, Now);
        foreach (var (address, handle, pod, node) in assigned)
        {
            Assert.Equal(AllocationRefusal.None, block.Assign(IpAddr.Parse(address),
                new AllocationAttributes(handle, new Dictionary<string, string> { ["node"] = node, ["namespace"] = "shop", ["pod"] = pod })));
        }
        return block;
    }

    private static IpamRecords Records(IEnumerable<IpamBlock> blocks, params AddressUse[] uses)
    {
        var audited = blocks.Select(Audited).ToImmutableArray();
        return new IpamRecords
        {
            Blocks = audited,
            Affinities = [.. audited.Select(b => new AffinityRecord(b.Block!.Affinity!, b.Cidr, "confirmed"))],
            Handles = [.. audited.SelectMany(b => b.Block!.Assigned()).Select(a => a.Owner.HandleId).OfType<string>().Distinct().Select(h => new HandleRecord(h, 1, []))],
            Pools = [Pool],
            Uses = [.. uses],
            Nodes = ["node1", "node2"],
        };
    }
}

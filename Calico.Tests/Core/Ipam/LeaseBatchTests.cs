using System.Collections.Immutable;
using System.Diagnostics;
using System.Text;
using Calico.Core.Ipam;
using Calico.Core.Net;
using CsCheck;
using Xunit.Abstractions;

namespace Calico.Tests.Core.Ipam;

/// <summary>A batch finds what a handle has by an index; looking at every address of every block comes to the same.</summary>
[Layer("unit")]
public class LeaseBatchTests(ITestOutputHelper output)
{
    private static readonly DateTimeOffset Now = new(2026, 8, 22, 10, 0, 0, TimeSpan.Zero);

    private static AllocationRequest Request(string handle, params string[] wanted) => new(handle,
        ImmutableSortedDictionary<string, string>.Empty.Add("pod", handle), [IpVersion.V4], [], [.. wanted.Select(w => IpAddr.Parse(w))]);

    /// <summary>The same decisions, each by a look at everything.</summary>
    private sealed class Looking(SortedDictionary<Cidr, IpamBlock> blocks, LeaseRules rules)
    {
        private readonly HashSet<Cidr> _changed = [];

        public string Allocate(AllocationRequest request)
        {
            if (request.WantedOf(IpVersion.V4) is { } wanted)
            {
                var block = blocks.Values.FirstOrDefault(b => b.Cidr.Contains(wanted));
                var owner = block?.Assigned().Where(a => a.Address == wanted).Select(a => a.Owner).FirstOrDefault();
                return block is null ? "NotInBlock"
                    : owner is { ReleasedAt: null } ? owner.HandleId == request.HandleId ? wanted.ToString() : "AlreadyAssigned"
                    : owner is not null && !rules.HasRested(owner) ? "CoolingDown"
                    : Take(block, request, wanted);
            }
            foreach (var block in blocks.Values)
            {
                foreach (var (address, owner) in block.Assigned())
                {
                    if (owner.ReleasedAt is null && owner.HandleId == request.HandleId)
                        return address.ToString();
                }
            }
            var room = blocks.Values.FirstOrDefault(b => b.Unallocated.Any(o => !rules.IsKept(b.AddressAt(o)))
                || b.Assigned().Any(a => rules.HasRested(a.Owner) && !rules.IsKept(a.Address)));
            return room is null ? "NeedsBlock" : Take(room, request, null);
        }

        private string Take(IpamBlock block, AllocationRequest request, IpAddr? wanted)
        {
            Touch(block);
            var owner = new AllocationAttributes(request.HandleId, request.Attributes);
            if (wanted is { } address)
                block.Assign(address, owner);
            return (wanted ?? block.AutoAssign(owner, rules.IsKept))!.Value.ToString();
        }

        public string Release(string handle)
        {
            var all = new List<IpAddr>();
            foreach (var block in blocks.Values)
            {
                var leaving = block.Assigned().Where(a => a.Owner.ReleasedAt is null && a.Owner.HandleId == handle).Select(a => a.Address).ToList();
                if (leaving.Count == 0)
                    continue;
                Touch(block);
                all.AddRange(leaving);
                if (rules.Cooldown > TimeSpan.Zero)
                    block.Cool(leaving, rules.Now);
                else
                    block.ReleaseWhere((a, _) => leaving.Contains(a));
            }
            return string.Join(' ', all);
        }

        private void Touch(IpamBlock block)
        {
            if (!_changed.Add(block.Cidr))
                return;
            block.SequenceNumber++;
            block.CollectCooled(rules.Cooldown, rules.Now);
        }
    }

    private static string Describe(AllocationOutcome outcome) => outcome switch
    {
        AllocationOutcome.Granted granted => granted.Addresses[0].ToString(),
        AllocationOutcome.Refused refused => refused.Reason.ToString(),
        _ => "NeedsBlock",
    };

    [Fact]
    public void An_indexed_batch_decides_as_one_that_looks_at_every_address()
    {
        // Operation, handle, address; what is stored is read back every so often, as after a lost race.
        var operation = Gen.Select(Gen.Int[0, 5], Gen.Int[0, 5], Gen.Int[0, 19]);
        Gen.Select(operation.Array[1, 60], Gen.Int[0, 2], Gen.Int[1, 8]).Sample((operations, cooldown, batchSize) =>
        {
            Cidr[] cidrs = [Cidr.Parse("10.0.0.0/30"), Cidr.Parse("10.0.0.8/29"), Cidr.Parse("10.0.0.4/30")];
            var held = cidrs.ToDictionary(c => c, c => new HeldBlock(IpamBlock.Create(c, "host:n", Now), 1, 1));
            var model = new SortedDictionary<Cidr, IpamBlock>(cidrs.ToDictionary(c => c, c => IpamBlock.Create(c, "host:n", Now)));
            var second = 0;
            foreach (var some in operations.Chunk(batchSize))
            {
                var rules = new LeaseRules { Cooldown = TimeSpan.FromSeconds(cooldown * 3), Now = Now.AddSeconds(second++), IsReserved = a => a.Bits % 8 == 5 };
                var batch = new LeaseBatch(held, rules);
                var looking = new Looking(model, rules);
                foreach (var (kind, handle, ordinal) in some)
                {
                    var id = "h" + handle;
                    if (kind == 0)
                        Assert.Equal(looking.Allocate(Request(id, $"10.0.0.{ordinal}")), Describe(batch.Allocate(Request(id, $"10.0.0.{ordinal}"))));
                    else if (kind <= 3)
                        Assert.Equal(looking.Allocate(Request(id)), Describe(batch.Allocate(Request(id))));
                    else
                        Assert.Equal(looking.Release(id), string.Join(' ', batch.ReleaseHandle(id)));
                }
                batch.Seal();
                foreach (var (cidr, contents) in batch.Changed)
                    held[cidr] = new HeldBlock(second % 4 == 0 ? IpamJson.ParseBlock(IpamJson.WriteBlock(contents)) : contents, second, 1);
                foreach (var cidr in cidrs)
                    Assert.Equal((model[cidr].Assigned().Count(a => a.Owner.ReleasedAt is not null), Encoding.UTF8.GetString(IpamJson.WriteBlock(model[cidr]))), (held[cidr].Block.CoolingCount, Encoding.UTF8.GetString(IpamJson.WriteBlock(held[cidr].Block))));
            }
        });
    }

    [Theory]
    [InlineData(24)]
    [InlineData(20)]
    public void A_pool_of_65_536_addresses_is_used_to_its_last_and_each_comes_back(int blockSize)
    {
        const int Addresses = 65_536;
        var blocks = BlockCandidates.Of(Cidr.Parse("10.64.0.0/16"), blockSize, "node1").ToList();
        var held = blocks.ToDictionary(c => c, c => new HeldBlock(IpamBlock.Create(c, "host:node1", Now), 1, 1));
        var rules = new LeaseRules { Now = Now };
        var given = new HashSet<IpAddr>();
        var watch = Stopwatch.StartNew();

        // As a group commit carries them.
        for (var i = 0; i < Addresses; i += 64)
        {
            var batch = new LeaseBatch(held, rules);
            for (var j = i; j < i + 64; j++)
                Assert.True(given.Add(Assert.IsType<AllocationOutcome.Granted>(batch.Allocate(Request("pod" + j))).Addresses.Single()));
            Keep(batch);
        }
        var filled = watch.Elapsed;

        Assert.Equal(Addresses, given.Count);
        Assert.All(held.Values, h => Assert.Equal((0, h.Block.Capacity), (h.Block.FreeCount, h.Block.Attributes.Count)));
        var full = new LeaseBatch(held, rules);
        Assert.Equal(new AllocationOutcome.NeedsBlock(IpVersion.V4), full.Allocate(Request("one more")));
        Assert.True(full.IsEmpty);
        watch.Restart();
        for (var i = 0; i < Addresses; i += 64)
        {
            var batch = new LeaseBatch(held, rules);
            for (var j = i; j < i + 64; j++)
                Assert.True(given.Remove(Assert.Single(batch.ReleaseHandle("pod" + j))));
            Keep(batch);
        }

        Assert.All(held.Values, h => Assert.True(h.Block.IsEmpty && h.Block.Attributes.Count == 0));
        output.WriteLine($"blocks of {1 << (32 - blockSize)}: {filled.TotalMicroseconds / Addresses:0.0} us to take an address, {watch.Elapsed.TotalMicroseconds / Addresses:0.0} us to give it back");

        void Keep(LeaseBatch batch)
        {
            batch.Seal();
            foreach (var (cidr, contents) in batch.Changed)
                held[cidr] = new HeldBlock(contents, 1, 1);
        }
    }
}

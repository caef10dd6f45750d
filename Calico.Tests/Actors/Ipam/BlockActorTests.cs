using System.Text;
using Akka.Actor;
using Calico.Actors.Ipam;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Ipam;

[Layer("actor")]
public class BlockActorTests(ITestOutputHelper output) : ActorFixture(output)
{
    private static readonly Cidr Cidr26 = Cidr.Parse("10.65.1.0/26");

    private IActorRef Start() => Sys.ActorOf(BlockActor.Props(Store, Clock));

    private async Task<T> AskAsync<T>(IActorRef block, object command)
    {
        block.Tell(command, TestActor);
        return await ExpectMsgAsync<T>(TimeSpan.FromSeconds(10));
    }

    private Task<BlockProtocol.BlockGranted> ClaimAsync(IActorRef block, string node, Cidr? cidr = null) =>
        AskAsync<BlockProtocol.BlockGranted>(block, new BlockProtocol.ClaimBlock(cidr ?? Cidr26, node, 7));

    private async Task<IpamBlock?> StoredAsync(Cidr cidr) =>
        await Store.GetAsync(IpamKeys.Block(cidr)) is { } stored ? IpamJson.ParseBlock(stored.Value) : null;

    /// <summary>Gives addresses of a block to pods, with their handles, as a node's lease does.</summary>
    private async Task AssignAsync(Cidr cidr, int count, string node)
    {
        var block = (await StoredAsync(cidr))!;
        var writes = new List<Write>();
        for (var i = 0; i < count; i++)
        {
            var handle = $"k8s-pod-network.{node}-{i}";
            Assert.NotNull(block.AutoAssign(new AllocationAttributes(handle, new Dictionary<string, string> { ["node"] = node, ["pod"] = "p" + i })));
            writes.Add(Write.Put(IpamKeys.Handle(handle), IpamJson.WriteHandle(new Dictionary<string, int> { [cidr.ToString()] = 1 })));
        }
        writes.Add(Write.Put(IpamKeys.Block(cidr), IpamJson.WriteBlock(block)));
        await Store.CommitAsync(new Transaction([], [.. writes]));
    }

    [Fact]
    public async Task A_claim_of_a_free_block_is_granted_and_the_affinity_is_its_epoch()
    {
        var granted = await ClaimAsync(Start(), "node1");

        var affinity = await Store.GetAsync(IpamKeys.Affinity("node1", Cidr26));
        Assert.Equal((affinity!.ModRevision, 7), (granted.Epoch, granted.RequestId));
        Assert.Equal("host:node1", (await StoredAsync(Cidr26))!.Affinity);
    }

    [Fact]
    public async Task A_claim_that_is_repeated_gets_the_same_epoch_from_any_instance()
    {
        var first = await ClaimAsync(Start(), "node1");
        var revision = Store.Revision;

        Assert.Equal(first.Epoch, (await ClaimAsync(Start(), "node1")).Epoch);
        Assert.Equal(revision, Store.Revision);
    }

    // Whatever it was doing when the datastore went away: it goes on with what it is asked next.
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task An_owner_whose_datastore_fails_is_there_for_the_next_command(bool isRelease)
    {
        var block = Start();
        var granted = await ClaimAsync(block, "node1");
        FailCommits(2, happens: false);
        BlockProtocol.ReleaseBlock release = new(Cidr26, "node1", granted.Epoch);
        BlockProtocol.RetireHolder retire = new(Cidr26, "node1", granted.Epoch);
        for (var i = 0; i < 3; i++)
            block.Tell(isRelease ? release : retire, TestActor);

        Assert.Equal("node1", (await ExpectMsgAsync<BlockProtocol.HolderRetired>(TimeSpan.FromSeconds(10))).Node);
        Assert.Empty(Store.Keys);
    }

    [Fact]
    public async Task Of_two_claims_at_once_one_is_granted_and_the_other_learns_the_holder()
    {
        var block = Start();
        block.Tell(new BlockProtocol.ClaimBlock(Cidr26, "node1", 1), TestActor);
        block.Tell(new BlockProtocol.ClaimBlock(Cidr26, "node2", 2), TestActor);

        Assert.Equal("node1", (await ExpectMsgAsync<BlockProtocol.BlockGranted>()).Node);
        var refused = await ExpectMsgAsync<BlockProtocol.BlockRefused>();
        Assert.Equal((BlockProtocol.Refusal.HeldByAnother, "host:node1", 2), (refused.Reason, refused.Holder, refused.RequestId));
    }

    [Fact]
    public async Task A_claim_that_loses_the_race_against_another_instance_is_refused()
    {
        var other = Start();
        var raced = false;
        Store.BeforeCommit = async _ =>
        {
            if (raced)
                return;
            raced = true;
            await other.Ask<BlockProtocol.BlockGranted>(new BlockProtocol.ClaimBlock(Cidr26, "node2", 1), TimeSpan.FromSeconds(10));
        };

        var refused = await AskAsync<BlockProtocol.BlockRefused>(Start(), new BlockProtocol.ClaimBlock(Cidr26, "node1", 2));

        Assert.Equal("host:node2", refused.Holder);
        Assert.Null(await Store.GetAsync(IpamKeys.Affinity("node1", Cidr26)));
    }

    [Fact]
    public async Task A_claim_without_a_datastore_is_refused_for_now_and_the_next_is_decided()
    {
        var block = Start();
        FailCommits(1, happens: true);

        var refused = await AskAsync<BlockProtocol.BlockRefused>(block, new BlockProtocol.ClaimBlock(Cidr26, "node1", 1));

        Assert.Equal(BlockProtocol.Refusal.DatastoreUnavailable, refused.Reason);
        // It had happened: the claim finds its own grant.
        Assert.Equal((await Store.GetAsync(IpamKeys.Affinity("node1", Cidr26)))!.ModRevision, (await ClaimAsync(block, "node1")).Epoch);
    }

    [Fact]
    public async Task What_is_not_a_block_is_left_for_a_person()
    {
        await PutAsync(IpamKeys.Block(Cidr26), "{\"cidr\":\"10.65.1.0/26\",\"allocations\":[1]}");

        var refused = await AskAsync<BlockProtocol.BlockRefused>(Start(), new BlockProtocol.ClaimBlock(Cidr26, "node1", 1));

        Assert.Equal(BlockProtocol.Refusal.Corrupt, refused.Reason);
        Assert.Contains("[1]", Encoding.UTF8.GetString((await Store.GetAsync(IpamKeys.Block(Cidr26)))!.Value.Span));
    }

    [Fact]
    public async Task A_pending_affinity_that_upstream_left_behind_is_completed()
    {
        await PutAsync(IpamKeys.Affinity("node1", Cidr26), """{"state":"pending"}""");

        var granted = await ClaimAsync(Start(), "node1");

        var affinity = await Store.GetAsync(IpamKeys.Affinity("node1", Cidr26));
        Assert.Equal(("confirmed", granted.Epoch), (IpamJson.ParseAffinityState(affinity!.Value), affinity.ModRevision));
    }

    [Fact]
    public async Task A_holder_that_is_gone_loses_block_addresses_and_handles()
    {
        var block = Start();
        var granted = await ClaimAsync(block, "node1");
        await AssignAsync(Cidr26, 5, "node1");

        var retired = await AskAsync<BlockProtocol.HolderRetired>(block, new BlockProtocol.RetireHolder(Cidr26, "node1", granted.Epoch));

        Assert.Equal(5, retired.AddressesFreed);
        Assert.Empty(Store.Keys);
    }

    [Fact]
    public async Task Addresses_that_other_nodes_borrowed_stay_and_the_next_holder_finds_them()
    {
        var block = Start();
        var before = await ClaimAsync(block, "node1");
        await AssignAsync(Cidr26, 3, "node1");
        await AssignAsync(Cidr26, 2, "node2");

        Assert.Equal(3, (await AskAsync<BlockProtocol.HolderRetired>(block, new BlockProtocol.RetireHolder(Cidr26, "node1", before.Epoch))).AddressesFreed);
        Assert.Null((await StoredAsync(Cidr26))!.Affinity);

        Assert.True((await ClaimAsync(block, "node3")).Epoch > before.Epoch);
        var stored = (await StoredAsync(Cidr26))!;
        Assert.Equal(("host:node3", 2), (stored.Affinity, stored.AllocatedCount));
        Assert.All(stored.Assigned(), a => Assert.Equal("node2", a.Owner["node"]));
    }

    [Fact]
    public async Task A_large_block_is_taken_back_in_transactions_that_a_real_etcd_accepts()
    {
        var large = Cidr.Parse("10.66.0.0/23");
        var block = Start();
        var granted = await ClaimAsync(block, "node1", large);
        await AssignAsync(large, 250, "node1");
        var largest = 0;
        Store.BeforeCommit = t =>
        {
            largest = Math.Max(largest, Math.Max(t.Compares.Length, t.Writes.Length));
            return Task.CompletedTask;
        };

        var retired = await AskAsync<BlockProtocol.HolderRetired>(block, new BlockProtocol.RetireHolder(large, "node1", granted.Epoch));

        Assert.Equal(250, retired.AddressesFreed);
        Assert.Empty(Store.Keys);
        Assert.InRange(largest, 1, DatastoreLimits.MaxTransactionOperations);
    }

    [Fact]
    public async Task Taking_a_block_back_that_somebody_else_holds_changes_nothing()
    {
        var block = Start();
        await ClaimAsync(block, "node2");
        var revision = Store.Revision;

        await AskAsync<BlockProtocol.HolderRetired>(block, new BlockProtocol.RetireHolder(Cidr26, "node1", revision));

        Assert.Equal(revision, Store.Revision);
    }

    // The command waited for an owner that moved, and the node came back meanwhile.
    [Fact]
    public async Task A_command_to_take_a_block_back_that_comes_late_takes_nothing_of_a_later_grant()
    {
        var block = Start();
        var before = await ClaimAsync(block, "node1");
        var late = new BlockProtocol.RetireHolder(Cidr26, "node1", before.Epoch);
        await AskAsync<BlockProtocol.HolderRetired>(block, late);
        var after = await ClaimAsync(block, "node1");
        await AssignAsync(Cidr26, 1, "node1");

        block.Tell(late, TestActor);
        Assert.Equal(after.Epoch, (await ClaimAsync(block, "node1")).Epoch);

        Assert.Equal(1, (await StoredAsync(Cidr26))!.AllocatedCount);
    }

    [Fact]
    public async Task A_block_is_given_back_only_when_it_is_empty_and_under_its_own_epoch()
    {
        var block = Start();
        var granted = await ClaimAsync(block, "node1");
        await AssignAsync(Cidr26, 1, "node1");
        block.Tell(new BlockProtocol.ReleaseBlock(Cidr26, "node1", granted.Epoch), TestActor);
        await ClaimAsync(block, "node1");
        Assert.NotNull(await StoredAsync(Cidr26));

        var other = Cidr.Parse("10.65.2.0/26");
        var empty = await ClaimAsync(block, "node1", other);
        block.Tell(new BlockProtocol.ReleaseBlock(other, "node1", empty.Epoch - 1), TestActor);
        await ClaimAsync(block, "node1", other);
        Assert.NotNull(await StoredAsync(other));

        Assert.Equal(other, (await AskAsync<BlockProtocol.HolderRetired>(block, new BlockProtocol.ReleaseBlock(other, "node1", empty.Epoch))).Block);
        Assert.Null(await StoredAsync(other));
    }
}

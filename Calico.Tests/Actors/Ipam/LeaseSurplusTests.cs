using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Text;
using Akka.Actor;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Core.Feed;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Ipam;

/// <summary>A living node gives back the blocks that it does not need, and never one that somebody is in.</summary>
[Layer("actor")]
public class LeaseSurplusTests(ITestOutputHelper output) : LeaseFixture(output)
{
    private const string Resources = "/calico/resources/v3/projectcalico.org/";
    private static readonly PoolRef Fours = new("fours", Cidr.Parse("10.66.0.0/26"), 30);
    private static readonly PoolRef Fours6 = new("fours6", Cidr.Parse("fd00:66::/122"), 126);
    private static readonly TimeSpan Grace = TimeSpan.FromMinutes(15);
    private static readonly LeaseOptions Watchful = new() { Answer = LeaseAnswer.Durable, SurplusEvery = TimeSpan.FromMilliseconds(50) };

    private long _revision = 1_000_000;

    private static string PoolOf(PoolRef pool, string more = "") => $$"""{"metadata":{"name":"{{pool.Name}}"},"spec":{"cidr":"{{pool.Cidr}}","blockSize":{{pool.BlockSize}}{{more}}} }""";

    private void Tell(IActorRef lease, params (string Key, string? Json)[] items) => lease.Tell(new UpstreamProtocol.ResourcesChanged(
        [.. items.Select(i => new FeedItem(Resources + i.Key, i.Json is null ? (ReadOnlyMemory<byte>?)null : Encoding.UTF8.GetBytes(i.Json), ++_revision))], true, _revision));

    /// <summary>A lease that knows pools, its node and what pods here use; so old that no loan of before its start can be left.</summary>
    private async Task<IActorRef> StartKnowingAsync(IActorRef? mesh = null, params string[] pods)
    {
        var lease = Start(options: Watchful, mesh: mesh);
        Tell(lease, ("ippools/fours", PoolOf(Fours)), ("ippools/fours6", PoolOf(Fours6)), ("nodes/node1", """{"metadata":{"name":"node1"},"spec":{}}"""));
        var assigned = await AssignedAsync();
        lease.Tell(new LeaseProtocol.ReleaseAllBut([.. pods.Select(p => "k8s-pod-network." + p)],
            assigned.Where(a => pods.Contains(a.Value[16..])).ToImmutableDictionary(a => IpAddr.Parse(a.Key), a => (string?)a.Value)));
        await DoubtsUntilLoadedAsync(lease);
        Clock.Advance(TimeSpan.FromSeconds(31));
        return lease;
    }

    private async Task DoubtsUntilLoadedAsync(IActorRef lease) => await AwaitConditionAsync(async () =>
    {
        lease.Tell(new LeaseProtocol.Verify([]), TestActor);
        return (await ExpectMsgAsync<LeaseProtocol.Doubts>()).Loaded;
    }, TimeSpan.FromSeconds(10));

    private async Task<ImmutableArray<string>> AddManyAsync(IActorRef lease, string name, int count, PoolRef? pool = null)
    {
        var addresses = ImmutableArray.CreateBuilder<string>();
        for (var i = 0; i < count; i++)
            addresses.Add(await AddAsync(lease, name + i, [pool ?? Fours]));
        return addresses.ToImmutable();
    }

    private async Task RemoveAsync(IActorRef lease, params string[] pods)
    {
        foreach (var pod in pods)
        {
            lease.Tell(Release(pod), TestActor);
            await ExpectMsgAsync<LeaseProtocol.Released>(TimeSpan.FromSeconds(10));
        }
    }

    private int Blocks => Store.Keys.Count(k => k.StartsWith(IpamKeys.BlockPrefix, StringComparison.Ordinal));
    private int Affinities => Store.Keys.Count(k => k.StartsWith(IpamKeys.AffinitiesOf("node1"), StringComparison.Ordinal));

    private Task UntilBlocksAsync(int count) => AwaitAssertAsync(() => Assert.Equal((count, count), (Blocks, Affinities)), TimeSpan.FromSeconds(15), TimeSpan.FromMilliseconds(50));

    /// <summary>Long enough for several looks.</summary>
    private static Task LookAsync() => Task.Delay(300);

    // Twelve addresses in three blocks, then only those of the first are left.
    private async Task<IActorRef> WithTwoEmptyBlocksAsync(IActorRef? mesh = null, int left = 1)
    {
        var lease = await StartKnowingAsync(mesh);
        await AddManyAsync(lease, "p", 12);
        await RemoveAsync(lease, [.. Enumerable.Range(left, 12 - left).Select(i => "p" + i)]);
        Assert.Equal(3, Blocks);
        await LookAsync();
        return lease;
    }

    [Fact]
    public async Task Empty_blocks_go_after_the_grace_period_and_the_one_in_use_stays()
    {
        var lease = await WithTwoEmptyBlocksAsync();
        Clock.Advance(Grace - TimeSpan.FromSeconds(1));
        await LookAsync();
        Assert.Equal(3, Blocks);
        var probe = CreateTestProbe();
        lease.Tell(new LeaseProtocol.Subscribe(probe));

        Clock.Advance(TimeSpan.FromSeconds(2));

        await UntilBlocksAsync(1);
        await UntilHeldAsync(probe, h => h.Blocks.Count == 1);
        Assert.Equal((await AssignedAsync()).Keys.Single(), await AddAsync(lease, "p0", [Fours]));
        Assert.Single(Handles);
    }

    [Theory]
    [InlineData(4, 2)]
    [InlineData(0, 1)]
    public async Task One_with_room_stays_although_it_is_empty(int left, int blocks)
    {
        await WithTwoEmptyBlocksAsync(left: left);

        Clock.Advance(Grace + TimeSpan.FromSeconds(1));

        await UntilBlocksAsync(blocks);
        await LookAsync();
        Assert.Equal(blocks, Blocks);
    }

    [Fact]
    public async Task A_block_whose_grant_got_lost_is_found_by_the_feed()
    {
        var lease = await StartKnowingAsync();
        var probe = CreateTestProbe();
        lease.Tell(new LeaseProtocol.Subscribe(probe));
        var block = Cidr.Parse("10.66.0.0/30");
        await Store.CommitAsync(BlockTransactions.Claim(block, "node1", null, null, Clock.GetUtcNow()));
        var affinity = (await Store.GetAsync(IpamKeys.Affinity("node1", block)))!;

        lease.Tell(new UpstreamProtocol.ResourcesChanged([new FeedItem(affinity.Key, affinity.Value, affinity.ModRevision)], true, affinity.ModRevision));

        await UntilHeldAsync(probe, h => h.Blocks.Keys.SequenceEqual([block]));
    }

    [Fact]
    public async Task Each_pool_and_family_keeps_one()
    {
        var lease = await StartKnowingAsync();
        await AddManyAsync(lease, "four", 5);
        await AddManyAsync(lease, "six", 5, Fours6);
        await RemoveAsync(lease, [.. Enumerable.Range(0, 5).SelectMany(i => new[] { "four" + i, "six" + i })]);
        await LookAsync();
        Assert.Equal(4, Blocks);

        Clock.Advance(Grace + TimeSpan.FromSeconds(1));

        await UntilBlocksAsync(2);
        Assert.Equal([true, false], Store.Keys.Where(k => k.StartsWith(IpamKeys.BlockPrefix, StringComparison.Ordinal)).Select(k => k.Contains("ipv4", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task A_block_that_is_used_now_and_then_does_not_go()
    {
        var lease = await WithTwoEmptyBlocksAsync(left: 4);
        for (var i = 0; i < 4; i++)
        {
            Clock.Advance(Grace / 2);
            await LookAsync();
            await AddAsync(lease, "visitor", [Fours]);
            await RemoveAsync(lease, "visitor");
            await LookAsync();
        }

        // Of the two that were empty, the one that nobody visited.
        await UntilBlocksAsync(2);
    }

    [Fact]
    public async Task Zero_turns_it_off()
    {
        var lease = await WithTwoEmptyBlocksAsync();
        Tell(lease, ("kubecontrollersconfigurations/default", """{"metadata":{"name":"default"},"spec":{"controllers":{"node":{"leakGracePeriod":"0s"}}}}"""));

        Clock.Advance(Grace * 10);

        await LookAsync();
        Assert.Equal(3, Blocks);
        Tell(lease, ("kubecontrollersconfigurations/default", null));
        await UntilBlocksAsync(1);
    }

    [Theory]
    [InlineData("""{"metadata":{"name":"fours"},"spec":{"cidr":"10.66.0.0/26","blockSize":30,"disabled":true}}""")]
    [InlineData("""{"metadata":{"name":"fours"},"spec":{"cidr":"10.66.0.0/26","blockSize":30,"nodeSelector":"has(elsewhere)"}}""")]
    [InlineData(null)]
    public async Task A_pool_that_gives_this_node_nothing_keeps_only_blocks_in_use(string? pool)
    {
        var lease = await WithTwoEmptyBlocksAsync();
        await LookAsync();
        Tell(lease, ("ippools/fours", pool));

        Clock.Advance(BlockSurplus.UselessAfter + TimeSpan.FromSeconds(1));

        await UntilBlocksAsync(1);
        await RemoveAsync(lease, "p0");
        await LookAsync();
        Clock.Advance(BlockSurplus.UselessAfter + TimeSpan.FromSeconds(1));
        await UntilBlocksAsync(0);
    }

    [Fact]
    public async Task An_address_that_cools_down_keeps_its_block_and_is_freed_when_it_has_rested()
    {
        var lease = await WithTwoEmptyBlocksAsync(left: 5);
        lease.Tell(new UpstreamProtocol.ResourcesChanged([new FeedItem(IpamKeys.Config,
            """{"auto_allocate_blocks":true,"ipCooldownSeconds":1200}"""u8.ToArray(), ++_revision)], true, _revision));
        await RemoveAsync(lease, "p4");
        await LookAsync();
        Clock.Advance(TimeSpan.FromSeconds(1100));
        await UntilBlocksAsync(2);
        Assert.Equal(5, (await AssignedAllAsync()).Count);

        Clock.Advance(TimeSpan.FromSeconds(101));
        await AwaitAssertAsync(async () => Assert.Equal(4, (await AssignedAllAsync()).Count), TimeSpan.FromSeconds(10), TimeSpan.FromMilliseconds(50));
        // It is the last with room.
        Clock.Advance(Grace * 2);
        await LookAsync();
        Assert.Equal(2, Blocks);
    }

    [Fact]
    public async Task Nothing_goes_before_it_is_known_what_pods_here_use()
    {
        var lease = await WithTwoEmptyBlocksAsync();
        await lease.GracefulStop(TimeSpan.FromSeconds(5));
        var next = Start(options: Watchful);
        Tell(next, ("ippools/fours", PoolOf(Fours)), ("nodes/node1", """{"metadata":{"name":"node1"},"spec":{}}"""));
        await DoubtsUntilLoadedAsync(next);
        await LookAsync();
        Clock.Advance(Grace * 2);
        await LookAsync();
        Assert.Equal(3, Blocks);

        // A pod that IPAM knows nothing of has an address in one of them.
        var p0 = await StoredEndpointAsync("p0");
        var used = Store.Keys.Where(k => k.StartsWith(IpamKeys.BlockPrefix, StringComparison.Ordinal)).Select(k => IpamKeys.TryParseBlock(k, out var c) ? c : default)
            .First(c => !c.Contains(IpAddr.Parse(p0)));
        next.Tell(new LeaseProtocol.ReleaseAllBut(["k8s-pod-network.p0"], InUse((p0, "k8s-pod-network.p0"), (used.First.ToString(), null))));
        await LookAsync();
        Clock.Advance(Grace * 2);

        await UntilBlocksAsync(2);
        Assert.Contains(IpamKeys.Block(used), Store.Keys);
    }

    // ---- what goes on meanwhile ----------------------------------------------------------------------------------------

    [Fact]
    public async Task Who_asks_while_blocks_go_gets_no_address_of_them_and_keeps_what_it_gets()
    {
        var lease = await WithTwoEmptyBlocksAsync();
        var goes = new TaskCompletionSource();
        var asked = new TaskCompletionSource();
        Store.BeforeCommit = async t =>
        {
            if (!IsFirstStep(t))
                return;
            asked.TrySetResult();
            await goes.Task;
        };
        Clock.Advance(Grace + TimeSpan.FromSeconds(1));
        await asked.Task.WaitAsync(TimeSpan.FromSeconds(10));

        // Three fit beside p0; the others need a block while two are on their way out.
        foreach (var i in Enumerable.Range(0, 8))
            lease.Tell(Allocate("new" + i, [Fours]), TestActor);
        await Task.Delay(300);
        goes.SetResult();

        for (var i = 0; i < 8; i++)
            await ExpectMsgAsync<LeaseProtocol.Allocated>(TimeSpan.FromSeconds(20));
        await LookAsync();
        var assigned = await AssignedAsync();
        Assert.Equal(9, assigned.Count);
        Assert.Equal(Blocks, Affinities);
        foreach (var i in Enumerable.Range(0, 8))
            Assert.Equal("k8s-pod-network.new" + i, assigned[await StoredEndpointAsync("new" + i)]);
    }

    [Fact]
    public async Task A_block_in_which_another_node_took_an_address_at_the_last_moment_stays()
    {
        var lease = await WithTwoEmptyBlocksAsync();
        var borrowed = false;
        Store.BeforeCommit = async t =>
        {
            // After the first step, which leaves the block as it is.
            if (borrowed || !t.Writes.Any(w => w.Value is null && w.Key.StartsWith(IpamKeys.BlockPrefix, StringComparison.Ordinal)))
                return;
            borrowed = true;
            var key = t.Writes.Single(w => w.Key.StartsWith(IpamKeys.BlockPrefix, StringComparison.Ordinal)).Key;
            var block = IpamJson.ParseBlock((await Store.GetAsync(key))!.Value);
            block.AutoAssign(new AllocationAttributes("k8s-pod-network.guest", new Dictionary<string, string> { ["node"] = "node2", ["pod"] = "guest" }));
            await Store.CommitAsync(new Transaction([], [Write.Put(key, IpamJson.WriteBlock(block))]));
        };

        Clock.Advance(Grace + TimeSpan.FromSeconds(1));

        await UntilBlocksAsync(2);
        Assert.Contains("k8s-pod-network.guest", (await AssignedAsync()).Values);
        // It is held as before: three pods beside p0, and three beside the guest.
        await AddManyAsync(lease, "more", 6);
        Assert.Equal(2, Blocks);
    }

    // ---- a crash at each step ------------------------------------------------------------------------------------------

    private static bool IsFirstStep(Transaction t) => t.Writes is [{ Value: { } value }] && Encoding.UTF8.GetString(value.Span).Contains(IpamJson.PendingDeletion, StringComparison.Ordinal);

    private static bool IsSecondStep(Transaction t) => t.Writes.Any(w => w.Value is null && w.Key.StartsWith(IpamKeys.BlockPrefix, StringComparison.Ordinal));

    [Theory]
    [InlineData(1, false)]
    [InlineData(1, true)]
    [InlineData(2, false)]
    [InlineData(2, true)]
    public async Task An_agent_that_dies_at_a_step_leaves_nothing_that_the_next_one_does_not_finish(int step, bool happens)
    {
        var lease = await WithTwoEmptyBlocksAsync();
        var died = new TaskCompletionSource();
        Store.BeforeCommit = async t =>
        {
            if (step == 1 ? !IsFirstStep(t) : !IsSecondStep(t))
                return;
            if (happens)
            {
                Store.BeforeCommit = null;
                await Store.CommitAsync(t);
            }
            died.TrySetResult();
            await Task.Delay(TimeSpan.FromMinutes(10));
        };
        Clock.Advance(Grace + TimeSpan.FromSeconds(1));
        await died.Task.WaitAsync(TimeSpan.FromSeconds(10));
        await lease.GracefulStop(TimeSpan.FromSeconds(5));
        Store.BeforeCommit = null;

        var next = await StartKnowingAsync(OtherOwners(), "p0");
        await LookAsync();
        Clock.Advance(Grace + TimeSpan.FromSeconds(1));

        await UntilBlocksAsync(1);
        Assert.Equal(["k8s-pod-network.p0"], (await AssignedAsync()).Values);
        await AddManyAsync(next, "more", 8);
        Assert.Equal(9, (await AssignedAsync()).Count);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_step_of_which_nobody_knows_whether_it_happened_is_repeated(bool happens)
    {
        var lease = await WithTwoEmptyBlocksAsync();
        FailCommits(3, happens);

        Clock.Advance(Grace + TimeSpan.FromSeconds(1));

        await UntilBlocksAsync(1);
        await AddManyAsync(lease, "more", 8);
        Assert.Equal(9, (await AssignedAsync()).Count);
    }

    [Fact]
    public async Task A_block_on_its_way_out_is_claimed_again_by_who_needs_it_and_a_late_order_to_delete_it_counts_no_more()
    {
        var late = new ConcurrentQueue<BlockProtocol.ReleaseBlock>();
        var lease = await StartKnowingAsync(OtherOwners(c =>
        {
            if (c is not BlockProtocol.ReleaseBlock release)
                return false;
            late.Enqueue(release);
            return true;
        }));
        var only = Fours with { Cidr = Cidr.Parse("10.66.0.0/29") };
        await AddManyAsync(lease, "p", 8, only);
        await RemoveAsync(lease, "p0", "p1", "p2", "p3", "p4", "p5", "p6");
        await LookAsync();
        Clock.Advance(Grace + TimeSpan.FromSeconds(1));
        await AwaitConditionAsync(() => Task.FromResult(!late.IsEmpty), TimeSpan.FromSeconds(10));

        await AddManyAsync(lease, "again", 7, only);
        OwnersOfBlocks.Tell(new MeshLinkProtocol.ToBlock(late.First()), CreateTestProbe());
        await LookAsync();

        Assert.Equal(8, (await AssignedAsync()).Count);
        Assert.Equal((2, 2), (Blocks, Affinities));
    }

    /// <summary>Carries what the lease says to owners of blocks that have heard nothing before, as after a move.</summary>
    private sealed class OtherMesh : ReceiveActor
    {
        private readonly Dictionary<Cidr, IActorRef> _owners = [];

        public OtherMesh(Props owner, Func<IWithBlock, bool> isLost) => Receive<MeshLinkProtocol.ToBlock>(m =>
        {
            if (isLost(m.Command))
                return;
            if (!_owners.TryGetValue(m.Command.Block, out var block))
                _owners[m.Command.Block] = block = Context.ActorOf(owner);
            block.Forward(m.Command);
        });
    }

    private IActorRef OtherOwners(Func<IWithBlock, bool>? isLost = null) =>
        Sys.ActorOf(Props.Create(() => new OtherMesh(BlockActor.Props(Store, Clock), isLost ?? (_ => false))));

    private async Task<List<IpAddr>> AssignedAllAsync()
    {
        var all = new List<IpAddr>();
        foreach (var key in Store.Keys.Where(k => k.StartsWith(IpamKeys.BlockPrefix, StringComparison.Ordinal)))
            all.AddRange(IpamJson.ParseBlock((await Store.GetAsync(key))!.Value).Assigned().Select(a => a.Address));
        return all;
    }
}

using System.Collections.Immutable;
using Akka.Actor;
using Akka.TestKit;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Core.Feed;
using Calico.Core.Ipam;
using Calico.Core.Model;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Ipam;

[Layer("actor")]
public class LeaseActorTests(ITestOutputHelper output) : LeaseFixture(output)
{
    [Fact]
    public async Task The_first_address_claims_a_block_and_is_durable_with_its_endpoint_before_the_answer()
    {
        var address = await AddAsync(Start(), "web");

        Assert.Equal(address, await StoredEndpointAsync("web"));
        Assert.Equal("k8s-pod-network.web", (await AssignedAsync())[address]);
        Assert.Single(Handles);
    }

    [Fact]
    public async Task A_request_that_is_repeated_gets_the_address_it_has()
    {
        var lease = Start();
        var first = await AddAsync(lease, "web");

        Assert.Equal(first, await AddAsync(lease, "web"));
        Assert.Equal(first, await AddAsync(Start(), "web"));
        Assert.Single(await AssignedAsync());
    }

    [Fact]
    public async Task Requests_at_once_share_transactions_and_nobody_shares_an_address()
    {
        var lease = Start();
        await AddAsync(lease, "first");
        var commits = 0;
        Store.BeforeCommit = async _ =>
        {
            Interlocked.Increment(ref commits);
            await Task.Yield();
        };

        for (var i = 0; i < 60; i++)
            lease.Tell(Allocate("pod" + i), TestActor);
        var addresses = new HashSet<string>();
        for (var i = 0; i < 60; i++)
            Assert.True(addresses.Add((await ExpectMsgAsync<LeaseProtocol.Allocated>(TimeSpan.FromSeconds(10))).Addresses.Single().ToString()));

        Assert.Equal(61, (await AssignedAsync()).Count);
        Assert.InRange(commits, 1, 20);
    }

    [Fact]
    public async Task Dual_stack_gives_both_families_in_the_order_asked_or_none()
    {
        var lease = Start();

        var both = await AddAsync(lease, "web", [Pool, Pool6]);

        Assert.Matches(@"^10\.65\.0\.\d+ fd00:65::[0-9a-f]*$", both);
        var full = new PoolRef("full", Cidr.Parse("fd00:66::/128"), 128);
        await AddAsync(lease, "other", [full]);
        var refused = await RefusedAsync(lease, Allocate("api", [Pool, full]));
        Assert.Contains("full (fd00:66::/128)", refused.Reason, StringComparison.Ordinal);
        Assert.DoesNotContain("k8s-pod-network.api", (await AssignedAsync()).Values);
    }

    [Fact]
    public async Task A_pool_without_room_is_named_in_the_refusal()
    {
        var lease = Start();
        var tiny = new PoolRef("tiny", Cidr.Parse("10.66.0.0/31"), 31);
        await AddAsync(lease, "one", [tiny]);
        await AddAsync(lease, "two", [tiny]);

        var refused = await RefusedAsync(lease, Allocate("three", [tiny]));

        Assert.Contains("tiny (10.66.0.0/31)", refused.Reason, StringComparison.Ordinal);
        Assert.False(refused.Retryable);
        // Room for one again.
        lease.Tell(Release("one"), TestActor);
        await ExpectMsgAsync<LeaseProtocol.Released>();
        await AddAsync(lease, "three", [tiny]);
    }

    [Fact]
    public async Task A_particular_address_is_given_once()
    {
        var lease = Start();

        Assert.Equal("10.65.0.77", await AddAsync(lease, "web", null, "10.65.0.77"));
        Assert.Contains("k8s-pod-network.web", (await RefusedAsync(lease, Allocate("api", null, "10.65.0.77"))).Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_release_frees_address_handle_and_endpoint_and_may_be_repeated()
    {
        var lease = Start();
        await AddAsync(lease, "web");

        lease.Tell(Release("web"), TestActor);
        Assert.Single((await ExpectMsgAsync<LeaseProtocol.Released>()).Addresses);
        Assert.Empty(await AssignedAsync());
        Assert.Empty(Handles);
        Assert.Equal("", await StoredEndpointAsync("web"));

        lease.Tell(Release("web"), TestActor);
        Assert.Empty((await ExpectMsgAsync<LeaseProtocol.Released>()).Addresses);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_transaction_whose_outcome_is_unknown_gives_each_pod_exactly_one_address(bool happens)
    {
        var lease = Start();
        await AddAsync(lease, "first");
        FailCommits(1, happens);

        lease.Tell(Allocate("web"), TestActor);
        lease.Tell(Allocate("api"), TestActor);
        await ExpectMsgAsync<LeaseProtocol.Allocated>(TimeSpan.FromSeconds(10));
        await ExpectMsgAsync<LeaseProtocol.Allocated>(TimeSpan.FromSeconds(10));

        Assert.Equal(["k8s-pod-network.api", "k8s-pod-network.first", "k8s-pod-network.web"], (await AssignedAsync()).Values.Order());
        Assert.Equal(3, Handles.Length);
    }

    [Fact]
    public async Task A_node_that_lost_its_block_writes_nothing_more_into_it()
    {
        var lease = Start();
        var lost = await AddAsync(lease, "web");
        var block = Pool.Cidr.Contains(IpAddr.Parse(lost)) ? BlockCandidates.Containing(IpAddr.Parse(lost), 26) : throw new InvalidOperationException(lost);
        await RetireAsync(block);
        OwnersOfBlocks.Tell(new MeshLinkProtocol.ToBlock(new BlockProtocol.ClaimBlock(block, "node2", 1)), TestActor);
        await ExpectMsgAsync<BlockProtocol.BlockGranted>();

        var next = await AddAsync(lease, "api");

        Assert.False(block.Contains(IpAddr.Parse(next)));
        Assert.Equal(["k8s-pod-network.api"], (await AssignedAsync()).Values);
    }

    [Fact]
    public async Task Whoever_subscribed_hears_of_blocks_gained_and_lost_also_after_a_crash()
    {
        var lease = Start();
        var routes = CreateTestProbe("routes");
        lease.Tell(new LeaseProtocol.Subscribe(routes.Ref));
        await AddAsync(lease, "web");
        var held = (await UntilHeldAsync(routes, h => h.Blocks.Count == 1)).Blocks.Single();

        lease.Tell(new LeaseProtocol.Allocate(0, null!, [], null!), CreateTestProbe("cause").Ref);
        await UntilHeldAsync(routes, h => h.Loaded && h.Blocks.Contains(held));
        Assert.Equal(await StoredEndpointAsync("web"), await AddAsync(lease, "web"));

        await RetireAsync(held.Key);
        await AddAsync(lease, "web");
        await UntilHeldAsync(routes, h => h.Blocks.Values.Any(epoch => epoch > held.Value));
    }

    [Fact]
    public async Task After_a_start_only_addresses_of_pods_that_are_here_stay()
    {
        var before = Start();
        var kept = await AddAsync(before, "kept");
        var routed = await AddAsync(before, "routed");
        await AddAsync(before, "left");
        var others = (await AssignedAsync()).Keys.ToHashSet();

        Start().Tell(new LeaseProtocol.ReleaseAllBut(["k8s-pod-network.kept"], InUse((routed, null))));

        await AwaitAssertAsync(async () => Assert.Equal(new[] { kept, routed }.Order(), (await AssignedAsync()).Keys.Order()), TimeSpan.FromSeconds(10));
        Assert.Equal(3, others.Count);
        Assert.Equal(2, Handles.Length);
    }

    [Fact]
    public async Task A_start_without_any_pod_gives_back_more_than_one_transaction_takes()
    {
        var big = new PoolRef("big", Cidr.Parse("10.67.0.0/23"), 23);
        var before = Start();
        for (var i = 0; i < 230; i++)
            before.Tell(Allocate("pod" + i, [big]), TestActor);
        for (var i = 0; i < 230; i++)
            await ExpectMsgAsync<LeaseProtocol.Allocated>(TimeSpan.FromSeconds(10));
        var largest = 0;
        Store.BeforeCommit = t =>
        {
            largest = Math.Max(largest, Math.Max(t.Compares.Length, t.Writes.Length));
            return Task.CompletedTask;
        };

        var after = Start();
        after.Tell(new LeaseProtocol.ReleaseAllBut([], InUse()));
        await AddAsync(after, "new", [big]);

        await AwaitAssertAsync(async () => Assert.Equal(["k8s-pod-network.new"], (await AssignedAsync()).Values), TimeSpan.FromSeconds(10));
        Assert.Single(Handles);
        Assert.InRange(largest, 1, DatastoreLimits.MaxTransactionOperations);
    }

    [Fact]
    public async Task A_damaged_block_takes_nothing_from_the_others()
    {
        var before = Start();
        var address = await AddAsync(before, "web");
        var damaged = Cidr.Parse("10.65.9.0/26");
        await PutAsync(IpamKeys.Affinity("node1", damaged), """{"state":"confirmed"}""");
        await PutAsync(IpamKeys.Block(damaged), "{\"cidr\":42}");

        Assert.Equal(address, await AddAsync(Start(), "web"));
    }

    [Theory]
    [InlineData("""{"block":{"10.9.0.0/26":1},"deleted":false}""")]
    [InlineData("nonsense")]
    public async Task A_handle_that_is_left_over_keeps_nobody_from_an_address(string left)
    {
        var lease = Start();
        await AddAsync(lease, "first");
        await PutAsync(IpamKeys.Handle("k8s-pod-network.web"), left);

        lease.Tell(Allocate("web"), TestActor);
        lease.Tell(Allocate("api"), TestActor);

        await ExpectMsgAsync<LeaseProtocol.Allocated>(TimeSpan.FromSeconds(10));
        await ExpectMsgAsync<LeaseProtocol.Allocated>(TimeSpan.FromSeconds(10));
        var handle = IpamJson.ParseHandle((await Store.GetAsync(IpamKeys.Handle("k8s-pod-network.web")))!.Value);
        Assert.Contains(handle, c => Pool.Cidr.Contains(Cidr.Parse(c.Key)) && c.Value == 1);
    }

    [Fact]
    public async Task A_pod_that_is_released_twice_at_once_is_released()
    {
        var lease = Start();
        await AddAsync(lease, "web");

        lease.Tell(Release("web"), TestActor);
        lease.Tell(Release("web"), TestActor);
        lease.Tell(Release("web"), TestActor);

        for (var i = 0; i < 3; i++)
            await ExpectMsgAsync<LeaseProtocol.Released>(TimeSpan.FromSeconds(10));
        Assert.Empty(await AssignedAsync());
    }

    [Fact]
    public async Task A_block_that_was_taken_away_is_given_up_when_the_feed_tells()
    {
        var lease = Start();
        var routes = CreateTestProbe("routes");
        await AddAsync(lease, "web");
        lease.Tell(new LeaseProtocol.Subscribe(routes.Ref));
        var held = (await UntilHeldAsync(routes, h => h.Blocks.Count == 1)).Blocks.Single();
        await RetireAsync(held.Key);

        lease.Tell(new UpstreamProtocol.ResourcesChanged([new FeedItem(IpamKeys.Affinity("node1", held.Key), null, Store.Revision)], true, Store.Revision));

        await UntilHeldAsync(routes, h => h.Loaded && h.Blocks.IsEmpty);
    }

    // ---- a node that was taken for gone and comes back --------------------------------------------------------------

    [Fact]
    public async Task What_the_datastore_gives_to_the_pod_that_has_it_is_not_doubted()
    {
        var lease = Start();
        var address = await AddAsync(lease, "web");

        Assert.Empty(await DoubtsAsync(lease, ("web", address)));
        Assert.Single(await DoubtsAsync(lease, ("api", address)));
        Assert.Single(await DoubtsAsync(lease, ("api", "10.99.0.1")));
    }

    [Fact]
    public async Task Before_the_blocks_are_read_nothing_is_said_of_anybody()
    {
        Store.BeforeList = () => new TaskCompletionSource().Task;

        Start().Tell(new LeaseProtocol.Verify([]), TestActor);

        Assert.False((await ExpectMsgAsync<LeaseProtocol.Doubts>()).Loaded);
    }

    [Fact]
    public async Task A_pod_that_lives_gets_its_address_back_in_a_block_that_was_taken_from_its_node()
    {
        var lease = Start();
        var address = await AddAsync(lease, "web");
        await LoseAsync(address);

        lease.Tell(Reclaim("web", address), TestActor);

        Assert.Equal(address, (await ExpectMsgAsync<LeaseProtocol.Allocated>(TimeSpan.FromSeconds(10))).Addresses.Single().ToString());
        Assert.Equal("k8s-pod-network.web", (await AssignedAsync())[address]);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_new_pod_never_gets_the_address_of_a_pod_that_lives(bool lostWhileAway)
    {
        var lease = Start();
        var tiny = new PoolRef("tiny", Cidr.Parse("10.66.0.0/31"), 31);
        var address = await AddAsync(lease, "web", [tiny]);
        await RetireAsync(tiny.Cidr);
        if (lostWhileAway)
        {
            lease = Start();
            lease.Tell(new LeaseProtocol.ReleaseAllBut(["k8s-pod-network.web"], InUse((address, "k8s-pod-network.web"))));
        }

        Assert.NotEqual(address, await AddAsync(lease, "api", [tiny]));
        Assert.False((await RefusedAsync(lease, Allocate("third", [tiny]))).IsTaken);
    }

    [Fact]
    public async Task An_address_that_another_node_may_give_is_taken()
    {
        var lease = Start();
        var address = await AddAsync(lease, "web");
        await LoseAsync(address, to: "node2");
        var key = IpamKeys.Affinity("node2", BlockCandidates.Containing(IpAddr.Parse(address), 26));
        lease.Tell(new UpstreamProtocol.ResourcesChanged([new FeedItem(key, (await Store.GetAsync(key))!.Value, Store.Revision)], true, Store.Revision));

        var refused = await RefusedAsync(lease, Reclaim("web", address));

        Assert.True(refused.IsTaken, refused.Reason);
        Assert.Contains("node2", refused.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_address_that_another_pod_of_this_node_has_is_taken()
    {
        await AddAsync(Start(), "api", null, "10.65.0.77");
        var lease = Start();
        lease.Tell(new LeaseProtocol.ReleaseAllBut(["k8s-pod-network.web", "k8s-pod-network.api"], InUse(("10.65.0.77", "k8s-pod-network.web"))));

        var refused = await RefusedAsync(lease, Reclaim("web", "10.65.0.77"));

        Assert.True(refused.IsTaken);
        Assert.Contains("k8s-pod-network.api", refused.Reason, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("k8s-pod-network.web")]
    [InlineData(null)]
    public async Task A_particular_address_that_is_in_use_here_is_given_to_nobody(string? user)
    {
        var lease = Start();
        lease.Tell(new LeaseProtocol.ReleaseAllBut([], InUse(("10.65.0.77", user))));

        Assert.Contains("in use on this node", (await RefusedAsync(lease, Allocate("api", null, "10.65.0.77"))).Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nothing_is_reclaimed_for_a_pod_whose_removal_has_begun()
    {
        var lease = Start();
        var address = await AddAsync(lease, "web");
        await LoseAsync(address);
        FailCommits(int.MaxValue, happens: false);
        lease.Tell(Release("web"), CreateTestProbe("runtime").Ref);

        Assert.False((await RefusedAsync(lease, Reclaim("web", address))).Retryable);
    }

    [Fact]
    public async Task A_reclaim_that_waits_ends_with_the_removal_of_its_pod()
    {
        var lease = Start(mesh: CreateTestProbe("nobody").Ref);
        lease.Tell(new LeaseProtocol.ReleaseAllBut(["k8s-pod-network.web"], InUse(("10.65.0.77", "k8s-pod-network.web"))));
        lease.Tell(Reclaim("web", "10.65.0.77"), TestActor);

        lease.Tell(Release("web"), TestActor);

        Assert.Contains("removed", (await ExpectMsgAsync<LeaseProtocol.NotAllocated>(TimeSpan.FromSeconds(10))).Reason, StringComparison.Ordinal);
        await ExpectMsgAsync<LeaseProtocol.Released>(TimeSpan.FromSeconds(10));
        Assert.Empty(await AssignedAsync());
    }

    // ---- reservations ------------------------------------------------------------------------------------------------

    private static UpstreamProtocol.ResourcesChanged Reserved(params string[] cidrs)
    {
        var reservation = new IPReservation { Metadata = new ObjectMeta { Name = "r" }, Spec = new IPReservationSpec { ReservedCIDRs = [.. cidrs] } };
        return new([new FeedItem(reservation.Key.Path, cidrs.Length == 0 ? (ReadOnlyMemory<byte>?)null : ResourceCodec.Encode(reservation), 1)], true, 1);
    }

    [Fact]
    public async Task Reserved_addresses_and_blocks_are_passed_over_until_the_reservation_goes_and_a_particular_one_can_be_had()
    {
        var lease = Start();
        var tiny = new PoolRef("tiny", Cidr.Parse("10.66.0.0/30"), 31);
        lease.Tell(Reserved("10.66.0.0/31", "10.66.0.2/32"));

        Assert.Equal("10.66.0.3", await AddAsync(lease, "one", [tiny]));
        Assert.False((await RefusedAsync(lease, Allocate("two", [tiny]))).Retryable);
        Assert.Equal("10.66.0.2", await AddAsync(lease, "named", [tiny], "10.66.0.2"));

        lease.Tell(Reserved());
        Assert.StartsWith("10.66.0.", await AddAsync(lease, "two", [tiny]), StringComparison.Ordinal);
    }

    // ---- owners that do not answer -----------------------------------------------------------------------------------

    [Fact]
    public async Task A_block_whose_owner_does_not_answer_is_left_for_the_next_one()
    {
        var mesh = CreateTestProbe("mesh");
        var lease = Start(mesh: mesh.Ref);
        lease.Tell(Allocate("web"), TestActor);
        var asked = new List<Cidr>();
        for (var i = 0; i < 4; i++)
        {
            await AwaitAssertAsync(async () =>
            {
                Clock.Advance(TimeSpan.FromSeconds(1));
                asked.Add(((BlockProtocol.ClaimBlock)((MeshLinkProtocol.ToBlock)await mesh.FishForMessageAsync(
                    m => m is MeshLinkProtocol.ToBlock, TimeSpan.FromSeconds(1))).Command).Block);
            }, TimeSpan.FromSeconds(20));
        }

        Assert.Equal([asked[0], asked[0], asked[0]], asked.Take(3));
        Assert.NotEqual(asked[0], asked[3]);
    }

    [Fact]
    public async Task A_grant_that_comes_late_is_used()
    {
        var mesh = CreateTestProbe("mesh");
        var lease = Start(mesh: mesh.Ref);
        lease.Tell(Allocate("web"), TestActor);
        var question = (MeshLinkProtocol.ToBlock)await mesh.FishForMessageAsync(m => m is MeshLinkProtocol.ToBlock, TimeSpan.FromSeconds(5));
        await AwaitAssertAsync(async () =>
        {
            Clock.Advance(TimeSpan.FromSeconds(1));
            await mesh.FishForMessageAsync(m => m is MeshLinkProtocol.ToBlock, TimeSpan.FromSeconds(1));
        }, TimeSpan.FromSeconds(20));

        OwnersOfBlocks.Tell(question, lease);

        await ExpectMsgAsync<LeaseProtocol.Allocated>(TimeSpan.FromSeconds(10));
    }

    [Fact]
    public async Task Without_theOwnersOfBlocks_blocks_that_are_held_go_on_giving_addresses()
    {
        await AddAsync(Start(), "web");
        var alone = Start(mesh: CreateTestProbe("nobody").Ref);

        await AddAsync(alone, "api");
        alone.Tell(Allocate("far", [new PoolRef("other", Cidr.Parse("10.68.0.0/26"), 26)]), TestActor);
        await ExpectNoMsgAsync(TimeSpan.FromMilliseconds(100));
        Clock.Advance(TimeSpan.FromSeconds(21));

        var refused = await ExpectMsgAsync<LeaseProtocol.NotAllocated>(TimeSpan.FromSeconds(10));
        Assert.True(refused.Retryable);
        Assert.Contains("has not joined the mesh", refused.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_request_that_the_datastore_keeps_from_its_address_is_told_so_in_time()
    {
        var lease = Start(options: new LeaseOptions { Answer = LeaseAnswer.Durable, AloneLimit = TimeSpan.Zero });
        await AddAsync(lease, "first");
        FailCommits(int.MaxValue, happens: false);
        lease.Tell(Allocate("web"), TestActor);
        await AwaitAssertAsync(async () =>
        {
            Clock.Advance(TimeSpan.FromSeconds(5));
            var refused = await ExpectMsgAsync<LeaseProtocol.NotAllocated>(TimeSpan.FromSeconds(1));
            Assert.True(refused.Retryable);
            Assert.Contains("the datastore does not answer: no endpoint answered", refused.Reason, StringComparison.Ordinal);
        }, TimeSpan.FromSeconds(20));

        // Nobody takes the node for broken: what it holds is known.
        lease.Tell(new LeaseProtocol.GetStatus(), TestActor);
        Assert.True((await ExpectMsgAsync<LeaseProtocol.Status>()).Loaded);
    }

    [Fact]
    public async Task More_requests_than_may_wait_are_turned_away_at_once()
    {
        var lease = Start(options: new LeaseOptions { Answer = LeaseAnswer.Durable, MaxWaiting = 2 }, mesh: CreateTestProbe("nobody").Ref);
        lease.Tell(Allocate("one"), TestActor);
        lease.Tell(Allocate("two"), TestActor);

        Assert.Contains("too many", (await RefusedAsync(lease, Allocate("three"))).Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_node_stops_at_the_number_of_blocks_it_may_hold()
    {
        var lease = Start(options: new LeaseOptions { Answer = LeaseAnswer.Durable, MaxBlocks = 1 });
        var single = new PoolRef("single", Cidr.Parse("10.66.0.0/24"), 32);
        await AddAsync(lease, "one", [single]);

        Assert.Contains("limit", (await RefusedAsync(lease, Allocate("two", [single]))).Reason, StringComparison.Ordinal);
    }
}

using Akka.Actor;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Core.Feed;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Ipam;

/// <summary>A node that can have no block takes addresses of blocks that other nodes hold.</summary>
[Layer("actor")]
public class LeaseBorrowTests(ITestOutputHelper output) : LeaseFixture(output)
{
    private static readonly PoolRef Four = new("four", Cidr.Parse("10.66.0.0/30"), 30);
    private static readonly PoolRef Four6 = new("four6", Cidr.Parse("fd00:66::/126"), 126);

    private const string Held = "k8s-pod-network.";

    /// <summary>node1 holds the only block of the pool, of which <paramref name="used"/> addresses are taken.</summary>
    private async Task<(IActorRef Holder, IActorRef Borrower)> HoldAsync(int used = 1, PoolRef? pool = null, LeaseOptions? options = null)
    {
        var holder = Start("node1", options);
        for (var i = 0; i < used; i++)
            await AddAsync(holder, "own" + i, [pool ?? Four]);
        var borrower = Start("node2", options);
        await JoinAsync(("node1", holder), ("node2", borrower));
        return (holder, borrower);
    }

    private async Task RemoveAsync(IActorRef lease, string pod, params string[] addresses)
    {
        lease.Tell(Release(pod, addresses), TestActor);
        await ExpectMsgAsync<LeaseProtocol.Released>(TimeSpan.FromSeconds(10));
    }

    private static UpstreamProtocol.ResourcesChanged Config(bool strict) => new([new FeedItem(IpamKeys.Config,
        System.Text.Encoding.UTF8.GetBytes($$"""{"strict_affinity":{{(strict ? "true" : "false")}},"auto_allocate_blocks":true}"""), 1)], true, 1);

    [Fact]
    public async Task What_is_free_in_the_others_block_is_lent_to_the_last_address_and_to_nobody_twice()
    {
        var (holder, borrower) = await HoldAsync();
        var addresses = new HashSet<string>();
        for (var i = 0; i < 3; i++)
            Assert.True(addresses.Add(await AddAsync(borrower, "guest" + i, [Four])));

        var assigned = await AssignedAsync();
        Assert.Equal(4, assigned.Count);
        Assert.Equal(addresses.Order(), assigned.Where(a => a.Value.Contains("guest", StringComparison.Ordinal)).Select(a => a.Key).Order());
        Assert.Equal(4, Handles.Length);
        Assert.Equal(await StoredEndpointAsync("guest0"), assigned.Single(a => a.Value == Held + "guest0").Key);
        Assert.Contains("no free block", (await RefusedAsync(holder, Allocate("more", [Four]))).Reason, StringComparison.Ordinal);
        Assert.Contains("1 other node has none to lend", (await RefusedAsync(borrower, Allocate("more", [Four]))).Reason, StringComparison.Ordinal);
        // The block is the holder's as before.
        Assert.Contains(IpamKeys.Affinity("node1", Four.Cidr), Store.Keys);
        Assert.DoesNotContain(Store.Keys, k => k.StartsWith(IpamKeys.AffinitiesOf("node2"), StringComparison.Ordinal));
    }

    [Fact]
    public async Task Both_leases_of_a_block_write_it_at_once_and_no_address_is_given_twice()
    {
        var pool = new PoolRef("sixteen", Cidr.Parse("10.66.0.0/28"), 28);
        var (holder, borrower) = await HoldAsync(1, pool);
        for (var i = 0; i < 7; i++)
        {
            holder.Tell(Allocate("at-home" + i, [pool]), TestActor);
            borrower.Tell(Allocate("abroad" + i, [pool]), TestActor);
        }
        var addresses = new HashSet<string>();
        for (var i = 0; i < 14; i++)
            Assert.True(addresses.Add(string.Join(' ', (await ExpectMsgAsync<LeaseProtocol.Allocated>(TimeSpan.FromSeconds(20))).Addresses)));
        Assert.Equal(15, (await AssignedAsync()).Count);
        Assert.Equal(15, Handles.Length);
    }

    [Fact]
    public async Task A_pod_of_two_families_borrows_what_it_cannot_have_at_home_and_gets_both_or_none()
    {
        var (holder, borrower) = await HoldAsync(0);
        await AddAsync(holder, "dual", [Four, Four6]);
        await JoinAsync(("node1", holder), ("node2", borrower));

        var both = await AddAsync(borrower, "guest", [Four, Four6]);
        Assert.Matches("10\\.66\\.0\\.. fd00:66::.?", both);
        for (var i = 0; i < 2; i++)
            await AddAsync(borrower, "four" + i, [Four]);
        Assert.False((await RefusedAsync(borrower, Allocate("none", [Four6, Four]))).Retryable);
        Assert.DoesNotContain(Held + "none", (await AssignedAsync()).Values);

        await RemoveAsync(borrower, "guest", both.Split(' '));
        Assert.DoesNotContain(Held + "guest", (await AssignedAsync()).Values);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Strict_affinity_lends_nothing_whichever_side_has_heard_of_it(bool borrowerKnows)
    {
        var (holder, borrower) = await HoldAsync();
        (borrowerKnows ? borrower : holder).Tell(Config(strict: true));

        Assert.Contains("no free address", (await RefusedAsync(borrower, Allocate("guest", [Four]))).Reason, StringComparison.Ordinal);
        Assert.StartsWith("address 10.66.0.3 cannot be assigned: its block is held by node1, " + (borrowerKnows ? "and strict affinity is on" : "which does not lend it"),
            (await RefusedAsync(borrower, Allocate("guest", [Four], "10.66.0.3"))).Reason, StringComparison.Ordinal);
        Assert.Single(await AssignedAsync());
    }

    [Fact]
    public async Task An_address_that_is_asked_for_by_name_is_borrowed_from_whoever_holds_its_block()
    {
        var (_, borrower) = await HoldAsync(4 - 1);
        var taken = (await AssignedAsync()).Keys.ToList();
        var free = Enumerable.Range(0, 4).Select(i => "10.66.0." + i).Single(a => !taken.Contains(a));

        var rival = await RefusedAsync(borrower, Allocate("rival", [Four], taken[0]));
        Assert.True(rival.IsTaken);
        Assert.Equal($"address {taken[0]} cannot be assigned: its block is held by node1, which does not lend it", rival.Reason);
        Assert.Equal(free, await AddAsync(borrower, "guest", [Four], free));
        Assert.Equal(free, await AddAsync(borrower, "guest", [Four], free));
        Assert.Equal(4, (await AssignedAsync()).Count);
    }

    // Whose the address is nobody has said: asking again may help.
    [Fact]
    public async Task An_address_whose_holder_does_not_answer_may_be_asked_for_again()
    {
        var (holder, borrower) = await HoldAsync(1);
        var free = Enumerable.Range(0, 4).Select(i => "10.66.0." + i).First(a => !AssignedAsync().GetAwaiter().GetResult().ContainsKey(a));
        await holder.GracefulStop(TimeSpan.FromSeconds(5));

        borrower.Tell(Allocate("guest", [Four], free), TestActor);
        LeaseProtocol.NotAllocated? refused = null;
        for (var i = 0; i < 100 && refused is null; i++)
        {
            await Task.Delay(100);
            Clock.Advance(TimeSpan.FromSeconds(0.5));
            refused = await TryReceiveAsync();
        }

        Assert.NotNull(refused);
        Assert.True(refused.Retryable);
        Assert.True(refused.IsTaken);
        Assert.Contains("node1 has not answered", refused.Reason, StringComparison.Ordinal);
    }

    private async Task<LeaseProtocol.NotAllocated?> TryReceiveAsync() => HasMessages ? await ExpectMsgAsync<LeaseProtocol.NotAllocated>() : null;

    [Fact]
    public async Task What_was_borrowed_is_given_back_also_by_a_lease_that_does_not_know_of_it()
    {
        var (holder, borrower) = await HoldAsync();
        var address = await AddAsync(borrower, "guest", [Four]);
        await AddAsync(borrower, "other", [Four]);
        await borrower.GracefulStop(TimeSpan.FromSeconds(5));
        borrower = Start("node2");

        await RemoveAsync(borrower, "guest", address);
        await RemoveAsync(borrower, "other");

        Assert.Equal([Held + "own0"], (await AssignedAsync()).Values);
        Assert.Single(Handles);
        Assert.Equal("", await StoredEndpointAsync("guest"));
        Clock.Advance(Lending.Term);
        for (var i = 1; i < 4; i++)
            await AddAsync(holder, "own" + i, [Four]);
    }

    [Fact]
    public async Task Asked_again_after_its_answer_got_lost_a_pod_has_the_address_that_it_borrowed()
    {
        var (_, borrower) = await HoldAsync();
        var address = await AddAsync(borrower, "guest", [Four]);
        await borrower.GracefulStop(TimeSpan.FromSeconds(5));
        borrower = Start("node2");
        await JoinAsync(("node2", borrower));

        Assert.Equal(address, await AddAsync(borrower, "guest", [Four]));
        Assert.Equal(2, (await AssignedAsync()).Count);
    }

    [Fact]
    public async Task A_borrowed_address_is_not_doubted_until_its_allocation_is_gone()
    {
        var (_, borrower) = await HoldAsync();
        var address = await AddAsync(borrower, "guest", [Four]);
        Assert.Empty(await DoubtsAsync(borrower, ("guest", address)));
        Assert.Single(await DoubtsAsync(borrower, ("stranger", address)));

        var key = IpamKeys.Block(Four.Cidr);
        var stored = (await Store.GetAsync(key))!;
        var block = IpamJson.ParseBlock(stored.Value);
        block.ReleaseWhere((_, owner) => owner.HandleId == Held + "guest");
        await Store.CommitAsync(new Transaction([], [Write.Put(key, IpamJson.WriteBlock(block))]));

        Assert.Equal(Held + "guest", Assert.Single(await DoubtsAsync(borrower, ("guest", address))).HandleId);
    }

    [Fact]
    public async Task An_address_that_is_lent_and_not_written_is_kept_for_its_borrower_and_then_free_again()
    {
        var (holder, borrower) = await HoldAsync(3);
        await borrower.GracefulStop(TimeSpan.FromSeconds(5));
        var probe = CreateTestProbe("mesh-of-node2");
        OwnersOfBlocks.Tell(new UpstreamProtocol.AnswerTo("node2", probe.Ref));
        holder.Tell(new LendProtocol.Borrow("node1", "node2", 1, Held + "guest", [Four.Cidr], null));
        var lent = await probe.ExpectMsgAsync<LendProtocol.Lent>();

        Assert.Contains("kept for another node", (await RefusedAsync(holder, Allocate("rival", [Four], lent.Address.ToString()))).Reason, StringComparison.Ordinal);
        Assert.False((await RefusedAsync(holder, Allocate("rival", [Four]))).Retryable);
        // Another borrower does not get it; the same one does.
        holder.Tell(new LendProtocol.Borrow("node1", "node2", 2, Held + "another", [Four.Cidr], null));
        Assert.Equal(LendProtocol.Refusal.NoRoom, (await probe.ExpectMsgAsync<LendProtocol.NotLent>()).Reason);
        holder.Tell(new LendProtocol.Borrow("node1", "node2", 3, Held + "guest", [Four.Cidr], null));
        Assert.Equal(lent.Address, (await probe.ExpectMsgAsync<LendProtocol.Lent>()).Address);

        Clock.Advance(Lending.Term);
        Assert.Equal(lent.Address.ToString(), await AddAsync(holder, "own9", [Four]));
    }

    [Fact]
    public async Task While_the_datastore_is_away_nothing_is_lent_and_nothing_that_was_lent_is_promised()
    {
        var (holder, borrower) = await HoldAsync(2);
        await borrower.GracefulStop(TimeSpan.FromSeconds(5));
        var probe = CreateTestProbe("mesh-of-node2");
        OwnersOfBlocks.Tell(new UpstreamProtocol.AnswerTo("node2", probe.Ref));
        holder.Tell(new LendProtocol.Borrow("node1", "node2", 1, Held + "guest", [Four.Cidr], null));
        var lent = (await probe.ExpectMsgAsync<LendProtocol.Lent>()).Address.ToString();
        FailCommits(int.MaxValue, happens: false);
        // The borrower's transaction may be on its way for as long as nothing of the holder's has passed it.
        Clock.Advance(Lending.Term);
        using var clock = new Timer(_ => Clock.Advance(TimeSpan.FromMilliseconds(500)), null, TimeSpan.Zero, TimeSpan.FromMilliseconds(100));

        Assert.NotEqual(lent, await AddAsync(holder, "own2", [Four]));
        holder.Tell(Allocate("own3", [Four]), TestActor);
        Assert.True((await ExpectMsgAsync<LeaseProtocol.NotAllocated>(TimeSpan.FromSeconds(30))).Retryable);
        holder.Tell(new LendProtocol.Borrow("node1", "node2", 2, Held + "guest", [Four.Cidr], null));
        Assert.Equal(LendProtocol.Refusal.Busy, (await probe.ExpectMsgAsync<LendProtocol.NotLent>()).Reason);
    }

    [Fact]
    public async Task What_was_borrowed_is_given_back_while_the_datastore_is_away_and_written_when_it_returns()
    {
        var (_, borrower) = await HoldAsync();
        var address = await AddAsync(borrower, "guest", [Four]);
        FailCommits(int.MaxValue, happens: false);
        using (new Timer(_ => Clock.Advance(TimeSpan.FromMilliseconds(500)), null, TimeSpan.Zero, TimeSpan.FromMilliseconds(100)))
            await RemoveAsync(borrower, "guest", address);
        Assert.Equal(2, (await AssignedAsync()).Count);

        FailCommits(0, happens: false);
        await AwaitAssertAsync(async () => Assert.Equal([Held + "own0"], (await AssignedAsync()).Values), TimeSpan.FromSeconds(10));
    }

    // The promise outlives the actor; where the address is has to be looked up again.
    [Fact]
    public async Task What_was_given_back_while_the_datastore_is_away_is_not_forgotten_by_a_lease_that_starts_again()
    {
        var (_, borrower) = await HoldAsync();
        var address = await AddAsync(borrower, "guest", [Four]);
        var lookedUp = new TaskCompletionSource();
        Store.BeforeCommit = t =>
        {
            lookedUp.TrySetResult();
            throw new DatastoreException(DatastoreFault.Unavailable, "no endpoint answered in 15 s");
        };
        borrower.Tell(Release("guest", address), TestActor);
        await lookedUp.Task.WaitAsync(TimeSpan.FromSeconds(10));
        await UntilAsync(async () => await TryExpectAsync<LeaseProtocol.Released>() is not null);

        borrower.Tell(Kill.Instance);
        Store.BeforeCommit = null;

        await UntilAsync(async () => !(await AssignedAsync()).ContainsKey(address) && await StoredEndpointAsync("guest") == "");
        Assert.Single(Handles);
    }

    private async Task<T?> TryExpectAsync<T>() where T : class => HasMessages ? await ExpectMsgAsync<T>() : null;

    /// <summary>Lets time pass until it is so.</summary>
    private async Task UntilAsync(Func<Task<bool>> condition)
    {
        for (var i = 0; i < 200; i++)
        {
            if (await condition())
                return;
            await Task.Delay(50);
            Clock.Advance(TimeSpan.FromSeconds(0.25));
        }
        Assert.Fail("never");
    }

    // It was granted to this node, which has not read it yet: the release must not take it for another's, nor for nobody's.
    [Fact]
    public async Task What_was_borrowed_in_a_block_that_has_become_this_nodes_own_is_given_back()
    {
        var (_, borrower) = await HoldAsync();
        var address = await AddAsync(borrower, "guest", [Four]);
        var block = (await Store.GetAsync(IpamKeys.Block(Four.Cidr)))!;
        var contents = IpamJson.ParseBlock(block.Value);
        contents.Affinity = "host:node2";
        await PutAsync(IpamKeys.Block(Four.Cidr), IpamJson.WriteBlock(contents));

        await RemoveAsync(borrower, "guest", address);

        Assert.DoesNotContain(address, (await AssignedAsync()).Keys);
        Assert.Equal("", await StoredEndpointAsync("guest"));
    }

    [Fact]
    public async Task What_a_holder_lent_before_it_started_again_is_worth_nothing_when_it_is_written()
    {
        var (holder, borrower) = await HoldAsync(3, options: new LeaseOptions());
        var mayWrite = new TaskCompletionSource();
        var writes = new TaskCompletionSource();
        Store.BeforeCommit = t =>
        {
            if (!t.Writes.Any(w => w.Key == EndpointKey("guest") && w.Value is not null))
                return Task.CompletedTask;
            writes.TrySetResult();
            return mayWrite.Task;
        };
        borrower.Tell(Allocate("guest", [Four]), TestActor);
        await writes.Task.WaitAsync(TimeSpan.FromSeconds(10));
        holder.Tell(Kill.Instance);
        // It knows nothing of the loan and decides at once.
        var last = await AddAsync(holder, "last", [Four]);

        mayWrite.SetResult();

        await UntilAsync(async () => await TryExpectAsync<LeaseProtocol.NotAllocated>() is not null);
        var assigned = await AssignedAsync();
        Assert.Equal(Held + "last", assigned[last]);
        Assert.DoesNotContain(Held + "guest", assigned.Values);
        Assert.Equal("", await StoredEndpointAsync("guest"));
    }

    [Fact]
    public async Task A_holder_that_does_not_answer_is_left_for_the_next_one()
    {
        var (holder, borrower) = await HoldAsync();
        var silent = CreateTestProbe("silent");
        OwnersOfBlocks.Tell(new UpstreamProtocol.AnswerTo("node1", silent.Ref));
        using var clock = new Timer(_ => Clock.Advance(TimeSpan.FromMilliseconds(500)), null, TimeSpan.Zero, TimeSpan.FromMilliseconds(100));

        Assert.Contains("1 other node has none to lend", (await RefusedAsync(borrower, Allocate("guest", [Four]))).Reason, StringComparison.Ordinal);
        var asked = await silent.ExpectMsgAsync<LendProtocol.Borrow>();

        // A refusal is remembered for a while; then the holder is asked again, and answers.
        OwnersOfBlocks.Tell(new UpstreamProtocol.AnswerTo("node1", holder));
        holder.Tell(asked);
        await AwaitAssertAsync(async () => await AddAsync(borrower, "guest", [Four]), TimeSpan.FromSeconds(20), TimeSpan.FromMilliseconds(500));
    }
}

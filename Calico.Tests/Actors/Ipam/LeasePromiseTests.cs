using Akka.Actor;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Core.Net;
using Calico.Datastore;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Ipam;

/// <summary>The datastore is away: addresses are given and taken back from the blocks held, and written when it returns.</summary>
[Layer("actor")]
public class LeasePromiseTests(ITestOutputHelper output) : LeaseFixture(output)
{
    private static readonly PoolRef Tiny = new("tiny", Cidr.Parse("10.66.0.0/31"), 31);

    private Timer? _clock;

    // Nothing becomes durable any more, and time passes.
    private void StoreGoesAway(Func<Transaction, bool>? isLost = null)
    {
        Store.BeforeCommit = t => isLost?.Invoke(t) == false ? Task.CompletedTask : throw new DatastoreException(DatastoreFault.Unavailable, "no endpoint answered in 15 s");
        TimePasses();
    }

    private void TimePasses() => _clock = new Timer(_ => Clock.Advance(TimeSpan.FromMilliseconds(500)), null, TimeSpan.Zero, TimeSpan.FromMilliseconds(100));

    private void StoreReturns()
    {
        _clock?.Dispose();
        Store.BeforeCommit = null;
    }

    protected override void Dispose(bool disposing)
    {
        _clock?.Dispose();
        base.Dispose(disposing);
    }

    private async Task ReleaseAsync(IActorRef lease, string pod)
    {
        lease.Tell(Release(pod), TestActor);
        await ExpectMsgAsync<LeaseProtocol.Released>(TimeSpan.FromSeconds(10));
    }

    private async Task<LeaseProtocol.Status> StatusAsync(IActorRef lease)
    {
        lease.Tell(new LeaseProtocol.GetStatus(), TestActor);
        return await ExpectMsgAsync<LeaseProtocol.Status>();
    }

    private Task UntilStoredAsync(params string[] pods) => AwaitAssertAsync(async () =>
    {
        var assigned = await AssignedAsync();
        Assert.Equal(pods.Select(p => "k8s-pod-network." + p).Order(StringComparer.Ordinal), assigned.Values.Order(StringComparer.Ordinal));
        Assert.Equal(pods.Length, Handles.Length);
        foreach (var pod in pods)
            Assert.Equal(assigned.Single(a => a.Value == "k8s-pod-network." + pod).Key, await StoredEndpointAsync(pod));
    }, TimeSpan.FromSeconds(20));

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Pods_start_and_stop_and_everything_agrees_when_the_datastore_returns(bool happens)
    {
        var lease = Start();
        var addresses = new HashSet<string> { await AddAsync(lease, "first"), await AddAsync(lease, "second") };
        FailCommits(int.MaxValue, happens);
        TimePasses();

        for (var i = 0; i < 10; i++)
            Assert.True(addresses.Add(await AddAsync(lease, "pod" + i)));
        await ReleaseAsync(lease, "first");
        for (var i = 0; i < 5; i++)
            await ReleaseAsync(lease, "pod" + i);
        StoreReturns();

        await UntilStoredAsync("second", "pod5", "pod6", "pod7", "pod8", "pod9");
        Assert.Equal((0, 0, (string?)null), await StatusAsync(lease) is var now ? (now.Waiting, now.Promises, now.Trouble) : default);
    }

    [Fact]
    public async Task Who_gets_an_address_that_only_this_node_knows_of_is_told_so()
    {
        var lease = Start();
        lease.Tell(Allocate("first"), TestActor);
        Assert.False((await ExpectMsgAsync<LeaseProtocol.Allocated>(TimeSpan.FromSeconds(10))).IsAway);
        StoreGoesAway();

        lease.Tell(Allocate("web"), TestActor);

        Assert.True((await ExpectMsgAsync<LeaseProtocol.Allocated>(TimeSpan.FromSeconds(10))).IsAway);
        StoreReturns();
        await UntilStoredAsync("first", "web");
    }

    [Fact]
    public async Task A_transaction_that_takes_long_is_answered_before_it_ends()
    {
        var lease = Start();
        await AddAsync(lease, "first");
        var ends = new TaskCompletionSource();
        Store.BeforeCommit = _ => ends.Task;
        lease.Tell(Allocate("web"), TestActor);
        await ExpectNoMsgAsync(TimeSpan.FromMilliseconds(300));

        Clock.Advance(TimeSpan.FromSeconds(1));

        await ExpectMsgAsync<LeaseProtocol.Allocated>(TimeSpan.FromSeconds(10));
        Assert.Single(await AssignedAsync());
        Assert.Equal(1, (await StatusAsync(lease)).Promises);
        ends.SetResult();
        await UntilStoredAsync("first", "web");
    }

    [Fact]
    public async Task A_node_that_may_be_taken_for_gone_gives_no_addresses_but_takes_them_back()
    {
        var lease = Start(options: new LeaseOptions { Answer = LeaseAnswer.Durable, AloneLimit = TimeSpan.FromSeconds(10), RequestTimeout = TimeSpan.FromSeconds(5) });
        await AddAsync(lease, "first");
        Store.BeforeList = () => throw new DatastoreException(DatastoreFault.Unavailable, "no endpoint answered in 15 s");
        StoreGoesAway();
        await AddAsync(lease, "early");
        _clock!.Dispose();
        Clock.Advance(TimeSpan.FromSeconds(10));

        lease.Tell(Allocate("late"), TestActor);
        await ExpectNoMsgAsync(TimeSpan.FromMilliseconds(300));
        Clock.Advance(TimeSpan.FromSeconds(5));
        Assert.Contains("may be taken for gone", (await ExpectMsgAsync<LeaseProtocol.NotAllocated>(TimeSpan.FromSeconds(10))).Reason, StringComparison.Ordinal);
        await ReleaseAsync(lease, "first");

        lease.Tell(new UpstreamProtocol.MembersChanged([new MeshMember("a", "node1", true), new MeshMember("b", "node2", true)]));
        await AddAsync(lease, "seen");
        Store.BeforeList = null;
        StoreReturns();
        await UntilStoredAsync("early", "seen");
    }

    [Fact]
    public async Task Pods_that_come_and_go_meanwhile_leave_nothing_to_write_and_use_nothing_up()
    {
        var lease = Start();
        await AddAsync(lease, "one", [Tiny]);
        StoreGoesAway();
        await AddAsync(lease, "sent", [Tiny]);
        await ReleaseAsync(lease, "sent");

        for (var i = 0; i < 20; i++)
        {
            await AddAsync(lease, "pod" + i, [Tiny]);
            await ReleaseAsync(lease, "pod" + i);
        }

        // What a transaction has carried may be in the datastore; nothing else is left.
        Assert.InRange((await StatusAsync(lease)).Promises, 0, 6);
        StoreReturns();
        await UntilStoredAsync("one");
    }

    [Fact]
    public async Task An_address_that_is_taken_back_meanwhile_is_there_for_the_next_pod()
    {
        var lease = Start();
        var given = await AddAsync(lease, "one", [Tiny]);
        await AddAsync(lease, "two", [Tiny]);
        StoreGoesAway();

        await ReleaseAsync(lease, "one");
        Assert.Equal(given, await AddAsync(lease, "three", [Tiny]));
        Assert.Empty(await DoubtsAsync(lease, ("three", given)));
        StoreReturns();

        await UntilStoredAsync("two", "three");
    }

    [Fact]
    public async Task The_next_start_finds_the_address_that_had_been_promised_again()
    {
        var before = Start();
        var given = await AddAsync(before, "one", [Tiny]);
        await AddAsync(before, "two", [Tiny]);
        var lease = Start();

        // The journal says: one is gone, three has its address; none of it was written.
        lease.Tell(new LeaseProtocol.ReleaseAllBut(["k8s-pod-network.two", "k8s-pod-network.three"],
            InUse((given, "k8s-pod-network.three"))));
        Assert.Single(await DoubtsUntilLoadedAsync(lease, ("three", given)));
        lease.Tell(Reclaim("three", given) with { Pools = [Tiny] }, TestActor);

        await ExpectMsgAsync<LeaseProtocol.Allocated>(TimeSpan.FromSeconds(10));
        Assert.Equal("k8s-pod-network.three", (await AssignedAsync())[given]);
    }

    [Fact]
    public async Task A_promise_that_cannot_be_kept_is_doubted()
    {
        var lease = Start();
        var first = await AddAsync(lease, "first");
        StoreGoesAway(t => t.Writes.Any(w => w.Key == EndpointKey("web")));
        var promised = await AddAsync(lease, "web");
        Assert.Empty(await DoubtsAsync(lease, ("web", promised)));
        await LoseAsync(first, to: "node2");
        StoreReturns();

        await AwaitAssertAsync(async () => Assert.Equal(0, (await StatusAsync(lease)).Promises), TimeSpan.FromSeconds(10));
        Assert.Single(await DoubtsAsync(lease, ("web", promised)));
        Assert.Empty(await AssignedAsync());
    }

    [Fact]
    public async Task Promises_outlive_a_crash_of_the_actor()
    {
        var lease = Start();
        await AddAsync(lease, "gone");
        StoreGoesAway();
        await ReleaseAsync(lease, "gone");
        var address = await AddAsync(lease, "web");

        lease.Tell(new LeaseProtocol.Allocate(0, null!, [], null!), CreateTestProbe("cause").Ref);
        StoreReturns();

        await UntilStoredAsync("web");
        Assert.Equal(address, (await AssignedAsync()).Keys.Single());
    }

    [Fact]
    public async Task Not_more_is_promised_than_may_be()
    {
        var lease = Start(options: new LeaseOptions { Answer = LeaseAnswer.Durable, MaxPromises = 2 });
        await AddAsync(lease, "first");
        StoreGoesAway();
        await AddAsync(lease, "one");
        await AddAsync(lease, "two");

        lease.Tell(Allocate("three"), TestActor);

        await ExpectNoMsgAsync(TimeSpan.FromMilliseconds(500));
        StoreReturns();
        await ExpectMsgAsync<LeaseProtocol.Allocated>(TimeSpan.FromSeconds(10));
    }

    private async Task<IReadOnlyList<LeaseProtocol.Tenant>> DoubtsUntilLoadedAsync(IActorRef lease, (string Pod, string Address) pod)
    {
        await AwaitAssertAsync(async () => Assert.True((await StatusAsync(lease)).Loaded), TimeSpan.FromSeconds(10));
        return await DoubtsAsync(lease, pod);
    }
}

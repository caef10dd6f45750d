using Akka.TestKit;
using Calico.Actors.Ipam;
using Calico.Core.Ipam;
using Calico.Datastore;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Ipam;

/// <summary>A datastore that answers, and does not do what it is asked.</summary>
[Layer("actor")]
public class LeaseRefusedTests(ITestOutputHelper output) : LeaseFixture(output)
{
    private int Affinities => Store.Keys.Count(k => k.StartsWith(IpamKeys.HostPrefix, StringComparison.Ordinal));

    [Fact]
    public async Task A_node_that_may_not_write_promises_nothing_and_says_why()
    {
        var lease = Start(options: new LeaseOptions { RequestTimeout = TimeSpan.FromSeconds(3) });
        await AddAsync(lease, "first");
        // What another node may have borrowed before the start is written by now.
        Clock.Advance(Lending.Term + TimeSpan.FromSeconds(1));
        Store.BeforeCommit = t => t.Writes.Any(w => w.Key.StartsWith(IpamKeys.BlockPrefix, StringComparison.Ordinal))
            ? throw new DatastoreException(DatastoreFault.Denied, "etcd: permission denied") : Task.CompletedTask;
        // The first one finds out, and its answer is out by then.
        lease.Tell(Allocate("web"), TestActor);
        await ExpectMsgAsync<LeaseProtocol.Allocated>(TimeSpan.FromSeconds(10));
        await AwaitAssertAsync(async () => Assert.Contains("permission denied", (await StatusAsync(lease)).Trouble ?? "", StringComparison.Ordinal));

        lease.Tell(Allocate("api"), TestActor);
        await ExpectNoMsgAsync(TimeSpan.FromMilliseconds(300));
        for (var i = 0; i < 4; i++)
            Clock.Advance(TimeSpan.FromSeconds(1));

        var refused = await ExpectMsgAsync<LeaseProtocol.NotAllocated>(TimeSpan.FromSeconds(20));
        Assert.True(refused.Retryable);
        Assert.Contains("permission denied", refused.Reason, StringComparison.Ordinal);
        Store.BeforeCommit = null;
        await AwaitAssertAsync(async () => Assert.Equal(["k8s-pod-network.first", "k8s-pod-network.web"],
            (await AssignedAsync()).Values.Order(StringComparer.Ordinal)), TimeSpan.FromSeconds(10));
    }

    [Fact]
    public async Task What_the_store_certainly_did_not_do_needs_no_fence()
    {
        var lease = Start();
        await AddAsync(lease, "first");
        var epoch = Store.Keys.Single(k => k.StartsWith(IpamKeys.HostPrefix, StringComparison.Ordinal));
        var before = (await Store.GetAsync(epoch))!.ModRevision;
        Store.BeforeCommit = _ =>
        {
            Store.BeforeCommit = null;
            throw new DatastoreException(DatastoreFault.Exhausted, "etcd: no space");
        };

        await AddAsync(lease, "web");

        Assert.Equal(before, (await Store.GetAsync(epoch))!.ModRevision);
        Assert.Equal(1, Affinities);
    }

    [Fact]
    public async Task A_request_that_the_store_can_never_take_is_refused_and_the_others_go_on()
    {
        var lease = Start();
        await AddAsync(lease, "first");
        Store.BeforeCommit = t => t.Writes.Any(w => w.Key == EndpointKey("bad"))
            ? throw new DatastoreException(DatastoreFault.Invalid, "a value of 2000000 bytes") : Task.CompletedTask;

        foreach (var pod in (string[])["bad", "web", "api"])
            lease.Tell(Allocate(pod), TestActor);

        var answers = new List<object>();
        for (var i = 0; i < 3; i++)
            answers.Add(await ExpectMsgAsync<object>(TimeSpan.FromSeconds(20)));
        Assert.Contains("2000000 bytes", Assert.Single(answers.OfType<LeaseProtocol.NotAllocated>()).Reason, StringComparison.Ordinal);
        Assert.Equal(3, (await AssignedAsync()).Count);
    }

    // It was carried out, and nobody heard of it.
    [Fact]
    public async Task What_a_start_gives_back_spares_whoever_asked_since()
    {
        await AddAsync(Start(), "first");
        var lease = Start();
        var done = 0L;
        Store.BeforeCommit = async t =>
        {
            if (!t.Writes.Any(w => w.Key == EndpointKey("web")))
                return;
            Store.BeforeCommit = null;
            done = (await Store.CommitAsync(t)).Revision;
            throw new DatastoreException(DatastoreFault.Unavailable, "nobody answered");
        };

        lease.Tell(new LeaseProtocol.ReleaseAllBut(["k8s-pod-network.first"], InUse()), TestActor);
        lease.Tell(Allocate("web"), TestActor);
        await ExpectMsgAsync<LeaseProtocol.Allocated>(TimeSpan.FromSeconds(10));

        Assert.Equal(2, (await AssignedAsync()).Count);
        Assert.Equal(done, (await Store.GetAsync(IpamKeys.Handle("k8s-pod-network.web")))!.CreateRevision);
    }

    private async Task<LeaseProtocol.Status> StatusAsync(Akka.Actor.IActorRef lease)
    {
        lease.Tell(new LeaseProtocol.GetStatus(), TestActor);
        return await ExpectMsgAsync<LeaseProtocol.Status>();
    }
}

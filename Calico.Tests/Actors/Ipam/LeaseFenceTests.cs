using Akka.Actor;
using Akka.TestKit;
using Calico.Actors.Ipam;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Ipam;

/// <summary>A transaction that nobody waits for any more arrives late: it must change nothing.</summary>
[Layer("actor")]
public class LeaseFenceTests(ITestOutputHelper output) : LeaseFixture(output)
{
    [Fact]
    public async Task What_an_earlier_process_sent_and_arrives_after_the_start_is_refused()
    {
        var before = Start();
        await AddAsync(before, "first");
        var late = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var sent = new TaskCompletionSource<Transaction>(TaskCreationOptions.RunContinuationsAsynchronously);
        Store.BeforeCommit = t =>
        {
            Store.BeforeCommit = null;
            sent.SetResult(t);
            return late.Task;
        };
        before.Tell(Allocate("web"), TestActor);
        var transaction = await sent.Task.WaitAsync(TimeSpan.FromSeconds(10));
        await before.GracefulStop(TimeSpan.FromSeconds(5));
        var epoch = transaction.Compares.Single(c => c.Key.StartsWith(IpamKeys.HostPrefix, StringComparison.Ordinal)).ModRevision;

        var routes = CreateTestProbe();
        Start().Tell(new LeaseProtocol.Subscribe(routes.Ref));
        await UntilHeldAsync(routes, h => h.Blocks.Count == 1 && h.Blocks.Values.All(e => e > epoch));
        var revision = Store.Revision;
        late.SetResult();

        // What was sent before it and what comes after it arrive in turn.
        await Store.CommitAsync(transaction);
        Assert.Equal(revision, Store.Revision);
        Assert.Equal(["k8s-pod-network.first"], (await AssignedAsync()).Values);
    }

    [Fact]
    public async Task What_was_given_up_and_arrives_before_the_fence_is_found()
    {
        var lease = Start();
        await AddAsync(lease, "first");
        Transaction? lost = null;
        Store.BeforeCommit = async t =>
        {
            if (lost is null)
            {
                lost = t;
                throw new DatastoreException(DatastoreFault.Unavailable, "nobody answered");
            }
            // It arrives just before the fence does.
            Store.BeforeCommit = null;
            await Store.CommitAsync(lost);
        };

        var address = await AddAsync(lease, "web");

        Assert.Equal("k8s-pod-network.web", (await AssignedAsync())[address]);
        Assert.Equal(2, (await AssignedAsync()).Count);
        Assert.Equal(2, Handles.Length);
    }

    [Fact]
    public async Task More_blocks_than_one_transaction_takes_are_fenced_in_several()
    {
        var many = new PoolRef("many", Cidr.Parse("10.80.0.0/24"), 31);
        var options = new LeaseOptions { Answer = LeaseAnswer.Durable, MaxBlocks = 100 };
        var before = Start(options: options);
        for (var i = 0; i < 159; i++)
            await AddAsync(before, "pod" + i, [many]);
        await before.GracefulStop(TimeSpan.FromSeconds(5));
        var largest = 0;
        Store.BeforeCommit = t =>
        {
            largest = Math.Max(largest, Math.Max(t.Compares.Length, t.Writes.Length));
            return Task.CompletedTask;
        };
        var revision = Store.Revision;

        var after = Start(options: options);
        await AddAsync(after, "one-more", [many]);

        Assert.InRange(largest, 100, DatastoreLimits.MaxTransactionOperations);
        Assert.Equal(revision + 3, Store.Revision);
    }
}

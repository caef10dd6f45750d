using System.Collections.Concurrent;
using Akka.TestKit;
using Calico.Actors.Ipam;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Ipam;

/// <summary>Handles are written with their blocks, and read only where the lease cannot know them.</summary>
[Layer("actor")]
public class LeaseHandleTests : LeaseFixture
{
    private readonly ConcurrentQueue<string> _read = [];

    public LeaseHandleTests(ITestOutputHelper output) : base(output) => Store.Read = _read.Enqueue;

    private static string Key(string pod) => IpamKeys.Handle("k8s-pod-network." + pod);

    [Fact]
    public async Task A_release_reads_no_handle_that_the_lease_wrote()
    {
        var lease = Start();
        var address = await AddAsync(lease, "web");

        lease.Tell(Release("web", address), TestActor);
        await ExpectMsgAsync<LeaseProtocol.Released>();

        Assert.Empty(Handles);
        Assert.DoesNotContain(_read, key => key.StartsWith(IpamKeys.HandlePrefix, StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_release_after_a_restart_reads_the_handles_that_it_does_not_know()
    {
        var address = await AddAsync(Start(), "web");
        var after = Start();

        after.Tell(Release("web", address), TestActor);
        await ExpectMsgAsync<LeaseProtocol.Released>();

        Assert.Empty(Handles);
        Assert.Equal([Key("web")], _read.Where(k => k.StartsWith(IpamKeys.HandlePrefix, StringComparison.Ordinal)));
    }

    [Fact]
    public async Task A_handle_that_somebody_else_wrote_meanwhile_loses_only_what_is_released()
    {
        var lease = Start();
        var address = await AddAsync(lease, "web");
        await PutAsync(Key("web"), """{"block":{"10.65.0.0/26":1,"10.9.0.0/26":2},"deleted":false}""");

        lease.Tell(Release("web", address), TestActor);
        await ExpectMsgAsync<LeaseProtocol.Released>();

        var left = IpamJson.ParseHandle((await Store.GetAsync(Key("web")))!.Value);
        Assert.Equal([new KeyValuePair<string, int>("10.9.0.0/26", 2)], left);
        Assert.Empty(await AssignedAsync());
    }

    [Fact]
    public async Task A_handle_that_somebody_else_deleted_meanwhile_stops_no_release()
    {
        var lease = Start();
        var address = await AddAsync(lease, "web");
        await Store.CommitAsync(new Transaction([], [Write.Delete(Key("web"))]));

        lease.Tell(Release("web", address), TestActor);
        await ExpectMsgAsync<LeaseProtocol.Released>();

        Assert.Empty(Handles);
        Assert.Empty(await AssignedAsync());
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_burst_fills_transactions_to_what_the_datastore_takes_and_not_beyond(int families)
    {
        var pools = families == 1 ? new[] { Pool } : [Pool, new PoolRef("six", Cidr.Parse("fd00:65::/121"), 122)];
        var lease = Start();
        await AddAsync(lease, "first", [.. pools]);
        var largest = 0;
        var isAsked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Store.BeforeCommit = t =>
        {
            largest = Math.Max(largest, Math.Max(t.Compares.Length, t.Writes.Length));
            return isAsked.Task;
        };

        for (var i = 0; i < 100; i++)
            lease.Tell(Allocate("pod" + i, [.. pools]), TestActor);
        isAsked.SetResult();
        for (var i = 0; i < 100; i++)
            await ExpectMsgAsync<LeaseProtocol.Allocated>(TimeSpan.FromSeconds(10));

        Assert.Equal(101, Handles.Length);
        Assert.InRange(largest, 100, DatastoreLimits.MaxTransactionOperations);
    }
}

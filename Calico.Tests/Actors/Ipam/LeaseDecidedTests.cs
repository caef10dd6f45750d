using Akka.Actor;
using Calico.Actors.Ipam;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Ipam;

/// <summary>Who can be answered from the blocks held is answered while the transaction is under way.</summary>
[Layer("actor")]
public class LeaseDecidedTests(ITestOutputHelper output) : LeaseFixture(output)
{
    private static readonly LeaseOptions Decided = new() { Answer = LeaseAnswer.Decided };

    private TaskCompletionSource _disk = new();

    /// <summary>A lease that holds a block, has run for long enough, and whose transactions do not end until <see cref="Write"/>.</summary>
    private async Task<IActorRef> SettledAsync(LeaseOptions? options = null)
    {
        var lease = Start(options: options ?? Decided);
        await AddAsync(lease, "first");
        await StoredAsync("first");
        Clock.Advance(Lending.Term);
        Store.BeforeCommit = _ => _disk.Task;
        return lease;
    }

    private void Write()
    {
        Store.BeforeCommit = null;
        _disk.SetResult();
        _disk = new TaskCompletionSource();
    }

    private Task StoredAsync(params string[] pods) => AwaitAssertAsync(async () => Assert.Equal(
        pods.Select(p => "k8s-pod-network." + p).Order(StringComparer.Ordinal), (await AssignedAsync()).Values.Order(StringComparer.Ordinal)), TimeSpan.FromSeconds(10));

    [Fact]
    public async Task A_pod_has_its_address_while_the_transaction_is_under_way()
    {
        var lease = await SettledAsync();

        var web = await AddAsync(lease, "web");
        var db = await AddAsync(lease, "db");

        Assert.NotEqual(web, db);
        Assert.Equal(["k8s-pod-network.first"], (await AssignedAsync()).Values);
        Write();
        await StoredAsync("first", "web", "db");
        Assert.Equal(web, (await AssignedAsync()).Single(a => a.Value == "k8s-pod-network.web").Key);
        Assert.Equal(web, await StoredEndpointAsync("web"));
    }

    [Fact]
    public async Task Where_it_is_to_be_durable_nobody_is_answered_before()
    {
        var lease = await SettledAsync(new LeaseOptions { Answer = LeaseAnswer.Durable });

        lease.Tell(Allocate("web"), TestActor);

        await ExpectNoMsgAsync(TimeSpan.FromMilliseconds(200));
        Write();
        await ExpectMsgAsync<LeaseProtocol.Allocated>(TimeSpan.FromSeconds(10));
        await StoredAsync("first", "web");
    }

    [Fact]
    public async Task The_same_pod_asked_for_again_has_the_same_address()
    {
        var lease = await SettledAsync();

        var first = await AddAsync(lease, "web");

        Assert.Equal(first, await AddAsync(lease, "web"));
        Write();
        await StoredAsync("first", "web");
    }

    [Fact]
    public async Task A_pod_that_is_gone_before_it_was_written_leaves_nothing()
    {
        var lease = await SettledAsync();
        await AddAsync(lease, "sent");
        var brief = await AddAsync(lease, "brief");

        lease.Tell(Release("brief", brief), TestActor);

        await ExpectMsgAsync<LeaseProtocol.Released>(TimeSpan.FromSeconds(10));
        Write();
        await StoredAsync("first", "sent");
        Assert.Equal("", await StoredEndpointAsync("brief"));
        Assert.Equal(2, Handles.Length);
    }

    [Fact]
    public async Task Where_the_view_has_proved_stale_nobody_is_answered_until_it_is_read_again()
    {
        var lease = await SettledAsync();
        Store.BeforeCommit = null;
        var list = new TaskCompletionSource();
        var reading = new TaskCompletionSource();
        Store.BeforeList = () =>
        {
            reading.TrySetResult();
            return list.Task;
        };
        // Somebody else has written the block.
        var key = Store.Keys.Single(k => k.StartsWith(IpamKeys.BlockPrefix, StringComparison.Ordinal));
        var block = (await Store.GetAsync(key))!;
        await Store.CommitAsync(new Transaction([], [Calico.Datastore.Write.Put(key, block.Value)]));
        await AddAsync(lease, "web");
        await reading.Task.WaitAsync(TimeSpan.FromSeconds(10));

        lease.Tell(Allocate("late"), TestActor);

        await ExpectNoMsgAsync(TimeSpan.FromMilliseconds(200));
        list.SetResult();
        await ExpectMsgAsync<LeaseProtocol.Allocated>(TimeSpan.FromSeconds(10));
        await StoredAsync("first", "web", "late");
    }

    [Fact]
    public async Task What_was_decided_outlives_a_crash_of_the_actor()
    {
        var lease = await SettledAsync();
        var address = await AddAsync(lease, "web");

        lease.Tell(new LeaseProtocol.Allocate(0, null!, [], null!), CreateTestProbe("cause").Ref);
        Write();

        await StoredAsync("first", "web");
        Assert.Contains(address, (await AssignedAsync()).Keys);
    }

    [Fact]
    public async Task An_address_in_another_nodes_block_is_written_back_before_the_answer()
    {
        var lease = await SettledAsync();
        var theirs = IpamBlock.Create(Cidr.Parse("10.65.0.64/26"), "host:node2", Clock.GetUtcNow());
        var address = theirs.AutoAssign(new AllocationAttributes("k8s-pod-network.guest", null), _ => false)!.Value;
        Store.BeforeCommit = null;
        await Store.CommitAsync(new Transaction([], [Calico.Datastore.Write.Put(IpamKeys.Block(theirs.Cidr), IpamJson.WriteBlock(theirs)),
            Calico.Datastore.Write.Put(IpamKeys.Handle("k8s-pod-network.guest"), IpamJson.WriteHandle(new Dictionary<string, int> { [theirs.Cidr.ToString()] = 1 }))]));
        Store.BeforeCommit = _ => _disk.Task;

        lease.Tell(Release("guest", address.ToString()), TestActor);

        await ExpectNoMsgAsync(TimeSpan.FromMilliseconds(200));
        Write();
        await ExpectMsgAsync<LeaseProtocol.Released>(TimeSpan.FromSeconds(10));
        await StoredAsync("first");
    }
}

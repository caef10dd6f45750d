using Calico.Actors.Cluster;
using Calico.Datastore;
using Xunit.Abstractions;

namespace Calico.Tests.Cluster;

[Layer("cluster")]
[Collection("cluster")]
public class BootstrapTests(ITestOutputHelper output)
{
    [Fact]
    public async Task Three_nodes_that_start_together_on_an_empty_datastore_form_one_cluster()
    {
        await using var bed = new MeshBed(output);
        MeshPeer[] peers = [bed.Add(1), bed.Add(2), bed.Add(3)];

        await MeshBed.StartAsync(peers);

        await bed.AreOneClusterAsync(peers);
        await bed.RecordNamesAsync(peers);
    }

    [Fact]
    public async Task Every_node_is_told_who_the_members_are()
    {
        await using var bed = new MeshBed(output);
        var peers = (await bed.ThreeAsync()).ToArray();

        await bed.TellsItsNodeAsync(peers);
        await peers[2].LeaveAsync();

        await bed.TellsItsNodeAsync(peers[0], peers[1]);
    }

    [Fact]
    public async Task Three_nodes_that_find_the_record_of_a_cluster_long_gone_form_one_cluster()
    {
        await using var bed = new MeshBed(output);
        await bed.PutAsync(BootstrapRecord.Key,
            new BootstrapRecord("gone", 99, [$"akka.tcp://{MeshOptions.SystemName}@{bed.Address(9)}:1"]).ToJson());
        MeshPeer[] peers = [bed.Add(1), bed.Add(2), bed.Add(3)];

        await MeshBed.StartAsync(peers);

        await bed.AreOneClusterAsync(peers);
        Assert.NotEqual("gone", (await bed.RecordAsync())!.ClusterId);
    }

    [Fact]
    public async Task Three_nodes_that_were_all_killed_form_one_cluster_again()
    {
        await using var bed = new MeshBed(output);
        var peers = (await bed.ThreeAsync()).ToArray();
        await bed.RecordNamesAsync(peers);
        var before = (await bed.RecordAsync())!.ClusterId;

        await MeshBed.KillAsync(peers);
        await MeshBed.StartAsync(peers);

        await bed.AreOneClusterAsync(peers);
        Assert.NotEqual(before, (await bed.RecordAsync())!.ClusterId);
    }

    [Fact]
    public async Task A_node_that_was_killed_comes_back_under_its_address()
    {
        await using var bed = new MeshBed(output);
        var peers = (await bed.ThreeAsync()).ToArray();
        await bed.RecordNamesAsync(peers);

        await peers[0].KillAsync();
        peers[0].Start();

        await bed.AreOneClusterAsync(peers);
    }

    [Fact]
    public async Task Two_clusters_that_find_each_other_become_one()
    {
        await using var bed = new MeshBed(output);
        var (first, second) = (bed.Add(1), bed.Add(2));
        await MeshBed.StartAsync(first);
        await bed.RecordNamesAsync(first);
        // Nobody names the first any more, and it is slow to say so; the second forms a cluster of its own.
        var formed = new TaskCompletionSource();
        bed.Datastore.BeforeCommit = t => Names(t, AddressOf(first)) ? formed.Task : Task.CompletedTask;
        await bed.PutAsync(BootstrapRecord.Key, new BootstrapRecord("second", 1, [AddressOf(second)]).ToJson());
        await MeshBed.StartAsync(second);
        await bed.UntilAsync(() => MeshBed.AreOneCluster(second), "the second is a cluster");
        bed.Datastore.BeforeCommit = null;
        formed.SetResult();

        await bed.UntilAsync(() => !first.IsRunning || !second.IsRunning, "one of the two dissolves");
        var dissolved = first.IsRunning ? second : first;
        dissolved.Start();

        await bed.AreOneClusterAsync(first, second);
    }

    [Fact]
    public async Task A_node_that_formed_a_cluster_of_its_own_gives_it_up_for_the_larger_one()
    {
        await using var bed = new MeshBed(output);
        var peers = (await bed.ThreeAsync()).ToArray();
        await bed.RecordNamesAsync(peers);
        var first = peers.Single(p => p.View.Leader.ToString() == p.Address);

        // As when it dies before it has written who joined it.
        await first.KillAsync();
        await bed.PutAsync(BootstrapRecord.Key, new BootstrapRecord("early", 1, [first.Address]).ToJson());
        first.Start();

        await bed.UntilAsync(() =>
        {
            Assert.All(peers.Where(p => p != first), p => Assert.True(p.IsRunning));
            // The agent's supervisor starts what has ended.
            if (!first.IsRunning)
                first.Start();
            return MeshBed.AreOneCluster(peers);
        }, "all three are one cluster again");
    }

    [Fact]
    public async Task A_node_that_leaves_is_no_member_any_more_and_never_was_unreachable()
    {
        await using var bed = new MeshBed(output);
        var peers = (await bed.ThreeAsync()).ToArray();

        await peers[0].LeaveAsync();

        await bed.AreOneClusterAsync(peers[1], peers[2]);
        Assert.DoesNotContain(peers[1..].SelectMany(p => p.Log), l => l.Contains("UNREACHABLE", StringComparison.OrdinalIgnoreCase));
    }

    private static bool Names(Transaction transaction, string member) => transaction.Writes.Any(w =>
        w.Key == BootstrapRecord.Key && w.Value is { } value && BootstrapRecord.FromJson(value) is { } record && record.Members.Contains(member));

    private static string AddressOf(MeshPeer peer) => $"akka.tcp://{MeshOptions.SystemName}@{peer.Options.Address}:{peer.Options.Port}";
}

using Akka.Actor;
using Akka.Remote;
using Akka.Remote.Transport;
using Calico.Actors.Ipam;
using Calico.Core.Net;
using Xunit.Abstractions;
using static Akka.Remote.Transport.ThrottleTransportAdapter;

namespace Calico.Tests.Cluster;

[Layer("cluster")]
[Collection("cluster")]
public class PartitionTests(ITestOutputHelper output)
{
    [Fact]
    public async Task The_smaller_part_ends_its_membership_the_larger_goes_on_and_afterwards_they_are_one_again()
    {
        await using var bed = new MeshBed(output);
        var peers = (await bed.ThreeAsync(o => o with { Loggers = o.Loggers + "\nremote.dot-netty.tcp.applied-adapters = [trttl]" })).ToArray();
        var alone = await bed.WatcherAsync(peers);
        var majority = peers.Where(p => p != alone).ToArray();
        await bed.RecordNamesAsync(peers);

        await IsolateAsync(alone, majority);

        await bed.UntilAsync(() => !alone.IsRunning, "the member that is alone ends its membership");
        Assert.Empty(alone.Store.OpenWatches);
        await bed.AreOneClusterAsync(majority);
        await bed.WatcherAsync(majority);
        var claim = await majority[0].Half.ClaimAsync(new BlockProtocol.ClaimBlock(Cidr.Parse("10.65.0.0/26"), majority[0].Node, 0));
        Assert.IsType<BlockProtocol.BlockGranted>(claim);

        // As the agent's supervisor does; its transport is new and nothing disturbs it.
        alone.Start();
        await bed.AreOneClusterAsync(peers);
    }

    // Each part counts the other as gone, and both go on under the cluster's id.
    [Fact]
    public async Task Two_parts_that_both_went_on_become_one_again()
    {
        await using var bed = new MeshBed(output);
        var peers = (await bed.ThreeAsync(o => o with { Loggers = o.Loggers + "\nremote.dot-netty.tcp.applied-adapters = [trttl]" })).ToArray();
        await bed.RecordNamesAsync(peers);
        var (alone, others) = (peers[2], peers[..2]);
        await IsolateAsync(alone, others);
        foreach (var other in others)
            Akka.Cluster.Cluster.Get(alone.System).Down(Address.Parse(other.Address));
        foreach (var other in others)
            Akka.Cluster.Cluster.Get(other.System).Down(Address.Parse(alone.Address));
        await bed.UntilAsync(() => alone.IsRunning && alone.Up.SequenceEqual([alone.Node]) && others.All(o => o.Up.Length == 2), "there are two clusters");

        await bed.UntilAsync(() => !alone.IsRunning, "the smaller one dissolves");
        Assert.All(others, o => Assert.True(o.IsRunning));
        alone.Start();
        await bed.AreOneClusterAsync(peers);
    }

    /// <summary>From now on nothing passes between this one and the others, in either direction, and no connection closes.</summary>
    private static async Task IsolateAsync(MeshPeer alone, MeshPeer[] others)
    {
        var transport = ((IRemoteActorRefProvider)((ExtendedActorSystem)alone.System).Provider).Transport;
        foreach (var other in others)
            Assert.True(await transport.ManagementCommand(new SetThrottle(Address.Parse(other.Address), Direction.Both, Blackhole.Instance)));
    }
}

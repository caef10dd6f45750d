using Calico.Actors.Ipam;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Xunit.Abstractions;

namespace Calico.Tests.Cluster;

[Layer("cluster")]
[Collection("cluster")]
public class BlockClaimTests(ITestOutputHelper output)
{
    [Fact]
    public async Task Of_two_claims_at_once_one_is_granted_and_the_datastore_says_the_same()
    {
        await using var bed = new MeshBed(output);
        var peers = (await bed.ThreeAsync()).ToArray();

        var blocks = Enumerable.Range(0, 12).Select(i => Cidr.Parse($"10.65.{i}.0/26")).ToList();

        foreach (var block in blocks)
            await ContendAsync(bed, block, peers[0], peers[1]);

        var owners = blocks.Select(b => Assert.Single(peers, p => p.Store.HasWritten(IpamKeys.Block(b)))).Distinct();
        Assert.True(owners.Count() > 1, "claims came from near and far");
    }

    [Fact]
    public async Task A_grant_keeps_its_epoch_when_the_member_that_gave_it_is_killed()
    {
        await using var bed = new MeshBed(output);
        var peers = (await bed.ThreeAsync()).ToArray();
        // The grant may be the killed member's own. Its node still exists, so nobody takes anything from it.
        foreach (var peer in peers)
            await bed.PutAsync(new ResourceKey(ResourceKind.Node, null, peer.Node).Path, ResourceCodec.Encode(new NodeResource { Metadata = new ObjectMeta { Name = peer.Node } }));
        var block = Cidr.Parse("10.65.7.0/26");
        var granted = await ContendAsync(bed, block, peers[0], peers[1]);
        var owner = Assert.Single(peers, p => p.Store.HasWritten(IpamKeys.Block(block)));

        await owner.KillAsync();
        var survivors = peers.Where(p => p != owner).ToArray();
        var again = await survivors[0].Half.ClaimAsync(new BlockProtocol.ClaimBlock(block, granted.Node, 0));
        var other = await survivors[1].Half.ClaimAsync(new BlockProtocol.ClaimBlock(block, "n3", 0));

        Assert.Equal(granted.Epoch, Assert.IsType<BlockProtocol.BlockGranted>(again).Epoch);
        Assert.Equal("host:" + granted.Node, Assert.IsType<BlockProtocol.BlockRefused>(other).Holder);
    }

    // Half of the members, the leader's half, lives on. What they know of who owns what must not have died with the others.
    [Fact]
    public async Task When_half_of_the_members_are_killed_at_once_every_owner_is_found_by_everybody_at_one_place()
    {
        await using var bed = new MeshBed(output);
        var peers = new[] { bed.Add(1), bed.Add(2), bed.Add(3), bed.Add(4) };
        await MeshBed.StartAsync(peers);
        await bed.AreOneClusterAsync(peers);
        var blocks = Enumerable.Range(0, 24).Select(i => Cidr.Parse($"10.65.{i}.0/26")).ToList();
        foreach (var block in blocks.Take(12))
            await ContendAsync(bed, block, peers[0], peers[3]);

        await MeshBed.KillAsync(peers[2..]);
        var left = peers[..2];
        await bed.AreOneClusterAsync(left);

        foreach (var block in blocks.Skip(12))
            await ContendAsync(bed, block, left[0], left[1]);
        foreach (var peer in left)
        {
            foreach (var block in blocks)
                await peer.Half.ClaimAsync(new BlockProtocol.ClaimBlock(block, peer.Node, 1));
        }
        await bed.UntilAsync(async () =>
        {
            var owners = await Task.WhenAll(left.Select(p => p.AwakeAsync("block")));
            return owners[0].Length > 0 && owners[1].Length > 0
                && owners[0].Concat(owners[1]).Order(StringComparer.Ordinal).SequenceEqual(blocks.Select(b => b.ToString()).Order(StringComparer.Ordinal));
        }, "each block has one owner");
    }

    /// <summary>Two nodes claim a block at the same moment, each through its own member.</summary>
    private static async Task<BlockProtocol.BlockGranted> ContendAsync(MeshBed bed, Cidr block, MeshPeer one, MeshPeer two)
    {
        var answers = await Task.WhenAll(
            one.Half.ClaimAsync(new BlockProtocol.ClaimBlock(block, one.Node, 0)),
            two.Half.ClaimAsync(new BlockProtocol.ClaimBlock(block, two.Node, 0)));

        var granted = Assert.Single(answers.OfType<BlockProtocol.BlockGranted>());
        var refused = Assert.Single(answers.OfType<BlockProtocol.BlockRefused>());
        var loser = granted.Node == one.Node ? two.Node : one.Node;
        Assert.Equal((BlockProtocol.Refusal.HeldByAnother, "host:" + granted.Node), (refused.Reason, refused.Holder));
        Assert.Equal(granted.Epoch, (await bed.Datastore.GetAsync(IpamKeys.Affinity(granted.Node, block)))!.ModRevision);
        Assert.Null(await bed.Datastore.GetAsync(IpamKeys.Affinity(loser, block)));
        Assert.Equal(granted.Node, IpamJson.ParseBlock((await bed.Datastore.GetAsync(IpamKeys.Block(block)))!.Value).AffineHost);
        return granted;
    }
}

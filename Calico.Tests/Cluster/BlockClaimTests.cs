using Calico.Actors.Ipam;
using Calico.Core.Ipam;
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

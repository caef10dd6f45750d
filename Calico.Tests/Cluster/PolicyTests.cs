using System.Text;
using Calico.Core.Model.Resources;
using Xunit.Abstractions;

namespace Calico.Tests.Cluster;

[Layer("cluster")]
[Collection("cluster")]
public class PolicyTests(ITestOutputHelper output)
{
    private static readonly string Policy = new ResourceKey(ResourceKind.GlobalNetworkPolicy, null, "default.web").Path;

    [Theory]
    [InlineData("is killed")]
    [InlineData("leaves")]
    public async Task When_the_owner_of_a_policy_goes_another_publishes_it_and_no_node_misses_it_meanwhile(string end)
    {
        await using var bed = new MeshBed(output);
        var peers = (await bed.ThreeAsync()).ToArray();
        var first = await bed.PutAsync(Policy, Allow("10.0.0.0/8"));
        var owner = await OwnerAsync(bed, first, peers, peers);
        await bed.UntilAsync(() => peers.All(p => p.Half.HasEveryPolicy), "every node has it in compiled form");

        await (end == "leaves" ? owner.LeaveAsync() : owner.KillAsync());
        var survivors = peers.Where(p => p != owner).ToArray();
        await bed.AreOneClusterAsync(survivors);
        await OwnerAsync(bed, first, survivors, survivors);
        var second = await bed.PutAsync(Policy, Allow("10.1.0.0/16"));
        await OwnerAsync(bed, second, survivors, survivors);

        await bed.UntilAsync(() => survivors.All(p => p.Half.HasEveryPolicy), "the survivors' nodes have its new revision");
        Assert.All(survivors, p => Assert.Empty(p.Half.Gaps));
    }

    [Fact]
    public async Task A_policy_that_is_deleted_leaves_every_log()
    {
        await using var bed = new MeshBed(output);
        var peers = (await bed.ThreeAsync()).ToArray();
        await OwnerAsync(bed, await bed.PutAsync(Policy, Allow("10.0.0.0/8")), peers, peers);

        await bed.DeleteAsync(Policy);

        await bed.UntilAsync(() => peers.All(reader => peers.All(p => reader.Half.InLogOf(p.Address, Policy) is null)), "nobody publishes it");
    }

    /// <summary>Waits until all readers have a policy's revision from the log of exactly one member, the same for all.</summary>
    private static async Task<MeshPeer> OwnerAsync(MeshBed bed, long revision, MeshPeer[] readers, MeshPeer[] among)
    {
        MeshPeer[] Owners(MeshPeer reader) => [.. among.Where(p => reader.Half.InLogOf(p.Address, Policy) == revision)];
        await bed.UntilAsync(() => readers.All(r => Owners(r).Length == 1 && Owners(r)[0] == Owners(readers[0]).FirstOrDefault()),
            $"one member publishes revision {revision}");
        return Owners(readers[0])[0];
    }

    private static byte[] Allow(string net) => Encoding.UTF8.GetBytes(
        $$"""
        {"kind":"GlobalNetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{"name":"default.web"},
         "spec":{"tier":"default","order":10,"selector":"app == 'web'","types":["Ingress"],
                 "ingress":[{"action":"Allow","protocol":"TCP","source":{"nets":["{{net}}"]},"destination":{"ports":[80]} }]} }
        """);
}

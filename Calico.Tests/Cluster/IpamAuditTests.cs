using System.Text;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Xunit.Abstractions;

namespace Calico.Tests.Cluster;

[Layer("cluster")]
[Collection("cluster")]
public class IpamAuditTests(ITestOutputHelper output)
{
    [Fact]
    public async Task One_member_has_the_cluster_s_figures_and_when_it_leaves_another()
    {
        await using var bed = new MeshBed(output);
        await bed.PutAsync(new ResourceKey(ResourceKind.IPPool, null, "pool").Path, Encoding.UTF8.GetBytes(
            """{"kind":"IPPool","apiVersion":"projectcalico.org/v3","metadata":{"name":"pool"},"spec":{"cidr":"10.65.0.0/16"} }"""));
        await PutBlockAsync(bed, used: 1);
        var peers = (await bed.ThreeAsync()).ToArray();

        await bed.UntilAsync(() => peers.Count(p => p.Audit.Figures is not null) == 1, "one member has the figures");
        var first = peers.Single(p => p.Audit.Figures is not null);
        await bed.UntilAsync(() => first.Audit.Figures is { Nodes: [{ Pool: "pool", Node: "n1", InUse: 1 }] }, "it knows the block");
        await first.LeaveAsync();
        Assert.Null(first.Audit.Figures);
        await PutBlockAsync(bed, used: 2);

        var others = peers.Where(p => p != first).ToArray();
        await bed.UntilAsync(() => others.Count(p => p.Audit.Figures is { Nodes: [{ Pool: "pool", Node: "n1", InUse: 2 }] }) == 1, "another has them");
        Assert.Single(others, p => p.Audit.Figures is not null);
    }

    private static Task PutBlockAsync(MeshBed bed, int used)
    {
        var block = IpamBlock.Create(Cidr.Parse("10.65.3.0/26"), "host:n1", TimeProvider.System.GetUtcNow());
        for (var i = 0; i < used; i++)
            block.AutoAssign(new AllocationAttributes($"net.{i}", new Dictionary<string, string> { ["node"] = "n1" }));
        return bed.PutAsync(IpamKeys.Block(block.Cidr), IpamJson.WriteBlock(block));
    }
}

using System.Collections.Immutable;
using System.Text;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Xunit.Abstractions;

namespace Calico.Tests.Cluster;

/// <summary>What a node leaves behind, with the warden, the owner of its facts and those of its blocks as they are in a mesh.</summary>
[Layer("cluster")]
[Collection("cluster")]
public class GoneNodeTests(ITestOutputHelper output)
{
    private const string Resources = "/calico/resources/v3/projectcalico.org/";
    private const string Endpoint = Resources + "workloadendpoints/default/gone-k8s-web-eth0";
    private static readonly Cidr Block = Cidr.Parse("10.65.3.0/28");

    // The block's holder is gone as well, and only the pool says how large the block is.
    [Fact]
    public async Task What_it_had_borrowed_in_a_block_that_nobody_holds_is_free_before_its_endpoint_goes()
    {
        await using var bed = new MeshBed(output);
        var block = IpamBlock.Create(Block, "host:other", TimeProvider.System.GetUtcNow());
        block.Affinity = null;
        block.Assign(IpAddr.Parse("10.65.3.7"), new AllocationAttributes("net.c1", new Dictionary<string, string> { ["node"] = "gone", ["pod"] = "web" }.ToImmutableSortedDictionary()));
        await bed.PutAsync(Resources + "ippools/small", Encoding.UTF8.GetBytes("""{"kind":"IPPool","apiVersion":"projectcalico.org/v3","metadata":{"name":"small"},"spec":{"cidr":"10.65.0.0/16","blockSize":28}}"""));
        await bed.PutAsync(IpamKeys.Block(Block), IpamJson.WriteBlock(block));
        await bed.PutAsync(IpamKeys.Handle("net.c1"), IpamJson.WriteHandle(new Dictionary<string, int> { [Block.ToString()] = 1 }));
        await bed.PutAsync(Endpoint, ResourceCodec.Encode(new WorkloadEndpoint
        {
            Metadata = new ObjectMeta { Name = "gone-k8s-web-eth0", Namespace = "default" },
            Spec = new WorkloadEndpointSpec { Node = "gone", ContainerID = "c1", IpNetworks = ["10.65.3.7/32"] },
        }));

        var peer = bed.Add(1);
        await MeshBed.StartAsync(peer);

        await bed.UntilAsync(async () => await bed.Datastore.GetAsync(Endpoint) is null, "its endpoint is deleted");
        Assert.Null(await bed.Datastore.GetAsync(IpamKeys.Block(Block)));
        Assert.Null(await bed.Datastore.GetAsync(IpamKeys.Handle("net.c1")));
    }
}

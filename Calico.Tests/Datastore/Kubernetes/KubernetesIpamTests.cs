using System.Text;
using System.Text.Json;
using Calico.Core.Ipam;
using Calico.Core.Model;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore;
using Calico.Datastore.Kubernetes;
using Calico.Datastore.Kubernetes.Client;
using Calico.Datastore.Resources;

namespace Calico.Tests.Datastore.Kubernetes;

/// <summary>How IPAM's records stand on an API server.</summary>
public abstract class KubernetesIpamTests : KubernetesApiTests
{
    private Cidr OwnBlock => Cidr.Parse($"10.{Convert.ToInt32(Id[4..6], 16) % 200}.{Convert.ToInt32(Id[6..8], 16)}.64/26");

    [SkippableFact]
    public async Task Blocks_affinities_and_handles_are_taken_in_one_transaction_and_stand_as_calico_s_objects()
    {
        var cidr = OwnBlock;
        var dashed = cidr.ToString().Replace('.', '-').Replace('/', '-');
        var block = IpamBlock.Create(cidr, "host:n1", Now);
        block.AutoAssign(new AllocationAttributes($"k8s-pod-network.{Id}", new Dictionary<string, string> { ["pod"] = "p", ["namespace"] = "ns" }));
        var (blockKey, affinityKey, handleKey) = (IpamKeys.Block(cidr), IpamKeys.Affinity("n1", cidr), IpamKeys.Handle($"k8s-pod-network.{Id}"));
        var handle = IpamJson.WriteHandle(new Dictionary<string, int> { [cidr.ToString()] = 1 });

        var result = await Store.CommitAsync(new Transaction(
            [Compare.Absent(blockKey), Compare.Absent(affinityKey), Compare.Absent(handleKey)],
            [
                Write.Put(blockKey, IpamJson.WriteBlock(block)), Write.Put(affinityKey, IpamJson.WriteAffinity("confirmed")), Write.Put(handleKey, handle),
            ]));

        Assert.True(result.Succeeded);
        Assert.Equal(Encoding.UTF8.GetString(IpamJson.WriteBlock(block)), Text(await Store.GetAsync(blockKey)));
        Assert.Equal("""{"state":"confirmed","deleted":false}""", Text(await Store.GetAsync(affinityKey)));
        Assert.Equal(Encoding.UTF8.GetString(handle), Text(await Store.GetAsync(handleKey)));
        Assert.Equal([result.Revision, result.Revision, result.Revision],
            (await Store.ListAsync("/calico/ipam/v2/")).Items.Where(i => i.Key == blockKey || i.Key == affinityKey || i.Key == handleKey).Select(i => i.ModRevision));

        var blockObject = await FindAsync(Classic("IPAMBlock", "ipamblocks"), dashed);
        var affinityObject = await FindAsync(Classic("BlockAffinity", "blockaffinities"), $"n1-{dashed}");
        var handleObject = await FindAsync(Classic("IPAMHandle", "ipamhandles"), $"k8s-pod-network.{Id}");
        Assert.Equal((cidr.ToString(), "host:n1"), (blockObject.SpecText("cidr"), blockObject.SpecText("affinity")));
        Assert.Equal("2026-08-22T10:00:00Z", blockObject.SpecText("affinityClaimTime"));
        Assert.Equal(("n1", "host", "false", "confirmed"),
            (affinityObject.SpecText("node"), affinityObject.SpecText("type"), affinityObject.SpecText("deleted"), affinityObject.SpecText("state")));
        Assert.Equal("host", affinityObject.Metadata.GetProperty("labels").GetProperty("projectcalico.org/affinity-type").GetString());
        Assert.Equal("4", affinityObject.Metadata.GetProperty("labels").GetProperty("projectcalico.org/ip-version").GetString());
        Assert.Equal($"k8s-pod-network.{Id}", handleObject.SpecText("handleID"));

        var affinity = (BlockAffinity)await Resources.GetAsync(new ResourceKey(ResourceKind.BlockAffinity, null, $"n1-{dashed}"));
        Assert.Equal(("confirmed", "n1", cidr.ToString(), false), (affinity.Spec.State, affinity.Spec.Node, affinity.Spec.Cidr, affinity.Spec.Deleted));
    }

    [SkippableFact]
    public async Task Objects_of_calico_s_ipam_are_read_and_those_marked_as_deleted_are_not_there()
    {
        var cidr = OwnBlock;
        var name = cidr.ToString().Replace('.', '-').Replace('/', '-');
        await CreateAsync(Classic("IPAMBlock", "ipamblocks"), $$$"""
            {"metadata":{"name":"{{{name}}}","annotations":{"projectcalico.org/metadata":"{\"creationTimestamp\":null}"}},
             "spec":{"cidr":"{{{cidr}}}","affinity":"host:n2","allocations":[{{{string.Join(',', Enumerable.Repeat("null", 63))}}},0],
             "attributes":[{"handle_id":"h","secondary":{"node":"n2"}}],"deleted":false,"sequenceNumber":1787392800000000003,
             "strictAffinity":false,"unallocated":[{{{string.Join(',', Enumerable.Range(0, 63))}}}]}}
            """);
        await CreateAsync(Classic("IPAMHandle", "ipamhandles"), $$$"""{"metadata":{"name":"gone-{{{Id}}}"},"spec":{"handleID":"gone-{{{Id}}}","block":{},"deleted":true}}""");

        var stored = (await Store.GetAsync(IpamKeys.Block(cidr)))!;
        var block = IpamJson.ParseBlock(stored.Value);

        Assert.Equal(("n2", 1787392800000000003UL, 63), (block.AffineHost, block.SequenceNumber, block.FreeCount));
        Assert.Equal("h", block.OwnerOf(cidr.First.Add(63))!.HandleId);
        Assert.Null(await Store.GetAsync(IpamKeys.Handle($"gone-{Id}")));

        // Somebody takes the handle anew: what was left of the old one goes first.
        await PutAsync(IpamKeys.Handle($"gone-{Id}"), IpamJson.WriteHandle(new Dictionary<string, int> { ["10.0.0.0/26"] = 2 }));
        Assert.Equal("""{"block":{"10.0.0.0/26":2},"deleted":false}""", Text(await Store.GetAsync(IpamKeys.Handle($"gone-{Id}"))));
    }

    [SkippableFact]
    public async Task Handles_whose_ids_are_no_names_and_affinities_of_long_named_hosts_have_objects_too()
    {
        var handle = IpamKeys.Handle($"Upper_Case/{Id}");
        var host = $"{new string('h', 240)}.{Id}";
        var affinity = IpamKeys.Affinity(host, OwnBlock);
        var balancer = $"/calico/ipam/v2/virtual/load-balancer/ipv4/block/{OwnBlock.Address}-26";

        await PutAsync(handle, IpamJson.WriteHandle(new Dictionary<string, int> { ["10.0.0.0/26"] = 1 }));
        await PutAsync(affinity, IpamJson.WriteAffinity("pending"));
        await PutAsync(balancer, IpamJson.WriteAffinity("confirmed"));

        Assert.Contains((await Store.ListAsync(IpamKeys.HandlePrefix)).Items, i => i.Key == handle);
        Assert.Equal([affinity], (await Store.ListAsync(IpamKeys.AffinitiesOf(host))).Items.Select(i => i.Key));
        Assert.Contains((await Store.ListAsync(IpamKeys.VirtualPrefix)).Items, i => i.Key == balancer);
        Assert.DoesNotContain((await Store.ListAsync(IpamKeys.HostPrefix)).Items, i => i.Key == balancer);
    }

    [SkippableFact]
    public async Task The_allocator_s_settings_and_the_resource_of_them_are_one_object()
    {
        var now = await Store.GetAsync(IpamKeys.Config);
        var result = await Store.CommitAsync(new Transaction([now is null ? Compare.Absent(IpamKeys.Config) : Compare.At(IpamKeys.Config, now.ModRevision)],
            [Write.Put(IpamKeys.Config, IpamJson.WriteConfig(IpamConfig.Default with { StrictAffinity = true, MaxBlocksPerHost = 4, IPCooldownSeconds = 30 }))]));

        var resource = (IPAMConfiguration)await Resources.GetAsync(new ResourceKey(ResourceKind.IPAMConfiguration, null, "default"));

        Assert.True(result.Succeeded);
        Assert.Equal((true, true, 4, 30), (resource.Spec.StrictAffinity, resource.Spec.AutoAllocateBlocks, resource.Spec.MaxBlocksPerHost, resource.Spec.IpCooldownSeconds));

        await Resources.UpdateAsync(resource with { Spec = resource.Spec with { MaxBlocksPerHost = 0, StrictAffinity = false } });

        Assert.Equal("""{"auto_allocate_blocks":true,"kubeVirtVMAddressPersistence":"Enabled","ipCooldownSeconds":30}""", Text(await Store.GetAsync(IpamKeys.Config)));
    }
}

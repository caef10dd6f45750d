using System.Collections.Immutable;
using Calico.Actors.Cluster;
using Calico.Actors.Ipam;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore;
using Calico.Tests.Datastore;

namespace Calico.Tests.Actors.Ipam;

/// <summary>What a node that is gone had borrowed: free, once, and never an address of a pod that came later.</summary>
[Layer("unit")]
public class BorrowedAddressesTests
{
    private const string Endpoint = "/calico/resources/v3/projectcalico.org/workloadendpoints/default/gone-k8s-web-eth0";
    private static readonly Cidr Block = Cidr.Parse("10.65.1.0/26");

    private readonly InMemoryDatastore _store = new();

    private async Task<long> PutAsync(string key, ReadOnlyMemory<byte> value) =>
        (await _store.CommitAsync(new Transaction([], [Write.Put(key, value)]))).Revision;

    private async Task<long> BorrowAsync(string? holder, string? container = null)
    {
        var block = IpamBlock.Create(Block, "host:" + holder, TimeProvider.System.GetUtcNow());
        block.Assign(IpAddr.Parse("10.65.1.7"), Owner("net.web", "gone"));
        block.Assign(IpAddr.Parse("10.65.1.8"), Owner("net.other", "other"));
        if (holder is null)
            block.Affinity = null;
        await PutAsync(IpamKeys.Block(Block), IpamJson.WriteBlock(block));
        foreach (var handle in (string[])["net.web", "net.other"])
            await PutAsync(IpamKeys.Handle(handle), IpamJson.WriteHandle(new Dictionary<string, int> { [Block.ToString()] = 1 }));
        return await PutAsync(Endpoint, ResourceCodec.Encode(new WorkloadEndpoint
        {
            Metadata = new ObjectMeta { Name = "gone-k8s-web-eth0", Namespace = "default" },
            Spec = new WorkloadEndpointSpec { Node = "gone", ContainerID = container, IpNetworks = ["10.65.1.7/32", "10.65.1.8/32"] },
        }));
    }

    private static AllocationAttributes Owner(string handle, string node) =>
        new(handle, new Dictionary<string, string> { ["node"] = node, ["pod"] = handle }.ToImmutableSortedDictionary(StringComparer.Ordinal));

    private Task<int> FreeAsync(long revision, bool alsoOwn = false) =>
        BorrowedAddresses.FreeAsync(_store, "gone", new NodeProtocol.Borrowing(Endpoint, revision, Block), alsoOwn, default);

    private async Task<string[]> AssignedAsync() => [.. IpamJson.ParseBlock((await _store.GetAsync(IpamKeys.Block(Block)))!.Value).Assigned().Select(a => a.Address.ToString())];

    [Theory]
    [InlineData("holder")]
    [InlineData(null)]
    public async Task The_nodes_own_address_goes_with_its_handle_and_others_stay(string? holder)
    {
        var revision = await BorrowAsync(holder);

        Assert.Equal(1, await FreeAsync(revision));

        Assert.Equal(["10.65.1.8"], await AssignedAsync());
        Assert.Null(await _store.GetAsync(IpamKeys.Handle("net.web")));
        Assert.NotNull(await _store.GetAsync(IpamKeys.Handle("net.other")));
        Assert.Equal(0, await FreeAsync(revision));
    }

    [Fact]
    public async Task An_endpoint_that_was_written_since_keeps_its_address()
    {
        var revision = await BorrowAsync("holder");
        var endpoint = (await _store.GetAsync(Endpoint))!;
        _store.BeforeCommit = async _ =>
        {
            _store.BeforeCommit = null;
            await PutAsync(Endpoint, endpoint.Value);
        };

        Assert.Equal(0, await FreeAsync(revision));
        Assert.Equal(["10.65.1.7", "10.65.1.8"], await AssignedAsync());
    }

    // The node is back, or knows itself that the container is not there.
    [Fact]
    public async Task In_a_block_that_is_the_nodes_own_by_now_only_the_node_itself_frees_anything()
    {
        var revision = await BorrowAsync("gone", "web");

        Assert.Equal(0, await FreeAsync(revision));
        Assert.Equal(["10.65.1.7", "10.65.1.8"], await AssignedAsync());
        Assert.Equal(1, await FreeAsync(revision, alsoOwn: true));
        Assert.Equal(["10.65.1.8"], await AssignedAsync());
    }

    [Fact]
    public async Task An_address_that_is_another_containers_by_now_stays()
    {
        var revision = await BorrowAsync("holder", "eb");

        Assert.Equal(0, await FreeAsync(revision));
        Assert.Equal(["10.65.1.7", "10.65.1.8"], await AssignedAsync());
    }

    [Fact]
    public async Task A_holder_that_writes_meanwhile_is_waited_for()
    {
        var revision = await BorrowAsync("holder");
        var races = 3;
        _store.BeforeCommit = async t =>
        {
            if (t.Compares.Length < 3 || races-- == 0)
                return;
            var block = IpamJson.ParseBlock((await _store.GetAsync(IpamKeys.Block(Block)))!.Value);
            block.SequenceNumber++;
            await PutAsync(IpamKeys.Block(Block), IpamJson.WriteBlock(block));
        };

        Assert.Equal(1, await FreeAsync(revision));
        Assert.Equal(["10.65.1.8"], await AssignedAsync());
    }
}

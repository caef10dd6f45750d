using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Tests.Ctl;

/// <summary>A pool, two nodes and a pod, and one block with what a test assigns in it.</summary>
public abstract class IpamCommandFixture : IDisposable
{
    protected const string Objects = """
        apiVersion: projectcalico.org/v3
        kind: IPPool
        metadata: {name: pool}
        spec: {cidr: 10.65.0.0/16, blockSize: 29, natOutgoing: true}
        ---
        apiVersion: projectcalico.org/v3
        kind: Node
        metadata: {name: node1}
        spec: {bgp: {ipv4Address: 192.0.2.11/24}}
        ---
        apiVersion: projectcalico.org/v3
        kind: Node
        metadata: {name: node2}
        spec: {bgp: {ipv4Address: 192.0.2.12/24}}
        ---
        apiVersion: projectcalico.org/v3
        kind: WorkloadEndpoint
        metadata: {name: node1-k8s-web-eth0, namespace: shop}
        spec: {node: node1, orchestrator: k8s, pod: web, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.65.0.1/32]}
        """;

    protected static readonly Cidr First = Cidr.Parse("10.65.0.0/29");
    protected static readonly IpAddr Used = IpAddr.Parse("10.65.0.1");
    protected static readonly IpAddr Leaked = IpAddr.Parse("10.65.0.2");

    protected CalicoctlRunner Calicoctl { get; } = new();

    public void Dispose()
    {
        Calicoctl.Dispose();
        GC.SuppressFinalize(this);
    }

    protected async Task StoreAsync((IpAddr Address, string Handle, string Node)[] assigned)
    {
        Assert.Equal(0, (await Calicoctl.RunAsync("create -f -", Objects)).ExitCode);
        var block = IpamBlock.Create(First, "host:node1", DateTimeOffset.UnixEpoch);
        foreach (var (address, handle, node) in assigned)
        {
            block.SequenceNumber++;
            Assert.Equal(AllocationRefusal.None, block.Assign(address,
                new AllocationAttributes(handle, new Dictionary<string, string> { ["node"] = node, ["namespace"] = "shop", ["pod"] = "web" })));
            await PutAsync(IpamKeys.Handle(handle), IpamJson.WriteHandle(new SortedDictionary<string, int>(StringComparer.Ordinal) { [First.ToString()] = 1 }));
        }
        await PutAsync(IpamKeys.Block(First), IpamJson.WriteBlock(block));
        await PutAsync(IpamKeys.Affinity("node1", First), IpamJson.WriteAffinity("confirmed"));
    }

    protected async Task<IpamBlock> BlockAsync() => IpamJson.ParseBlock((await Calicoctl.Datastore.GetAsync(IpamKeys.Block(First)))!.Value);

    protected Task PutAsync(string key, byte[] value) => Calicoctl.Datastore.CommitAsync(new Transaction([], [Write.Put(key, value)]));
}

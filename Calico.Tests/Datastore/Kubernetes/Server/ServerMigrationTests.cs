using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore;
using Calico.Tests.Ctl;

namespace Calico.Tests.Datastore.Kubernetes.Server;

/// <summary>A cluster moves from etcd to a Kubernetes API that knows nothing of Calico yet.</summary>
[Layer("kubernetes")]
[Collection(ServerCollection.Name)]
public sealed class ServerMigrationTests(ApiServerFixture fixture)
{
    private const string Objects = """
        apiVersion: projectcalico.org/v3
        kind: IPPool
        metadata: {name: pool, labels: {zone: a}}
        spec: {cidr: 10.65.0.0/16, blockSize: 29}
        ---
        apiVersion: projectcalico.org/v3
        kind: Node
        metadata: {name: host-1}
        spec: {bgp: {ipv4Address: 192.0.2.11/24, asNumber: 64513}, orchRefs: [{nodeName: kube-1, orchestrator: k8s}]}
        ---
        apiVersion: projectcalico.org/v3
        kind: Node
        metadata: {name: host-2}
        spec: {bgp: {ipv4Address: 192.0.2.12/24}, orchRefs: [{nodeName: kube-2, orchestrator: k8s}]}
        ---
        apiVersion: projectcalico.org/v3
        kind: Tier
        metadata: {name: security}
        spec: {order: 10}
        ---
        apiVersion: projectcalico.org/v3
        kind: NetworkPolicy
        metadata: {name: security.web, namespace: shop}
        spec: {tier: security, selector: app == 'web', types: [Ingress]}
        """;

    [SkippableFact]
    public async Task What_was_exported_from_etcd_is_there_after_the_import_and_a_second_import_changes_nothing()
    {
        _ = fixture.Server;
        await using var server = await ApiServerProcess.StartAsync(isDefined: false);
        await server.CreateAsync("/api/v1/nodes", """{"metadata":{"name":"kube-1"}}""");
        await server.CreateAsync("/api/v1/namespaces", """{"metadata":{"name":"shop"}}""");
        using var old = new CalicoctlRunner();
        using var cluster = new CalicoctlRunner
        {
            OpensItself = true,
            Environment =
            {
                ["DATASTORE_TYPE"] = "kubernetes",
                ["K8S_API_ENDPOINT"] = server.Options.Endpoint,
                ["K8S_CA_FILE"] = server.CaFile,
                ["K8S_API_TOKEN"] = server.Options.Token!,
            },
        };
        await FillAsync(old);
        await old.RunAsync("datastore migrate lock");
        var export = await old.RunAsync("datastore migrate export");

        var import = await cluster.RunAsync("datastore migrate import -f -", export.Out);
        var again = await cluster.RunAsync("datastore migrate import -f -", export.Out);
        var unlock = await cluster.RunAsync("datastore migrate unlock");

        Assert.True(import.ExitCode == 0, import.Output);
        Assert.True(again.ExitCode == 0, again.Output);
        Assert.Equal("Datastore unlocked.\n", unlock.Output);
        Assert.Contains("Applied 24 custom resource definition(s)", import.Out, StringComparison.Ordinal);
        Assert.Contains("node kube-2 from etcd that references a non-existent Kubernetes node", import.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("definition", again.Out, StringComparison.Ordinal);
        foreach (var what in new[] { "ippool pool", "networkpolicy -n shop security.web", "tier security", "clusterinformation default" })
            Assert.Equal(await ShowAsync(old, what), await ShowAsync(cluster, what));
        Assert.Contains("192.0.2.11/24", (await cluster.RunAsync("get node kube-1 -o wide")).Out, StringComparison.Ordinal);
        Assert.Contains("kube-1", (await cluster.RunAsync("ipam show --ip=10.65.0.3")).Out, StringComparison.Ordinal);
    }

    // What a store adds is not the cluster's.
    private static async Task<string> ShowAsync(CalicoctlRunner runner, string what)
    {
        var result = await runner.RunAsync($"get {what} -o yaml");
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        return string.Join('\n', result.Out.Split('\n').Where(l => !l.Contains("uid:", StringComparison.Ordinal)
            && !l.Contains("resourceVersion:", StringComparison.Ordinal) && !l.Contains("creationTimestamp:", StringComparison.Ordinal)
            && !l.Contains("datastoreReady:", StringComparison.Ordinal)));
    }

    private static async Task FillAsync(CalicoctlRunner runner)
    {
        Assert.Equal(0, (await runner.RunAsync("create -f -", Objects)).ExitCode);
        var cidr = Cidr.Parse("10.65.0.0/29");
        var block = IpamBlock.Create(cidr, "host:host-1", DateTimeOffset.UnixEpoch);
        block.Assign(IpAddr.Parse("10.65.0.3"), new AllocationAttributes("vxlan-tunnel-addr-host-1",
            new Dictionary<string, string> { ["node"] = "host-1", ["type"] = "vxlanTunnelAddress" }));
        await runner.Datastore.CommitAsync(new Transaction([],
        [
            Write.Put(IpamKeys.Block(cidr), IpamJson.WriteBlock(block)),
            Write.Put(IpamKeys.Affinity("host-1", cidr), IpamJson.WriteAffinity("confirmed")),
            Write.Put(IpamKeys.Handle("vxlan-tunnel-addr-host-1"), IpamJson.WriteHandle(new SortedDictionary<string, int>(StringComparer.Ordinal) { [cidr.ToString()] = 1 })),
        ]));
    }
}

using System.Text;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Tests.Ctl;

[Layer("unit")]
public sealed class MigrationTests : IDisposable
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
        spec: {bgp: {ipv4Address: 192.0.2.11/24}, orchRefs: [{nodeName: kube-1, orchestrator: k8s}]}
        ---
        apiVersion: projectcalico.org/v3
        kind: FelixConfiguration
        metadata: {name: node.host-1}
        spec: {reportingInterval: 0s}
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
        ---
        apiVersion: projectcalico.org/v3
        kind: Profile
        metadata: {name: kns.shop}
        spec: {labelsToApply: {a: b}}
        """;

    private static readonly Cidr Block = Cidr.Parse("10.65.0.0/29");
    private static readonly Dictionary<string, string> Tunnel = new() { ["node"] = "host-1", ["type"] = "vxlanTunnelAddress" };

    private readonly CalicoctlRunner _old = new();
    private readonly CalicoctlRunner _new = new();

    public void Dispose()
    {
        _old.Dispose();
        _new.Dispose();
    }

    [Fact]
    public async Task An_export_needs_a_lock()
    {
        await FillAsync();

        var result = await _old.RunAsync("datastore migrate export");

        Assert.Equal(1, result.ExitCode);
        Assert.Contains("datastore is not locked", result.Error, StringComparison.Ordinal);
        Assert.Equal("Datastore locked.\n", (await _old.RunAsync("datastore migrate lock")).Out);
        Assert.Equal("Datastore unlocked.\n", (await _old.RunAsync("datastore migrate unlock")).Out);
    }

    [Fact]
    public async Task Everything_moves_with_the_nodes_under_their_kubernetes_names()
    {
        var export = await ExportAsync("datastore migrate export");

        var import = await _new.RunAsync("datastore migrate import -f -", export);

        Assert.Equal((0, ""), (import.ExitCode, import.Error));
        Assert.Contains("Successfully applied 3 IPAM resource(s)", import.Out, StringComparison.Ordinal);
        Assert.Equal("kube-1\n", await NamesAsync("node"));
        Assert.Equal("node.kube-1\n", await NamesAsync("felixconfig"));
        Assert.Equal("security.web\n", await NamesAsync("networkpolicy -n shop"));
        Assert.Equal("", await NamesAsync("profile", except: "projectcalico-default-allow"));
        var block = IpamJson.ParseBlock((await _new.Datastore.GetAsync(IpamKeys.Block(Block)))!.Value);
        var (address, owner) = Assert.Single(block.Assigned());
        Assert.Equal(("10.65.0.3", "host:kube-1", "vxlan-tunnel-addr-kube-1", "kube-1"), (address.ToString(), block.Affinity, owner.HandleId, owner["node"]));
        Assert.NotNull(await _new.Datastore.GetAsync(IpamKeys.Affinity("kube-1", Block)));
        Assert.NotNull(await _new.Datastore.GetAsync(IpamKeys.Handle("vxlan-tunnel-addr-kube-1")));
        Assert.Equal(await ClusterAsync(_old), await ClusterAsync(_new));
    }

    [Fact]
    public async Task A_full_export_moves_the_rest_too_and_keeps_names()
    {
        var export = await ExportAsync("datastore migrate export --full");

        await _new.RunAsync("datastore migrate import -f -", export);

        Assert.Equal("host-1\n", await NamesAsync("node"));
        Assert.Equal("kns.shop\n", await NamesAsync("profile", except: "projectcalico-default-allow"));
        Assert.NotNull(await _new.Datastore.GetAsync(IpamKeys.Affinity("host-1", Block)));
        Assert.Equal(Encoding.UTF8.GetString((await _old.Datastore.GetAsync(IpamKeys.Block(Block)))!.Value.Span),
            Encoding.UTF8.GetString((await _new.Datastore.GetAsync(IpamKeys.Block(Block)))!.Value.Span));
    }

    [Fact]
    public async Task An_import_that_was_interrupted_goes_on_and_one_into_a_foreign_datastore_stops()
    {
        var export = await ExportAsync("datastore migrate export --full");
        var half = export[..export.IndexOf("===", StringComparison.Ordinal)] + export[export.IndexOf("===", StringComparison.Ordinal)..].Replace("\"handles\"", "\"other\"", StringComparison.Ordinal);
        await _new.RunAsync("datastore migrate import -f -", half);

        var again = await _new.RunAsync("datastore migrate import -f -", export);
        await _new.RunAsync("create -f -", """{"apiVersion":"projectcalico.org/v3","kind":"IPPool","metadata":{"name":"mine"},"spec":{"cidr":"10.99.0.0/16"}}""");
        var foreign = await _new.RunAsync("datastore migrate import -f -", export);

        Assert.Equal((0, ""), (again.ExitCode, again.Error));
        Assert.Equal(1, foreign.ExitCode);
        Assert.Contains("datastore already has Calico resources: found existing Calico IPPool resource mine", foreign.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Policies_that_an_old_release_stored_get_the_keys_of_their_names()
    {
        await _old.Datastore.CommitAsync(new Transaction([], [Write.Put("/calico/resources/v3/projectcalico.org/globalnetworkpolicies/default.deny",
            """{"kind":"GlobalNetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{"name":"default.deny"},"spec":{"tier":"default"}}"""u8.ToArray())]));

        var first = await _old.RunAsync("datastore migrate-policy-names");
        var second = await _old.RunAsync("datastore migrate-policy-names");

        Assert.Equal("Policy name migration complete, migrated 1 policies.\n", first.Output);
        Assert.Equal("Policy name migration complete, migrated 0 policies.\n", second.Output);
        Assert.Contains("/calico/resources/v3/projectcalico.org/globalnetworkpolicies/deny", _old.Datastore.Keys);
    }

    [Theory]
    [InlineData("kind: x", "improperly formatted")]
    [InlineData("a: [\n===\n{}\n===\n{}\n", "archive:")]
    [InlineData("===\n{}\n===\n{\"blocks\":[{\"Key\":\"/elsewhere\",\"Value\":{}}]}\n", "does not belong there")]
    [InlineData("===\n{}\n===\n{\"blocks\":7}\n", "archive")]
    public async Task A_damaged_archive_is_refused_before_anything_is_written(string text, string expected)
    {
        var result = await _new.RunAsync($"datastore migrate import -f {_new.WriteFile("archive", text)}");

        Assert.Equal(1, result.ExitCode);
        Assert.Contains(expected, result.Error, StringComparison.Ordinal);
        Assert.Empty(_new.Datastore.Keys);
    }

    private async Task<string> ExportAsync(string command)
    {
        await FillAsync();
        await _old.RunAsync("datastore migrate lock");
        var export = await _old.RunAsync(command);
        Assert.Equal((0, ""), (export.ExitCode, export.Error));
        return export.Out;
    }

    private async Task FillAsync()
    {
        var created = await _old.RunAsync("create -f -", Objects);
        Assert.Equal((0, ""), (created.ExitCode, created.Error));
        var block = IpamBlock.Create(Block, "host:host-1", DateTimeOffset.UnixEpoch);
        block.Assign(IpAddr.Parse("10.65.0.3"), new AllocationAttributes("vxlan-tunnel-addr-host-1", Tunnel));
        Write[] writes =
        [
            Write.Put(IpamKeys.Block(Block), IpamJson.WriteBlock(block)),
            Write.Put(IpamKeys.Affinity("host-1", Block), IpamJson.WriteAffinity("confirmed")),
            Write.Put(IpamKeys.Handle("vxlan-tunnel-addr-host-1"),
                IpamJson.WriteHandle(new SortedDictionary<string, int>(StringComparer.Ordinal) { [Block.ToString()] = 1 })),
        ];
        await _old.Datastore.CommitAsync(new Transaction([], [.. writes]));
    }

    private async Task<string> NamesAsync(string what, string except = "NAME")
    {
        var table = await _new.RunAsync($"get {what} -o custom-columns=NAME");
        return string.Concat(table.Out.Split('\n').Skip(1).Select(l => l.Trim()).Where(l => l.Length > 0 && l != except).Select(l => l + "\n"));
    }

    private static async Task<string> ClusterAsync(CalicoctlRunner runner) => (await runner.RunAsync("get clusterinformation default -o custom-columns=CLUSTERGUID")).Out;
}

using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;
using Calico.Core.Net;
using Calico.Node.Lab;

namespace Calico.Tests.Lab;

[Layer("unit")]
public sealed class LabTextTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("calico-labtext-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(1, "172.30.1.11/24", "172.30.1.1")]
    [InlineData(2, "172.30.2.12/24", "172.30.2.1")]
    [InlineData(3, "172.30.1.13/24", "172.30.1.1")]
    public void A_node_s_number_decides_its_place(int number, string address, string router)
    {
        var node = new LabNode(number);

        Assert.Equal((address, router), (node.Address.ToString(), node.Router.ToString()));
        Assert.Equal(node, LabNode.Parse(node.Name));
    }

    [Theory]
    [InlineData("node0")]
    [InlineData("node21")]
    [InlineData("nodeX")]
    [InlineData("router")]
    public void Anything_else_is_no_node(string name) => Assert.Throws<LabException>(() => LabNode.Parse(name));

    [Theory]
    [InlineData("web", "default/web")]
    [InlineData("shop/web-1", "shop/web-1")]
    public void A_pod_is_named_with_or_without_its_namespace(string text, string id) => Assert.Equal(id, PodId.Parse(text, "default").ToString());

    [Theory]
    [InlineData("")]
    [InlineData("a/b/c")]
    [InlineData("../x")]
    [InlineData("Web")]
    [InlineData("-web")]
    public void What_cannot_be_a_file_name_is_no_pod(string text) => Assert.Throws<LabException>(() => PodId.Parse(text, "default"));

    [Theory]
    [InlineData("80/tcp")]
    [InlineData("53/udp")]
    [InlineData("icmp")]
    public void A_port_is_read_as_it_is_written(string text) => Assert.Equal(text, LabPort.Parse(text).ToString());

    [Theory]
    [InlineData("80")]
    [InlineData("0/tcp")]
    [InlineData("80/sctp")]
    [InlineData("70000/tcp")]
    public void Anything_else_is_no_port(string text) => Assert.Throws<LabException>(() => LabPort.Parse(text));

    [Theory]
    // One packet each 10 ms: how many there were, which were answered, and then the lost ones and the gap in ms.
    [InlineData(5, "1 2 3 4 5", 0, 10)]
    [InlineData(6, "1 2 6", 3, 40)]
    [InlineData(6, "3 6", 4, 30)]
    [InlineData(6, "2", 5, 0)]
    [InlineData(6, "", 6, 0)]
    public void The_gap_of_a_flow_is_the_longest_time_between_two_answered_packets(int sent, string answered, int lost, int gap)
    {
        var numbers = answered.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(ushort.Parse).ToHashSet();

        var count = PingCount.Of([.. Enumerable.Range(0, sent).Select(i => TimeSpan.FromMilliseconds(10 * i))], numbers);

        Assert.Equal((sent, lost, gap), (count.Sent, count.Lost.Count, (int)count.Gap.TotalMilliseconds));
    }

    [Fact]
    public void Bird_s_routes_are_read_with_their_next_hop_and_protocol()
    {
        var routes = Router.ParseRoutes("""
            BIRD 2.0.12 ready.
            Table master4:
            10.65.1.0/26         unicast [node1 12:34:56.789] * (100) [AS64512i]
            	via 172.30.1.11 on br-a
                                 unicast [node3 12:34:57.000] (100) [AS64512i]
            	via 172.30.1.13 on br-a
            10.99.0.0/24         blackhole [outside 12:30:00.000] * (200)
            """);

        Assert.Equal(
        [
            new BirdRoute(Cidr.Parse("10.65.1.0/26"), IpAddr.Parse("172.30.1.11"), "node1"),
            new BirdRoute(Cidr.Parse("10.65.1.0/26"), IpAddr.Parse("172.30.1.13"), "node3"),
            new BirdRoute(Cidr.Parse("10.99.0.0/24"), null, "outside"),
        ], routes);
    }

    [Fact]
    public void Metrics_are_read_with_their_labels()
    {
        var metrics = Metric.Parse("""
            # HELP x y
            # TYPE x counter
            x 3
            calico_kernel_writes_total{subsystem="routes",kind="add"} 1.5e3 1700000000
            broken{
            """);

        Assert.Equal(2, metrics.Count);
        Assert.Equal(("x", 3d), (metrics[0].Name, metrics[0].Value));
        Assert.Equal(("calico_kernel_writes_total", 1500d), (metrics[1].Name, metrics[1].Value));
        Assert.Equal(("routes", "add"), (metrics[1].Labels["subsystem"], metrics[1].Labels["kind"]));
    }

    [Fact]
    public void A_matrix_tells_where_it_differs()
    {
        PodId a = new("x", "a"), b = new("x", "b");
        var results = new ProbeResult[2, 2];
        results[0, 1] = ProbeResult.Reached;
        results[1, 0] = ProbeResult.Blocked;
        var matrix = new Matrix(LabPort.Parse("80/tcp"), [a, b], results);

        Assert.Equal([" .", "X "], matrix.Rows);
        Assert.Equal("", matrix.Difference((from, _) => from == a));
        Assert.Equal("x/b -> x/a 80/tcp is Blocked, not Reached", matrix.Difference((_, _) => true));
    }

    [Fact]
    public void Certificates_name_their_owner_and_chain_to_the_lab_s_authority()
    {
        var pki = new Pki(_folder);
        pki.CreateAuthority();
        var files = pki.IssueForNode("node1", IpAddr.Parse("172.30.1.11"));

        using var certificate = X509CertificateLoader.LoadCertificateFromFile(files.Certificate);
        using var chain = new X509Chain();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        chain.ChainPolicy.CustomTrustStore.ImportFromPemFile(files.Authority);

        Assert.True(chain.Build(certificate));
        Assert.Equal("CN=node1", certificate.Subject);
        var names = certificate.Extensions.OfType<X509SubjectAlternativeNameExtension>().Single();
        Assert.Contains("172.30.1.11", names.EnumerateIPAddresses().Select(a => a.ToString()));
        Assert.Contains("calico://node/node1", System.Text.Encoding.ASCII.GetString(names.RawData), StringComparison.Ordinal);
    }

    [Fact]
    [System.Runtime.Versioning.SupportedOSPlatform("linux")]
    public void Keys_are_for_their_owner_only()
    {
        var pki = new Pki(_folder);
        pki.CreateAuthority();
        var files = pki.Issue("calicoctl");

        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(files.Key));
    }

    [Fact]
    public void Kubernetes_objects_become_what_their_controllers_would_make_of_them()
    {
        var manifest = LabManifest.Load(LabPlace.Manifest("stars/namespaces.yaml"));
        var profiles = JsonNode.Parse(manifest.Converted)!.AsArray();

        Assert.Equal(["stars", "client", "management-ui"], manifest.Namespaces);
        Assert.Equal(["kns.stars", "kns.client", "kns.management-ui"], profiles.Select(p => p!["metadata"]!["name"]!.GetValue<string>()));
        Assert.Equal("client", profiles[1]!["spec"]!["labelsToApply"]!["pcns.role"]!.GetValue<string>());
    }

    [Theory]
    [InlineData("stars/policies.yaml", 6)]
    [InlineData("recipes/deny-all.yaml", 1)]
    [InlineData("recipes/allow-from-app.yaml", 1)]
    [InlineData("recipes/allow-from-namespace.yaml", 1)]
    [InlineData("recipes/deny-egress.yaml", 1)]
    [InlineData("recipes/allow-port.yaml", 1)]
    public void Every_manifest_of_the_lab_converts_to_named_policies(string file, int count)
    {
        var policies = JsonNode.Parse(LabManifest.Load(LabPlace.Manifest(file)).Converted)!.AsArray();

        Assert.Equal(count, policies.Count);
        Assert.All(policies, p =>
        {
            Assert.Equal("NetworkPolicy", p!["kind"]!.GetValue<string>());
            Assert.StartsWith("knp.default.", p["metadata"]!["name"]!.GetValue<string>(), StringComparison.Ordinal);
        });
    }

    [Fact]
    public void Calico_s_own_resources_pass_through_with_their_types()
    {
        var file = Path.Combine(_folder, "x.yaml");
        File.WriteAllText(file, """
            ---
            apiVersion: projectcalico.org/v3
            kind: BGPConfiguration
            metadata: {name: default}
            spec: {asNumber: 64512, nodeToNodeMeshEnabled: true, listenPort: 179}
            """);

        var resource = Assert.Single(JsonNode.Parse(LabManifest.Load(file).Resources)!.AsArray());

        Assert.Equal("""{"asNumber":64512,"nodeToNodeMeshEnabled":true,"listenPort":179}""", resource!["spec"]!.ToJsonString());
    }

    [Fact]
    public void A_resource_that_the_lab_cannot_place_is_named()
    {
        var file = Path.Combine(_folder, "x.yaml");
        File.WriteAllText(file, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n");

        var error = Assert.Throws<LabException>(() => LabManifest.Load(file));

        Assert.Contains("apps/v1/Deployment", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("a: [", "x.yaml:2:")]
    [InlineData("- 1", "x.yaml:1:")]
    public void A_broken_file_is_told_with_its_place(string yaml, string what)
    {
        var file = Path.Combine(_folder, "x.yaml");
        File.WriteAllText(file, yaml);

        Assert.Contains(what, Assert.Throws<LabException>(() => LabManifest.Load(file)).Message, StringComparison.Ordinal);
    }
}

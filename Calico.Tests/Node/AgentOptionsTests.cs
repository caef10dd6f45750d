using Calico.Core.Policy.Render;
using Calico.Node.Agent;

namespace Calico.Tests.Node;

[Layer("unit")]
public class AgentOptionsTests
{
    private static AgentOptions Read(out IReadOnlyList<string> problems, params (string Name, string Value)[] variables)
    {
        var environment = new Dictionary<string, string> { ["NODENAME"] = "node1", ["IP"] = "192.0.2.11/24", ["CALICO_MESH_INSECURE"] = "true" };
        foreach (var (name, value) in variables)
            environment[name] = value;
        return AgentOptions.Read(environment, out problems);
    }

    private static AgentOptions Good(params (string Name, string Value)[] variables)
    {
        var options = Read(out var problems, variables);
        Assert.Empty(problems);
        return options;
    }

    private static string Problem(params (string Name, string Value)[] variables)
    {
        Read(out var problems, variables);
        return Assert.Single(problems);
    }

    [Fact]
    public void Name_and_address_are_enough()
    {
        var options = Good();

        Assert.Equal(("node1", "192.0.2.11/24", "/var/run/calico/cni.sock", "/var/lib/calico/datastore"),
            (options.Node, options.AddressV4.ToString(), options.CniSocket, options.EmbeddedDirectory));
        Assert.Equal((9091, 9099, 5473, TimeSpan.Zero), (options.MetricsPort, options.HealthPort, options.MeshPort, options.NodeGoneAfter));
        Assert.False(options.MetricsEnabled || options.HealthEnabled);
    }

    [Fact]
    public void BGP_has_a_router_id_service_ranges_and_a_place_for_passwords()
    {
        var options = Good(("CALICO_ROUTER_ID", "hash"), ("CALICO_ADVERTISE_CLUSTER_IPS", "10.96.0.0/12, fd00:96::/112"), ("CALICO_BGP_SECRETS_DIR", "/secrets"));

        Assert.Equal(("hash", "10.96.0.0/12 fd00:96::/112", "/secrets"), (options.RouterId, string.Join(' ', options.AdvertisedClusterIps), options.BgpSecretsDirectory));
        Assert.Contains("CALICO_ROUTER_ID", Problem(("CALICO_ROUTER_ID", "node1")), StringComparison.Ordinal);
        Assert.Contains("CALICO_ADVERTISE_CLUSTER_IPS", Problem(("CALICO_ADVERTISE_CLUSTER_IPS", "10.96.0.0")), StringComparison.Ordinal);
    }

    [Fact]
    public void An_etcd_is_used_as_calico_names_it()
    {
        var etcd = Good(("ETCD_ENDPOINTS", "https://a:2379, https://b:2379"), ("ETCD_CA_CERT_FILE", "/ca"), ("ETCD_CERT_FILE", "/cert"),
            ("ETCD_KEY_FILE", "/key")).Etcd!;

        Assert.Equal("https://a:2379 https://b:2379", string.Join(' ', etcd.Endpoints));
        Assert.Equal(("/ca", "/cert", "/key"), (etcd.Tls!.CaFile, etcd.Tls.CertificateFile, etcd.Tls.KeyFile));
    }

    [Fact]
    public void A_kubernetes_api_is_used_as_calico_names_it()
    {
        var options = Good(("DATASTORE_TYPE", "kubernetes"), ("K8S_API_ENDPOINT", "https://a:6443"), ("K8S_CA_FILE", "/ca"), ("K8S_CERT_FILE", "/cert"),
            ("K8S_KEY_FILE", "/key"), ("USE_POD_CIDR", "true"), ("CLUSTER_TYPE", "k8s,bgp"));
        var kubernetes = options.Kubernetes!;

        Assert.Equal(("https://a:6443", true, "k8s,bgp,kdd"), (kubernetes.Endpoint, kubernetes.UsePodCidr, options.ClusterType));
        Assert.Equal(("/ca", "/cert", "/key"), (kubernetes.Tls!.CaFile, kubernetes.Tls.CertificateFile, kubernetes.Tls.KeyFile));
        Assert.Contains("kubeconfig /does/not/exist", Problem(("KUBECONFIG", "/does/not/exist")), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("FELIX_PROMETHEUSMETRICSENABLED")]
    [InlineData("FELIX_PrometheusMetricsEnabled")]
    public void Felix_parameters_are_found_however_they_are_written(string name) => Assert.True(Good((name, "True")).MetricsEnabled);

    [Fact]
    public void What_becomes_of_packets_from_a_workload_to_its_host_is_said_as_felix_does()
    {
        Assert.Equal(EndpointToHostAction.Accept, Good(("FELIX_DEFAULTENDPOINTTOHOSTACTION", "ACCEPT")).EndpointToHost);
        Assert.Equal(EndpointToHostAction.Return, Good(("FELIX_DefaultEndpointToHostAction", "Return")).EndpointToHost);
        Assert.Equal(EndpointToHostAction.Drop, Good().EndpointToHost);
    }

    [Fact]
    public void An_empty_variable_counts_as_absent() => Assert.Equal(9091, Good(("FELIX_PROMETHEUSMETRICSPORT", "")).MetricsPort);

    [Theory]
    [InlineData("IP", "autodetect-me", "IPv4 address")]
    [InlineData("IP", "2001:db8::1/64", "IPv4 address")]
    [InlineData("AS", "70000.70000.1", "AS number")]
    [InlineData("CALICO_MESH_PORT", "0", "from 1 to 65535")]
    [InlineData("CALICO_IPV4POOL_BLOCK_SIZE", "33", "from 20 to 32")]
    [InlineData("CALICO_NODE_GONE_TIMEOUT", "-1", "from 0 to 86400")]
    [InlineData("FELIX_HEALTHENABLED", "maybe", "true or false")]
    [InlineData("FELIX_DEFAULTENDPOINTTOHOSTACTION", "allow", "DROP, RETURN or ACCEPT")]
    [InlineData("FELIX_DEFAULTENDPOINTTOHOSTACTION", "1", "DROP, RETURN or ACCEPT")]
    [InlineData("DATASTORE_TYPE", "zookeeper", "etcdv3, kubernetes and embedded")]
    [InlineData("DATASTORE_TYPE", "etcdv3", "ETCD_ENDPOINTS")]
    [InlineData("DATASTORE_TYPE", "kubernetes", "set KUBECONFIG or K8S_API_ENDPOINT")]
    [InlineData("CALICO_MESH_CERT_FILE", "/cert", "together")]
    [InlineData("CALICO_MESH_INSECURE", "false", "CALICO_MESH_CERT_FILE")]
    [InlineData("CALICO_MESH_INSECURE", "", "accept anybody")]
    [InlineData("CALICO_MESH_CA_FILE", "/does/not/exist", "/does/not/exist")]
    [InlineData("NODENAME", "../etc", "DNS")]
    [InlineData("NODENAME", "Node 1", "DNS")]
    public void What_is_wrong_is_named_with_what_it_must_be(string name, string value, string expected)
    {
        var problem = Problem((name, value));

        Assert.Contains(name, problem, StringComparison.Ordinal);
        Assert.Contains(expected, problem, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_problem_is_reported_at_once()
    {
        Read(out var problems, ("IP", ""), ("AS", "x"), ("FELIX_HEALTHPORT", "99999"));

        Assert.Equal(3, problems.Count);
    }

    [Fact]
    public void No_secret_is_in_a_problem()
    {
        Read(out var problems, ("ETCD_ENDPOINTS", "https://a"), ("ETCD_PASSWORD", "hunter2"), ("AS", "x"));

        Assert.DoesNotContain(problems, p => p.Contains("hunter2", StringComparison.Ordinal));
    }
}

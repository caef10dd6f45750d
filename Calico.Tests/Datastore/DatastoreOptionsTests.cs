using Calico.Core.Model.Schema;
using Calico.Datastore;

namespace Calico.Tests.Datastore;

[Layer("unit")]
public class DatastoreOptionsTests
{
    [Theory]
    [InlineData("", DatastoreType.Embedded)]
    [InlineData("ETCD_ENDPOINTS=http://a:2379", DatastoreType.EtcdV3)]
    [InlineData("CALICO_ETCD_ENDPOINTS=http://a:2379", DatastoreType.EtcdV3)]
    [InlineData("ETCD_DISCOVERY_SRV=example.org", DatastoreType.EtcdV3)]
    [InlineData("KUBECONFIG=/k", DatastoreType.Kubernetes)]
    [InlineData("KUBERNETES_SERVICE_HOST=10.96.0.1", DatastoreType.Kubernetes)]
    [InlineData("KUBERNETES_SERVICE_HOST=10.96.0.1 EMBEDDED_PATH=/e", DatastoreType.Embedded)]
    [InlineData("KUBERNETES_SERVICE_HOST=10.96.0.1 ETCD_ENDPOINTS=http://a:2379", DatastoreType.EtcdV3)]
    [InlineData("HOME=/nonexistent", DatastoreType.Embedded)]
    [InlineData("DATASTORE_TYPE=kubernetes ETCD_ENDPOINTS=http://a:2379", DatastoreType.Kubernetes)]
    [InlineData("CALICO_DATASTORE_TYPE=embedded DATASTORE_TYPE=kubernetes", DatastoreType.Embedded)]
    public void The_environment_says_the_type(string variables, DatastoreType type) => Assert.Equal(type, Load(variables).Type);

    [Fact]
    public void A_login_with_a_kubeconfig_means_that_cluster()
    {
        using var home = new TemporaryDirectory();
        Directory.CreateDirectory(Path.Combine(home.Path, ".kube"));
        File.WriteAllText(Path.Combine(home.Path, ".kube", "config"), "kind: Config");

        Assert.Equal(DatastoreType.Kubernetes, Load($"HOME={home.Path}").Type);
        Assert.Equal(DatastoreType.Embedded, Load($"HOME={home.Path} DATASTORE_TYPE=embedded").Type);
    }

    [Fact]
    public void Who_names_no_datastore_gets_no_new_one()
    {
        using var directory = new TemporaryDirectory();
        var path = Path.Combine(directory.Path, "store");

        var assumed = Load("") with { EmbeddedPath = path };
        var e = Assert.Throws<DatastoreException>(() => DatastoreFactory.Open(assumed));

        Assert.Contains("no datastore is named: set ETCD_ENDPOINTS or KUBECONFIG", e.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(path));
        Assert.False(Load("DATASTORE_TYPE=embedded").IsTypeAssumed);
        Assert.False(Load("EMBEDDED_PATH=/e").IsTypeAssumed);
    }

    [Theory]
    [InlineData("DATASTORE_TYPE=zookeeper", "must be etcdv3, kubernetes or embedded")]
    [InlineData("DATASTORE_TYPE=etcdv3", "set ETCD_ENDPOINTS")]
    [InlineData("ETCD_ENDPOINTS=127.0.0.1:2379", "must be a URL")]
    [InlineData("ETCD_ENDPOINTS=http://a:2379 ETCD_DISCOVERY_SRV=b", "keep one")]
    public void Contradictions_are_refused_with_advice(string variables, string advice)
    {
        var e = Assert.Throws<InvalidResourceException>(() => Load(variables));

        Assert.Contains(advice, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_replaces_the_environment()
    {
        const string file = "apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nspec:\n  embeddedPath: /tmp/x.db\n";

        var options = DatastoreOptions.Load(file, "f", name => name == "ETCD_ENDPOINTS" ? "http://a:2379" : null);

        Assert.Equal(DatastoreType.Embedded, options.Type);
        Assert.Equal("/tmp/x.db", options.EmbeddedPath);
    }

    [Fact]
    public void Unknown_settings_in_a_file_are_refused()
    {
        const string file = "apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nspec: {etcdEndpoint: x}\n";

        Assert.Throws<InvalidResourceException>(() => DatastoreOptions.Load(file, "f", _ => null));
    }

    [Fact]
    public void Inline_certificates_and_files_do_not_mix()
    {
        const string file = "apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nspec: {etcdEndpoints: 'http://a:1', etcdKey: x, etcdCertFile: y}\n";

        Assert.Throws<InvalidResourceException>(() => DatastoreOptions.Load(file, "f", _ => null));
    }

    private static DatastoreOptions Load(string variables)
    {
        var environment = variables.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(v => v.Split('=', 2)).ToDictionary(v => v[0], v => v[1]);
        return DatastoreOptions.Load(null, "none", environment.GetValueOrDefault);
    }
}

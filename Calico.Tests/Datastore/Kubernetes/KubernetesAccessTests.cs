using System.Net;
using System.Text;
using Calico.Datastore;
using Calico.Datastore.Kubernetes;
using Calico.Tests.Datastore.Kubernetes.Fake;

namespace Calico.Tests.Datastore.Kubernetes;

/// <summary>How the way to the API is found, and the errors on it.</summary>
[Layer("unit")]
public sealed class KubernetesAccessTests : IDisposable
{
    private const string File1 = """
        apiVersion: v1
        kind: Config
        current-context: one
        contexts:
        - {name: one, context: {cluster: c1, user: u1}}
        - {name: two, context: {cluster: c2, user: u2}}
        - {name: program, context: {cluster: c1, user: u3}}
        clusters:
        - name: c1
          cluster: {server: "https://one:6443", certificate-authority: pki/ca.pem, tls-server-name: kubernetes}
        - name: c2
          cluster: {server: "https://two:6443", certificate-authority-data: Q0E=, insecure-skip-tls-verify: true}
        users:
        - name: u1
          user: {client-certificate: cert.pem, client-key: key.pem}
        - name: u2
          user: {token: secret, client-certificate-data: Q0VSVA==, client-key-data: S0VZ, client-key: unused}
        - name: u3
          user: {exec: {command: get-token}}
        """;

    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    private string Write(string name, string text)
    {
        var path = Path.Combine(_directory.Path, name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
        return path;
    }

    private KubernetesOptions Find(params (string Name, string Value)[] environment) => KubernetesAccess.Find(
        DatastoreOptions.Load(null, "environment", n => environment.FirstOrDefault(e => e.Name == n).Value), Path.Combine(_directory.Path, "account"));

    [Fact]
    public void A_kubeconfig_says_where_the_api_is_and_names_files_next_to_it()
    {
        var options = Find(("KUBECONFIG", Write("config", File1)));

        Assert.Equal(("https://one:6443", "kubernetes", false), (options.Endpoint, options.TlsServerName, options.SkipTlsVerify));
        Assert.Equal((Path.Combine(_directory.Path, "pki/ca.pem"), Path.Combine(_directory.Path, "cert.pem"), Path.Combine(_directory.Path, "key.pem")),
            (options.Tls!.CaFile, options.Tls.CertificateFile, options.Tls.KeyFile));
    }

    [Fact]
    public void Another_context_is_another_cluster_and_data_stands_above_files()
    {
        var options = Find(("KUBECONFIG", Write("config", File1)), ("K8S_CURRENT_CONTEXT", "two"));

        Assert.Equal(("https://two:6443", "secret", true), (options.Endpoint, options.Token, options.SkipTlsVerify));
        Assert.Equal(("CA", "CERT", "KEY", null), (options.Tls!.CaPem, options.Tls.CertificatePem, options.Tls.KeyPem, options.Tls.KeyFile));
    }

    [Fact]
    public void What_the_environment_names_stands_above_the_file()
    {
        var options = Find(("KUBECONFIG", Write("config", File1)), ("K8S_API_ENDPOINT", "https://other:443"), ("K8S_CA_FILE", "/ca"),
            ("K8S_CERT_FILE", "/cert"), ("K8S_KEY_FILE", "/key"), ("K8S_API_TOKEN", "t"), ("K8S_INSECURE_SKIP_TLS_VERIFY", "true"),
            ("CALICO_API_GROUP", "projectcalico.org/v3"), ("USE_POD_CIDR", "true"));

        Assert.Equal(("https://other:443", "t", true, "projectcalico.org/v3", true),
            (options.Endpoint, options.Token, options.SkipTlsVerify, options.CalicoApiGroup, options.UsePodCidr));
        Assert.Equal(("/ca", "/cert", "/key"), (options.Tls!.CaFile, options.Tls.CertificateFile, options.Tls.KeyFile));
    }

    [Fact]
    public void A_pod_uses_its_account_whose_token_is_read_from_its_file()
    {
        Write("account/token", "t");
        Write("account/ca.crt", "ca");

        var four = Find(("DATASTORE_TYPE", "kubernetes"), ("KUBERNETES_SERVICE_HOST", "10.96.0.1"), ("KUBERNETES_SERVICE_PORT", "443"));
        var six = Find(("DATASTORE_TYPE", "kubernetes"), ("KUBERNETES_SERVICE_HOST", "fd00::1"));

        Assert.Equal(("https://10.96.0.1:443", Path.Combine(_directory.Path, "account/token")), (four.Endpoint, four.TokenFile));
        Assert.Equal(Path.Combine(_directory.Path, "account/ca.crt"), four.Tls!.CaFile);
        Assert.Equal("https://[fd00::1]:443", six.Endpoint);
    }

    [Fact]
    public void The_user_s_own_file_is_the_last_to_be_asked()
    {
        Write(".kube/config", File1);

        Assert.Equal("https://one:6443", Find(("DATASTORE_TYPE", "kubernetes"), ("HOME", _directory.Path)).Endpoint);
        Assert.Equal("https://b:1", Find(("DATASTORE_TYPE", "kubernetes"), ("HOME", _directory.Path), ("K8S_API_ENDPOINT", "https://b:1")).Endpoint);
    }

    [Theory]
    [InlineData("DATASTORE_TYPE=kubernetes", "set KUBECONFIG or K8S_API_ENDPOINT")]
    [InlineData("KUBECONFIG=FILE K8S_CURRENT_CONTEXT=three", "has no 'three' in contexts")]
    [InlineData("KUBECONFIG=FILE K8S_CURRENT_CONTEXT=program", "credentials from a program")]
    [InlineData("KUBECONFIG=/does/not/exist", "/does/not/exist")]
    public void What_is_wrong_is_said_with_the_file(string variables, string expected)
    {
        var file = Write("config", File1);

        var e = Assert.Throws<DatastoreException>(() => Find([.. variables.Replace("FILE", file, StringComparison.Ordinal).Split(' ')
            .Select(v => (v.Split('=')[0], v.Split('=')[1]))]));

        Assert.Equal(DatastoreFault.Invalid, e.Fault);
        Assert.Contains(expected, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_file_of_the_datastore_s_own_opens_the_api_that_it_names()
    {
        var api = new FakeApi();
        await using var server = await HttpOfFake.StartAsync(api);
        var config = $"apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nspec: {{datastoreType: kubernetes, k8sAPIEndpoint: '{server.Url}'}}\n";

        await using var store = DatastoreFactory.Open(DatastoreOptions.Load(config, "calicoctl.cfg", _ => null));
        await store.CommitAsync(new Transaction([], [Calico.Datastore.Write.Put("/calico/x", Encoding.UTF8.GetBytes("v"))]));

        Assert.Equal(1, api.Store.Count("calicorecords"));
    }

    [Fact]
    public async Task Services_are_listed_page_by_page()
    {
        var api = new FakeApi();
        api.Resources.Add(new FakeResource("", "v1", "services", "Service", true));
        for (var i = 0; i < 5; i++)
            api.Apply("services", $$$"""{"metadata":{"name":"s{{{i}}}","namespace":"n"},"spec":{"type":"LoadBalancer"}}""");
        using var reader = new KubernetesReader(api.Options with { PageSize = 2 });

        var names = new List<string?>();
        await foreach (var service in reader.ListAsync("", "v1", "services"))
            names.Add(service.GetProperty("metadata").GetProperty("name").GetString());

        Assert.Equal(["s0", "s1", "s2", "s3", "s4"], names);
    }

    [Theory]
    [InlineData(HttpStatusCode.Forbidden, "Forbidden", "no", DatastoreFault.Denied)]
    [InlineData(HttpStatusCode.InternalServerError, "InternalError", "etcdserver: mvcc: database space exceeded", DatastoreFault.Exhausted)]
    [InlineData(HttpStatusCode.UnprocessableEntity, "Invalid", "spec.key: too long", DatastoreFault.Invalid)]
    [InlineData(HttpStatusCode.ServiceUnavailable, "ServiceUnavailable", "the server is starting", DatastoreFault.Unavailable)]
    [InlineData(HttpStatusCode.TooManyRequests, "TooManyRequests", "slow down", DatastoreFault.Unavailable)]
    public async Task Refusals_of_the_server_are_faults_of_their_kind(HttpStatusCode status, string reason, string message, DatastoreFault fault)
    {
        var api = new FakeApi();
        // What is tried again is tried until the time is up.
        var patience = TimeSpan.FromSeconds(fault == DatastoreFault.Unavailable ? 3 : 30);
        await using var store = api.Open(o => o with { RequestTimeout = patience, Backoff = TimeSpan.FromMilliseconds(1) });
        await store.GetAsync("/calico/x");
        api.Refuse = (status, reason, message);

        var e = await Assert.ThrowsAsync<DatastoreException>(() => store.CommitAsync(new Transaction([], [Calico.Datastore.Write.Put("/calico/x", "v"u8.ToArray())])));

        Assert.Equal(fault, e.Fault);
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
    }
}

using Calico.Datastore;
using Calico.Datastore.Etcd;

namespace Calico.Tests.Datastore.Etcd;

[Layer("unit")]
public sealed class EtcdTlsTests : IDisposable
{
    private readonly TestCertificates _certificates = new();
    private readonly TestCertificates _others = new();

    private TlsOptions Tls(TestCertificates issuer, string name, bool server, string? host = null, TestCertificates? trust = null)
    {
        var (certificate, key) = issuer.Issue(name, server, host);
        return new TlsOptions { CaFile = (trust ?? _certificates).CaFile, CertificateFile = certificate, KeyFile = key };
    }

    private Task<ServedStore> ServeAsync(string? host = null) =>
        ServedStore.StartAsync(new EtcdServerOptions { Tls = Tls(_certificates, "server", server: true, host) });

    private static async Task<DatastoreException> RefusedAsync(ServedStore served, TlsOptions? tls, int seconds = 60)
    {
        await using var store = served.Connect(o => o with { Tls = tls, RequestTimeout = TimeSpan.FromSeconds(seconds) });
        return await DatastoreExtensions.FaultAsync(() => store.GetAsync("/a"));
    }

    [Fact]
    public async Task A_client_with_a_certificate_of_the_authority_reads_writes_and_watches()
    {
        await using var served = await ServeAsync();
        await using var store = served.Connect(o => o with { Tls = Tls(_certificates, "client", server: false) });

        var revision = await store.PutAsync("/a", "one");

        await foreach (var batch in store.WatchAsync("/a", revision - 1))
        {
            Assert.Equal("/a", batch.Single().Key);
            break;
        }
    }

    [Fact]
    public async Task Certificates_can_be_given_as_text()
    {
        await using var served = await ServeAsync();
        var files = Tls(_certificates, "client", server: false);
        await using var store = served.Connect(o => o with
        {
            Tls = new TlsOptions
            {
                CaPem = File.ReadAllText(files.CaFile!),
                CertificatePem = File.ReadAllText(files.CertificateFile!),
                KeyPem = File.ReadAllText(files.KeyFile!),
            },
        });

        await store.PutAsync("/a");
    }

    [Fact]
    public async Task A_server_of_another_authority_is_not_trusted()
    {
        await using var served = await ServeAsync();

        var fault = await RefusedAsync(served, Tls(_certificates, "client", server: false, trust: _others));

        Assert.Equal(DatastoreFault.Denied, fault.Fault);
        Assert.Contains("certificate", fault.Message, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task A_server_under_another_name_is_not_trusted()
    {
        await using var served = await ServeAsync(host: "elsewhere.example");

        Assert.Equal(DatastoreFault.Denied, (await RefusedAsync(served, Tls(_certificates, "client", server: false))).Fault);
    }

    [Fact]
    public async Task A_server_with_a_certificate_for_clients_is_not_trusted()
    {
        await using var served = await ServedStore.StartAsync(new EtcdServerOptions { Tls = Tls(_certificates, "server", server: false) });

        Assert.Equal(DatastoreFault.Denied, (await RefusedAsync(served, Tls(_certificates, "client", server: false))).Fault);
    }

    [Fact]
    public async Task A_client_without_a_certificate_or_with_one_of_another_authority_gets_no_answer()
    {
        await using var served = await ServeAsync();

        // In TLS 1.3 the client has finished its handshake when the server turns it away: it sees a broken connection.
        var none = await RefusedAsync(served, new TlsOptions { CaFile = _certificates.CaFile }, seconds: 2);
        var other = await RefusedAsync(served, Tls(_others, "intruder", server: false), seconds: 2);

        Assert.Equal((DatastoreFault.Unavailable, DatastoreFault.Unavailable), (none.Fault, other.Fault));
    }

    [Fact]
    public async Task Renewed_certificates_of_the_server_are_taken_up_without_a_restart()
    {
        var tls = Tls(_certificates, "server", server: true, host: "elsewhere.example");
        await using var served = await ServedStore.StartAsync(new EtcdServerOptions { Tls = tls });
        var client = Tls(_certificates, "client", server: false);
        Assert.Equal(DatastoreFault.Denied, (await RefusedAsync(served, client)).Fault);

        _certificates.Issue("server", server: true);
        File.SetLastWriteTimeUtc(tls.CertificateFile!, TimeProvider.System.GetUtcNow().UtcDateTime.AddMinutes(1));

        await using var store = served.Connect(o => o with { Tls = client });
        await store.PutAsync("/a");
    }

    [Fact]
    public async Task A_missing_or_broken_file_is_named()
    {
        await using var served = await ServeAsync();
        var (certificate, _) = _certificates.Issue("broken", server: false);

        var missing = Assert.Throws<DatastoreException>(() => served.Connect(o => o with { Tls = new TlsOptions { CaFile = "/nowhere/ca.pem" } }));
        var broken = Assert.Throws<DatastoreException>(() => served.Connect(o => o with
        {
            Tls = new TlsOptions { CaFile = _certificates.CaFile, CertificateFile = certificate, KeyFile = certificate },
        }));

        Assert.Contains("/nowhere/ca.pem", missing.Message, StringComparison.Ordinal);
        Assert.Contains(certificate, broken.Message, StringComparison.Ordinal);
    }

    public void Dispose()
    {
        _certificates.Dispose();
        _others.Dispose();
    }
}

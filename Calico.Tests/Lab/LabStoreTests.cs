using System.Net;
using Calico.Core.Net;
using Calico.Datastore;
using Calico.Datastore.Embedded;
using Calico.Datastore.Etcd;
using Calico.Node.Lab;

namespace Calico.Tests.Lab;

[Layer("unit")]
public sealed class LabStoreTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("calico-labstore-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task What_the_child_prints_is_what_the_lab_reads()
    {
        await using var store = EmbeddedDatastore.Open(new EmbeddedOptions { Directory = _folder });
        await using var server = await EtcdServer.StartAsync(store, new EtcdServerOptions { Listen = new IPEndPoint(IPAddress.Loopback, 0) });
        await store.CommitAsync(new Transaction([], [Write.Put("/calico/a", "{\"x\": \"1\\n\"}"u8.ToArray()), Write.Put("/other", "no"u8.ToArray())]));
        var output = new StringWriter();

        await LabStore.PrintAsync(new EtcdOptions { Endpoints = [server.Url] }, "/calico/", output, CancellationToken.None);

        Assert.Equal([("/calico/a", "{\"x\": \"1\\n\"}")], LabStore.ParseEntries(output.ToString()));
    }

    [Fact]
    public async Task The_lab_s_certificates_open_its_datastore_and_nothing_else_does()
    {
        var pki = new Pki(Path.Combine(_folder, "pki"));
        pki.CreateAuthority();
        var server = Tls(pki.Issue("datastore", IpAddr.Parse("127.0.0.1")));
        var client = Tls(pki.Issue(LabCtl.CertificateName));
        await using var store = EmbeddedDatastore.Open(new EmbeddedOptions { Directory = Path.Combine(_folder, "store") });
        await using var serving = await EtcdServer.StartAsync(store, new EtcdServerOptions { Listen = new IPEndPoint(IPAddress.Loopback, 0), Tls = server });
        var options = new EtcdOptions { Endpoints = [serving.Url], Tls = client, RequestTimeout = TimeSpan.FromSeconds(20) };

        Assert.Equal(0, await LabStore.PrintAsync(options, "/calico/", TextWriter.Null, CancellationToken.None));
        await Assert.ThrowsAsync<LabException>(() => LabStore.PrintAsync(
            options with { Tls = new TlsOptions { CaFile = client.CaFile }, RequestTimeout = TimeSpan.FromSeconds(2) }, "/calico/", TextWriter.Null, CancellationToken.None));
    }

    private static TlsOptions Tls(PemFiles files) =>
        new() { CaFile = files.Authority, CertificateFile = files.Certificate, KeyFile = files.Key };

    [Fact]
    public void A_block_is_known_by_network_owner_and_sequence_number()
    {
        Assert.Equal(new LabStore.Block("10.65.1.0/26", "host:node1", 7),
            LabStore.ParseBlock("""{"cidr": "10.65.1.0/26", "affinity": "host:node1", "allocations": [], "sequenceNumber": 7}"""));
        Assert.Equal(new LabStore.Block("10.65.1.0/26", null, 0), LabStore.ParseBlock("""{"cidr": "10.65.1.0/26", "affinity": null}"""));
    }
}

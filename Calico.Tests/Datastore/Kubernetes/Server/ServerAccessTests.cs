using System.Text;
using Calico.Datastore;
using Calico.Datastore.Etcd;
using Calico.Datastore.Kubernetes;
using Calico.Tests.Datastore.Etcd;

namespace Calico.Tests.Datastore.Kubernetes.Server;

/// <summary>Who may in, and what a client makes of a server that is away.</summary>
[Layer("kubernetes")]
[Collection(ServerCollection.Name)]
public sealed class ServerAccessTests(ApiServerFixture fixture)
{
    private const string Key = "/calico/access/a";

    private static async Task<DatastoreException> FaultAsync(KubernetesOptions options)
    {
        await using var store = new KubernetesDatastore(options);
        return await Assert.ThrowsAsync<DatastoreException>(() => store.GetAsync(Key));
    }

    [SkippableFact]
    public async Task A_client_certificate_gets_in_as_a_token_does()
    {
        var (certificate, key) = fixture.Server.AdminCertificate;
        await using var store = new KubernetesDatastore(fixture.Server.Options with
        {
            Token = null,
            Tls = new TlsOptions { CaFile = fixture.Server.CaFile, CertificateFile = certificate, KeyFile = key },
        });

        Assert.Null(await store.GetAsync(Key));
    }

    [SkippableFact]
    public async Task A_user_without_rights_a_wrong_token_and_a_stranger_s_server_are_told_apart_from_a_server_that_is_away()
    {
        using var stranger = new TestCertificates();
        var options = fixture.Server.Options;

        var forbidden = await FaultAsync(options with { Token = "nobody-s-token" });
        var unknown = await FaultAsync(options with { Token = "made-up" });
        var untrusted = await FaultAsync(options with { Tls = new TlsOptions { CaFile = stranger.CaFile } });
        var away = await FaultAsync(options with { Endpoint = $"https://127.0.0.1:{EtcdProcess.FreePort()}", RequestTimeout = TimeSpan.FromSeconds(1) });

        Assert.Equal([DatastoreFault.Denied, DatastoreFault.Denied, DatastoreFault.Denied, DatastoreFault.Unavailable],
            new[] { forbidden, unknown, untrusted, away }.Select(e => e.Fault));
        Assert.Contains("the account in use needs this verb on this resource", forbidden.Message, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Without_verification_any_server_is_taken()
    {
        await using var store = new KubernetesDatastore(fixture.Server.Options with { Tls = null, SkipTlsVerify = true });

        Assert.Null(await store.GetAsync(Key));
    }

    [SkippableFact]
    public async Task A_token_file_is_read_again_when_it_changes()
    {
        using var directory = new TemporaryDirectory();
        var file = Path.Combine(directory.Path, "token");
        await File.WriteAllTextAsync(file, fixture.Server.AdminToken + "\n");
        await using var store = new KubernetesDatastore(fixture.Server.Options with { Token = null, TokenFile = file });
        Assert.Null(await store.GetAsync(Key));

        await File.WriteAllTextAsync(file, "run-out");
        File.SetLastWriteTimeUtc(file, DateTime.UnixEpoch);
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (true)
        {
            try
            {
                await store.GetAsync(Key, patience.Token);
            }
            catch (DatastoreException e) when (e.Fault == DatastoreFault.Denied)
            {
                break;
            }
        }
        await File.WriteAllTextAsync(file, fixture.Server.AdminToken);

        Assert.Null(await store.GetAsync(Key));
    }
}

/// <summary>An API server of its own, that is killed.</summary>
[Layer("kubernetes")]
[Collection(ServerCollection.Name)]
public sealed class ServerRestartTests(ApiServerFixture fixture)
{
    [SkippableFact]
    public async Task A_watch_survives_kills_of_the_server_without_loss_or_repetition()
    {
        _ = fixture.Server;
        await using var server = await ApiServerProcess.StartAsync();
        await using var store = new KubernetesDatastore(server.Options with { RequestTimeout = TimeSpan.FromSeconds(60) });
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(240));
        var start = (await store.CommitAsync(new Transaction([], [Write.Put("/start", "x"u8.ToArray())]))).Revision;
        var watch = CollectAsync(store, start, 40, patience.Token);

        for (var i = 0; i < 40; i++)
        {
            if (i % 20 == 10)
            {
                await server.KillAsync();
                await server.RunAsync();
            }
            await SetAsync(store, i);
        }

        Assert.Equal(Enumerable.Range(0, 40).SelectMany(i => new[] { $"{i}", $"pair of {i}" }), await watch);
    }

    // Two keys at once; a commit that met the kill is repeated by compare-and-swap: it is in there once.
    private static async Task SetAsync(KubernetesDatastore store, int i)
    {
        while (true)
        {
            try
            {
                var (one, two) = ($"/calico/restart/{i:d2}", $"/calico/restart/{i:d2}-pair");
                await store.CommitAsync(new Transaction([Compare.Absent(one), Compare.Absent(two)],
                    [Write.Put(one, Encoding.UTF8.GetBytes($"{i}")), Write.Put(two, Encoding.UTF8.GetBytes($"pair of {i}"))]));
                return;
            }
            catch (DatastoreException e) when (e.Fault == DatastoreFault.Unavailable)
            {
                // Unknown whether it is there: the compare finds out.
            }
        }
    }

    // As the feed does: whoever is told that the past is gone lists and goes on from there.
    private static async Task<List<string>> CollectAsync(KubernetesDatastore store, long after, int count, CancellationToken cancellation)
    {
        var seen = new List<string>();
        while (true)
        {
            try
            {
                await foreach (var batch in store.WatchAsync("/calico/restart/", after, cancellation))
                {
                    Assert.Equal(2, batch.Length);
                    seen.AddRange(batch.Select(e => Encoding.UTF8.GetString(e.Current!.Value.Span)));
                    if (seen.Count >= 2 * count)
                        return seen;
                }
            }
            catch (DatastoreException e) when (e.Fault == DatastoreFault.Compacted)
            {
                var page = await store.ListAsync("/calico/restart/", cancellation: cancellation);
                after = page.Revision;
                seen = [.. page.Items.Select(i => Encoding.UTF8.GetString(i.Value.Span))];
                if (seen.Count >= 2 * count)
                    return seen;
            }
        }
    }
}

using System.Diagnostics;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Datastore;
using Calico.Datastore.Etcd;
using Calico.Datastore.Kubernetes;
using Calico.Datastore.Kubernetes.Client;
using Calico.Datastore.Manifests;
using Calico.Tests.Datastore.Etcd;
using Calico.Tests.Datastore.Kubernetes.Crds;

namespace Calico.Tests.Datastore.Kubernetes.Server;

/// <summary>
/// The real kube-apiserver on loopback, with an etcd, an authority and accounts of its own and the definitions of
/// <c>deploy/crds</c> in it. It is built by <c>deploy/scripts/kubernetes.sh</c>, which takes minutes: tests are skipped
/// where that was not done.
/// </summary>
public sealed class ApiServerProcess : IAsyncDisposable
{
    private const string Token = "token-of-the-tests";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    private readonly TemporaryDirectory _directory = new();
    private readonly TestCertificates _certificates = new();
    private readonly EtcdProcess _etcd;
    private readonly int _port = EtcdProcess.FreePort();
    private readonly StringBuilder _said = new();
    private Process? _process;

    private ApiServerProcess(EtcdProcess etcd) => _etcd = etcd;

    /// <summary>Why there is no server; null if there is one to start.</summary>
    public static string? Missing => File.Exists(Program("kube-apiserver")) ? null
        : $"no {Program("kube-apiserver")}: ./test.sh kubernetes builds it, which takes about eight minutes";

    /// <summary>A program of Kubernetes' as the script leaves it.</summary>
    public static string Program(string name)
    {
        var folder = Environment.GetEnvironmentVariable("CALICO_KUBERNETES_DIR") is { Length: > 0 } named ? named
            : Path.Combine(Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } cache ? cache
                : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache"), "calico", "kubernetes");
        return Path.Combine(folder, "bin", name);
    }

    public string Url => $"https://127.0.0.1:{_port}";

    /// <summary>The etcd behind it.</summary>
    public string EtcdUrl => _etcd.Url;

    public string CaFile => _certificates.CaFile;

    public string AdminToken => Token;

    /// <summary>A certificate of a user who may do everything.</summary>
    public (string Certificate, string Key) AdminCertificate { get; private set; }

    /// <summary>How a test reaches it.</summary>
    public KubernetesOptions Options => new() { Endpoint = Url, Token = Token, Tls = new TlsOptions { CaFile = CaFile } };

    /// <param name="isDefined">Calico's custom resources are served.</param>
    public static async Task<ApiServerProcess> StartAsync(bool isDefined = true)
    {
        for (var attempt = 0; ; attempt++)
        {
            var server = new ApiServerProcess(await EtcdProcess.StartAsync());
            try
            {
                await server.RunAsync();
                if (isDefined)
                    await server.DefineAsync();
                return server;
            }
            catch (InvalidOperationException) when (attempt < 3)
            {
                // Somebody took the port in between.
                await server.DisposeAsync();
            }
            catch
            {
                await server.DisposeAsync();
                throw;
            }
        }
    }

    /// <summary>Starts it, or starts it again after <see cref="KillAsync"/>, and waits until it serves.</summary>
    public async Task RunAsync()
    {
        if (AdminCertificate.Certificate is null)
            AdminCertificate = _certificates.Issue("admin", server: false, organization: "system:masters");
        var (certificate, key) = _certificates.Issue("apiserver", server: true);
        var accounts = Path.Combine(_directory.Path, "accounts.key");
        if (!File.Exists(accounts))
        {
            using var signing = RSA.Create(2048);
            await File.WriteAllTextAsync(accounts, signing.ExportRSAPrivateKeyPem());
            await File.WriteAllTextAsync(Path.Combine(_directory.Path, "accounts.pub"), signing.ExportSubjectPublicKeyInfoPem());
            await File.WriteAllTextAsync(Path.Combine(_directory.Path, "tokens.csv"),
                $"{Token},admin,1,\"system:masters\"\nnobody-s-token,nobody,2,\"visitors\"\n");
        }
        _process = ChildProcess.Start(Program("kube-apiserver"), "--etcd-servers", _etcd.Url, "--bind-address", "127.0.0.1", "--secure-port", $"{_port}",
            "--advertise-address", "127.0.0.1", "--tls-cert-file", certificate, "--tls-private-key-file", key, "--client-ca-file", CaFile,
            "--service-account-issuer", "https://kubernetes.default.svc", "--service-account-signing-key-file", accounts,
            "--service-account-key-file", Path.Combine(_directory.Path, "accounts.pub"), "--token-auth-file", Path.Combine(_directory.Path, "tokens.csv"),
            "--authorization-mode", "RBAC", "--service-cluster-ip-range", "10.96.0.0/16", "--cert-dir", _directory.Path,
            // Pods without a controller that makes accounts, and no writes of the server's own every few seconds.
            "--disable-admission-plugins", "ServiceAccount", "--endpoint-reconciler-type", "none", "--v", "0");
        _process.ErrorDataReceived += (_, line) => Keep(line.Data);
        _process.BeginErrorReadLine();
        _process.OutputDataReceived += (_, line) => Keep(line.Data);
        _process.BeginOutputReadLine();
        await UntilAsync(IsReadyAsync, "the API server is not ready");
    }

    private void Keep(string? line)
    {
        lock (_said)
        {
            if (_said.Length < 20_000)
                _said.AppendLine(line);
        }
    }

    private async Task<bool> IsReadyAsync()
    {
        if (_process!.HasExited)
            throw new InvalidOperationException($"kube-apiserver ended with {_process.ExitCode}: {_said}");
        try
        {
            var trust = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            trust.CustomTrustStore.ImportFromPemFile(CaFile);
            using var client = new HttpClient(new SocketsHttpHandler { SslOptions = { CertificateChainPolicy = trust } });
            using var request = new HttpRequestMessage(HttpMethod.Get, Url + "/readyz") { Headers = { { "Authorization", "Bearer " + Token } } };
            using var answer = await client.SendAsync(request);
            return answer.StatusCode == HttpStatusCode.OK;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }

    private async Task UntilAsync(Func<Task<bool>> condition, string otherwise)
    {
        var started = Stopwatch.GetTimestamp();
        while (!await condition())
        {
            if (Stopwatch.GetElapsedTime(started) > Patience)
                throw new TimeoutException($"{otherwise}: {_said}");
            await Task.Delay(100);
        }
    }

    private Task DefineAsync() => CustomResourceDefinitions.EnsureAsync(Options,
        [.. Directory.GetFiles(CrdManifests.Folder, "*.yaml").Select(f => ManifestReader.Read(File.ReadAllText(f), f)[0].Json)]);

    /// <summary>Makes an object as kubectl would.</summary>
    public async Task CreateAsync(string path, string json)
    {
        using var client = new KubeClient(Options);
        var request = KubeRequest.Create(new KubeResource("", "", path.TrimStart('/'), "", false), null, JsonNode.Parse(json)!.AsObject()) with { OtherPath = path };
        var answer = await client.SendAsync(request, CancellationToken.None);
        if (!answer.IsSuccess)
            throw client.Unexpected(request, answer);
    }

    /// <summary>Forgets the history before a revision, which the server does by itself every five minutes.</summary>
    public async Task CompactAsync(long revision)
    {
        await using var etcd = new EtcdDatastore(new EtcdOptions { Endpoints = [EtcdUrl] });
        await etcd.CompactAsync(revision);
    }

    /// <summary>Deletes all records behind the server's back.</summary>
    public async Task ForgetRecordsAsync()
    {
        var (status, _, errors) = await ChildProcess.RunAsync("etcdctl", "--endpoints", EtcdUrl, "del", "--prefix", "/registry/mesh.projectcalico.org/calicorecords/");
        if (status != 0)
            throw new InvalidOperationException($"etcdctl: {errors}");
    }

    public async Task KillAsync()
    {
        if (_process is null)
            return;
        if (!_process.HasExited)
            _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
        _process = null;
    }

    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        await _etcd.DisposeAsync();
        _certificates.Dispose();
        _directory.Dispose();
    }
}

using System.Net.Http.Headers;
using System.Net.Security;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using Calico.Datastore.Manifests;

namespace Calico.Ctl.Commands.Ipam;

/// <summary>One cluster and user of a kubeconfig. Certificates and keys are PEM.</summary>
internal sealed record Kubeconfig(string Server)
{
    public string? Authority { get; init; }
    public string? Certificate { get; init; }
    public string? Key { get; init; }
    public string? Token { get; init; }
    public string? User { get; init; }
    public string? Password { get; init; }
    public bool SkipVerify { get; init; }

    /// <param name="text">The file's text.</param>
    /// <param name="path">What errors call the file; files that it names are relative to it.</param>
    /// <param name="wantedContext">Another context than the current one.</param>
    /// <exception cref="CtlException">The file is no kubeconfig, or wants what is not supported.</exception>
    public static Kubeconfig Read(string text, string path, string? wantedContext)
    {
        try
        {
            if (ManifestReader.Read(text, path) is not [{ Json: var root }])
                throw new CtlException($"{path} is not a kubeconfig");
            var context = Named(root, "contexts", string.IsNullOrEmpty(wantedContext) ? Text(root, "current-context") : wantedContext, path).GetProperty("context");
            var cluster = Named(root, "clusters", Text(context, "cluster"), path).GetProperty("cluster");
            var user = Text(context, "user") is { } name ? Named(root, "users", name, path).GetProperty("user") : default;
            if (user.ValueKind == JsonValueKind.Object && (user.TryGetProperty("exec", out _) || user.TryGetProperty("auth-provider", out _)))
                throw new CtlException($"{path}: credentials from a program are not supported here; use a token or a client certificate");
            var folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
            return new Kubeconfig(Text(cluster, "server") ?? throw new CtlException($"{path}: the cluster has no server"))
            {
                Authority = Pem(cluster, "certificate-authority", folder),
                SkipVerify = cluster.TryGetProperty("insecure-skip-tls-verify", out var skip) && skip.ValueKind == JsonValueKind.True,
                Certificate = Pem(user, "client-certificate", folder),
                Key = Pem(user, "client-key", folder),
                Token = Text(user, "token") ?? (Text(user, "tokenFile") is { } file ? ResourceFiles.ReadFile(Path.Combine(folder, file)).Trim() : null),
                User = Text(user, "username"),
                Password = Text(user, "password"),
            };
        }
        catch (Exception e) when (e is ManifestException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new CtlException($"{path} is not a kubeconfig: {e.Message}", e);
        }
    }

    private static JsonElement Named(JsonElement root, string list, string? name, string path)
    {
        foreach (var entry in root.GetProperty(list).EnumerateArray())
        {
            if (Text(entry, "name") == name)
                return entry;
        }
        throw new CtlException($"{path} has no '{name}' in {list}");
    }

    private static string? Pem(JsonElement json, string field, string folder) =>
        Text(json, field + "-data") is { } data ? Encoding.UTF8.GetString(Convert.FromBase64String(data))
        : Text(json, field) is { } file ? ResourceFiles.ReadFile(Path.Combine(folder, file))
        : null;

    private static string? Text(JsonElement json, string name) =>
        json.ValueKind == JsonValueKind.Object && json.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}

/// <summary>Lists objects of a Kubernetes API, page by page.</summary>
internal sealed class KubernetesApi : IDisposable
{
    private const int PageItems = 500;
    private const int MaxPages = 20_000;
    private const int MaxAnswerBytes = 64 << 20;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    private readonly Uri _server;
    private readonly SocketsHttpHandler _handler;
    private readonly HttpClient _client;

    public KubernetesApi(Kubeconfig config)
    {
        _server = Uri.TryCreate(config.Server, UriKind.Absolute, out var server) && server.Scheme is "http" or "https"
            ? server
            : throw new CtlException($"the kubeconfig's server '{config.Server}' is not a URL like https://host:6443");
        _handler = new SocketsHttpHandler { SslOptions = Tls(config), AllowAutoRedirect = false };
        _client = new HttpClient(_handler) { Timeout = Limit, MaxResponseContentBufferSize = MaxAnswerBytes };
        if (config.Token is { } token)
            _client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        else if (config.User is { } user)
            _client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes($"{user}:{config.Password}")));
    }

    public void Dispose()
    {
        _client.Dispose();
        _handler.Dispose();
    }

    /// <exception cref="CtlException">The API does not answer, or not with a list.</exception>
    public async IAsyncEnumerable<JsonElement> ListAsync(string path, [EnumeratorCancellation] CancellationToken cancellation)
    {
        var next = "";
        for (var page = 0; page < MaxPages; page++)
        {
            using var answer = await GetAsync($"{path}?limit={PageItems}{(next.Length > 0 ? "&continue=" + Uri.EscapeDataString(next) : "")}", cancellation);
            if (answer.RootElement.TryGetProperty("items", out var items) && items.ValueKind == JsonValueKind.Array)
            {
                foreach (var item in items.EnumerateArray())
                    yield return item;
            }
            next = answer.RootElement.TryGetProperty("metadata", out var metadata) && metadata.TryGetProperty("continue", out var token) ? token.GetString() ?? "" : "";
            if (next.Length == 0)
                yield break;
        }
    }

    private async Task<JsonDocument> GetAsync(string path, CancellationToken cancellation)
    {
        var url = new Uri(_server.ToString().TrimEnd('/') + path);
        try
        {
            using var answer = await _client.GetAsync(url, cancellation);
            if (!answer.IsSuccessStatusCode)
                throw new CtlException($"GET {url}: {(int)answer.StatusCode} {answer.ReasonPhrase}: check the user of the kubeconfig, it must be allowed to list services");
            return JsonDocument.Parse(await answer.Content.ReadAsByteArrayAsync(cancellation));
        }
        catch (Exception e) when (e is HttpRequestException or JsonException || (e is TaskCanceledException && !cancellation.IsCancellationRequested))
        {
            throw new CtlException($"GET {url}: {(e.InnerException ?? e).Message}", e);
        }
    }

    private static SslClientAuthenticationOptions Tls(Kubeconfig config)
    {
        var options = new SslClientAuthenticationOptions();
        try
        {
            if (config.SkipVerify)
            {
#pragma warning disable CA5359 // The user's own file says insecure-skip-tls-verify.
                options.RemoteCertificateValidationCallback = (_, _, _, _) => true;
#pragma warning restore CA5359
            }
            else if (config.Authority is { } authority)
            {
                options.CertificateChainPolicy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
                options.CertificateChainPolicy.CustomTrustStore.ImportFromPem(authority);
            }
            if (config.Certificate is { } certificate)
                options.ClientCertificates = [X509Certificate2.CreateFromPem(certificate, config.Key)];
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException)
        {
            throw new CtlException($"the kubeconfig's certificates: {e.Message}", e);
        }
        return options;
    }
}

using System.Text;
using System.Text.Json;
using Calico.Datastore.Etcd;
using Calico.Datastore.Manifests;

namespace Calico.Datastore.Kubernetes;

/// <summary>One cluster and user of a kubeconfig.</summary>
public sealed record Kubeconfig(string Server)
{
    /// <summary>Authority, certificate and key; null if the file names none.</summary>
    public TlsOptions? Tls { get; init; }

    /// <summary>The name in the server's certificate where it is not the URL's.</summary>
    public string? TlsServerName { get; init; }

    public bool SkipTlsVerify { get; init; }
    public string? Token { get; init; }
    public string? TokenFile { get; init; }
    public string? Username { get; init; }
    public string? Password { get; init; }

    /// <summary>Reads the file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="wantedContext">Another context than the current one.</param>
    /// <exception cref="DatastoreException">The file cannot be read, is no kubeconfig, or wants what is not supported.</exception>
    public static Kubeconfig ReadFile(string path, string? wantedContext = null)
    {
        try
        {
            return Read(File.ReadAllText(path), path, wantedContext);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DatastoreException(DatastoreFault.Invalid, $"kubeconfig {path}: {e.Message}", e);
        }
    }

    /// <summary>Reads the text of a file.</summary>
    /// <param name="text">The text.</param>
    /// <param name="path">What errors call it; files that it names are relative to its folder.</param>
    /// <param name="wantedContext">Another context than the current one.</param>
    /// <exception cref="DatastoreException">It is no kubeconfig, or wants what is not supported.</exception>
    public static Kubeconfig Read(string text, string path, string? wantedContext = null)
    {
        try
        {
            if (ManifestReader.Read(text, path) is not [{ Json: var root }])
                throw Invalid(path, "is not a kubeconfig");
            var context = Named(root, "contexts", string.IsNullOrEmpty(wantedContext) ? Text(root, "current-context") : wantedContext, path).GetProperty("context");
            var cluster = Named(root, "clusters", Text(context, "cluster"), path).GetProperty("cluster");
            var user = Text(context, "user") is { } name ? Named(root, "users", name, path).GetProperty("user") : default;
            if (user.ValueKind == JsonValueKind.Object && (user.TryGetProperty("exec", out _) || user.TryGetProperty("auth-provider", out _)))
                throw Invalid(path, "wants credentials from a program, which is not supported here; use a token or a client certificate");
            var folder = Path.GetDirectoryName(Path.GetFullPath(path)) ?? "/";
            var tls = new TlsOptions
            {
                CaPem = Pem(cluster, "certificate-authority"),
                CaFile = FileOf(cluster, "certificate-authority", folder),
                CertificatePem = Pem(user, "client-certificate"),
                CertificateFile = FileOf(user, "client-certificate", folder),
                KeyPem = Pem(user, "client-key"),
                KeyFile = FileOf(user, "client-key", folder),
            };
            var token = Text(user, "token");
            return new Kubeconfig(Text(cluster, "server") ?? throw Invalid(path, "has a cluster without a server"))
            {
                Tls = tls == new TlsOptions() ? null : tls,
                TlsServerName = Text(cluster, "tls-server-name"),
                SkipTlsVerify = cluster.TryGetProperty("insecure-skip-tls-verify", out var skip) && skip.ValueKind == JsonValueKind.True,
                Token = token,
                TokenFile = token is null && Text(user, "tokenFile") is { } file ? Path.Combine(folder, file) : null,
                Username = Text(user, "username"),
                Password = Text(user, "password"),
            };
        }
        catch (Exception e) when (e is ManifestException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw Invalid(path, $"is not a kubeconfig: {e.Message}", e);
        }
    }

    private static JsonElement Named(JsonElement root, string list, string? name, string path)
    {
        foreach (var entry in root.GetProperty(list).EnumerateArray())
        {
            if (Text(entry, "name") == name)
                return entry;
        }
        throw Invalid(path, $"has no '{name}' in {list}");
    }

    private static string? Pem(JsonElement json, string field) =>
        Text(json, field + "-data") is { } data ? Encoding.UTF8.GetString(Convert.FromBase64String(data)) : null;

    // The data stands above the file, as in Kubernetes' own clients.
    private static string? FileOf(JsonElement json, string field, string folder) =>
        Text(json, field + "-data") is null && Text(json, field) is { } file ? Path.Combine(folder, file) : null;

    private static string? Text(JsonElement json, string name) =>
        json.ValueKind == JsonValueKind.Object && json.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String
            && value.GetString() is { Length: > 0 } text ? text : null;

    private static DatastoreException Invalid(string path, string reason, Exception? inner = null) =>
        new(DatastoreFault.Invalid, $"kubeconfig {path} {reason}", inner);
}

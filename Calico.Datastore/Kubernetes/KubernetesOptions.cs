using Calico.Datastore.Etcd;
using Microsoft.Extensions.Logging;

namespace Calico.Datastore.Kubernetes;

/// <summary>How to reach the Kubernetes API and how patient to be with it.</summary>
public sealed record KubernetesOptions
{
    /// <summary>The API server's URL (K8S_API_ENDPOINT, or the cluster's server in a kubeconfig).</summary>
    public required string Endpoint { get; init; }

    /// <summary>Authority, client certificate and key (K8S_CA_FILE, K8S_CERT_FILE, K8S_KEY_FILE).</summary>
    public TlsOptions? Tls { get; init; }

    /// <summary>Takes any server certificate (K8S_INSECURE_SKIP_TLS_VERIFY): for tests only.</summary>
    public bool SkipTlsVerify { get; init; }

    /// <summary>The name in the server's certificate where it is not the URL's.</summary>
    public string? TlsServerName { get; init; }

    /// <summary>A bearer token (K8S_API_TOKEN).</summary>
    public string? Token { get; init; }

    /// <summary>A file with a token, read again whenever it changes: service account tokens rotate.</summary>
    public string? TokenFile { get; init; }

    public string? Username { get; init; }
    public string? Password { get; init; }

    /// <summary>
    /// The API group of Calico's resources (CALICO_API_GROUP), <c>crd.projectcalico.org/v1</c> or
    /// <c>projectcalico.org/v3</c>; null finds out by asking the server.
    /// </summary>
    public string? CalicoApiGroup { get; init; }

    /// <summary>
    /// Nodes take their tunnel address from the range that Kubernetes gives them (USE_POD_CIDR), for IPAM by host-local.
    /// </summary>
    public bool UsePodCidr { get; init; }

    /// <summary>Until a connection stands. Default 10 s.</summary>
    public TimeSpan DialTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>For a whole call, all its requests and tries together. Default 15 s.</summary>
    public TimeSpan RequestTimeout { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>
    /// How long a transaction over several objects may stand without a decision before others that meet it abort it.
    /// Default 5 s. Only progress depends on it, never correctness.
    /// </summary>
    public TimeSpan TransactionTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>The first wait after a failure; it doubles up to <see cref="MaxBackoff"/>.</summary>
    public TimeSpan Backoff { get; init; } = TimeSpan.FromMilliseconds(50);

    public TimeSpan MaxBackoff { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Objects that one request of a list asks for.</summary>
    public int PageSize { get; init; } = 500;

    /// <summary>The largest answer that is read; a list that would be larger is asked for in smaller pages.</summary>
    public int MaxAnswerBytes { get; init; } = 64 << 20;

    public TimeProvider Time { get; init; } = TimeProvider.System;

    public ILoggerFactory? Logging { get; init; }

    /// <summary>Puts a handler of a test between the client and the network.</summary>
    internal Func<HttpMessageHandler, HttpMessageHandler>? Wrap { get; init; }

    internal void Validate()
    {
        List<string> problems = [.. Tls?.Problems() ?? []];
        if (!Uri.TryCreate(Endpoint, UriKind.Absolute, out var url) || url.Scheme is not ("http" or "https"))
            problems.Add($"'{Endpoint}' is not a URL like https://host:6443");
        if (CalicoApiGroup is not (null or "crd.projectcalico.org/v1" or "projectcalico.org/v3"))
            problems.Add($"the API group '{CalicoApiGroup}' is neither crd.projectcalico.org/v1 nor projectcalico.org/v3");
        if (DialTimeout <= TimeSpan.Zero || RequestTimeout <= TimeSpan.Zero || TransactionTimeout <= TimeSpan.Zero
            || Backoff <= TimeSpan.Zero || MaxBackoff < Backoff)
        {
            problems.Add("every time must be positive");
        }
        if (PageSize is < 1 or > 10_000)
            problems.Add($"a page size of {PageSize}");
        if (MaxAnswerBytes < 4 << 20)
            problems.Add("MaxAnswerBytes is below 4 MiB, a single object can be that large");
        if (problems.Count > 0)
            throw new DatastoreException(DatastoreFault.Invalid, $"kubernetes: {string.Join("; ", problems)}");
    }
}

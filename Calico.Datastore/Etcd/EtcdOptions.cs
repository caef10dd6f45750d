using System.Collections.Immutable;
using Microsoft.Extensions.Logging;

namespace Calico.Datastore.Etcd;

/// <summary>How to reach etcd, or an embedded store that is served as one.</summary>
public sealed record EtcdOptions
{
    /// <summary>URLs, <c>http://host:2379</c> or <c>https://…</c>, any number of the cluster's members (ETCD_ENDPOINTS).</summary>
    public required ImmutableArray<string> Endpoints { get; init; }

    /// <summary>Authority, client certificate and key (ETCD_CA_CERT_FILE, ETCD_CERT_FILE, ETCD_KEY_FILE).</summary>
    public TlsOptions? Tls { get; init; }

    /// <summary>Used only together with <see cref="Password"/> (ETCD_USERNAME, ETCD_PASSWORD).</summary>
    public string? Username { get; init; }

    public string? Password { get; init; }

    /// <summary>Until a connection stands. Default 10 s, Calico's.</summary>
    public TimeSpan DialTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>For a whole call, all tries on all endpoints together. Default 15 s.</summary>
    public TimeSpan RequestTimeout { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>How often a connection in use is checked. Default 30 s, Calico's.</summary>
    public TimeSpan KeepAliveInterval { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long such a check may take before the connection counts as dead. Default 10 s.</summary>
    public TimeSpan KeepAliveTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>The first wait after a failure of every endpoint; it doubles up to <see cref="MaxBackoff"/>.</summary>
    public TimeSpan Backoff { get; init; } = TimeSpan.FromMilliseconds(50);

    public TimeSpan MaxBackoff { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>The largest answer that is accepted; a list that would be larger is asked for in smaller pages.</summary>
    public int MaxAnswerBytes { get; init; } = 16 << 20;

    public TimeProvider Time { get; init; } = TimeProvider.System;

    public ILoggerFactory? Logging { get; init; }

    internal void Validate()
    {
        List<string> problems = [.. Tls?.Problems() ?? []];
        if (Endpoints.IsDefaultOrEmpty)
            problems.Add("no endpoint is given");
        else
            problems.AddRange(Endpoints.Where(e => !IsUrl(e)).Select(e => $"'{e}' is not a URL like http://host:2379"));
        if (DialTimeout <= TimeSpan.Zero || RequestTimeout <= TimeSpan.Zero || KeepAliveInterval <= TimeSpan.Zero
            || KeepAliveTimeout <= TimeSpan.Zero || Backoff <= TimeSpan.Zero || MaxBackoff < Backoff)
        {
            problems.Add("every time must be positive");
        }
        if (MaxAnswerBytes < 4 << 20)
            problems.Add("MaxAnswerBytes is below 4 MiB, a single change can be that large");
        if (problems.Count > 0)
            throw new DatastoreException(DatastoreFault.Invalid, $"etcd: {string.Join("; ", problems)}");
    }

    private static bool IsUrl(string endpoint) =>
        Uri.TryCreate(endpoint, UriKind.Absolute, out var url) && url.Scheme is "http" or "https";
}

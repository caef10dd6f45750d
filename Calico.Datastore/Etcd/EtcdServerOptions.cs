using System.Net;
using Microsoft.Extensions.Logging;

namespace Calico.Datastore.Etcd;

/// <summary>Where and to whom an embedded store is served.</summary>
public sealed record EtcdServerOptions
{
    /// <summary>Default: loopback, etcd's port. Port 0 takes a free one.</summary>
    public IPEndPoint Listen { get; init; } = new(IPAddress.Loopback, 2379);

    /// <summary>The URL that member lists give; default is made of <see cref="Listen"/>.</summary>
    public string? AdvertisedUrl { get; init; }

    /// <summary>
    /// Null is plain HTTP/2. With an authority (<see cref="TlsOptions.CaFile"/>) clients must show a certificate of it.
    /// </summary>
    public TlsOptions? Tls { get; init; }

    /// <summary>With a user name and password, every call needs a token that was got for them.</summary>
    public string? Username { get; init; }

    public string? Password { get; init; }

    /// <summary>How long a token serves. Default 5 min, as etcd's simple tokens.</summary>
    public TimeSpan TokenLifetime { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>How often an idle watch that asked for it is told how far it is. Default 1 min.</summary>
    public TimeSpan ProgressInterval { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>The size above which events are spread over several messages. Default 1.5 MiB.</summary>
    public int MaxWatchBytes { get; init; } = DatastoreLimits.MaxTransactionBytes;

    public int MaxConnections { get; init; } = 10_000;

    public TimeProvider Time { get; init; } = TimeProvider.System;

    public ILoggerFactory? Logging { get; init; }

    internal void Validate()
    {
        List<string> problems = [.. Tls?.Problems() ?? []];
        if (Tls is { HasCertificate: false })
            problems.Add("TLS needs the server's certificate and key");
        if (Username is null != Password is null)
            problems.Add("a user name needs a password, and a password a user name");
        if (ProgressInterval <= TimeSpan.Zero || TokenLifetime <= TimeSpan.Zero || MaxWatchBytes < 1 || MaxConnections < 1)
            problems.Add("intervals and limits must be positive");
        if (problems.Count > 0)
            throw new DatastoreException(DatastoreFault.Invalid, $"etcd server: {string.Join("; ", problems)}");
    }
}

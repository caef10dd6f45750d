using System.Net;
using System.Net.Sockets;
using Grpc.Net.Client;

namespace Calico.Datastore.Etcd;

/// <summary>Thrown where a connection could not even be made: whatever was to be sent was not sent.</summary>
internal sealed class NotConnectedException(string message, Exception inner) : IOException(message, inner);

/// <summary>
/// One member. Watches have a connection of their own: they hold unread data as long as their consumers like, and that
/// must not use up the flow-control window of the calls.
/// </summary>
internal sealed class EtcdEndpoint : IDisposable
{
    private readonly GrpcChannel _callChannel;
    private readonly GrpcChannel _watchChannel;

    public EtcdEndpoint(string url, EtcdOptions options, TlsMaterial? tls)
    {
        Url = url;
        _callChannel = Connect(url, options, tls);
        _watchChannel = Connect(url, options, tls);
        Kv = new Wire.KV.KVClient(_callChannel);
        Lease = new Wire.Lease.LeaseClient(_callChannel);
        Maintenance = new Wire.Maintenance.MaintenanceClient(_callChannel);
        Auth = new Wire.Auth.AuthClient(_callChannel);
        Watch = new Wire.Watch.WatchClient(_watchChannel);
    }

    public string Url { get; }
    public Wire.KV.KVClient Kv { get; }
    public Wire.Lease.LeaseClient Lease { get; }
    public Wire.Maintenance.MaintenanceClient Maintenance { get; }
    public Wire.Auth.AuthClient Auth { get; }
    public Wire.Watch.WatchClient Watch { get; }

    private static GrpcChannel Connect(string url, EtcdOptions options, TlsMaterial? tls)
    {
        var handler = new SocketsHttpHandler
        {
            ConnectTimeout = options.DialTimeout,
            EnableMultipleHttp2Connections = true,
            KeepAlivePingDelay = options.KeepAliveInterval,
            KeepAlivePingTimeout = options.KeepAliveTimeout,
            // Without calls there is nothing to keep, and etcd hangs up on clients that ping for nothing.
            KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests,
            PooledConnectionIdleTimeout = Timeout.InfiniteTimeSpan,
            UseProxy = false,
            // Renewed certificates are taken up by new connections only; an hour is soon enough.
            PooledConnectionLifetime = tls is null ? Timeout.InfiniteTimeSpan : TimeSpan.FromHours(1),
            ConnectCallback = (context, cancellation) => ConnectAsync(context.DnsEndPoint, cancellation),
        };
        if (tls is not null)
        {
            handler.SslOptions.LocalCertificateSelectionCallback = (_, _, _, _, _) => tls.Certificate?.TargetCertificate!;
            handler.SslOptions.RemoteCertificateValidationCallback = (_, certificate, chain, errors) =>
                tls.IsTrusted(certificate, chain, errors);
        }
        return GrpcChannel.ForAddress(url, new GrpcChannelOptions
        {
            HttpHandler = new SentTracking.Handler(handler),
            DisposeHttpClient = true,
            MaxReceiveMessageSize = options.MaxAnswerBytes,
            MaxSendMessageSize = null,
            MaxRetryAttempts = null,
            LoggerFactory = options.Logging,
        });
    }

    // Our own connect says of its failures that nothing was sent; and it keeps the channel from adding a balancer with
    // waits of its own, which would hide a member that is back.
    private static async ValueTask<Stream> ConnectAsync(DnsEndPoint address, CancellationToken cancellation)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(address, cancellation);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch (SocketException e)
        {
            socket.Dispose();
            throw new NotConnectedException($"{address.Host}:{address.Port}: {e.Message}", e);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        _callChannel.Dispose();
        _watchChannel.Dispose();
    }
}

/// <summary>All members, and the one that is used until it fails.</summary>
internal sealed class EtcdEndpoints : IDisposable
{
    private readonly EtcdEndpoint[] _all;
    private int _current;

    public EtcdEndpoints(EtcdOptions options)
    {
        var tls = options.Tls is null ? null : new TlsMaterial(options.Tls);
        var needsTls = options.Endpoints.Any(e => e.StartsWith("https", StringComparison.OrdinalIgnoreCase));
        if (needsTls)
            _ = (tls ??= new TlsMaterial(new TlsOptions())).Certificate;
        // Clients start at different members, or the first would carry all of them.
        string[] urls = [.. options.Endpoints];
        Random.Shared.Shuffle(urls);
        _all = [.. urls.Select(url => new EtcdEndpoint(url, options,
            url.StartsWith("https", StringComparison.OrdinalIgnoreCase) ? tls : null))];
    }

    public int Count => _all.Length;

    public EtcdEndpoint Current => _all[Volatile.Read(ref _current)];

    /// <summary>Moves on from an endpoint that failed, unless somebody else has done so already.</summary>
    public void Failed(EtcdEndpoint endpoint)
    {
        var index = Volatile.Read(ref _current);
        if (ReferenceEquals(_all[index], endpoint))
            Interlocked.CompareExchange(ref _current, (index + 1) % _all.Length, index);
    }

    public void Dispose()
    {
        foreach (var endpoint in _all)
            endpoint.Dispose();
    }
}

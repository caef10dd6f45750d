using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using Calico.Datastore.Etcd;

namespace Calico.Datastore.Kubernetes.Client;

/// <summary>Makes the connections and says who we are.</summary>
internal sealed class KubeTransport : IDisposable
{
    private static readonly TimeSpan TokenCheck = TimeSpan.FromSeconds(1);

    private readonly KubernetesOptions _options;
    private readonly TlsMaterial? _tls;
    private readonly Lock _gate = new();
    private string? _token;
    private DateTime _tokenStamp;
    private long _tokenChecked;

    public KubeTransport(KubernetesOptions options)
    {
        _options = options;
        if (options.Endpoint.StartsWith("https", StringComparison.OrdinalIgnoreCase))
        {
            _tls = new TlsMaterial(options.Tls ?? new TlsOptions());
            // Files that cannot be read are to be heard of now.
            _ = _tls.Certificate;
        }
        Calls = Connect();
        Watches = Connect();
    }

    public HttpMessageInvoker Calls { get; }

    /// <summary>
    /// Watches have connections of their own: they hold unread data as long as their consumers like, and that must not
    /// use up the flow-control window of the calls.
    /// </summary>
    public HttpMessageInvoker Watches { get; }

    /// <summary>A request with the version and the credentials of now.</summary>
    /// <exception cref="DatastoreException">The token cannot be read.</exception>
    public HttpRequestMessage Message(HttpMethod method, string path)
    {
        var message = new HttpRequestMessage(method, new Uri(_options.Endpoint.TrimEnd('/') + path));
        if (_tls is not null)
            message.Version = HttpVersion.Version20;
        message.Headers.Add("Accept", "application/json");
        message.Headers.Add("User-Agent", "calico");
        if (_options.Username is { } user)
            message.Headers.Add("Authorization", "Basic " + Convert.ToBase64String(System.Text.Encoding.UTF8.GetBytes($"{user}:{_options.Password}")));
        else if (Token() is { Length: > 0 } token)
            message.Headers.Add("Authorization", "Bearer " + token);
        return message;
    }

    /// <summary>Reads the token file with the next request, whatever its time says.</summary>
    public void ForgetToken()
    {
        lock (_gate)
            _tokenStamp = default;
    }

    // The kubelet replaces a token well before it runs out, by renaming the link's target: its time changes.
    private string? Token()
    {
        if (_options.TokenFile is not { } file)
            return _options.Token;
        lock (_gate)
        {
            if (_token is not null && _tokenStamp != default && _options.Time.GetElapsedTime(_tokenChecked) < TokenCheck)
                return _token;
            _tokenChecked = _options.Time.GetTimestamp();
            try
            {
                var stamp = File.GetLastWriteTimeUtc(file);
                if (_token is null || stamp != _tokenStamp)
                    (_token, _tokenStamp) = (File.ReadAllText(file).Trim(), stamp);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // In the middle of a replacement the old token still serves.
                if (_token is null)
                    throw new DatastoreException(DatastoreFault.Denied, $"kubernetes: token file {file}: {e.Message}", e);
            }
            return _token;
        }
    }

    private HttpMessageInvoker Connect()
    {
        var handler = new SocketsHttpHandler
        {
            ConnectTimeout = _options.DialTimeout,
            EnableMultipleHttp2Connections = true,
            KeepAlivePingDelay = TimeSpan.FromSeconds(30),
            KeepAlivePingTimeout = TimeSpan.FromSeconds(10),
            KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests,
            // Renewed certificates are taken up by new connections only.
            PooledConnectionLifetime = _tls is null ? Timeout.InfiniteTimeSpan : TimeSpan.FromHours(1),
            AutomaticDecompression = DecompressionMethods.GZip,
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            ConnectCallback = (context, cancellation) => ConnectAsync(context.DnsEndPoint, cancellation),
        };
        if (_tls is not null)
        {
            handler.SslOptions.TargetHost = _options.TlsServerName;
            handler.SslOptions.LocalCertificateSelectionCallback = (_, _, _, _, _) => _tls.Certificate?.TargetCertificate!;
            handler.SslOptions.RemoteCertificateValidationCallback = (_, certificate, chain, errors) =>
                _options.SkipTlsVerify || _tls.IsTrusted(certificate, chain, errors);
        }
        return new HttpMessageInvoker(_options.Wrap?.Invoke(handler) ?? handler);
    }

    // Our own connect says of its failures that nothing was sent, and has the kernel find out that a peer is gone.
    private static async ValueTask<Stream> ConnectAsync(DnsEndPoint address, CancellationToken cancellation)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, 30);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, 5);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, 4);
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
        Calls.Dispose();
        Watches.Dispose();
    }
}

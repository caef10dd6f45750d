using System.Net;
using Calico.Datastore.Embedded;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Calico.Datastore.Etcd;

/// <summary>
/// Serves an embedded store over etcd's v3 API, so that every other process has one way to reach whichever store there
/// is, <c>etcdctl</c> included.
/// <code>
///   EtcdDatastore, etcdctl --gRPC/HTTP2 (TLS)--&gt; Kestrel --&gt; Kv, Watch, Lease, ... service --&gt; EmbeddedDatastore
/// </code>
/// Spoken: KV, Watch, Lease, Auth.Authenticate, Cluster.MemberList, Maintenance.Status and Alarm. Not there: membership
/// changes, users and roles, snapshots and defragmentation, which answer Unimplemented.
/// </summary>
public sealed class EtcdServer : IAsyncDisposable
{
    private static readonly TimeSpan KeepAlive = TimeSpan.FromSeconds(30);

    private readonly WebApplication _host;
    private readonly CancellationTokenSource _stopping;

    private EtcdServer(WebApplication host, CancellationTokenSource stopping, IPEndPoint address, string url)
    {
        _host = host;
        _stopping = stopping;
        Address = address;
        Url = url;
    }

    /// <summary>Where it listens, with the port that was taken.</summary>
    public IPEndPoint Address { get; }

    /// <summary>The endpoint to give to clients.</summary>
    public string Url { get; }

    /// <summary>Starts serving. The store stays the caller's: it is to be disposed of after the server.</summary>
    /// <exception cref="DatastoreException">
    /// <see cref="DatastoreFault.Invalid"/>: options or certificates; <see cref="DatastoreFault.Unavailable"/>: the address
    /// is taken.
    /// </exception>
    public static async Task<EtcdServer> StartAsync(EmbeddedDatastore store, EtcdServerOptions options,
        CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(store);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        var stopping = new CancellationTokenSource();
        var service = new EtcdService(store, options) { Stopping = stopping.Token };
        var host = Build(service, options);
        try
        {
            await host.StartAsync(cancellation);
        }
        catch (IOException e)
        {
            await host.DisposeAsync();
            stopping.Dispose();
            throw new DatastoreException(DatastoreFault.Unavailable,
                $"etcd server: cannot listen on {options.Listen}: {e.Message}", e);
        }
        var bound = new Uri(host.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single());
        var address = new IPEndPoint(options.Listen.Address, bound.Port);
        service.Url = options.AdvertisedUrl ?? $"{(options.Tls is null ? "http" : "https")}://{address}";
        return new EtcdServer(host, stopping, address, service.Url);
    }

    private static WebApplication Build(EtcdService service, EtcdServerOptions options)
    {
        // Empty: no configuration from the environment, no console, no signal handlers; all of that is the host's.
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration();
        builder.WebHost.ConfigureKestrel(kestrel => Configure(kestrel, options));
        builder.Services.AddSingleton<IHostLifetime, OwnedLifetime>();
        if (options.Logging is not null)
            builder.Services.AddSingleton(options.Logging);
        builder.Services.AddRoutingCore();
        builder.Services.AddSingleton(service);
        builder.Services.AddSingleton(new EtcdTokens(options));
        builder.Services.AddSingleton<TokenInterceptor>();
        builder.Services.AddGrpc(grpc =>
        {
            // The largest request is a transaction at its limit; etcd allows this much around it.
            grpc.MaxReceiveMessageSize = DatastoreLimits.MaxTransactionBytes + (512 << 10);
            grpc.MaxSendMessageSize = null;
            grpc.Interceptors.Add<TokenInterceptor>();
        });
        var host = builder.Build();
        host.UseRouting();
        host.MapGrpcService<KvService>();
        host.MapGrpcService<WatchService>();
        host.MapGrpcService<LeaseService>();
        host.MapGrpcService<MaintenanceService>();
        host.MapGrpcService<ClusterService>();
        host.MapGrpcService<AuthService>();
        return host;
    }

    private static void Configure(KestrelServerOptions kestrel, EtcdServerOptions options)
    {
        kestrel.AddServerHeader = false;
        kestrel.Limits.MaxConcurrentConnections = options.MaxConnections;
        kestrel.Limits.Http2.MaxStreamsPerConnection = 10_000;
        kestrel.Limits.Http2.KeepAlivePingDelay = KeepAlive;
        var material = options.Tls is null ? null : new TlsMaterial(options.Tls);
        // Read now, so that a bad file is an error of the start and not of the first client.
        _ = material?.Certificate;
        kestrel.Listen(options.Listen, listen =>
        {
            listen.Protocols = HttpProtocols.Http2;
            if (material is not null)
                listen.UseHttps(https => Configure(https, options.Tls!, material));
        });
    }

    private static void Configure(HttpsConnectionAdapterOptions https, TlsOptions tls, TlsMaterial material)
    {
        https.ServerCertificateSelector = (_, _) => material.Certificate?.TargetCertificate;
        https.OnAuthenticate = (_, ssl) =>
        {
            // Kestrel insists on a selector, which can give the certificate alone; the context has its chain too.
            ssl.ServerCertificateSelectionCallback = null;
            ssl.ServerCertificateContext = material.Certificate;
            ssl.CertificateChainPolicy = material.Policy;
        };
        if (!tls.HasCa)
            return;
        https.ClientCertificateMode = ClientCertificateMode.RequireCertificate;
        https.ClientCertificateValidation = (_, _, errors) => errors == System.Net.Security.SslPolicyErrors.None;
    }

    /// <summary>Ends the streams, lets calls under way finish for a few seconds, and closes the port.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(5));
        await _host.StopAsync(patience.Token);
        await _host.DisposeAsync();
        _stopping.Dispose();
    }

    private sealed class OwnedLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}

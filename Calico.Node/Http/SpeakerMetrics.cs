using System.Globalization;
using System.Net;
using Akka.Actor;
using Calico.Actors.Bgp;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Prometheus;

namespace Calico.Node.Http;

/// <summary>The numbers of a speaker alone, by the names that an agent has for them, as <c>/metrics</c>.</summary>
internal sealed class SpeakerMetrics : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private readonly WebApplication _app;

    private SpeakerMetrics(WebApplication app) => _app = app;

    /// <summary>Reads <c>PORT</c> (of every address), <c>ADDRESS:PORT</c> or <c>[ADDRESS]:PORT</c>.</summary>
    public static bool TryParse(string text, out IPEndPoint endpoint)
    {
        endpoint = new IPEndPoint(IPAddress.IPv6Any, 0);
        if (!ushort.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var port))
            return text.Contains(':', StringComparison.Ordinal) && IPEndPoint.TryParse(text, out endpoint!) && endpoint.Port > 0;
        endpoint.Port = port;
        return port > 0;
    }

    /// <summary>Has whoever scrapes this process read the speaker.</summary>
    public static void Register(IActorRef speaker, IActorRef bfd) =>
        Metrics.DefaultRegistry.AddBeforeCollectCallback(async _ =>
        {
            try
            {
                Show((await SpeakerStatus.ReadAsync(speaker, bfd, Patience)).Peers);
            }
            catch (AskTimeoutException)
            {
                // The numbers stay as they were.
            }
        });

    /// <exception cref="IOException">The address cannot be listened on.</exception>
    public static async Task<SpeakerMetrics> StartAsync(IPEndPoint endpoint)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = 0;
            if (endpoint.Address.Equals(IPAddress.IPv6Any))
                kestrel.ListenAnyIP(endpoint.Port);
            else
                kestrel.Listen(endpoint);
        });
        var app = builder.Build();
        app.Run(context => context.Request.Path == "/metrics" ? NodeHttpServer.MetricsAsync(context) : NodeHttpServer.NotFound(context));
        await app.StartAsync();
        return new SpeakerMetrics(app);
    }

    /// <summary>What a speaker's peers are, in the metrics of this process.</summary>
    public static void Show(IReadOnlyCollection<PeerStatus> peers)
    {
        BgpMetrics.Show(peers);
        BfdMetrics.Show(peers);
    }

    public ValueTask DisposeAsync() => _app.DisposeAsync();
}

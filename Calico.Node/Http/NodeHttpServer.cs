using System.Net;
using Calico.Node.Agent;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Prometheus;

namespace Calico.Node.Http;

/// <summary>
/// Felix's two ports: <c>/metrics</c> (9091) and <c>/liveness</c>, <c>/readiness</c> (9099), each only if enabled.
/// </summary>
internal sealed class NodeHttpServer : IAsyncDisposable
{
    private readonly WebApplication? _app;

    private NodeHttpServer(WebApplication? app) => _app = app;

    public static async Task<NodeHttpServer> StartAsync(AgentOptions options, AgentState agent)
    {
        AgentMetrics.Register(agent);
        if (!options.MetricsEnabled && !options.HealthEnabled)
            return new NodeHttpServer(null);
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = 0;
            if (options.MetricsEnabled)
                Listen(kestrel, options.MetricsHost, options.MetricsPort);
            if (options.HealthEnabled)
                Listen(kestrel, options.HealthHost, options.HealthPort);
        });
        var app = builder.Build();
        app.Run(context => (context.Request.Path.Value, context.Connection.LocalPort) switch
        {
            ("/metrics", var port) when options.MetricsEnabled && port == options.MetricsPort => MetricsAsync(context),
            ("/liveness", var port) when port == options.HealthPort => AnswerAsync(context, null, "live"),
            ("/readiness", var port) when port == options.HealthPort => ReadinessAsync(context, agent),
            _ => NotFound(context),
        });
        await app.StartAsync();
        return new NodeHttpServer(app);
    }

    public async ValueTask DisposeAsync()
    {
        if (_app is not null)
            await _app.DisposeAsync();
    }

    private static void Listen(KestrelServerOptions kestrel, string host, int port)
    {
        if (host is "localhost")
            kestrel.ListenLocalhost(port);
        else if (IPAddress.TryParse(host, out var address))
            kestrel.Listen(address, port);
        else
            kestrel.ListenAnyIP(port);
    }

    internal static async Task MetricsAsync(HttpContext context)
    {
        context.Response.ContentType = "text/plain; version=0.0.4; charset=utf-8";
        await Metrics.DefaultRegistry.CollectAndExportAsTextAsync(context.Response.Body, context.RequestAborted);
    }

    private static async Task ReadinessAsync(HttpContext context, AgentState agent) =>
        await AnswerAsync(context, await agent.WhyNotReadyAsync(), "ready");

    private static async Task AnswerAsync(HttpContext context, string? fault, string good)
    {
        context.Response.StatusCode = fault is null ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable;
        context.Response.ContentType = "text/plain; charset=utf-8";
        await context.Response.WriteAsync((fault ?? good) + "\n", context.RequestAborted);
    }

    internal static Task NotFound(HttpContext context)
    {
        context.Response.StatusCode = StatusCodes.Status404NotFound;
        return Task.CompletedTask;
    }
}

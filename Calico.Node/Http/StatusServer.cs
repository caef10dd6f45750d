using System.Text.Json;
using Akka.Actor;
using Calico.Node.Agent;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Calico.Node.Http;

/// <summary>
/// The node's status and metrics for tools on the same host: HTTP on a Unix socket that only root can open
/// (<c>calicoctl node status</c> and <c>node diags</c> read it).
/// </summary>
internal sealed class StatusServer : IAsyncDisposable
{
    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web) { WriteIndented = true };

    private readonly WebApplication _app;

    private StatusServer(WebApplication app) => _app = app;

    public static async Task<StatusServer> StartAsync(AgentOptions options, AgentState agent)
    {
        File.Delete(options.StatusSocket);
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = 0;
            kestrel.ListenUnixSocket(options.StatusSocket, listen => listen.Protocols = HttpProtocols.Http1);
        });
        var app = builder.Build();
        app.Run(context => context.Request.Path.Value switch
        {
            "/status" => AnswerAsync(context, agent),
            "/metrics" => NodeHttpServer.MetricsAsync(context),
            _ => NotFound(context),
        });
        await app.StartAsync();
        File.SetUnixFileMode(options.StatusSocket, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        return new StatusServer(app);
    }

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    private static async Task AnswerAsync(HttpContext context, AgentState agent)
    {
        try
        {
            var (bgp, lease, policy) = (await agent.BgpAsync(), await agent.LeaseAsync(), await agent.PolicyAsync());
            context.Response.ContentType = "application/json";
            await context.Response.WriteAsync(JsonSerializer.Serialize(new
            {
                node = agent.Options.Node,
                notReady = await agent.WhyNotReadyAsync(),
                bgp = new
                {
                    localAs = bgp.LocalAs.Value,
                    routerId = bgp.RouterId.ToString(),
                    converged = bgp.Converged,
                    listeners = bgp.Listeners.Select(l => new { address = l.Address.ToString(), port = l.Port, error = l.Error }),
                    peers = bgp.Peers.Select(p => new
                    {
                        name = p.Name,
                        type = p.Kind.ToString(),
                        address = p.Address.ToString(),
                        asn = p.PeerAs.Value,
                        state = p.Phase.ToString(),
                        since = p.Since,
                        reason = p.Down?.ToString(),
                        received = p.Counters.Received,
                        advertised = p.Counters.Advertised,
                    }),
                },
                ipam = new { waiting = lease.Waiting, promised = lease.Promises, trouble = lease.Trouble },
                blocks = lease.Blocks.Select(b => new { cidr = b.Block.ToString(), epoch = b.Epoch, capacity = b.Capacity, allocated = b.Allocated }),
                policy = new { inSync = policy.InSync, endpoints = policy.Endpoints, policies = policy.Policies, errors = policy.Errors, enforcedRevision = policy.EnforcedRevision },
            }, Json), context.RequestAborted);
        }
        catch (AskTimeoutException e)
        {
            context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
            await context.Response.WriteAsync(e.Message, context.RequestAborted);
        }
    }

    private static Task NotFound(HttpContext context)
    {
        context.Response.StatusCode = StatusCodes.Status404NotFound;
        return Task.CompletedTask;
    }
}

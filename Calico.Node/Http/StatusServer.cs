using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Akka.Actor;
using Calico.Node.Agent;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using BadHttpRequestException = Microsoft.AspNetCore.Http.BadHttpRequestException;

namespace Calico.Node.Http;

/// <summary>An answer that is written as it comes; what fails in the middle cuts it off.</summary>
internal delegate Task OctetStream(Stream to, CancellationToken cancellation);

/// <summary>
/// What a process of this host says of itself to tools on the same host: HTTP on a Unix socket that only root can open
/// (<c>calicoctl node status</c>, <c>node diags</c> and <c>bgp</c> read it).
/// </summary>
internal sealed class StatusServer : IAsyncDisposable
{
    // sockaddr_un has 108, with the zero at the end.
    private const int MaxPath = 107;

    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web) { WriteIndented = true };

    private readonly WebApplication _app;
    private readonly string _socket;

    private StatusServer(WebApplication app, string socket) => (_app, _socket) = (app, socket);

    /// <summary>The agent's: everything.</summary>
    public static Task<StatusServer> StartAsync(AgentOptions options, AgentState agent) =>
        StartAsync(options.StatusSocket, new BgpPages(agent.Speaker, agent.Bfd).All.Append(new("/status", _ => StatusAsync(agent))));

    /// <summary>That of a speaker alone.</summary>
    /// <exception cref="IOException">The socket cannot be made.</exception>
    public static Task<StatusServer> StartAsync(string socket, IActorRef speaker, IActorRef bfd) => StartAsync(socket, new BgpPages(speaker, bfd).All);

    /// <summary>Why this path cannot be our socket; null if it can. What a process that is gone left there is no reason.</summary>
    public static string? WhyNot(string socket)
    {
        var folder = Path.GetDirectoryName(Path.GetFullPath(socket)) ?? "/";
        if (!Directory.Exists(folder))
            return $"there is no folder {folder}";
        if (Encoding.UTF8.GetByteCount(socket) > MaxPath)
            return $"the path of a socket has at most {MaxPath} octets";
        if (Directory.Exists(socket) || new FileInfo(socket) is { Exists: true, Length: > 0 })
            return "is there and no socket";
        if (!File.Exists(socket))
            return null;
        try
        {
            using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            probe.Connect(new UnixDomainSocketEndPoint(socket));
            return "another process answers there; stop that first, or name another path";
        }
        catch (SocketException)
        {
            return null;
        }
    }

    private static async Task<StatusServer> StartAsync(string socket, IEnumerable<KeyValuePair<string, Func<HttpContext, Task<object>>>> pages)
    {
        File.Delete(socket);
        var all = pages.ToDictionary(StringComparer.Ordinal);
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = 0;
            kestrel.ListenUnixSocket(socket, listen => listen.Protocols = HttpProtocols.Http1);
        });
        var app = builder.Build();
        app.Run(context => context.Request.Path.Value is { } path && all.TryGetValue(path, out var page) ? AnswerAsync(context, page)
            : context.Request.Path == "/metrics" ? NodeHttpServer.MetricsAsync(context)
            : FailAsync(context, StatusCodes.Status404NotFound, $"there is no {context.Request.Path}"));
        await app.StartAsync();
        File.SetUnixFileMode(socket, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        return new StatusServer(app, socket);
    }

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        File.Delete(_socket);
    }

    private static async Task AnswerAsync(HttpContext context, Func<HttpContext, Task<object>> page)
    {
        try
        {
            var answer = await page(context);
            if (answer is OctetStream octets)
            {
                context.Response.ContentType = "application/octet-stream";
                await octets(context.Response.Body, context.RequestAborted);
                return;
            }
            context.Response.ContentType = "application/json";
            await context.Response.WriteAsync(JsonSerializer.Serialize(answer, Json), context.RequestAborted);
        }
        catch (AskTimeoutException) when (context.Response.HasStarted)
        {
            context.Abort();
        }
        catch (AskTimeoutException e)
        {
            await FailAsync(context, StatusCodes.Status503ServiceUnavailable, e.Message);
        }
        catch (BadHttpRequestException e)
        {
            await FailAsync(context, StatusCodes.Status400BadRequest, e.Message);
        }
    }

    private static async Task<object> StatusAsync(AgentState agent)
    {
        var (bgp, lease, policy) = (await agent.BgpAsync(), await agent.LeaseAsync(), await agent.PolicyAsync());
        return new
        {
            node = agent.Options.Node,
            notReady = await agent.WhyNotReadyAsync(),
            bgp = BgpPages.Of(bgp),
            ipam = new { waiting = lease.Waiting, promised = lease.Promises, trouble = lease.Trouble },
            blocks = lease.Blocks.Select(b => new { cidr = b.Block.ToString(), epoch = b.Epoch, capacity = b.Capacity, allocated = b.Allocated }),
            policy = new { inSync = policy.InSync, endpoints = policy.Endpoints, policies = policy.Policies, errors = policy.Errors, enforcedRevision = policy.EnforcedRevision },
        };
    }

    private static Task FailAsync(HttpContext context, int status, string why)
    {
        context.Response.StatusCode = status;
        return context.Response.WriteAsync(why, context.RequestAborted);
    }
}

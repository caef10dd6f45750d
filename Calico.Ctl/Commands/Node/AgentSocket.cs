using System.Net.Sockets;

namespace Calico.Ctl.Commands.Node;

/// <summary>Asks the agent of this host, over the socket in its run directory that only root can open.</summary>
internal static class AgentSocket
{
    private const string DefaultRunDirectory = "/var/run/calico";
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(10);

    public static string PathOf(CtlContext context) =>
        Path.Combine(context.Environment("CALICO_RUN_DIR") is { Length: > 0 } directory ? directory : DefaultRunDirectory, "node.sock");

    /// <exception cref="CtlException">No agent answers.</exception>
    public static Task<string> AskAsync(CtlContext context, string page, CancellationToken cancellation) => AskAsync(PathOf(context), page, cancellation);

    /// <param name="path">The socket.</param>
    /// <inheritdoc cref="AskAsync(CtlContext, string, CancellationToken)"/>
    public static Task<string> AskAsync(string path, string page, CancellationToken cancellation) => AskAsync(path, async client =>
    {
        using var answer = await client.GetAsync(new Uri("http://node" + page), cancellation);
        var text = await answer.Content.ReadAsStringAsync(cancellation);
        return answer.IsSuccessStatusCode ? text : throw Refused(path, answer, text);
    });

    /// <summary>Copies what is too long to be held.</summary>
    /// <inheritdoc cref="AskAsync(CtlContext, string, CancellationToken)"/>
    public static Task CopyAsync(string path, string page, Stream to, CancellationToken cancellation) => AskAsync(path, async client =>
    {
        using var answer = await client.GetAsync(new Uri("http://node" + page), HttpCompletionOption.ResponseHeadersRead, cancellation);
        if (!answer.IsSuccessStatusCode)
            throw Refused(path, answer, await answer.Content.ReadAsStringAsync(cancellation));
        await answer.Content.CopyToAsync(to, cancellation);
        return true;
    });

    private static CtlException Refused(string path, HttpResponseMessage answer, string text) =>
        new($"{path}: {(text.Length > 0 ? text : answer.ReasonPhrase)}");

    private static async Task<T> AskAsync<T>(string path, Func<HttpClient, Task<T>> ask)
    {
        if (!File.Exists(path))
            throw NotRunning($"there is no {path}");
        using var handler = new SocketsHttpHandler
        {
            ConnectCallback = async (_, stop) =>
            {
                var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                try
                {
                    await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), stop);
                    return new NetworkStream(socket, ownsSocket: true);
                }
                catch
                {
                    socket.Dispose();
                    throw;
                }
            },
        };
        using var client = new HttpClient(handler) { Timeout = Limit };
        try
        {
            return await ask(client);
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
        {
            throw NotRunning($"{path}: {(e.InnerException ?? e).Message}", e);
        }
    }

    private static CtlException NotRunning(string reason, Exception? cause = null) =>
        new($"Calico process is not running: {reason}; start calico-node on this host, or name its run directory in CALICO_RUN_DIR", cause);
}

using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Calico.Kernel.Namespaces;

namespace Calico.Node.Lab;

/// <summary>Asks a node's health and metrics ports from inside its own namespace.</summary>
internal static class NodeHttp
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(3);

    /// <summary>The body of a page, or why there is none.</summary>
    public static async Task<(bool Ok, string Text)> TryGetAsync(NetworkNamespace inside, int port, string path)
    {
        using var handler = new SocketsHttpHandler { ConnectCallback = (context, _) => Connect(inside, context.DnsEndPoint.Port) };
        using var client = new HttpClient(handler) { Timeout = Limit };
        try
        {
            using var response = await client.GetAsync(new Uri($"http://127.0.0.1:{port}{path}"));
            var body = await response.Content.ReadAsStringAsync();
            return (response.StatusCode == HttpStatusCode.OK, response.StatusCode == HttpStatusCode.OK
                ? body
                : $"{path} on port {port} answers {(int)response.StatusCode}: {body.Trim()}");
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException or SocketException)
        {
            return (false, $"{path} on port {port}: {(e.InnerException ?? e).Message}");
        }
    }

    public static async Task<IReadOnlyList<Metric>> MetricsAsync(NetworkNamespace inside)
    {
        var (ok, text) = await TryGetAsync(inside, 9091, "/metrics");
        return ok ? Metric.Parse(text) : throw new LabException(text);
    }

    // The socket is opened on a thread inside the namespace and keeps belonging to it.
    private static ValueTask<Stream> Connect(NetworkNamespace inside, int port) => ValueTask.FromResult<Stream>(inside.Run(() =>
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            socket.Connect(IPAddress.Loopback, port);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }));
}

/// <summary>One sample of Prometheus' text format.</summary>
internal sealed record Metric(string Name, IReadOnlyDictionary<string, string> Labels, double Value)
{
    public static IReadOnlyList<Metric> Parse(string text)
    {
        var metrics = new List<Metric>();
        foreach (var line in text.Split('\n'))
        {
            if (line.Length == 0 || line[0] == '#')
                continue;
            var brace = line.IndexOf('{');
            var end = brace < 0 ? line.IndexOf(' ') : line.LastIndexOf('}') + 1;
            if (end <= 0 || !double.TryParse(line[end..].Trim().Split(' ')[0], CultureInfo.InvariantCulture, out var value))
                continue;
            metrics.Add(brace < 0
                ? new Metric(line[..end], new Dictionary<string, string>(), value)
                : new Metric(line[..brace], ParseLabels(line[(brace + 1)..(end - 1)]), value));
        }
        return metrics;
    }

    // Label values of the lab's nodes are names and addresses: no escapes beyond quotes are expected.
    private static Dictionary<string, string> ParseLabels(string text)
    {
        var labels = new Dictionary<string, string>(StringComparer.Ordinal);
        while (text.IndexOf("=\"", StringComparison.Ordinal) is > 0 and var equals)
        {
            var close = text.IndexOf('"', equals + 2);
            if (close < 0)
                break;
            labels[text[..equals].Trim(',', ' ')] = text[(equals + 2)..close];
            text = text[(close + 1)..];
        }
        return labels;
    }
}

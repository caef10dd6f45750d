using System.CommandLine;
using System.Globalization;
using System.Net.Sockets;
using System.Text.Json;

namespace Calico.Ctl.Commands;

/// <summary>node status: the BGP sessions of the agent on this host, in calicoctl's form, with the reason of each that is down.</summary>
internal static class NodeCommand
{
    private const string DefaultRunDirectory = "/var/run/calico";
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(10);

    public static Command Build(CtlContext context)
    {
        var status = new Command("status", "Show the agent of this host and its BGP sessions.");
        status.SetAction((_, cancellation) => StatusAsync(context, cancellation));
        return new Command("node", "Calico node commands.") { status };
    }

    private static async Task<int> StatusAsync(CtlContext context, CancellationToken cancellation)
    {
        var socket = Path.Combine(context.Environment("CALICO_RUN_DIR") is { Length: > 0 } directory ? directory : DefaultRunDirectory, "node.sock");
        using var answer = await AskAsync(socket, cancellation);
        var bgp = answer.RootElement.GetProperty("bgp");
        await context.Out.WriteLineAsync("Calico process is running.");
        foreach (var (title, v4) in new[] { ("IPv4", true), ("IPv6", false) })
        {
            var peers = bgp.GetProperty("peers").EnumerateArray().Where(p => Text(p, "address").Contains('.') == v4).ToList();
            await context.Out.WriteLineAsync($"\n{title} BGP status");
            await context.Out.WriteLineAsync(peers.Count == 0 ? $"No {title} peers found." : Table(peers));
        }
        return CommandLine.Success;
    }

    private static async Task<JsonDocument> AskAsync(string path, CancellationToken cancellation)
    {
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
            return JsonDocument.Parse(await client.GetStringAsync(new Uri("http://node/status"), cancellation));
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
        {
            throw new CtlException($"Calico process is not running: {path}: {(e.InnerException ?? e).Message}; start calico-node on this host, or name its run directory in CALICO_RUN_DIR", e);
        }
    }

    private static string Table(List<JsonElement> peers)
    {
        string[] head = ["PEER ADDRESS", "PEER TYPE", "STATE", "SINCE", "INFO"];
        var rows = peers.Select(Row).ToList();
        var widths = head.Select((h, i) => rows.Select(r => r[i].Length).Append(h.Length).Max()).ToArray();
        var line = "+" + string.Concat(widths.Select(w => new string('-', w + 2) + "+"));
        var text = new List<string> { line, Line(head, widths), line };
        text.AddRange(rows.Select(r => Line(r, widths)));
        text.Add(line);
        return string.Join('\n', text);
    }

    private static string Line(string[] cells, int[] widths) =>
        "| " + string.Join(" | ", cells.Select((c, i) => c.PadRight(widths[i]))) + " |";

    private static string[] Row(JsonElement peer)
    {
        var state = Text(peer, "state");
        var up = state == "Established";
        var since = DateTimeOffset.Parse(Text(peer, "since"), CultureInfo.InvariantCulture).ToString("HH:mm:ss", CultureInfo.InvariantCulture);
        var type = Text(peer, "type") switch
        {
            "NodeMesh" => "node-to-node mesh",
            "NodePeer" => "node specific",
            _ => "global",
        };
        return [Text(peer, "address"), type, up ? "up" : "start", since, up ? "Established" : $"{state}: {Text(peer, "reason")}"];
    }

    private static string Text(JsonElement e, string name) =>
        e.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString()! : "";
}

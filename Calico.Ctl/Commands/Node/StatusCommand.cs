using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Calico.Ctl.Output;

namespace Calico.Ctl.Commands.Node;

/// <summary>node status: the BGP sessions of the agent on this host, in calicoctl's form, with the reason of each that is down.</summary>
internal static class StatusCommand
{
    public static Command Build(CtlContext context)
    {
        var status = new ExampleCommand("status", "Show the agent of this host and its BGP sessions.", "node status");
        status.SetAction((_, cancellation) => StatusAsync(context, cancellation));
        return status;
    }

    private static async Task<int> StatusAsync(CtlContext context, CancellationToken cancellation)
    {
        using var answer = JsonDocument.Parse(await AgentSocket.AskAsync(context, "/status", cancellation));
        var bgp = answer.RootElement.GetProperty("bgp");
        await context.Out.WriteLineAsync("Calico process is running.");
        foreach (var (title, v4) in new[] { ("IPv4", true), ("IPv6", false) })
        {
            var peers = bgp.GetProperty("peers").EnumerateArray().Where(p => Text(p, "address").Contains('.') == v4).ToList();
            await context.Out.WriteLineAsync($"\n{title} BGP status");
            await context.Out.WriteAsync(peers.Count == 0 ? $"No {title} peers found.\n" : Table(peers));
        }
        return CommandLine.Success;
    }

    private static string Table(List<JsonElement> peers)
    {
        var table = new GridTable("PEER ADDRESS", "PEER TYPE", "STATE", "SINCE", "INFO");
        foreach (var peer in peers)
            table.Add(Row(peer));
        return table.ToString();
    }

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

using System.CommandLine;
using System.Globalization;
using System.Text.Json;

namespace Calico.Ctl.Commands.Bgp;

/// <summary>bgp peers: every session with its numbers, and why it is down or was last.</summary>
internal static class PeersCommand
{
    public static Command Build(CtlContext context)
    {
        var (socket, output) = (BgpCommand.SocketOption(), BgpCommand.OutputOption());
        var command = new ExampleCommand("peers",
            "Show every BGP session: state, since when, routes in and out, what BFD says of its path, and why it is not established. Exits with 0 also if some are down.",
            "bgp peers", "bgp peers -o json") { socket, output };
        command.SetAction(async (parsed, cancellation) =>
        {
            var isJson = BgpCommand.IsJson(parsed.GetValue(output));
            var answer = await BgpCommand.AskAsync(context, parsed.GetValue(socket), "/bgp/peers", cancellation);
            if (isJson)
            {
                await context.Out.WriteLineAsync(answer);
                return CommandLine.Success;
            }
            using var document = JsonDocument.Parse(answer);
            List<string[]> rows = [["NAME", "ADDRESS", "AS", "STATE", "SINCE", "RECEIVED", "ADVERTISED", "BFD", "INFO"]];
            rows.AddRange(document.RootElement.GetProperty("peers").EnumerateArray().Select(Row));
            await context.Out.WriteAsync(BgpCommand.Text(context, rows));
            return CommandLine.Success;
        });
        return command;
    }

    private static string[] Row(JsonElement peer)
    {
        var since = peer.GetProperty("since").GetDateTimeOffset();
        var reason = peer.GetProperty("reason").GetString() ?? (peer.GetProperty("lastReason").GetString() is { } last ? "before: " + last : "");
        return
        [
            peer.GetProperty("name").GetString()!, peer.GetProperty("address").GetString()!, peer.GetProperty("asn").ToString(),
            peer.GetProperty("state").GetString()!, since == default ? "" : since.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture),
            peer.GetProperty("received").ToString(), peer.GetProperty("advertised").ToString(), PathOf(peer),
            peer.GetProperty("restarting").GetBoolean() ? $"restarting, its routes are kept: {reason}" : reason,
        ];
    }

    // Nothing without BFD, and from an agent of a release before it.
    private static string PathOf(JsonElement peer)
    {
        if (!peer.TryGetProperty("bfd", out var bfd) || bfd.ValueKind != JsonValueKind.Object)
            return "";
        if (bfd.GetProperty("problem").GetString() is { } problem)
            return $"not watched: {problem}";
        // Before the first session nobody knows which address of ours the path begins at.
        if (bfd.GetProperty("state").GetString() is not { } state)
            return "waiting";
        return bfd.GetProperty("diagnostic").GetString() is { } diagnostic and not "None" ? $"{state} ({diagnostic})" : state;
    }
}

using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Calico.Core.Net;

namespace Calico.Ctl.Commands.Bgp;

/// <summary>
/// bgp routes, received and advertised: what a speaker knows, by page, so that a table of a million routes flows through.
/// </summary>
internal static class RoutesCommand
{
    private static readonly string[] Head = ["", "PREFIX", "NEXT HOP", "FROM", "LOCAL PREF", "MED", "AS PATH", "ORIGIN", "COMMUNITIES"];

    private const string Marks = "Marks: * best, = as good for forwarding, s stale (kept over the peer's restart), ! next hop unreachable.";

    private sealed record Request(string? Socket, string Query, bool IsJson, int? Limit, string Nothing);

    public static Command Routes(CtlContext context)
    {
        var best = new Option<bool>("--best") { Description = "Only routes in use." };
        var command = new ExampleCommand("routes", "Show the routes that this speaker knows, of all peers and its own. " + Marks,
            "bgp routes", "bgp routes 10.65.0.0/16 --best", "bgp routes --family ipv6 -o json");
        return Build(context, command, null, best, (_, _) => Task.FromResult(""));
    }

    public static Command Received(CtlContext context)
    {
        var command = new ExampleCommand("received",
            "Show the routes that a peer has told, after the import rules and filters: what those refused is not kept. " + Marks,
            "bgp received 10.0.0.2", "bgp received Mesh_10_0_0_2 10.65.0.0/16");
        return Build(context, command, PeerArgument(), null, async (socket, peer) => "&from=" + await AddressOfAsync(context, socket, peer));
    }

    public static Command Advertised(CtlContext context)
    {
        var command = new ExampleCommand("advertised",
            "Show the routes that a peer is told, as it sees them: with its next hop, the AS numbers in front, and what filters changed.",
            "bgp advertised 10.0.0.2", "bgp advertised Global_192_0_2_1 -o json");
        return Build(context, command, PeerArgument(), null, async (socket, peer) => "&to=" + await AddressOfAsync(context, socket, peer));
    }

    private static Argument<string> PeerArgument() => new("peer") { Description = "Address or name of the peer." };

    private static ExampleCommand Build(CtlContext context, ExampleCommand command, Argument<string>? peer, Option<bool>? best,
        Func<string?, string, Task<string>> ofPeer)
    {
        var prefix = new Argument<string?>("prefix") { Description = "Only routes inside this prefix.", Arity = ArgumentArity.ZeroOrOne };
        var family = new Option<string?>("--family") { Description = "ipv4 or ipv6; without it that of the prefix, and ipv4 if there is none." };
        family.AcceptOnlyFromAmong("ipv4", "ipv6");
        var limit = new Option<int?>("--limit") { Description = "Stop after so many routes." };
        var (socket, output) = (BgpCommand.SocketOption(), BgpCommand.OutputOption());
        if (peer is not null)
            command.Add(peer);
        command.Add(prefix);
        if (best is not null)
            command.Add(best);
        foreach (var option in new Option[] { family, limit, socket, output })
            command.Add(option);
        command.SetAction(async (parsed, cancellation) =>
        {
            var isJson = BgpCommand.IsJson(parsed.GetValue(output));
            var within = PrefixOf(parsed.GetValue(prefix));
            var isV6 = (parsed.GetValue(family) ?? (within?.IsV4 == false ? "ipv6" : "ipv4")) == "ipv6";
            if (within is { } range && range.IsV4 == isV6)
                throw new CtlException($"{range} is no prefix of {(isV6 ? "ipv6" : "ipv4")}");
            if (parsed.GetValue(limit) is <= 0)
                throw new CtlException("--limit must be at least 1");
            var from = await ofPeer(parsed.GetValue(socket), peer is null ? "" : parsed.GetValue(peer)!);
            var query = $"/bgp/routes?family={(isV6 ? "ipv6" : "ipv4")}{from}{(best is not null && parsed.GetValue(best) ? "&best=true" : "")}"
                + (within is null ? "" : "&within=" + within);
            var nothing = within is { IsHost: true } address
                ? $"no route inside {address}; 'calicoctl bgp explain {address.Address}' shows the one that leads there" : "no routes";
            return await ShowAsync(context, new Request(parsed.GetValue(socket), query, isJson, parsed.GetValue(limit), nothing), cancellation);
        });
        return command;
    }

    /// <exception cref="CtlException">It is none.</exception>
    public static Cidr? PrefixOf(string? text) => text is null ? null
        : Cidr.TryParseOrHost(text, out var cidr) ? cidr.Network : throw new CtlException($"'{text}' is no prefix: write 10.65.0.0/16 or fd00::/64");

    private static async Task<int> ShowAsync(CtlContext context, Request request, CancellationToken cancellation)
    {
        var (shown, after) = (0, (int?)0);
        if (request.IsJson)
            await context.Out.WriteAsync("[");
        while (after is { } from && !(shown >= request.Limit))
        {
            var answer = await BgpCommand.AskAsync(context, request.Socket, request.Query + string.Create(CultureInfo.InvariantCulture, $"&after={from}"), cancellation);
            using var page = JsonDocument.Parse(answer);
            after = page.RootElement.GetProperty("next") is { ValueKind: JsonValueKind.Number } next ? next.GetInt32() : null;
            var routes = page.RootElement.GetProperty("routes").EnumerateArray().Take((request.Limit ?? int.MaxValue) - shown).ToList();
            if (routes.Count > 0)
                await context.Out.WriteAsync(request.IsJson ? Json(routes, shown == 0) : Table(context, routes, shown == 0));
            shown += routes.Count;
        }
        if (request.IsJson)
            await context.Out.WriteLineAsync(shown == 0 ? "]" : "\n]");
        else if (shown == 0)
            await context.Error.WriteLineAsync(request.Nothing);
        return CommandLine.Success;
    }

    private static string Json(List<JsonElement> routes, bool isFirst) =>
        string.Concat(routes.Select((r, i) => (isFirst && i == 0 ? "\n  " : ",\n  ") + OneLine(r)));

    private static string OneLine(JsonElement route)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, BgpCommand.OneLine))
            route.WriteTo(json);
        return System.Text.Encoding.UTF8.GetString(buffer.ToArray());
    }

    private static string Table(CtlContext context, List<JsonElement> routes, bool isFirst)
    {
        var rows = routes.ConvertAll(Row);
        if (isFirst)
            rows.Insert(0, Head);
        return BgpCommand.Text(context, rows);
    }

    /// <summary>A route as a line of a table.</summary>
    public static string[] Row(JsonElement route)
    {
        string Text(string name) => route.GetProperty(name) is { ValueKind: not JsonValueKind.Null } value ? value.ToString() : "";
        var marks = (route.GetProperty("best").GetBoolean() ? "*" : route.GetProperty("multipath").GetBoolean() ? "=" : "")
            + (route.GetProperty("stale").GetBoolean() ? "s" : "") + (route.GetProperty("reachable").GetBoolean() ? "" : "!");
        var id = Text("pathId");
        return
        [
            marks, Text("prefix") + (id.Length > 0 ? $" (path {id})" : ""), Text("nextHop"), Text("from") is { Length: > 0 } from ? from : "local", Text("localPref"), Text("med"),
            Text("asPath"), Text("origin"),
            string.Join(' ', new[] { "communities", "largeCommunities", "extendedCommunities" }.SelectMany(n => route.GetProperty(n).EnumerateArray()).Select(c => c.GetString())),
        ];
    }

    // The speaker knows peers by address.
    private static async Task<string> AddressOfAsync(CtlContext context, string? socket, string peer)
    {
        using var document = JsonDocument.Parse(await BgpCommand.AskAsync(context, socket, "/bgp/peers", CancellationToken.None));
        var peers = document.RootElement.GetProperty("peers").EnumerateArray()
            .Select(p => (Name: p.GetProperty("name").GetString()!, Address: p.GetProperty("address").GetString()!)).ToList();
        var asked = IpAddr.TryParse(peer, out var address) ? address.ToString() : peer;
        return peers.Where(p => p.Name == asked || p.Address == asked).Select(p => p.Address).FirstOrDefault()
            ?? throw new CtlException($"{peer} is no peer of this speaker; its peers are: {(peers.Count == 0 ? "none" : string.Join(", ", peers.Select(p => $"{p.Name} ({p.Address})")))}");
    }
}

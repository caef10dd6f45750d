using System.CommandLine;
using System.Text.Json;
using Calico.Core.Net;

namespace Calico.Ctl.Commands.Bgp;

/// <summary>bgp explain: the routes of a prefix in the order of the decision, each with the step at which it lost.</summary>
internal static class ExplainCommand
{
    public static Command Build(CtlContext context)
    {
        var asked = new Argument<string>("prefix") { Description = "A prefix, or an address that the longest prefix with a route is looked up for." };
        var (socket, output) = (BgpCommand.SocketOption(), BgpCommand.OutputOption());
        var command = new ExampleCommand("explain",
            "Say why the best route of a prefix is the best: every route for it, and the step of the decision process (RFC 4271 section 9.1) at which it lost. "
            + "Exits with 1 if no route leads there.",
            "bgp explain 10.65.1.0/26", "bgp explain 10.65.1.7") { asked, socket, output };
        command.SetAction(async (parsed, cancellation) =>
        {
            var isJson = BgpCommand.IsJson(parsed.GetValue(output));
            if (!Cidr.TryParseOrHost(parsed.GetValue(asked), out var prefix))
                throw new CtlException($"'{parsed.GetValue(asked)}' is no prefix and no address");
            var answer = await BgpCommand.AskAsync(context, parsed.GetValue(socket), $"/bgp/explain?to={prefix.Network}", cancellation);
            using var document = JsonDocument.Parse(answer);
            if (document.RootElement.GetProperty("prefix").GetString() is not { } found)
                throw new CtlException($"no route leads to {prefix.Network}; routes that import filters refused are not kept");
            await context.Out.WriteAsync(isJson ? answer + "\n" : Text(context, found, document.RootElement));
            return CommandLine.Success;
        });
        return command;
    }

    private static string Text(CtlContext context, string prefix, JsonElement why)
    {
        List<string[]> rows = [["", "FROM", "NEXT HOP", "AS PATH", "VERDICT"]];
        rows.AddRange(why.GetProperty("routes").EnumerateArray().Select(verdict =>
        {
            var row = RoutesCommand.Row(verdict.GetProperty("route"));
            return new[] { row[0], row[3], row[2], row[6], Verdict(verdict) };
        }));
        return prefix + "\n" + BgpCommand.Text(context, rows);
    }

    private static string Verdict(JsonElement verdict)
    {
        if (verdict.GetProperty("lostAt").GetString() is not { } step)
            return "the best";
        var (value, best) = (verdict.GetProperty("value").GetString(), verdict.GetProperty("best").GetString());
        var lost = step switch
        {
            "NextHopReachable" => "no candidate: its next hop cannot be reached",
            "OwnRoute" => "lost to a route of our own",
            "LongLivedStale" => "its peer has been away for long (LLGR_STALE)",
            "LocalPref" => $"LOCAL_PREF {value}, the best has {best}",
            "PathLength" => $"AS path of {value}, the best has {best}",
            "Origin" => $"origin {value}, the best has {best}",
            "Med" => $"MED {value}, the best has {best}",
            "External" => "learned inside our AS, the best outside",
            "Metric" => $"metric {value} to its next hop, the best has {best}",
            "RouterId" => $"router id {value}, the best has {best}",
            "ClusterList" => $"{value} clusters on its way, the best has {best}",
            "PeerAddress" => $"peer address {value}, the best has {best}",
            _ => $"path {value}, the best is path {best}",
        };
        return verdict.GetProperty("route").GetProperty("multipath").GetBoolean() ? $"forwards too; told to peers is the best: {lost}" : lost;
    }
}

using System.CommandLine;
using System.Text.Encodings.Web;
using System.Text.Json;
using Calico.Ctl.Commands.Node;

namespace Calico.Ctl.Commands.Bgp;

/// <summary>bgp: the speaker of this host, and messages of any.</summary>
internal static class BgpCommand
{
    public static Command Build(CtlContext context) => new("bgp", "Look into the BGP speaker of this host: its sessions, its routes, and why it chose them.")
    {
        PeersCommand.Build(context),
        RoutesCommand.Routes(context),
        RoutesCommand.Received(context),
        RoutesCommand.Advertised(context),
        ExplainCommand.Build(context),
        MrtCommands.Dump(context),
        MrtCommands.Read(context),
        DecodeCommand.Build(context),
    };

    /// <summary>JSON of one line.</summary>
    public static readonly JsonWriterOptions OneLine = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Whom to ask.</summary>
    public static Option<string?> SocketOption() => new("--socket")
    {
        Description = "Socket of a speaker alone ('calico-node bgp --socket'). Without it the agent of this host is asked.",
    };

    public static Option<string?> OutputOption() => new("--output", "-o")
    {
        Description = "json; otherwise a table on a terminal, lines with tabs elsewhere.",
    };

    /// <summary>Whether the answer shall be JSON.</summary>
    /// <exception cref="CtlException">Another format is asked for.</exception>
    public static bool IsJson(string? format) => format switch
    {
        null => false,
        "json" => true,
        _ => throw new CtlException($"unrecognized output format '{format}': use json"),
    };

    public static Task<string> AskAsync(CtlContext context, string? socket, string page, CancellationToken cancellation) =>
        socket is null ? AgentSocket.AskAsync(context, page, cancellation) : AgentSocket.AskAsync(socket, page, cancellation);

    /// <summary>A table for people, lines with tabs for programs.</summary>
    public static string Text(CtlContext context, List<string[]> rows) =>
        context.IsTerminal ? Output.TabWriter.Format(rows) : string.Concat(rows.Select(r => string.Join('\t', r) + "\n"));
}

using System.CommandLine;

namespace Calico.Ctl.Commands.Node;

/// <summary>node diags: what somebody needs who looks for a fault on this host, in one file.</summary>
internal static class DiagsCommand
{
    private static readonly (string What, string File, string[] Command)[] Commands =
    [
        ("Collecting date", "date", ["date"]),
        ("Collecting hostname", "hostname", ["hostname"]),
        ("Collecting kernel", "uname", ["uname", "-a"]),
        ("Dumping routes (IPv4)", "ipv4_route", ["ip", "-4", "route", "show", "table", "all"]),
        ("Dumping routes (IPv6)", "ipv6_route", ["ip", "-6", "route", "show", "table", "all"]),
        ("Dumping rules", "ip_rule", ["ip", "rule"]),
        ("Dumping interface info (IPv4)", "ipv4_addr", ["ip", "-4", "addr"]),
        ("Dumping interface info (IPv6)", "ipv6_addr", ["ip", "-6", "addr"]),
        ("Dumping links", "ip_link", ["ip", "-s", "-d", "link"]),
        ("Dumping nftables", "nft_ruleset", ["nft", "-n", "-a", "list", "ruleset"]),
        ("Dumping iptables (IPv4)", "ipv4_tables", ["iptables-save", "-c"]),
        ("Dumping iptables (IPv6)", "ipv6_tables", ["ip6tables-save", "-c"]),
        ("Dumping ipsets", "ipsets", ["ipset", "list"]),
        ("Dumping sockets", "ss", ["ss", "-a", "-n", "-p"]),
        ("Copying journal for calico-node.service", "journalctl_calico_node", ["journalctl", "-u", "calico-node.service", "--no-pager"]),
    ];

    public static Command Build(CtlContext context)
    {
        var logs = new Option<string>("--log-dir") { Description = "The folder with Calico's logs.", DefaultValueFactory = _ => "/var/log/calico" };
        var command = new ExampleCommand("diags",
            "Gather logs and the state of the network of this host into one file. Needs root.", "node diags") { logs };
        command.SetAction((parsed, cancellation) => RunAsync(context, parsed.GetValue(logs)!, cancellation));
        return command;
    }

    private static async Task<int> RunAsync(CtlContext context, string logs, CancellationToken cancellation)
    {
        if (!Environment.IsPrivilegedProcess)
            throw new CtlException("Need super user privileges: Operation not permitted");
        await context.Out.WriteLineAsync("Collecting diagnostics");
        var parent = Directory.CreateTempSubdirectory("calico").FullName;
        await context.Out.WriteLineAsync($"Using temp dir: {parent}");
        var bundle = Diagnostics.Begin(context, parent, "diagnostics");
        foreach (var (what, file, command) in Commands)
        {
            cancellation.ThrowIfCancellationRequested();
            await bundle.AddCommandAsync(what, file, command[0], command[1..]);
        }
        foreach (var page in (string[])["status", "metrics"])
            await bundle.AddAsync($"Asking the agent for its {page}", $"agent_{page}", () => AgentSocket.AskAsync(context, "/" + page, cancellation));
        if (Directory.Exists(logs))
            await bundle.AddFolderAsync("Copying Calico logs", logs, "logs");
        else
            await context.Out.WriteLineAsync($"No logs found in {logs}; skipping log copying");
        var archive = Path.Combine(parent, $"diags-{Diagnostics.Stamp(context.Time)}.tar.gz");
        await bundle.PackAsync(archive, keepFolder: false);
        await context.Out.WriteLineAsync($"\nDiags saved to {archive}\nIt has addresses and names of this cluster in it; look at it before you pass it on.");
        return CommandLine.Success;
    }
}

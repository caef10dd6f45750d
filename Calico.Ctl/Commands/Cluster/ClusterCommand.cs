using System.CommandLine;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Calico.Ctl.Commands.Cluster;

/// <summary>cluster: the whole cluster at once.</summary>
internal static partial class ClusterCommand
{
    public static Command Build(CtlContext context)
    {
        var since = new Option<string>("--since") { Description = "Only logs newer than this, like 30m or 2h; 0s is all.", DefaultValueFactory = _ => "0s" };
        var logs = new Option<int>("--max-logs") { Description = "How many logs of each component.", DefaultValueFactory = _ => 5 };
        var parallel = new Option<int>("--max-parallelism") { Description = "How many logs to fetch at once.", DefaultValueFactory = _ => 10 };
        var focus = new Option<string>("--focus-nodes") { Description = "Nodes whose logs come first, with commas between.", DefaultValueFactory = _ => "" };
        var keep = new Option<bool>("--skip-temp-dir-cleanup") { Description = "Keep the folder that is packed." };
        var config = CommonOptions.Config();
        var command = new ExampleCommand("diags",
            "Collect all Calico resources, the state of IPAM and, where kubectl works, logs of Calico's pods into one file in this folder. "
            + "No Kubernetes Secret is read.",
            "cluster diags", "cluster diags --since=1h --focus-nodes=node1") { since, logs, parallel, focus, keep, config };
        command.SetAction((parsed, cancellation) =>
        {
            var wanted = new LogOptions(
                Duration().IsMatch(parsed.GetValue(since)!) ? parsed.GetValue(since)! : throw new CtlException($"invalid duration '{parsed.GetValue(since)}' for --since: write a number and h, m or s, like 1h30m"),
                AtLeast(parsed.GetValue(logs), 0, "--max-logs"), AtLeast(parsed.GetValue(parallel), 1, "--max-parallelism"),
                parsed.GetValue(focus)!.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
            return context.WithStoreAsync(parsed.GetValue(config)!, (datastore, store) =>
                new ClusterDiagnostics(context, datastore, store, wanted).RunAsync(parsed.GetValue(keep), cancellation), ofAnyVersion: true);
        });
        return new Command("cluster", "Look at the cluster as a whole.") { command };
    }

    private static int AtLeast(int value, int least, string option) =>
        value >= least ? value : throw new CtlException($"{option} is {value.ToString(CultureInfo.InvariantCulture)}; it must be at least {least.ToString(CultureInfo.InvariantCulture)}");

    [GeneratedRegex(@"^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$")]
    private static partial Regex Duration();
}

/// <summary>Which logs of pods are wanted.</summary>
internal sealed record LogOptions(string Since, int MaxLogs, int MaxParallelism, string[] FocusNodes);

using System.CommandLine;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;

namespace Calico.Ctl.Commands.Ipam;

/// <summary>ipam check: compares what IPAM recorded with what is in use, and writes a report for <c>ipam release</c>.</summary>
internal static class IpamCheckCommand
{
    public static Command Build(CtlContext context)
    {
        var all = new Option<bool>("--show-all-ips") { Description = "Print all addresses that are checked." };
        var problems = new Option<bool>("--show-problem-ips") { Description = "Print all addresses that are leaked or not allocated properly." };
        var output = new Option<string?>("--output", "-o") { Description = "File for the report that 'ipam release --from-report' takes." };
        var kubeconfig = new Option<string?>("--kubeconfig")
        {
            Description = "Kubeconfig of the cluster whose services have addresses; without it KUBECONFIG names one. Without both, addresses of services count as used.",
        };
        var config = CommonOptions.Config();
        var command = new ExampleCommand("check",
            "Check the integrity of the IPAM records: addresses that are leaked, in use without a record or outside of every pool, handles without addresses, "
            + "claims without blocks, blocks of nodes that do not exist. It changes nothing.",
            "ipam check --show-problem-ips", "ipam check -o report.json") { all, problems, output, kubeconfig, config };
        command.SetAction((parsed, cancellation) => context.WithStoreAsync(parsed.GetValue(config)!, async (datastore, store) =>
        {
            await context.Out.WriteLineAsync("Checking IPAM for inconsistencies...\n");
            var cluster = (ClusterInformation)await store.GetAsync(
                new ResourceKey(ResourceKind.ClusterInformation, null, ClusterInformation.DefaultName), cancellation);
            var reader = new IpamReader(datastore, context);
            var read = await CheckedRecords.ReadAsync(context, reader, parsed.GetValue(kubeconfig), cancellation);
            var findings = IpamAudit.Of(read.Records).Findings();
            var showAll = parsed.GetValue(all);
            await context.Out.WriteAsync(new CheckText(read, findings, showAll, showAll || parsed.GetValue(problems)).ToString());
            if (parsed.GetValue(output) is { Length: > 0 } path)
                Save(path, CheckReport.Of(cluster, findings), reader.Unreadable);
            return CommandLine.Success;
        }));
        return command;
    }

    // What could not be read may use any of the addresses that look leaked.
    private static void Save(string path, CheckReport report, int unreadable)
    {
        if (unreadable > 0)
            throw new CtlException($"no report is written: {unreadable} stored value(s) cannot be read, and the addresses that they use would be released; repair or delete them first");
        try
        {
            File.WriteAllBytes(path, report.ToJson());
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CtlException($"cannot write the report {path}: {e.Message}", e);
        }
    }
}

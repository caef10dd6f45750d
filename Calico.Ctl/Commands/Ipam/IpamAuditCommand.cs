using System.CommandLine;
using System.Globalization;
using Calico.Core.Ipam;
using Calico.Datastore;

namespace Calico.Ctl.Commands.Ipam;

/// <summary>What of an audit is shown; the verdict is about everything all the same.</summary>
/// <param name="Pool">Name or CIDR of a pool, or null for all.</param>
/// <param name="Node">Blocks of this node and addresses on it, or null for all.</param>
/// <param name="OnlyLeaked">Of the addresses only those that are leaked.</param>
internal sealed record AuditFilter(string? Pool, string? Node, bool OnlyLeaked)
{
    public bool Shows(PoolAccount pool) => Pool is null || pool.Name == Pool || pool.Cidr?.ToString() == Pool;

    public bool Shows(BlockAccount block, IpamAuditReport report) =>
        IsInPool(block.Pool, report) && (Node is null || block.Owner == "host:" + Node);

    public bool Shows(AccountedAddress address, IpamAuditReport report) => IsInPool(address.Pool, report)
        && (Node is null || address.Node == Node) && (!OnlyLeaked || address.State == AddressState.Leaked);

    public bool Shows(ReservedRange range, IpamAuditReport report) => !OnlyLeaked && Node is null && IsInPool(range.Pool, report);

    private bool IsInPool(string? pool, IpamAuditReport report) =>
        Pool is null || (pool is not null && (pool == Pool || report.Pools.Any(p => p.Name == pool && Shows(p))));
}

/// <summary>
/// ipam audit: proves from what is stored that no address is lost, leaked or given twice, and says of every address that is
/// not free whose it is and why. Exit 0 only if all of it is right.
/// </summary>
internal static class IpamAuditCommand
{
    /// <summary>Where the store cannot look back, a fault must show in several readings.</summary>
    private const int Readings = 3;

    public static Command Build(CtlContext context)
    {
        var pool = new Option<string?>("--pool") { Description = "Show this pool only, by name or CIDR." };
        var node = new Option<string?>("--node") { Description = "Show the blocks of this node and the addresses on it only." };
        var leaked = new Option<bool>("--leaked") { Description = "Of the addresses show the leaked ones only." };
        var output = new Option<string?>("--output", "-o") { Description = "json or yaml; otherwise tables on a terminal, lines with tabs elsewhere." };
        var kubeconfig = new Option<string?>("--kubeconfig")
        {
            Description = "Kubeconfig of the cluster whose services have addresses; without it KUBECONFIG names one. Without both, addresses of services count as used.",
        };
        var config = CommonOptions.Config();
        var command = new ExampleCommand("audit",
            "Prove that allocated + free + cooling = capacity for each block, each pool and in total, and that no address is leaked or given twice. "
            + "Says of every address that is not free whose it is and why. Exits with 0 if all is right and with 1 otherwise, also when a filter shows less.",
            "ipam audit", "ipam audit --leaked", "ipam audit --node=node1 -o json") { pool, node, leaked, output, kubeconfig, config };
        command.SetAction((parsed, cancellation) =>
        {
            var format = parsed.GetValue(output);
            if (format is not (null or "json" or "yaml"))
                throw new CtlException($"unrecognized output format '{format}': use json or yaml");
            var filter = new AuditFilter(parsed.GetValue(pool), parsed.GetValue(node), parsed.GetValue(leaked));
            return context.WithStoreAsync(parsed.GetValue(config)!, async (datastore, _) =>
            {
                var (report, nodes, reader) = await ReadAsync(context, datastore, parsed.GetValue(kubeconfig), cancellation);
                if (filter.Pool is { } wanted && !report.Pools.Any(filter.Shows))
                    throw new CtlException($"there is no pool {wanted}: 'calicoctl get ippools' lists them");
                // One that is gone may have left blocks and addresses.
                if (filter.Node is { } asked && !nodes.Contains(asked) && !report.Blocks.Any(b => b.Owner == "host:" + asked) && !report.Addresses.Any(a => a.Node == asked))
                    throw new CtlException($"there is no node {asked}: 'calicoctl get nodes' lists them");
                var isClean = report.IsClean && reader.Unreadable == 0;
                await context.Out.WriteAsync(format is null
                    ? new AuditText(report, filter, context.IsTerminal).ToString() + Verdict(report, reader, isClean)
                    : AuditJson.Text(report, filter, reader, isClean, format));
                return isClean ? CommandLine.Success : CommandLine.Failure;
            });
        });
        return command;
    }

    private static async Task<(IpamAuditReport Report, IReadOnlyCollection<string> Nodes, IpamReader Reader)> ReadAsync(CtlContext context, IDatastore datastore,
        string? kubeconfig, CancellationToken cancellation)
    {
        for (var reading = 1; ; reading++)
        {
            var reader = new IpamReader(datastore, context);
            var (config, _) = await IpamReader.ConfigAsync(datastore, cancellation);
            var read = await CheckedRecords.ReadAsync(context, reader, kubeconfig, cancellation);
            var report = new IpamAccounts(IpamAudit.Of(read.Records), config.Cooldown, context.Time.GetUtcNow()).Report();
            if (report.IsClean || reader.IsOneMoment || reading == Readings)
                return (report, read.Records.Nodes, reader);
        }
    }

    private static string Verdict(IpamAuditReport report, IpamReader reader, bool isClean)
    {
        var moment = reader.IsOneMoment ? string.Create(CultureInfo.InvariantCulture, $"As of revision {reader.Revision}: ")
            : "The store cannot look back, so the lists are of several moments: ";
        var unreadable = reader.Unreadable == 0 ? "" : string.Create(CultureInfo.InvariantCulture,
            $"NOT clean: {reader.Unreadable} stored value(s) cannot be read, and what they use is not known.\n");
        return unreadable + moment + (isClean || !report.IsClean ? report.Summary : report.Summary.Replace("Clean:", "apart from that clean:", StringComparison.Ordinal)) + "\n";
    }
}

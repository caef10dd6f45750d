using System.Collections.Immutable;
using System.CommandLine;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Ctl.Commands.Ipam;

/// <summary>What a check was made of: the records, and how many of each kind of use there are.</summary>
internal sealed record CheckedRecords(IpamRecords Records, ImmutableArray<string> PoolTexts,
    ImmutableArray<AddressUse> OfNodes, ImmutableArray<AddressUse> OfWorkloads, ServiceUses Services);

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
            var read = await ReadAsync(context, reader, parsed.GetValue(kubeconfig), cancellation);
            var findings = IpamCheck.Run(read.Records);
            var showAll = parsed.GetValue(all);
            await context.Out.WriteAsync(new CheckText(read, findings, showAll, showAll || parsed.GetValue(problems)).ToString());
            if (parsed.GetValue(output) is { Length: > 0 } path)
                Save(path, CheckReport.Of(cluster, findings), reader.Unreadable);
            return CommandLine.Success;
        }));
        return command;
    }

    // Blocks come first: where the lists are not of one moment, an address that is given back meanwhile looks leaked, and
    // the sequence number in the report keeps it from being released twice.
    private static async Task<CheckedRecords> ReadAsync(CtlContext context, IpamReader reader, string? kubeconfig, CancellationToken cancellation)
    {
        var blocks = await reader.AuditedBlocksAsync(cancellation);
        var handles = await reader.HandlesAsync(cancellation);
        var affinities = await reader.AffinitiesAsync(cancellation);
        var pools = (await reader.ResourcesAsync<IPPool>(ResourceKind.IPPool, cancellation)).Where(p => !p.Spec.Disabled && IpamReader.CidrOf(p) is not null).ToList();
        var nodes = await reader.ResourcesAsync<NodeResource>(ResourceKind.Node, cancellation);
        var ofNodes = await UsesAsync(reader, nodes.SelectMany(n => TunnelsOf(n).Select(a => ($"Node({n.Name})", a))));
        var workloads = await reader.ResourcesAsync<WorkloadEndpoint>(ResourceKind.WorkloadEndpoint, cancellation);
        var ofWorkloads = await UsesAsync(reader, workloads.SelectMany(w => w.Spec.IpNetworks.Select(a => ($"Workload({w.Namespace}/{w.Name})", a))));
        var controllers = await reader.ResourcesAsync<KubeControllersConfiguration>(ResourceKind.KubeControllersConfiguration, cancellation);
        var services = await ServiceUses.ReadAsync(context, kubeconfig, controllers.FirstOrDefault(c => c.Name == "default")?.Spec.Controllers.LoadBalancer, cancellation);
        var records = new IpamRecords
        {
            Blocks = blocks,
            Affinities = affinities,
            Handles = handles,
            ActivePools = [.. pools.Select(p => IpamReader.CidrOf(p)!.Value)],
            Uses = [.. ofNodes, .. services.Uses, .. ofWorkloads],
            Nodes = [.. nodes.Select(n => n.Name)],
            AreServicesKnown = services.AreKnown,
        };
        return new CheckedRecords(records, [.. pools.Select(p => p.Spec.Cidr!)], ofNodes, ofWorkloads, services);
    }

    // Calico's own check forgets the tunnels of IPv6, so that they look leaked.
    private static IEnumerable<string> TunnelsOf(NodeResource node) => new[]
    {
        node.Spec.Ipv4VXLANTunnelAddr, node.Spec.Ipv6VXLANTunnelAddr, node.Spec.Wireguard?.InterfaceIPv4Address,
        node.Spec.Wireguard?.InterfaceIPv6Address, node.Spec.Bgp?.Ipv4IPIPTunnelAddr,
    }.OfType<string>().Where(a => a.Length > 0);

    private static async Task<ImmutableArray<AddressUse>> UsesAsync(IpamReader reader, IEnumerable<(string User, string Address)> uses)
    {
        var read = ImmutableArray.CreateBuilder<AddressUse>();
        foreach (var (user, address) in uses)
        {
            if (Cidr.TryParseOrHost(address, out var cidr))
                read.Add(new AddressUse(cidr.Address, user));
            else
                await reader.NoteAsync($"failed to parse IP ({address}) of {user}");
        }
        return read.ToImmutable();
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

using System.Collections.Immutable;
using System.CommandLine;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore;
using Calico.Datastore.Resources;

namespace Calico.Ctl.Commands.Ipam;

/// <summary>ipam release: takes back one address, or everything that all of several reports call leaked.</summary>
internal static class IpamReleaseCommand
{
    public static Command Build(CtlContext context)
    {
        var ip = new Option<string?>("--ip") { Description = "The address to release." };
        var reports = new Option<string[]>("--from-report")
        {
            Description = "A report of 'ipam check -o': release what it calls leaked. Give several, made some time apart, and only what all of them call leaked is released.",
        };
        var force = new Option<bool>("--force") { Description = "Release although a workload or a node uses the address, the datastore is not locked or the report is from another version of calicoctl." };
        var config = CommonOptions.Config();
        var command = new ExampleCommand("release",
            "Release an address that Calico assigned, or the leaked addresses and handles of a report. Only an address that nothing uses may be released.",
            "ipam release --ip=10.65.0.2", "ipam release --from-report=report1.json --from-report=report2.json") { ip, reports, force, config };
        command.SetAction((parsed, cancellation) => context.WithStoreAsync(parsed.GetValue(config)!, async (datastore, store) =>
        {
            if (parsed.GetValue(reports) is { Length: > 0 } files)
                return await FromReportsAsync(context, datastore, store, files, parsed.GetValue(force), cancellation);
            if (parsed.GetValue(ip) is not { Length: > 0 } address)
                throw new CtlException("no address specified: name one with --ip, or a report with --from-report");
            await OneAsync(context, datastore, address, parsed.GetValue(force), cancellation);
            return CommandLine.Success;
        }));
        return command;
    }

    private static async Task OneAsync(CtlContext context, IDatastore datastore, string given, bool force, CancellationToken cancellation)
    {
        var address = ShowAddress.Parse(given);
        if (!force && await UserOfAsync(context, datastore, address, cancellation) is { } user)
            throw new CtlException($"IP address {address} is in use by {user}: delete that first, or re-run with --force");
        var result = await new AddressRelease(datastore, context).ReleaseAsync([new ReleaseRequest(address)], cancellation);
        if (result.Error is { } error)
            throw new CtlException($"error: {error}");
        if (result.Released == 0)
            throw new CtlException($"IP address {address} is not assigned");
        await context.Out.WriteLineAsync($"Successfully released IP address {address}");
    }

    private static async Task<string?> UserOfAsync(CtlContext context, IDatastore datastore, IpAddr address, CancellationToken cancellation)
    {
        var reader = new IpamReader(datastore, context);
        var workloads = await reader.ResourcesAsync<WorkloadEndpoint>(ResourceKind.WorkloadEndpoint, cancellation);
        var nodes = await reader.ResourcesAsync<NodeResource>(ResourceKind.Node, cancellation);
        return workloads.SelectMany(AddressUses.Of).Concat(nodes.SelectMany(AddressUses.Of)).FirstOrDefault(u => u.Use?.Address == address).Use?.User;
    }

    private static async Task<int> FromReportsAsync(CtlContext context, IDatastore datastore, ResourceStore store, string[] files, bool force, CancellationToken cancellation)
    {
        var cluster = (ClusterInformation)await store.GetAsync(
            new ResourceKey(ResourceKind.ClusterInformation, null, ClusterInformation.DefaultName), cancellation);
        var reports = new List<CheckReport>();
        foreach (var file in files)
        {
            var report = CheckReport.Load(file);
            await CheckAsync(context, cluster, report, file, force);
            reports.Add(report);
        }
        if (!reports.Any(r => r.ClusterInfoRevision == cluster.Metadata.ResourceVersion))
            throw new CtlException("the provided reports are all stale - at least one should be up-to-date. Please generate a new report while the data store is locked and try again");
        if (cluster.Spec.DatastoreReady != false)
        {
            if (!force)
                throw new CtlException("data store is not locked. Either lock the data store, or re-run with --force");
            await context.Out.WriteLineAsync("WARNING: Data store is not locked. Ignoring due to --force option");
        }

        var isDone = await ReleaseAddressesAsync(context, datastore, LeakedInAll(reports), cancellation);
        if (HandlesInAll(reports) is { IsEmpty: false } handles)
            await HandleRelease.RunAsync(context, datastore, handles, cancellation);
        else
            await context.Out.WriteLineAsync("Report didn't contain any handles to clean up.");
        await context.Out.WriteLineAsync("You may now unlock the data store.");
        return isDone ? CommandLine.Success : CommandLine.Failure;
    }

    private static async Task CheckAsync(CtlContext context, ClusterInformation cluster, CheckReport report, string file, bool force)
    {
        // Another cluster's report: no force makes that right.
        if ((cluster.Spec.ClusterGuid ?? "") != report.ClusterGuid)
            throw new CtlException($"cluster does not match the provided report ({file}): mismatched cluster GUID. Refusing to release");
        if (report.Version == ProgramVersion.Own)
            return;
        if (!force)
            throw new CtlException($"the provided report ({file}) was produced using a different version ({report.Version}) of calicoctl. Refusing to release");
        await context.Out.WriteLineAsync("WARNING: Report was produced using a different version of calicoctl. Ignoring due to --force option");
    }

    private static async Task<bool> ReleaseAddressesAsync(CtlContext context, IDatastore datastore, ImmutableArray<ReleaseRequest> leaked, CancellationToken cancellation)
    {
        if (leaked.IsEmpty)
        {
            await context.Out.WriteLineAsync("Report didn't contain any leaked IPs to clean up.");
            return true;
        }
        await context.Out.WriteLineAsync($"Releasing {leaked.Length} old IPs...");
        var result = await new AddressRelease(datastore, context).ReleaseAsync(leaked, cancellation);
        if (result.Error is { } error)
            await context.Error.WriteLineAsync($"An error occurred while releasing some IPs: {error}.  Problems are often caused by an out-of-date IPAM report.  Try regenerating the IPAM report and retry.");
        else
            await context.Out.WriteLineAsync($"Released {result.Released} IPs successfully");
        if (result.Unallocated > 0)
            await context.Out.WriteLineAsync($"{result.Unallocated} addresses marked as leaked in the report had already been cleaned up.");
        return result.Error is null;
    }

    // The same allocation must be leaked in every report: an address that was given to somebody else in between is not.
    private static ImmutableArray<ReleaseRequest> LeakedInAll(List<CheckReport> reports) =>
        [.. reports.Select(r => r.Allocations.Where(a => !a.IsInUse && !a.IsCoolingDown)
                .Select(a => new ReleaseRequest(a.Address, a.Handle, a.SequenceNumber)))
            .Aggregate((all, more) => all.Intersect(more)).Distinct().OrderBy(r => r.Address)];

    private static ImmutableArray<ReportedHandle> HandlesInAll(List<CheckReport> reports) =>
        [.. reports.Select(r => r.LeakedHandles.AsEnumerable()).Aggregate((all, more) => all.Intersect(more)).Distinct().OrderBy(h => h.Id, StringComparer.Ordinal)];
}

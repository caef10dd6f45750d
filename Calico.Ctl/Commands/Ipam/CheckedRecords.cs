using System.Collections.Immutable;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Datastore;

namespace Calico.Ctl.Commands.Ipam;

/// <summary>What a check or an audit is made of: the records, and how many of each kind of use there are.</summary>
internal sealed record CheckedRecords(IpamRecords Records, ImmutableArray<string> PoolTexts,
    ImmutableArray<AddressUse> OfNodes, ImmutableArray<AddressUse> OfWorkloads, ServiceUses Services)
{
    // Blocks come first: where the lists are not of one moment, an address that is given back meanwhile looks leaked, and
    // the sequence number in the report keeps it from being released twice.
    public static async Task<CheckedRecords> ReadAsync(CtlContext context, IpamReader reader, string? kubeconfig, CancellationToken cancellation)
    {
        var blocks = await reader.AuditedBlocksAsync(cancellation);
        var handles = await reader.HandlesAsync(cancellation);
        var affinities = await reader.AffinitiesAsync(cancellation);
        var pools = (await reader.ResourcesAsync<IPPool>(ResourceKind.IPPool, cancellation)).Where(p => IpamReader.CidrOf(p) is not null).ToList();
        var reservations = await reader.ResourcesAsync<IPReservation>(ResourceKind.IPReservation, cancellation);
        var nodes = await reader.ResourcesAsync<NodeResource>(ResourceKind.Node, cancellation);
        var ofNodes = await UsesAsync(reader, nodes.SelectMany(AddressUses.Of));
        var workloads = await reader.ResourcesAsync<WorkloadEndpoint>(ResourceKind.WorkloadEndpoint, cancellation);
        var ofWorkloads = await UsesAsync(reader, workloads.SelectMany(AddressUses.Of));
        var controllers = await reader.ResourcesAsync<KubeControllersConfiguration>(ResourceKind.KubeControllersConfiguration, cancellation);
        var services = await ServiceUses.ReadAsync(context, kubeconfig, controllers.FirstOrDefault(c => c.Name == "default")?.Spec.Controllers.LoadBalancer, cancellation);
        var records = new IpamRecords
        {
            Blocks = blocks,
            Affinities = affinities,
            Handles = handles,
            Pools = [.. pools.Select(AddressUses.Of).OfType<PoolRecord>()],
            Reservations = [.. reservations.Select(AddressUses.Of)],
            Uses = [.. ofNodes, .. services.Uses, .. ofWorkloads],
            Nodes = [.. nodes.Select(n => n.Name)],
            AreServicesKnown = services.AreKnown,
        };
        return new CheckedRecords(records, [.. pools.Where(p => !p.Spec.Disabled).Select(p => p.Spec.Cidr!)], ofNodes, ofWorkloads, services);
    }

    private static async Task<ImmutableArray<AddressUse>> UsesAsync(IpamReader reader, IEnumerable<(string Text, AddressUse? Use)> uses)
    {
        var read = ImmutableArray.CreateBuilder<AddressUse>();
        foreach (var (text, use) in uses)
        {
            if (use is not null)
                read.Add(use);
            else
                await reader.NoteAsync($"failed to parse IP {text}");
        }
        return read.ToImmutable();
    }
}

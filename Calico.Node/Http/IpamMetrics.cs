using Calico.Actors.Ipam;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Prometheus;

namespace Calico.Node.Http;

/// <summary>
/// Numbers of IPAM: this node's own blocks (<c>calico_ipam_…</c>), and on the one node whose mesh audits the cluster, the
/// cluster's, by the names of Calico's kube-controllers (<c>ipam_…</c>). A pool or a node that is gone leaves no series behind.
/// </summary>
internal static class IpamMetrics
{
    private static readonly SeriesSet Blocks = SeriesSet.Gauge("calico_ipam_blocks", "Address blocks that this node holds.", "ippool");
    private static readonly SeriesSet Capacity = SeriesSet.Gauge("calico_ipam_capacity", "Addresses of the blocks that this node holds.", "ippool");
    private static readonly SeriesSet Addresses = SeriesSet.Gauge("calico_ipam_addresses",
        "Addresses of the blocks that this node holds: allocated + cooling + free = capacity.", "ippool", "state");

    private static readonly SeriesSet Requests = SeriesSet.Gauge("calico_ipam_requests",
        "Requests for addresses, or to give them back, by state: waiting for an answer, or promised and not in the datastore yet.", "state");
    private static readonly SeriesSet Trouble = SeriesSet.Gauge("calico_ipam_datastore_trouble", "1 while the last read or write of this node's blocks failed.");

    private static readonly SeriesSet InUse = SeriesSet.Gauge("ipam_allocations_in_use", "Addresses with an owner on a node.", "ippool", "node");
    private static readonly SeriesSet Borrowed = SeriesSet.Gauge("ipam_allocations_borrowed", "Addresses of a node in blocks of others.", "ippool", "node");
    private static readonly SeriesSet BlocksOf = SeriesSet.Gauge("ipam_blocks", "Blocks that a node holds.", "ippool", "node");
    private static readonly SeriesSet Candidates = SeriesSet.Gauge("ipam_allocations_gc_candidates", "Addresses that seem leaked.", "ippool", "node");
    private static readonly SeriesSet Reclamations = SeriesSet.Counter("ipam_allocations_gc_reclamations", "Addresses that seemed leaked and were taken back.", "ippool", "node");
    private static readonly SeriesSet Size = SeriesSet.Gauge("ipam_ippool_size", "Addresses of a pool.", "ippool");
    private static readonly SeriesSet Reserved = SeriesSet.Gauge("ipam_ippool_reserved", "Addresses of a pool that reservations keep.", "ippool");
    private static readonly SeriesSet InUsePerNode = SeriesSet.Gauge("ipam_allocations_per_node", "Addresses with an owner on a node.", "node");
    private static readonly SeriesSet BorrowedPerNode = SeriesSet.Gauge("ipam_allocations_borrowed_per_node", "Addresses of a node in blocks of others.", "node");
    private static readonly SeriesSet BlocksPerNode = SeriesSet.Gauge("ipam_blocks_per_node", "Blocks that a node holds.", "node");
    private static readonly SeriesSet Leaked = SeriesSet.Gauge("calico_ipam_audit_leaked", "Addresses of the cluster that have an owner, but nobody uses.");
    private static readonly SeriesSet Duplicates = SeriesSet.Gauge("calico_ipam_audit_duplicates", "Addresses of the cluster that more than one has, or may get.");
    private static readonly SeriesSet Violations = SeriesSet.Gauge("calico_ipam_invariant_violations", "Blocks and pools of the cluster whose addresses do not add up.");

    /// <summary>What this node holds.</summary>
    public static void Show(LeaseProtocol.Status lease, IReadOnlyList<IPPool> pools)
    {
        Requests.Replace([Series(lease.Waiting, "waiting"), Series(lease.Promises, "promised")]);
        Trouble.Replace([Series(lease.Trouble is null ? 0 : 1)]);
        var poolOf = new CidrLookup<string>();
        foreach (var pool in pools.Select(AddressUses.Of).OfType<PoolRecord>())
            poolOf.Set(pool.Cidr, pool.Name);
        var byPool = lease.Blocks.ToLookup(b => poolOf.TryFind(b.Block, out var pool) ? pool : IpamFigures.NoPool, StringComparer.Ordinal);
        Blocks.Replace(byPool.Select(p => Series(p.Count(), p.Key)));
        Capacity.Replace(byPool.Select(p => Series(p.Sum(b => b.Capacity), p.Key)));
        Addresses.Replace(byPool.SelectMany(p => new[]
        {
            Series(p.Sum(b => b.Allocated - b.Cooling), p.Key, "allocated"),
            Series(p.Sum(b => b.Cooling), p.Key, "cooling"),
            Series(p.Sum(b => b.Capacity - b.Allocated), p.Key, "free"),
        }));
    }

    /// <summary>What the cluster has; null where another node says it.</summary>
    public static void Show(IpamFigures? figures)
    {
        var nodes = figures?.Nodes ?? [];
        InUse.Replace(nodes.Select(n => Series(n.InUse, n.Pool, n.Node)));
        Borrowed.Replace(nodes.Select(n => Series(n.Borrowed, n.Pool, n.Node)));
        BlocksOf.Replace(nodes.Select(n => Series(n.Blocks, n.Pool, n.Node)));
        Candidates.Replace(nodes.Select(n => Series(n.Candidates, n.Pool, n.Node)));
        Reclamations.Replace((figures?.Reclaimed ?? []).Select(r => Series(r.Count, r.Pool, r.Node)));
        Size.Replace((figures?.Pools ?? []).Select(p => Series((double)p.Size, p.Pool)));
        Reserved.Replace((figures?.Pools ?? []).Select(p => Series((double)p.Reserved, p.Pool)));
        var perNode = nodes.ToLookup(n => n.Node, StringComparer.Ordinal);
        InUsePerNode.Replace(perNode.Select(n => Series(n.Sum(f => f.InUse), n.Key)));
        BorrowedPerNode.Replace(perNode.Select(n => Series(n.Sum(f => f.Borrowed), n.Key)));
        BlocksPerNode.Replace(perNode.Select(n => Series(n.Sum(f => f.Blocks), n.Key)));
        Leaked.Replace(figures is null ? [] : [Series(figures.Leaked)]);
        Duplicates.Replace(figures is null ? [] : [Series(figures.Duplicates)]);
        Violations.Replace(figures is null ? [] : [Series(figures.Violations)]);
    }

    private static (string[] Labels, double Value) Series(double value, params string[] labels) => (labels, value);
}

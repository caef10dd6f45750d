using System.Text;
using Calico.Actors.Ipam;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Node.Http;
using Prometheus;

namespace Calico.Tests.Node;

[Layer("unit")]
public class IpamMetricsTests
{
    [Fact]
    public async Task A_node_shows_its_own_blocks_by_pool_and_the_states_add_up_to_the_capacity()
    {
        IpamMetrics.Show(new LeaseProtocol.Status(true,
        [
            new LeaseProtocol.BlockStatus(Cidr.Parse("10.65.0.0/26"), 1, 64, 10) { Cooling = 3 },
            new LeaseProtocol.BlockStatus(Cidr.Parse("10.65.0.64/26"), 2, 64, 0),
            new LeaseProtocol.BlockStatus(Cidr.Parse("10.99.0.0/26"), 3, 64, 1),
        ], 0, 0, null), [new IPPool { Metadata = new ObjectMeta { Name = "pool" }, Spec = new IPPoolSpec { Cidr = "10.65.0.0/16" } }]);

        var text = await ScrapeAsync();

        Assert.Contains("calico_ipam_blocks{ippool=\"pool\"} 2\n", text, StringComparison.Ordinal);
        Assert.Contains("calico_ipam_capacity{ippool=\"pool\"} 128\n", text, StringComparison.Ordinal);
        Assert.Contains("calico_ipam_addresses{ippool=\"pool\",state=\"allocated\"} 7\n", text, StringComparison.Ordinal);
        Assert.Contains("calico_ipam_addresses{ippool=\"pool\",state=\"cooling\"} 3\n", text, StringComparison.Ordinal);
        Assert.Contains("calico_ipam_addresses{ippool=\"pool\",state=\"free\"} 118\n", text, StringComparison.Ordinal);
        Assert.Contains("calico_ipam_blocks{ippool=\"unknown_pool\"} 1\n", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_cluster_s_figures_are_shown_by_their_names_and_go_when_another_node_has_them()
    {
        IpamMetrics.Show(new IpamFigures
        {
            Nodes = [new NodeFigures("pool", "node1", 5, 0, 2, 1), new NodeFigures("other", "node1", 1, 1, 0, 0)],
            Pools = [new PoolFigures("pool", 65536, 4)],
            Reclaimed = [("pool", "node1", 7)],
            Leaked = 1,
            Duplicates = 2,
            Violations = 3,
        });

        var text = await ScrapeAsync();
        IpamMetrics.Show(null);
        var after = await ScrapeAsync();

        string[] expected =
        [
            "ipam_allocations_in_use{ippool=\"pool\",node=\"node1\"} 5", "ipam_allocations_borrowed{ippool=\"other\",node=\"node1\"} 1",
            "ipam_blocks{ippool=\"pool\",node=\"node1\"} 2", "ipam_allocations_gc_candidates{ippool=\"pool\",node=\"node1\"} 1",
            "ipam_allocations_gc_reclamations{ippool=\"pool\",node=\"node1\"} 7", "# TYPE ipam_allocations_gc_reclamations counter",
            "ipam_ippool_size{ippool=\"pool\"} 65536", "ipam_ippool_reserved{ippool=\"pool\"} 4", "ipam_allocations_per_node{node=\"node1\"} 6",
            "ipam_allocations_borrowed_per_node{node=\"node1\"} 1", "ipam_blocks_per_node{node=\"node1\"} 2",
            "calico_ipam_audit_leaked 1", "calico_ipam_audit_duplicates 2", "calico_ipam_invariant_violations 3",
        ];
        Assert.All(expected, line => Assert.Contains(line + "\n", text, StringComparison.Ordinal));
        Assert.DoesNotContain("\nipam_allocations_in_use{", after, StringComparison.Ordinal);
        Assert.DoesNotContain("\ncalico_ipam_audit_leaked ", after, StringComparison.Ordinal);
    }

    private static async Task<string> ScrapeAsync()
    {
        using var stream = new MemoryStream();
        await Metrics.DefaultRegistry.CollectAndExportAsTextAsync(stream);
        return Encoding.UTF8.GetString(stream.ToArray());
    }
}

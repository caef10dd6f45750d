using System.Text;
using Calico.Core.Ipam;
using Calico.Core.Net;

namespace Calico.Tests.Core.Ipam;

[Layer("unit")]
public class IpamFiguresTests
{
    private static readonly DateTimeOffset Now = new(2026, 8, 22, 10, 0, 0, TimeSpan.Zero);
    private static readonly Cidr First = Cidr.Parse("10.65.0.0/29");

    private readonly IpamFiguresKeeper _keeper = new(TimeSpan.FromSeconds(10), TimeSpan.FromSeconds(60));

    [Fact]
    public void Addresses_are_counted_by_pool_and_node_and_borrowed_ones_for_the_borrower()
    {
        _keeper.Audit.SetPool("pool", new PoolRecord("pool", Cidr.Parse("10.65.0.0/24"), false));
        _keeper.Audit.SetReservation("r", new ReservationRecord("r", [Cidr.Parse("10.65.0.64/26"), Cidr.Parse("10.65.0.65/32")]));
        Store(First, "node1", ("10.65.0.1", "node1"), ("10.65.0.2", "node1"), ("10.65.0.3", "node2"));
        Store(Cidr.Parse("10.66.0.0/29"), "node2", ("10.66.0.1", "node2"));
        Use("a", "10.65.0.1", "10.65.0.2", "10.65.0.3", "10.66.0.1");

        var figures = _keeper.Figures(TimeSpan.Zero);

        Assert.Equal([new NodeFigures("pool", "node1", 2, 0, 1, 0), new NodeFigures("pool", "node2", 1, 1, 0, 0), new NodeFigures(IpamFigures.NoPool, "node2", 1, 0, 1, 0)],
            figures.Nodes.AsEnumerable());
        Assert.Equal(new PoolFigures("pool", 256, 64), Assert.Single(figures.Pools));
        Assert.Equal((0, 0, 0), (figures.Leaked, figures.Duplicates, figures.Violations));
    }

    [Fact]
    public void What_looks_leaked_is_a_candidate_after_a_while_then_leaked_and_reclaimed_when_it_is_taken_back()
    {
        _keeper.Audit.SetPool("pool", new PoolRecord("pool", Cidr.Parse("10.65.0.0/24"), false));
        Store(First, "node1", ("10.65.0.1", "node1"), ("10.65.0.2", "node1"));
        Use("a", "10.65.0.1");

        Assert.Equal((0, 0), Leaks(0));
        Assert.Equal((1, 0), Leaks(10));
        Assert.Equal((1, 1), Leaks(60));
        Store(First, "node1", ("10.65.0.1", "node1"));
        var after = _keeper.Figures(TimeSpan.FromSeconds(61));

        Assert.Equal((0, 0), Leaks(62));
        Assert.Equal(("pool", "node1", 1L), Assert.Single(after.Reclaimed));
        Assert.False(_keeper.HasSuspects);
    }

    [Fact]
    public void An_endpoint_that_comes_after_its_address_is_no_leak_and_nothing_is_reclaimed()
    {
        Store(First, "node1", ("10.65.0.1", "node1"));
        Leaks(0);
        Leaks(30);

        Use("a", "10.65.0.1");

        Assert.Equal((0, 0), Leaks(31));
        Assert.Empty(_keeper.Figures(TimeSpan.FromSeconds(32)).Reclaimed);
    }

    [Fact]
    public void Two_endpoints_with_one_address_are_a_duplicate_if_it_lasts()
    {
        Store(First, "node1", ("10.65.0.1", "node1"));
        Use("a", "10.65.0.1");
        Use("b", "10.65.0.1");

        Assert.Equal(0, _keeper.Figures(TimeSpan.Zero).Duplicates);
        Assert.Equal(1, _keeper.Figures(TimeSpan.FromSeconds(10)).Duplicates);
        Use("a");
        Assert.Equal(0, _keeper.Figures(TimeSpan.FromSeconds(11)).Duplicates);
    }

    [Fact]
    public void A_block_that_is_gone_leaves_nothing()
    {
        Store(First, "node1", ("10.65.0.1", "node1"));
        _keeper.SetBlock(First, null);
        _keeper.SetBlock(Cidr.Parse("10.65.0.8/29"), BlockAudit.Read(Cidr.Parse("10.65.0.8/29"), Encoding.UTF8.GetBytes("{"), Now));

        var figures = _keeper.Figures(TimeSpan.Zero);

        Assert.Empty(figures.Nodes);
        Assert.Equal(1, figures.Violations);
    }

    private (int Candidates, int Leaked) Leaks(int seconds)
    {
        var figures = _keeper.Figures(TimeSpan.FromSeconds(seconds));
        return (figures.Nodes.Sum(n => n.Candidates), figures.Leaked);
    }

    private void Use(string pod, params string[] addresses) =>
        _keeper.Audit.SetUses(pod, [.. addresses.Select(a => new AddressUse(IpAddr.Parse(a), $"Workload({pod})"))]);

    private void Store(Cidr cidr, string owner, params (string Address, string Node)[] assigned)
    {
        var block = IpamBlock.Create(cidr, "host:" + owner, Now);
        foreach (var (address, node) in assigned)
            block.Assign(IpAddr.Parse(address), new AllocationAttributes("net." + address, new Dictionary<string, string> { ["node"] = node }));
        _keeper.SetBlock(cidr, BlockAudit.Read(cidr, IpamJson.WriteBlock(block), Now));
    }
}

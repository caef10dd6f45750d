using System.Globalization;
using System.Numerics;
using System.Text;
using Calico.Core.Ipam;
using Calico.Ctl.Output;

namespace Calico.Ctl.Commands.Ipam;

/// <summary>An audit for people, in tables with a frame, or for programs, in lines with tabs between the fields.</summary>
internal sealed class AuditText(IpamAuditReport report, AuditFilter filter, bool isTable)
{
    private const string None = "-";

    private readonly StringBuilder _text = new();

    public override string ToString()
    {
        _text.Clear();
        if (!filter.OnlyLeaked)
        {
            Table(["POOL", "CIDR", "CAPACITY", "ALLOCATED", "COOLING", "FREE", "RESERVED", "BLOCKS", "SUM"], 2,
                report.Pools.Where(filter.Shows).Where(_ => filter.Node is null).Select(Row));
            Table(["BLOCK", "POOL", "OWNER", "CAPACITY", "ALLOCATED", "COOLING", "FREE", "SUM"], 3,
                report.Blocks.Where(b => filter.Shows(b, report)).Select(Row));
        }
        Table(["ADDRESS", "STATE", "TYPE", "POD", "NODE", "HANDLE", "BLOCK", "REASON"], int.MaxValue,
            report.Addresses.Where(a => filter.Shows(a, report)).Select(Row)
                .Concat(report.Reserved.Where(r => filter.Shows(r, report)).Select(Row)));
        Problems();
        return _text.ToString();
    }

    private static string[] Row(PoolAccount pool) =>
    [
        pool.Name ?? "<none>", pool.Cidr?.ToString() ?? None, .. Numbers(pool.Sums), Text(pool.Reserved), Text(pool.Blocks), Sum(pool.Sums),
    ];

    private static string[] Row(BlockAccount block) =>
        [block.Cidr.ToString(), block.Pool ?? "<none>", block.Owner ?? "<none>", .. Numbers(block.Sums), Sum(block.Sums)];

    private static string[] Row(AccountedAddress address) =>
    [
        address.Address.ToString(), NameOf(address.State) + (address.IsBorrowed ? " (borrowed)" : ""), address.Type ?? None, address.Pod ?? None,
        address.Node ?? None, address.Handle ?? None, address.Block is { } block ? $"{block} of {address.BlockOwner ?? "nobody"}" : None, address.Reason,
    ];

    private static string[] Row(ReservedRange range) =>
        [range.Cidr.ToString(), "reserved", None, None, None, None, None, $"kept by IPReservation {range.Reservation}, {Text(range.Free)} of them free"];

    private static string[] Numbers(AddressSums sums) => [Text(sums.Capacity), Text(sums.Allocated), Text(sums.Cooling), Text(sums.Free)];

    private static string Sum(AddressSums sums) => sums.AddUp ? "ok" : "WRONG";

    public static string NameOf(AddressState state) => state switch
    {
        AddressState.Allocated => "allocated",
        AddressState.Cooling => "cooling",
        AddressState.Leaked => "leaked",
        AddressState.Duplicate => "duplicate",
        AddressState.Unallocated => "unallocated",
        _ => "outside-pools",
    };

    // What has no row in a table: sums, and records that do not fit each other.
    private void Problems()
    {
        var findings = report.Findings;
        foreach (var violation in report.Violations)
            _text.Append($"violation: {violation}\n");
        foreach (var handle in findings.LeakedHandles)
            _text.Append($"problem: handle {handle.Id} has no address\n");
        foreach (var affinity in findings.StrayAffinities)
            _text.Append($"problem: {affinity.Owner} claims block {affinity.Block} ({affinity.State}), which is not its own\n");
        foreach (var block in findings.UnclaimedBlocks)
            _text.Append($"problem: block {block.Cidr} belongs to {block.Affinity}, which has no claim to it\n");
        foreach (var block in findings.BlocksOfNoNode)
            _text.Append($"problem: block {block.Cidr} belongs to node {block.AffineHost}, which does not exist\n");
    }

    private void Table(string[] headings, int firstNumber, IEnumerable<string[]> rows)
    {
        var all = rows.ToList();
        if (all.Count == 0)
            return;
        if (isTable)
        {
            var table = new GridTable(headings) { FirstNumber = firstNumber };
            foreach (var row in all)
                table.Add(row);
            _text.Append(table);
            return;
        }
        foreach (var row in all.Prepend(headings))
            _text.AppendJoin('\t', row).Append('\n');
        _text.Append('\n');
    }

    private static string Text(BigInteger number) => number.ToString(CultureInfo.InvariantCulture);
}

using System.Collections.Immutable;
using System.Text.Json;
using Calico.Core.Ipam;
using Calico.Core.Net;

namespace Calico.Tests.Core.Ipam;

/// <summary>Replays upstream's tables about one block: what a release compares, and what reservations leave of a pool.</summary>
[Layer("conformance")]
public class IpamTableTests
{
    [SkippableFact]
    public void A_release_compares_handle_and_sequence_number_as_upstream_does()
    {
        var failures = new List<string>();
        foreach (var row in Rows("ReleaseOptions test"))
        {
            var args = row.GetProperty("args");
            // Upstream's table counts from a block that was never written.
            var block = IpamBlock.Create(Cidr.Parse("192.168.0.0/26"), "host:test-host", DateTimeOffset.UnixEpoch);
            foreach (var address in args.GetProperty("ipsToAllocate").EnumerateArray())
                Assert.Equal(AllocationRefusal.None, block.Assign(IpAddr.Parse(address.GetString()), new AllocationAttributes("handle", null)));
            foreach (var release in args.GetProperty("ipsToRelease").EnumerateArray())
            {
                var options = release.GetProperty("Options");
                var request = new ReleaseRequest(IpAddr.Parse(options.GetProperty("Address").GetString()), options.GetProperty("Handle").GetString(),
                    options.GetProperty("SequenceNumber") is { ValueKind: JsonValueKind.Number } number ? number.GetUInt64() : null);

                var outcome = BlockRelease.Plan(block, [request], TimeSpan.Zero, DateTimeOffset.UnixEpoch, most: 100);

                if (outcome is ReleaseOutcome.Conflict != release.GetProperty("Error").GetBoolean())
                    failures.Add($"{row.GetProperty("id")} {row.GetProperty("name")}: {outcome}");
                if (outcome is ReleaseOutcome.Planned planned)
                    block = planned.Contents;
            }
        }
        Assert.Empty(failures);
    }

    [SkippableFact]
    public void Reservations_leave_what_upstream_says_and_the_audit_counts_them_alike()
    {
        var failures = new List<string>();
        foreach (var row in Rows("should discount reserved addresses"))
        {
            var args = row.GetProperty("args");
            var pool = Cidr.Parse("10.0.0.0/24");
            var block = IpamBlock.Create(Cidr.Parse("10.0.0.0/26"), "host:n", DateTimeOffset.UnixEpoch);
            block.Assign(IpAddr.Parse("10.0.0.5"), new AllocationAttributes("handle", null));
            ImmutableArray<Cidr> reserved = [.. args.GetProperty("reservedCIDRs").EnumerateArray().Select(c => Cidr.Parse(c.GetString()))];

            var usage = PoolUsage.Of([pool], [block], reserved)[0];
            var report = new IpamAccounts(IpamAudit.Of(new IpamRecords
            {
                Blocks = [BlockAudit.Read(block.Cidr, IpamJson.WriteBlock(block), DateTimeOffset.UnixEpoch)],
                Affinities = [],
                Handles = [],
                Pools = [new PoolRecord("pool", pool, false)],
                Reservations = [new ReservationRecord("r", reserved)],
                Uses = [],
                Nodes = [],
            }), TimeSpan.Zero, DateTimeOffset.UnixEpoch).Report();

            if (Text(usage.Pool!) != Expected(args.GetProperty("expectedPool")) || Text(usage.Blocks[0]) != Expected(args.GetProperty("expectedBlock")))
                failures.Add($"{row.GetProperty("id")} {row.GetProperty("name")}: {Text(usage.Pool!)}; {Text(usage.Blocks[0])}");
            if (report.Pools[0].Reserved != args.GetProperty("expectedPool").GetProperty("reserved").GetInt32())
                failures.Add($"{row.GetProperty("id")} {row.GetProperty("name")}: the audit has {report.Pools[0].Reserved} reserved");
        }
        Assert.Empty(failures);
    }

    private static IEnumerable<JsonElement> Rows(string table) =>
        Cases.Read("10-ipam/tables.json").EnumerateArray().Where(r => r.GetProperty("table").GetString()!.StartsWith(table, StringComparison.Ordinal));

    private static string Text(AddressUsage usage) => $"{usage.Capacity} {usage.InUse} {usage.Reserved} {usage.Free}";

    private static string Expected(JsonElement usage) =>
        string.Join(' ', new[] { "capacity", "inUse", "reserved", "available" }.Select(n => usage.GetProperty(n).GetInt32()));
}

using System.Collections.Immutable;
using Calico.Core.Net;

namespace Calico.Core.Ipam;

/// <summary>
/// Compares what IPAM has recorded with what is in use. What cannot be known is not called a fault: of a block that
/// cannot be read neither its addresses nor the handles that count in it are judged.
/// </summary>
public static class IpamCheck
{
    /// <summary>What an address of a service is used by when services were not looked at.</summary>
    public const string UnknownService = "a service, which was not looked at";

    private const string LoadBalancerOwner = "virtual:load-balancer";
    private const string LoadBalancerType = "LoadBalancer";

    public static IpamFindings Run(IpamRecords records)
    {
        var blocks = records.Blocks.Select(b => b.Block).OfType<IpamBlock>().ToList();
        var unreadable = records.Blocks.Where(b => b.Block is null).Select(b => b.Cidr).ToList();
        var uses = UsesOf(records, blocks);
        var allocations = blocks.SelectMany(b => b.Assigned().Select(a => Checked(b, a.Address, a.Owner, uses))).OrderBy(a => a.Address).ToImmutableArray();
        var assigned = allocations.ToLookup(a => a.Address);
        var loose = uses.Keys.Where(a => !assigned.Contains(a) && !unreadable.Any(b => b.Contains(a))).ToLookup(a => records.ActivePools.Any(p => p.Contains(a)));
        var mentioned = allocations.Select(a => a.Handle).OfType<string>().ToImmutableSortedSet(StringComparer.Ordinal);
        var owners = blocks.ToLookup(b => b.Cidr, b => b.Affinity);
        var claims = records.Affinities.Select(a => (a.Owner, a.Block)).ToHashSet();
        var known = records.Handles.Select(h => h.Id).ToHashSet(StringComparer.Ordinal);
        return new IpamFindings
        {
            Allocations = allocations,
            Uses = uses,
            Leaked = [.. assigned.Where(a => !a.Any(x => x.IsInUse || x.IsCoolingDown)).Select(a => a.Key)],
            OutsidePools = [.. loose[false]],
            Unallocated = [.. loose[true]],
            Shared = [.. uses.Where(u => u.Value.Length > 1 && !assigned[u.Key].Any(a => a.Owner.AlternateOwner is { Count: > 0 })).Select(u => u.Key)],
            LeakedHandles = [.. records.Handles.Where(h => !mentioned.Contains(h.Id) && !MayCountIn(h, unreadable)).OrderBy(h => h.Id, StringComparer.Ordinal)],
            MatchedHandles = records.Handles.Count(h => mentioned.Contains(h.Id)),
            MissingHandles = [.. mentioned.Where(h => !known.Contains(h))],
            InvalidBlocks = [.. records.Blocks.Where(b => b.Fault is not null)],
            StrayAffinities = [.. records.Affinities.Where(a => !unreadable.Contains(a.Block) && !owners[a.Block].Contains(a.Owner))],
            UnclaimedBlocks = [.. blocks.Where(b => b.Affinity is { } owner && !claims.Contains((owner, b.Cidr)))],
            BlocksOfNoNode = [.. blocks.Where(b => b.AffineHost is { } node && !records.Nodes.Contains(node))],
        };
    }

    private static ImmutableSortedDictionary<IpAddr, ImmutableArray<string>> UsesOf(IpamRecords records, List<IpamBlock> blocks)
    {
        var reserved = blocks.SelectMany(b => b.Assigned())
            .Where(a => a.Owner.HandleId == CheckedAllocation.WindowsReservedHandle).Select(a => new AddressUse(a.Address, "Reserved for Windows"));
        var services = records.AreServicesKnown ? [] : blocks.SelectMany(b => b.Assigned().Where(a => a.Owner.ReleasedAt is null && IsOfService(b, a.Owner)))
            .Select(a => new AddressUse(a.Address, UnknownService));
        return reserved.Concat(records.Uses).Concat(services).GroupBy(u => u.Address)
            .ToImmutableSortedDictionary(g => g.Key, g => g.Select(u => u.User).ToImmutableArray());
    }

    private static bool IsOfService(IpamBlock block, AllocationAttributes owner) =>
        block.Affinity == LoadBalancerOwner || owner["type"] == LoadBalancerType;

    private static CheckedAllocation Checked(IpamBlock block, IpAddr address, AllocationAttributes owner,
        ImmutableSortedDictionary<IpAddr, ImmutableArray<string>> uses)
    {
        var holder = block.AffineHost ?? "";
        var node = owner["node"] is { Length: > 0 } named ? named : holder;
        return new CheckedAllocation(address, block.Cidr, owner, block.SequenceNumberOf(address), node, node != holder,
            uses.GetValueOrDefault(address, []));
    }

    private static bool MayCountIn(HandleRecord handle, List<Cidr> unreadable) =>
        unreadable.Count > 0 && (handle.Blocks is not { } blocks || unreadable.Any(blocks.Contains));
}

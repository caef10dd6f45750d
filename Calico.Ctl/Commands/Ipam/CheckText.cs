using System.Collections.Immutable;
using System.Text;
using Calico.Core.Ipam;

namespace Calico.Ctl.Commands.Ipam;

/// <summary>
/// What a check prints: what was loaded, and then what each scan found, in the words of Calico's check. The scans for
/// shared addresses, stray claims, unclaimed blocks and blocks of no node are ours and come last.
/// </summary>
internal sealed class CheckText(CheckedRecords read, IpamFindings findings, bool showAll, bool showProblems)
{
    private const int BusiestNodes = 20;

    private readonly StringBuilder _text = new();

    public override string ToString()
    {
        _text.Clear();
        Blocks();
        Pools();
        Uses();
        Nodes();
        Leaked();
        Unallocated();
        Handles();
        Shared();
        Ownership();
        Line($"Check complete; found {findings.Problems} problems.");
        return _text.ToString();
    }

    private void Blocks()
    {
        Line("Loading all IPAM blocks...");
        Line($"Found {read.Records.Blocks.Length} IPAM blocks.");
        var allocations = findings.Allocations.ToLookup(a => a.Block);
        foreach (var block in read.Records.Blocks)
        {
            Line($" IPAM block {block.Cidr} affinity={(block.Block is null ? "<unreadable>" : block.Block.Affinity ?? "<none>")}:");
            foreach (var allocation in showAll ? allocations[block.Cidr] : [])
                Line($"  {allocation.Address} allocated; attrs {Attributes(allocation.Owner)}");
        }
        Line($"IPAM blocks record {findings.Allocations.Length} allocations.\n");
    }

    private void Pools()
    {
        Line("Loading all IPAM pools...");
        foreach (var pool in read.PoolTexts)
            Line($"  {pool}");
        Line($"Found {read.PoolTexts.Length} active IP pools.\n");
    }

    private void Uses()
    {
        Line("Loading all nodes.");
        Belonging(read.OfNodes);
        Line($"Found {read.OfNodes.Length} node tunnel IPs.\n");
        Line("Loading all service load balancer IPs.");
        Belonging(read.Services.Uses);
        Line($"{read.Services.Summary}\n");
        Line("Loading all workload endpoints.");
        Belonging(read.OfWorkloads);
        Line($"Found {read.OfWorkloads.Length} workload IPs.");
        Line($"Workloads and nodes are using {findings.Uses.Count} IPs.\n");
    }

    private void Nodes()
    {
        Line("Loading all handles");
        Line($"Looking for top (up to {BusiestNodes}) nodes by allocations...");
        var nodes = findings.Allocations.GroupBy(a => a.Node).Select(g => (Name: g.Key, Count: g.Count()))
            .OrderByDescending(n => n.Count).ThenBy(n => n.Name, StringComparer.Ordinal).ToList();
        foreach (var (name, count) in nodes.Take(BusiestNodes))
            Line($"  {name} has {count} allocations");
        if (nodes.Count > 0)
            Line($"Node with most allocations has {nodes[0].Count}; median is {nodes[nodes.Count / 2].Count}");
        Line("");
    }

    private void Leaked()
    {
        Line("Scanning for IPs that are allocated but not actually in use...");
        var leaked = findings.Leaked.ToHashSet();
        foreach (var allocation in showProblems ? findings.Allocations.Where(a => leaked.Contains(a.Address)) : [])
            Line($"  {allocation.Address} leaked; attrs {Attributes(allocation.Owner)}");
        Line($"Found {findings.Leaked.Length} IPs that are allocated in IPAM but not actually in use.");
    }

    private void Unallocated()
    {
        Line("Scanning for IPs that are in use by a workload or node but not allocated in IPAM...");
        foreach (var address in showProblems ? findings.Shared : [])
            Line($"  {address} has multiple owners.");
        foreach (var (address, user) in showProblems ? findings.OutsidePools.SelectMany(a => findings.Uses[a].Select(u => (a, u))) : [])
            Line($"  {address} in use by {user} is not in any active IP pool.");
        foreach (var (address, user) in showProblems ? findings.Unallocated.SelectMany(a => findings.Uses[a].Select(u => (a, u))) : [])
            Line($"  {address} in use by {user} and in active IPAM pool but has no IPAM allocation.");
        Line($"Found {findings.OutsidePools.Length} in-use IPs that are not in active IP pools.");
        Line($"Found {findings.Unallocated.Length} in-use IPs that are in active IP pools but have no corresponding IPAM allocation.\n");
    }

    private void Handles()
    {
        Line("Scanning for IPAM handles with no matching IPs...");
        foreach (var handle in showAll ? findings.LeakedHandles : [])
            Line($"  {handle.Id} doesn't have any active IPs.");
        Line($"Found {findings.LeakedHandles.Length} handles with no matching IPs (and {findings.MatchedHandles} handles with matches).");
        Line("Scanning for IPs with missing handle...");
        foreach (var handle in showProblems ? findings.MissingHandles : [])
            Line($"  {handle} is in use in a block but doesn't exist.");
        Line($"Found {findings.MissingHandles.Length} handles mentioned in blocks with no matching handle resource.");
        Line("Validating IPAMBlock structures...");
        foreach (var block in findings.InvalidBlocks)
            Line($"  IPAMBlock BlockKey(cidr={block.Cidr}) is invalid: {block.Fault}");
        Line($"Found {findings.InvalidBlocks.Length} invalid IPAMBlocks.");
    }

    private void Shared()
    {
        Line("Scanning for IPs that several workloads or nodes use...");
        foreach (var address in showProblems ? findings.Shared : [])
            Line($"  {address} is in use by {string.Join(" and ", findings.Uses[address])}.");
        foreach (var address in showProblems ? findings.AssignedTwice : [])
            Line($"  {address} is assigned by more than one block.");
        Line($"Found {findings.Duplicates} IPs that more than one uses or may get.");
    }

    private void Ownership()
    {
        Line("Scanning for block affinities that match no block...");
        foreach (var affinity in showProblems ? findings.StrayAffinities : [])
            Line($"  {affinity.Owner} has the affinity {affinity.Block} ({affinity.State}), but {Holder(affinity)}.");
        Line($"Found {findings.StrayAffinities.Length} affinities without their block.");
        Line("Scanning for blocks that their owner has no affinity for...");
        foreach (var block in showProblems ? findings.UnclaimedBlocks : [])
            Line($"  {block.Cidr} belongs to {block.Affinity}, which has no affinity for it.");
        Line($"Found {findings.UnclaimedBlocks.Length} blocks without the affinity of their owner.");
        Line("Scanning for blocks of nodes that do not exist...");
        foreach (var block in showProblems ? findings.BlocksOfNoNode : [])
            Line($"  {block.Cidr} belongs to node {block.AffineHost}, which does not exist.");
        Line($"Found {findings.BlocksOfNoNode.Length} blocks of nodes that do not exist.");
    }

    private string Holder(AffinityRecord affinity) => read.Records.Blocks.FirstOrDefault(b => b.Cidr == affinity.Block) is { Block: { } block }
        ? $"the block belongs to {block.Affinity ?? "nobody"}"
        : "there is no such block";

    private void Belonging(ImmutableArray<AddressUse> uses)
    {
        foreach (var use in showAll ? uses : [])
            Line($"  {use.Address} belongs to {use.User}");
    }

    private static string Attributes(AllocationAttributes owner)
    {
        var text = $"Main:{owner.HandleId ?? "<none>"} Extra:{Pairs(owner.Secondary)}";
        return owner.AlternateOwner is { Count: > 0 } alternate ? $"{text} Alternate:{Pairs(alternate)}" : text;
    }

    private static string Pairs(IReadOnlyDictionary<string, string>? map) =>
        string.Join(',', (map ?? ImmutableDictionary<string, string>.Empty).OrderBy(p => p.Key, StringComparer.Ordinal).Select(p => $"{p.Key}={p.Value}"));

    private void Line(string line) => _text.Append(line).Append('\n');
}

using System.Collections.Immutable;
using System.Numerics;
using Calico.Core.Net;

namespace Calico.Core.Ipam;

/// <summary>Numbers of one pool on one node, by Calico's names.</summary>
/// <param name="Pool">Name of the pool; <see cref="IpamFigures.NoPool"/> where none covers the block.</param>
/// <param name="Node">The node; <see cref="IpamFigures.NoNode"/> where none is recorded.</param>
/// <param name="InUse">Addresses with an owner on the node.</param>
/// <param name="Borrowed">Those of them that are in blocks of others.</param>
/// <param name="Blocks">Blocks that the node holds.</param>
/// <param name="Candidates">Addresses that seem leaked.</param>
public sealed record NodeFigures(string Pool, string Node, int InUse, int Borrowed, int Blocks, int Candidates);

/// <param name="Pool">Name of the pool.</param>
/// <param name="Size">How many addresses it has.</param>
/// <param name="Reserved">How many of them reservations keep.</param>
public sealed record PoolFigures(string Pool, BigInteger Size, BigInteger Reserved);

/// <summary>What the whole cluster's IPAM comes to, for metrics.</summary>
public sealed record IpamFigures
{
    public const string NoPool = "unknown_pool";
    public const string NoNode = "unknown_node";

    public required ImmutableArray<NodeFigures> Nodes { get; init; }
    public required ImmutableArray<PoolFigures> Pools { get; init; }

    /// <summary>Addresses that were leaked and have been taken back since the counting began, by pool and node.</summary>
    public required ImmutableArray<(string Pool, string Node, long Count)> Reclaimed { get; init; }

    /// <summary>Addresses that have an owner, but nobody has used for a while.</summary>
    public required int Leaked { get; init; }

    /// <summary>Addresses that more than one has, or may get.</summary>
    public required int Duplicates { get; init; }

    /// <summary>Accounts that do not add up.</summary>
    public required int Violations { get; init; }
}

/// <summary>
/// Keeps an audit's numbers while its records change. A change of a block costs the addresses of that block, one of an
/// endpoint its own; a look at the numbers costs the blocks and what is suspicious, not the addresses. Blocks and endpoints come
/// by two ways, so one that is in the middle of a change looks leaked or shared for a moment: what does not last does not
/// count. Not thread-safe.
/// </summary>
public sealed class IpamFiguresKeeper(TimeSpan doubt, TimeSpan certainty)
{
    private readonly record struct Tally(string Node, int InUse, int Borrowed);

    private sealed record Suspect(TimeSpan Since, string Pool, string Node);

    private readonly Dictionary<Cidr, ImmutableArray<Tally>> _tallies = [];
    private readonly Dictionary<IpAddr, Suspect> _leaks = [];
    private readonly Dictionary<IpAddr, TimeSpan> _duplicates = [];
    private readonly Dictionary<(string Pool, string Node), long> _reclaimed = [];

    /// <summary>Services are not in the feed: their addresses count as used.</summary>
    public IpamAudit Audit { get; } = new() { AreServicesKnown = false };

    /// <summary>Something may count later although nothing changes.</summary>
    public bool HasSuspects => _leaks.Count > 0 || _duplicates.Count > 0 || Audit.Leaked.Count > 0 || Audit.Shared.Count > 0;

    public void SetBlock(Cidr cidr, AuditedBlock? block)
    {
        Audit.SetBlock(cidr, block);
        if (block?.Block is not { } readable)
        {
            _tallies.Remove(cidr);
            return;
        }
        _tallies[cidr] = [.. readable.Assigned().Where(a => a.Owner.ReleasedAt is null)
            .GroupBy(a => IpamAudit.NodeOf(readable, a.Owner), StringComparer.Ordinal)
            .Select(g => new Tally(g.Key, g.Count(), g.Key == (readable.AffineHost ?? "") ? 0 : g.Count()))];
    }

    /// <param name="now">Of a clock that only goes forward.</param>
    public IpamFigures Figures(TimeSpan now)
    {
        var poolOf = new CidrLookup<PoolRecord>();
        foreach (var pool in Audit.Pools)
            poolOf.Set(pool.Cidr, pool);
        string PoolOf(Cidr block) => poolOf.TryFind(block, out var pool) ? pool.Name : IpamFigures.NoPool;
        Watch(now, PoolOf);
        var sums = new SortedDictionary<(string Pool, string Node), NodeFigures>();
        foreach (var block in Audit.Blocks.Where(b => b.Block is not null))
        {
            var pool = PoolOf(block.Cidr);
            if (block.Block!.AffineHost is { } host)
                Add(sums, pool, host, f => f with { Blocks = f.Blocks + 1 });
            foreach (var tally in _tallies[block.Cidr])
                Add(sums, pool, tally.Node, f => f with { InUse = f.InUse + tally.InUse, Borrowed = f.Borrowed + tally.Borrowed });
        }
        foreach (var suspect in _leaks.Values.Where(s => now - s.Since >= doubt))
            Add(sums, suspect.Pool, suspect.Node, f => f with { Candidates = f.Candidates + 1 });
        var reserved = IpamAccounts.ReservedByPool(Audit);
        return new IpamFigures
        {
            Nodes = [.. sums.Values],
            Pools = [.. Audit.Pools.Select(p => new PoolFigures(p.Name, BigInteger.One << (p.Cidr.Address.BitLength - p.Cidr.PrefixLength), reserved.GetValueOrDefault(p.Name)))],
            Reclaimed = [.. _reclaimed.OrderBy(r => r.Key).Select(r => (r.Key.Pool, r.Key.Node, r.Value))],
            Leaked = _leaks.Values.Count(s => now - s.Since >= certainty),
            Duplicates = _duplicates.Values.Count(since => now - since >= doubt),
            Violations = IpamAccounts.CountViolations(Audit),
        };
    }

    private void Watch(TimeSpan now, Func<Cidr, string> poolOf)
    {
        var leaked = Audit.Leaked.ToHashSet();
        foreach (var (address, suspect) in _leaks.Where(l => !leaked.Contains(l.Key)).ToList())
        {
            _leaks.Remove(address);
            // Taken back, not found to be in use after all.
            if (now - suspect.Since >= doubt && Audit.UsersOf(address).IsEmpty)
                _reclaimed[(suspect.Pool, suspect.Node)] = _reclaimed.GetValueOrDefault((suspect.Pool, suspect.Node)) + 1;
        }
        foreach (var address in leaked.Where(a => !_leaks.ContainsKey(a)))
        {
            var block = Audit.BlocksOf(address)[0];
            _leaks[address] = new Suspect(now, poolOf(block), Named(Audit.NodeOf(address)));
        }
        var duplicates = Audit.Shared.Concat(Audit.AssignedTwice).ToHashSet();
        foreach (var address in _duplicates.Keys.Where(a => !duplicates.Contains(a)).ToList())
            _duplicates.Remove(address);
        foreach (var address in duplicates)
            _duplicates.TryAdd(address, now);
    }

    private static void Add(SortedDictionary<(string Pool, string Node), NodeFigures> sums, string pool, string node, Func<NodeFigures, NodeFigures> add)
    {
        var key = (pool, Named(node));
        sums[key] = add(sums.GetValueOrDefault(key) ?? new NodeFigures(pool, Named(node), 0, 0, 0, 0));
    }

    private static string Named(string node) => node.Length > 0 ? node : IpamFigures.NoNode;
}

using System.Collections.Immutable;
using Calico.Core.Feed;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Net;

namespace Calico.Actors.Ipam;

/// <summary>
/// Which blocks this node can do without: of each pool those that have been empty for the grace period, as long as one with
/// room stays; and, sooner, those of a pool that gives this node nothing any more. Knows pools and labels by the feed, and
/// says nothing before the feed has told them. Not thread-safe.
/// </summary>
internal sealed class BlockSurplus(string node)
{
    private sealed record Empty(long Revision, TimeSpan Since);

    /// <summary>How long a block of a pool that gives this node nothing has to be empty.</summary>
    public static readonly TimeSpan UselessAfter = TimeSpan.FromSeconds(30);

    private readonly SortedDictionary<string, IPPool> _pools = new(StringComparer.Ordinal);
    private readonly Dictionary<Cidr, Empty> _empty = [];
    private NodeResource? _self;
    private bool _inSync;

    /// <summary>Learns from the feed; one that cannot be read stays as it was, and is said.</summary>
    public void Learn(IEnumerable<FeedItem> items, bool inSync, Action<string, string> unreadable)
    {
        _inSync = inSync;
        foreach (var item in items)
        {
            if (!ResourceKey.TryParse(item.Key, out var key))
                continue;
            try
            {
                if (key.Kind == ResourceKind.IPPool)
                    Learn(key, item);
                else if (key.Kind == ResourceKind.Node && key.Name == node)
                    _self = item.Value is { } value ? (NodeResource)StoredResource.Read(key, value.Span, item.Revision) : null;
            }
            catch (InvalidResourceException e)
            {
                unreadable(item.Key, e.Message);
            }
        }
    }

    private void Learn(ResourceKey key, FeedItem item)
    {
        if (item.Value is { } value)
            _pools[key.Name] = (IPPool)StoredResource.Read(key, value.Span, item.Revision);
        else
            _pools.Remove(key.Name);
    }

    /// <param name="own">Every block that the node holds.</param>
    /// <param name="isKept">Addresses that are free and yet given to nobody.</param>
    /// <param name="grace">How long a block is empty before it goes; null: blocks of pools in use stay.</param>
    /// <param name="now">Of a clock that only goes forward.</param>
    public ImmutableArray<Cidr> Choose(IEnumerable<HeldBlock> own, Func<IpAddr, bool> isKept, TimeSpan? grace, TimeSpan now)
    {
        var blocks = own.OrderBy(b => b.Block.Cidr).ToList();
        Watch(blocks, now);
        if (!_inSync || _self is not { } self)
            return [];
        var surplus = ImmutableArray.CreateBuilder<Cidr>();
        foreach (var group in blocks.GroupBy(b => PoolOf(b.Block.Cidr)))
        {
            var isUseful = group.Key is { } pool && PoolChoice.Serves(pool, self.Metadata.Labels);
            if ((isUseful ? grace : UselessAfter) is not { } wait)
                continue;
            var idle = group.Where(b => _empty.TryGetValue(b.Block.Cidr, out var empty) && now - empty.Since >= wait).ToList();
            var hasRoom = group.Except(idle).Any(b => b.Block.Unallocated.Any(o => !isKept(b.Block.AddressAt(o))));
            surplus.AddRange(idle.Skip(isUseful && !hasRoom ? 1 : 0).Select(b => b.Block.Cidr));
        }
        return surplus.ToImmutable();
    }

    // One that was used between two looks has another revision.
    private void Watch(List<HeldBlock> blocks, TimeSpan now)
    {
        var empty = blocks.Where(b => b.Block.IsEmpty).ToDictionary(b => b.Block.Cidr, b => b.BlockRevision);
        foreach (var gone in _empty.Where(e => empty.GetValueOrDefault(e.Key) != e.Value.Revision).Select(e => e.Key).ToList())
            _empty.Remove(gone);
        foreach (var (cidr, revision) in empty)
            _empty.TryAdd(cidr, new Empty(revision, now));
    }

    private IPPool? PoolOf(Cidr block) => _pools.Values.FirstOrDefault(p => Cidr.TryParse(p.Spec.Cidr, out var cidr) && cidr.Contains(block));
}

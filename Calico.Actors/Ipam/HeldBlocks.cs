using System.Collections.Immutable;
using Calico.Core.Feed;
using Calico.Core.Ipam;
using Calico.Core.Net;

namespace Calico.Actors.Ipam;

/// <summary>The blocks that a node holds, by what was read or written last.</summary>
internal sealed class HeldBlocks(string node)
{
    private readonly Dictionary<Cidr, HeldBlock> _blocks = [];

    public int Count => _blocks.Count;
    public IReadOnlyDictionary<Cidr, HeldBlock> All => _blocks;

    public void Replace(IEnumerable<HeldBlock> read)
    {
        _blocks.Clear();
        foreach (var block in read)
            _blocks[block.Block.Cidr] = block;
    }

    public bool Contains(Cidr block) => _blocks.ContainsKey(block);

    public bool TryAdd(HeldBlock granted) => _blocks.TryAdd(granted.Block.Cidr, granted);

    /// <summary>These contents were written; of blocks that are not known (any more) nothing is learned.</summary>
    public void Written(IEnumerable<KeyValuePair<Cidr, IpamBlock>> changed, long revision)
    {
        foreach (var (cidr, contents) in changed)
        {
            if (_blocks.TryGetValue(cidr, out var was) && revision > was.BlockRevision)
                _blocks[cidr] = new HeldBlock(contents, revision, was.Epoch);
        }
    }

    /// <summary>Whether the feed tells of one of these affinities something that was not known when it was read.</summary>
    public bool IsNews(FeedItem item) => IpamKeys.TryParseAffinity(item.Key, out var host, out var block)
        && host == node && _blocks.TryGetValue(block, out var held) && item.Revision > held.Epoch;

    /// <summary>Whether each of the tenant's addresses is its own.</summary>
    public bool Gives(LeaseProtocol.Tenant tenant) => tenant.Addresses.All(a =>
        _blocks.Values.FirstOrDefault(h => h.Block.Cidr.Contains(a))?.Block.OwnerOf(a) is { ReleasedAt: null } owner
        && owner.HandleId == tenant.HandleId);

    /// <summary>Whether an address of these blocks belongs to the handle.</summary>
    public bool HasAny(string handle) => _blocks.Values.Any(h => h.Block.Attributes.Any(a => a.HandleId == handle));

    public ImmutableSortedDictionary<Cidr, long> Epochs() => _blocks.ToImmutableSortedDictionary(h => h.Key, h => h.Value.Epoch);

    public ImmutableArray<LeaseProtocol.BlockStatus> Status() => [.. _blocks.OrderBy(h => h.Key)
        .Select(h => new LeaseProtocol.BlockStatus(h.Key, h.Value.Epoch, h.Value.Block.Capacity, h.Value.Block.AllocatedCount))];
}

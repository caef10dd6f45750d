using System.Collections.Immutable;
using Calico.Core.Feed;
using Calico.Core.Ipam;
using Calico.Core.Net;

namespace Calico.Actors.Ipam;

/// <summary>
/// The blocks that a node holds, by what was read or written last; and, for as long as a request needs one, blocks of
/// others in which it borrows.
/// </summary>
internal sealed class HeldBlocks(string node)
{
    private readonly Dictionary<Cidr, HeldBlock> _blocks = [];
    private readonly HashSet<Cidr> _unfenced = [];

    /// <summary>Own blocks and guests.</summary>
    public IReadOnlyDictionary<Cidr, HeldBlock> All => _blocks;

    public IEnumerable<HeldBlock> Own => _blocks.Values.Where(b => !b.IsGuest);
    public IEnumerable<Cidr> Guests => _blocks.Where(b => b.Value.IsGuest).Select(b => b.Key);

    /// <summary>Blocks that a transaction which nobody waits for any more may still change.</summary>
    public IReadOnlyCollection<Cidr> Unfenced => _unfenced;

    /// <summary>These are all there are.</summary>
    /// <param name="isUnfenced">Whether a transaction that was given up may still change a block.</param>
    public void Replace(IEnumerable<HeldBlock> read, Func<HeldBlock, bool> isUnfenced)
    {
        _blocks.Clear();
        _unfenced.Clear();
        foreach (var block in read)
        {
            _blocks[block.Block.Cidr] = block;
            if (isUnfenced(block))
                _unfenced.Add(block.Block.Cidr);
        }
    }

    public bool Holds(Cidr block) => _blocks.TryGetValue(block, out var held) && !held.IsGuest;

    /// <summary>Whether the address is one of a block that is this node's.</summary>
    public bool Covers(IpAddr address) => Own.Any(b => b.Block.Cidr.Contains(address));

    /// <summary>Whether the address is one of this node's, and the handle's.</summary>
    public bool GivesHere(IpAddr address, string handle) => Own.Any(b => b.Block.Cidr.Contains(address) && b.Block.OwnerOf(address)?.HandleId == handle);

    /// <summary>A block that was granted, or a guest; false if it is held already.</summary>
    public bool TryAdd(HeldBlock block)
    {
        if (Holds(block.Block.Cidr))
            return false;
        _blocks[block.Block.Cidr] = block;
        return true;
    }

    /// <summary>The block is given to nobody any more; null if it is not this node's.</summary>
    public HeldBlock? Remove(Cidr block)
    {
        if (!Holds(block) || !_blocks.Remove(block, out var removed))
            return null;
        _unfenced.Remove(block);
        return removed;
    }

    /// <summary>Guests that nobody needs are not followed any longer.</summary>
    public void Leave(Func<Cidr, bool> isNeeded)
    {
        foreach (var guest in Guests.Where(g => !isNeeded(g) && !_unfenced.Contains(g)).ToList())
            _blocks.Remove(guest);
    }

    /// <summary>These blocks were fenced: a grant has a new epoch, another's block a new revision.</summary>
    public void Fenced(IEnumerable<HeldBlock> fenced, long revision)
    {
        foreach (var block in fenced)
        {
            var cidr = block.Block.Cidr;
            if (_blocks.TryGetValue(cidr, out var now) && now.BlockRevision == block.BlockRevision && _unfenced.Remove(cidr))
                _blocks[cidr] = block.IsGuest ? block with { BlockRevision = revision } : block with { Epoch = revision };
        }
    }

    /// <summary>These contents were written; of blocks that are not known (any more) nothing is learned.</summary>
    public void Written(IEnumerable<KeyValuePair<Cidr, IpamBlock>> changed, long revision)
    {
        foreach (var (cidr, contents) in changed)
        {
            if (_blocks.TryGetValue(cidr, out var was) && revision > was.BlockRevision)
                _blocks[cidr] = was with { Block = contents, BlockRevision = revision };
        }
    }

    /// <summary>Whether the feed tells of one of these affinities something that was not known when it was read.</summary>
    public bool IsNews(FeedItem item) => IpamKeys.TryParseAffinity(item.Key, out var host, out var block)
        && host == node && _blocks.TryGetValue(block, out var held) && !held.IsGuest && item.Revision > held.Epoch;

    /// <summary>Whether each of the tenant's addresses is its own.</summary>
    public bool Gives(LeaseProtocol.Tenant tenant) => tenant.Addresses.All(a =>
        _blocks.Values.FirstOrDefault(h => h.Block.Cidr.Contains(a))?.Block.OwnerOf(a) is { ReleasedAt: null } owner
        && owner.HandleId == tenant.HandleId);

    /// <summary>Whether an address of these blocks belongs to the handle.</summary>
    public bool HasAny(string handle) => _blocks.Values.Any(h => h.Block.AddressOf(handle) is not null);

    public ImmutableSortedDictionary<Cidr, long> Epochs() => Own.ToImmutableSortedDictionary(h => h.Block.Cidr, h => h.Epoch);

    public ImmutableArray<LeaseProtocol.BlockStatus> Status() => [.. Own.OrderBy(h => h.Block.Cidr)
        .Select(h => new LeaseProtocol.BlockStatus(h.Block.Cidr, h.Epoch, h.Block.Capacity, h.Block.AllocatedCount)
        {
            Cooling = h.Block.CoolingCount,
        })];
}

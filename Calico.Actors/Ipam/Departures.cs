using Calico.Core.Feed;
using Calico.Core.Ipam;
using Calico.Core.Net;

namespace Calico.Actors.Ipam;

/// <summary>
/// Blocks that this node gives back. From the first step on nothing is given out of them, whatever is read meanwhile: a
/// transaction of which nobody knows whether it happened may still happen. Outlives the actor that keeps it. Not thread-safe.
/// <code>
///   held ──► withdrawn ──[affinity pendingDeletion]──► leaving ──[owner deletes block and affinity]──► gone
///               │ changed by another hand: held           │ claimed again, or somebody has an address in it: held
/// </code>
/// A crash after the first arrow leaves a block that is held; after the second an affinity from which the next start goes on.
/// </summary>
public sealed class Departures(string node)
{
    private readonly Dictionary<Cidr, HeldBlock> _withdrawn = [];
    private readonly HashSet<Cidr> _sent = [];
    private readonly Dictionary<Cidr, long> _leaving = [];

    /// <summary>Whether they are this node's is not decided: nobody asks for them.</summary>
    public IEnumerable<Cidr> Undecided => _withdrawn.Keys;

    /// <summary>Blocks to be deleted by their owners, with the revision of the affinity that says so.</summary>
    public IEnumerable<KeyValuePair<Cidr, long>> Leaving => _leaving;

    public void Withdraw(HeldBlock block) => _withdrawn[block.Block.Cidr] = block;

    /// <summary>Those for which the first transaction is to be sent, or sent again; it is under way from now on.</summary>
    public IReadOnlyList<HeldBlock> Send()
    {
        var due = _withdrawn.Values.Where(b => !_sent.Contains(b.Block.Cidr)).OrderBy(b => b.Block.Cidr).ToList();
        _sent.UnionWith(due.Select(b => b.Block.Cidr));
        return due;
    }

    /// <summary>Its affinity says so now.</summary>
    public void Left(Cidr block, long revision)
    {
        Decided(block);
        _leaving[block] = revision;
    }

    /// <summary>Somebody else has written block or affinity, so this transaction can happen no more.</summary>
    public void NotLeft(HeldBlock sent)
    {
        if (_withdrawn.GetValueOrDefault(sent.Block.Cidr) == sent)
            Decided(sent.Block.Cidr);
    }

    /// <summary>Nobody knows whether this transaction happened, or will.</summary>
    public void NotKnown(HeldBlock sent)
    {
        if (_withdrawn.GetValueOrDefault(sent.Block.Cidr) == sent)
            _sent.Remove(sent.Block.Cidr);
    }

    private void Decided(Cidr block)
    {
        _withdrawn.Remove(block);
        _sent.Remove(block);
    }

    /// <summary>Its owner says that the block is this node's no more; false if that was known.</summary>
    public bool Gone(Cidr block) => _leaving.Remove(block);

    /// <summary>The affinities in state pendingDeletion, as they were read.</summary>
    public void Load(IEnumerable<(Cidr Block, long Revision)> leaving)
    {
        foreach (var (block, revision) in leaving)
        {
            if (_leaving.GetValueOrDefault(block) < revision)
                Left(block, revision);
        }
    }

    /// <summary>Whether a block that was read or granted is to be held: not while it is the one that is given back.</summary>
    public bool Admits(HeldBlock read)
    {
        if (read.IsGuest)
            return true;
        var cidr = read.Block.Cidr;
        if (_leaving.TryGetValue(cidr, out var revision) && read.Epoch <= revision)
            return false;
        _leaving.Remove(cidr);
        if (_withdrawn.TryGetValue(cidr, out var withdrawn) && withdrawn.Epoch == read.Epoch && withdrawn.BlockRevision >= read.BlockRevision)
            return false;
        Decided(cidr);
        return true;
    }

    /// <summary>Whether the feed tells that another hand changed an affinity that is to be deleted.</summary>
    public bool Learn(IEnumerable<FeedItem> items)
    {
        var isNews = false;
        foreach (var item in items)
        {
            if (IpamKeys.TryParseAffinity(item.Key, out var host, out var block) && host == node
                && _leaving.TryGetValue(block, out var revision) && item.Revision > revision)
            {
                _leaving.Remove(block);
                isNews |= item.Value is not null;
            }
        }
        return isNews;
    }
}

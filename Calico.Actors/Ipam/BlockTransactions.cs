using System.Collections.Immutable;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Actors.Ipam;

/// <summary>
/// What each ownership decision writes. Upstream's two-phase claim (pending affinity, block, confirmed affinity) is one
/// transaction here; what is left behind is the same, so that Calico's own tools read it.
/// </summary>
internal static class BlockTransactions
{
    /// <summary>etcd takes 128 operations a transaction, and an address may cost one for its handle.</summary>
    public const int MaxFreed = 100;

    /// <summary>
    /// Makes the node the holder: its affinity, written now, is the epoch of the grant, and the block names it. A block
    /// without owner keeps the addresses that others borrowed from it.
    /// </summary>
    public static Transaction Claim(Cidr cidr, string node, KeyValue? block, KeyValue? affinity, DateTimeOffset now)
    {
        string blockKey = IpamKeys.Block(cidr), affinityKey = IpamKeys.Affinity(node, cidr), owner = "host:" + node;
        var contents = block is null ? IpamBlock.Create(cidr, owner, now) : IpamJson.ParseBlock(block.Value);
        if (block is not null)
        {
            if (contents.Affinity is null)
                contents.AffinityClaimTime = now;
            contents.Affinity = owner;
            contents.SequenceNumber++;
        }
        return new Transaction(
            [Unchanged(affinityKey, affinity), Unchanged(blockKey, block)],
            [Write.Put(affinityKey, IpamJson.WriteAffinity("confirmed")), Write.Put(blockKey, IpamJson.WriteBlock(contents))]);
    }

    /// <summary>
    /// The holder wants the block no more, as upstream says it before it deletes one. The affinity's new revision makes every
    /// other write of the holder fail; block and affinity go by <see cref="Delete"/>.
    /// </summary>
    public static Transaction Leave(string node, HeldBlock held) => new(
        [Compare.At(IpamKeys.Affinity(node, held.Block.Cidr), held.Epoch), Compare.At(IpamKeys.Block(held.Block.Cidr), held.BlockRevision)],
        [Write.Put(IpamKeys.Affinity(node, held.Block.Cidr), IpamJson.WriteAffinity(IpamJson.PendingDeletion))]);

    /// <summary>Removes a block and the affinity to it, or, where the block is not this holder's, the affinity alone.</summary>
    public static Transaction Delete(KeyValue affinity, string blockKey, KeyValue? block, bool isHolders) => new(
        [Compare.At(affinity.Key, affinity.ModRevision), Unchanged(blockKey, block)],
        isHolders ? [Write.Delete(affinity.Key), Write.Delete(blockKey)] : [Write.Delete(affinity.Key)]);

    /// <summary>
    /// Takes the block from a node that is gone: its own addresses are freed with their handles, addresses that other
    /// nodes borrowed stay, a block that is empty then is removed. Of a large block at most <see cref="MaxFreed"/>
    /// addresses go at a time; the node stays its holder until the last of them is free.
    /// </summary>
    public static (Transaction Transaction, int Freed, bool IsLast) Retire(string node, KeyValue? block, KeyValue? affinity,
        IReadOnlyDictionary<string, KeyValue> handles)
    {
        var compares = ImmutableArray.CreateBuilder<Compare>();
        var writes = ImmutableArray.CreateBuilder<Write>();
        if (affinity is not null)
            compares.Add(Compare.At(affinity.Key, affinity.ModRevision));
        var freed = 0;
        var isLast = true;
        if (block is not null)
        {
            var contents = IpamJson.ParseBlock(block.Value);
            compares.Add(Compare.At(block.Key, block.ModRevision));
            if (contents.AffineHost == node)
            {
                var owned = contents.Assigned().Where(a => BelongsTo(a.Owner, node)).Select(a => a.Address).Take(MaxFreed + 1).ToList();
                isLast = owned.Count <= MaxFreed;
                freed = Free(contents, owned.Take(MaxFreed), handles, compares, writes);
                if (isLast)
                    contents.Affinity = null;
                contents.SequenceNumber++;
                writes.Add(isLast && contents.IsEmpty ? Write.Delete(block.Key) : Write.Put(block.Key, IpamJson.WriteBlock(contents)));
            }
        }
        if (affinity is not null && isLast)
            writes.Add(Write.Delete(affinity.Key));
        return (new Transaction(compares.ToImmutable(), writes.ToImmutable()), freed, isLast);
    }

    /// <summary>
    /// Frees the addresses that an endpoint of a node which is gone has in another's block, with their handles, if the endpoint
    /// is still the one that was seen. The block keeps its holder, and goes if it is empty and has none. Null if it has none.
    /// </summary>
    public static Transaction? FreeBorrowed(Compare endpoint, KeyValue block, Func<IpAddr, AllocationAttributes, bool> isBorrowed,
        IReadOnlyDictionary<string, KeyValue> handles)
    {
        var contents = IpamJson.ParseBlock(block.Value);
        var compares = ImmutableArray.CreateBuilder<Compare>();
        var writes = ImmutableArray.CreateBuilder<Write>();
        compares.Add(endpoint);
        compares.Add(Compare.At(block.Key, block.ModRevision));
        if (Free(contents, contents.Assigned().Where(a => isBorrowed(a.Address, a.Owner)).Select(a => a.Address), handles, compares, writes) == 0)
            return null;
        contents.SequenceNumber++;
        writes.Add(contents is { Affinity: null, IsEmpty: true } ? Write.Delete(block.Key) : Write.Put(block.Key, IpamJson.WriteBlock(contents)));
        return new Transaction(compares.ToImmutable(), writes.ToImmutable());
    }

    private static int Free(IpamBlock contents, IEnumerable<IpAddr> addresses, IReadOnlyDictionary<string, KeyValue> handles,
        ImmutableArray<Compare>.Builder compares, ImmutableArray<Write>.Builder writes)
    {
        var leaving = addresses.ToHashSet();
        var released = contents.ReleaseWhere((address, _) => leaving.Contains(address));
        foreach (var group in released.Where(r => r.Owner.HandleId is not null).GroupBy(r => r.Owner.HandleId!))
        {
            if (handles.GetValueOrDefault(group.Key) is not { } handle)
                continue;
            compares.Add(Compare.At(handle.Key, handle.ModRevision));
            writes.Add(HandleAfter(handle, new Dictionary<Cidr, int> { [contents.Cidr] = -group.Count() }));
        }
        return released.Count;
    }

    /// <summary>
    /// One group commit of a lease: every block that it changes, or repeats an address of, at the revision it was read
    /// and under its epoch if it is this node's, and the handles that gained or lost addresses.
    /// </summary>
    public static Transaction Commit(string node, LeaseBatch batch, IReadOnlyDictionary<Cidr, HeldBlock> held,
        IReadOnlyDictionary<string, KeyValue?> handles, IEnumerable<Compare> also, IEnumerable<Write> alongside)
    {
        var compares = ImmutableArray.CreateBuilder<Compare>();
        compares.AddRange(also);
        var writes = ImmutableArray.CreateBuilder<Write>();
        foreach (var cidr in batch.Changed.Keys.Union(batch.Relied))
        {
            if (!held[cidr].IsGuest)
                compares.Add(Compare.At(IpamKeys.Affinity(node, cidr), held[cidr].Epoch));
            compares.Add(Compare.At(IpamKeys.Block(cidr), held[cidr].BlockRevision));
        }
        foreach (var (cidr, contents) in batch.Changed)
            writes.Add(Write.Put(IpamKeys.Block(cidr), IpamJson.WriteBlock(contents)));
        foreach (var (id, deltas) in batch.HandleDeltas)
        {
            var stored = handles.GetValueOrDefault(id);
            if (stored is null && deltas.Values.All(d => d <= 0))
                continue;
            compares.Add(Unchanged(IpamKeys.Handle(id), stored));
            writes.Add(HandleAfter(stored ?? new KeyValue(IpamKeys.Handle(id), ReadOnlyMemory<byte>.Empty, 0, 0), deltas));
        }
        writes.AddRange(alongside);
        // Two requests about one pod: a key is written once, and the later one decides.
        var once = writes.GroupBy(w => w.Key, StringComparer.Ordinal).Select(g => g.Last());
        return new Transaction(compares.ToImmutable(), [.. once]);
    }

    /// <summary>
    /// Shuts out whatever was sent before and has not arrived: own blocks get a new epoch, by writing their affinity as it
    /// is, those of other nodes a new revision. Fails if something has arrived since they were read.
    /// </summary>
    public static Transaction Fence(string node, IEnumerable<HeldBlock> blocks)
    {
        var compares = ImmutableArray.CreateBuilder<Compare>();
        var writes = ImmutableArray.CreateBuilder<Write>();
        foreach (var block in blocks)
        {
            var cidr = block.Block.Cidr;
            compares.Add(Compare.At(IpamKeys.Block(cidr), block.BlockRevision));
            if (block.IsGuest)
            {
                writes.Add(Write.Put(IpamKeys.Block(cidr), IpamJson.WriteBlock(block.Block)));
            }
            else
            {
                compares.Add(Compare.At(IpamKeys.Affinity(node, cidr), block.Epoch));
                writes.Add(Write.Put(IpamKeys.Affinity(node, cidr), IpamJson.WriteAffinity("confirmed")));
            }
        }
        return new Transaction(compares.ToImmutable(), writes.ToImmutable());
    }

    /// <summary>An allocation belongs to the node that its attributes name.</summary>
    public static bool BelongsTo(AllocationAttributes owner, string node) => owner["node"] == node;

    private static Compare Unchanged(string key, KeyValue? read) =>
        read is null ? Compare.Absent(key) : Compare.At(key, read.ModRevision);

    // One that cannot be read counts nothing; the blocks are the truth, and it is written anew.
    public static SortedDictionary<string, int> CountsOf(KeyValue handle)
    {
        try
        {
            return handle.Value.IsEmpty ? new(StringComparer.Ordinal) : IpamJson.ParseHandle(handle.Value);
        }
        catch (FormatException)
        {
            return new(StringComparer.Ordinal);
        }
    }

    private static Write HandleAfter(KeyValue handle, IReadOnlyDictionary<Cidr, int> deltas)
    {
        var counts = CountsOf(handle);
        foreach (var (block, delta) in deltas)
        {
            var count = counts.GetValueOrDefault(block.ToString()) + delta;
            if (count > 0)
                counts[block.ToString()] = count;
            else
                counts.Remove(block.ToString());
        }
        return counts.Count == 0 ? Write.Delete(handle.Key) : Write.Put(handle.Key, IpamJson.WriteHandle(counts));
    }
}

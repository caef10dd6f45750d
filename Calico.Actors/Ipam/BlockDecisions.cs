using Akka.Event;
using Calico.Core.Ipam;
using Calico.Datastore;

namespace Calico.Actors.Ipam;

/// <summary>
/// What the owner of a block decides, each as one transaction of the datastore, or several when it is large. Holds nothing. An
/// answer of null is none: something else was true by then, and who asked will see that and ask for what it wants now.
/// </summary>
internal sealed class BlockDecisions(IDatastore datastore, TimeProvider time, ILoggingAdapter log)
{
    public async Task<object?> ClaimAsync(BlockProtocol.ClaimBlock claim, CancellationToken cancellation)
    {
        try
        {
            // A lost race means that something changed under us: look again, a few times, then let the caller retry.
            for (var attempt = 0; attempt < 5; attempt++)
            {
                var block = await datastore.GetAsync(IpamKeys.Block(claim.Block), cancellation);
                var affinity = await datastore.GetAsync(IpamKeys.Affinity(claim.Node, claim.Block), cancellation);
                var stored = block is null ? null : IpamJson.ParseBlock(block.Value);
                if (stored?.Affinity is { } holder && holder != "host:" + claim.Node)
                    return new BlockProtocol.BlockRefused(claim.Block, BlockProtocol.Refusal.HeldByAnother, holder, claim.RequestId);
                if (stored?.Affinity is not null && affinity is not null && IpamJson.ParseAffinityState(affinity.Value) == "confirmed")
                    return new BlockProtocol.BlockGranted(claim.Block, claim.Node, affinity.ModRevision, claim.RequestId);
                var result = await datastore.CommitAsync(BlockTransactions.Claim(claim.Block, claim.Node, block, affinity,
                    time.GetUtcNow()), cancellation);
                if (result.Succeeded)
                {
                    log.Info("block {Block} granted to {Node} at epoch {Epoch}", claim.Block, claim.Node, result.Revision);
                    return new BlockProtocol.BlockGranted(claim.Block, claim.Node, result.Revision, claim.RequestId);
                }
            }
            return new BlockProtocol.BlockRefused(claim.Block, BlockProtocol.Refusal.DatastoreUnavailable, null, claim.RequestId);
        }
        catch (DatastoreException e)
        {
            log.Warning("block {Block}: claim by {Node} not decided: {Cause}", claim.Block, claim.Node, e.Message);
            return new BlockProtocol.BlockRefused(claim.Block, BlockProtocol.Refusal.DatastoreUnavailable, null, claim.RequestId);
        }
        catch (FormatException e)
        {
            log.Error("block {Block}: what is stored cannot be read: {Cause}", claim.Block, e.Message);
            return new BlockProtocol.BlockRefused(claim.Block, BlockProtocol.Refusal.Corrupt, null, claim.RequestId);
        }
    }

    public async Task<object?> ReleaseAsync(BlockProtocol.ReleaseBlock release, CancellationToken cancellation)
    {
        var block = await datastore.GetAsync(IpamKeys.Block(release.Block), cancellation);
        var affinity = await datastore.GetAsync(IpamKeys.Affinity(release.Node, release.Block), cancellation);
        if (affinity is null)
            return new BlockProtocol.HolderRetired(release.Block, release.Node, 0);
        // Claimed again since: what was said under another epoch counts no more.
        if (affinity.ModRevision != release.Epoch)
            return null;
        var stored = block is null ? null : IpamJson.ParseBlock(block.Value);
        var isHolders = stored?.AffineHost == release.Node;
        if (isHolders && !stored!.IsEmpty)
            return IpamJson.ParseAffinityState(affinity.Value) == IpamJson.PendingDeletion ? await StayAsync(release, block, affinity, cancellation) : null;
        var result = await datastore.CommitAsync(BlockTransactions.Delete(affinity, IpamKeys.Block(release.Block), block, isHolders), cancellation);
        if (!result.Succeeded)
            return null;
        log.Info("block {Block} given back by {Node}", release.Block, release.Node);
        return new BlockProtocol.HolderRetired(release.Block, release.Node, 0);
    }

    // Somebody has an address in it since: a borrower, or a pod of before an interrupted release.
    private async Task<object?> StayAsync(BlockProtocol.ReleaseBlock release, KeyValue? block, KeyValue affinity, CancellationToken cancellation)
    {
        var result = await datastore.CommitAsync(BlockTransactions.Claim(release.Block, release.Node, block, affinity, time.GetUtcNow()), cancellation);
        return result.Succeeded ? new BlockProtocol.BlockGranted(release.Block, release.Node, result.Revision, 0) : null;
    }

    public async Task<object?> RetireAsync(BlockProtocol.RetireHolder retire, CancellationToken cancellation)
    {
        var total = 0;
        for (var lost = 0; lost < 5;)
        {
            var block = await datastore.GetAsync(IpamKeys.Block(retire.Block), cancellation);
            var affinity = await datastore.GetAsync(IpamKeys.Affinity(retire.Node, retire.Block), cancellation);
            if (affinity is null && (block is null || IpamJson.ParseBlock(block.Value).AffineHost != retire.Node))
                return new BlockProtocol.HolderRetired(retire.Block, retire.Node, total);
            // The node has come back since: what was granted later is not meant.
            if (affinity is not null && affinity.ModRevision != retire.Epoch)
                return null;
            var handles = await HandlesOfAsync(block, retire.Node, cancellation);
            var (transaction, freed, isLast) = BlockTransactions.Retire(retire.Node, block, affinity, handles);
            var result = await datastore.CommitAsync(transaction, cancellation);
            if (!result.Succeeded)
            {
                lost++;
                continue;
            }
            total += freed;
            if (!isLast)
                continue;
            log.Info("block {Block} taken back from {Node}, {Freed} addresses freed, epoch {Epoch}", retire.Block,
                retire.Node, total, result.Revision);
            return new BlockProtocol.HolderRetired(retire.Block, retire.Node, total);
        }
        return null;
    }

    private Task<Dictionary<string, KeyValue>> HandlesOfAsync(KeyValue? block, string node, CancellationToken cancellation) => LeaseStore.ReadHandlesAsync(datastore,
        block is null ? [] : IpamJson.ParseBlock(block.Value).Assigned().Where(a => BlockTransactions.BelongsTo(a.Owner, node))
            .Select(a => a.Owner.HandleId).OfType<string>().Distinct().Take(BlockTransactions.MaxFreed), cancellation);
}

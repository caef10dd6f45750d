using System.Collections.Immutable;
using Akka.Actor;
using Akka.Event;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Actors.Ipam;

/// <summary>
/// Owns who holds one block. One per CIDR in the mesh: claims queue here instead of racing in the datastore, and
/// each decision is one transaction over affinity, block and handles, so that it is true or did not happen. Holds no
/// state that the datastore lacks: its death loses nothing, and a second instance elsewhere loses the compare-and-swap.
/// Commands of one block are carried out one after another, in order of arrival.
/// </summary>
public sealed class BlockActor : ReceiveActor, IWithUnboundedStash
{
    private sealed record Done(object? Reply, IActorRef ReplyTo) : Protocol.ITick;

    /// <summary>More commands than this waiting for one block means that callers retry faster than we answer.</summary>
    private const int MaxWaiting = 1000;

    private readonly IDatastore _datastore;
    private readonly TimeProvider _time;
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly CancellationTokenSource _stopped = new();
    private string? _lastFailure;
    private int _waiting;

    public IStash Stash { get; set; } = null!;

    public static Props Props(IDatastore datastore, TimeProvider time) =>
        Akka.Actor.Props.Create(() => new BlockActor(datastore, time));

    public BlockActor(IDatastore datastore, TimeProvider time)
    {
        _datastore = datastore;
        _time = time;
        Become(Serving);
    }

    protected override void PostStop()
    {
        _stopped.Cancel();
        _stopped.Dispose();
    }

    private void Serving()
    {
        Receive<BlockProtocol.ClaimBlock>(c => Start(() => ClaimAsync(c)));
        Receive<BlockProtocol.ReleaseBlock>(r => Start(() => ReleaseAsync(r)));
        Receive<BlockProtocol.RetireHolder>(r => Start(() => RetireAsync(r)));
    }

    private void Working()
    {
        Receive<Done>(OnDone);
        Receive<IWithBlock>(OnBusy);
    }

    private void OnDone(Done done)
    {
        if (done.Reply is not null)
            _lastFailure = null;
        if (done.Reply is not null)
            done.ReplyTo.Tell(done.Reply);
        _waiting = 0;
        Become(Serving);
        Stash.UnstashAll();
    }

    // Callers repeat what they want, so dropping the excess loses nothing.
    private void OnBusy(IWithBlock command)
    {
        if (_waiting++ < MaxWaiting)
            Stash.Stash();
    }

    private void Start(Func<Task<object?>> work)
    {
        var replyTo = Sender;
        Become(Working);
        work().PipeTo(Self, success: reply => new Done(reply, replyTo), failure: e => new Done(Failed(e), replyTo));
    }

    // Askers repeat what they want every few seconds: said is what is new.
    private object? Failed(Exception e)
    {
        if (e.Message == _lastFailure)
            return null;
        _lastFailure = e.Message;
        if (e is DatastoreException)
            _log.Warning("block {Block}: the datastore did not answer, the asker repeats it: {Cause}", Uri.UnescapeDataString(Self.Path.Name), e.Message);
        else
            _log.Error(e, "block {Block}: a request failed, the asker repeats it", Uri.UnescapeDataString(Self.Path.Name));
        return null;
    }

    private async Task<object?> ClaimAsync(BlockProtocol.ClaimBlock claim)
    {
        try
        {
            // A lost race means that something changed under us: look again, a few times, then let the caller retry.
            for (var attempt = 0; attempt < 5; attempt++)
            {
                var block = await _datastore.GetAsync(IpamKeys.Block(claim.Block), _stopped.Token);
                var affinity = await _datastore.GetAsync(IpamKeys.Affinity(claim.Node, claim.Block), _stopped.Token);
                var stored = block is null ? null : IpamJson.ParseBlock(block.Value);
                if (stored?.Affinity is { } holder && holder != "host:" + claim.Node)
                    return new BlockProtocol.BlockRefused(claim.Block, BlockProtocol.Refusal.HeldByAnother, holder, claim.RequestId);
                if (stored?.Affinity is not null && affinity is not null && IpamJson.ParseAffinityState(affinity.Value) == "confirmed")
                    return new BlockProtocol.BlockGranted(claim.Block, claim.Node, affinity.ModRevision, claim.RequestId);
                var result = await _datastore.CommitAsync(BlockTransactions.Claim(claim.Block, claim.Node, block, affinity,
                    _time.GetUtcNow()), _stopped.Token);
                if (result.Succeeded)
                {
                    _log.Info("block {Block} granted to {Node} at epoch {Epoch}", claim.Block, claim.Node, result.Revision);
                    return new BlockProtocol.BlockGranted(claim.Block, claim.Node, result.Revision, claim.RequestId);
                }
            }
            return new BlockProtocol.BlockRefused(claim.Block, BlockProtocol.Refusal.DatastoreUnavailable, null, claim.RequestId);
        }
        catch (DatastoreException e)
        {
            _log.Warning("block {Block}: claim by {Node} not decided: {Cause}", claim.Block, claim.Node, e.Message);
            return new BlockProtocol.BlockRefused(claim.Block, BlockProtocol.Refusal.DatastoreUnavailable, null, claim.RequestId);
        }
        catch (FormatException e)
        {
            _log.Error("block {Block}: what is stored cannot be read: {Cause}", claim.Block, e.Message);
            return new BlockProtocol.BlockRefused(claim.Block, BlockProtocol.Refusal.Corrupt, null, claim.RequestId);
        }
    }

    private async Task<object?> ReleaseAsync(BlockProtocol.ReleaseBlock release)
    {
        var block = await _datastore.GetAsync(IpamKeys.Block(release.Block), _stopped.Token);
        var affinity = await _datastore.GetAsync(IpamKeys.Affinity(release.Node, release.Block), _stopped.Token);
        if (affinity is null)
            return new BlockProtocol.HolderRetired(release.Block, release.Node, 0);
        // Claimed again since: what was said under another epoch counts no more.
        if (affinity.ModRevision != release.Epoch)
            return null;
        var stored = block is null ? null : IpamJson.ParseBlock(block.Value);
        var isHolders = stored?.AffineHost == release.Node;
        if (isHolders && !stored!.IsEmpty)
            return IpamJson.ParseAffinityState(affinity.Value) == IpamJson.PendingDeletion ? await StayAsync(release, block, affinity) : null;
        var result = await _datastore.CommitAsync(BlockTransactions.Delete(affinity, IpamKeys.Block(release.Block), block, isHolders), _stopped.Token);
        if (!result.Succeeded)
            return null;
        _log.Info("block {Block} given back by {Node}", release.Block, release.Node);
        return new BlockProtocol.HolderRetired(release.Block, release.Node, 0);
    }

    // Somebody has an address in it since: a borrower, or a pod of before an interrupted release.
    private async Task<object?> StayAsync(BlockProtocol.ReleaseBlock release, KeyValue? block, KeyValue affinity)
    {
        var result = await _datastore.CommitAsync(BlockTransactions.Claim(release.Block, release.Node, block, affinity, _time.GetUtcNow()), _stopped.Token);
        return result.Succeeded ? new BlockProtocol.BlockGranted(release.Block, release.Node, result.Revision, 0) : null;
    }

    private async Task<object?> RetireAsync(BlockProtocol.RetireHolder retire)
    {
        var total = 0;
        for (var lost = 0; lost < 5;)
        {
            var block = await _datastore.GetAsync(IpamKeys.Block(retire.Block), _stopped.Token);
            var affinity = await _datastore.GetAsync(IpamKeys.Affinity(retire.Node, retire.Block), _stopped.Token);
            if (affinity is null && (block is null || IpamJson.ParseBlock(block.Value).AffineHost != retire.Node))
                return new BlockProtocol.HolderRetired(retire.Block, retire.Node, total);
            // The node has come back since: what was granted later is not meant.
            if (affinity is not null && affinity.ModRevision != retire.Epoch)
                return null;
            var handles = await HandlesOfAsync(block, retire.Node);
            var (transaction, freed, isLast) = BlockTransactions.Retire(retire.Node, block, affinity, handles);
            var result = await _datastore.CommitAsync(transaction, _stopped.Token);
            if (!result.Succeeded)
            {
                lost++;
                continue;
            }
            total += freed;
            if (!isLast)
                continue;
            _log.Info("block {Block} taken back from {Node}, {Freed} addresses freed, epoch {Epoch}", retire.Block,
                retire.Node, total, result.Revision);
            return new BlockProtocol.HolderRetired(retire.Block, retire.Node, total);
        }
        return null;
    }

    private Task<Dictionary<string, KeyValue>> HandlesOfAsync(KeyValue? block, string node) => LeaseStore.ReadHandlesAsync(_datastore,
        block is null ? [] : IpamJson.ParseBlock(block.Value).Assigned().Where(a => BlockTransactions.BelongsTo(a.Owner, node))
            .Select(a => a.Owner.HandleId).OfType<string>().Distinct().Take(BlockTransactions.MaxFreed), _stopped.Token);
}

using Akka.Actor;
using Akka.Event;
using Calico.Actors.Gateway;
using Calico.Core.Ipam;
using Calico.Datastore;

namespace Calico.Actors.Ipam;

/// <summary>Blocks that this node does not need any more: it gives them back, so that others can have them.</summary>
public sealed partial class LeaseActor
{
    /// <summary>After so many looks for which a block should be gone and is not, it may be another one that is stored.</summary>
    private const int LooksUntilDoubt = 5;

    private int _looksWithLeaving;

    private sealed record LookForSurplus : Protocol.ITick;
    private sealed record Left(HeldBlock Block, TransactionResult Result) : Protocol.ITick;
    private sealed record MayHaveLeft(HeldBlock Block, Exception Cause) : Protocol.ITick;

    private void ReceiveSurplus()
    {
        Receive<LookForSurplus>(_ => OnLookForSurplus());
        Receive<Left>(OnLeft);
        Receive<MayHaveLeft>(OnMayHaveLeft);
        Receive<BlockProtocol.HolderRetired>(OnHolderRetired);
    }

    private void OnLookForSurplus()
    {
        var now = _uptime.Now;
        if (WhyNothingLeaves(now) is not null)
            return;
        _ledger.Tidy();
        foreach (var block in _surplus.Choose(_ledger.Held.Own, Rules(isPromise: true).IsKept, _settings.LeakGrace, now))
        {
            if (!_lending.HasLoansIn(block, now) && _ledger.Withdraw(block) is { } withdrawn)
                _departures.Withdraw(withdrawn);
        }
        foreach (var block in _departures.Send())
        {
            _datastore.CommitAsync(BlockTransactions.Leave(_node, block), _stopped.Token)
                .PipeTo(Self, success: r => new Left(block, r), failure: e => new MayHaveLeft(block, e));
        }
        foreach (var (block, epoch) in _departures.Leaving)
            _upstream.Tell(new MeshLinkProtocol.ToBlock(new BlockProtocol.ReleaseBlock(block, _node, epoch)));
        _looksWithLeaving = _departures.Leaving.Any() ? _looksWithLeaving + 1 : 0;
        if (_looksWithLeaving % LooksUntilDoubt == LooksUntilDoubt - 1
            || _search.IsAnyUnknown(_ledger.Held.Epochs().Keys.Concat(_departures.Undecided).Concat(_departures.Leaving.Select(l => l.Key))))
            ReadAgain();
        Work();
    }

    // Which addresses its pods use, and what is free, must be known.
    private string? WhyNothingLeaves(TimeSpan now) => !_ledger.IsLoaded || IsReading ? "its blocks are being read"
        : _ledger.IsUncertain ? "what was sent before may still change them"
        : !_inUse.IsComplete ? "the addresses that its pods use are not known"
        : _contact.IsAway(now) ? _contact.Describe(now)
        : null;

    private void OnLeft(Left left)
    {
        if (!left.Result.Succeeded)
        {
            _departures.NotLeft(left.Block);
            ReadAgain();
            return;
        }
        var block = left.Block.Block.Cidr;
        _log.Info("lease of {Node}: gives block {Block} back, which is empty", _node, block);
        _departures.Left(block, left.Result.Revision);
        PublishHeld();
        _upstream.Tell(new MeshLinkProtocol.ToBlock(new BlockProtocol.ReleaseBlock(block, _node, left.Result.Revision)));
    }

    private void OnMayHaveLeft(MayHaveLeft left)
    {
        _log.Warning("lease of {Node}: whether block {Block} is given back is not known: {Cause}; trying again", _node, left.Block.Block.Cidr, left.Cause.Message);
        _departures.NotKnown(left.Block);
    }

    private void OnHolderRetired(BlockProtocol.HolderRetired retired)
    {
        // It may be late, and the block have come and gone since: what is stored decides.
        if (retired.Node == _node && _departures.Gone(retired.Block))
            ReadAgain();
    }

    private void ReadAgain()
    {
        if (IsReading)
            _readAgain = true;
        else
            Load();
    }
}

using System.Collections.Immutable;
using Akka.Actor;
using Akka.Event;
using Calico.Actors.Gateway;

namespace Calico.Actors.Ipam;

/// <summary>Addresses of other nodes' blocks: those that this node borrows, lends, and gives back.</summary>
public sealed partial class LeaseActor
{
    private sealed record LookedUp(LeaseRequest.Release Release, LeaseStore.Places? Places) : Protocol.ITick;
    private sealed record LoansFound(LeaseRequest.Allocate Borrower, LeaseStore.Places? Places) : Protocol.ITick;
    private sealed record LoanFetched(LeaseRequest.Allocate Borrower, LeaseRequest.Loan Loan, Core.Ipam.HeldBlock? Guest) : Protocol.ITick;

    private void ReceiveLoans()
    {
        Receive<LendProtocol.Borrow>(OnBorrow);
        Receive<LendProtocol.Lent>(OnLent);
        Receive<LendProtocol.NotLent>(OnNotLent);
        Receive<LoansFound>(OnLoansFound);
        Receive<LoanFetched>(OnLoanFetched);
        Receive<LookedUp>(OnLookedUp);
    }

    private void Borrow(LeaseRequest.Allocate request, BlockSearch.Step.Exhausted exhausted)
    {
        // Asked again after an answer that got lost: what it borrowed then is still its own.
        if (!request.IsLookedUp)
        {
            LookUp(request);
            return;
        }
        switch (_settings.Config.StrictAffinity ? new Borrowing.Step.Exhausted(0) : _borrowing.Next(request, _search.Holders(request), _uptime.Now))
        {
            case Borrowing.Step.Ask ask:
                _upstream.Tell(new MeshLinkProtocol.ToNode(ask.Message));
                break;
            case Borrowing.Step.Exhausted none:
                _ledger.Refuse(request, exhausted.Reason + (_settings.Config.StrictAffinity && exhausted.IsTaken ? ", and strict affinity is on" : none.Describe()), exhausted.IsTaken, isRetryable: none.Silent is not null);
                break;
        }
    }

    private void LookUp(LeaseRequest.Allocate request)
    {
        request.AwaitsLoan = true;
        LeaseStore.FindAsync(_datastore, _node, request.Handle, _stopped.Token)
            .PipeTo(Self, success: places => new LoansFound(request, places), failure: _ => new LoansFound(request, null));
    }

    private void OnLoansFound(LoansFound found)
    {
        if (IsReading)
        {
            Timers.StartSingleTimer(found, found, RetryAfter / 10);
            return;
        }
        found.Borrower.AwaitsLoan = false;
        Learn(found.Borrower, found.Places);
    }

    private void OnBorrow(LendProtocol.Borrow borrow)
    {
        var isBusy = !_ledger.IsLoaded || IsReading || _ledger.IsUncertain || _contact.IsAway(_uptime.Now);
        var address = isBusy || _settings.Config.StrictAffinity ? null
            : _lending.LentTo(borrow.Handle, a => _ledger.Held.Covers(a) && borrow.Pools.Any(p => p.Contains(a)) && (borrow.Wanted ?? a) == a)
            ?? _ledger.Spare(borrow, Rules(isPromise: true));
        var block = _ledger.Held.Own.FirstOrDefault(h => address is { } a && h.Block.Cidr.Contains(a));
        _upstream.Tell(new MeshLinkProtocol.ToNode(address is { } lent && block is not null && _lending.TryLend(lent, borrow.From, borrow.Handle, _uptime.Now)
            ? new LendProtocol.Lent(borrow.From, _node, borrow.RequestId, block.Block.Cidr, lent, block.Epoch)
            : new LendProtocol.NotLent(borrow.From, _node, borrow.RequestId, isBusy ? LendProtocol.Refusal.Busy : LendProtocol.Refusal.NoRoom)));
    }

    private void OnLent(LendProtocol.Lent lent)
    {
        if (_borrowing.Answered(lent.RequestId) is not { } borrower)
            return;
        // Until it is read nobody else is asked.
        borrower.AwaitsLoan = true;
        var loan = new LeaseRequest.Loan(lent.Address, lent.From, lent.Epoch);
        LeaseStore.FetchGuestAsync(_datastore, _node, lent.Block, _stopped.Token).PipeTo(Self,
            success: guest => new LoanFetched(borrower, loan, guest), failure: _ => new LoanFetched(borrower, loan, null));
    }

    private void OnNotLent(LendProtocol.NotLent refused)
    {
        if (_borrowing.Refused(refused.RequestId, refused.Reason, _uptime.Now))
            Work();
    }

    private void OnLoanFetched(LoanFetched fetched)
    {
        if (IsReading)
        {
            Timers.StartSingleTimer(fetched, fetched, RetryAfter / 10);
            return;
        }
        fetched.Borrower.AwaitsLoan = false;
        if (!fetched.Borrower.IsAnswered && fetched.Guest is { } guest && guest.Block.Cidr.Contains(fetched.Loan.Address) && _ledger.TryAdd(guest))
        {
            _log.Info("lease of {Node}: borrows {Address} from {Owner} for {Handle}", _node, fetched.Loan.Address, fetched.Loan.Holder!, fetched.Borrower.Handle);
            fetched.Borrower.Borrow(fetched.Loan);
        }
        Work();
    }

    // A pod that goes may have addresses in blocks that are not followed.
    private void LookUp()
    {
        foreach (var request in _ledger.MustLookUp)
            LookUp(request);
        foreach (var release in _ledger.ToLookUp(h => _handles.AreAllIn(h, _ledger.Held.Holds)).Where(_lookingUp.Add).ToList())
        {
            LeaseStore.FindAsync(_datastore, _node, release.Handle, _stopped.Token)
                .PipeTo(Self, success: places => new LookedUp(release, places), failure: _ => new LookedUp(release, null));
        }
    }

    private void OnLookedUp(LookedUp found)
    {
        _lookingUp.Remove(found.Release);
        // What is being read now is newer; who still does not know then asks again.
        if (!IsReading)
            Learn(found.Release, found.Places);
    }

    // Blocks granted and not read yet, or on their way out, are asked for again: they are held then, and who needs them goes on from there.
    private void Learn(LeaseRequest request, LeaseStore.Places? places)
    {
        if (places is null)
            return;
        var unknown = _ledger.Found(request, places);
        foreach (var block in unknown)
            _upstream.Tell(new MeshLinkProtocol.ToBlock(new BlockProtocol.ClaimBlock(block, _node, 0)));
        if (!unknown.IsEmpty)
            return;
        _handles.Read(places.Handle);
        Work();
    }
}

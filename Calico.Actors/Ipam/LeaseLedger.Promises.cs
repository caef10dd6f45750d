using System.Collections.Immutable;
using Calico.Core.Ipam;
using Calico.Core.Net;

namespace Calico.Actors.Ipam;

/// <summary>Answers that are given before they are durable.</summary>
internal sealed partial class LeaseLedger
{
    /// <summary>
    /// Answers whom it can from what is held, before it is durable: that the addresses are free or owned is certain, because
    /// nobody but this node writes its blocks.
    /// </summary>
    /// <param name="rules">What may be given.</param>
    /// <param name="mayAllocate">Nobody takes this node for gone; if not, it only takes back.</param>
    /// <param name="isAway">The datastore is away, and it may take long until they are durable.</param>
    public void Promise(LeaseRules rules, bool mayAllocate, bool isAway)
    {
        if (!IsLoaded || !HasBeenCertain || (!isAway && IsUncertain) || All.All(r => r.IsAnswered))
            return;
        bool MayPromise(LeaseRequest request) => request switch
        {
            LeaseRequest.Allocate a => mayAllocate && a is { Message.IsReclaim: false, Loans.IsEmpty: true },
            // Of an address in another node's block nobody else would remember that it goes back.
            LeaseRequest.Release release => isAway || release.Elsewhere is { IsEmpty: true },
            _ => false,
        };
        if (_sent is { } sent)
        {
            // An address that was lent may have been written by its borrower: whether it was free is known when it is durable.
            foreach (var entry in sent.Entries.Where(e => !e.Request.IsAnswered && MayPromise(e.Request)
                && (e.Request is LeaseRequest.Release || !e.Addresses.Any(rules.IsLent))))
                AnswerEarly(entry, isAway);
        }
        var room = options.MaxPromises - Promises;
        foreach (var request in _queue.All.Where(r => !r.IsAnswered && MayPromise(r)).ToList())
        {
            if (room <= 0)
                return;
            if (!Undo(request) && Promised(rules) is { } plan && plan.TryAdd(request, out _))
            {
                AnswerEarly(plan.Entries[^1], isAway);
                room--;
            }
        }
    }

    private void AnswerEarly(LeasePlan.Entry entry, bool isAway)
    {
        Use(entry);
        entry.Request.Promise(entry.Addresses, isAway);
    }

    // What no transaction has carried is forgotten with its release: a long absence of the datastore costs nothing then.
    private bool Undo(LeaseRequest request)
    {
        if (request is not LeaseRequest.Release
            || _queue.All.Where(r => r.Handle == request.Handle && r != request).ToList() is not [LeaseRequest.Allocate { IsPromise: true, WasSent: false } promise]
            || Sent.Any(r => r.Handle == request.Handle) || _held.HasAny(request.Handle))
            return false;
        _queue.Remove(promise);
        _queue.Remove(request);
        _promised = null;
        Use(new LeasePlan.Entry(request, promise.Demand.Wanted));
        request.Succeed(promise.Demand.Wanted);
        return true;
    }

    // The blocks as they will be once everything promised is written.
    private LeasePlan Promised(LeaseRules rules)
    {
        if (_promised is { } known)
            return known;
        var blocks = _held.Own.ToDictionary(h => h.Block.Cidr);
        foreach (var (cidr, contents) in _sent?.Batch.Changed ?? ImmutableDictionary<Cidr, IpamBlock>.Empty)
        {
            if (blocks.TryGetValue(cidr, out var stored))
                blocks[cidr] = stored with { Block = contents };
        }
        var plan = new LeasePlan(blocks, inUse, rules);
        foreach (var promise in _queue.All.Where(r => r.IsPromise))
            plan.TryAdd(promise, out _);
        return _promised = plan;
    }
}

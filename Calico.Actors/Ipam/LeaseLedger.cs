using System.Collections.Immutable;
using Calico.Core.Ipam;
using Calico.Core.Net;

namespace Calico.Actors.Ipam;

/// <summary>
/// What a node's lease knows: the blocks held as they are stored, the requests that are not durable yet, and which
/// transaction is under way. Decides what the next transaction carries and who is answered when. Pure bookkeeping: it
/// reads no clock and no datastore. Not thread-safe.
/// <code>
///   Add ─► queue ─► Next: LeaseCommit ─► Succeeded ─► answers
///            ▲ │                     └─► OutOfDate, Unknown ─┐
///            │ └─ Promise: answers now, stays in the queue   │
///            └───────────────────────────────────────────────┘
/// </code>
/// </summary>
internal sealed partial class LeaseLedger(string node, LeaseOptions options, AddressesInUse inUse)
{
    private readonly HeldBlocks _held = new(node);
    private readonly LeaseQueue _queue = new(options.MaxWaiting);
    private LeaseCommit? _sent;
    private LeasePlan? _promised;
    private LeaseProtocol.ReleaseAllBut? _reconcile;
    private int _setbacks;
    private bool _isUntidy;

    // What an earlier process sent may arrive yet.
    private bool _areLate = true;
    private readonly HashSet<Cidr> _lateGuests = [];

    /// <summary>The blocks have been read once: what is held is known, as of then.</summary>
    public bool IsLoaded { get; private set; }

    public HeldBlocks Held => _held;
    public int Waiting => All.Count(r => !r.IsAnswered);

    /// <summary>Answered and not durable yet.</summary>
    public int Promises => All.Count(r => r.IsPromise);

    /// <summary>Everything asked for is durable or refused.</summary>
    public bool IsIdle => _queue.Count == 0 && _sent is null;

    /// <summary>Whether the last transaction failed, and the one before it too: its cause is not a single lost race.</summary>
    public bool FailsAgain => _setbacks > 1;

    /// <summary>
    /// Whether a transaction that nobody waits for any more may still change what was read: what is free is not certain
    /// until the blocks are fenced.
    /// </summary>
    public bool IsUncertain => _held.Unfenced.Count > 0;

    /// <summary>Since the start the blocks have been certain once: what was lent, or sent, before is void.</summary>
    public bool HasBeenCertain { get; private set; }

    /// <summary>Who waits for a block.</summary>
    public IEnumerable<LeaseRequest.Allocate> InNeed => [.. _queue.All.OfType<LeaseRequest.Allocate>().Where(a => a is { IsAnswered: false, AwaitsLoan: false, Lacks: not null })];

    public void Add(LeaseRequest request)
    {
        // From here on nothing is allocated for the workload, also if its release has to be repeated.
        if (request is LeaseRequest.Release)
        {
            inUse.Remove(request.Handle, []);
            _queue.DropAllocations(request.Handle);
        }
        _queue.Add(request);
    }

    public void Add(LeaseProtocol.ReleaseAllBut reconcile)
    {
        foreach (var (address, handle) in reconcile.InUse)
            inUse.Add(handle, [address]);
        inUse.IsComplete = true;
        _reconcile = reconcile;
    }

    /// <summary>The blocks as they are now, with the guests.</summary>
    public void Load(IEnumerable<HeldBlock> blocks)
    {
        IsLoaded = true;
        _held.Replace(blocks, b => b.IsGuest ? _lateGuests.Contains(b.Block.Cidr) : _areLate);
        _lateGuests.IntersectWith(_held.Guests);
        HasBeenCertain |= !IsUncertain;
        _promised = null;
        // A block may be another's since that was looked up, or this node's.
        foreach (var release in _queue.All.OfType<LeaseRequest.Release>())
            release.LookAgain();
    }

    /// <summary>A block was granted, or is needed as a guest; false if it is this node's and held already.</summary>
    public bool TryAdd(HeldBlock block)
    {
        _promised = null;
        return _held.TryAdd(block);
    }

    /// <summary>
    /// From here on nothing of the block is given out or written. Null while an address of it is somebody's, promised or
    /// asked for, or a transaction that writes it is under way.
    /// </summary>
    public HeldBlock? Withdraw(Cidr block)
    {
        if (_reconcile is not null || inUse.AnyIn(block) || All.Any(r => r.Names(block))
            || (_sent is { } sent && (sent.Batch.Changed.ContainsKey(block) || sent.Batch.Relied.Contains(block))))
            return null;
        _promised = null;
        return _held.Remove(block);
    }

    /// <summary>What has rested is to be freed when there is nothing else to do.</summary>
    public void Tidy() => _isUntidy = true;

    // ---- transactions ------------------------------------------------------------------------------------------------

    /// <summary>The next transaction, which is under way from now on; null while one is, and when there is nothing to write.</summary>
    public LeaseCommit? Next(LeaseRules rules, Action<string> broken)
    {
        _held.Leave(block => All.Any(r => r.Needs(block)));
        if (_sent is null && IsUncertain)
            return _sent = LeaseCommit.Fence(_held.All, _held.Unfenced, inUse);
        while (_sent is null && (_queue.Count > 0 || _reconcile is not null))
        {
            var commit = LeaseCommit.Plan(_held.All, _queue.All, _reconcile, inUse, rules, node, isCareful: _setbacks > 0);
            _queue.Replace(commit.Waiting);
            _promised = null;
            _reconcile = null;
            foreach (var (request, refusal) in commit.Refused)
                Refuse(request, refusal, broken);
            foreach (var lost in commit.Waiting.OfType<LeaseRequest.Allocate>().Where(a => a is { IsPromise: true, Lacks: not null }).ToList())
                Break(lost, "the node does not hold its block any more", broken);
            if (!commit.IsEmpty)
            {
                foreach (var entry in commit.Entries)
                    entry.Request.WasSent = true;
                return _sent = commit;
            }
            // What needs no transaction is answered at once, and makes room for what follows.
            Settle(commit);
            if (commit.Entries.Count == 0)
                return null;
        }
        if (_sent is not null || !_isUntidy)
            return null;
        _isUntidy = false;
        var tidy = LeaseCommit.Tidy(_held.All, inUse, rules);
        return tidy.IsEmpty ? null : _sent = tidy;
    }

    /// <summary>It is durable. May be one that an earlier incarnation of the lease sent.</summary>
    public void Succeeded(LeaseCommit commit, long revision)
    {
        NoLongerSent(commit);
        _setbacks = 0;
        _held.Written(commit.Batch.Changed, revision);
        _held.Fenced(commit.Fenced, revision);
        HasBeenCertain |= IsLoaded && !IsUncertain;
        // An answer that comes before the first reading says nothing of what is held.
        if (IsLoaded && !IsUncertain)
        {
            _areLate = false;
            _lateGuests.Clear();
        }
        if (!commit.IsReconciled)
            _reconcile ??= commit.Reconcile;
        Settle(commit);
    }

    /// <summary>It was not carried out, or nobody knows. The blocks have to be read before the next one.</summary>
    /// <param name="commit">Which.</param>
    /// <param name="isKnown">It was not carried out, and will not be.</param>
    /// <param name="hopeless">Why it never can be; null if it may succeed another time.</param>
    /// <param name="broken">Told of what was promised and cannot be kept.</param>
    public void Failed(LeaseCommit commit, bool isKnown, string? hopeless, Action<string> broken)
    {
        NoLongerSent(commit);
        if (hopeless is not null && commit is { IsCareful: true, Entries: [var only] })
        {
            _setbacks = 0;
            _reconcile ??= commit.Reconcile;
            Refuse(only.Request, new LeasePlan.Refusal(hopeless, IsTaken: false), broken);
            return;
        }
        if (!isKnown)
        {
            foreach (var borrower in commit.Entries.Select(e => e.Request).OfType<LeaseRequest.Allocate>().Where(r => !r.Loans.IsEmpty))
                borrower.MustLookUp = true;
            _areLate = true;
            _lateGuests.UnionWith(commit.Batch.Changed.Keys.Where(c => !_held.Holds(c)));
        }
        // One request may be what the transaction failed for: each of the next ones is alone, and this one behind the others.
        _queue.Return(commit.Entries.Select(e => e.Request), first: _setbacks++ == 0);
        _reconcile ??= commit.Reconcile;
    }

    private void NoLongerSent(LeaseCommit commit)
    {
        _promised = null;
        if (_sent == commit)
            _sent = null;
    }

    private void Settle(LeaseCommit commit)
    {
        foreach (var entry in commit.Entries.Where(e => !e.Request.IsAnswered))
        {
            Use(entry);
            entry.Request.Succeed(entry.Addresses);
        }
    }

    private void Use(LeasePlan.Entry entry)
    {
        if (entry.Request is LeaseRequest.Allocate)
            inUse.Add(entry.Request.Handle, entry.Addresses);
        else
            inUse.Remove(entry.Request.Handle, entry.Addresses);
    }

    private void Refuse(LeaseRequest request, LeasePlan.Refusal refusal, Action<string> broken)
    {
        if (request is LeaseRequest.Allocate { IsPromise: true } promise)
            Break(promise, refusal.Reason, broken);
        else
            request.Fail(refusal.Reason, retryable: false, refusal.IsTaken);
    }

    // The workload runs with these addresses: the reconciler finds it, and claims them again or cuts it off.
    private void Break(LeaseRequest.Allocate promise, string reason, Action<string> broken)
    {
        _queue.Remove(promise);
        broken($"{promise.Handle} was given {string.Join(", ", promise.Demand.Wanted)} before the datastore had it, and cannot keep it: {reason}");
    }

    private IEnumerable<LeaseRequest> All => Sent.Concat(_queue.All);
    private IEnumerable<LeaseRequest> Sent => _sent is null ? [] : _sent.Entries.Select(e => e.Request);

    // ---- the end -----------------------------------------------------------------------------------------------------

    public void Expire(TimeSpan now, Func<LeaseRequest, string> why) => _queue.Expire(now, why);

    public void Refuse(LeaseRequest request, string reason, bool isTaken, bool isRetryable)
    {
        _queue.Remove(request);
        request.Fail(reason, isRetryable, isTaken);
    }

    /// <summary>Fails whoever waits; what a successor must not forget is handed to it.</summary>
    public Inheritance Resign(string reason)
    {
        _queue.FailAll(reason);
        return new Inheritance([.. _queue.All], _reconcile);
    }

    public void Inherit(Inheritance from)
    {
        _queue.Return(from.Promises, first: true);
        _reconcile ??= from.Reconcile;
        _promised = null;
    }

    /// <param name="Promises">Answered, not yet written.</param>
    /// <param name="Reconcile">Not yet carried out.</param>
    public sealed record Inheritance(ImmutableArray<LeaseRequest> Promises, LeaseProtocol.ReleaseAllBut? Reconcile);
}

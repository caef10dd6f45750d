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
internal sealed class LeaseLedger(string node, LeaseOptions options, AddressesInUse inUse)
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

    /// <summary>The blocks of other nodes that have to be read with the own ones.</summary>
    public IEnumerable<Cidr> Guests => _held.Guests.Union(_lateGuests);

    /// <summary>Who is given nothing before it is known what it has in other nodes' blocks.</summary>
    public IEnumerable<LeaseRequest.Allocate> MustLookUp => [.. _queue.All.OfType<LeaseRequest.Allocate>().Where(a => a is { MustLookUp: true, AwaitsLoan: false })];

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

    // ---- addresses in other nodes' blocks ----------------------------------------------------------------------------

    /// <summary>Releases of which it is not known whether they have addresses elsewhere; those that own blocks tell of are settled here.</summary>
    /// <param name="isAllHere">Whether a handle is known to have addresses in this node's blocks alone.</param>
    public IEnumerable<LeaseRequest.Release> ToLookUp(Func<string, bool> isAllHere)
    {
        if (!IsLoaded || IsUncertain)
            yield break;
        var earlier = Sent.Select(r => r.Handle).ToHashSet(StringComparer.Ordinal);
        foreach (var request in _queue.All)
        {
            if (request is LeaseRequest.Release { Elsewhere: null } release)
            {
                if (!release.Message.Addresses.IsEmpty && (earlier.Contains(release.Handle) ? release.Message.Addresses.All(_held.Covers)
                    : isAllHere(release.Handle) && release.Message.Addresses.All(a => _held.GivesHere(a, release.Handle))))
                    release.IsHere();
                // What is still to be allocated is not in the datastore yet.
                else if (!earlier.Contains(release.Handle))
                    yield return release;
            }
            earlier.Add(request.Handle);
        }
    }

    /// <summary>
    /// An address of this node's blocks that another one may have, the last to be handed out here; null for none.
    /// </summary>
    public IpAddr? Spare(LendProtocol.Borrow borrow, LeaseRules rules)
    {
        foreach (var held in _held.Own.Where(h => borrow.Pools.Any(p => p.Contains(h.Block.Cidr))).OrderBy(h => h.Block.Cidr))
        {
            var block = _sent?.Batch.Changed.GetValueOrDefault(held.Block.Cidr) ?? held.Block;
            bool IsFree(IpAddr a) => block.OwnerOf(a) is null && held.Block.OwnerOf(a) is null && !inUse.Contains(a) && !rules.IsLent(a);
            if (borrow.Wanted is { } wanted)
            {
                if (block.Cidr.Contains(wanted))
                    return IsFree(wanted) || block.OwnerOf(wanted)?.HandleId == borrow.Handle ? wanted : null;
            }
            else if (block.Unallocated.Reverse().Select(o => (IpAddr?)block.AddressAt(o)).FirstOrDefault(a => IsFree(a!.Value) && !rules.IsReserved(a.Value)) is { } spare)
            {
                return spare;
            }
        }
        return null;
    }

    public bool Gives(LeaseProtocol.Tenant tenant) => _held.Gives(tenant)
        || All.OfType<LeaseRequest.Allocate>().Any(a => a.IsPromise && a.Handle == tenant.HandleId && tenant.Addresses.All(a.Demand.Wanted.Contains));

    /// <summary>Whether the tenant's addresses in this node's own blocks are its own.</summary>
    public bool GivesHere(LeaseProtocol.Tenant tenant) => _held.Gives(tenant with { Addresses = [.. tenant.Addresses.Where(_held.Covers)] });

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

    // ---- promises ----------------------------------------------------------------------------------------------------

    /// <summary>
    /// Answers whom it can from what is held, before it is durable: that the addresses are free or owned is certain, because
    /// nobody but this node writes its blocks.
    /// </summary>
    /// <param name="which">The requests that may be answered before they are durable.</param>
    /// <param name="isAway">The datastore is away, and it may take long until they are.</param>
    public void Promise(LeaseRules rules, Func<LeaseRequest, bool> which, bool isAway)
    {
        if (!IsLoaded || All.All(r => r.IsAnswered))
            return;
        if (_sent is { } sent)
        {
            // An address that was lent may have been written by its borrower: whether it was free is known when it is durable.
            foreach (var entry in sent.Entries.Where(e => !e.Request.IsAnswered && which(e.Request)
                && (e.Request is LeaseRequest.Release || !e.Addresses.Any(rules.IsLent))))
                AnswerEarly(entry, isAway);
        }
        var room = options.MaxPromises - Promises;
        foreach (var request in _queue.All.Where(r => !r.IsAnswered && which(r)).ToList())
        {
            if (room <= 0)
                return;
            if (!Undo(request, rules) && Promised(rules) is { } plan && plan.TryAdd(request, out _))
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
    private bool Undo(LeaseRequest request, LeaseRules rules)
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

    private IEnumerable<LeaseRequest> All => Sent.Concat(_queue.All);
    private IEnumerable<LeaseRequest> Sent => _sent is null ? [] : _sent.Entries.Select(e => e.Request);

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

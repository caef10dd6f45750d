using System.Collections.Immutable;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Actors.Ipam;

/// <summary>One group commit: which of the waiting requests it carries and what it writes.</summary>
internal sealed class LeaseCommit : LeasePlan
{
    /// <summary>What one more request adds at most: two blocks at their epochs, a handle, and a write of the asker.</summary>
    private const int WritesOfOne = 4, ComparesOfOne = 5;

    private LeaseCommit(IReadOnlyDictionary<Cidr, HeldBlock> held, AddressesInUse inUse, LeaseRules rules) : base(held, inUse, rules)
    {
    }

    /// <summary>Not in this commit: no block held has room, or the transaction is full.</summary>
    public List<LeaseRequest> Waiting { get; } = [];
    public List<(LeaseRequest Request, Refusal Refusal)> Refused { get; } = [];
    public LeaseProtocol.ReleaseAllBut? Reconcile { get; private set; }

    /// <summary>Whether nothing is left to reconcile once this commit has succeeded.</summary>
    public bool IsReconciled { get; private set; } = true;

    /// <summary>Nothing is to be written, nor compared for an answer.</summary>
    public bool IsEmpty => Fenced.IsEmpty && Batch.IsEmpty && Batch.Relied.Count == 0 && Alongside.IsEmpty;

    // etcd counts writes and compares each for themselves.
    private bool IsFull
    {
        get
        {
            var handles = Batch.HandleDeltas.Count;
            return Batch.Changed.Count + handles + Entries.Count > DatastoreLimits.MaxTransactionOperations - WritesOfOne
                || (2 * (Batch.Changed.Count + Batch.Relied.Count)) + handles + Entries.Count(e => e.Addresses.IsEmpty || e.Request is LeaseRequest.Allocate { Loans.IsEmpty: false }) > DatastoreLimits.MaxTransactionOperations - ComparesOfOne;
        }
    }

    /// <summary>Only frees what has rested.</summary>
    public static LeaseCommit Tidy(IReadOnlyDictionary<Cidr, HeldBlock> held, AddressesInUse inUse, LeaseRules rules)
    {
        var commit = new LeaseCommit(held, inUse, rules);
        commit.Batch.CollectRested(DatastoreLimits.MaxTransactionOperations / ComparesOfOne);
        commit.Batch.Seal();
        return commit;
    }

    /// <summary>The one before failed: carry one request only, and assume nothing of handles.</summary>
    public bool IsCareful { get; private init; }

    /// <summary>If not empty, the commit does nothing but shut out what was sent to these blocks before.</summary>
    public ImmutableArray<HeldBlock> Fenced { get; private init; } = [];

    /// <summary>Fences blocks, as many as one transaction takes.</summary>
    public static LeaseCommit Fence(IReadOnlyDictionary<Cidr, HeldBlock> held, IEnumerable<Cidr> blocks, AddressesInUse inUse) =>
        new(held, inUse, new LeaseRules()) { Fenced = [.. blocks.Order().Take(DatastoreLimits.MaxTransactionOperations / 2).Select(b => Copy(held[b]))] };

    // What is written back to another node's block is written as any change is.
    private static HeldBlock Copy(HeldBlock held)
    {
        if (!held.IsGuest)
            return held;
        var copy = held.Block.Clone();
        copy.SequenceNumber++;
        return held with { Block = copy };
    }

    public static LeaseCommit Plan(IReadOnlyDictionary<Cidr, HeldBlock> held, IReadOnlyList<LeaseRequest> queue,
        LeaseProtocol.ReleaseAllBut? reconcile, AddressesInUse inUse, LeaseRules rules, string node, bool isCareful)
    {
        var commit = new LeaseCommit(held, inUse, rules) { IsCareful = isCareful };
        var freed = reconcile is null ? 0 : commit.FreeWhatIsLeft(reconcile, held, queue, node);
        // What was asked for one handle stays in order.
        var behind = new HashSet<string>(StringComparer.Ordinal);
        var areUnknown = false;
        void Wait(LeaseRequest request)
        {
            behind.Add(request.Handle);
            commit.Waiting.Add(request);
        }
        foreach (var request in queue)
        {
            var isUnknown = request is LeaseRequest.Release { Elsewhere: null };
            // Until it is known where a release's addresses are it waits; and so does what was promised, perhaps of those addresses.
            if (isUnknown || behind.Contains(request.Handle) || (areUnknown && request is LeaseRequest.Allocate { IsPromise: true }))
            {
                areUnknown |= isUnknown;
                Wait(request);
            }
            // What reconciling gives back may fill a transaction alone.
            else if (freed > 0 || (isCareful ? commit.Entries.Count > 0 : commit.IsFull))
            {
                Wait(request);
                // The block that it lacked the last time may be here now.
                if (request is LeaseRequest.Allocate later)
                    later.Lacks = null;
            }
            else if (!commit.TryAdd(request, out var refusal))
            {
                if (refusal is null)
                    Wait(request);
                else
                    commit.Refused.Add((request, refusal));
            }
        }
        commit.Batch.Seal();
        return commit;
    }

    private int FreeWhatIsLeft(LeaseProtocol.ReleaseAllBut reconcile, IReadOnlyDictionary<Cidr, HeldBlock> held, IReadOnlyList<LeaseRequest> queue, string node)
    {
        // What was asked for since may be durable already, if nobody heard of it: who asked for it is not left over.
        var asked = queue.OfType<LeaseRequest.Allocate>().Select(r => r.Handle).ToHashSet(StringComparer.Ordinal);
        Reconcile = reconcile;
        var left = held.Values.Where(h => !h.IsGuest).SelectMany(h => h.Block.Assigned())
            .Where(a => a.Owner["pod"] is not null && BlockTransactions.BelongsTo(a.Owner, node)
                && a.Owner.HandleId is { } handle && reconcile.IsLeft(a.Address, handle)
                && !asked.Contains(handle) && !IsUsed(handle, a.Address))
            .Select(a => (a.Address, Handle: a.Owner.HandleId!)).ToList();
        var now = new HashSet<IpAddr>();
        var blocks = new HashSet<Cidr>();
        var handles = new HashSet<string>(StringComparer.Ordinal);
        foreach (var (address, handle) in left)
        {
            blocks.Add(held.Values.First(h => !h.IsGuest && h.Block.Cidr.Contains(address)).Block.Cidr);
            handles.Add(handle);
            if ((2 * blocks.Count) + handles.Count > DatastoreLimits.MaxTransactionOperations)
                break;
            now.Add(address);
        }
        IsReconciled = now.Count == left.Count;
        return Batch.ReleaseWhere((a, _) => now.Contains(a)).Length;
    }
}

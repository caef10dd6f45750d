using System.Collections.Immutable;
using Calico.Core.Ipam;
using Calico.Core.Net;

namespace Calico.Actors.Ipam;

/// <summary>One group commit: which of the waiting requests it carries and what it writes.</summary>
internal sealed class LeaseCommit : LeasePlan
{
    /// <summary>etcd takes 128 operations a transaction; a request makes at most four writes and five compares.</summary>
    private const int MaxRequests = 24;

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
    public bool IsEmpty => Batch.IsEmpty && Batch.Relied.Count == 0 && Alongside.IsEmpty;

    /// <summary>Only frees what has rested.</summary>
    public static LeaseCommit Tidy(IReadOnlyDictionary<Cidr, HeldBlock> held, AddressesInUse inUse, LeaseRules rules)
    {
        var commit = new LeaseCommit(held, inUse, rules);
        commit.Batch.CollectRested(MaxRequests);
        commit.Batch.Seal();
        return commit;
    }

    /// <summary>The one before failed: carry one request only, and assume nothing of handles.</summary>
    public bool IsCareful { get; private init; }

    public static LeaseCommit Plan(IReadOnlyDictionary<Cidr, HeldBlock> held, IReadOnlyList<LeaseRequest> queue,
        LeaseProtocol.ReleaseAllBut? reconcile, AddressesInUse inUse, LeaseRules rules, string node, bool isCareful)
    {
        var commit = new LeaseCommit(held, inUse, rules) { IsCareful = isCareful };
        var most = isCareful ? 1 : MaxRequests;
        var freed = reconcile is null ? 0 : commit.FreeWhatIsLeft(reconcile, held, node);
        var unknown = new HashSet<string>(StringComparer.Ordinal);
        foreach (var request in queue)
        {
            // Until it is known where its addresses are, what comes later for the same handle waits, too.
            if (request is LeaseRequest.Release { Elsewhere: null } || unknown.Contains(request.Handle))
            {
                unknown.Add(request.Handle);
                commit.Waiting.Add(request);
                continue;
            }
            // What reconciling gives back may fill a transaction alone.
            if (commit.Entries.Count >= most || freed > 0)
            {
                commit.Waiting.Add(request);
                // The block that it lacked the last time may be here now.
                if (request is LeaseRequest.Allocate later)
                    later.Lacks = null;
            }
            else if (!commit.TryAdd(request, out var refusal))
            {
                if (refusal is null)
                    commit.Waiting.Add(request);
                else
                    commit.Refused.Add((request, refusal));
            }
        }
        commit.Batch.Seal();
        return commit;
    }

    private int FreeWhatIsLeft(LeaseProtocol.ReleaseAllBut reconcile, IReadOnlyDictionary<Cidr, HeldBlock> held, string node)
    {
        Reconcile = reconcile;
        var left = held.Values.Where(h => !h.IsGuest).SelectMany(h => h.Block.Assigned())
            .Where(a => a.Owner["pod"] is not null && BlockTransactions.BelongsTo(a.Owner, node)
                && a.Owner.HandleId is { } handle && reconcile.IsLeft(a.Address, handle))
            .Select(a => a.Address).Take(BlockTransactions.MaxFreed + 1).ToList();
        IsReconciled = left.Count <= BlockTransactions.MaxFreed;
        var now = left.Take(BlockTransactions.MaxFreed).ToHashSet();
        return Batch.ReleaseWhere((a, _) => now.Contains(a)).Length;
    }
}

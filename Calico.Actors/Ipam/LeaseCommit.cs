using System.Collections.Immutable;
using Akka.Actor;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Actors.Ipam;

/// <summary>How a node's lease behaves.</summary>
public sealed record LeaseOptions
{
    /// <summary>How long a request may wait for a block or the datastore.</summary>
    public TimeSpan RequestTimeout { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>Requests beyond this many waiting are turned away at once.</summary>
    public int MaxWaiting { get; init; } = 1000;

    /// <summary>Blocks one host may hold (upstream's default cap).</summary>
    public int MaxBlocks { get; init; } = 20;
}

/// <summary>A request that waits, with whom to answer and until when.</summary>
internal abstract record LeaseRequest(IActorRef ReplyTo, TimeSpan Deadline)
{
    public abstract void Fail(string reason, bool retryable, bool isTaken = false);

    public sealed record Allocate(LeaseProtocol.Allocate Message, IActorRef ReplyTo, TimeSpan Deadline) : LeaseRequest(ReplyTo, Deadline)
    {
        /// <summary>The family in which no block held has room; null while that is not known.</summary>
        public IpVersion? Lacks { get; init; }

        public override void Fail(string reason, bool retryable, bool isTaken = false) =>
            ReplyTo.Tell(new LeaseProtocol.NotAllocated(Message.RequestId, reason, retryable, isTaken));
    }

    public sealed record Release(LeaseProtocol.Release Message, IActorRef ReplyTo, TimeSpan Deadline) : LeaseRequest(ReplyTo, Deadline)
    {
        public override void Fail(string reason, bool retryable, bool isTaken = false) =>
            ReplyTo.Tell(new LeaseProtocol.NotReleased(Message.RequestId, reason));
    }
}

/// <summary>
/// One group commit: which of the waiting requests it carries, what it writes, and what each is answered when it has
/// succeeded. Planning touches nothing.
/// </summary>
internal sealed class LeaseCommit
{
    /// <summary>etcd takes 128 operations a transaction; a request makes at most four writes and five compares.</summary>
    private const int MaxRequests = 24;

    private readonly AddressesInUse _inUse;
    private readonly List<Action> _answers = [];
    private readonly List<Write> _alongside = [];

    private LeaseCommit(LeaseBatch batch, AddressesInUse inUse)
    {
        Batch = batch;
        _inUse = inUse;
    }

    public LeaseBatch Batch { get; }
    public List<LeaseRequest> Included { get; } = [];

    /// <summary>Not in this commit: no block held has room, or the transaction is full.</summary>
    public List<LeaseRequest> Waiting { get; } = [];
    public List<(LeaseRequest Request, string Reason, bool IsTaken)> Refused { get; } = [];
    public LeaseProtocol.ReleaseAllBut? Reconcile { get; private set; }

    /// <summary>Whether nothing is left to reconcile once this commit has succeeded.</summary>
    public bool IsReconciled { get; private set; } = true;

    /// <summary>The one before failed: carry one request only, and assume nothing of handles.</summary>
    public bool IsCareful { get; private init; }
    public IEnumerable<Write> Alongside => _alongside;
    public bool IsEmpty => Batch.IsEmpty && Batch.Relied.Count == 0 && _alongside.Count == 0;

    public static LeaseCommit Plan(IReadOnlyDictionary<Cidr, HeldBlock> held, IReadOnlyList<LeaseRequest> queue,
        LeaseProtocol.ReleaseAllBut? reconcile, AddressesInUse inUse, Reservations reserved, string node, bool isCareful)
    {
        var commit = new LeaseCommit(new LeaseBatch(held, a => inUse.Contains(a) || reserved.Contains(a)), inUse) { Reconcile = reconcile, IsCareful = isCareful };
        var most = isCareful ? 1 : MaxRequests;
        var freed = 0;
        if (reconcile is not null)
        {
            var left = held.Values.SelectMany(h => h.Block.Assigned())
                .Where(a => a.Owner["pod"] is not null && BlockTransactions.BelongsTo(a.Owner, node)
                    && a.Owner.HandleId is { } handle && !reconcile.Handles.Contains(handle) && !reconcile.InUse.ContainsKey(a.Address))
                .Select(a => a.Address).Take(BlockTransactions.MaxFreed + 1).ToList();
            commit.IsReconciled = left.Count <= BlockTransactions.MaxFreed;
            var now = left.Take(BlockTransactions.MaxFreed).ToHashSet();
            freed = commit.Batch.ReleaseWhere((a, _) => now.Contains(a)).Length;
        }
        foreach (var request in queue)
        {
            // What reconciling gives back may fill a transaction alone. Who waits for the next one lacks nothing yet:
            // the block that it lacked the last time may be here now.
            if (commit.Included.Count >= most || freed > 0)
                commit.Waiting.Add(request is LeaseRequest.Allocate later ? later with { Lacks = null } : request);
            else if (request is LeaseRequest.Allocate allocate)
                commit.Add(allocate);
            else if (request is LeaseRequest.Release release)
                commit.Add(release);
        }
        return commit;
    }

    public void Answer() => _answers.ForEach(a => a());

    private void Add(LeaseRequest.Allocate allocate)
    {
        if (_inUse.UsedByAnother(allocate.Message.Request) is { } used)
        {
            Refused.Add((allocate, $"address {used.Address} cannot be assigned: it is in use on this node by {used.Handle ?? "a pod that is not known"}", true));
            return;
        }
        switch (Batch.Allocate(allocate.Message.Request))
        {
            case AllocationOutcome.Granted granted:
                Included.Add(allocate);
                _alongside.AddRange(allocate.Message.Alongside(granted.Addresses));
                _answers.Add(() =>
                {
                    _inUse.Add(allocate.Message.Request.HandleId, granted.Addresses);
                    allocate.ReplyTo.Tell(new LeaseProtocol.Allocated(allocate.Message.RequestId, granted.Addresses));
                });
                break;
            case AllocationOutcome.Refused { Reason: AllocationRefusal.NotInBlock } refused:
                Waiting.Add(allocate with { Lacks = refused.Address.Version });
                break;
            case AllocationOutcome.NeedsBlock needs:
                Waiting.Add(allocate with { Lacks = needs.Family });
                break;
            case AllocationOutcome.Refused refused:
                Refused.Add((allocate, $"address {refused.Address} cannot be assigned: {refused.Reason}, it belongs to {refused.Owner ?? "nobody"}", true));
                break;
        }
    }

    private void Add(LeaseRequest.Release release)
    {
        var freed = Batch.ReleaseHandle(release.Message.HandleId);
        Included.Add(release);
        _alongside.AddRange(release.Message.Alongside);
        _answers.Add(() =>
        {
            _inUse.Remove(release.Message.HandleId, freed);
            release.ReplyTo.Tell(new LeaseProtocol.Released(release.Message.RequestId, freed));
        });
    }
}

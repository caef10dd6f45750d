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
internal abstract record LeaseRequest(IActorRef ReplyTo, DateTimeOffset Deadline)
{
    public abstract void Fail(string reason, bool retryable);

    public sealed record Allocate(LeaseProtocol.Allocate Message, IActorRef ReplyTo, DateTimeOffset Deadline) : LeaseRequest(ReplyTo, Deadline)
    {
        /// <summary>The family in which no block held has room; null while that is not known.</summary>
        public IpVersion? Lacks { get; init; }

        public override void Fail(string reason, bool retryable) =>
            ReplyTo.Tell(new LeaseProtocol.NotAllocated(Message.RequestId, reason, retryable));
    }

    public sealed record Release(LeaseProtocol.Release Message, IActorRef ReplyTo, DateTimeOffset Deadline) : LeaseRequest(ReplyTo, Deadline)
    {
        public override void Fail(string reason, bool retryable) =>
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

    private readonly List<Action> _answers = [];
    private readonly List<(Compare?, Write)> _alongside = [];

    private LeaseCommit(LeaseBatch batch) => Batch = batch;

    public LeaseBatch Batch { get; }
    public List<LeaseRequest> Included { get; } = [];

    /// <summary>Not in this commit: no block held has room, or the transaction is full.</summary>
    public List<LeaseRequest> WaitingForBlock { get; } = [];
    public List<(LeaseRequest Request, string Reason)> Refused { get; } = [];
    public LeaseProtocol.ReleaseAllBut? Reconcile { get; private set; }
    public IEnumerable<(Compare?, Write)> Alongside => _alongside;
    public bool IsEmpty => Batch.IsEmpty && _alongside.Count == 0;

    public static LeaseCommit Plan(IReadOnlyDictionary<Cidr, HeldBlock> held, IReadOnlyList<LeaseRequest> queue,
        LeaseProtocol.ReleaseAllBut? reconcile, string node)
    {
        var commit = new LeaseCommit(new LeaseBatch(held)) { Reconcile = reconcile };
        if (reconcile is not null)
        {
            commit.Batch.ReleaseWhere((a, o) => o["pod"] is not null && o["node"] == node
                && o.HandleId is { } handle && !reconcile.Handles.Contains(handle) && !reconcile.InUse.Contains(a));
        }
        foreach (var request in queue)
        {
            if (commit.Included.Count >= MaxRequests)
                commit.WaitingForBlock.Add(request);
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
        switch (Batch.Allocate(allocate.Message.Request))
        {
            case AllocationOutcome.Granted granted:
                Included.Add(allocate);
                _alongside.AddRange(allocate.Message.Alongside(granted.Addresses).Select(w => ((Compare?)null, w)));
                _answers.Add(() => allocate.ReplyTo.Tell(new LeaseProtocol.Allocated(allocate.Message.RequestId, granted.Addresses)));
                break;
            case AllocationOutcome.Refused { Reason: AllocationRefusal.NotInBlock } refused:
                WaitingForBlock.Add(allocate with { Lacks = refused.Address.Version });
                break;
            case AllocationOutcome.NeedsBlock needs:
                WaitingForBlock.Add(allocate with { Lacks = needs.Family });
                break;
            case AllocationOutcome.Refused refused:
                Refused.Add((allocate, $"address {refused.Address} cannot be assigned: {refused.Reason}, it belongs to {refused.Owner ?? "nobody"}"));
                break;
        }
    }

    private void Add(LeaseRequest.Release release)
    {
        var freed = Batch.ReleaseHandle(release.Message.HandleId);
        Included.Add(release);
        _alongside.AddRange(release.Message.Alongside.Select(w => ((Compare?)null, w)));
        _answers.Add(() => release.ReplyTo.Tell(new LeaseProtocol.Released(release.Message.RequestId, freed)));
    }
}

/// <summary>The lease's conversations with the datastore.</summary>
internal static class LeaseStore
{
    /// <summary>The blocks whose confirmed affinity names this node, read as they are now.</summary>
    public static async Task<ImmutableArray<HeldBlock>> LoadAsync(IDatastore datastore, string node, CancellationToken cancellation)
    {
        var held = ImmutableArray.CreateBuilder<HeldBlock>();
        string? next = null;
        do
        {
            var page = await datastore.ListAsync(IpamKeys.AffinitiesOf(node), next, cancellation: cancellation);
            next = page.Next;
            foreach (var affinity in page.Items)
            {
                if (!IpamKeys.TryParseAffinity(affinity.Key, out _, out var cidr)
                    || IpamJson.ParseAffinityState(affinity.Value) != "confirmed")
                    continue;
                if (await datastore.GetAsync(IpamKeys.Block(cidr), cancellation) is { } stored
                    && IpamJson.ParseBlock(stored.Value) is { } block && block.AffineHost == node)
                    held.Add(new HeldBlock(block, stored.ModRevision, affinity.ModRevision));
            }
        }
        while (next is not null);
        return held.ToImmutable();
    }

    /// <summary>
    /// Carries the commit out. A handle that gains its first address is assumed to be new (the transaction finds out
    /// if not); one that loses addresses is read first.
    /// </summary>
    public static async Task<TransactionResult> CommitAsync(IDatastore datastore, string node, LeaseCommit commit,
        IReadOnlyDictionary<Cidr, HeldBlock> held, Dictionary<string, KeyValue?> handles, CancellationToken cancellation)
    {
        foreach (var (id, deltas) in commit.Batch.HandleDeltas)
        {
            if (deltas.Values.Any(d => d < 0))
                handles[id] = await datastore.GetAsync(IpamKeys.Handle(id), cancellation);
        }
        var transaction = BlockTransactions.Commit(node, commit.Batch, held, handles, commit.Alongside);
        return await datastore.CommitAsync(transaction, cancellation);
    }
}

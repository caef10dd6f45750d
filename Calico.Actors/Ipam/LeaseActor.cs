using System.Collections.Immutable;
using Akka.Actor;
using Akka.Event;
using Calico.Actors.Gateway;
using Calico.Core.Feed;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Actors.Ipam;

/// <summary>
/// The blocks this node holds and who has which address in them. Child of the node's guardian; the only writer of its
/// blocks. Requests that arrive while a transaction is under way are taken together into the next one (group commit);
/// an answer is sent only after its transaction is durable. Every write compares the epoch of the grant, so a node
/// that lost a block writes nothing more. Its death loses nothing: it loads again what the datastore says.
/// <code>
///   Allocate ─► queue ─► LeaseBatch ─► one transaction ─► Allocated
///                 │ no room
///                 └────► BlockSearch: next candidate ─► owner of that block ─► granted ─► queue again
/// </code>
/// </summary>
public sealed class LeaseActor : ReceiveActor, IWithTimers
{
    private sealed record Loaded(ImmutableArray<HeldBlock> Blocks, ImmutableArray<string> Unreadable) : Protocol.ITick;
    private sealed record LoadFailed(Exception Cause) : Protocol.ITick;
    private sealed record Fetched(HeldBlock? Held, string? Failure) : Protocol.ITick;
    private sealed record Committed(LeaseCommit Commit, TransactionResult Result) : Protocol.ITick;
    private sealed record CommitFailed(LeaseCommit Commit, Exception Cause) : Protocol.ITick;
    private sealed record LoadAgain : Protocol.ITick;
    private sealed record WorkAgain : Protocol.ITick;
    private sealed record Expire : Protocol.ITick;

    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(1);

    private readonly IDatastore _datastore;
    private readonly string _node;
    private readonly IActorRef _upstream;
    private readonly Uptime _uptime;
    private readonly LeaseOptions _options;
    private readonly AddressesInUse _inUse;
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly CancellationTokenSource _stopped = new();
    private readonly HeldBlocks _held;
    private readonly LeaseQueue _queue;
    private readonly List<IActorRef> _subscribers = [];
    private readonly BlockSearch _search;
    private readonly Reservations _reserved = new();
    private bool _loaded;
    private bool _reading;
    private bool _committing;
    private bool _readAgain;
    private int _setbacks;
    private string? _trouble;
    private LeaseProtocol.ReleaseAllBut? _reconcile;

    public ITimerScheduler Timers { get; set; } = null!;

    // Which addresses are in use is in nobody else's memory, so it outlives the actor. One actor for each Props.
    public static Props Props(IDatastore datastore, string node, IActorRef upstream, TimeProvider time, LeaseOptions options)
    {
        var inUse = new AddressesInUse();
        return Akka.Actor.Props.Create(() => new LeaseActor(datastore, node, upstream, time, options, inUse));
    }

    /// <inheritdoc cref="Props"/>
    public LeaseActor(IDatastore datastore, string node, IActorRef upstream, TimeProvider time, LeaseOptions options, AddressesInUse inUse)
    {
        _inUse = inUse;
        _datastore = datastore;
        _node = node;
        _upstream = upstream;
        _uptime = new Uptime(time);
        _options = options;
        _held = new HeldBlocks(node);
        _queue = new LeaseQueue(options.MaxWaiting);
        _search = new BlockSearch(node, options.MaxBlocks, _reserved);

        Receive<LeaseProtocol.Allocate>(OnAllocate);
        Receive<LeaseProtocol.Release>(OnRelease);
        Receive<LeaseProtocol.ReleaseAllBut>(OnReleaseAllBut);
        Receive<LeaseProtocol.Verify>(v => Sender.Tell(new LeaseProtocol.Doubts(_loaded && !_reading, [.. v.Tenants.Where(t => !_held.Gives(t))])));
        Receive<LeaseProtocol.Subscribe>(OnSubscribe);
        Receive<LeaseProtocol.GetStatus>(_ => Sender.Tell(Status()));
        Receive<UpstreamProtocol.ResourcesChanged>(OnResources);
        Receive<UpstreamProtocol.MembersChanged>(_ => { });
        Receive<UpstreamProtocol.PoliciesChanged>(_ => { });
        Receive<BlockProtocol.BlockGranted>(OnGranted);
        Receive<BlockProtocol.BlockRefused>(OnRefused);
        Receive<Loaded>(OnLoaded);
        Receive<LoadFailed>(OnLoadFailed);
        Receive<Fetched>(OnFetched);
        Receive<Committed>(c => OnCommitted(c.Commit, c.Result));
        Receive<CommitFailed>(OnCommitFailed);
        Receive<LoadAgain>(_ => Load());
        Receive<WorkAgain>(_ => Work());
        Receive<Expire>(_ => FailExpired());
        Receive<Terminated>(t => _subscribers.Remove(t.ActorRef));
    }

    protected override void PreStart()
    {
        _upstream.Tell(new UpstreamProtocol.Subscribe(Self));
        Load();
    }

    // The successor reads the blocks again; who waits asks again, who subscribed is kept. A commit under way reports to it.
    protected override void PreRestart(Exception reason, object message)
    {
        _queue.FailAll("the lease of this node starts again");
        foreach (var subscriber in _subscribers)
            Self.Tell(new LeaseProtocol.Subscribe(subscriber));
        if (_reconcile is not null)
            Self.Tell(_reconcile);
        base.PreRestart(reason, message);
    }

    protected override void PostStop()
    {
        _stopped.Cancel();
        _stopped.Dispose();
    }

    private TimeSpan Deadline() => _uptime.Now + _options.RequestTimeout;

    private void OnAllocate(LeaseProtocol.Allocate allocate)
    {
        var request = new LeaseRequest.Allocate(allocate, Sender, Deadline());
        if (allocate.IsReclaim && !_inUse.IsUsedBy(allocate.Request.HandleId, allocate.Request.Wanted))
            request.Fail("no workload here uses it any more", retryable: false);
        else
            Enqueue(request);
    }

    // From here on nothing is reclaimed for the workload, also if this release has to be repeated.
    private void OnRelease(LeaseProtocol.Release release)
    {
        _inUse.Remove(release.HandleId, []);
        _queue.DropReclaims(release.HandleId);
        Enqueue(new LeaseRequest.Release(release, Sender, Deadline()));
    }

    private void OnReleaseAllBut(LeaseProtocol.ReleaseAllBut reconcile)
    {
        foreach (var (address, handle) in reconcile.InUse)
            _inUse.Add(handle, [address]);
        _reconcile = reconcile;
        Work();
    }

    private void Enqueue(LeaseRequest request)
    {
        _queue.Add(request);
        Work();
    }

    // ---- loading -------------------------------------------------------------------------------------------------

    // Nothing is written while the blocks are being read: what came back would be older than what was written.
    private void Load()
    {
        _reading = true;
        _readAgain = false;
        LeaseStore.LoadAsync(_datastore, _node, _stopped.Token)
            .PipeTo(Self, success: b => new Loaded(b.Held, b.Unreadable), failure: e => new LoadFailed(e));
    }

    private void OnLoadFailed(LoadFailed failed)
    {
        _log.Warning("lease of {Node}: blocks cannot be read: {Cause}; trying again", _node, failed.Cause.Message);
        _trouble = failed.Cause.Message;
        LoadLater();
    }

    private void LoadLater()
    {
        _reading = true;
        Timers.StartSingleTimer(nameof(LoadAgain), new LoadAgain(), RetryAfter);
    }

    private void OnLoaded(Loaded loaded)
    {
        _held.Replace(loaded.Blocks);
        foreach (var block in loaded.Unreadable)
            _log.Error("lease of {Node}: a block it holds cannot be read and is left alone: {Block}", _node, block);
        _log.Info("lease of {Node}: holds {Blocks} blocks", _node, _held.Count);
        _loaded = true;
        _reading = false;
        _trouble = null;
        PublishHeld();
        if (_readAgain)
            Load();
        Work();
    }

    // A block that was taken from this node must not be announced until the next pod comes by.
    private void OnResources(UpstreamProtocol.ResourcesChanged changed)
    {
        _search.Learn(changed.Items, changed.InSync);
        foreach (var item in changed.Items)
            LearnReservation(item);
        if (!_loaded || !changed.Items.Any(_held.IsNews))
            return;
        if (_reading)
            _readAgain = true;
        else
            Load();
    }

    private void LearnReservation(FeedItem item)
    {
        if (!ResourceKey.TryParse(item.Key, out var key) || key.Kind != ResourceKind.IPReservation)
            return;
        try
        {
            _reserved.Set(key.Name, item.Value is { } value ? ((IPReservation)ResourceCodec.Decode(key.Kind, value.Span)).Spec.ReservedCIDRs : []);
        }
        catch (InvalidResourceException e)
        {
            _log.Error("{Key} cannot be read and stays as it was: {Cause}", key, e.Message);
        }
    }

    // ---- the group commit ----------------------------------------------------------------------------------------

    private void Work()
    {
        if (_queue.Count > 0 && !Timers.IsTimerActive(nameof(Expire)))
            Timers.StartSingleTimer(nameof(Expire), new Expire(), RetryAfter);
        if (!_loaded || _reading || _committing)
            return;
        FailExpired();
        var commit = Plan();
        // What needs no transaction is answered at once, and makes room for what follows.
        while (commit.IsEmpty && commit.Included.Count > 0 && _queue.Count > 0)
            commit = Plan();
        if (!commit.IsEmpty)
        {
            _committing = true;
            LeaseStore.CommitAsync(_datastore, _node, commit, _held.All.ToDictionary(), _stopped.Token)
                .PipeTo(Self, success: r => new Committed(commit, r), failure: e => new CommitFailed(commit, e));
        }
        if (_queue.Count > 0)
            Claim();
    }

    private LeaseCommit Plan()
    {
        var commit = LeaseCommit.Plan(_held.All, _queue.All, _reconcile, _inUse, _reserved, _node, isCareful: _setbacks > 0);
        _queue.Replace(commit.Waiting);
        _reconcile = null;
        foreach (var (request, reason, isTaken) in commit.Refused)
            request.Fail(reason, retryable: false, isTaken);
        if (commit.IsEmpty)
            commit.Answer();
        return commit;
    }

    private void OnCommitted(LeaseCommit commit, TransactionResult result)
    {
        _committing = false;
        if (!result.Succeeded)
        {
            // Somebody else wrote: a released address, a borrowed one, or the block is no longer ours. Look again.
            _log.Debug("lease of {Node}: its view was out of date, reading it again", _node);
            Requeue(commit);
            if (_setbacks == 1)
                Load();
            else
                LoadLater();
            return;
        }
        _setbacks = 0;
        // A commit that an earlier incarnation began may come before the blocks are known.
        _held.Written(commit.Batch.Changed, result.Revision);
        if (!commit.IsReconciled)
            _reconcile ??= commit.Reconcile;
        commit.Answer();
        Work();
    }

    private void OnCommitFailed(CommitFailed failed)
    {
        _committing = false;
        _log.Warning("lease of {Node}: whether a transaction happened is not known: {Cause}; reading again", _node, failed.Cause.Message);
        Requeue(failed.Commit);
        _trouble = failed.Cause.Message;
        LoadLater();
        FailExpired();
    }

    // One request may be what the transaction failed for: each of the next ones is alone, and this one behind the others.
    private void Requeue(LeaseCommit commit)
    {
        _queue.Return(commit.Included, first: _setbacks++ == 0);
        _reconcile ??= commit.Reconcile;
    }

    private void FailExpired()
    {
        _queue.Expire(_uptime.Now, r => _trouble is null ? _search.WhyNot(r) : "the datastore does not answer: " + _trouble);
        if (_queue.Count > 0)
            Timers.StartSingleTimer(nameof(Expire), new Expire(), RetryAfter);
    }

    // ---- claiming blocks -----------------------------------------------------------------------------------------

    private void Claim()
    {
        foreach (var request in _queue.All.OfType<LeaseRequest.Allocate>().ToList())
        {
            switch (_search.Next(request, _held.All.Keys, _uptime.Now))
            {
                case BlockSearch.Step.Ask ask:
                    _upstream.Tell(new MeshLinkProtocol.ToBlock(new BlockProtocol.ClaimBlock(ask.Block, _node, ask.RequestId)));
                    break;
                case BlockSearch.Step.Exhausted exhausted:
                    _queue.Remove(request);
                    request.Fail(exhausted.Reason, retryable: false, exhausted.IsTaken);
                    break;
            }
        }
        if (_queue.Count > 0)
            Timers.StartSingleTimer(nameof(WorkAgain), new WorkAgain(), RetryAfter / 4);
    }

    private void OnGranted(BlockProtocol.BlockGranted granted)
    {
        // Also one that comes late, when its question has been asked again or given up: the block is this node's.
        _search.Answered(granted.RequestId);
        if (granted.Node != _node || _held.Contains(granted.Block))
            return;
        LeaseStore.FetchAsync(_datastore, granted, _stopped.Token).PipeTo(Self,
            success: held => new Fetched(held, null), failure: e => new Fetched(null, $"{granted.Block}: {e.Message}"));
    }

    private void OnFetched(Fetched fetched)
    {
        if (fetched.Failure is { } failure)
            _log.Warning("lease of {Node}: a block that was granted cannot be read: {Cause}", _node, failure);
        if (_loaded && !_reading && fetched.Held is { } held && _held.TryAdd(held))
        {
            _log.Info("lease of {Node}: holds block {Block} at epoch {Epoch}", _node, held.Block.Cidr, held.Epoch);
            PublishHeld();
        }
        Work();
    }

    private void OnRefused(BlockProtocol.BlockRefused refused)
    {
        if (_search.Refused(refused, _uptime.Now))
            Work();
    }

    // ---- what others may know ------------------------------------------------------------------------------------

    private void OnSubscribe(LeaseProtocol.Subscribe subscribe)
    {
        if (!_subscribers.Contains(subscribe.Subscriber))
            _subscribers.Add(subscribe.Subscriber);
        Context.Watch(subscribe.Subscriber);
        subscribe.Subscriber.Tell(Held());
    }

    private void PublishHeld()
    {
        foreach (var subscriber in _subscribers)
            subscriber.Tell(Held());
    }

    private LeaseProtocol.HeldBlocks Held() => new(_held.Epochs(), _loaded);

    private LeaseProtocol.Status Status() => new(_loaded, _held.Status(), _queue.Count);
}

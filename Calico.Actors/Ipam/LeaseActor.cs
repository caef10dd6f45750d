using System.Collections.Immutable;
using Akka.Actor;
using Akka.Event;
using Calico.Actors.Gateway;
using Calico.Datastore;

namespace Calico.Actors.Ipam;

/// <summary>
/// The blocks this node holds and who has which address in them. Child of the node's guardian; the only writer of its
/// blocks. Requests that arrive while a transaction is under way are taken together into the next one (group commit).
/// An answer is sent when it is decided from blocks held, or, with <see cref="LeaseAnswer.Durable"/>, when it is durable. Every write compares the epoch of the grant, so a node
/// that lost a block writes nothing more. Its death loses nothing: it loads again what the datastore says.
/// While the datastore is away, answers come from the blocks held and are written when it returns
/// (<see cref="LeaseLedger.Promise"/>); the workload journal has them meanwhile.
/// <code>
///   Allocate ─► LeaseLedger ─► one transaction ─► Allocated
///                 │ no room
///                 └────► BlockSearch: next candidate ─► owner of that block ─► granted ─► ledger again
/// </code>
/// </summary>
public sealed partial class LeaseActor : ReceiveActor, IWithTimers
{
    private sealed record Loaded(object Reading, LeaseStore.View View) : Protocol.ITick;
    private sealed record LoadFailed(object Reading, Exception Cause) : Protocol.ITick;
    private sealed record Fetched(Core.Ipam.HeldBlock? Held, string? Failure) : Protocol.ITick;
    private sealed record Committed(LeaseCommit Commit, Transaction Sent, TransactionResult Result) : Protocol.ITick;
    private sealed record CommitFailed(LeaseCommit Commit, Exception Cause) : Protocol.ITick;
    private sealed record Inherited(LeaseLedger.Inheritance From) : Protocol.ITick;
    private sealed record LoadAgain : Protocol.ITick;
    private sealed record WorkAgain : Protocol.ITick;

    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(1);

    private readonly IDatastore _datastore;
    private readonly string _node;
    private readonly IActorRef _upstream;
    private readonly Uptime _uptime;
    private readonly LeaseOptions _options;
    private readonly AddressesInUse _inUse;
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly CancellationTokenSource _stopped = new();
    private readonly LeaseLedger _ledger;
    private readonly KnownHandles _handles = new();
    private readonly LeaseSettings _settings;
    private readonly DatastoreContact _contact;
    private readonly BlockSearch _search;
    private readonly Borrowing _borrowing;
    private readonly Lending _lending = new();
    private readonly BlockSurplus _surplus;
    private readonly Departures _departures;
    private readonly HashSet<LeaseRequest> _lookingUp = [];
    private readonly List<IActorRef> _subscribers = [];
    private ImmutableArray<string> _unreadable = [];
    private int _toldHeld = -1;

    // The reading under way, or to come; what an earlier one finds counts no more.
    private object? _reading;
    private bool _readAgain;
    private bool _promising;

    public ITimerScheduler Timers { get; set; } = null!;

    // Which addresses are in use, and which transactions may still happen, is in nobody else's memory, so it outlives the actor. One actor for each Props.
    public static Props Props(IDatastore datastore, string node, IActorRef upstream, TimeProvider time, LeaseOptions options)
    {
        var inUse = new AddressesInUse();
        var departures = new Departures(node);
        return Akka.Actor.Props.Create(() => new LeaseActor(datastore, node, upstream, time, options, inUse, departures));
    }

    /// <inheritdoc cref="Props"/>
    public LeaseActor(IDatastore datastore, string node, IActorRef upstream, TimeProvider time, LeaseOptions options, AddressesInUse inUse,
        Departures departures)
    {
        _inUse = inUse;
        _datastore = datastore;
        _node = node;
        _upstream = upstream;
        _uptime = new Uptime(time);
        _options = options;
        _ledger = new LeaseLedger(node, options, inUse);
        _settings = new LeaseSettings(time);
        _contact = new DatastoreContact(options);
        _search = new BlockSearch(node, options.MaxBlocks, _settings);
        _borrowing = new Borrowing(node);
        _surplus = new BlockSurplus(node);
        _departures = departures;

        Receive<LeaseProtocol.Allocate>(OnAllocate);
        Receive<LeaseProtocol.Release>(r => Take(new LeaseRequest.Release(r, Sender.Tell, Deadline())));
        Receive<LeaseProtocol.ReleaseAllBut>(OnReleaseAllBut);
        Receive<LeaseProtocol.Verify>(OnVerify);
        Receive<LeaseProtocol.Subscribe>(OnSubscribe);
        Receive<LeaseProtocol.GetStatus>(_ => Sender.Tell(Status()));
        Receive<UpstreamProtocol.ResourcesChanged>(OnResources);
        Receive<UpstreamProtocol.MembersChanged>(OnMembers);
        Receive<UpstreamProtocol.PoliciesChanged>(_ => { });
        Receive<BlockProtocol.BlockGranted>(OnGranted);
        Receive<BlockProtocol.BlockRefused>(OnRefused);
        ReceiveLoans();
        ReceiveSurplus();
        Receive<Loaded>(OnLoaded);
        Receive<LoadFailed>(OnLoadFailed);
        Receive<Fetched>(OnFetched);
        Receive<Committed>(OnCommitted);
        Receive<CommitFailed>(OnCommitFailed);
        Receive<Inherited>(i => _ledger.Inherit(i.From));
        Receive<LoadAgain>(_ => Load());
        Receive<WorkAgain>(_ => Work());
        Receive<Terminated>(t => _subscribers.Remove(t.ActorRef));
    }

    protected override void PreStart()
    {
        _upstream.Tell(new UpstreamProtocol.Subscribe(Self));
        _upstream.Tell(new UpstreamProtocol.AnswerTo(_node, Self));
        Timers.StartPeriodicTimer(nameof(LookForSurplus), new LookForSurplus(), _options.SurplusEvery);
        Load();
    }

    // The successor reads the blocks again; who waits asks again, who subscribed is kept. A commit under way reports to it.
    protected override void PreRestart(Exception reason, object message)
    {
        foreach (var subscriber in _subscribers)
            Self.Tell(new LeaseProtocol.Subscribe(subscriber));
        Self.Tell(new Inherited(_ledger.Resign("the lease of this node starts again")));
        base.PreRestart(reason, message);
    }

    protected override void PostStop()
    {
        _stopped.Cancel();
        _stopped.Dispose();
    }

    private bool IsReading => _reading is not null;

    private TimeSpan Deadline() => _uptime.Now + _options.RequestTimeout;

    private void OnAllocate(LeaseProtocol.Allocate allocate)
    {
        var request = new LeaseRequest.Allocate(allocate, Sender.Tell, Deadline());
        if (allocate.IsReclaim && !_inUse.IsUsedBy(allocate.Request.HandleId, allocate.Request.Wanted))
            request.Fail("no workload here uses it any more", retryable: false);
        else
            Take(request);
    }

    private void Take(LeaseRequest request)
    {
        _ledger.Add(request);
        Work();
    }

    private void OnReleaseAllBut(LeaseProtocol.ReleaseAllBut reconcile)
    {
        _ledger.Add(reconcile);
        Work();
    }

    private void OnVerify(LeaseProtocol.Verify verify)
    {
        var isKnown = _ledger.IsLoaded && !IsReading;
        var doubts = isKnown ? verify.Tenants.Where(t => !_ledger.Gives(t)).ToImmutableArray() : [];
        // What is borrowed is in no block that is followed.
        var elsewhere = doubts.Where(_ledger.GivesHere).Select(t => (Tenant: t, Addresses: t.Addresses.RemoveAll(_ledger.Held.Covers)))
            .Where(t => !t.Addresses.IsEmpty).ToDictionary(t => t.Tenant, t => t.Addresses);
        if (elsewhere.Count == 0)
            Sender.Tell(new LeaseProtocol.Doubts(isKnown, doubts));
        else
            LeaseStore.WithoutElsewhereAsync(_datastore, _node, doubts, elsewhere, _stopped.Token).PipeTo(Sender);
    }

    private void OnMembers(UpstreamProtocol.MembersChanged changed)
    {
        var others = changed.Members.Where(m => m.Reachable && m.Node != _node).Select(m => m.Node).ToList();
        _contact.IsSeenByOthers = others.Count > 0;
        _borrowing.Members(others);
    }

    // ---- loading -------------------------------------------------------------------------------------------------

    // Nothing is written while the blocks are being read: what came back would be older than what was written.
    private void Load()
    {
        var reading = _reading = new object();
        _readAgain = false;
        _contact.ReadBegins(_uptime.Now);
        LeaseStore.LoadAsync(_datastore, _node, [.. _ledger.Guests], _stopped.Token)
            .PipeTo(Self, success: v => new Loaded(reading, v), failure: e => new LoadFailed(reading, e));
    }

    private void OnLoadFailed(LoadFailed failed)
    {
        if (failed.Reading != _reading)
            return;
        if (_contact.Trouble is null)
            _log.Warning("lease of {Node}: blocks cannot be read: {Cause}; trying again until they can", _node, failed.Cause.Message);
        _contact.ReadFailed(failed.Cause.Message);
        LoadLater();
        Work();
    }

    private void LoadLater()
    {
        _reading = new object();
        Timers.StartSingleTimer(nameof(LoadAgain), new LoadAgain(), RetryAfter);
    }

    private void OnLoaded(Loaded loaded)
    {
        if (loaded.Reading != _reading)
            return;
        _contact.ReadSucceeded(_uptime.Now);
        _departures.Load(loaded.View.Leaving);
        var held = loaded.View.Held.Where(_departures.Admits).ToList();
        _ledger.Load(held);
        Tell(loaded.View.Unreadable);
        _lending.Learn(held.Where(b => !b.IsGuest).Select(b => b.Block), isOwnWrite: false, _uptime.Now);
        _reading = null;
        if (_ledger.IsIdle)
            _contact.NothingToWrite();
        PublishHeld();
        if (_readAgain)
            Load();
        Work();
    }

    // Blocks are read after every race that was lost: said is what is new.
    private void Tell(ImmutableArray<string> unreadable)
    {
        foreach (var block in unreadable.Except(_unreadable))
            _log.Error("lease of {Node}: a block it holds cannot be read and is left alone: {Block}", _node, block);
        _unreadable = unreadable;
        var held = _ledger.Held.Own.Count();
        if (held != _toldHeld)
            _log.Info("lease of {Node}: holds {Blocks} blocks", _node, held);
        _toldHeld = held;
    }

    // A block that was taken from this node must not be announced until the next pod comes by.
    private void OnResources(UpstreamProtocol.ResourcesChanged changed)
    {
        _search.Learn(changed.Items, changed.InSync);
        _settings.Learn(changed.Items, Unreadable);
        _surplus.Learn(changed.Items, changed.InSync, Unreadable);
        if (_departures.Learn(changed.Items) || (_ledger.IsLoaded && changed.Items.Any(_ledger.Held.IsNews)))
            ReadAgain();
    }

    private void Unreadable(string key, string cause) => _log.Error("{Key} cannot be read and stays as it was: {Cause}", key, cause);

    // ---- claiming blocks -----------------------------------------------------------------------------------------

    private void Claim()
    {
        foreach (var request in _ledger.InNeed)
        {
            switch (_search.Next(request, _ledger.Held.Own.Select(h => h.Block.Cidr).Concat(_departures.Undecided), _uptime.Now))
            {
                case BlockSearch.Step.Ask ask:
                    _upstream.Tell(new MeshLinkProtocol.ToBlock(new BlockProtocol.ClaimBlock(ask.Block, _node, ask.RequestId)));
                    break;
                // One that is being given back may be this node's still.
                case BlockSearch.Step.Exhausted when _departures.Undecided.Any():
                    break;
                case BlockSearch.Step.Exhausted exhausted:
                    Borrow(request, exhausted);
                    break;
            }
        }
    }

    private void OnGranted(BlockProtocol.BlockGranted granted)
    {
        // Also one that comes late, when its question has been asked again or given up: the block is this node's.
        _search.Answered(granted.RequestId);
        if (granted.Node != _node || _ledger.Held.Holds(granted.Block))
            return;
        LeaseStore.FetchAsync(_datastore, granted, _stopped.Token).PipeTo(Self,
            success: held => new Fetched(held, null), failure: e => new Fetched(null, $"{granted.Block}: {e.Message}"));
    }

    private void OnFetched(Fetched fetched)
    {
        if (fetched.Failure is { } failure)
            _log.Warning("lease of {Node}: a block that was granted cannot be read: {Cause}", _node, failure);
        if (IsReading)
        {
            // The reading under way may be older than the grant.
            _readAgain = true;
        }
        else if (_ledger.IsLoaded && fetched.Held is { } held && _departures.Admits(held) && _ledger.TryAdd(held))
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

    private LeaseProtocol.HeldBlocks Held() => new(_ledger.Held.Epochs(), _ledger.IsLoaded);

    private LeaseProtocol.Status Status() => new(_ledger.IsLoaded, _ledger.Held.Status(), _ledger.Waiting, _ledger.Promises, _contact.Trouble)
    {
        Leaving = [.. _departures.Leaving.Select(l => new LeaseProtocol.LeavingBlock(l.Key, l.Value)),
            .. _departures.Undecided.Select(b => new LeaseProtocol.LeavingBlock(b, null))],
        NothingLeaves = WhyNothingLeaves(_uptime.Now),
    };
}

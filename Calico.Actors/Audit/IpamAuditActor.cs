using Akka.Actor;
using Akka.Event;
using Calico.Actors.Feed;
using Calico.Core.Feed;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Actors.Audit;

/// <summary>
/// Audits the whole cluster's IPAM for metrics: a singleton, so there is one. Pools, nodes, endpoints and reservations come from
/// its member's replica of the feed. Blocks are not in the feed, because each pod changes one and every member would get
/// it; so this one watches them itself: one more watch of the datastore in the cluster, whatever its size. Leaves its
/// figures on the board of its process every few seconds, and takes them off when it ends. Nothing depends on it: its death
/// costs one more listing.
/// </summary>
public sealed class IpamAuditActor : ReceiveActor, IWithTimers
{
    private sealed class Retry : Protocol.ITick
    {
        public static readonly Retry Instance = new();
    }

    private sealed class Publish : Protocol.ITick
    {
        public static readonly Publish Instance = new();
    }

    /// <summary>How long a leak or a duplicate must last to be a suspect: the two ways of news are never so far apart.</summary>
    public static readonly TimeSpan Doubt = TimeSpan.FromSeconds(10);

    /// <summary>How long a leak must last to be called one.</summary>
    public static readonly TimeSpan Certainty = TimeSpan.FromSeconds(60);

    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan PublishEvery = TimeSpan.FromSeconds(5);

    private readonly IDatastore _datastore;
    private readonly IActorRef _replica;
    private readonly IpamBoard _board;
    private readonly TimeProvider _time;
    private readonly Uptime _uptime;
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly CancellationTokenSource _stopped = new();
    private readonly IpamFiguresKeeper _keeper = new(Doubt, Certainty);
    private readonly HashSet<Cidr> _blocks = [];
    private bool _listed;
    private bool _inSync;
    private bool _changed = true;

    public ITimerScheduler Timers { get; set; } = null!;

    /// <param name="datastore">Where the blocks are.</param>
    /// <param name="replica">This member's copy of the feed.</param>
    /// <param name="board">For the figures.</param>
    /// <param name="time">Tells how long a suspicion lasts.</param>
    public static Props Props(IDatastore datastore, IActorRef replica, IpamBoard board, TimeProvider time) =>
        Akka.Actor.Props.Create(() => new IpamAuditActor(datastore, replica, board, time));

    public IpamAuditActor(IDatastore datastore, IActorRef replica, IpamBoard board, TimeProvider time)
    {
        _datastore = datastore;
        _replica = replica;
        _board = board;
        _time = time;
        _uptime = new Uptime(time);

        Receive<FeedProtocol.Changed>(OnResources);
        Receive<PrefixFollower.Listed>(OnListed);
        Receive<PrefixFollower.Watched>(OnWatched);
        Receive<PrefixFollower.Lost>(OnLost);
        Receive<Retry>(_ => Follow());
        Receive<Publish>(_ => OnPublish());
    }

    protected override void PreStart()
    {
        _replica.Tell(new FeedProtocol.Subscribe(Self));
        Follow();
        Timers.StartPeriodicTimer(nameof(Publish), Publish.Instance, PublishEvery);
    }

    protected override void PostStop()
    {
        _board.Put(null);
        _stopped.Cancel();
        _stopped.Dispose();
    }

    private void Follow() => PrefixFollower.Follow(_datastore, IpamKeys.BlockPrefix, Self, _stopped.Token);

    private void OnListed(PrefixFollower.Listed listed)
    {
        var now = new HashSet<Cidr>();
        foreach (var item in listed.Items)
        {
            if (IpamKeys.TryParseBlock(item.Key, out var cidr))
                now.Add(cidr);
            Take(item.Key, item.Value);
        }
        foreach (var gone in _blocks.Where(b => !now.Contains(b)).ToList())
            Take(IpamKeys.Block(gone), null);
        _listed = true;
    }

    private void OnWatched(PrefixFollower.Watched watched)
    {
        foreach (var change in watched.Events)
            Take(change.Key, change.Current?.Value);
    }

    // The figures stay as they were, and so do the suspects.
    private void OnLost(PrefixFollower.Lost lost)
    {
        _log.Warning("audit: blocks cannot be watched: {Cause}; trying again in {Delay}", lost.Cause.Message, RetryAfter);
        Timers.StartSingleTimer(nameof(Retry), Retry.Instance, RetryAfter);
    }

    private void Take(string key, ReadOnlyMemory<byte>? value)
    {
        if (!IpamKeys.TryParseBlock(key, out var cidr))
            return;
        _changed = true;
        if (value is not null)
            _blocks.Add(cidr);
        else
            _blocks.Remove(cidr);
        _keeper.SetBlock(cidr, value is { } stored ? BlockAudit.Read(cidr, stored, _time.GetUtcNow()) : null);
    }

    private void OnResources(FeedProtocol.Changed changed)
    {
        _inSync = changed.InSync;
        foreach (var item in changed.Items)
        {
            if (ResourceKey.TryParse(item.Key, out var key))
                Take(key, item);
        }
    }

    private void Take(ResourceKey key, FeedItem item)
    {
        try
        {
            var resource = item.Value is { } value ? StoredResource.Read(key, value.Span, item.Revision) : null;
            if (key.Kind == ResourceKind.WorkloadEndpoint)
                Use(item.Key, resource is WorkloadEndpoint endpoint ? AddressUses.Of(endpoint) : []);
            else if (key.Kind == ResourceKind.Node)
                Take(item.Key, key.Name, resource as NodeResource);
            else if (key.Kind == ResourceKind.IPPool)
                _keeper.Audit.SetPool(key.Name, resource is IPPool pool ? AddressUses.Of(pool) : null);
            else if (key.Kind == ResourceKind.IPReservation)
                _keeper.Audit.SetReservation(key.Name, resource is IPReservation reservation ? AddressUses.Of(reservation) : null);
            else
                return;
            _changed = true;
        }
        catch (InvalidResourceException e)
        {
            _log.Warning("audit: {Key} cannot be read and counts as it was: {Cause}", item.Key, e.Message);
        }
    }

    private void Take(string key, string name, NodeResource? node)
    {
        _keeper.Audit.SetNode(name, node is not null);
        Use(key, node is null ? [] : AddressUses.Of(node));
    }

    private void Use(string source, IEnumerable<(string Text, AddressUse? Use)> uses) =>
        _keeper.Audit.SetUses(source, [.. uses.Select(u => u.Use).OfType<AddressUse>()]);

    // Before both ways of news have told everything, what is not there yet would look wrong.
    private void OnPublish()
    {
        if (!_inSync || !_listed || (!_changed && !_keeper.HasSuspects))
            return;
        _changed = _keeper.HasSuspects;
        _board.Put(_keeper.Figures(_uptime.Now));
    }
}

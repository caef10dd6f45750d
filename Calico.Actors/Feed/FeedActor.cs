using System.Collections.Immutable;
using Akka.Actor;
using Akka.Event;
using Calico.Core.Feed;
using Calico.Core.Ipam;
using Calico.Core.Policy.Distribution;
using Calico.Datastore;

namespace Calico.Actors.Feed;

/// <summary>
/// The cluster's one reader of the datastore: a singleton that lists and watches Calico's resources and block
/// affinities and serves them as a log to the replicas of all members. Its parent is the singleton manager; when it
/// dies or moves, the next one lists again under a new epoch and readers notice only what really changed.
/// While the datastore is away it goes on serving what it knows.
/// </summary>
public sealed class FeedActor : ReceiveActor, IWithTimers
{
    /// <summary>What is watched: resources, who holds which block (not the blocks themselves, which change with every pod), the allocator's settings.</summary>
    public static readonly ImmutableArray<string> Prefixes =
        ["/calico/resources/v3/projectcalico.org/", IpamKeys.HostPrefix, IpamKeys.Config, EnforcementKeys.RequestPrefix];

    private sealed record Retry(string Prefix) : Protocol.ITick;

    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(2);

    private readonly IDatastore _datastore;
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly CancellationTokenSource _stopped = new();
    private readonly HashSet<string> _listed = [];
    private readonly LogServer _server;
    private readonly IActorRef _warden;

    public ITimerScheduler Timers { get; set; } = null!;

    /// <param name="datastore">What to watch.</param>
    /// <param name="warden">Told every change, to wake the owners of policies and nodes.</param>
    public static Props Props(IDatastore datastore, Props warden, TimeProvider time) =>
        Akka.Actor.Props.Create(() => new FeedActor(datastore, warden, time));

    public FeedActor(IDatastore datastore, Props warden, TimeProvider time)
    {
        _datastore = datastore;
        _server = new LogServer(FeedName.Resources, LogServer.NewLog(time));
        _warden = Context.ActorOf(warden, "warden");

        Receive<FeedProtocol.Pull>(OnPull);
        Receive<PrefixFollower.Listed>(OnListed);
        Receive<PrefixFollower.Watched>(OnWatched);
        Receive<PrefixFollower.Lost>(OnLost);
        Receive<Retry>(r => Follow(r.Prefix));
    }

    // A warden that starts again knows nothing, and the feed would tell it only what changes: they start over together.
    protected override SupervisorStrategy SupervisorStrategy() => new OneForOneStrategy(_ => Directive.Escalate);

    private bool InSync => _listed.Count == Prefixes.Length;

    protected override void PreStart()
    {
        foreach (var prefix in Prefixes)
            Follow(prefix);
    }

    protected override void PostStop()
    {
        _stopped.Cancel();
        _stopped.Dispose();
    }

    // Before everything has been listed a reader would take absence for deletion.
    private void OnPull(FeedProtocol.Pull pull)
    {
        if (InSync)
            _server.Serve(pull, Sender, Self);
    }

    private void OnListed(PrefixFollower.Listed listed)
    {
        var now = listed.Items.Select(i => i.Key).ToHashSet();
        var gone = _server.Log.Keys.Where(k => k.StartsWith(listed.Prefix, StringComparison.Ordinal) && !now.Contains(k)).ToList();
        // First: the last of the first listings is the one that makes us complete, and there may be no change after it.
        if (_listed.Add(listed.Prefix))
            _log.Info("feed {Prefix} listed: {Count} keys at revision {Revision}", listed.Prefix, listed.Items.Length, listed.Revision);
        Publish(listed.Items.Concat(gone.Select(k => new FeedItem(k, null, listed.Revision))), isListing: true);
    }

    private void OnWatched(PrefixFollower.Watched watched) =>
        Publish(watched.Events.Select(e => new FeedItem(e.Key, e.Current?.Value, e.Revision)), isListing: false);

    private void Publish(IEnumerable<FeedItem> items, bool isListing)
    {
        var changed = _server.Apply(items, Self);
        if (changed.Count > 0 || isListing)
            _warden.Tell(new FeedProtocol.Changed([.. changed], InSync, _server.Log.Revision));
    }

    private void OnLost(PrefixFollower.Lost lost)
    {
        if (lost.Cause is DatastoreException { Fault: DatastoreFault.Compacted })
            _log.Info("feed {Prefix}: the watched revision was compacted, listing again", lost.Prefix);
        else
            _log.Warning("feed {Prefix} interrupted: {Cause}; trying again in {Delay}", lost.Prefix, lost.Cause.Message, RetryAfter);
        Timers.StartSingleTimer(lost.Prefix, new Retry(lost.Prefix), RetryAfter);
    }

    private void Follow(string prefix) => PrefixFollower.Follow(_datastore, prefix, Self, _stopped.Token);
}

using System.Collections.Immutable;
using Akka.Actor;
using Akka.Event;
using Calico.Actors.Endpoints;
using Calico.Actors.Gateway;
using Calico.Core.Feed;

namespace Calico.Actors.Feed;

/// <summary>
/// This member's copy of the resource feed. Pulls from the singleton, keeps every key, serves the same log on to this
/// node (and to nodes that are not members), and tells local actors each change. One per member, below /user; its
/// death costs one pull of everything. It never forgets because the singleton is away.
/// </summary>
public sealed class ReplicaActor : ReceiveActor, IWithTimers
{
    private sealed class PullAgain : Protocol.ITick
    {
        public static readonly PullAgain Instance = new();
    }

    private const string EndpointPrefix = "/calico/resources/v3/projectcalico.org/workloadendpoints/";

    /// <summary>A waiting pull is repeated after this long: the singleton may have moved.</summary>
    private static readonly TimeSpan PullInterval = TimeSpan.FromSeconds(3);

    private readonly IActorRef _source;
    private readonly string _reader;
    private readonly FeedView _view = new();
    private readonly LogServer _server;
    private readonly List<IActorRef> _subscribers = [];
    private readonly Dictionary<string, HashSet<IActorRef>> _keyWatchers = [];
    private readonly Dictionary<IActorRef, string> _watchedBy = [];

    public ITimerScheduler Timers { get; set; } = null!;

    /// <param name="source">The feed singleton, through its proxy.</param>
    /// <param name="reader">This member's name.</param>
    public static Props Props(IActorRef source, string reader, TimeProvider time) =>
        Akka.Actor.Props.Create(() => new ReplicaActor(source, reader, time));

    public ReplicaActor(IActorRef source, string reader, TimeProvider time)
    {
        _source = source;
        _reader = reader;
        _server = new LogServer(FeedName.Resources, LogServer.NewLog(time), IsFor);

        Receive<FeedProtocol.News>(OnNews);
        Receive<FeedProtocol.Pull>(OnPull);
        Receive<FeedProtocol.Subscribe>(OnSubscribe);
        Receive<FeedProtocol.WatchKey>(OnWatchKey);
        Receive<Terminated>(t => OnTerminated(t.ActorRef));
        Receive<PullAgain>(_ => PullNow());
    }

    protected override void PreStart() => PullNow();

    // Nodes learn of other nodes' pods through the sets of compiled policies, never one by one; of its own a node is the judge.
    private static bool IsFor(string reader, string key) => !key.StartsWith(EndpointPrefix, StringComparison.Ordinal)
        || (UpstreamActor.NodeOf(reader) is { } node && OwnEndpoints.IsOf(node, key.AsSpan(key.LastIndexOf('/') + 1)));

    private void PullNow()
    {
        _source.Tell(new FeedProtocol.Pull(FeedName.Resources, _view.Cursor, _reader, FeedProtocol.DefaultMaxBytes));
        Timers.StartSingleTimer(nameof(PullAgain), PullAgain.Instance, PullInterval);
    }

    private void OnNews(FeedProtocol.News news)
    {
        var wasInSync = _view.InSync;
        var changes = _view.Apply(news.Batch);
        _server.Apply(changes, Self);
        if (!wasInSync && _view.InSync)
        {
            Context.GetLogger().Info("replica in sync: {Count} keys at revision {Revision}", _view.Keys.Count, _view.Revision);
            _server.AnswerWaiting(Self);
        }
        if (changes.Length > 0 || wasInSync != _view.InSync)
        {
            foreach (var subscriber in _subscribers)
                subscriber.Tell(new FeedProtocol.Changed(changes, _view.InSync, _view.Revision));
        }
        TellKeyWatchers(changes);
        PullNow();
    }

    private void TellKeyWatchers(ImmutableArray<FeedItem> changes)
    {
        foreach (var change in changes)
        {
            foreach (var watcher in _keyWatchers.GetValueOrDefault(change.Key) ?? [])
                watcher.Tell(new FeedProtocol.KeyIs(change));
        }
    }

    private void OnWatchKey(FeedProtocol.WatchKey watch)
    {
        if (!_keyWatchers.TryGetValue(watch.Key, out var watchers))
            _keyWatchers[watch.Key] = watchers = [];
        watchers.Add(Sender);
        _watchedBy[Sender] = watch.Key;
        Context.Watch(Sender);
        if (_server.Log.Find(watch.Key) is { } item)
            Sender.Tell(new FeedProtocol.KeyIs(item));
        else if (_view.InSync)
            Sender.Tell(new FeedProtocol.KeyIs(new FeedItem(watch.Key, null, _view.Revision)));
    }

    private void OnTerminated(IActorRef actor)
    {
        _subscribers.Remove(actor);
        if (_watchedBy.Remove(actor, out var key) && _keyWatchers[key].Remove(actor) && _keyWatchers[key].Count == 0)
            _keyWatchers.Remove(key);
    }

    // A reader that is told "this is all" while we are still reading would delete what has not come yet.
    private void OnPull(FeedProtocol.Pull pull)
    {
        if (_view.InSync)
            _server.Serve(pull, Sender, Self);
    }

    private void OnSubscribe(FeedProtocol.Subscribe subscribe)
    {
        if (!_subscribers.Contains(subscribe.Subscriber))
        {
            _subscribers.Add(subscribe.Subscriber);
            Context.Watch(subscribe.Subscriber);
        }
        subscribe.Subscriber.Tell(new FeedProtocol.Changed([.. _server.Log.Items], _view.InSync, _view.Revision));
    }
}

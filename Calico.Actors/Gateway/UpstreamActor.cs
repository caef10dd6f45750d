using System.Collections.Immutable;
using Akka.Actor;
using Calico.Actors.Feed;
using Calico.Actors.Protocol;
using Calico.Core.Feed;

namespace Calico.Actors.Gateway;

/// <summary>What the node's half learns from the mesh, as local messages to its subscribers.</summary>
public static class UpstreamProtocol
{
    /// <summary>Resources and affinities changed. With <paramref name="InSync"/>, what is not there does not exist.</summary>
    public sealed record ResourcesChanged(ImmutableArray<FeedItem> Items, bool InSync, long Revision) : ILocalMessage;

    /// <summary>A member's policy log changed.</summary>
    public sealed record PoliciesChanged(string Member, ImmutableArray<FeedItem> Items, bool InSync) : ILocalMessage;

    public sealed record MembersChanged(ImmutableArray<MeshMember> Members) : ILocalMessage;

    public sealed record Subscribe(IActorRef Subscriber) : ILocalMessage;

    /// <summary>What owners of blocks and the leases of other nodes say to this node is for this actor.</summary>
    public sealed record AnswerTo(string Node, IActorRef Lease) : ILocalMessage;
}

/// <summary>
/// What the node has learned from the mesh and keeps for as long as it runs. Policies are not here: after a restart
/// they are read again from the start, and nobody takes their absence for an order.
/// </summary>
public sealed class UpstreamView
{
    internal FeedView Resources { get; } = new();
    internal Dictionary<string, FeedItem> Items { get; } = [];
    internal ImmutableArray<MeshMember> Members { get; set; } = [];
}

/// <summary>
/// The node's end of the link to the mesh: keeps pulling resources from the local replica and policies from every
/// member, passes on what changed, and carries what the lease says to owners of blocks and other leases out and answers back. Part of the forwarding half:
/// while there is no mesh it simply hears nothing, and nobody forgets anything. What it knows outlives its restarts,
/// because to its subscribers an empty view would mean that everything is gone.
/// </summary>
public sealed class UpstreamActor : ReceiveActor, IWithTimers
{
    private sealed class PullAll : ITick
    {
        public static readonly PullAll Instance = new();
    }

    private const string ReaderPrefix = "node/";
    private static readonly TimeSpan PullInterval = TimeSpan.FromSeconds(3);

    private readonly MeshLink _link;
    private readonly string _reader;
    private readonly UpstreamView _known;
    private readonly Dictionary<string, FeedView> _policies = [];
    private readonly List<IActorRef> _subscribers = [];
    private readonly CancellationTokenSource _stopped = new();
    private UpstreamProtocol.AnswerTo? _lease;

    public ITimerScheduler Timers { get; set; } = null!;

    public static Props Props(MeshLink link, string node)
    {
        var known = new UpstreamView();
        return Akka.Actor.Props.Create(() => new UpstreamActor(link, node, known));
    }

    /// <summary>The node that pulls under this name; null for readers that are not a node's forwarding half.</summary>
    public static string? NodeOf(string reader) => reader.StartsWith(ReaderPrefix, StringComparison.Ordinal) ? reader[ReaderPrefix.Length..] : null;

    public UpstreamActor(MeshLink link, string node, UpstreamView known)
    {
        _link = link;
        _reader = ReaderPrefix + node;
        _known = known;
        foreach (var member in known.Members)
            _policies[member.Address] = new FeedView();

        Receive<MeshLinkProtocol.NewsFrom>(OnNews);
        Receive<MeshLinkProtocol.Members>(OnMembers);
        Receive<MeshLinkProtocol.FromBlock>(a => _lease?.Lease.Tell(a.Answer));
        Receive<MeshLinkProtocol.FromNode>(OnFromNode);
        Receive<MeshLinkProtocol.ToBlock>(_link.ToMesh);
        Receive<MeshLinkProtocol.ToNode>(_link.ToMesh);
        Receive<UpstreamProtocol.AnswerTo>(a => _lease = a);
        Receive<UpstreamProtocol.Subscribe>(OnSubscribe);
        Receive<Terminated>(t => _subscribers.Remove(t.ActorRef));
        Receive<PullAll>(_ => OnPullAll());
    }

    protected override void PreStart()
    {
        Timers.StartPeriodicTimer(nameof(PullAll), PullAll.Instance, TimeSpan.Zero, PullInterval);
        _ = ForwardAsync(_link, Self, _stopped.Token);
    }

    // The successor knows nobody, and nobody would notice: they subscribe again, and so hear everything again.
    protected override void PreRestart(Exception reason, object message)
    {
        foreach (var subscriber in _subscribers)
            Self.Tell(new UpstreamProtocol.Subscribe(subscriber));
        if (_lease is not null)
            Self.Tell(_lease);
        base.PreRestart(reason, message);
    }

    protected override void PostStop()
    {
        _stopped.Cancel();
        _stopped.Dispose();
    }

    private void OnPullAll()
    {
        PullResources();
        foreach (var member in _known.Members)
            PullPolicies(member.Address);
    }

    private void PullResources() => _link.ToMesh(new MeshLinkProtocol.PullFrom(null,
        new FeedProtocol.Pull(FeedName.Resources, _known.Resources.Cursor, _reader, FeedProtocol.DefaultMaxBytes * 16)));

    private void PullPolicies(string member) => _link.ToMesh(new MeshLinkProtocol.PullFrom(member,
        new FeedProtocol.Pull(FeedName.Policies, _policies[member].Cursor, _reader, FeedProtocol.DefaultMaxBytes)));

    private void OnNews(MeshLinkProtocol.NewsFrom news)
    {
        if (news.Member is null)
        {
            OnResources(news.News.Batch);
        }
        else if (_policies.TryGetValue(news.Member, out var view))
        {
            var changes = view.Apply(news.News.Batch);
            Tell(new UpstreamProtocol.PoliciesChanged(news.Member, changes, view.InSync));
            PullPolicies(news.Member);
        }
    }

    private void OnResources(FeedBatch batch)
    {
        var wasInSync = _known.Resources.InSync;
        var changes = _known.Resources.Apply(batch);
        foreach (var change in changes)
        {
            if (change.Value is null)
                _known.Items.Remove(change.Key);
            else
                _known.Items[change.Key] = change;
        }
        if (changes.Length > 0 || wasInSync != _known.Resources.InSync)
            Tell(new UpstreamProtocol.ResourcesChanged(changes, _known.Resources.InSync, _known.Resources.Revision));
        PullResources();
    }

    private void OnMembers(MeshLinkProtocol.Members members)
    {
        if (members.Now.SequenceEqual(_known.Members))
            return;
        _known.Members = members.Now;
        foreach (var gone in _policies.Keys.Where(k => _known.Members.All(m => m.Address != k)).ToList())
            _policies.Remove(gone);
        foreach (var member in _known.Members.Where(m => !_policies.ContainsKey(m.Address)))
        {
            _policies[member.Address] = new FeedView();
            PullPolicies(member.Address);
        }
        Tell(new UpstreamProtocol.MembersChanged(_known.Members));
    }

    // It may be meant for one that had this address before.
    private void OnFromNode(MeshLinkProtocol.FromNode from)
    {
        if (_lease is { } here && from.Message.To == here.Node)
            here.Lease.Tell(from.Message);
    }

    private void OnSubscribe(UpstreamProtocol.Subscribe subscribe)
    {
        if (!_subscribers.Contains(subscribe.Subscriber))
            _subscribers.Add(subscribe.Subscriber);
        Context.Watch(subscribe.Subscriber);
        subscribe.Subscriber.Tell(new UpstreamProtocol.MembersChanged(_known.Members));
        subscribe.Subscriber.Tell(new UpstreamProtocol.ResourcesChanged([.. _known.Items.Values], _known.Resources.InSync, _known.Resources.Revision));
        // A late subscriber missed what the policy logs said: read them again from the start.
        foreach (var member in _policies.Keys.ToList())
        {
            _policies[member] = new FeedView();
            PullPolicies(member);
        }
    }

    private void Tell(ILocalMessage message)
    {
        foreach (var subscriber in _subscribers)
            subscriber.Tell(message);
    }

    private static async Task ForwardAsync(MeshLink link, IActorRef self, CancellationToken cancellation)
    {
        try
        {
            await foreach (var message in link.ForNode.ReadAllAsync(cancellation))
                self.Tell(message);
        }
        catch (OperationCanceledException)
        {
        }
    }
}

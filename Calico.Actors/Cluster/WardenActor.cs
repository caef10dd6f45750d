using Akka.Actor;
using Akka.Cluster;
using Calico.Actors.Feed;
using Calico.Actors.Ipam;
using Calico.Actors.Policy;
using Calico.Core.Feed;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Net;

namespace Calico.Actors.Cluster;

/// <summary>
/// Keeps the owners awake that must be: one per policy, one per node. Child of the feed, so there is one in the
/// cluster and it hears every change first. Touches are repeated for ever; they cost an awake owner nothing and bring
/// back one that a shard's move or a crash has taken. Holds nothing that the feed does not tell again.
/// </summary>
public sealed class WardenActor : ReceiveActor, IWithTimers
{
    private sealed class Round : Protocol.ITick
    {
        public static readonly Round Instance = new();
    }

    /// <summary>A full round of touches every so many rounds of observations.</summary>
    private const int TouchEvery = 5;

    private readonly IActorRef _nodes;
    private readonly IActorRef _policies;
    private readonly TimeSpan _interval;
    private readonly Akka.Cluster.Cluster _cluster = Akka.Cluster.Cluster.Get(Context.System);
    private readonly Dictionary<string, long> _policyRevisions = [];
    private readonly Dictionary<string, IpAddr?> _nodeAddresses = [];
    private readonly Dictionary<string, SortedDictionary<Cidr, long>> _blocks = [];
    private readonly Dictionary<string, SortedDictionary<string, long>> _endpoints = [];
    private bool _inSync;
    private int _round;

    public ITimerScheduler Timers { get; set; } = null!;

    /// <param name="nodes">Shard region of node owners.</param>
    /// <param name="policies">Shard region of policy owners.</param>
    /// <param name="interval">How often nodes are observed.</param>
    public static Props Props(IActorRef nodes, IActorRef policies, TimeSpan interval) =>
        Akka.Actor.Props.Create(() => new WardenActor(nodes, policies, interval));

    public WardenActor(IActorRef nodes, IActorRef policies, TimeSpan interval)
    {
        _nodes = nodes;
        _policies = policies;
        _interval = interval;

        Receive<FeedProtocol.Changed>(OnChanged);
        Receive<Round>(_ => OnRound());
    }

    protected override void PreStart() => Timers.StartPeriodicTimer(nameof(Round), Round.Instance, _interval, _interval);

    private void OnChanged(FeedProtocol.Changed changed)
    {
        foreach (var item in changed.Items)
        {
            if (ResourceKey.TryParse(item.Key, out var key))
                Take(key, item);
            else if (IpamKeys.TryParseAffinity(item.Key, out var host, out var block))
                Take(_blocks, host, block, item);
        }
        // Before everything is listed, a node whose resource has not been read yet would look deleted.
        _inSync = changed.InSync;
    }

    private void Take(ResourceKey key, FeedItem item)
    {
        if (key.Kind == ResourceKind.NetworkPolicy || key.Kind == ResourceKind.GlobalNetworkPolicy || key.Kind == ResourceKind.Profile)
        {
            if (item.Value is null)
                _policyRevisions.Remove(item.Key);
            else
                _policyRevisions[item.Key] = item.Revision;
            _policies.Tell(new PolicyProtocol.TouchPolicy(item.Key, item.Value is null ? 0 : item.Revision));
        }
        else if (key.Kind == ResourceKind.WorkloadEndpoint)
        {
            if (WorkloadEndpointName.TryParse(key.Name, out var endpoint))
                Take(_endpoints, endpoint.Node, item.Key, item);
        }
        else if (key.Kind == ResourceKind.Node)
        {
            if (item.Value is not { } value)
                _nodeAddresses.Remove(key.Name);
            else
                _nodeAddresses[key.Name] = AddressOf(value);
            if (_inSync)
                Observe(key.Name);
        }
    }

    private static void Take<T>(Dictionary<string, SortedDictionary<T, long>> ofNodes, string node, T thing, FeedItem item) where T : notnull
    {
        if (!ofNodes.TryGetValue(node, out var items))
            ofNodes[node] = items = [];
        if (item.Value is not null)
            items[thing] = item.Revision;
        else
            items.Remove(thing);
        if (items.Count == 0)
            ofNodes.Remove(node);
    }

    private static IpAddr? AddressOf(ReadOnlyMemory<byte> json)
    {
        try
        {
            var bgp = ((NodeResource)ResourceCodec.Decode(ResourceKind.Node, json.Span)).Spec.Bgp;
            return Cidr.TryParseOrHost(bgp?.Ipv4Address ?? bgp?.Ipv6Address, out var address) ? address.Address : null;
        }
        catch (InvalidResourceException)
        {
            return null;
        }
    }

    private void OnRound()
    {
        if (!_inSync)
            return;
        foreach (var node in _nodeAddresses.Keys.Union(_blocks.Keys).Union(_endpoints.Keys).ToList())
            Observe(node);
        if (_round++ % TouchEvery != 0)
            return;
        foreach (var (key, revision) in _policyRevisions)
            _policies.Tell(new PolicyProtocol.TouchPolicy(key, revision));
    }

    private void Observe(string node)
    {
        var isMember = _cluster.State.Members.Any(m => m.Status is MemberStatus.Up or MemberStatus.WeaklyUp or MemberStatus.Joining
            && MeshPaths.NodeOf(m) == node && !_cluster.State.Unreachable.Contains(m));
        _nodes.Tell(new NodeProtocol.NodeObserved(node, isMember, _nodeAddresses.ContainsKey(node), _nodeAddresses.GetValueOrDefault(node),
            [.. (_blocks.GetValueOrDefault(node) ?? []).Select(b => new BlockProtocol.Holding(b.Key, b.Value))],
            isMember ? [] : [.. (_endpoints.GetValueOrDefault(node) ?? []).Keys.Take(NodeProtocol.MaxEndpoints)]));
    }
}

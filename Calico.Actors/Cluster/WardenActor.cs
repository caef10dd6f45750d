using System.Collections.Immutable;
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
/// back one that a move or a crash has taken. Holds nothing that the feed does not tell again.
/// </summary>
public sealed class WardenActor : ReceiveActor, IWithTimers
{
    private sealed class Round : Protocol.ITick
    {
        public static readonly Round Instance = new();
    }

    private readonly record struct Endpoint(long Revision, ImmutableArray<IpAddr> Addresses);

    /// <summary>A full round of touches every so many rounds of observations.</summary>
    private const int TouchEvery = 5;

    private readonly IActorRef _nodes;
    private readonly IActorRef _policies;
    private readonly TimeSpan _interval;
    private readonly Akka.Cluster.Cluster _cluster = Akka.Cluster.Cluster.Get(Context.System);
    private readonly Dictionary<string, long> _policyRevisions = [];
    private readonly Dictionary<string, IpAddr?> _nodeAddresses = [];
    private readonly Dictionary<string, SortedDictionary<Cidr, long>> _blocks = [];
    private readonly Dictionary<string, SortedDictionary<string, Endpoint>> _endpoints = [];
    private readonly CidrLookup<BlockProtocol.Holder> _holders = new();
    private readonly Dictionary<string, PoolRef> _pools = [];
    private bool _inSync;
    private int _round;

    public ITimerScheduler Timers { get; set; } = null!;

    /// <param name="nodes">The region of the nodes' owners.</param>
    /// <param name="policies">The region of the policies' owners.</param>
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
                OnAffinity(host, block, item);
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
                Take(_endpoints, endpoint.Node, item.Key, item.Value is { } value ? new Endpoint(item.Revision, EndpointAddresses.Of(value)) : null);
        }
        else if (key.Kind == ResourceKind.IPPool)
        {
            if (PoolOf(key, item) is { } pool)
                _pools[key.Name] = pool;
            else
                _pools.Remove(key.Name);
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

    private void OnAffinity(string host, Cidr block, FeedItem item)
    {
        Take<Cidr, long>(_blocks, host, block, item.Value is null ? null : item.Revision);
        var holder = new BlockProtocol.Holder(block, host);
        if (item.Value is not null)
            _holders.Set(block, holder);
        else if (_holders.TryFind(block, out var known) && known == holder)
            _holders.Remove(block);
    }

    private static void Take<TKey, TValue>(Dictionary<string, SortedDictionary<TKey, TValue>> ofNodes, string node, TKey key, TValue? value)
        where TKey : notnull where TValue : struct
    {
        if (!ofNodes.TryGetValue(node, out var items))
            ofNodes[node] = items = [];
        if (value is { } now)
            items[key] = now;
        else
            items.Remove(key);
        if (items.Count == 0)
            ofNodes.Remove(node);
    }

    private IEnumerable<NodeProtocol.Borrowing> BorrowedBy(string node, string endpoint, Endpoint known)
    {
        foreach (var address in known.Addresses)
        {
            if (_holders.TryFind(address, out var holder))
            {
                if (holder.Node != node)
                    yield return new NodeProtocol.Borrowing(endpoint, known.Revision, holder.Block);
            }
            // Its holder is gone already; the block stays for the sake of whoever borrows in it.
            else if (_pools.Values.Where(p => p.Cidr.Contains(address)).Select(p => (PoolRef?)p).FirstOrDefault() is { } pool)
            {
                yield return new NodeProtocol.Borrowing(endpoint, known.Revision, BlockCandidates.Containing(address, pool.BlockSize));
            }
        }
    }

    private static PoolRef? PoolOf(ResourceKey key, FeedItem item)
    {
        try
        {
            return item.Value is { } value ? PoolChoice.RefOf((IPPool)StoredResource.Read(key, value.Span, item.Revision)) : null;
        }
        catch (InvalidResourceException)
        {
            return null;
        }
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
        var endpoints = isMember ? [] : (_endpoints.GetValueOrDefault(node) ?? []).Take(NodeProtocol.MaxEndpoints).ToList();
        _nodes.Tell(new NodeProtocol.NodeObserved(node, isMember, _nodeAddresses.ContainsKey(node), _nodeAddresses.GetValueOrDefault(node),
            [.. (_blocks.GetValueOrDefault(node) ?? []).Select(b => new BlockProtocol.Holding(b.Key, b.Value))],
            [.. endpoints.Select(e => new NodeProtocol.Endpoint(e.Key, e.Value.Revision))], [.. endpoints.SelectMany(e => BorrowedBy(node, e.Key, e.Value))]));
    }
}

using System.Collections.Immutable;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Rib;

[Flags]
internal enum PathFlags : byte
{
    None = 0,

    /// <summary>The one that is told to peers; stands first in its prefix's list.</summary>
    Best = 1,

    /// <summary>The best, or as good as it for forwarding.</summary>
    Multipath = 2,

    /// <summary>Kept over the peer's restart, not confirmed yet (RFC 4724).</summary>
    Stale = 4,
}

/// <summary>A route of a peer: an entry of its Adj-RIB-In, and by its flags of the Loc-RIB. Twenty-four octets.</summary>
internal struct PathEntry
{
    public int Prefix;
    public int Next;
    public int Attributes;
    public int NextOfSet;
    public int PreviousOfSet;
    public ushort Peer;
    public PathFlags Flags;
}

/// <summary>What the RIB asks of a table whatever its family.</summary>
internal interface IRibTable
{
    AttributeTable Attributes { get; }
    int Prefixes { get; }
    int Paths { get; }
    bool HasBestChanges { get; }
    void Configure(RibConfig config);
    void ForgetLimit(ushort peer);
    void CheckLimit(ushort peer);
    void Apply(RibPeer source, in RouteSection section, RouteBatch batch, in ImportContext context);
    void Originate(Cidr prefix, int attributes);
    void WithdrawLocal(Cidr prefix);
    void RemovePeer(ushort peer);
    void MarkStale(ushort peer);
    void DemoteStale(ushort peer);
    void SweepStale(ushort peer);
    void ResolveNextHops(INextHopResolver resolver, IReadOnlyCollection<Cidr>? changed);
    void TakeBest(int max, ImmutableArray<BestRoute>.Builder into);
    void MarkAllBest();
    IExportFeed AddFeed(RibPeer target);
    void RemoveFeed(IExportFeed feed);
    int CountOf(ushort peer);
    RibPage Page(RibQuery query, ushort? from);
    RibPage Page(RibQuery query, IExportFeed to);
    RibExplanation? Explain(Cidr asked);
}

/// <summary>What import needs to know of ourselves.</summary>
internal readonly record struct ImportContext(RibConfig Config, Func<IpAddr, bool> IsOwnAddress);

/// <summary>
/// The routes of one family: every peer's Adj-RIB-In and the Loc-RIB in the same arrays.
/// <code>
///   prefix table            paths (a list per prefix)          attribute sets
///   +-----------------+     +--------------------------+       +----------------------+
///   | key | first ====+===> | peer | set | flags | next |=+    | octets, facts, hop   |
///   +-----------------+     +---------+----------------+  |    | first path of list ==+==> every path of the set
///                                     +=================> |    +----------------------+
///                           other peers' paths  ==========+
/// </code>
/// A change is decided at once and leaves two marks: one for the kernel's reader and one for each peer whose
/// Adj-RIB-Out it may touch. Readers look at the present state when they get to it, so nothing queues up.
/// </summary>
internal sealed partial class RibTable<T>(RibPeer?[] peers, INextHopResolver resolver, RibConfig config,
    Action<PrefixLimitCrossed> onLimit) : IRibTable
    where T : unmanaged, IPrefix<T>
{
    /// <summary>As many lookups of a large table wait for memory at a time.</summary>
    internal const int TouchedAhead = 16;

    private readonly PrefixTable<T> _prefixes = new();
    private readonly IdSet _bestChanges = new();
    private readonly List<ExportFeed<T>> _feeds = [];
    private readonly int[] _counts = new int[peers.Length];
    private readonly PagedArray<PathEntry> _paths = new();
    private Candidate[] _candidates = new Candidate[8];
    private RibConfig _config = config;
    private int _top;
    private int _free = -1;

    public AttributeTable Attributes { get; } = new(resolver);

    public int Prefixes => _prefixes.Count;
    public int Paths { get; private set; }
    public bool HasBestChanges => _bestChanges.Count > 0;
    public int CountOf(ushort peer) => _counts[peer];

    internal PrefixTable<T> PrefixTable => _prefixes;

    internal RouterId ClusterId => _config.ClusterId;

    /// <summary>Applies to decisions from here on.</summary>
    public void Configure(RibConfig changed) => _config = changed;

    public void Apply(RibPeer source, in RouteSection section, RouteBatch batch, in ImportContext context)
    {
        var nlri = new NlriReader<T>(batch.Octets(section.Nlri, section.NlriLength), section.PathIds);
        var set = section.Action == RouteAction.Announce
            ? ImportRules.Admit(source, section.NextHop, batch.Octets(section.Attributes, section.AttributesLength),
                context, Attributes)
            : AttributeTable.None;
        var ahead = nlri;
        for (var i = 0; i < TouchedAhead && ahead.TryRead(out var next, out _); i++)
            _prefixes.Touch(next);
        while (nlri.TryRead(out var prefix, out var pathId))
        {
            if (ahead.TryRead(out var next, out _))
                _prefixes.Touch(next);
            var own = set;
            if (own >= 0 && prefix.IsMartian)
                own = AttributeTable.None;
            if (own >= 0 && source.Import is { } policy)
                own = policy.Apply(new PolicyRoute(prefix.ToCidr(), own, source, null), Attributes);
            if (own >= 0)
                Announce(source.Index, prefix, own, pathId);
            else
                Withdraw(source.Index, prefix, pathId);
        }
        Attributes.Collect();
    }

    public void Originate(Cidr prefix, int attributes) => Announce(RibPeer.LocalIndex, T.From(prefix), attributes);

    public void WithdrawLocal(Cidr prefix) => Withdraw(RibPeer.LocalIndex, T.From(prefix));

    /// <summary>Adds or replaces the peer's route for the prefix, of those with this identifier.</summary>
    internal void Announce(ushort peer, T prefix, int attributes, uint pathId = 0)
    {
        var id = _prefixes.GetOrAdd(prefix);
        var before = Look(id);
        var path = FindPath(id, peer, pathId);
        if (path >= 0)
        {
            ref var entry = ref _paths[path];
            entry.Flags &= ~PathFlags.Stale;
            if (entry.Attributes == attributes)
                return;
            Attributes.AddReference(attributes);
            UnlinkFromSet(path);
            entry.Attributes = attributes;
        }
        else
        {
            if (!HasRoom(peer))
            {
                _prefixes.RemoveIfUnused(id);
                return;
            }
            Attributes.AddReference(attributes);
            path = AllocatePath();
            ref var first = ref _prefixes[id].FirstPath;
            _paths[path] = new() { Prefix = id, Next = first, Peer = peer, Attributes = attributes };
            first = path;
            SetPathId(path, pathId);
            _counts[peer]++;
            WarnOfLimit(peer);
        }
        LinkToSet(path);
        MarkAllPathsFeeds(path);
        Decide(id, before);
    }

    /// <summary>Removes the peer's route for the prefix, if it has one.</summary>
    internal void Withdraw(ushort peer, T prefix, uint pathId = 0)
    {
        var id = _prefixes.Find(prefix);
        if (id >= 0 && FindPath(id, peer, pathId) is var path and >= 0)
            RemovePath(path);
    }

    public void RemovePeer(ushort peer)
    {
        for (var i = 0; i < _top && _counts[peer] > 0; i++)
        {
            if (_paths[i].Prefix >= 0 && _paths[i].Peer == peer)
                RemovePath(i);
        }
    }

    /// <summary>Decides again about the prefixes whose next hop resolves differently now, and only about them.</summary>
    public void ResolveNextHops(INextHopResolver newResolver, IReadOnlyCollection<Cidr>? changed)
    {
        foreach (var hop in Attributes.Resolve(newResolver, changed))
        {
            for (var set = hop.FirstSet; set >= 0; set = Attributes.NextOfHop(set))
            {
                for (var path = Attributes.FirstPath(set); path >= 0; path = _paths[path].NextOfSet)
                {
                    var id = _paths[path].Prefix;
                    var before = Look(id);
                    // The gateway may have changed where the choice has not.
                    if ((_paths[path].Flags & PathFlags.Multipath) != 0)
                        MarkBest(id);
                    if ((_paths[path].Flags & PathFlags.Best) != 0)
                        MarkExternalFeeds(id);
                    MarkAllPathsFeeds(path);
                    Decide(id, before);
                }
            }
        }
        foreach (var feed in _feeds)
            feed.Relink(newResolver, changed);
    }

    /// <summary>The best route's path, or -1.</summary>
    internal int BestPath(int id)
    {
        var first = _prefixes[id].FirstPath;
        return first >= 0 && (_paths[first].Flags & PathFlags.Best) != 0 ? first : -1;
    }

    /// <summary>All paths' numbers are below this; those without a prefix are free.</summary>
    internal int PathTop => _top;

    internal ref readonly PathEntry Path(int path) => ref _paths[path];

    internal RibPeer Peer(ushort index) =>
        peers[index] ?? throw new InvalidOperationException($"a route of peer {index}, which is unknown");

    /// <summary>What of a prefix the readers can see, to tell whether a decision changed it.</summary>
    private readonly record struct Appearance(int Attributes, int Peer, ulong Multipath);

    private Appearance Look(int id)
    {
        var best = BestPath(id);
        if (best < 0)
            return new(AttributeTable.None, -1, 0);
        ref readonly var entry = ref _paths[best];
        ulong multipath = 0;
        for (var p = best; p >= 0; p = _paths[p].Next)
        {
            if ((_paths[p].Flags & PathFlags.Multipath) != 0)
                multipath += (((ulong)(uint)_paths[p].Attributes << 16) | _paths[p].Peer) * 0x9E3779B97F4A7C15UL;
        }
        return new(entry.Attributes, entry.Peer, multipath);
    }

    private void Decide(int id, in Appearance before)
    {
        Choose(id);
        var after = Look(id);
        if (after == before)
            return;
        MarkBest(id);
        if (after.Attributes != before.Attributes || after.Peer != before.Peer)
            MarkFeeds(id, before.Peer, after.Peer);
    }

    // Sets the flags of the prefix's paths and moves the best one to the front.
    private void Choose(int id)
    {
        var first = _prefixes[id].FirstPath;
        if (first < 0)
            return;
        if (_paths[first].Next < 0)
        {
            SetFlags(first, IsFeasible(first) ? PathFlags.Best | PathFlags.Multipath : PathFlags.None);
            return;
        }
        var count = 0;
        for (var p = first; p >= 0; p = _paths[p].Next)
        {
            SetFlags(p, PathFlags.None);
            if (!IsFeasible(p))
                continue;
            if (count == _candidates.Length)
                Array.Resize(ref _candidates, count * 2);
            _candidates[count++] = CandidateOf(p);
        }
        var equal = DecisionProcess.Select(_candidates.AsSpan(0, count));
        if (equal == 0)
            return;
        for (var i = 0; i < Math.Min(equal, _config.MaxPaths); i++)
            SetFlags(_candidates[i].Path, PathFlags.Multipath);
        var best = _candidates[0].Path;
        SetFlags(best, PathFlags.Best | PathFlags.Multipath);
        MoveToFront(id, best);
    }

    private Candidate CandidateOf(int path)
    {
        ref readonly var entry = ref _paths[path];
        var peer = Peer(entry.Peer);
        ref readonly var facts = ref Attributes.Facts(entry.Attributes);
        return new()
        {
            Path = path,
            Local = peer.IsLocal,
            External = peer.IsExternal,
            Facts = facts,
            Metric = Attributes.Hop(entry.Attributes).Resolution.Metric,
            RouterId = facts.Has(AttributeTraits.HasOriginatorId) ? facts.OriginatorId : peer.RouterId,
            PeerAddress = peer.Address,
            PathId = PathIdOf(path),
        };
    }

    internal bool IsFeasible(int path) => Attributes.Hop(_paths[path].Attributes).Resolution.Reachable;

    private void SetFlags(int path, PathFlags flags) =>
        _paths[path].Flags = (_paths[path].Flags & PathFlags.Stale) | flags;
}

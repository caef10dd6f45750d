using System.Collections.Immutable;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Rib;

/// <summary>What the RIB needs to know of the speaker.</summary>
public sealed record RibConfig(Asn LocalAs, RouterId RouterId)
{
    /// <summary>Addresses of this machine: a route with one of them as next hop is our own coming back.</summary>
    public ImmutableArray<IpAddr> OwnAddresses { get; init; } = [];

    /// <summary>Next hops in one ECMP route.</summary>
    public int MaxPaths { get; init; } = 16;

    /// <summary>Whether somebody takes the best routes; if not, <see cref="Rib.TakeBest"/> never has any.</summary>
    public bool HasBestReader { get; init; } = true;

    /// <summary>What routes reflected here carry in their CLUSTER_LIST (RFC 4456 section 7); by default the router id.</summary>
    public RouterId ClusterId { get; init; } = RouterId;

    /// <summary>Peers that can exist at a time; their indexes are 1 to this.</summary>
    public const ushort MaxPeers = 8192;
}

/// <summary>Numbers about a peer's routes in one family.</summary>
public readonly record struct RibCounters(int Received, int Advertised, long UpdatesSent);

/// <summary>A peer's prefixes of a family have reached the number worth a warning, or are more than it may have.</summary>
public readonly record struct PrefixLimitCrossed(ushort Peer, Families Family, int Limit, bool Exceeded);

/// <summary>
/// The routing information base of RFC 4271 section 3.2: Adj-RIBs-In, Loc-RIB and Adj-RIBs-Out of all families.
/// <code>
///   RouteBatch ==Apply==> [import rules, policy] => Adj-RIB-In ==decision==> Loc-RIB ==TakeBest==> kernel's writer
///   own routes ==Originate==========================^                           |
///                                                       [export rules, policy] =+==FillUpdates==> UPDATE messages
/// </code>
/// Not thread-safe: one actor owns it. All inputs take effect at once; outputs are taken when the taker has room, and
/// then say what is true at that moment. Left out on purpose: dampening.
/// </summary>
public sealed class Rib
{
    private RibConfig _config;
    private readonly RibPeer?[] _peers;
    private HashSet<IpAddr> _own;
    private readonly IRibTable[] _tables;
    private readonly Dictionary<ushort, IExportFeed?[]> _feeds = [];
    private readonly List<PrefixLimitCrossed> _limitNews = [];
    private INextHopResolver _resolver;

    public Rib(RibConfig config, INextHopResolver? resolver = null)
    {
        _config = config;
        _resolver = resolver ?? DirectNextHopResolver.Instance;
        _own = [.. config.OwnAddresses];
        _peers = new RibPeer?[RibConfig.MaxPeers + 1];
        _peers[RibPeer.LocalIndex] = RibPeer.Local(config.LocalAs, config.RouterId);
        _tables = [new RibTable<Prefix4>(_peers, _resolver, config, _limitNews.Add),
            new RibTable<Prefix6>(_peers, _resolver, config, _limitNews.Add)];
    }

    /// <summary>Until this is set no End-of-RIB is sent: our own routes may not be known yet (RFC 4724 section 4.1).</summary>
    public bool EndOfRibAllowed { get; set; }

    public bool HasBestChanges => _tables[0].HasBestChanges || _tables[1].HasBestChanges;

    public AttributeTable Attributes(Families family) => Table(family).Attributes;

    public int Prefixes(Families family) => Table(family).Prefixes;

    /// <summary>A session came up: the peer's routes may be applied, and it is told all of ours it may have.</summary>
    public void PeerUp(RibPeer peer)
    {
        if (peer.Index == RibPeer.LocalIndex || peer.Index >= _peers.Length)
            throw new ArgumentOutOfRangeException(nameof(peer), peer.Index, "not a peer's index");
        RemoveFeeds(peer.Index);
        var before = _peers[peer.Index];
        if (before is not null && !before.IsSameRouter(peer))
        {
            // What was kept over a restart was another's, or has another rank now.
            foreach (var table in _tables)
                table.RemovePeer(peer.Index);
        }
        _peers[peer.Index] = peer;
        if (before is not null && before.IsClient != peer.IsClient)
            LookAgain();
        foreach (var table in _tables)
            table.ForgetLimit(peer.Index);
        _feeds[peer.Index] = [.. Families.Both.Each()
            .Select(f => peer.Context.Families.Has(f) ? Table(f).AddFeed(peer) : null)];
    }

    /// <summary>The speaker itself is configured differently; sessions that this concerns are reset by their owners.</summary>
    public void Reconfigure(RibConfig config)
    {
        var reflectsDifferently = config.ClusterId != _config.ClusterId;
        _config = config;
        _own = [.. config.OwnAddresses];
        _peers[RibPeer.LocalIndex] = RibPeer.Local(config.LocalAs, config.RouterId);
        foreach (var table in _tables)
            table.Configure(config);
        if (reflectsDifferently)
            LookAgain();
    }

    /// <summary>Policies or next hops of a living session changed: it is told the difference.</summary>
    public void PeerChanged(RibPeer peer)
    {
        if (!_feeds.TryGetValue(peer.Index, out var feeds))
            return;
        var before = _peers[peer.Index]!;
        _peers[peer.Index] = peer;
        foreach (var table in _tables)
            table.CheckLimit(peer.Index);
        if (before.DiffersOnlyInLimits(peer))
            return;
        var difference = peer.DifferenceFrom(before);
        foreach (var feed in feeds)
            feed?.Retarget(peer, difference);
        // To whom its routes go is another question than what it is told.
        if (before.IsClient != peer.IsClient)
            LookAgain();
    }

    /// <summary>A session went down: its routes go, except that those of the families to keep become stale (RFC 4724).</summary>
    public void PeerDown(ushort peer, Families keepStale)
    {
        RemoveFeeds(peer);
        foreach (var family in Families.Both.Each())
        {
            if (keepStale.Has(family))
                Table(family).MarkStale(peer);
            else
                Table(family).RemovePeer(peer);
        }
    }

    /// <summary>What is stale becomes the last choice, marked by LLGR_STALE, or goes if it has NO_LLGR (RFC 9494 section 4.2).</summary>
    public void DemoteStale(ushort peer, Families families)
    {
        foreach (var family in families.Each())
            Table(family).DemoteStale(peer);
    }

    public void SweepStale(ushort peer, Families families)
    {
        foreach (var family in families.Each())
            Table(family).SweepStale(peer);
    }

    /// <summary>The peer is gone for good; its index may be used for another.</summary>
    public void RemovePeer(ushort peer)
    {
        PeerDown(peer, Families.None);
        _peers[peer] = null;
    }

    /// <summary>Applies a peer's routes. Batches of a peer that has no session are ignored.</summary>
    public void Apply(ushort peer, RouteBatch batch)
    {
        if (!_feeds.ContainsKey(peer) || _peers[peer] is not { } source)
            return;
        var context = new ImportContext(_config, a => _own.Contains(a) || a == source.NextHopV4
            || a == source.NextHopV6);
        foreach (ref readonly var section in batch.Sections)
        {
            var table = Table(section.Family);
            switch (section.Action)
            {
                case RouteAction.RefreshBegin:
                    table.MarkStale(peer);
                    break;
                case RouteAction.RefreshEnd:
                    table.SweepStale(peer);
                    break;
                case RouteAction.Announce or RouteAction.Withdraw:
                    table.Apply(source, section, batch, context);
                    break;
            }
        }
    }

    /// <summary>
    /// Limits that were crossed since the last call. Of a peer above its limit no further prefix is taken; ending its
    /// session is for whoever owns it.
    /// </summary>
    public ImmutableArray<PrefixLimitCrossed> TakeLimitsCrossed()
    {
        if (_limitNews.Count == 0)
            return [];
        ImmutableArray<PrefixLimitCrossed> news = [.. _limitNews];
        _limitNews.Clear();
        return news;
    }

    /// <summary>Announces a prefix as our own, or replaces its attributes.</summary>
    public void Originate(Cidr prefix, PathAttributes attributes)
    {
        var table = Table(prefix.Version.UnicastFamily());
        table.Originate(prefix, table.Attributes.Intern(attributes, prefix.IsV4 ? IpAddr.AnyV4 : IpAddr.AnyV6));
        table.Attributes.Collect();
    }

    public void WithdrawLocal(Cidr prefix) => Table(prefix.Version.UnicastFamily()).WithdrawLocal(prefix);

    /// <summary>
    /// Next hops resolve differently now: <paramref name="changed"/> names the routes of this machine that changed, null
    /// means any may have.
    /// </summary>
    public void ResolveNextHops(INextHopResolver resolver, IReadOnlyCollection<Cidr>? changed = null)
    {
        _resolver = resolver;
        foreach (var table in _tables)
            table.ResolveNextHops(_resolver, changed);
    }

    /// <summary>Takes changed outcomes, each prefix at most once, at most <paramref name="max"/>.</summary>
    public ImmutableArray<BestRoute> TakeBest(int max)
    {
        var changes = ImmutableArray.CreateBuilder<BestRoute>();
        foreach (var table in _tables)
            table.TakeBest(max, changes);
        return changes.DrainToImmutable();
    }

    /// <summary>Makes <see cref="TakeBest"/> tell everything again: its taker lost its memory.</summary>
    public void RepeatBest()
    {
        foreach (var table in _tables)
            table.MarkAllBest();
    }

    /// <summary>The peers that have something to be told.</summary>
    public bool HasUpdates(ushort peer) =>
        _feeds.TryGetValue(peer, out var feeds) && feeds.Any(f => f is not null && f.HasWork(EndOfRibAllowed));

    /// <summary>
    /// Writes whole messages for the peer and returns how many octets. Give at least
    /// <see cref="WireContext.MaxMessageLength"/>; 0 means that there is nothing to say.
    /// </summary>
    public int FillUpdates(ushort peer, Span<byte> buffer)
    {
        if (!_feeds.TryGetValue(peer, out var feeds))
            return 0;
        var written = 0;
        foreach (var feed in feeds)
        {
            if (feed is not null && feed.HasWork(EndOfRibAllowed))
                written += feed.Fill(buffer[written..], EndOfRibAllowed);
        }
        return written;
    }

    /// <summary>The peer asked for its routes again (RFC 2918); families that it does not exchange are ignored.</summary>
    public void Refresh(ushort peer, Families family)
    {
        if (_feeds.TryGetValue(peer, out var feeds) && family != Families.None)
            feeds[IndexOf(family)]?.Refresh();
    }

    public RibCounters Counters(ushort peer, Families family) => new(Table(family).CountOf(peer),
        _feeds.TryGetValue(peer, out var feeds) && feeds[IndexOf(family)] is { } feed ? feed.Advertised : 0,
        feeds?[IndexOf(family)]?.UpdatesSent ?? 0);

    /// <summary>The identifier that the peer gave in its last session; 0 if there was none.</summary>
    public RouterId RouterIdOf(ushort peer) => _peers[peer]?.RouterId ?? default;

    /// <summary>A page of routes; empty if the peer it asks of is not known, or has no session.</summary>
    public RibPage Look(RibQuery query)
    {
        var table = Table(query.Family);
        if (query.To is { } to)
            return FeedOf(to, query.Family) is { } feed ? table.Page(query, feed) : RibPage.Empty;
        if (query.From is not { } from)
            return table.Page(query, from: null);
        return _peers.FirstOrDefault(p => p is { IsLocal: false } && p.Address == from) is { } peer ? table.Page(query, peer.Index) : RibPage.Empty;
    }

    /// <summary>Why the best route to an address or of a prefix is the best; null if there is no route.</summary>
    public RibExplanation? Explain(Cidr asked) => Table(asked.Version.UnicastFamily()).Explain(asked);

    /// <summary>All routes, in no particular order.</summary>
    public IEnumerable<RibRoute> Dump(Families family)
    {
        var query = new RibQuery(family);
        for (int? after = 0; after is { } id;)
        {
            var page = Look(query with { After = id });
            foreach (var route in page.Routes)
                yield return route;
            after = page.Next;
        }
    }

    private IExportFeed? FeedOf(IpAddr peer, Families family) =>
        _feeds.Values.Select(f => f[IndexOf(family)]).FirstOrDefault(f => f?.Target.Address == peer);

    // What the peers may be told of each other's routes changed.
    private void LookAgain()
    {
        foreach (var feed in _feeds.Values.SelectMany(f => f))
            feed?.Retarget(feed.Target, within: null);
    }

    private void RemoveFeeds(ushort peer)
    {
        if (!_feeds.Remove(peer, out var feeds))
            return;
        foreach (var family in Families.Both.Each())
        {
            if (feeds[IndexOf(family)] is { } feed)
                Table(family).RemoveFeed(feed);
        }
    }

    private IRibTable Table(Families family) => _tables[IndexOf(family)];

    private static int IndexOf(Families family) => family == Families.Ipv4Unicast ? 0 : 1;
}

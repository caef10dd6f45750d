using System.Collections.Immutable;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Rib;

internal sealed partial class RibTable<T>
{
    private readonly Dictionary<(NextHopEntry Hop, NextHopResolution Resolution, ushort Peer),
        ImmutableArray<BestNextHop>> _singles = [];

    /// <summary>In which order the feeds write.</summary>
    internal ExportPlan Plan { get; } = new();

    /// <summary>Takes up to <paramref name="max"/> changed prefixes with their outcome of this moment.</summary>
    public void TakeBest(int max, ImmutableArray<BestRoute>.Builder into)
    {
        for (var id = _bestChanges.Next(0); id >= 0 && into.Count < max; id = _bestChanges.Next(id + 1))
        {
            into.Add(OutcomeOf(id));
            _bestChanges.Remove(id);
            Unpin(id);
        }
        // Only spares allocations inside one call; routes change less often than they repeat a next hop.
        _singles.Clear();
    }

    /// <summary>Has everything told to the kernel's reader again.</summary>
    public void MarkAllBest()
    {
        for (var id = 0; id < _prefixes.Top; id++)
        {
            if (_prefixes[id].FirstPath >= 0)
                MarkBest(id);
        }
    }

    public IExportFeed AddFeed(RibPeer target)
    {
        ExportFeed<T> feed = target.Context.PathIdsOut.Has(T.Family)
            ? new AllPathsFeed<T>(this, target, Attributes.Resolver)
            : new BestFeed<T>(this, target, Attributes.Resolver);
        if (feed is AllPathsFeed<T>)
            _allPathsFeeds++;
        _feeds.Add(feed);
        feed.MarkAll();
        return feed;
    }

    public void RemoveFeed(IExportFeed feed)
    {
        var own = (ExportFeed<T>)feed;
        own.Clear();
        _feeds.Remove(own);
        if (own is AllPathsFeed<T>)
            _allPathsFeeds--;
    }

    internal void Pin(int id) => _prefixes[id].Pins++;

    internal void Unpin(int id)
    {
        _prefixes[id].Pins--;
        _prefixes.RemoveIfUnused(id);
    }

    private void MarkBest(int id)
    {
        if (_config.HasBestReader && _bestChanges.Add(id))
            Pin(id);
    }

    private int _allPathsFeeds;

    // A path came, went, or changed its looks: that concerns those who are told more than the best.
    private void MarkAllPathsFeeds(int path)
    {
        if (_allPathsFeeds == 0)
            return;
        var (id, inside) = (_paths[path].Prefix, StaysInside(_paths[path].Peer));
        foreach (var feed in _feeds)
        {
            if (feed is AllPathsFeed<T> all && !(inside && feed.Target is { IsInternal: true, IsClient: false }))
                all.MarkPath(id, path);
        }
    }

    private void MarkFeeds(int id, int before, int after)
    {
        // Between internal peers nothing is passed on unless one of them is a client, so in a mesh a change from one
        // internal route to another concerns nobody inside.
        var inside = StaysInside(before) && StaysInside(after);
        foreach (var feed in _feeds)
        {
            if (feed is BestFeed<T> && !(inside && feed.Target is { IsInternal: true, IsClient: false }))
                feed.Mark(id);
        }
    }

    // How a next hop is reached shows in what external peers are told.
    private void MarkExternalFeeds(int id)
    {
        foreach (var feed in _feeds)
        {
            if (feed is BestFeed<T> && feed.Target.IsExternal)
                feed.Mark(id);
        }
    }

    private bool StaysInside(int peer) => peer < 0 || Peer((ushort)peer) is { IsInternal: true, IsClient: false };

    private BestRoute OutcomeOf(int id)
    {
        var prefix = _prefixes[id].Key.ToCidr();
        var best = BestPath(id);
        if (best < 0 || _paths[best].Peer == RibPeer.LocalIndex)
            return new(prefix, [], 0);
        var localPref = Attributes.Facts(_paths[best].Attributes).LocalPref;
        var hops = SingleHop(best);
        for (var p = _paths[best].Next; p >= 0; p = _paths[p].Next)
        {
            if ((_paths[p].Flags & PathFlags.Multipath) == 0)
                continue;
            var hop = SingleHop(p)[0];
            if (!hops.Any(h => h.NextHop == hop.NextHop
                || (h.Gateway is { } gateway && gateway == hop.Gateway && h.LinkIndex == hop.LinkIndex)))
                hops = hops.Add(hop);
        }
        // The order of arrival must not show.
        return new(prefix, hops.Length > 1 ? hops.Sort(static (a, b) => a.NextHop.CompareTo(b.NextHop)) : hops,
            localPref);
    }

    private ImmutableArray<BestNextHop> SingleHop(int path)
    {
        ref readonly var entry = ref _paths[path];
        var hop = Attributes.Hop(entry.Attributes);
        var key = (hop, hop.Resolution, entry.Peer);
        if (!_singles.TryGetValue(key, out var hops))
        {
            hops = [new(hop.Address, hop.Resolution.Gateway, hop.Resolution.LinkIndex, Peer(entry.Peer).Address)];
            _singles.Add(key, hops);
        }
        return hops;
    }
}

using Calico.Kernel.Routes;

namespace Calico.Actors.Dataplane;

/// <summary>
/// Desired and actual routes and the difference between them. Pure.
/// <code>
///   wanted, not there   -> add          there, wanted differently -> replace
///   there, not wanted   -> remove; what was there before us only when every source has said all it knows
/// </code>
/// What peers tell takes no place that another's route has: theirs is the word of strangers, and a subnet or a default route of
/// this machine may hang on it. Only what Calico's BIRD left there is taken over: this speaker is in its place. Workloads and blocks are
/// ours, and whatever stands there is wrong.
/// What a source has wanted and does not want any more is gone at once, however long others take to say all they know.
/// A change costs what it changes, not the size of the table.
/// </summary>
public sealed class RouteTracker
{
    private static readonly RouteSource[] Sources = Enum.GetValues<RouteSource>();

    private readonly Dictionary<RouteKey, Route>[] _wanted = [.. Sources.Select(_ => new Dictionary<RouteKey, Route>())];
    private readonly Dictionary<RouteKey, Route> _actual = [];
    private readonly HashSet<RouteKey> _dirty = [];
    private readonly HashSet<RouteSource> _complete = [];

    // Routes that were there before anybody here wanted them; of no use once every source has said everything.
    private readonly HashSet<RouteKey> _adopted = [];

    // Where a BIRD has a route.
    private readonly HashSet<RouteKey> _birds = [];

    /// <summary>True when every source has said everything: strays may be removed.</summary>
    public bool IsComplete => _complete.Count == Sources.Length;

    public int WantedCount => _wanted.Sum(w => w.Count);
    public int ActualCount => _actual.Count;
    public bool HasWork => _dirty.Count > 0;

    /// <summary>Takes what the kernel has of ours as the actual state; where BIRD has routes ours take their place.</summary>
    public void Adopt(IEnumerable<Route> ours, IEnumerable<RouteKey> birds)
    {
        _birds.Clear();
        _birds.UnionWith(birds);
        var known = _actual.Keys.ToHashSet();
        _dirty.UnionWith(known);
        _actual.Clear();
        foreach (var route in ours)
        {
            _actual[route.Key] = route;
            if (!known.Contains(route.Key))
                AdoptIfStray(route.Key);
        }
        _dirty.UnionWith(_actual.Keys);
        foreach (var wanted in _wanted)
            _dirty.UnionWith(wanted.Keys);
    }

    public void Want(RouteSource source, Route route)
    {
        _wanted[(int)source][route.Key] = route;
        _dirty.Add(route.Key);
    }

    public void Unwant(RouteSource source, RouteKey key)
    {
        if (_wanted[(int)source].Remove(key))
            _dirty.Add(key);
    }

    public void SourceComplete(RouteSource source)
    {
        if (_complete.Add(source) && IsComplete)
        {
            _dirty.UnionWith(_actual.Keys);
            _adopted.Clear();
        }
    }

    /// <summary>The kernel says that a route of ours is not what we think: look at it again.</summary>
    public void Observe(Route route, bool removed)
    {
        var known = _actual.GetValueOrDefault(route.Key);
        if (removed ? known is null : route.Equals(known))
            return;
        if (removed)
            _actual.Remove(route.Key);
        else
            _actual[route.Key] = route;
        if (!removed && known is null)
            AdoptIfStray(route.Key);
        _dirty.Add(route.Key);
    }

    public void ObserveBird(RouteKey key, bool removed)
    {
        if (removed)
            _birds.Remove(key);
        else
            _birds.Add(key);
    }

    /// <summary>What is to be written now, additions before removals.</summary>
    public List<RouteChange> Pending()
    {
        var adds = new List<RouteChange>();
        var removes = new List<RouteChange>();
        var settled = new List<RouteKey>();
        foreach (var key in _dirty)
        {
            var wanted = Wanted(key);
            var actual = _actual.GetValueOrDefault(key);
            if (wanted is not null && !wanted.Equals(actual))
                adds.Add(new RouteChange(wanted, Delete: false) { Yields = actual is null && SourceOf(key) >= RouteSource.Peers && !_birds.Contains(key) });
            else if (wanted is null && actual is not null && !_adopted.Contains(key))
                removes.Add(new RouteChange(actual, Delete: true));
            else
                settled.Add(key);
        }
        _dirty.ExceptWith(settled);
        adds.Sort((a, b) => a.Route.Key.Destination.CompareTo(b.Route.Key.Destination));
        adds.AddRange(removes);
        return adds;
    }

    /// <summary>The kernel took the change.</summary>
    public void Committed(RouteChange change)
    {
        var key = change.Route.Key;
        if (change.Delete)
            _actual.Remove(key);
        else
            _actual[key] = change.Route;
        _birds.Remove(key);
        if (Equals(Wanted(key), _actual.GetValueOrDefault(key)))
            _dirty.Remove(key);
    }

    private void AdoptIfStray(RouteKey key)
    {
        if (!IsComplete && Wanted(key) is null)
            _adopted.Add(key);
    }

    public Route? Wanted(RouteKey key) => SourceOf(key) is { } source ? _wanted[(int)source][key] : null;

    private RouteSource? SourceOf(RouteKey key)
    {
        foreach (var source in Sources)
        {
            if (_wanted[(int)source].ContainsKey(key))
                return source;
        }
        return null;
    }
}

using System.Collections.Immutable;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Rib;

/// <summary>The tables as people see them.</summary>
internal sealed partial class RibTable<T>
{
    /// <inheritdoc cref="Rib.Look"/>
    public RibPage Page(RibQuery query, ushort? from) => Page(query, (id, routes) =>
    {
        for (var path = _prefixes[id].FirstPath; path >= 0; path = _paths[path].Next)
        {
            if ((from is null || _paths[path].Peer == from) && (!query.OnlyBest || (_paths[path].Flags & PathFlags.Multipath) != 0))
                routes.Add(RouteOf(path));
        }
    });

    /// <inheritdoc cref="Rib.Look"/>
    public RibPage Page(RibQuery query, IExportFeed to) => Page(query, to.AddTold);

    private RibPage Page(RibQuery query, Action<int, ImmutableArray<RibRoute>.Builder> addRoutesOf)
    {
        var routes = ImmutableArray.CreateBuilder<RibRoute>();
        var id = Math.Max(query.After, 0);
        for (; id < _prefixes.Top && routes.Count < query.Limit; id++)
        {
            if (IsAskedFor(id, query))
                addRoutesOf(id, routes);
        }
        return new RibPage(routes.DrainToImmutable(), id < _prefixes.Top ? id : null);
    }

    /// <inheritdoc cref="Rib.Explain"/>
    public RibExplanation? Explain(Cidr asked)
    {
        for (int length = asked.PrefixLength; length >= 0; length--)
        {
            var id = _prefixes.Find(T.From(new Cidr(asked.Address, length).Network));
            if (id >= 0 && _prefixes[id].FirstPath >= 0)
                return Explain(id);
        }
        return null;
    }

    private RibExplanation Explain(int id)
    {
        var candidates = new List<Candidate>();
        var verdicts = new List<RouteVerdict>();
        for (var path = _prefixes[id].FirstPath; path >= 0; path = _paths[path].Next)
        {
            if (IsFeasible(path))
                candidates.Add(CandidateOf(path));
            else
                verdicts.Add(new RouteVerdict(RouteOf(path), DecisionStep.NextHopReachable, "unreachable", "reachable"));
        }
        var decided = DecisionProcess.Explain(candidates.ToArray());
        verdicts.InsertRange(0, decided.Select(d => d.LostAt is { } step
            ? new RouteVerdict(RouteOf(d.Of.Path), step, DecisionProcess.ValueAt(step, d.Of), DecisionProcess.ValueAt(step, decided[0].Of))
            : new RouteVerdict(RouteOf(d.Of.Path), null, null, null)));
        return new RibExplanation(_prefixes[id].Key.ToCidr(), [.. verdicts]);
    }

    /// <summary>The route as it is stored.</summary>
    internal RibRoute RouteOf(int path)
    {
        ref readonly var entry = ref _paths[path];
        var peer = Peer(entry.Peer);
        return new RibRoute(_prefixes[entry.Prefix].Key.ToCidr(), Attributes.NextHop(entry.Attributes), peer, Attributes.Attributes(entry.Attributes),
            (entry.Flags & PathFlags.Best) != 0, (entry.Flags & PathFlags.Multipath) != 0, (entry.Flags & PathFlags.Stale) != 0)
        {
            Resolution = Attributes.Hop(entry.Attributes).Resolution,
            PathId = PathIdOf(path),
        };
    }

    private bool IsAskedFor(int id, RibQuery query) =>
        _prefixes[id].FirstPath >= 0 && (query.Within is not { } within || within.Contains(_prefixes[id].Key.ToCidr()));
}

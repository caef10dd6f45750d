using System.Collections.Immutable;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Rib;

/// <summary>Which routes of a family to show. A page is of one moment; the next one is of its own.</summary>
public sealed record RibQuery(Families Family)
{
    /// <summary>Prefixes that lie in this one, itself included; null for all.</summary>
    public Cidr? Within { get; init; }

    /// <summary>Only routes that the peer of this address has told.</summary>
    public IpAddr? From { get; init; }

    /// <summary>What the peer of this address is told, as it sees it, instead of what is known here.</summary>
    public IpAddr? To { get; init; }

    /// <summary>Only routes in use.</summary>
    public bool OnlyBest { get; init; }

    /// <summary>0, or <see cref="RibPage.Next"/> of the page before.</summary>
    public int After { get; init; }

    /// <summary>A page has about as many; all routes of a prefix are on one page.</summary>
    public int Limit { get; init; } = 1_000;
}

/// <summary>Routes, in the order of the table, and where the next page begins; null after the last.</summary>
public sealed record RibPage(ImmutableArray<RibRoute> Routes, int? Next)
{
    public static readonly RibPage Empty = new([], null);
}

/// <summary>A route in the tables, for people and tests.</summary>
public sealed record RibRoute(Cidr Prefix, IpAddr NextHop, RibPeer Source, PathAttributes Attributes, bool IsBest,
    bool IsMultipath, bool IsStale)
{
    /// <summary>How the next hop is reached.</summary>
    public NextHopResolution Resolution { get; init; }

    /// <summary>The path's number among those of one peer (RFC 7911); 0 where there are no numbers.</summary>
    public uint PathId { get; init; }
}

/// <summary>The steps of <see cref="DecisionProcess"/>, in order.</summary>
public enum DecisionStep
{
    /// <summary>RFC 4271 section 9.1.2: a route whose next hop cannot be reached is no candidate.</summary>
    NextHopReachable,
    OwnRoute,

    /// <summary>RFC 9494: what is kept only because its peer has been away for long is the last choice.</summary>
    LongLivedStale,
    LocalPref,
    PathLength,
    Origin,
    Med,
    External,
    Metric,
    RouterId,
    ClusterList,
    PeerAddress,
    PathId,
}

/// <summary>What became of one route in the choice.</summary>
/// <param name="Route">The route.</param>
/// <param name="LostAt">Where it fell out; null for the best.</param>
/// <param name="Value">What it has there.</param>
/// <param name="BestValue">What the best one has there.</param>
public sealed record RouteVerdict(RibRoute Route, DecisionStep? LostAt, string? Value, string? BestValue);

/// <summary>Why the best route of a prefix is the best; the best comes first, then who lost last.</summary>
public sealed record RibExplanation(Cidr Prefix, ImmutableArray<RouteVerdict> Routes);

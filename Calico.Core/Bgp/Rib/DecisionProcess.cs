using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Rib;

/// <summary>One feasible route, with everything that decides about it.</summary>
internal struct Candidate
{
    public int Path;
    public bool Local;
    public bool External;
    public AttributeFacts Facts;
    public uint Metric;
    public RouterId RouterId;
    public IpAddr PeerAddress;
    public uint PathId;
}

/// <summary>
/// RFC 4271 section 9.1: from the feasible routes of one prefix, the best, and those as good as it.
/// <code>
///   9.1.1    1  our own routes first (what BIRD's preference of static over BGP does)
///            2  highest LOCAL_PREF (100 where there is none)
///   9.1.2.2  3  a  fewest AS hops, a set counting one
///            4  b  lowest ORIGIN
///            5  c  lowest MULTI_EXIT_DISC among routes from one neighbour AS (0 where there is none)
///            6  d  external before internal
///            7  e  lowest metric to the next hop
///                  -- what is left here is equal for forwarding: the ECMP set --
///            8  f  lowest identifier (ORIGINATOR_ID counts for the router's, RFC 4456 section 9)
///            9     shortest CLUSTER_LIST (RFC 4456 section 9)
///           10  g  lowest peer address
///           11     lowest path identifier of one peer (RFC 7911)
/// </code>
/// Each step removes routes from the whole set, as the RFC words it, and never compares two of them alone: with MED
/// in play pairwise comparison would depend on the order of arrival.
/// </summary>
internal static class DecisionProcess
{
    /// <summary>
    /// Sorts the survivors to the front: first the best, then the others equal to it for forwarding. Returns how many
    /// there are, or 0 if there was no candidate.
    /// </summary>
    public static int Select(Span<Candidate> candidates)
    {
        var left = candidates;
        if (left.Length <= 1)
            return left.Length;
        left = KeepLowest(left, static c => c.Local ? 0 : 1);
        left = KeepLowest(left, static c => uint.MaxValue - c.Facts.LocalPref);
        left = KeepLowest(left, static c => c.Facts.Hops);
        left = KeepLowest(left, static c => (uint)c.Facts.Origin);
        left = KeepLowestMed(left);
        left = KeepLowest(left, static c => c.External ? 0 : 1);
        left = KeepLowest(left, static c => c.Metric);
        var best = 0;
        for (var i = 1; i < left.Length; i++)
        {
            if (TieBreak(left[i], left[best]) < 0)
                best = i;
        }
        (left[0], left[best]) = (left[best], left[0]);
        left[1..].Sort(TieBreak);
        return left.Length;
    }

    // Steps 8 to 11 are a total order: no two peers have one address.
    private static int TieBreak(Candidate a, Candidate b)
    {
        var byId = a.RouterId.CompareTo(b.RouterId);
        if (byId != 0)
            return byId;
        var byClusters = a.Facts.ClusterListLength.CompareTo(b.Facts.ClusterListLength);
        if (byClusters != 0)
            return byClusters;
        var byAddress = a.PeerAddress.CompareTo(b.PeerAddress);
        return byAddress != 0 ? byAddress : a.PathId.CompareTo(b.PathId);
    }

    private static Span<Candidate> KeepLowest(Span<Candidate> candidates, Func<Candidate, long> key)
    {
        if (candidates.Length == 1)
            return candidates;
        var lowest = long.MaxValue;
        foreach (ref readonly var c in candidates)
            lowest = Math.Min(lowest, key(c));
        var kept = 0;
        for (var i = 0; i < candidates.Length; i++)
        {
            if (key(candidates[i]) == lowest)
                candidates[kept++] = candidates[i];
        }
        return candidates[..kept];
    }

    private static Span<Candidate> KeepLowestMed(Span<Candidate> candidates)
    {
        if (candidates.Length == 1)
            return candidates;
        candidates.Sort(static (a, b) =>
        {
            var byNeighbour = a.Facts.NeighbourAs.CompareTo(b.Facts.NeighbourAs);
            return byNeighbour != 0 ? byNeighbour : a.Facts.Med.CompareTo(b.Facts.Med);
        });
        var kept = 0;
        for (int i = 0, first = 0; i < candidates.Length; i++)
        {
            if (candidates[i].Facts.NeighbourAs != candidates[first].Facts.NeighbourAs)
                first = i;
            if (candidates[i].Facts.Med == candidates[first].Facts.Med)
                candidates[kept++] = candidates[i];
        }
        return candidates[..kept];
    }
}

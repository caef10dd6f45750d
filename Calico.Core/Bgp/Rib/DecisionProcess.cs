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
///               then any that is not marked LLGR_STALE (RFC 9494 section 4.3)
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
internal static partial class DecisionProcess
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
        left = KeepLowest<OwnFirstAndStaleLast>(left);
        left = KeepLowest<LocalPref>(left);
        left = KeepLowest<PathLength>(left);
        left = KeepLowest<ByOrigin>(left);
        left = KeepLowestMed(left);
        left = KeepLowest<ExternalFirst>(left);
        left = KeepLowest<NextHopMetric>(left);
        if (left.Length == 2)
        {
            if (TieBreak(left[0], left[1]) > 0)
                (left[0], left[1]) = (left[1], left[0]);
        }
        else
        {
            left.Sort(TieBreak);
        }
        return left.Length;
    }

    /// <summary>What a step looks at; as a type and not as a delegate, so that each step is a loop of its own.</summary>
    private interface IStep
    {
        static abstract uint KeyOf(in Candidate c);
    }

    private readonly struct OwnFirst : IStep
    {
        public static uint KeyOf(in Candidate c) => c.Local ? 0u : 1;
    }

    private readonly struct StaleLast : IStep
    {
        public static uint KeyOf(in Candidate c) => c.Facts.Has(AttributeTraits.LlgrStale) ? 1u : 0;
    }

    // Two steps in one walk: an own route is never stale.
    private readonly struct OwnFirstAndStaleLast : IStep
    {
        public static uint KeyOf(in Candidate c) => OwnFirst.KeyOf(c) + StaleLast.KeyOf(c);
    }

    private readonly struct LocalPref : IStep
    {
        public static uint KeyOf(in Candidate c) => uint.MaxValue - c.Facts.LocalPref;
    }

    private readonly struct PathLength : IStep
    {
        public static uint KeyOf(in Candidate c) => c.Facts.Hops;
    }

    private readonly struct ByOrigin : IStep
    {
        public static uint KeyOf(in Candidate c) => (uint)c.Facts.Origin;
    }

    private readonly struct ExternalFirst : IStep
    {
        public static uint KeyOf(in Candidate c) => c.External ? 0u : 1;
    }

    private readonly struct NextHopMetric : IStep
    {
        public static uint KeyOf(in Candidate c) => c.Metric;
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

    private static Span<Candidate> KeepLowest<TStep>(Span<Candidate> candidates)
        where TStep : struct, IStep
    {
        // Mostly all are alike; then nothing is moved.
        var lowest = TStep.KeyOf(candidates[0]);
        var alike = true;
        for (var i = 1; i < candidates.Length; i++)
        {
            var key = TStep.KeyOf(candidates[i]);
            alike &= key == lowest;
            lowest = Math.Min(lowest, key);
        }
        if (alike)
            return candidates;
        var kept = 0;
        for (var i = 0; i < candidates.Length; i++)
        {
            if (TStep.KeyOf(candidates[i]) == lowest)
                candidates[kept++] = candidates[i];
        }
        return candidates[..kept];
    }

    private static Span<Candidate> KeepLowestMed(Span<Candidate> candidates)
    {
        if (HaveOneMed(candidates))
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

    private static bool HaveOneMed(ReadOnlySpan<Candidate> candidates)
    {
        foreach (ref readonly var c in candidates)
        {
            if (c.Facts.Med != candidates[0].Facts.Med)
                return false;
        }
        return true;
    }
}

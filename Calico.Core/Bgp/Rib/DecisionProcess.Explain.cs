using System.Globalization;
using Calico.Core.Bgp.Wire;

namespace Calico.Core.Bgp.Rib;

internal static partial class DecisionProcess
{
    private delegate Span<Candidate> Narrow(Span<Candidate> candidates);

    private static readonly (DecisionStep Step, Narrow Narrow)[] Steps =
    [
        (DecisionStep.OwnRoute, KeepLowest<OwnFirst>),
        (DecisionStep.LongLivedStale, KeepLowest<StaleLast>),
        (DecisionStep.LocalPref, KeepLowest<LocalPref>),
        (DecisionStep.PathLength, KeepLowest<PathLength>),
        (DecisionStep.Origin, KeepLowest<ByOrigin>),
        (DecisionStep.Med, KeepLowestMed),
        (DecisionStep.External, KeepLowest<ExternalFirst>),
        (DecisionStep.Metric, KeepLowest<NextHopMetric>),
    ];

    /// <summary>Where each candidate falls out, by the same steps as <see cref="Select"/>; null for the best.</summary>
    public static List<(Candidate Of, DecisionStep? LostAt)> Explain(ReadOnlySpan<Candidate> candidates)
    {
        var verdicts = new List<(Candidate, DecisionStep?)>();
        var left = candidates.ToArray();
        foreach (var (step, narrow) in Steps)
        {
            var survivors = narrow(left.AsSpan().ToArray()).ToArray();
            verdicts.AddRange(left.Where(c => !survivors.Any(s => s.Path == c.Path)).Select(c => (c, (DecisionStep?)step)));
            left = survivors;
        }
        Array.Sort(left, TieBreak);
        verdicts.AddRange(left.Skip(1).Select(c => (c, (DecisionStep?)TieStep(left[0], c))));
        verdicts.AddRange(left.Take(1).Select(c => (c, (DecisionStep?)null)));
        verdicts.Reverse();
        return verdicts;
    }

    /// <summary>What a candidate has at a step, in words.</summary>
    public static string ValueAt(DecisionStep step, in Candidate c) => step switch
    {
        DecisionStep.OwnRoute => c.Local ? "our own route" : "learned",
        DecisionStep.LongLivedStale => c.Facts.Has(AttributeTraits.LlgrStale) ? "stale for long" : "not stale for long",
        DecisionStep.LocalPref => c.Facts.LocalPref.ToString(CultureInfo.InvariantCulture),
        DecisionStep.PathLength => c.Facts.Hops.ToString(CultureInfo.InvariantCulture),
        DecisionStep.Origin => c.Facts.Origin.ToString(),
        DecisionStep.Med => string.Create(CultureInfo.InvariantCulture, $"{c.Facts.Med} from AS {c.Facts.NeighbourAs}"),
        DecisionStep.External => c.External ? "external" : "internal",
        DecisionStep.Metric => c.Metric.ToString(CultureInfo.InvariantCulture),
        DecisionStep.RouterId => c.RouterId.ToString(),
        DecisionStep.ClusterList => c.Facts.ClusterListLength.ToString(CultureInfo.InvariantCulture),
        DecisionStep.PeerAddress => c.PeerAddress.ToString(),
        DecisionStep.PathId => c.PathId.ToString(CultureInfo.InvariantCulture),
        _ => "reachable",
    };

    private static DecisionStep TieStep(in Candidate best, in Candidate other) =>
        best.RouterId != other.RouterId ? DecisionStep.RouterId
        : best.Facts.ClusterListLength != other.Facts.ClusterListLength ? DecisionStep.ClusterList
        : best.PeerAddress != other.PeerAddress ? DecisionStep.PeerAddress
        : DecisionStep.PathId;
}

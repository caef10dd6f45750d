using System.Collections.Immutable;
using Calico.Core.Bgp.Rib;
using Calico.Core.Model;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Policy;

/// <summary>
/// The export rules of a session: the first that matches decides, and where none does the rules of the cluster. A
/// speaker that is in no cluster has none and passes on what RFC 4271 lets it.
/// </summary>
public sealed record ExportPolicy(ValueList<FilterRule> Rules, ClusterExport? Cluster) : IRoutePolicy
{
    public int Apply(in PolicyRoute route, AttributeTable attributes)
    {
        foreach (var rule in Rules.Items)
        {
            if (rule.Matches(route, attributes))
                return rule.Decide(route, attributes);
        }
        return Cluster is null ? route.AttributeSet : Cluster.Apply(route, attributes);
    }

    public ImmutableArray<Cidr>? DifferenceFrom(IRoutePolicy other) =>
        other is ExportPolicy { Cluster: { } before } policy && policy.Rules == Rules ? Cluster?.DifferenceFrom(before) : null;
}

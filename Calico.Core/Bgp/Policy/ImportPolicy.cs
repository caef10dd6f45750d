using Calico.Core.Bgp.Rib;
using Calico.Core.Model;

namespace Calico.Core.Bgp.Policy;

/// <summary>The import rules of a session: the first that matches decides; a route that none matches is taken.</summary>
public sealed record ImportPolicy(ValueList<FilterRule> Rules) : IRoutePolicy
{
    public int Apply(in PolicyRoute route, AttributeTable attributes)
    {
        foreach (var rule in Rules.Items)
        {
            if (rule.Matches(route, attributes))
                return rule.Decide(route, attributes);
        }
        return route.AttributeSet;
    }
}

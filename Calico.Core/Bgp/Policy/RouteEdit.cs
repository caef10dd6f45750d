using Calico.Core.Bgp.Wire;
using Calico.Core.Model;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Policy;

/// <summary>What a rule changes on a route that it accepts.</summary>
public abstract record RouteEdit
{
    private RouteEdit()
    {
    }

    public abstract PathAttributes Apply(PathAttributes attributes);

    public sealed record AddTag(RouteTag Tag) : RouteEdit
    {
        public override PathAttributes Apply(PathAttributes attributes) => Tag.AddTo(attributes);
    }

    /// <summary>The path begins with these afterwards, in this order.</summary>
    public sealed record Prepend(ValueList<Asn> Numbers) : RouteEdit
    {
        public override PathAttributes Apply(PathAttributes attributes) => attributes with { AsPath = attributes.AsPath.Behind([.. Numbers.Items.Select(a => a.Value)]) };
    }

    public sealed record SetPriority(uint Priority) : RouteEdit
    {
        public override PathAttributes Apply(PathAttributes attributes) => attributes with { LocalPref = RoutePriority.ToLocalPref(Priority) };
    }
}

using System.Collections.Immutable;
using Calico.Core.Bgp.Rib;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Policy;

/// <summary>The policy of a session that carries both families: one of each, where null lets every route pass as it is.</summary>
public sealed record FamilyPolicy : IRoutePolicy
{
    private readonly IRoutePolicy? _v4;
    private readonly IRoutePolicy? _v6;

    private FamilyPolicy(IRoutePolicy? v4, IRoutePolicy? v6) => (_v4, _v6) = (v4, v6);

    /// <summary>Null if neither does anything.</summary>
    public static FamilyPolicy? Of(IRoutePolicy? v4, IRoutePolicy? v6) => v4 is null && v6 is null ? null : new FamilyPolicy(v4, v6);

    public int Apply(in PolicyRoute route, AttributeTable attributes) =>
        (route.Prefix.IsV4 ? _v4 : _v6) is { } policy ? policy.Apply(route, attributes) : route.AttributeSet;

    public ImmutableArray<Cidr>? DifferenceFrom(IRoutePolicy other) => other is FamilyPolicy old
        && Difference(_v4, old._v4) is { } v4 && Difference(_v6, old._v6) is { } v6 ? [.. v4, .. v6] : null;

    private static ImmutableArray<Cidr>? Difference(IRoutePolicy? now, IRoutePolicy? before) =>
        Equals(now, before) ? [] : now is null || before is null ? null : now.DifferenceFrom(before);
}

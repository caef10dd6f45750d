using System.Collections.Immutable;
using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Wire;
using Calico.Core.Model;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Policy;

/// <summary>Communities for all that is announced inside a range.</summary>
public sealed record PrefixTags(Cidr Range, ValueList<RouteTag> Tags);

/// <summary>
/// What a node of a cluster announces, of one family. A node is no transit router: beside its own routes it passes on
/// only what belongs to the cluster.
/// <code>
///   inside a pool that is kept out of BGP      no
///   inside a block of this node                the block itself; of its parts those alone that are moving
///   of our own (services, single addresses)    yes
///   inside a range of services                 if this node reflects
///   inside a pool                              yes
///   anything else                              no
/// </code>
/// What goes gets the communities of the ranges that it is in. Equal to another that says the same.
/// </summary>
public sealed record ClusterExport
{
    /// <summary>Pools with disableBGPExport.</summary>
    public ValueList<Cidr> HiddenPools { get; init; }

    public ValueList<Cidr> Pools { get; init; }

    /// <summary>Blocks of this node.</summary>
    public ValueList<Cidr> Blocks { get; init; }

    /// <summary>Ranges of external and load balancer addresses, on a route reflector.</summary>
    public ValueList<Cidr> Reflected { get; init; }

    public ValueList<PrefixTags> Tags { get; init; }
    public uint NormalPriority { get; init; } = RoutePriority.Normal;

    public int Apply(in PolicyRoute route, AttributeTable attributes) =>
        Lets(route, attributes) ? Tagged(route, attributes) : AttributeTable.None;

    /// <summary>
    /// The ranges outside of which both decide the same: those that only one of them has. Null if they differ in more than
    /// ranges. A node that gains a block need not look at anything else.
    /// </summary>
    public ImmutableArray<Cidr>? DifferenceFrom(ClusterExport other)
    {
        if (Tags != other.Tags || NormalPriority != other.NormalPriority)
            return null;
        return [.. Difference(HiddenPools, other.HiddenPools), .. Difference(Pools, other.Pools), .. Difference(Blocks, other.Blocks),
            .. Difference(Reflected, other.Reflected)];
    }

    private static IEnumerable<Cidr> Difference(ValueList<Cidr> one, ValueList<Cidr> other) => one.Except(other).Concat(other.Except(one));

    private bool Lets(in PolicyRoute route, AttributeTable attributes)
    {
        if (IsIn(HiddenPools, route.Prefix))
            return false;
        foreach (var block in Blocks.Items)
        {
            // A part with a better priority is that of a workload that moves away: it must be found where it is now.
            if (block.Contains(route.Prefix))
                return block == route.Prefix || RoutePriority.Of(route.AttributeSet, attributes) < NormalPriority;
        }
        return route.Source.IsLocal || IsIn(Reflected, route.Prefix) || IsIn(Pools, route.Prefix);
    }

    private int Tagged(in PolicyRoute route, AttributeTable attributes)
    {
        PathAttributes? tagged = null;
        foreach (var (range, tags) in Tags.Items)
        {
            if (!range.Contains(route.Prefix))
                continue;
            foreach (var tag in tags.Items)
            {
                if (tagged is not null || !tag.IsOn(attributes.Octets(route.AttributeSet)))
                    tagged = tag.AddTo(tagged ?? attributes.Attributes(route.AttributeSet));
            }
        }
        return tagged is null ? route.AttributeSet : attributes.Intern(tagged, attributes.NextHop(route.AttributeSet));
    }

    private static bool IsIn(ValueList<Cidr> ranges, Cidr prefix)
    {
        foreach (var range in ranges.Items)
        {
            if (range.Contains(prefix))
                return true;
        }
        return false;
    }
}

using Calico.Core.Bgp.Policy;
using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Wire;
using Calico.Core.Model;
using Calico.Core.Net;

namespace Calico.Tests.Core.Bgp.Policy;

/// <summary>Routes for policies, and what comes of them. Next hop 10.9.0.N leaves by the interface of that number.</summary>
internal sealed class PolicyBed
{
    public static readonly RibPeer Ours = RibPeer.Local(RibHarness.Own, RibHarness.OwnId);
    public static readonly RibPeer External = RibHarness.Peer(1, isInternal: false);
    public static readonly RibPeer Internal = RibHarness.Peer(2, isInternal: true);

    private readonly string[] _interfaces;

    public PolicyBed(params string[] interfaces)
    {
        _interfaces = interfaces;
        Attributes = new AttributeTable(new Named(interfaces));
    }

    public AttributeTable Attributes { get; }

    public static PathAttributes Plain { get; } = new() { LocalPref = RoutePriority.ToLocalPref(RoutePriority.Normal) };

    public PolicyRoute Route(string prefix, RibPeer? source = null, RibPeer? target = null, PathAttributes? attributes = null, string? by = null)
    {
        var cidr = Cidr.Parse(prefix);
        var hop = source is null or { IsLocal: true } ? (cidr.IsV4 ? IpAddr.AnyV4 : IpAddr.AnyV6)
            : IpAddr.FromV4(0x0A090000u + (uint)(by is null ? 255 : Array.IndexOf(_interfaces, by)));
        return new PolicyRoute(cidr, Attributes.Intern(attributes ?? Plain, hop), source ?? Ours, target);
    }

    /// <summary>What the policy makes of a route; null if it refuses it.</summary>
    public PathAttributes? Ask(IRoutePolicy policy, in PolicyRoute route) =>
        policy.Apply(route, Attributes) is var set and >= 0 ? Attributes.Attributes(set) : null;

    /// <summary>Whether the policy lets a route pass as it is.</summary>
    public bool Lets(IRoutePolicy policy, in PolicyRoute route)
    {
        var set = policy.Apply(route, Attributes);
        Assert.True(set == AttributeTable.None || set == route.AttributeSet);
        return set >= 0;
    }

    public static ValueList<Cidr> Ranges(params string[] ranges) => new([.. ranges.Select(r => Cidr.Parse(r))]);

    private sealed class Named(string[] interfaces) : INextHopResolver
    {
        public NextHopResolution Resolve(IpAddr nextHop)
        {
            var index = (int)(uint)nextHop.Bits & 0xFF;
            return new NextHopResolution(true, null, index + 1, 0) { Interface = index < interfaces.Length ? interfaces[index] : null };
        }
    }
}

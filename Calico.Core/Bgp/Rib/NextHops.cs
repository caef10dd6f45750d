using Calico.Core.Net;

namespace Calico.Core.Bgp.Rib;

/// <summary>
/// How packets for a BGP next hop leave this machine. <paramref name="Gateway"/> is null when the next hop is on a
/// link of ours; link 0 leaves the choice to the kernel. <paramref name="Metric"/> is the interior cost of RFC 4271
/// section 9.1.2.2 step e.
/// </summary>
public readonly record struct NextHopResolution(bool Reachable, IpAddr? Gateway, int LinkIndex, uint Metric)
{
    public static NextHopResolution Unreachable => default;

    /// <summary>The name of the link, where policies ask for it.</summary>
    public string? Interface { get; init; }

    /// <summary>Taken as it is, by a kernel that resolves for itself.</summary>
    public static NextHopResolution Direct => new(true, null, 0, 0);
}

/// <summary>
/// Resolves BGP next hops against the routes of this machine. An implementation is a snapshot: it answers the same
/// until it is replaced (<see cref="Rib.ResolveNextHops"/>).
/// </summary>
public interface INextHopResolver
{
    NextHopResolution Resolve(IpAddr nextHop);
}

/// <summary>Every next hop is reachable as it is.</summary>
public sealed class DirectNextHopResolver : INextHopResolver
{
    public static DirectNextHopResolver Instance { get; } = new();

    public NextHopResolution Resolve(IpAddr nextHop) => NextHopResolution.Direct;
}

/// <summary>A next hop that some attribute set has; how it resolves, and the sets that have it.</summary>
internal sealed class NextHopEntry(IpAddr address)
{
    public IpAddr Address { get; } = address;

    /// <summary>Our own routes have no next hop until they are announced.</summary>
    public bool IsSelf => Address.IsUnspecified;

    public NextHopResolution Resolution { get; set; }

    /// <summary>The first of the sets that have it; the list goes on in the sets. -1 for none.</summary>
    public int FirstSet { get; set; } = -1;
}

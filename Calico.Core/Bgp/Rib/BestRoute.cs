using System.Collections.Immutable;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Rib;

/// <summary>
/// One way to a destination: the next hop that BGP names, how it resolves here, and the peer it was learned from.
/// </summary>
public readonly record struct BestNextHop(IpAddr NextHop, IpAddr? Gateway, int LinkIndex, IpAddr Peer);

/// <summary>
/// The outcome for a prefix, for whoever writes it into the kernel. Without next hops there is no BGP route any more
/// (or the prefix is our own). <paramref name="LocalPref"/> carries Calico's route priority (2147483647 - metric).
/// </summary>
public readonly record struct BestRoute(Cidr Prefix, ImmutableArray<BestNextHop> NextHops, uint LocalPref)
{
    public bool IsGone => NextHops.IsEmpty;

    public bool Equals(BestRoute other) =>
        Prefix == other.Prefix && LocalPref == other.LocalPref
            && NextHops.AsSpan().SequenceEqual(other.NextHops.AsSpan());

    public override int GetHashCode() => HashCode.Combine(Prefix, LocalPref, NextHops.Length);
}

using System.Collections.Immutable;
using Calico.Actors.Bgp;
using Calico.Actors.Dataplane;
using Calico.Core.Net;

namespace Calico.Actors.Routing;

/// <summary>
/// The host routes to peers that are reached by a gateway of their own (BGPPeer reachableBy), as the configuration has them. Of two
/// peers with one address the first decides. Not thread-safe.
/// </summary>
public sealed class PeerRoutes
{
    /// <summary>The gateway of each such peer.</summary>
    public ImmutableSortedDictionary<IpAddr, IpAddr> Gateways { get; private set; } = ImmutableSortedDictionary<IpAddr, IpAddr>.Empty;

    /// <summary>What to tell the writer of routes; null if the configuration has the same as before.</summary>
    public RouteProtocol.ChangeRoutes? Take(SpeakerConfig config)
    {
        var wanted = config.Peers.Concat(config.Withheld.Select(w => w.Peer)).Where(p => p.ReachableBy is not null)
            .DistinctBy(p => p.Address).ToImmutableSortedDictionary(p => p.Address, p => p.ReachableBy!.Value);
        var before = Gateways;
        if (wanted.SequenceEqual(before))
            return null;
        Gateways = wanted;
        return new RouteProtocol.ChangeRoutes(RouteSource.Peers, [.. wanted.Except(before).Select(r => KernelRoutes.ToHost(r.Key, r.Value))],
            [.. before.Keys.Except(wanted.Keys).Select(p => KernelRoutes.KeyOf(Cidr.Host(p)))]);
    }
}

using System.Collections.Immutable;
using Calico.Actors.Bgp;
using Calico.Actors.Dataplane;
using Calico.Core.Model.Resources;
using Calico.Core.Net;

namespace Calico.Actors.Routing;

/// <summary>The workloads of this node that speak BGP with it (BGPPeer localWorkloadSelector), as the configuration has them. Not thread-safe.</summary>
public sealed class WorkloadPeers
{
    private LinkProtocol.AssignPeering? _said;

    /// <summary>The link that each of them is behind.</summary>
    public ImmutableSortedDictionary<IpAddr, string> Links { get; private set; } = ImmutableSortedDictionary<IpAddr, string>.Empty;

    /// <summary>What to tell the writer of links; null if that is the same as before.</summary>
    /// <param name="config">The sessions.</param>
    /// <param name="global">Says at which addresses workloads find their node (localWorkloadPeeringIPV4, …IPV6); one that cannot be read is none.</param>
    /// <param name="prefix">That of the names of workloads' links.</param>
    public LinkProtocol.AssignPeering? Take(SpeakerConfig config, BGPConfigurationSpec global, string prefix)
    {
        Links = config.Peers.Concat(config.Withheld.Select(w => w.Peer)).Where(p => p.WorkloadInterface is not null)
            .DistinctBy(p => p.Address).ToImmutableSortedDictionary(p => p.Address, p => p.WorkloadInterface!);
        var addresses = new[] { global.LocalWorkloadPeeringIPV4, global.LocalWorkloadPeeringIPV6 }
            .Select(text => IpAddr.TryParse(text, out var address) ? address : (IpAddr?)null).OfType<IpAddr>().ToImmutableArray();
        var wanted = Links.GroupBy(l => l.Value, l => l.Key.Version, StringComparer.Ordinal)
            .SelectMany(link => addresses.Where(a => link.Contains(a.Version)).Select(a => (Link: link.Key, Address: a))).ToImmutableSortedSet();
        if (_said is { } before && before.Wanted.SetEquals(wanted))
            return null;
        return _said = new LinkProtocol.AssignPeering(wanted, prefix);
    }
}

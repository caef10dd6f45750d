using Calico.Core.Model.Schema;
using Calico.Core.Net;

namespace Calico.Core.Model.Resources;

/// <summary>
/// BGP sessions: which of our nodes (all, one, a selection) peer with whom (an address, nodes, local workloads).
/// </summary>
public sealed record BGPPeer() : Resource(ResourceKind.BGPPeer)
{
    public BGPPeerSpec Spec { get; init => field = value ?? new(); } = new();
}

public sealed record BGPPeerSpec : ModelObject
{
    [MaxLength(253)]
    [Format(FieldFormat.Name)]
    public string? Node { get; init; }

    [MaxLength(1024)]
    [Format(FieldFormat.Selector)]
    public string? NodeSelector { get; init; }

    /// <summary><c>ip</c>, <c>v4:port</c> or <c>[v6]:port</c>.</summary>
    [MaxLength(64)]
    [Format(FieldFormat.IpPort)]
    public string? PeerIP { get; init; }

    /// <summary>The remote AS; absent and 0 are the same.</summary>
    public Asn AsNumber { get; init; }

    /// <summary>Our AS on this session.</summary>
    public Asn? LocalASNumber { get; init; }

    [MaxLength(1024)]
    [Format(FieldFormat.Selector)]
    public string? PeerSelector { get; init; }

    /// <summary>Older spelling of next hop mode Keep.</summary>
    public bool KeepOriginalNextHop { get; init; }

    [OneOf("Auto", "Self", "Keep")]
    public string? NextHopMode { get; init; }

    public BGPPassword? Password { get; init; }

    [OneOf("UseNodeIP", "None")]
    public string? SourceAddress { get; init; }

    public GoDuration? MaxRestartTime { get; init; }
    public GoDuration? KeepaliveTime { get; init; }

    /// <summary>How often our own AS may stand in a received path.</summary>
    [Between(0, int.MaxValue)]
    public int? NumAllowedLocalASNumbers { get; init; }

    /// <summary>GTSM: the peer is at most so many hops away; 0 is off.</summary>
    [Between(0, 255)]
    public int? TtlSecurity { get; init; }

    /// <summary>Gateway of a host route to the peer.</summary>
    [MaxLength(64)]
    [Format(FieldFormat.Ip)]
    public string? ReachableBy { get; init; }

    /// <summary>BGPFilters in order.</summary>
    [Format(FieldFormat.Name)]
    public ValueList<string> Filters { get; init; }

    [MaxLength(1024)]
    [Format(FieldFormat.Selector)]
    public string? LocalWorkloadSelector { get; init; }

    [OneOf("Auto", "Manual")]
    public string? ReversePeering { get; init; }
}

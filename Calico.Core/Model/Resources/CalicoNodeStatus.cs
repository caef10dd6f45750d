using System.Text.Json.Serialization;
using Calico.Core.Model.Schema;

namespace Calico.Core.Model.Resources;

/// <summary>
/// A question to one node about itself, and the node's answer: a person writes the spec, the node's agent keeps the
/// status up to date.
/// </summary>
public sealed record CalicoNodeStatus() : Resource(ResourceKind.CalicoNodeStatus)
{
    public CalicoNodeStatusSpec Spec { get; init => field = value ?? new(); } = new();
    public CalicoNodeStatusStatus Status { get; init => field = value ?? new(); } = new();
}

public sealed record CalicoNodeStatusSpec : ModelObject
{
    public const string Agent = "Agent";
    public const string Bgp = "BGP";
    public const string Routes = "Routes";

    /// <summary>The node that is to answer.</summary>
    [RequiredField]
    [Format(FieldFormat.Name)]
    public string? Node { get; init; }

    /// <summary>What it is to tell.</summary>
    [RequiredField]
    [Items(3, Unique = true)]
    [OneOf(Agent, Bgp, Routes)]
    public ValueList<string> Classes { get; init; }

    /// <summary>Seconds between two answers, at most a day; 0 stops them.</summary>
    [RequiredField]
    [Between(0, 86400)]
    public uint? UpdatePeriodSeconds { get; init; }
}

public sealed record CalicoNodeStatusStatus : ModelObject
{
    /// <summary>When the node last answered; null before its first answer.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public DateTimeOffset? LastUpdated { get; init; }

    public NodeAgentStatus Agent { get; init => field = value ?? new(); } = new();
    public NodeBGPStatus Bgp { get; init => field = value ?? new(); } = new();
    public NodeBGPRoutesStatus Routes { get; init => field = value ?? new(); } = new();
}

public sealed record NodeAgentStatus : ModelObject
{
    public NodeBirdStatus BirdV4 { get; init => field = value ?? new(); } = new();
    public NodeBirdStatus BirdV6 { get; init => field = value ?? new(); } = new();
}

/// <summary>The speaker of one family, under the name of the daemon that upstream runs.</summary>
public sealed record NodeBirdStatus : ModelObject
{
    [OneOf("Ready", "NotReady")]
    public string? State { get; init; }
    public string? Version { get; init; }
    public string? RouterID { get; init; }
    public string? LastBootTime { get; init; }
    public string? LastReconfigurationTime { get; init; }
}

public sealed record NodeBGPStatus : ModelObject
{
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public int NumberEstablishedV4 { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public int NumberNotEstablishedV4 { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public int NumberEstablishedV6 { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public int NumberNotEstablishedV6 { get; init; }
    public ValueList<NodePeerStatus> PeersV4 { get; init; }
    public ValueList<NodePeerStatus> PeersV6 { get; init; }
}

public sealed record NodePeerStatus : ModelObject
{
    public string? PeerIP { get; init; }

    [OneOf("NodeMesh", "NodePeer", "GlobalPeer")]
    public string? Type { get; init; }

    [OneOf("Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established", "Close")]
    public string? State { get; init; }

    /// <summary>When it entered the state, as the speaker prints it.</summary>
    public string? Since { get; init; }
}

public sealed record NodeBGPRoutesStatus : ModelObject
{
    public ValueList<NodeRouteStatus> RoutesV4 { get; init; }
    public ValueList<NodeRouteStatus> RoutesV6 { get; init; }
}

public sealed record NodeRouteStatus : ModelObject
{
    /// <summary>In the kernel, or only known to the speaker.</summary>
    [OneOf("FIB", "RIB")]
    public string? Type { get; init; }
    public string? Destination { get; init; }
    public string? Gateway { get; init; }
    public string? Interface { get; init; }
    public NodeRouteSource LearnedFrom { get; init => field = value ?? new(); } = new();
}

public sealed record NodeRouteSource : ModelObject
{
    [OneOf("Kernel", "Static", "Direct", "NodeMesh", "BGPPeer")]
    public string? SourceType { get; init; }

    /// <summary>Only of a route that a peer told.</summary>
    public string? PeerIP { get; init; }
}

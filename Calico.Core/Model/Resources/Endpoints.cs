using System.Text.Json.Serialization;
using Calico.Core.Model.Schema;

namespace Calico.Core.Model.Resources;

/// <summary>An interface of a host that policy protects.</summary>
public sealed record HostEndpoint() : Resource(ResourceKind.HostEndpoint)
{
    public HostEndpointSpec Spec { get; init => field = value ?? new(); } = new();
}

public sealed record HostEndpointSpec : ModelObject
{
    [MaxLength(253)]
    [Format(FieldFormat.Name)]
    public string? Node { get; init; }

    /// <summary>A name, or <c>*</c> for all interfaces of the host that have no endpoint of their own.</summary>
    [Format(FieldFormat.Interface)]
    public string? InterfaceName { get; init; }

    [Items(int.MaxValue, Unique = true, TakesDuplicates = true)]
    [Format(FieldFormat.Ip)]
    public ValueList<string> ExpectedIPs { get; init; }

    [Items(int.MaxValue, Unique = true, TakesDuplicates = true)]
    [Format(FieldFormat.Name)]
    public ValueList<string> Profiles { get; init; }

    public ValueList<EndpointPort> Ports { get; init; }
}

/// <summary>A port that policies can mention by name.</summary>
public sealed record EndpointPort : ModelObject
{
    [RequiredField]
    [Format(FieldFormat.PortName)]
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public string? Name { get; init; }

    [RequiredField]
    public Protocol? Protocol { get; init; }

    [RequiredField]
    [Between(1, 65535)]
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public int Port { get; init; }
}

/// <summary>One interface of one workload: a pod, or anything that another orchestrator runs.</summary>
public sealed record WorkloadEndpoint() : Resource(ResourceKind.WorkloadEndpoint)
{
    public WorkloadEndpointSpec Spec { get; init => field = value ?? new(); } = new();
}

public sealed record WorkloadEndpointSpec : ModelObject
{
    /// <summary><c>k8s</c>, <c>cni</c>, <c>libnetwork</c>, <c>openstack</c> or another name.</summary>
    [Format(FieldFormat.Name)]
    public string? Orchestrator { get; init; }

    [Format(FieldFormat.Name)]
    public string? Workload { get; init; }

    [Format(FieldFormat.Name)]
    public string? Node { get; init; }

    /// <summary>The sandbox that owns the endpoint: a CNI DEL for another one must not remove it.</summary>
    [Format(FieldFormat.ContainerId)]
    public string? ContainerID { get; init; }

    [Format(FieldFormat.Name)]
    public string? Pod { get; init; }

    [Format(FieldFormat.Name)]
    public string? Endpoint { get; init; }

    [Format(FieldFormat.Name)]
    public string? ServiceAccountName { get; init; }

    /// <summary>The workload's addresses as /32 and /128.</summary>
    [Format(FieldFormat.Net)]
    public ValueList<string> IpNetworks { get; init; }

    public ValueList<IpNat> IpNATs { get; init; }

    [Format(FieldFormat.IpV4)]
    public string? Ipv4Gateway { get; init; }

    [Format(FieldFormat.IpV6)]
    public string? Ipv6Gateway { get; init; }

    /// <summary>Profiles in order of precedence.</summary>
    [Format(FieldFormat.Name)]
    public ValueList<string> Profiles { get; init; }

    /// <summary>The host's side.</summary>
    [Format(FieldFormat.Interface)]
    public string? InterfaceName { get; init; }

    [Format(FieldFormat.Mac)]
    public string? Mac { get; init; }

    public ValueList<WorkloadEndpointPort> Ports { get; init; }

    [Format(FieldFormat.Cidr)]
    public ValueList<string> AllowSpoofedSourcePrefixes { get; init; }

    public QosControls? QosControls { get; init; }
}

public sealed record WorkloadEndpointPort : ModelObject
{
    [Format(FieldFormat.PortName)]
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public string? Name { get; init; }

    [RequiredField]
    public Protocol? Protocol { get; init; }

    [RequiredField]
    [Between(1, 65535)]
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public int Port { get; init; }

    [Between(0, 65535)]
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public int HostPort { get; init; }

    [Format(FieldFormat.Net)]
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public string? HostIP { get; init; }
}

/// <summary>A floating address in front of one of the endpoint's own.</summary>
public sealed record IpNat : ModelObject
{
    [Format(FieldFormat.Ip)]
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public string? InternalIP { get; init; }

    [Format(FieldFormat.Ip)]
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public string? ExternalIP { get; init; }
}

/// <summary>Traffic limits: bandwidths in bits a second, bursts in bits, minimum bursts in bytes; 0 is no limit.</summary>
public sealed record QosControls : ModelObject
{
    public long IngressBandwidth { get; init; }
    public long IngressBurst { get; init; }
    public long IngressPeakrate { get; init; }
    public long IngressMinburst { get; init; }
    public long EgressBandwidth { get; init; }
    public long EgressBurst { get; init; }
    public long EgressPeakrate { get; init; }
    public long EgressMinburst { get; init; }
    public long IngressPacketRate { get; init; }
    public long IngressPacketBurst { get; init; }
    public long EgressPacketRate { get; init; }
    public long EgressPacketBurst { get; init; }
    public long IngressMaxConnections { get; init; }
    public long EgressMaxConnections { get; init; }

    /// <summary>0 to 63 or a name such as AF41.</summary>
    public IntOrString? Dscp { get; init; }
}

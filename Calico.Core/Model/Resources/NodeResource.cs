using System.Text.Json.Serialization;
using Calico.Core.Model.Schema;
using Calico.Core.Net;

namespace Calico.Core.Model.Resources;

/// <summary>
/// A machine of the cluster; kind <c>Node</c> (the record has another name because Calico.Node is a namespace).
/// </summary>
public sealed record NodeResource() : Resource(ResourceKind.Node)
{
    public NodeSpec Spec { get; init => field = value ?? new(); } = new();
    public NodeStatus Status { get; init => field = value ?? new(); } = new();
}

public sealed record NodeSpec : ModelObject
{
    /// <summary>Never an object without fields: absent instead.</summary>
    public NodeBGPSpec? Bgp { get; init; }

    [Format(FieldFormat.IpV4)]
    public string? Ipv4VXLANTunnelAddr { get; init; }

    [Format(FieldFormat.Mac)]
    public string? VxlanTunnelMACAddr { get; init; }

    [Format(FieldFormat.IpV6)]
    public string? Ipv6VXLANTunnelAddr { get; init; }

    [Format(FieldFormat.Mac)]
    public string? VxlanTunnelMACAddrV6 { get; init; }

    public ValueList<OrchRef> OrchRefs { get; init; }

    /// <summary>Never an object without fields: absent instead.</summary>
    public NodeWireguardSpec? Wireguard { get; init; }

    public ValueList<NodeAddress> Addresses { get; init; }
    public ValueList<NodeInterface> Interfaces { get; init; }
}

public sealed record NodeBGPSpec : ModelObject
{
    public Asn? AsNumber { get; init; }

    /// <summary>The node's address with the prefix length of its subnet.</summary>
    [Format(FieldFormat.CidrV4)]
    public string? Ipv4Address { get; init; }

    /// <inheritdoc cref="Ipv4Address"/>
    [Format(FieldFormat.CidrV6)]
    public string? Ipv6Address { get; init; }

    [Format(FieldFormat.IpV4)]
    public string? Ipv4IPIPTunnelAddr { get; init; }

    /// <summary>Makes the node a route reflector; shaped like an IPv4 address.</summary>
    [Format(FieldFormat.IpV4)]
    public string? RouteReflectorClusterID { get; init; }
}

/// <summary>The node under the name that its orchestrator gives it.</summary>
public sealed record OrchRef : ModelObject
{
    public string? NodeName { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public string? Orchestrator { get; init; }
}

public sealed record NodeWireguardSpec : ModelObject
{
    [Format(FieldFormat.IpV4)]
    public string? InterfaceIPv4Address { get; init; }

    [Format(FieldFormat.IpV6)]
    public string? InterfaceIPv6Address { get; init; }
}

public sealed record NodeAddress : ModelObject
{
    /// <summary>An address, or one with the prefix length of its subnet.</summary>
    [RequiredField]
    [Format(FieldFormat.Cidr)]
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public string? Address { get; init; }

    [OneOf("CalicoNodeIP", "InternalIP", "ExternalIP")]
    public string? Type { get; init; }
}

public sealed record NodeInterface : ModelObject
{
    public string? Name { get; init; }
    public ValueList<string> Addresses { get; init; }
}

public sealed record NodeStatus : ModelObject
{
    [Format(FieldFormat.WireguardKey)]
    public string? WireguardPublicKey { get; init; }

    [Format(FieldFormat.WireguardKey)]
    public string? WireguardPublicKeyV6 { get; init; }

    [JsonPropertyName("podCIDRs")]
    public ValueList<string> PodCIDRs { get; init; }
}

using System.Collections.Immutable;
using Calico.Core.Bfd;
using Calico.Core.Bgp.Policy;
using Calico.Core.Model.Resources;
using Calico.Core.Net;

namespace Calico.Actors.Routing;

/// <summary>The resources that decide about BGP, by name, and what else the node knows.</summary>
/// <param name="Node">The node whose sessions are wanted.</param>
public sealed record PeeringInputs(string Node)
{
    public ImmutableSortedDictionary<string, NodeResource> Nodes { get; init; } = ByName<NodeResource>();
    public ImmutableSortedDictionary<string, BGPConfiguration> Configurations { get; init; } = ByName<BGPConfiguration>();
    public ImmutableSortedDictionary<string, BGPPeer> Peers { get; init; } = ByName<BGPPeer>();

    /// <summary>Endpoints of this node; those of others do no harm.</summary>
    public ImmutableSortedDictionary<string, WorkloadEndpoint> Workloads { get; init; } = ByName<WorkloadEndpoint>();

    public ImmutableSortedDictionary<string, BGPFilter> Filters { get; init; } = ByName<BGPFilter>();
    public ImmutableSortedDictionary<string, IPPool> Pools { get; init; } = ByName<IPPool>();

    /// <summary>How long peers shall keep our routes as their last choice (RFC 9494).</summary>
    public TimeSpan LongLivedTime { get; init; }

    /// <summary>How the paths to peers are watched that do not say it themselves (<see cref="BfdSetting.Annotation"/>).</summary>
    public BfdSetting? Bfd { get; init; }

    /// <summary>Blocks that this node holds.</summary>
    public ImmutableSortedSet<Cidr> Blocks { get; init; } = [];

    /// <summary>A speaker outside a cluster: it passes on what it learns.</summary>
    public bool IsAlone { get; init; }

    /// <summary>CALICO_ROUTER_ID: a dotted quad, or <c>hash</c> for one made of the node's name; null: the IPv4 address.</summary>
    public string? RouterId { get; init; }

    /// <summary>The value of a key of a Secret, or null if it cannot be had.</summary>
    public Func<string, string, string?> Secret { get; init; } = static (_, _) => null;

    /// <summary>Where Secrets of a speaker outside a cluster are files; null: it was not said.</summary>
    public string? SecretsDirectory { get; init; }

    public BGPConfigurationSpec Global => Configurations.GetValueOrDefault("default")?.Spec ?? new BGPConfigurationSpec();

    /// <summary>The configuration of a node, where it has one of its own.</summary>
    public BGPConfigurationSpec? Of(string node) => Configurations.GetValueOrDefault("node." + node)?.Spec;

    /// <summary>The route priority of what is announced without another.</summary>
    public uint NormalPriority(IpVersion version) => (uint?)(PriorityOf(Of(Node), version) ?? PriorityOf(Global, version)) ?? RoutePriority.Normal;

    private static int? PriorityOf(BGPConfigurationSpec? spec, IpVersion version) => version == IpVersion.V4 ? spec?.Ipv4NormalRoutePriority : spec?.Ipv6NormalRoutePriority;

    private static ImmutableSortedDictionary<string, T> ByName<T>() => ImmutableSortedDictionary.Create<string, T>(StringComparer.Ordinal);
}

/// <summary>A node as a peer: what its resources say of it, read once.</summary>
/// <param name="ListenPort">Null where nobody configured one: 179.</param>
/// <param name="ClusterId">Of a route reflector, else empty.</param>
internal sealed record PeerNode(NodeResource Resource, IpAddr? V4, IpAddr? V6, Asn? As, ushort? ListenPort, string ClusterId)
{
    public string Name => Resource.Name;
    public bool IsReflector => ClusterId.Length > 0;

    public IpAddr? AddressOf(IpVersion version) => version == IpVersion.V4 ? V4 : V6;

    public IEnumerable<IpAddr> Addresses => new[] { V4, V6 }.OfType<IpAddr>();

    public static PeerNode Of(NodeResource node, PeeringInputs inputs) => new(node, Peering.AddressOf(node, v4: true), Peering.AddressOf(node, v4: false),
        node.Spec.Bgp?.AsNumber, PortOf(inputs, node.Name), node.Spec.Bgp?.RouteReflectorClusterID ?? "");

    private static ushort? PortOf(PeeringInputs inputs, string node) => inputs.Of(node)?.ListenPort is > 0 and var own ? (ushort)own
        : inputs.Global.ListenPort > 0 ? (ushort)inputs.Global.ListenPort : null;
}

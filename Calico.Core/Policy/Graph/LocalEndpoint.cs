using System.Collections.Immutable;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Core.Policy.Index;

namespace Calico.Core.Policy.Graph;

/// <summary>Limits that a workload's annotations ask for; 0 means no limit.</summary>
public sealed record QosLimits
{
    /// <summary>Packets per second towards the workload.</summary>
    public int IngressPacketRate { get; init; }
    public int IngressPacketBurst { get; init; }

    /// <summary>Packets per second from the workload.</summary>
    public int EgressPacketRate { get; init; }
    public int EgressPacketBurst { get; init; }

    /// <summary>Simultaneous connections towards the workload.</summary>
    public long IngressConnections { get; init; }

    /// <summary>Simultaneous connections from the workload.</summary>
    public long EgressConnections { get; init; }
}

/// <summary>An address from outside that is translated to one of the workload's own.</summary>
public readonly record struct FloatingIp(IpAddr External, IpAddr Internal);

/// <summary>
/// An endpoint of this node as the graph needs it: a workload behind its own interface, or a host endpoint resolved to
/// an interface (<c>*</c> for the one that stands for every other interface).
/// </summary>
public sealed record LocalEndpoint
{
    /// <summary>Unique on the node, such as <c>default/web-0</c>; only ever compared and shown.</summary>
    public required string Id { get; init; }

    public required string InterfaceName { get; init; }
    public bool IsHost { get; init; }
    public ImmutableArray<KeyValuePair<string, string>> Labels { get; init; } = [];

    /// <summary>Profiles in the order in which they are tried.</summary>
    public ImmutableArray<string> Profiles { get; init; } = [];

    public ImmutableArray<IpAddr> Addresses { get; init; } = [];

    /// <summary>False drops everything to and from a workload; host endpoints are always up.</summary>
    public bool AdminUp { get; init; } = true;

    /// <summary>Networks the workload may use as source besides its own addresses.</summary>
    public ImmutableArray<Cidr> AllowedSources { get; init; } = [];

    public ImmutableArray<FloatingIp> FloatingIps { get; init; } = [];

    public QosLimits? Qos { get; init; }

    /// <summary>
    /// A workload endpoint of this node; the id is <c>namespace/name</c>. Addresses that do not parse are left out.
    /// </summary>
    public static LocalEndpoint Of(WorkloadEndpoint endpoint)
    {
        var qos = endpoint.Spec.QosControls;
        return new LocalEndpoint
        {
            Id = $"{endpoint.Namespace}/{endpoint.Name}",
            InterfaceName = endpoint.Spec.InterfaceName ?? "",
            Labels = LabelOwners.LabelsOf(endpoint),
            Profiles = endpoint.Spec.Profiles.Items,
            Addresses = [.. LabelOwners.Of(endpoint).Nets.Select(n => n.Address)],
            AllowedSources = [.. LabelOwners.Nets(endpoint.Spec.AllowSpoofedSourcePrefixes).Select(n => n.Network)],
            FloatingIps = [.. endpoint.Spec.IpNATs
                .Select(n => (External: Parse(n.ExternalIP), Internal: Parse(n.InternalIP)))
                .Where(n => n.External is not null && n.Internal is not null)
                .Select(n => new FloatingIp(n.External!.Value, n.Internal!.Value))],
            Qos = qos is null ? null : new QosLimits
            {
                IngressPacketRate = (int)qos.IngressPacketRate,
                IngressPacketBurst = (int)qos.IngressPacketBurst,
                EgressPacketRate = (int)qos.EgressPacketRate,
                EgressPacketBurst = (int)qos.EgressPacketBurst,
                IngressConnections = qos.IngressMaxConnections,
                EgressConnections = qos.EgressMaxConnections,
            },
        };
    }

    private static IpAddr? Parse(string? text) => IpAddr.TryParse(text, out var address) ? address : null;

    public bool Equals(LocalEndpoint? other) => other is not null
        && Id == other.Id && InterfaceName == other.InterfaceName && IsHost == other.IsHost
        && AdminUp == other.AdminUp && Qos == other.Qos
        && Labels.AsSpan().SequenceEqual(other.Labels.AsSpan())
        && Profiles.AsSpan().SequenceEqual(other.Profiles.AsSpan())
        && Addresses.AsSpan().SequenceEqual(other.Addresses.AsSpan())
        && AllowedSources.AsSpan().SequenceEqual(other.AllowedSources.AsSpan())
        && FloatingIps.AsSpan().SequenceEqual(other.FloatingIps.AsSpan());

    public override int GetHashCode() => HashCode.Combine(Id, InterfaceName, AdminUp);
}

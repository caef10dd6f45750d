using System.Collections.Immutable;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Net;

namespace Calico.Actors.Ipam;

/// <summary>The addresses that a stored WorkloadEndpoint names.</summary>
internal static class EndpointAddresses
{
    /// <summary>None of an endpoint that cannot be read.</summary>
    public static ImmutableArray<IpAddr> Of(ReadOnlyMemory<byte> json) => SpecOf(json) is { } spec ? [.. Of(spec.IpNetworks)] : [];

    /// <summary>Null if it cannot be read.</summary>
    public static WorkloadEndpointSpec? SpecOf(ReadOnlyMemory<byte> json)
    {
        try
        {
            return ((WorkloadEndpoint)ResourceCodec.Decode(ResourceKind.WorkloadEndpoint, json.Span)).Spec;
        }
        catch (InvalidResourceException)
        {
            return null;
        }
    }

    /// <summary>Those of the networks that can be read.</summary>
    public static IEnumerable<IpAddr> Of(IEnumerable<string> networks) =>
        networks.Select(n => Cidr.TryParseOrHost(n, out var cidr) ? cidr.Address : (IpAddr?)null).OfType<IpAddr>();
}

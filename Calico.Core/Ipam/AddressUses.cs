using System.Collections.Immutable;
using Calico.Core.Model.Resources;
using Calico.Core.Net;

namespace Calico.Core.Ipam;

/// <summary>Which addresses resources use, for an audit. Where a text is no address the use is null.</summary>
public static class AddressUses
{
    public static IEnumerable<(string Text, AddressUse? Use)> Of(WorkloadEndpoint endpoint) =>
        endpoint.Spec.IpNetworks.Select(a => Read(a, $"Workload({endpoint.Namespace}/{endpoint.Name})",
            string.IsNullOrEmpty(endpoint.Spec.Pod) ? null : $"{endpoint.Namespace}/{endpoint.Spec.Pod}"));

    // Calico's own check forgets the tunnels of IPv6, so that they look leaked.
    public static IEnumerable<(string Text, AddressUse? Use)> Of(NodeResource node) => new[]
    {
        node.Spec.Ipv4VXLANTunnelAddr, node.Spec.Ipv6VXLANTunnelAddr, node.Spec.Wireguard?.InterfaceIPv4Address,
        node.Spec.Wireguard?.InterfaceIPv6Address, node.Spec.Bgp?.Ipv4IPIPTunnelAddr,
    }.OfType<string>().Where(a => a.Length > 0).Select(a => Read(a, $"Node({node.Name})", null));

    public static ReservationRecord Of(IPReservation reservation) => new(reservation.Name,
        [.. reservation.Spec.ReservedCIDRs.Select(c => Cidr.TryParseOrHost(c, out var cidr) ? cidr.Network : (Cidr?)null).OfType<Cidr>()]);

    /// <summary>Null for a pool whose CIDR is none.</summary>
    public static PoolRecord? Of(IPPool pool) =>
        Cidr.TryParse(pool.Spec.Cidr, out var cidr) ? new PoolRecord(pool.Name, cidr.Network, pool.Spec.Disabled) : null;

    private static (string Text, AddressUse? Use) Read(string text, string user, string? pod) =>
        ($"({text}) of {user}", Cidr.TryParseOrHost(text, out var cidr) ? new AddressUse(cidr.Address, user) { Pod = pod } : null);
}

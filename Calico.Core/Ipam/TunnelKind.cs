using System.Collections.Immutable;
using Calico.Core.Model.Resources;
using Calico.Core.Net;

namespace Calico.Core.Ipam;

/// <summary>
/// A kind of tunnel between nodes and the address that a node has for it: which pools ask for one, under which handle it is
/// allocated, and which field of the Node resource names it. Names are Calico's (facts b.2, k).
/// </summary>
public sealed class TunnelKind
{
    private readonly Func<IPPool, NodeResource, bool> _asks;
    private readonly Func<NodeResource, string?> _get;
    private readonly Func<NodeSpec, string?, NodeSpec> _set;

    private TunnelKind(string name, string type, IpVersion family, Func<IPPool, NodeResource, bool> asks,
        Func<NodeResource, string?> get, Func<NodeSpec, string?, NodeSpec> set)
    {
        (Name, Type, Family, _asks, _get, _set) = (name, type, family, asks, get, set);
    }

    public static ImmutableArray<TunnelKind> All { get; } =
    [
        new("ipip", "ipipTunnelAddress", IpVersion.V4, (pool, _) => IsOn(pool.Spec.IpipMode), n => n.Spec.Bgp?.Ipv4IPIPTunnelAddr,
            (s, a) => s with { Bgp = Bgp((s.Bgp ?? new()) with { Ipv4IPIPTunnelAddr = a }) }),
        new("vxlan", "vxlanTunnelAddress", IpVersion.V4, (pool, _) => IsOn(pool.Spec.VxlanMode), n => n.Spec.Ipv4VXLANTunnelAddr,
            (s, a) => s with { Ipv4VXLANTunnelAddr = a }),
        new("vxlan-v6", "vxlanV6TunnelAddress", IpVersion.V6, (pool, _) => IsOn(pool.Spec.VxlanMode), n => n.Spec.Ipv6VXLANTunnelAddr,
            (s, a) => s with { Ipv6VXLANTunnelAddr = a }),
        new("wireguard", "wireguardTunnelAddress", IpVersion.V4, (_, node) => !string.IsNullOrEmpty(node.Status.WireguardPublicKey),
            n => n.Spec.Wireguard?.InterfaceIPv4Address,
            (s, a) => s with { Wireguard = Wireguard((s.Wireguard ?? new()) with { InterfaceIPv4Address = a }) }),
        new("wireguard-v6", "wireguardV6TunnelAddress", IpVersion.V6, (_, node) => !string.IsNullOrEmpty(node.Status.WireguardPublicKeyV6),
            n => n.Spec.Wireguard?.InterfaceIPv6Address,
            (s, a) => s with { Wireguard = Wireguard((s.Wireguard ?? new()) with { InterfaceIPv6Address = a }) }),
    ];

    public string Name { get; }

    /// <summary>The value of the allocation's attribute <c>type</c>.</summary>
    public string Type { get; }

    public IpVersion Family { get; }

    public string HandleOf(string node) => $"{Name}-tunnel-addr-{node}";

    /// <summary>Whether tunnels of this kind carry the pool's traffic, so that the node needs an address for them.</summary>
    public bool IsAskedForBy(IPPool pool, NodeResource node) =>
        Cidr.TryParse(pool.Spec.Cidr, out var cidr) && cidr.Version == Family && _asks(pool, node);

    /// <summary>What the Node resource says; null for nothing.</summary>
    public string? AddressOf(NodeResource node) => _get(node) is { Length: > 0 } address ? address : null;

    /// <summary>The Node resource with this address, or without one; an object without fields goes with its last.</summary>
    public NodeResource With(NodeResource node, string? address) => node with { Spec = _set(node.Spec, address) };

    private static bool IsOn(string? mode) => mode is EncapsulationMode.Always or EncapsulationMode.CrossSubnet;

    private static NodeBGPSpec? Bgp(NodeBGPSpec bgp) => bgp == new NodeBGPSpec() ? null : bgp;

    private static NodeWireguardSpec? Wireguard(NodeWireguardSpec wireguard) => wireguard == new NodeWireguardSpec() ? null : wireguard;
}

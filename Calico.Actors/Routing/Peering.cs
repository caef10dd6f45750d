using System.Collections.Immutable;
using Calico.Actors.Bgp;
using Calico.Core.Bgp.Wire;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Selectors;
using Calico.Core.Net;

namespace Calico.Actors.Routing;

/// <summary>The resources that decide about BGP, by name.</summary>
public sealed record PeeringInputs(string Node, ImmutableSortedDictionary<string, NodeResource> Nodes,
    ImmutableSortedDictionary<string, BGPConfiguration> Configurations, ImmutableSortedDictionary<string, BGPPeer> Peers);

/// <summary>
/// Calico resources to sessions of one node, with Calico's names and defaults (facts g.2, g.3): the node-to-node mesh,
/// global peers and node peers. Pure.
/// </summary>
public static class Peering
{
    /// <summary>Null while this node has no address or no resource yet.</summary>
    public static SpeakerConfig? Of(PeeringInputs inputs)
    {
        if (!inputs.Nodes.TryGetValue(inputs.Node, out var self) || AddressOf(self, v4: true) is not { } own)
            return null;
        var global = inputs.Configurations.GetValueOrDefault("default")?.Spec ?? new BGPConfigurationSpec();
        var ours = inputs.Configurations.GetValueOrDefault("node." + inputs.Node)?.Spec;
        var asn = self.Spec.Bgp?.AsNumber ?? global.AsNumber ?? Asn.CalicoDefault;
        var port = PortOf(inputs, inputs.Node, global);
        var peers = new SortedDictionary<string, PeerConfig>(StringComparer.Ordinal);

        foreach (var peer in inputs.Peers.Values.Where(p => AppliesTo(p.Spec, self)))
        {
            foreach (var config in Expand(inputs, peer, self, own, asn, global))
                peers.TryAdd(config.Name, config);
        }
        if (global.NodeToNodeMeshEnabled ?? true)
        {
            foreach (var config in Mesh(inputs, self, own, asn, global))
            {
                if (peers.Values.All(p => p.Address != config.Address))
                    peers.TryAdd(config.Name, config);
            }
        }
        return new SpeakerConfig
        {
            LocalAs = asn,
            RouterId = new RouterId((uint)own.Bits),
            ListenAddresses = (ours?.BindMode ?? global.BindMode) == "NodeIP" ? [own] : [IpAddr.AnyV4],
            ListenPort = port,
            AddressV4 = own,
            AddressV6 = AddressOf(self, v4: false),
            Peers = [.. peers.Values],
        };
    }

    private static IEnumerable<PeerConfig> Mesh(PeeringInputs inputs, NodeResource self, IpAddr own, Asn asn, BGPConfigurationSpec global)
    {
        if (IsReflector(self))
            yield break;
        foreach (var node in inputs.Nodes.Values.Where(n => n.Name != self.Name && !IsReflector(n)))
        {
            if (AddressOf(node, v4: true) is not { } address)
                continue;
            yield return new PeerConfig
            {
                Name = $"Mesh_{Escape(address)}",
                Kind = PeerKind.NodeMesh,
                Address = address,
                Port = PortOf(inputs, node.Name, global),
                As = node.Spec.Bgp?.AsNumber ?? asn,
                SourceAddress = own,
                Passive = PeerConfig.IsPassiveInMesh(own, address),
                RestartTime = global.NodeMeshMaxRestartTime?.ToTimeSpan() ?? TimeSpan.FromSeconds(120),
            };
        }
    }

    private static IEnumerable<PeerConfig> Expand(PeeringInputs inputs, BGPPeer peer, NodeResource self, IpAddr own, Asn asn,
        BGPConfigurationSpec global)
    {
        var isGlobal = string.IsNullOrEmpty(peer.Spec.Node) && string.IsNullOrEmpty(peer.Spec.NodeSelector);
        foreach (var (address, port, remoteAs) in Targets(inputs, peer.Spec, self, asn, global))
        {
            var name = $"{(isGlobal ? "Global" : "Node")}_{Escape(address)}";
            yield return new PeerConfig
            {
                Name = port is { } named ? $"{name}_port_{named}" : name,
                Kind = isGlobal ? PeerKind.GlobalPeer : PeerKind.NodePeer,
                Address = address,
                Port = port ?? 179,
                As = remoteAs,
                LocalAs = peer.Spec.LocalASNumber,
                SourceAddress = peer.Spec.SourceAddress == "None" ? null : own,
                RestartTime = peer.Spec.MaxRestartTime?.ToTimeSpan() ?? TimeSpan.FromSeconds(120),
                KeepaliveTime = peer.Spec.KeepaliveTime?.ToTimeSpan(),
                TtlSecurityHops = peer.Spec.TtlSecurity is > 0 and <= 255 and var hops ? (byte)hops : null,
                NextHopMode = peer.Spec.NextHopMode switch
                {
                    "Self" => Core.Bgp.Rib.NextHopMode.Self,
                    "Keep" => Core.Bgp.Rib.NextHopMode.Keep,
                    _ => peer.Spec.KeepOriginalNextHop ? Core.Bgp.Rib.NextHopMode.Keep : Core.Bgp.Rib.NextHopMode.Auto,
                },
            };
        }
    }

    private static IEnumerable<(IpAddr Address, ushort? Port, Asn As)> Targets(PeeringInputs inputs, BGPPeerSpec spec,
        NodeResource self, Asn asn, BGPConfigurationSpec global)
    {
        if (!string.IsNullOrEmpty(spec.PeerSelector))
        {
            if (!Selector.TryParse(spec.PeerSelector, out var selector, out _))
                yield break;
            foreach (var node in inputs.Nodes.Values.Where(n => n.Name != self.Name && selector.Evaluate((ILabels)n.Metadata.Labels)))
            {
                var port = PortOf(inputs, node.Name, global);
                if (AddressOf(node, v4: true) is { } address)
                    yield return (address, port == 179 ? null : port, node.Spec.Bgp?.AsNumber ?? asn);
            }
            yield break;
        }
        if (TryParseEndpoint(spec.PeerIP, out var target, out var targetPort))
            yield return (target, targetPort, spec.AsNumber.Value == 0 ? asn : spec.AsNumber);
    }

    private static bool AppliesTo(BGPPeerSpec spec, NodeResource self) =>
        !string.IsNullOrEmpty(spec.Node) ? spec.Node == self.Name
        : string.IsNullOrEmpty(spec.NodeSelector)
            || (Selector.TryParse(spec.NodeSelector, out var selector, out _) && selector.Evaluate((ILabels)self.Metadata.Labels));

    private static bool IsReflector(NodeResource node) => !string.IsNullOrEmpty(node.Spec.Bgp?.RouteReflectorClusterID);

    private static ushort PortOf(PeeringInputs inputs, string node, BGPConfigurationSpec global) =>
        inputs.Configurations.GetValueOrDefault("node." + node)?.Spec.ListenPort is > 0 and var own ? (ushort)own
        : global.ListenPort > 0 ? (ushort)global.ListenPort : (ushort)179;

    /// <summary>A node's address of a family, without the prefix length.</summary>
    public static IpAddr? AddressOf(NodeResource node, bool v4) =>
        Cidr.TryParseOrHost(v4 ? node.Spec.Bgp?.Ipv4Address : node.Spec.Bgp?.Ipv6Address, out var cidr) ? cidr.Address : null;

    /// <summary>Reads <c>ip</c>, <c>v4:port</c> and <c>[v6]:port</c>.</summary>
    private static bool TryParseEndpoint(string? text, out IpAddr address, out ushort? port)
    {
        port = null;
        address = default;
        if (string.IsNullOrEmpty(text))
            return false;
        if (IpAddr.TryParse(text, out address))
            return true;
        var colon = text.LastIndexOf(':');
        if (colon <= 0 || !ushort.TryParse(text.AsSpan(colon + 1), out var number))
            return false;
        port = number;
        return IpAddr.TryParse(text.AsSpan(0, colon).Trim("[]"), out address);
    }

    private static string Escape(IpAddr address) => address.ToString().Replace('.', '_').Replace(':', '_');
}

using System.Globalization;
using Calico.Actors.Bgp;
using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Selectors;
using Calico.Core.Net;

namespace Calico.Actors.Routing;

/// <summary>
/// BGPPeers to this node's sessions. Of two for one address and port the earlier in this order counts:
/// <code>
///   1  global peers        neither node nor nodeSelector: every node has the session
///   2  node peers          the nodes that node or nodeSelector names
///   3  reverse sessions    the other end, where it is a node of ours and would not know of the session otherwise
/// </code>
/// </summary>
internal sealed class PeerExpansion
{
    // One end that a BGPPeer asks this node to talk to. Node is null for a router that is none of ours.
    private readonly record struct Target(IpAddr Address, ushort? Port, Asn As, PeerNode? Node);

    private readonly PeeringContext _context;
    private readonly Dictionary<(IpAddr Address, ushort Port), PeerDraft> _drafts = [];

    private PeerExpansion(PeeringContext context) => _context = context;

    private PeerNode Self => _context.Self;

    public static IEnumerable<PeerDraft> Of(PeeringContext context)
    {
        var expansion = new PeerExpansion(context);
        var peers = context.Inputs.Peers.Values.ToList();
        foreach (var peer in peers.Where(p => IsGlobal(p.Spec)).Concat(peers.Where(p => !IsGlobal(p.Spec) && Applies(p.Spec, context.Self))))
            expansion.AddForward(peer);
        foreach (var peer in peers.Where(p => p.Spec.ReversePeering != "Manual" && string.IsNullOrEmpty(p.Spec.LocalWorkloadSelector)))
            expansion.AddReverse(peer);
        return expansion._drafts.Values;
    }

    private void AddForward(BGPPeer resource)
    {
        var spec = resource.Spec;
        if (!string.IsNullOrEmpty(spec.LocalWorkloadSelector))
        {
            AddWorkloads(resource, spec.LocalWorkloadSelector);
            return;
        }
        foreach (var target in Targets(spec))
        {
            if (Self.AddressOf(target.Address.Version) is not { } own || own == target.Address)
                continue;
            var peer = Session(IsGlobal(spec) ? "Global" : "Node", resource, target, own, spec.LocalASNumber);
            var isExternal = peer.As != (peer.LocalAs ?? _context.LocalAs);
            Add(new PeerDraft(peer with
            {
                Passive = IsGlobal(spec) && !string.IsNullOrEmpty(spec.PeerIP) && target.Node is not null && PeerConfig.IsPassiveInMesh(own, target.Address),
                AllowedOwnAs = spec.NumAllowedLocalASNumbers ?? 0,
                NextHopMode = ModeOf(spec, isExternal),
                ReachableBy = IpAddr.TryParse(spec.ReachableBy, out var gateway) && gateway.Version == target.Address.Version ? gateway : null,
            }, spec.Password, spec.Filters));
        }
    }

    private IEnumerable<Target> Targets(BGPPeerSpec spec)
    {
        if (!string.IsNullOrEmpty(spec.PeerSelector))
            return Selected(spec.PeerSelector).SelectMany(TargetsAt);
        if (!TryParseEndpoint(spec.PeerIP, out var address, out var port) || Peering.WhyNoPeer(address) is not null)
            return [];
        var node = _context.FindNode(address);
        return [new Target(address, port ?? node?.ListenPort, spec.AsNumber.Value == 0 ? _context.LocalAs : spec.AsNumber, node)];
    }

    private IEnumerable<Target> TargetsAt(PeerNode node) =>
        node.Addresses.Select(a => new Target(a, node.ListenPort, _context.AsOf(node), node));

    // The pods say nothing of where we find them, and they may come and go: they dial.
    private void AddWorkloads(BGPPeer resource, string selector)
    {
        var spec = resource.Spec;
        if (!Selector.TryParse(selector, out var wanted, out _))
            return;
        foreach (var workload in _context.Inputs.Workloads.Values.Where(w => w.Spec.Node == Self.Name && wanted.Evaluate(w.Metadata.Labels)))
        {
            foreach (var network in workload.Spec.IpNetworks)
            {
                if (!Cidr.TryParseOrHost(network, out var cidr) || Self.AddressOf(cidr.Version) is null)
                    continue;
                var target = new Target(cidr.Address, null, spec.AsNumber, null);
                Add(new PeerDraft(Session("Local_Workload", resource, target, null, spec.LocalASNumber) with
                {
                    Passive = true,
                    WorkloadInterface = workload.Spec.InterfaceName,
                    AllowedOwnAs = spec.NumAllowedLocalASNumbers ?? 0,
                    TtlSecurityHops = null,
                }, spec.Password, spec.Filters));
            }
        }
    }

    // This node is what the BGPPeer calls the peer; the nodes that it applies to are our peers.
    private void AddReverse(BGPPeer resource)
    {
        var spec = resource.Spec;
        if (!IsTargetOf(spec, out var version))
            return;
        foreach (var node in _context.Nodes.Where(n => n.Name != Self.Name && Applies(spec, n)))
        {
            foreach (var target in TargetsAt(node).Where(t => version is null || t.Address.Version == version))
            {
                if (Self.AddressOf(target.Address.Version) is { } own && own != target.Address)
                {
                    var peer = Session("Node", resource, target with { As = spec.LocalASNumber ?? target.As }, own, null);
                    Add(new PeerDraft(peer with { Role = peer.Role?.Counterpart() }, spec.Password, spec.Filters));
                }
            }
        }
    }

    private bool IsTargetOf(BGPPeerSpec spec, out IpVersion? version)
    {
        version = null;
        if (!string.IsNullOrEmpty(spec.PeerSelector))
            return Selected(spec.PeerSelector).Any(n => n.Name == Self.Name);
        if (!TryParseEndpoint(spec.PeerIP, out var address, out var port) || Self.AddressOf(address.Version) != address)
            return false;
        version = address.Version;
        return (spec.AsNumber.Value == 0 || spec.AsNumber == _context.LocalAs)
            && (port is null || port == (Self.ListenPort ?? PeeringContext.DefaultPort));
    }

    // What both ends have in common.
    private PeerConfig Session(string prefix, BGPPeer resource, in Target target, IpAddr? own, Asn? localAs)
    {
        var spec = resource.Spec;
        var annotated = PeerAnnotations.Of(resource.Metadata.Annotations, _context.Inputs.Bfd);
        var name = $"{prefix}_{PeeringContext.Escape(target.Address)}";
        return new PeerConfig
        {
            Name = target.Port is { } port ? $"{name}_port_{port}" : name,
            Kind = prefix == "Node" || !IsGlobal(spec) ? PeerKind.NodePeer : PeerKind.GlobalPeer,
            Address = target.Address,
            Port = target.Port ?? PeeringContext.DefaultPort,
            As = target.As,
            LocalAs = localAs,
            SourceAddress = spec.SourceAddress == "None" ? null : own,
            RestartTime = spec.MaxRestartTime?.ToTimeSpan() ?? Peering.DefaultRestartTime,
            LongLivedTime = _context.Inputs.LongLivedTime,
            Bfd = annotated.Bfd,
            Families = annotated.Families,
            Role = annotated.Role,
            KeepaliveTime = spec.KeepaliveTime?.ToTimeSpan(),
            TtlSecurityHops = spec.TtlSecurity is > 0 and <= 255 and var hops ? (byte)hops : null,
            // Reflectors of one cluster are equals, all others of our AS are clients.
            ReflectorClient = Self.IsReflector && target.As == (localAs ?? _context.LocalAs) && target.Node?.ClusterId != Self.ClusterId,
        };
    }

    private void Add(PeerDraft draft) => _drafts.TryAdd((draft.Peer.Address, draft.Peer.Port), draft);

    // Where Keep means nothing it must not look like a change either.
    private static NextHopMode ModeOf(BGPPeerSpec spec, bool isExternal) => spec.NextHopMode switch
    {
        "Self" => NextHopMode.Self,
        "Keep" when isExternal => NextHopMode.Keep,
        null or "" when spec.KeepOriginalNextHop && isExternal => NextHopMode.Keep,
        _ => NextHopMode.Auto,
    };

    private static bool IsGlobal(BGPPeerSpec spec) => string.IsNullOrEmpty(spec.Node) && string.IsNullOrEmpty(spec.NodeSelector);

    private static bool Applies(BGPPeerSpec spec, PeerNode node) =>
        !string.IsNullOrEmpty(spec.Node) ? spec.Node == node.Name : string.IsNullOrEmpty(spec.NodeSelector) || Matches(spec.NodeSelector, node);

    private IEnumerable<PeerNode> Selected(string selector) => _context.Nodes.Where(n => Matches(selector, n));

    private static bool Matches(string text, PeerNode node) => Selector.TryParse(text, out var selector, out _) && selector.Evaluate(node.Resource.Metadata.Labels);

    /// <summary>Reads <c>ip</c>, <c>v4:port</c> and <c>[v6]:port</c>.</summary>
    internal static bool TryParseEndpoint(string? text, out IpAddr address, out ushort? port)
    {
        port = null;
        address = default;
        if (string.IsNullOrEmpty(text))
            return false;
        if (IpAddr.TryParse(text, out address))
            return true;
        var colon = text.LastIndexOf(':');
        if (colon <= 0 || !ushort.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var number) || number == 0)
            return false;
        port = number;
        return IpAddr.TryParse(text.AsSpan(0, colon).Trim("[]"), out address);
    }
}

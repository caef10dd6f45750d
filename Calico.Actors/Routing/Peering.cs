using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;
using Calico.Actors.Bgp;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Core.Model.Resources;
using Calico.Core.Net;

namespace Calico.Actors.Routing;

/// <summary>
/// Calico resources to the speaker of one node, with Calico's names, rules and defaults. Pure.
/// <code>
///   Node, BGPConfiguration ──► AS, router id, listener ─┐
///   BGPPeer, WorkloadEndpoint ──► PeerExpansion ────────┼──► sessions; those without their password are withheld
///   Node ──► mesh, for both families ───────────────────┤
///   BGPFilter, IPPool, blocks ──► PeerPolicies ─────────┘
/// </code>
/// A session carries the family of its address, as Calico's two BIRDs do. A family in which this node has no address
/// has no sessions.
/// </summary>
public static class Peering
{
    /// <summary>Graceful restart where nothing else is configured.</summary>
    internal static readonly TimeSpan DefaultRestartTime = TimeSpan.FromSeconds(120);

    /// <summary>TCP MD5 takes no more (RFC 2385 leaves it open, Linux does not).</summary>
    private const int MaxPassword = 80;

    /// <inheritdoc cref="TryOf"/>
    public static SpeakerConfig? Of(PeeringInputs inputs) => TryOf(inputs, out var config, out _) ? config : null;

    /// <summary>Whether the node can speak BGP by these resources; if not, why.</summary>
    public static bool TryOf(PeeringInputs inputs, [NotNullWhen(true)] out SpeakerConfig? config, [NotNullWhen(false)] out string? why)
    {
        config = null;
        var nodes = inputs.Nodes.Values.Select(n => PeerNode.Of(n, inputs)).ToImmutableArray();
        if (nodes.FirstOrDefault(n => n.Name == inputs.Node) is not { } self)
        {
            why = $"there is no Node '{inputs.Node}'";
            return false;
        }
        if (!self.Addresses.Any())
        {
            why = $"Node '{inputs.Node}' has neither spec.bgp.ipv4Address nor spec.bgp.ipv6Address";
            return false;
        }
        if (RouterIdOf(inputs, self, out why) is not { } routerId)
        {
            why ??= "";
            return false;
        }
        why = null;
        config = Build(inputs, nodes, self, routerId);
        return true;
    }

    private static SpeakerConfig Build(PeeringInputs inputs, ImmutableArray<PeerNode> nodes, PeerNode self, RouterId routerId)
    {
        var global = inputs.Global;
        var context = new PeeringContext(inputs, nodes, self, self.As ?? global.AsNumber ?? Asn.CalicoDefault);
        var drafts = PeerExpansion.Of(context).ToList();
        if (global.NodeToNodeMeshEnabled ?? true)
        {
            // Two sessions of one address could not be told apart when they are dialled; the explicit one counts.
            var taken = drafts.Select(d => d.Peer.Address).ToHashSet();
            drafts.AddRange(Mesh(context).Where(d => !taken.Contains(d.Peer.Address)));
        }
        var peers = ImmutableArray.CreateBuilder<PeerConfig>();
        var policies = new PeerPolicies(context);
        var withheld = ImmutableArray.CreateBuilder<WithheldPeer>();
        foreach (var draft in drafts.DistinctBy(d => d.Peer.Name).OrderBy(d => d.Peer.Name, StringComparer.Ordinal))
        {
            if (TryUnlock(draft, inputs, out var peer, out var reason))
                peers.Add(policies.Attach(peer, draft.Filters));
            else
                withheld.Add(new WithheldPeer(policies.Attach(draft.Peer, draft.Filters), reason));
        }
        return new SpeakerConfig
        {
            LocalAs = context.LocalAs,
            RouterId = routerId,
            ListenAddresses = (inputs.Of(self.Name)?.BindMode ?? global.BindMode) == "NodeIP" ? [.. self.Addresses]
                : [.. self.Addresses.Select(a => a.IsV4 ? IpAddr.AnyV4 : IpAddr.AnyV6)],
            ListenPort = self.ListenPort ?? PeeringContext.DefaultPort,
            AddressV4 = self.V4,
            AddressV6 = self.V6,
            ClusterId = IpAddr.TryParse(self.ClusterId, out var cluster) && cluster.IsV4 ? RouterId.From(cluster) : null,
            Peers = peers.ToImmutable(),
            Withheld = withheld.ToImmutable(),
        };
    }

    /// <summary>Filters that peers name and that do not exist: they let nothing pass, because nobody knows what they would have kept back.</summary>
    public static IEnumerable<string> MissingFilters(PeeringInputs inputs) =>
        inputs.Peers.Values.SelectMany(p => p.Spec.Filters).Where(f => !inputs.Filters.ContainsKey(f)).Distinct().Order(StringComparer.Ordinal);

    /// <summary>What peers say that has no effect, with why: annotations that cannot be read, and addresses that nobody can have a session with.</summary>
    public static IEnumerable<(string Peer, string Problem)> Ineffective(PeeringInputs inputs)
    {
        foreach (var peer in inputs.Peers.Values)
        {
            foreach (var (_, problem) in PeerAnnotations.Problems(peer.Metadata.Annotations))
                yield return (peer.Name, problem);
            if (PeerExpansion.TryParseEndpoint(peer.Spec.PeerIP, out var address, out _) && WhyNoPeer(address) is { } why)
                yield return (peer.Name, $"spec.peerIP {address} {why}");
        }
    }

    /// <summary>Why there can be no session with the address; null if there can.</summary>
    internal static string? WhyNoPeer(IpAddr address) => address switch
    {
        { IsUnspecified: true } or { IsMulticast: true } => "is no host's address",
        { IsV4: false, IsLinkLocal: true } => "is a link-local address, over which there are no sessions; use a global or a unique local one",
        _ => null,
    };

    // The mesh leaves out route reflectors, on both ends.
    private static IEnumerable<PeerDraft> Mesh(PeeringContext context)
    {
        var self = context.Self;
        var global = context.Inputs.Global;
        if (self.IsReflector)
            yield break;
        foreach (var node in context.Nodes.Where(n => n.Name != self.Name && !n.IsReflector))
        {
            foreach (var address in node.Addresses)
            {
                if (self.AddressOf(address.Version) is not { } own || own == address)
                    continue;
                yield return new PeerDraft(new PeerConfig
                {
                    Name = $"Mesh_{PeeringContext.Escape(address)}",
                    Kind = PeerKind.NodeMesh,
                    Address = address,
                    Port = node.ListenPort ?? PeeringContext.DefaultPort,
                    As = node.As ?? context.LocalAs,
                    SourceAddress = own,
                    Passive = PeerConfig.IsPassiveInMesh(own, address),
                    RestartTime = global.NodeMeshMaxRestartTime?.ToTimeSpan() ?? DefaultRestartTime,
                    LongLivedTime = context.Inputs.LongLivedTime,
                    Bfd = context.Inputs.Bfd,
                }, global.NodeMeshPassword, []);
            }
        }
    }

    // A session that shall have a password never comes up without one.
    private static bool TryUnlock(PeerDraft draft, PeeringInputs inputs, out PeerConfig peer, [NotNullWhen(false)] out string? reason)
    {
        peer = draft.Peer;
        reason = null;
        if (draft.Password?.SecretKeyRef is not { } reference)
            return true;
        var name = reference.Name ?? "";
        var key = reference.Key ?? "";
        if (inputs.Secret(name, key) is not { Length: > 0 } password)
            reason = $"its password cannot be had: {NoSecret(inputs, name, key)}";
        else if (Encoding.UTF8.GetByteCount(password) > MaxPassword)
            reason = $"its password (Secret '{name}', key '{key}') is longer than the {MaxPassword} octets that TCP MD5 takes";
        else
            peer = peer with { Password = password };
        return reason is null;
    }

    private static string NoSecret(PeeringInputs inputs, string name, string key) => (inputs.IsAlone, inputs.SecretsDirectory) switch
    {
        (true, null) => $"CALICO_BGP_SECRETS_DIR is not set; set it to the directory of a file {name}/{key} that holds it",
        (true, var directory) => $"the file {Path.Combine(directory, name, key)} is missing, empty or unreadable",
        _ => $"Secret '{name}' has no key '{key}' that this node can read",
    };

    private static RouterId? RouterIdOf(PeeringInputs inputs, PeerNode self, out string? why)
    {
        why = null;
        if (inputs.RouterId == "hash")
            return HashOf(self.Name);
        if (!string.IsNullOrEmpty(inputs.RouterId))
        {
            if (IpAddr.TryParse(inputs.RouterId, out var given) && given is { IsV4: true, IsUnspecified: false })
                return RouterId.From(given);
            why = $"the router id '{inputs.RouterId}' (CALICO_ROUTER_ID) is neither a dotted quad nor 'hash'";
            return null;
        }
        if (self.V4 is { } own)
            return RouterId.From(own);
        why = $"Node '{self.Name}' has no IPv4 address to take its router id from: set CALICO_ROUTER_ID to a dotted quad, or to 'hash' for one made of its name";
        return null;
    }

    /// <summary>A router id made of a name: the first octets of its SHA-256, kept below multicast.</summary>
    internal static RouterId HashOf(string name)
    {
        var digest = SHA256.HashData(Encoding.UTF8.GetBytes(name));
        var first = digest[0] > 223 ? digest[0] - 32 : digest[0];
        return new RouterId((uint)first << 24 | (uint)digest[1] << 16 | (uint)digest[2] << 8 | digest[3]);
    }

    /// <summary>A node's address of a family, without the prefix length.</summary>
    public static IpAddr? AddressOf(NodeResource node, bool v4) =>
        Cidr.TryParseOrHost(v4 ? node.Spec.Bgp?.Ipv4Address : node.Spec.Bgp?.Ipv6Address, out var cidr) && cidr.IsV4 == v4 ? cidr.Address : null;
}

using System.Collections.Immutable;
using Calico.Actors.Bgp;
using Calico.Core.Model;
using Calico.Core.Model.Resources;
using Calico.Core.Net;

namespace Calico.Actors.Routing;

/// <summary>A session before its password was looked up and its policies were made.</summary>
internal sealed record PeerDraft(PeerConfig Peer, BGPPassword? Password, ValueList<string> Filters);

/// <summary>What the rules about sessions ask again and again.</summary>
internal sealed class PeeringContext
{
    public const ushort DefaultPort = 179;

    private readonly Dictionary<IpAddr, PeerNode> _byAddress = [];

    public PeeringContext(PeeringInputs inputs, ImmutableArray<PeerNode> nodes, PeerNode self, Asn localAs)
    {
        (Inputs, Nodes, Self, LocalAs) = (inputs, nodes, self, localAs);
        foreach (var node in nodes)
        {
            foreach (var address in node.Addresses)
                _byAddress.TryAdd(address, node);
        }
    }

    public PeeringInputs Inputs { get; }
    public ImmutableArray<PeerNode> Nodes { get; }
    public PeerNode Self { get; }
    public Asn LocalAs { get; }

    /// <summary>The AS of a node that names none.</summary>
    public Asn GlobalAs => Inputs.Global.AsNumber ?? Asn.CalicoDefault;

    /// <summary>The node with this address, if it is one's.</summary>
    public PeerNode? FindNode(IpAddr address) => _byAddress.GetValueOrDefault(address);

    public Asn AsOf(PeerNode node) => node.As ?? GlobalAs;

    public static string Escape(IpAddr address) => address.ToString().Replace('.', '_').Replace(':', '_');
}

using System.Collections.Immutable;
using Calico.Core.Model;
using Calico.Core.Model.Kubernetes;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Core.Policy;
using Calico.Core.Policy.Index;
using ModelProtocol = Calico.Core.Model.Protocol;

namespace Calico.Actors.Policy;

/// <summary>Resources as the label index sees them: who has which labels, profiles, addresses and named ports.</summary>
internal static class EndpointReader
{
    public static LabelOwner? OwnerOf(Resource resource) => resource switch
    {
        WorkloadEndpoint w => new LabelOwner
        {
            Labels = [.. w.Metadata.Labels.With(KubeNames.NamespaceLabel, w.Namespace)],
            Profiles = [.. w.Spec.Profiles],
            Nets = Nets(w.Spec.IpNetworks),
            Ports = [.. w.Spec.Ports.Select(p => Port(p.Name, p.Protocol, p.Port)).OfType<NamedPort>()],
        },
        HostEndpoint h => new LabelOwner
        {
            Labels = [.. h.Metadata.Labels],
            Profiles = [.. h.Spec.Profiles],
            Nets = Nets(h.Spec.ExpectedIPs),
            Ports = [.. h.Spec.Ports.Select(p => Port(p.Name, p.Protocol, p.Port)).OfType<NamedPort>()],
        },
        NetworkSet n => new LabelOwner
        {
            Labels = [.. n.Metadata.Labels.With(KubeNames.NamespaceLabel, n.Namespace)],
            Profiles = [Profile.NamespacePrefix + n.Namespace],
            Nets = Nets(n.Spec.Nets),
        },
        GlobalNetworkSet g => new LabelOwner { Labels = [.. g.Metadata.Labels], Nets = Nets(g.Spec.Nets) },
        _ => null,
    };

    private static ImmutableArray<Cidr> Nets(IEnumerable<string> texts) =>
        [.. texts.Select(t => Cidr.TryParseOrHost(t, out var c) ? c.Network : (Cidr?)null).OfType<Cidr>()];

    private static NamedPort? Port(string? name, ModelProtocol? protocol, int port) =>
        name is { Length: > 0 } && protocol is { } p && IpProtocol.TryParse(p.ToString(), out var number) && port is > 0 and <= 65535
            ? new NamedPort(name, number, (ushort)port)
            : null;
}

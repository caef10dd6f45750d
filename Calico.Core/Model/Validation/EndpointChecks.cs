using System.Globalization;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Net;

namespace Calico.Core.Model.Validation;

/// <summary>The rules of host and workload endpoints and of nodes.</summary>
internal static class EndpointChecks
{
    private static readonly HashSet<string> DscpNames = new(StringComparer.OrdinalIgnoreCase)
    {
        "DF", "EF", "AF11", "AF12", "AF13", "AF21", "AF22", "AF23", "AF31", "AF32", "AF33", "AF41", "AF42", "AF43",
        "CS0", "CS1", "CS2", "CS3", "CS4", "CS5", "CS6",
    };

    public static void Host(HostEndpointSpec spec, ErrorList errors)
    {
        errors.When(spec.Node is null, "spec.node", "node must be specified");
        errors.When(spec.InterfaceName is null && spec.ExpectedIPs.IsEmpty, "spec",
            "at least one of interfaceName or expectedIPs must be specified");
        for (var i = 0; i < spec.Ports.Count; i++)
            errors.When(spec.Ports[i].Protocol is { SupportsPorts: false }, $"{ErrorList.Index("spec.ports", i)}.protocol",
                "EndpointPort protocol does not support ports: use TCP, UDP or SCTP");
    }

    public static void Workload(WorkloadEndpointSpec spec, ErrorList errors)
    {
        errors.When(spec.InterfaceName is null, "spec.interfaceName", "is required");
        var networks = new List<Cidr>();
        for (var i = 0; i < spec.IpNetworks.Count; i++)
        {
            if (!Cidr.TryParseOrHost(spec.IpNetworks[i], out var network))
                continue;
            networks.Add(network);
            if (!network.IsHost)
                errors.Add(ErrorList.Index("spec.ipNetworks", i), spec.IpNetworks[i],
                    "IP network contains multiple addresses: use /32 or /128");
        }
        for (var i = 0; i < spec.IpNATs.Count; i++)
            Nat(spec.IpNATs[i], ErrorList.Index("spec.ipNATs", i), networks, errors);
        for (var i = 0; i < spec.Ports.Count; i++)
        {
            var at = ErrorList.Index("spec.ports", i);
            errors.When(spec.Ports[i].Protocol is { SupportsPorts: false }, $"{at}.protocol",
                "WorkloadEndpointPort protocol does not support ports: use TCP, UDP or SCTP");
            errors.When(spec.Ports[i] is { Name: null, HostPort: 0 }, $"{at}.name",
                "WorkloadEndpointPort name must not be empty if no HostPort is specified");
        }
        if (spec.QosControls?.Dscp is { } dscp && !IsDscp(dscp))
            errors.Add("spec.qosControls.dscp", dscp.ToString(), "must be from 0 to 63 or one of DF, EF, AFxy, CSx");
    }

    public static void Node(NodeSpec spec, ErrorList errors)
    {
        errors.When(spec.Bgp is { } bgp && bgp == new NodeBGPSpec(), "spec.bgp", "Spec.BGP should not be empty: drop it");
        errors.When(spec.Wireguard is { } wireguard && wireguard == new NodeWireguardSpec(), "spec.wireguard",
            "Spec.Wireguard should not be empty: drop it");
    }

    internal static bool IsDscp(IntOrString dscp) => dscp.Text is { } text
        ? DscpNames.Contains(text.Trim()) || (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var n) && n <= 63)
        : dscp.Number is >= 0 and <= 63;

    private static void Nat(IpNat nat, string path, List<Cidr> networks, ErrorList errors)
    {
        if (!IpAddr.TryParse(nat.InternalIP, out var inside) || !IpAddr.TryParse(nat.ExternalIP, out var outside))
        {
            errors.When(nat.InternalIP is null || nat.ExternalIP is null, path, "needs internalIP and externalIP");
            return;
        }
        errors.When(inside.Version != outside.Version, $"{path}.externalIP", "mismatched IP versions");
        errors.When(!networks.Any(n => n.Contains(inside)), $"{path}.internalIP", "NAT is not in the endpoint networks");
    }
}

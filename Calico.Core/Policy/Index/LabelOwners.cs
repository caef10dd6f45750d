using System.Collections.Immutable;
using Calico.Core.Model;
using Calico.Core.Model.Kubernetes;
using Calico.Core.Model.Resources;
using Calico.Core.Net;

namespace Calico.Core.Policy.Index;

/// <summary>
/// What resources contribute to rule selectors. Addresses that do not parse are left out: an endpoint that is partly
/// wrong must not stop the rest.
/// </summary>
public static class LabelOwners
{
    private const string ServiceAccountLabel = "projectcalico.org/serviceaccount";

    /// <summary>A workload endpoint: its addresses as host networks, its profiles in order.</summary>
    public static LabelOwner Of(WorkloadEndpoint endpoint) => new()
    {
        Labels = LabelsOf(endpoint),
        Profiles = endpoint.Spec.Profiles.Items,
        Nets = [.. Nets(endpoint.Spec.IpNetworks).Select(n => Cidr.Host(n.Address))],
        Ports = [.. endpoint.Spec.Ports.Where(p => p.Protocol is not null && !string.IsNullOrEmpty(p.Name))
            .Select(p => new NamedPort(p.Name!, p.Protocol!.Value.Number, (ushort)p.Port))],
    };

    /// <summary>
    /// The labels of a workload endpoint as selectors see them: a workload cannot claim labels of namespaces or service
    /// accounts, and its service account's name counts even where it is too long for a label.
    /// </summary>
    public static ImmutableArray<KeyValuePair<string, string>> LabelsOf(WorkloadEndpoint endpoint)
    {
        var labels = endpoint.Metadata.Labels.Where(l => !l.Key.StartsWith("pcns.", StringComparison.Ordinal)
            && !l.Key.StartsWith("pcsa.", StringComparison.Ordinal));
        return endpoint.Spec.ServiceAccountName is not { Length: > 0 } account
            ? [.. labels]
            : [.. labels.Where(l => l.Key != ServiceAccountLabel), new(ServiceAccountLabel, account)];
    }

    /// <summary>A host endpoint: its expected addresses.</summary>
    public static LabelOwner Of(HostEndpoint endpoint) => new()
    {
        Labels = [.. endpoint.Metadata.Labels],
        Profiles = endpoint.Spec.Profiles.Items,
        Nets = [.. Nets(endpoint.Spec.ExpectedIPs).Select(n => Cidr.Host(n.Address))],
        Ports = [.. endpoint.Spec.Ports.Where(p => p.Protocol is not null)
            .Select(p => new NamedPort(p.Name ?? "", p.Protocol!.Value.Number, (ushort)p.Port))],
    };

    /// <summary>A namespaced network set: it has its namespace's label and inherits its namespace's labels.</summary>
    public static LabelOwner Of(NetworkSet set) => new()
    {
        Labels = [.. set.Metadata.Labels.With(KubeNames.NamespaceLabel, set.Namespace ?? "")],
        Profiles = [Profile.NamespacePrefix + set.Namespace],
        Nets = [.. Nets(set.Spec.Nets)],
    };

    /// <summary>A global network set.</summary>
    public static LabelOwner Of(GlobalNetworkSet set) => new()
    {
        Labels = [.. set.Metadata.Labels],
        Nets = [.. Nets(set.Spec.Nets)],
    };

    /// <summary>The networks of a list; a bare address is its host network.</summary>
    internal static IEnumerable<Cidr> Nets(ValueList<string> texts)
    {
        foreach (var text in texts)
        {
            if (Cidr.TryParseOrHost(text, out var net))
                yield return net;
        }
    }
}

using System.Globalization;
using Calico.Core.Model;
using Calico.Core.Model.Kubernetes;
using Calico.Core.Model.Resources;

namespace Calico.Ctl.Output;

/// <summary>What cells show besides their resource.</summary>
internal sealed record TableFacts(string DefaultAsNumber);

/// <summary>The columns of a kind.</summary>
internal sealed class ResourceTable(string[] narrow, string[] wide, Dictionary<string, Func<Resource, TableFacts, string>> cells)
{
    public string[] Narrow { get; } = narrow;
    public string[] Wide { get; } = wide;

    /// <exception cref="CtlException">The kind has no such column.</exception>
    public string Cell(string heading, Resource resource, TableFacts facts) => heading switch
    {
        "NAME" => resource.Name,
        "NAMESPACE" when resource.ResourceKind.IsNamespaced => resource.Namespace ?? "",
        _ => cells.TryGetValue(heading, out var cell)
            ? cell(resource, facts)
            : throw new CtlException($"unknown heading {heading}, valid values are: {string.Join(", ", cells.Keys.Prepend("NAME"))}"),
    };
}

/// <summary>Headings and cells of every kind, as Calico's own tool shows them.</summary>
internal static class ResourceTables
{
    private static readonly Dictionary<ResourceKind, ResourceTable> Tables = new()
    {
        [ResourceKind.BGPConfiguration] = Table<BGPConfiguration>("NAME LOGSEVERITY MESHENABLED ASNUMBER", null, new()
        {
            ["LOGSEVERITY"] = (r, _) => r.Spec.LogSeverityScreen ?? "",
            ["MESHENABLED"] = (r, _) => r.Spec.NodeToNodeMeshEnabled is { } on ? Flag(on) : "-",
            ["ASNUMBER"] = (r, _) => r.Spec.AsNumber?.ToString() ?? "-",
        }),
        [ResourceKind.BGPFilter] = Table<BGPFilter>("NAME NUMEXPORTV4 NUMIMPORTV4 NUMEXPORTV6 NUMIMPORTV6", null, new()
        {
            ["NUMEXPORTV4"] = (r, _) => Count(r.Spec.ExportV4.Count),
            ["NUMIMPORTV4"] = (r, _) => Count(r.Spec.ImportV4.Count),
            ["NUMEXPORTV6"] = (r, _) => Count(r.Spec.ExportV6.Count),
            ["NUMIMPORTV6"] = (r, _) => Count(r.Spec.ImportV6.Count),
        }),
        [ResourceKind.BGPPeer] = Table<BGPPeer>("NAME PEERIP NODE ASN", null, new()
        {
            ["PEERIP"] = (r, _) => r.Spec.PeerIP ?? "",
            ["NODE"] = (r, _) => r.Spec.Node ?? r.Spec.NodeSelector ?? "(global)",
            ["ASN"] = (r, _) => r.Spec.AsNumber.ToString(),
        }),
        [ResourceKind.CalicoNodeStatus] = Table<CalicoNodeStatus>("NAME NODE", "NAME NODE CLASSES", new()
        {
            ["NODE"] = (r, _) => r.Spec.Node ?? "",
            ["CLASSES"] = (r, _) => string.Join(',', r.Spec.Classes),
        }),
        [ResourceKind.ClusterInformation] = Table<ClusterInformation>("NAME CLUSTERGUID CLUSTERTYPE CALICOVERSION DATASTOREREADY", null, new()
        {
            ["CLUSTERGUID"] = (r, _) => r.Spec.ClusterGuid ?? "",
            ["CLUSTERTYPE"] = (r, _) => r.Spec.ClusterType ?? "",
            ["CALICOVERSION"] = (r, _) => r.Spec.CalicoVersion ?? "",
            ["DATASTOREREADY"] = (r, _) => r.Spec.DatastoreReady is { } ready ? Flag(ready) : "<nil>",
        }),
        [ResourceKind.FelixConfiguration] = Table<FelixConfiguration>("NAME", null, []),
        [ResourceKind.GlobalNetworkPolicy] = Policies(),
        [ResourceKind.GlobalNetworkSet] = Table<GlobalNetworkSet>("NAME", "NAME NETS", new() { ["NETS"] = (r, _) => Truncated(r.Spec.Nets) }),
        [ResourceKind.HostEndpoint] = Table<HostEndpoint>("NAME NODE", "NAME NODE INTERFACE IPS PROFILES", new()
        {
            ["NODE"] = (r, _) => r.Spec.Node ?? "",
            ["INTERFACE"] = (r, _) => r.Spec.InterfaceName ?? "",
            ["IPS"] = (r, _) => string.Join(',', r.Spec.ExpectedIPs),
            ["PROFILES"] = (r, _) => string.Join(',', r.Spec.Profiles),
        }),
        [ResourceKind.IPAMConfiguration] = Table<IPAMConfiguration>("NAME STRICTAFFINITY AUTOALLOCATEBLOCKS", "NAME STRICTAFFINITY AUTOALLOCATEBLOCKS MAXBLOCKSPERHOST", new()
        {
            ["STRICTAFFINITY"] = (r, _) => Flag(r.Spec.StrictAffinity),
            ["AUTOALLOCATEBLOCKS"] = (r, _) => Flag(r.Spec.AutoAllocateBlocks),
            ["MAXBLOCKSPERHOST"] = (r, _) => Count(r.Spec.MaxBlocksPerHost),
        }),
        [ResourceKind.IPPool] = Table<IPPool>("NAME CIDR SELECTOR", "NAME CIDR NAT IPIPMODE VXLANMODE DISABLED DISABLEBGPEXPORT SELECTOR ASSIGNMENTMODE", new()
        {
            ["CIDR"] = (r, _) => r.Spec.Cidr ?? "",
            ["NAT"] = (r, _) => Flag(r.Spec.NatOutgoing),
            ["IPIPMODE"] = (r, _) => r.Spec.IpipMode ?? EncapsulationMode.Never,
            ["VXLANMODE"] = (r, _) => r.Spec.VxlanMode ?? EncapsulationMode.Never,
            ["DISABLED"] = (r, _) => Flag(r.Spec.Disabled),
            ["DISABLEBGPEXPORT"] = (r, _) => Flag(r.Spec.DisableBGPExport),
            ["SELECTOR"] = (r, _) => r.Spec.NodeSelector ?? "",
            ["ASSIGNMENTMODE"] = (r, _) => r.Spec.AssignmentMode ?? "<nil>",
        }),
        [ResourceKind.IPReservation] = Table<IPReservation>("NAME", "NAME CIDRS", new() { ["CIDRS"] = (r, _) => Truncated(r.Spec.ReservedCIDRs) }),
        [ResourceKind.KubeControllersConfiguration] = Table<KubeControllersConfiguration>("NAME", null, []),
        [ResourceKind.NetworkPolicy] = Policies(),
        [ResourceKind.NetworkSet] = Table<NetworkSet>("NAME", "NAME NETS", new() { ["NETS"] = (r, _) => Truncated(r.Spec.Nets) }),
        [ResourceKind.Node] = Table<NodeResource>("NAME", "NAME ASN IPV4 IPV6", new()
        {
            ["ASN"] = (r, f) => r.Spec.Bgp is not { } bgp ? "" : bgp.AsNumber?.ToString() ?? $"({f.DefaultAsNumber})",
            ["IPV4"] = (r, _) => r.Spec.Bgp?.Ipv4Address ?? "",
            ["IPV6"] = (r, _) => r.Spec.Bgp?.Ipv6Address ?? "",
        }),
        [ResourceKind.Profile] = Table<Profile>("NAME", "NAME LABELS", new() { ["LABELS"] = (r, _) => r.Spec.LabelsToApply.ToString() }),
        [ResourceKind.StagedGlobalNetworkPolicy] = Policies(),
        [ResourceKind.StagedKubernetesNetworkPolicy] = Table<StagedKubernetesNetworkPolicy>("NAME", "NAME PODSELECTOR", new()
        {
            ["PODSELECTOR"] = (r, _) => PolicyConversion.PodSelector(r.Spec.PodSelector),
        }),
        [ResourceKind.StagedNetworkPolicy] = Policies(),
        [ResourceKind.Tier] = Table<Tier>("NAME ORDER", null, new() { ["ORDER"] = (r, _) => Order(r.Spec.Order) }),
        [ResourceKind.WorkloadEndpoint] = Table<WorkloadEndpoint>("WORKLOAD NODE NETWORKS INTERFACE", "NAME WORKLOAD NODE NETWORKS INTERFACE PROFILES NATS", new()
        {
            ["WORKLOAD"] = (r, _) => r.Spec.Workload ?? r.Spec.Pod ?? "",
            ["NODE"] = (r, _) => r.Spec.Node ?? "",
            ["NETWORKS"] = (r, _) => string.Join(',', r.Spec.IpNetworks),
            ["INTERFACE"] = (r, _) => r.Spec.InterfaceName ?? "",
            ["PROFILES"] = (r, _) => string.Join(',', r.Spec.Profiles),
            ["NATS"] = (r, _) => string.Join(',', r.Spec.IpNATs.Select(n => $"{{{n.InternalIP} {n.ExternalIP}}}")),
            ["ORCHESTRATOR"] = (r, _) => r.Spec.Orchestrator ?? "",
        }),
    };

    public static ResourceTable For(ResourceKind kind) => Tables[kind];

    private static ResourceTable Policies() => new(["NAME", "TIER"], ["NAME", "TIER", "ORDER", "SELECTOR"], new()
    {
        ["TIER"] = (r, _) => ((ITieredPolicy)r).PolicySpec.Tier ?? "",
        ["ORDER"] = (r, _) => Order(((ITieredPolicy)r).PolicySpec.Order),
        ["SELECTOR"] = (r, _) => ((ITieredPolicy)r).PolicySpec.Selector ?? "",
    });

    private static ResourceTable Table<T>(string narrow, string? wide, Dictionary<string, Func<T, TableFacts, string>> cells)
        where T : Resource =>
        new(narrow.Split(' '), (wide ?? narrow).Split(' '),
            cells.ToDictionary(c => c.Key, c => (Func<Resource, TableFacts, string>)((r, f) => c.Value((T)r, f))));

    private static string Flag(bool value) => value ? "true" : "false";
    private static string Count(int value) => value.ToString(CultureInfo.InvariantCulture);

    // Go prints a large order in its shortest form, 1e+06, and an absent one as <nil>.
    private static string Order(double? order)
    {
        if (order is not { } value)
            return "<nil>";
        if (value != 0 && Math.Abs(value) is < 1e-4 or >= 1e21)
            return value.ToString("0.################e+00", CultureInfo.InvariantCulture);
        var digits = value.ToString("0.#################", CultureInfo.InvariantCulture);
        return Math.Abs(value) < 1e6 ? digits : value.ToString("0.################e+00", CultureInfo.InvariantCulture);
    }

    private static string Truncated(ValueList<string> items)
    {
        const int most = 80;
        const string rest = "...";
        var text = string.Join(',', items);
        return text.Length > most ? text[..(most - rest.Length)] + rest : text;
    }
}

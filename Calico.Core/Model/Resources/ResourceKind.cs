using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;

namespace Calico.Core.Model.Resources;

/// <summary>
/// One kind of resource: a closed list, since the datastore's keys and the JSON contexts know each. Compared by reference.
/// </summary>
public sealed class ResourceKind
{
    private ResourceKind(string kind, string plural, bool isNamespaced, params string[] aliases)
    {
        Kind = kind;
        Plural = plural;
        IsNamespaced = isNamespaced;
        Aliases = [kind.ToLowerInvariant(), plural, .. aliases];
    }

    /// <summary>The name in the field <c>kind</c>.</summary>
    public string Kind { get; }

    /// <summary>The lower-case plural of keys and URLs.</summary>
    public string Plural { get; }

    public bool IsNamespaced { get; }

    /// <summary>All names that a command line takes, in lower case; the first is the singular.</summary>
    public ImmutableArray<string> Aliases { get; }

    /// <summary>The kind of a list of these.</summary>
    public string ListKind => Kind + "List";

    /// <summary>
    /// The object is a policy whose name is kept in an annotation, so that objects stored by releases that put the tier
    /// in front of the name still show the user's name.
    /// </summary>
    public bool IsTieredPolicy => this == NetworkPolicy || this == GlobalNetworkPolicy || this == StagedNetworkPolicy
        || this == StagedGlobalNetworkPolicy;

    public static ResourceKind BGPConfiguration { get; } =
        new("BGPConfiguration", "bgpconfigurations", false, "bgpconfig", "bgpconfigs");

    public static ResourceKind BGPFilter { get; } = new("BGPFilter", "bgpfilters", false, "bgpf", "bgpfs", "bf", "bfs");
    public static ResourceKind BGPPeer { get; } = new("BGPPeer", "bgppeers", false, "bgpp", "bgpps", "bp", "bps");

    public static ResourceKind BlockAffinity { get; } =
        new("BlockAffinity", "blockaffinities", false, "affinity", "affinities");

    public static ResourceKind CalicoNodeStatus { get; } =
        new("CalicoNodeStatus", "caliconodestatuses", false, "nodestatus", "nodestatuses");

    public static ResourceKind ClusterInformation { get; } =
        new("ClusterInformation", "clusterinformations", false, "clusterinfo", "clusterinfos");

    public static ResourceKind FelixConfiguration { get; } =
        new("FelixConfiguration", "felixconfigurations", false, "felixconfig", "felixconfigs");

    public static ResourceKind GlobalNetworkPolicy { get; } =
        new("GlobalNetworkPolicy", "globalnetworkpolicies", false, "gnp", "gnps", "cgnp");

    public static ResourceKind GlobalNetworkSet { get; } =
        new("GlobalNetworkSet", "globalnetworksets", false, "gnetsets", "gns");

    public static ResourceKind HostEndpoint { get; } = new("HostEndpoint", "hostendpoints", false, "hep", "heps");

    public static ResourceKind IPAMConfiguration { get; } =
        new("IPAMConfiguration", "ipamconfigurations", false, "ipamconfig", "ipamconfigs");

    public static ResourceKind IPPool { get; } = new("IPPool", "ippools", false, "ipp", "ipps", "pool", "pools");

    public static ResourceKind IPReservation { get; } =
        new("IPReservation", "ipreservations", false, "reservation", "reservations");

    public static ResourceKind KubeControllersConfiguration { get; } =
        new("KubeControllersConfiguration", "kubecontrollersconfigurations", false,
            "kubecontrollersconfig", "kubecontrollersconfigs", "kcc", "kccs");

    public static ResourceKind NetworkPolicy { get; } =
        new("NetworkPolicy", "networkpolicies", true, "policy", "np", "policies", "pol", "pols", "cnp", "caliconetworkpolicy");

    public static ResourceKind NetworkSet { get; } = new("NetworkSet", "networksets", true, "netsets");
    public static ResourceKind Node { get; } = new("Node", "nodes", false, "no", "nos");
    public static ResourceKind Profile { get; } = new("Profile", "profiles", false, "pro", "pros");

    public static ResourceKind StagedGlobalNetworkPolicy { get; } =
        new("StagedGlobalNetworkPolicy", "stagedglobalnetworkpolicies", false, "sgnp", "sgnps");

    public static ResourceKind StagedKubernetesNetworkPolicy { get; } =
        new("StagedKubernetesNetworkPolicy", "stagedkubernetesnetworkpolicies", true,
            "stagedkubernetespolicy", "sknp", "stagedkubernetespolicies", "skpol", "skpols");

    public static ResourceKind StagedNetworkPolicy { get; } =
        new("StagedNetworkPolicy", "stagednetworkpolicies", true, "stagedpolicy", "snp", "stagedpolicies", "spol", "spols", "scnp");

    public static ResourceKind Tier { get; } = new("Tier", "tiers", false);

    public static ResourceKind WorkloadEndpoint { get; } =
        new("WorkloadEndpoint", "workloadendpoints", true, "wep", "weps");

    /// <summary>Every kind, by name.</summary>
    public static ImmutableArray<ResourceKind> All { get; } =
    [
        BGPConfiguration, BGPFilter, BGPPeer, BlockAffinity, CalicoNodeStatus, ClusterInformation, FelixConfiguration,
        GlobalNetworkPolicy, GlobalNetworkSet, HostEndpoint, IPAMConfiguration, IPPool, IPReservation, KubeControllersConfiguration,
        NetworkPolicy, NetworkSet, Node, Profile, StagedGlobalNetworkPolicy, StagedKubernetesNetworkPolicy, StagedNetworkPolicy,
        Tier, WorkloadEndpoint,
    ];

    private static readonly FrozenDictionary<string, ResourceKind> ByKind = All.ToFrozenDictionary(k => k.Kind);
    private static readonly FrozenDictionary<string, ResourceKind> ByPlural = All.ToFrozenDictionary(k => k.Plural);

    private static readonly FrozenDictionary<string, ResourceKind> ByAlias =
        All.SelectMany(k => k.Aliases.Distinct().Select(a => (a, k))).ToFrozenDictionary(p => p.a, p => p.k);

    /// <summary>Finds a kind by its exact name, as in the field <c>kind</c>.</summary>
    public static bool TryFind(string kind, [NotNullWhen(true)] out ResourceKind? found) => ByKind.TryGetValue(kind, out found);

    /// <summary>Finds a kind by its plural, as in a key.</summary>
    public static bool TryFindByPlural(string plural, [NotNullWhen(true)] out ResourceKind? found) =>
        ByPlural.TryGetValue(plural, out found);

    /// <summary>Finds a kind by any name or short name in any case, as on a command line.</summary>
    public static bool TryFindByAlias(string alias, [NotNullWhen(true)] out ResourceKind? found) =>
        ByAlias.TryGetValue(alias.ToLowerInvariant(), out found);

    public override string ToString() => Kind;
}

using Calico.Core.Net;

namespace Calico.Core.Model.Resources;

// A write fills in what upstream fills in at the same place, so that an object is stored alike whoever wrote it: the
// defaults of the CRD schemas, which its client applies itself where there is no API server, and those of the client.

/// <summary>Fills in what a write of a resource leaves open, as Calico's schemas and clients do before they store it.</summary>
public static class ResourceDefaults
{
    /// <summary>The label that tells a policy's tier.</summary>
    public const string TierLabel = "projectcalico.org/tier";

    private const string NamespaceLabel = "projectcalico.org/namespace";
    private const string OrchestratorLabel = "projectcalico.org/orchestrator";

    /// <summary>The resource with its defaults. Applying them twice is the same as once.</summary>
    public static Resource Apply(Resource resource) => resource switch
    {
        NetworkPolicy p => p with
        {
            Metadata = WithTierLabel(p.Metadata, p.Spec),
            Spec = p.Spec with { Tier = Tier(p.Spec), Types = Types(p.Spec) },
        },
        GlobalNetworkPolicy p => p with
        {
            Metadata = WithTierLabel(p.Metadata, p.Spec),
            Spec = p.Spec with { Tier = Tier(p.Spec), Types = Types(p.Spec) },
        },
        StagedNetworkPolicy p => p with
        {
            Metadata = WithTierLabel(p.Metadata, p.Spec),
            Spec = p.Spec with
            {
                Tier = Tier(p.Spec),
                Types = StagedTypes(p.Spec, p.Spec.StagedAction),
                StagedAction = p.Spec.StagedAction ?? StagedAction.Set,
            },
        },
        StagedGlobalNetworkPolicy p => p with
        {
            Metadata = WithTierLabel(p.Metadata, p.Spec),
            Spec = p.Spec with
            {
                Tier = Tier(p.Spec),
                Types = StagedTypes(p.Spec, p.Spec.StagedAction),
                StagedAction = p.Spec.StagedAction ?? StagedAction.Set,
            },
        },
        StagedKubernetesNetworkPolicy p => p with { Spec = p.Spec with { StagedAction = p.Spec.StagedAction ?? StagedAction.Set } },
        Tier t => t with
        {
            Spec = t.Spec with
            {
                Order = t.Spec.Order ?? Resources.Tier.DefaultOrder,
                DefaultAction = t.Spec.DefaultAction ?? RuleAction.Deny,
            },
        },
        IPPool p => p with { Spec = Pool(p.Spec) },
        BGPConfiguration c => c with
        {
            Spec = c.Spec with
            {
                LogSeverityScreen = c.Spec.LogSeverityScreen ?? "Info",
                ServiceLoadBalancerAggregation = c.Spec.ServiceLoadBalancerAggregation ?? Enabled,
            },
        },
        FelixConfiguration c => c with { Spec = Felix(c.Spec) },
        KubeControllersConfiguration c => c with { Spec = Controllers(c.Spec) },
        WorkloadEndpoint e => Endpoint(e),
        _ => resource,
    };

    /// <summary>
    /// The directions of a policy that names none: egress only if it has only egress rules, ingress unless then, and
    /// both if it has both.
    /// </summary>
    public static ValueList<string> Types(IPolicySpec spec) =>
        !spec.Types.IsEmpty ? spec.Types
        : spec.Egress.IsEmpty ? [PolicyType.Ingress]
        : spec.Ingress.IsEmpty ? [PolicyType.Egress]
        : [PolicyType.Ingress, PolicyType.Egress];

    private const string Enabled = nameof(Enabled);
    private const string Disabled = nameof(Disabled);

    // One that stands for a deletion has nothing but its tier.
    private static ValueList<string> StagedTypes(IPolicySpec spec, string? action) => action == StagedAction.Delete ? [] : Types(spec);

    private static string Tier(IPolicySpec spec) => spec.Tier ?? Resources.Tier.Default;

    private static ObjectMeta WithTierLabel(ObjectMeta metadata, IPolicySpec spec) =>
        metadata with { Labels = metadata.Labels.With(TierLabel, Tier(spec)) };

    private static IPPoolSpec Pool(IPPoolSpec spec)
    {
        var isV4 = !(spec.Cidr ?? "").Contains(':', StringComparison.Ordinal);
        return spec with
        {
            // One network has one spelling, which the comparison of an update relies on. Host bits stay for the error.
            Cidr = Cidr.TryParse(spec.Cidr, out var cidr) && cidr.IsMasked ? cidr.ToString() : spec.Cidr,
            NodeSelector = spec.NodeSelector ?? "all()",
            AssignmentMode = spec.AssignmentMode ?? "Automatic",
            IpipMode = spec.IpipMode ?? EncapsulationMode.Never,
            VxlanMode = spec.VxlanMode ?? EncapsulationMode.Never,
            BlockSize = spec.BlockSize != 0 ? spec.BlockSize : isV4 ? IPPoolSpec.DefaultBlockSizeV4 : IPPoolSpec.DefaultBlockSizeV6,
            AllowedUses = spec.AllowedUses.IsEmpty
                ? spec.NamespaceSelector is null ? [IPPoolUse.Workload, IPPoolUse.Tunnel] : [IPPoolUse.Workload]
                : spec.AllowedUses,
        };
    }

    // The older switch of connect-time load balancing, where it is set, decides over the two newer fields.
    private static FelixConfigurationSpec Felix(FelixConfigurationSpec spec) => spec with
    {
        FloatingIPs = spec.FloatingIPs ?? Disabled,
        NftablesMode = spec.NftablesMode ?? "Auto",
        NftablesFlowTableOffload = spec.NftablesFlowTableOffload ?? Disabled,
        BpfConnectTimeLoadBalancing = spec.BpfConnectTimeLoadBalancingEnabled switch
        {
            true => Enabled,
            false => Disabled,
            null => spec.BpfConnectTimeLoadBalancing ?? "TCP",
        },
        BpfHostNetworkedNATWithoutCTLB = spec.BpfConnectTimeLoadBalancingEnabled is null
            ? spec.BpfHostNetworkedNATWithoutCTLB ?? Enabled
            : Disabled,
    };

    private static KubeControllersConfigurationSpec Controllers(KubeControllersConfigurationSpec spec) => spec with
    {
        HealthChecks = spec.HealthChecks ?? Enabled,
        PrometheusMetricsPort = spec.PrometheusMetricsPort ?? KubeControllersConfigurationSpec.DefaultMetricsPort,
        Controllers = spec.Controllers with
        {
            Node = spec.Controllers.Node is { } node
                ? node with { LeakGracePeriod = node.LeakGracePeriod ?? GoDuration.From(TimeSpan.FromMinutes(15)) }
                : null,
            LoadBalancer = spec.Controllers.LoadBalancer is { } balancer
                ? balancer with { AssignIPs = balancer.AssignIPs ?? "AllServices" }
                : null,
            Migration = spec.Controllers.Migration is { } migration
                ? migration with { PolicyNameMigrator = migration.PolicyNameMigrator ?? Enabled }
                : null,
        },
    };

    // The name follows from the spec; the labels are what selectors find the endpoint by.
    private static WorkloadEndpoint Endpoint(WorkloadEndpoint endpoint)
    {
        var labels = endpoint.Metadata.Labels.With(OrchestratorLabel, endpoint.Spec.Orchestrator ?? "");
        return endpoint with
        {
            Metadata = endpoint.Metadata with
            {
                Name = endpoint.Metadata.Name ?? (WorkloadEndpointName.Of(endpoint.Spec).TryFormat(out var name, out _) ? name : null),
                Labels = endpoint.Namespace is { } ns ? labels.With(NamespaceLabel, ns) : labels,
            },
        };
    }
}

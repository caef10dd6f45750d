namespace Calico.Core.Model.Resources;

/// <summary>Fills in what a write of a resource leaves open, as Calico's schemas and clients do before they store it.</summary>
public static class ResourceDefaults
{
    /// <summary>The label that tells a policy's tier.</summary>
    public const string TierLabel = "projectcalico.org/tier";

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
                Types = p.Spec.StagedAction == StagedAction.Delete ? p.Spec.Types : Types(p.Spec),
                StagedAction = p.Spec.StagedAction ?? StagedAction.Set,
            },
        },
        StagedGlobalNetworkPolicy p => p with
        {
            Metadata = WithTierLabel(p.Metadata, p.Spec),
            Spec = p.Spec with
            {
                Tier = Tier(p.Spec),
                Types = p.Spec.StagedAction == StagedAction.Delete ? p.Spec.Types : Types(p.Spec),
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

    private static string Tier(IPolicySpec spec) => spec.Tier ?? Resources.Tier.Default;

    private static ObjectMeta WithTierLabel(ObjectMeta metadata, IPolicySpec spec) =>
        metadata with { Labels = metadata.Labels.With(TierLabel, Tier(spec)) };

    private static IPPoolSpec Pool(IPPoolSpec spec)
    {
        var isV4 = !(spec.Cidr ?? "").Contains(':', StringComparison.Ordinal);
        return spec with
        {
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
}

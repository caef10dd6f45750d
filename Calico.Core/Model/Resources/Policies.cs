using System.Text.Json.Serialization;
using Calico.Core.Model.Kubernetes;
using Calico.Core.Model.Schema;

namespace Calico.Core.Model.Resources;

/// <summary>The directions that a policy governs.</summary>
public static class PolicyType
{
    public const string Ingress = nameof(Ingress);
    public const string Egress = nameof(Egress);
}

/// <summary>What a staged policy stands for.</summary>
public static class StagedAction
{
    public const string Set = nameof(Set);
    public const string Delete = nameof(Delete);
    public const string Learn = nameof(Learn);
    public const string Ignore = nameof(Ignore);
}

/// <summary>A policy of any of the four tiered kinds, for code that treats them alike.</summary>
public interface ITieredPolicy
{
    ResourceKey Key { get; }
    IPolicySpec PolicySpec { get; }
}

/// <summary>The fields that every tiered policy has. An empty selector selects everything in scope.</summary>
public interface IPolicySpec
{
    string? Tier { get; }
    double? Order { get; }
    ValueList<Rule> Ingress { get; }
    ValueList<Rule> Egress { get; }
    string? Selector { get; }
    ValueList<string> Types { get; }
    string? ServiceAccountSelector { get; }
    ValueList<string> PerformanceHints { get; }

    /// <summary>The tier that the policy is in.</summary>
    string TierOrDefault => Tier ?? Resources.Tier.Default;
}

public record NetworkPolicySpec : ModelObject, IPolicySpec
{
    [Format(FieldFormat.Name)]
    public string? Tier { get; init; }

    /// <summary>Lower goes first; none is last.</summary>
    public double? Order { get; init; }

    [Items(1024)]
    public ValueList<Rule> Ingress { get; init; }

    [Items(1024)]
    public ValueList<Rule> Egress { get; init; }

    [MaxLength(1024)]
    [Format(FieldFormat.Selector)]
    public string? Selector { get; init; }

    [Items(2, Unique = true)]
    [OneOf(PolicyType.Ingress, PolicyType.Egress)]
    public ValueList<string> Types { get; init; }

    [MaxLength(1024)]
    [Format(FieldFormat.Selector)]
    public string? ServiceAccountSelector { get; init; }

    [Items(8, Unique = true)]
    [OneOf("AssumeNeededOnEveryNode")]
    public ValueList<string> PerformanceHints { get; init; }
}

public record GlobalNetworkPolicySpec : ModelObject, IPolicySpec
{
    [Format(FieldFormat.Name)]
    public string? Tier { get; init; }

    /// <summary>Lower goes first; none is last.</summary>
    public double? Order { get; init; }

    [Items(1024)]
    public ValueList<Rule> Ingress { get; init; }

    [Items(1024)]
    public ValueList<Rule> Egress { get; init; }

    [MaxLength(1024)]
    [Format(FieldFormat.Selector)]
    public string? Selector { get; init; }

    [Items(2, Unique = true)]
    [OneOf(PolicyType.Ingress, PolicyType.Egress)]
    public ValueList<string> Types { get; init; }

    /// <summary>Before connection tracking; needs <see cref="ApplyOnForward"/>.</summary>
    public bool DoNotTrack { get; init; }

    /// <summary>Before destination NAT, ingress only; needs <see cref="ApplyOnForward"/>.</summary>
    public bool PreDNAT { get; init; }

    /// <summary>Also for traffic that a host endpoint forwards.</summary>
    public bool ApplyOnForward { get; init; }

    [MaxLength(1024)]
    [Format(FieldFormat.Selector)]
    public string? ServiceAccountSelector { get; init; }

    [MaxLength(1024)]
    [Format(FieldFormat.Selector)]
    public string? NamespaceSelector { get; init; }

    [Items(8, Unique = true)]
    [OneOf("AssumeNeededOnEveryNode")]
    public ValueList<string> PerformanceHints { get; init; }
}

/// <summary>A <see cref="NetworkPolicySpec"/> with what it stands for in front.</summary>
public sealed record StagedNetworkPolicySpec : NetworkPolicySpec
{
    [JsonPropertyOrder(-1)]
    [OneOf(Resources.StagedAction.Set, Resources.StagedAction.Delete, Resources.StagedAction.Learn, Resources.StagedAction.Ignore)]
    public string? StagedAction { get; init; }
}

/// <summary>A <see cref="GlobalNetworkPolicySpec"/> with what it stands for in front.</summary>
public sealed record StagedGlobalNetworkPolicySpec : GlobalNetworkPolicySpec
{
    [JsonPropertyOrder(-1)]
    [OneOf(Resources.StagedAction.Set, Resources.StagedAction.Delete, Resources.StagedAction.Learn, Resources.StagedAction.Ignore)]
    public string? StagedAction { get; init; }
}

/// <summary>Policy for the workloads of one namespace.</summary>
public sealed record NetworkPolicy() : Resource(ResourceKind.NetworkPolicy), ITieredPolicy
{
    public NetworkPolicySpec Spec { get; init => field = value ?? new(); } = new();
    IPolicySpec ITieredPolicy.PolicySpec => Spec;
}

/// <summary>Policy for workloads of any namespace and for host endpoints.</summary>
public sealed record GlobalNetworkPolicy() : Resource(ResourceKind.GlobalNetworkPolicy), ITieredPolicy
{
    public GlobalNetworkPolicySpec Spec { get; init => field = value ?? new(); } = new();
    IPolicySpec ITieredPolicy.PolicySpec => Spec;
}

/// <summary>A namespaced policy that is only reported on, never enforced.</summary>
public sealed record StagedNetworkPolicy() : Resource(ResourceKind.StagedNetworkPolicy), ITieredPolicy
{
    public StagedNetworkPolicySpec Spec { get; init => field = value ?? new(); } = new();
    IPolicySpec ITieredPolicy.PolicySpec => Spec;
}

/// <summary>A global policy that is only reported on, never enforced.</summary>
public sealed record StagedGlobalNetworkPolicy() : Resource(ResourceKind.StagedGlobalNetworkPolicy), ITieredPolicy
{
    public StagedGlobalNetworkPolicySpec Spec { get; init => field = value ?? new(); } = new();
    IPolicySpec ITieredPolicy.PolicySpec => Spec;
}

/// <summary>A Kubernetes policy that is only reported on, never enforced.</summary>
public sealed record StagedKubernetesNetworkPolicy() : Resource(ResourceKind.StagedKubernetesNetworkPolicy)
{
    public StagedKubernetesNetworkPolicySpec Spec { get; init => field = value ?? new(); } = new();
}

/// <summary>The spec of a Kubernetes NetworkPolicy with what it stands for in front.</summary>
public sealed record StagedKubernetesNetworkPolicySpec : KubeNetworkPolicySpec
{
    [JsonPropertyOrder(-1)]
    [OneOf(Resources.StagedAction.Set, Resources.StagedAction.Delete, Resources.StagedAction.Learn, Resources.StagedAction.Ignore)]
    public string? StagedAction { get; init; }
}

using Calico.Core.Model.Schema;

namespace Calico.Core.Model.Resources;

/// <summary>An ordered group of policies with a verdict at its end.</summary>
public sealed record Tier() : Resource(ResourceKind.Tier)
{
    public const string Default = "default";
    public const string KubeAdmin = "kube-admin";
    public const string KubeBaseline = "kube-baseline";

    /// <summary>The order of tier default, and of a tier created without one.</summary>
    public const double DefaultOrder = 1_000_000;

    public TierSpec Spec { get; init => field = value ?? new(); } = new();
    public ConditionedStatus Status { get; init => field = value ?? new(); } = new();

    /// <summary>The three tiers that every cluster has, whose order and action are fixed and which cannot be deleted.</summary>
    public static ValueList<Tier> BuiltIn { get; } =
    [
        Create(KubeAdmin, 1_000, RuleAction.Pass),
        Create(Default, DefaultOrder, RuleAction.Deny),
        Create(KubeBaseline, 10_000_000, RuleAction.Pass),
    ];

    private static Tier Create(string name, double order, string action) => new()
    {
        Metadata = new ObjectMeta { Name = name },
        Spec = new TierSpec { Order = order, DefaultAction = action },
    };
}

public sealed record TierSpec : ModelObject
{
    /// <summary>Lower goes first; none is last.</summary>
    public double? Order { get; init; }

    /// <summary>What happens to traffic of an endpoint that some policy here selects and no rule decides: Deny or Pass.</summary>
    [OneOf(RuleAction.Deny, RuleAction.Pass)]
    public string? DefaultAction { get; init; }
}

/// <summary>A status that is a list of standard conditions.</summary>
public sealed record ConditionedStatus : ModelObject
{
    public ValueList<Condition> Conditions { get; init; }
}

using Calico.Core.Model.Schema;

namespace Calico.Core.Model.Resources;

/// <summary>Labels and last-resort rules that endpoints inherit by naming the profile.</summary>
public sealed record Profile() : Resource(ResourceKind.Profile)
{
    /// <summary>The profile that allows everything, always there and never stored.</summary>
    public const string DefaultAllow = "projectcalico-default-allow";

    /// <summary>Prefix of the profile of a Kubernetes namespace.</summary>
    public const string NamespacePrefix = "kns.";

    /// <summary>Prefix of the profile of a Kubernetes service account.</summary>
    public const string ServiceAccountPrefix = "ksa.";

    public ProfileSpec Spec { get; init => field = value ?? new(); } = new();

    /// <summary>The content of <see cref="DefaultAllow"/>.</summary>
    public static Profile AllowEverything { get; } = new()
    {
        Metadata = new ObjectMeta { Name = DefaultAllow, ResourceVersion = "1" },
        Spec = new ProfileSpec
        {
            Ingress = [new Rule { Action = RuleAction.Allow }],
            Egress = [new Rule { Action = RuleAction.Allow }],
        },
    };
}

public sealed record ProfileSpec : ModelObject
{
    [Items(1024)]
    public ValueList<Rule> Ingress { get; init; }

    [Items(1024)]
    public ValueList<Rule> Egress { get; init; }

    /// <summary>Labels of every endpoint that lists the profile and has no such label itself.</summary>
    public StringMap LabelsToApply { get; init; }
}

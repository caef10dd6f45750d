using Calico.Core.Model.Kubernetes;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;

namespace Calico.Core.Model.Validation;

/// <summary>The rules of policies, profiles, tiers and network sets.</summary>
internal static class PolicyChecks
{
    public static void Policy(IPolicySpec spec, bool isGlobal, ErrorList errors)
    {
        Rules(spec.Ingress, "spec.ingress", errors, (rule, path) =>
        {
            errors.When(rule.Destination?.Services is not null, $"{path}.destination.services", "not allowed in ingress rule destination");
            errors.When(isGlobal && rule.Source?.Services is { Namespace: null }, $"{path}.source.services.namespace", "must specify a namespace");
        });
        Rules(spec.Egress, "spec.egress", errors, (rule, path) =>
        {
            errors.When(rule.Source?.Services is not null, $"{path}.source.services", "not allowed in egress rule source");
            errors.When(rule.Http is not null, $"{path}.http", "not allowed in egress rules");
            errors.When(isGlobal && rule.Destination?.Services is { Namespace: null }, $"{path}.destination.services.namespace", "must specify a namespace");
        });
    }

    public static void Global(GlobalNetworkPolicySpec spec, ErrorList errors)
    {
        Policy(spec, isGlobal: true, errors);
        errors.When(spec is { DoNotTrack: true, PreDNAT: true }, "spec", "preDNAT and doNotTrack cannot both be true");
        errors.When(spec.PreDNAT && !spec.Egress.IsEmpty, "spec.egress", "preDNAT policy cannot have any egress rules");
        errors.When(spec.PreDNAT && spec.Types.Contains(PolicyType.Egress), "spec.types", "preDNAT policy cannot have 'Egress' type");
        errors.When((spec.DoNotTrack || spec.PreDNAT) && !spec.ApplyOnForward, "spec.applyOnForward",
            "applyOnForward must be true if either preDNAT or doNotTrack is true");
    }

    public static void Staged(StagedNetworkPolicySpec spec, ErrorList errors)
    {
        if (spec.StagedAction == StagedAction.Delete)
            errors.When(spec with { Types = default, Unknown = null } != new StagedNetworkPolicySpec { Tier = spec.Tier, StagedAction = spec.StagedAction },
                "spec", "all fields except tier must be absent if stagedAction is Delete");
        else
            Policy(spec, isGlobal: false, errors);
    }

    public static void StagedGlobal(StagedGlobalNetworkPolicySpec spec, ErrorList errors)
    {
        if (spec.StagedAction == StagedAction.Delete)
            errors.When(spec with { Types = default, Unknown = null } != new StagedGlobalNetworkPolicySpec { Tier = spec.Tier, StagedAction = spec.StagedAction },
                "spec", "all fields except tier must be absent if stagedAction is Delete");
        else
            Global(spec, errors);
    }

    // The Kubernetes policy must be one that can become a Calico policy.
    public static void StagedKubernetes(StagedKubernetesNetworkPolicy policy, ErrorList errors)
    {
        var spec = policy.Spec;
        var known = KnownFields.Of(spec);
        if (spec.StagedAction == StagedAction.Delete)
        {
            errors.When(known != new StagedKubernetesNetworkPolicySpec { StagedAction = spec.StagedAction }, "spec",
                "all fields must be absent if stagedAction is Delete");
            return;
        }
        var converted = PolicyConversion.FromNetworkPolicy(new KubeNetworkPolicy { Metadata = policy.Metadata, Spec = known });
        foreach (var problem in converted.Problems)
            errors.Add(problem.Split(':')[0], null, problem[(problem.IndexOf(' ', StringComparison.Ordinal) + 1)..]);
        if (converted.Problems.IsEmpty)
            Policy(converted.Policy!.Spec, isGlobal: false, errors);
    }

    public static void Profile(ProfileSpec spec, ErrorList errors)
    {
        Rules(spec.Ingress, "spec.ingress", errors, null);
        Rules(spec.Egress, "spec.egress", errors, null);
        ResourceValidator.Labels(spec.LabelsToApply, "spec.labelsToApply", errors);
    }

    public static void Tier(Tier tier, ErrorList errors)
    {
        var fixedTier = Resources.Tier.BuiltIn.FirstOrDefault(t => t.Name == tier.Name);
        if (fixedTier is null)
            return;
        errors.When(tier.Spec.DefaultAction != fixedTier.Spec.DefaultAction, "spec.defaultAction",
            $"The '{tier.Name}' tier must have default action '{fixedTier.Spec.DefaultAction}'");
        errors.When(tier.Spec.Order != fixedTier.Spec.Order, "spec.order", $"{tier.Name} tier order must be {fixedTier.Spec.Order}");
    }

    // The namespace is a label of the set for selectors, which the policy calculation adds.
    public static void NetworkSetLabels(Resource set, ErrorList errors) =>
        errors.When(set.Metadata.Labels.ContainsKey("projectcalico.org/namespace"), "metadata.labels",
            "projectcalico.org/namespace is not a valid label name: the namespace of the set is its label already");

    private static void Rules(ValueList<Rule> rules, string path, ErrorList errors, Action<Rule, string>? more)
    {
        for (var i = 0; i < rules.Count; i++)
        {
            var at = ErrorList.Index(path, i);
            RuleChecks.Rule(rules[i], at, errors);
            more?.Invoke(rules[i], at);
        }
    }
}

using System.Collections.Immutable;

namespace Calico.Core.Policy.Graph;

/// <summary>
/// Calico's evaluation order. Tiers go by order (missing last) and then name; a tier without an object sorts behind
/// all that have one and drops at its end. Inside a tier policies go by order (missing last) and then by
/// <c>name/namespace/kind</c>.
/// </summary>
internal static class PolicyOrder
{
    /// <summary>Orders the policies that select one endpoint and splits them by stage, tier, direction and group.</summary>
    public static EndpointPolicies Resolve(LocalEndpoint endpoint, IEnumerable<CompiledPolicy> selected,
        IReadOnlyDictionary<string, TierState> tiers)
    {
        var byTier = selected
            .GroupBy(p => p.Tier, StringComparer.Ordinal)
            .Select(g => (Name: g.Key, State: tiers.GetValueOrDefault(g.Key), Policies: Sort(g)))
            .OrderBy(t => t.State is null)
            .ThenBy(t => t.State?.Order ?? double.PositiveInfinity)
            .ThenBy(t => t.Name, StringComparer.Ordinal)
            .ToList();
        var stages = new Dictionary<PolicyStage, ImmutableArray<EndpointTier>.Builder>();
        foreach (var (name, state, policies) in byTier)
        {
            foreach (var stage in endpoint.IsHost ? HostStages : WorkloadStages)
            {
                var staged = policies.Where(p => AppliesAt(p, stage)).ToList();
                // Untracked and pre-DNAT policies leave what they do not decide to the normal ones.
                var pass = state?.DefaultPass == true || stage is PolicyStage.Untracked or PolicyStage.PreDnat;
                var tier = new EndpointTier(name, pass, Group(staged, Direction.Ingress),
                    stage == PolicyStage.PreDnat ? [] : Group(staged, Direction.Egress));
                if (tier.Ingress.IsEmpty && tier.Egress.IsEmpty)
                    continue;
                if (!stages.TryGetValue(stage, out var list))
                    stages[stage] = list = ImmutableArray.CreateBuilder<EndpointTier>();
                list.Add(tier);
            }
        }
        return new EndpointPolicies
        {
            Endpoint = endpoint,
            Normal = Of(PolicyStage.Normal),
            Untracked = Of(PolicyStage.Untracked),
            PreDnat = Of(PolicyStage.PreDnat),
            Forward = Of(PolicyStage.Forward),
        };

        ImmutableArray<EndpointTier> Of(PolicyStage stage) =>
            stages.TryGetValue(stage, out var list) ? list.ToImmutable() : [];
    }

    private static readonly PolicyStage[] WorkloadStages = [PolicyStage.Normal];

    private static readonly PolicyStage[] HostStages =
        [PolicyStage.Normal, PolicyStage.Untracked, PolicyStage.PreDnat, PolicyStage.Forward];

    private static bool AppliesAt(CompiledPolicy policy, PolicyStage stage) => stage switch
    {
        PolicyStage.Untracked => policy.DoNotTrack,
        PolicyStage.PreDnat => policy is { PreDnat: true, DoNotTrack: false },
        PolicyStage.Forward => policy is { ApplyOnForward: true, PreDnat: false, DoNotTrack: false },
        _ => policy is { PreDnat: false, DoNotTrack: false },
    };

    private static List<CompiledPolicy> Sort(IEnumerable<CompiledPolicy> policies) =>
        [.. policies.OrderBy(p => p.Order ?? double.PositiveInfinity).ThenBy(p => p.Key)];

    private static ImmutableArray<PolicyGroup> Group(List<CompiledPolicy> policies, Direction direction)
    {
        var groups = ImmutableArray.CreateBuilder<PolicyGroup>();
        var run = ImmutableArray.CreateBuilder<PolicyKey>();
        string? selector = null;
        foreach (var policy in policies.Where(p => p.Governs(direction)))
        {
            if (selector is not null && selector != policy.Selector)
            {
                groups.Add(new PolicyGroup(direction, selector, run.ToImmutable()));
                run.Clear();
            }
            selector = policy.Selector;
            run.Add(policy.Key);
        }
        if (selector is not null)
            groups.Add(new PolicyGroup(direction, selector, run.ToImmutable()));
        return groups.ToImmutable();
    }
}

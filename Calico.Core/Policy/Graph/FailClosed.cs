using System.Collections.Immutable;

namespace Calico.Core.Policy.Graph;

/// <summary>
/// Rules whose sets have not arrived are narrowed to what can be said for certain. The kernel's set is empty until
/// then, which is right for an Allow from the set; but "not in the set" would let everything through, and a Deny from
/// the set would catch nothing. So Allow and Pass rules that exclude an unknown set are left out, and Deny rules drop
/// the condition on the unknown set and deny the more.
/// </summary>
internal static class FailClosed
{
    public static ImmutableArray<CompiledRule> Of(ImmutableArray<CompiledRule> rules, Func<string, bool> isKnown)
    {
        if (rules.All(r => r.AllSets.All(isKnown)))
            return rules;
        var narrowed = ImmutableArray.CreateBuilder<CompiledRule>(rules.Length);
        foreach (var rule in rules)
        {
            if (rule.AllSets.All(isKnown) || rule.Action == RuleAction.Log)
                narrowed.Add(rule);
            else if (rule.Action == RuleAction.Deny)
                narrowed.Add(rule with { Source = Widen(rule.Source, isKnown), Destination = Widen(rule.Destination, isKnown) });
            else if (!Excludes(rule.Source, isKnown) && !Excludes(rule.Destination, isKnown))
                narrowed.Add(rule);
        }
        return narrowed.ToImmutable();
    }

    private static bool Excludes(EntityMatch entity, Func<string, bool> isKnown) =>
        !entity.NotSets.All(isKnown) || !entity.NotNamedPorts.All(isKnown);

    private static EntityMatch Widen(EntityMatch entity, Func<string, bool> isKnown)
    {
        var portsKnown = entity.NamedPorts.All(isKnown);
        return entity with
        {
            Sets = [.. entity.Sets.Where(isKnown)],
            Services = [.. entity.Services.Where(isKnown)],
            // Ports and named ports are alternatives: with one of them unknown, any port may be meant.
            Ports = portsKnown ? entity.Ports : [],
            NamedPorts = portsKnown ? entity.NamedPorts : [],
            // An unknown excluded set is empty in the kernel and so excludes nothing: nothing to do.
        };
    }
}

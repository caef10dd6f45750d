using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Text;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Net;

namespace Calico.Core.Model.Kubernetes;

/// <summary>A policy made from a Kubernetes policy, and the rules of it that could not be carried over.</summary>
/// <param name="Policy">The policy; null when nothing of it can apply.</param>
/// <param name="Problems">Each names a rule and what is wrong with it.</param>
public sealed record ConvertedPolicy<T>(T? Policy, ImmutableArray<string> Problems)
    where T : Resource;

/// <summary>
/// Kubernetes' NetworkPolicy as a Calico policy of tier default: one Allow rule for each peer and protocol. A rule that
/// cannot be converted is left out, which denies what it would have allowed; a policy whose own selector is not understood
/// selects every pod of its namespace and allows nothing.
/// </summary>
public static class PolicyConversion
{
    private const double PolicyOrder = 1000;

    /// <summary>What selects pods and nothing else.</summary>
    public const string PodsOnly = KubeNames.OrchestratorLabel + " == 'k8s'";

    public static ConvertedPolicy<NetworkPolicy> FromNetworkPolicy(KubeNetworkPolicy policy)
    {
        var problems = ImmutableArray.CreateBuilder<string>();
        var ingress = ImmutableArray.CreateBuilder<Rule>();
        var egress = ImmutableArray.CreateBuilder<Rule>();
        var spec = policy.Spec;
        if (SelectorProblem(spec.PodSelector) is { } unknown)
        {
            problems.Add($"spec.podSelector: {unknown}");
            spec = spec with { PodSelector = new LabelSelector(), Ingress = [], Egress = [] };
        }
        for (var i = 0; i < spec.Ingress.Count; i++)
            Rules(spec.Ingress[i], spec.Ingress[i].From, spec.Ingress[i].Ports, isIngress: true, $"spec.ingress[{i}]", ingress, problems);
        for (var i = 0; i < spec.Egress.Count; i++)
            Rules(spec.Egress[i], spec.Egress[i].To, spec.Egress[i].Ports, isIngress: false, $"spec.egress[{i}]", egress, problems);

        var types = new[] { PolicyType.Ingress, PolicyType.Egress }.Where(t => spec.PolicyTypes.Contains(t)).ToImmutableArray();
        return new ConvertedPolicy<NetworkPolicy>(
            new NetworkPolicy
            {
                Metadata = Metadata(policy.Metadata) with { Namespace = policy.Metadata.Namespace },
                Spec = new NetworkPolicySpec
                {
                    Tier = Tier.Default,
                    Order = PolicyOrder,
                    Selector = PodSelector(spec.PodSelector),
                    Ingress = ingress.ToImmutable(),
                    Egress = egress.ToImmutable(),
                    Types = types.IsEmpty ? [PolicyType.Ingress] : types,
                },
            },
            problems.ToImmutable());
    }

    /// <summary>Pods by their labels; null selects all of them.</summary>
    /// <exception cref="InvalidOperationException">An operator is not known.</exception>
    public static string PodSelector(LabelSelector? selector) => string.Join(" && ", Terms(selector).Prepend(PodsOnly));

    /// <summary>Namespaces by their labels; an empty selector is <c>all()</c>, null is null.</summary>
    public static string? NamespaceSelector(LabelSelector? selector)
    {
        if (selector is null)
            return null;
        var text = string.Join(" && ", Terms(selector));
        return text.Length == 0 ? "all()" : text;
    }

    /// <summary>
    /// Merges adjacent and overlapping numeric ports into ranges; names come first, in their order.
    /// </summary>
    public static ValueList<Port> SimplifyPorts(ValueList<Port> ports)
    {
        var numeric = ports.Where(p => !p.IsNamed).OrderBy(p => p.Min).ToList();
        if (numeric.Count == 0 || (numeric.Count == 1 && (ports.Count == 1 || numeric[0].IsSingle)))
            return ports;
        var merged = ports.Where(p => p.IsNamed).ToList();
        var current = numeric[0];
        foreach (var next in numeric.Skip(1))
        {
            if (next.Min <= current.Max + 1)
            {
                current = Port.Range(current.Min, Math.Max(current.Max, next.Max));
                continue;
            }
            merged.Add(current);
            current = next;
        }
        merged.Add(current);
        return [.. merged];
    }

    internal static ObjectMeta Metadata(ObjectMeta source) => new()
    {
        Name = source.Name,
        CreationTimestamp = source.CreationTimestamp,
        Uid = source.Uid is { } uid && KubeNames.TryConvertUid(uid, out var converted) ? converted : null,
        ResourceVersion = source.ResourceVersion,
    };

    internal static EntityRule? NullIfEmpty(EntityRule entity) => entity == new EntityRule() ? null : entity;

    /// <summary>Why a selector cannot be carried over; null if it can.</summary>
    internal static string? SelectorProblem(LabelSelector? selector)
    {
        var errors = ImmutableArray.CreateBuilder<FieldError>();
        KubeValidator.Selector(selector, "selector", errors);
        return errors.Count > 0 ? errors[0].ToString()
            : KubeValidator.UnknownField([selector, .. selector?.MatchExpressions ?? default]);
    }

    private static IEnumerable<string> Terms(LabelSelector? selector)
    {
        if (selector is null)
            yield break;
        foreach (var (key, value) in selector.MatchLabels)
            yield return $"{key} == '{value}'";
        foreach (var e in selector.MatchExpressions)
        {
            var values = new StringBuilder().AppendJoin("', '", e.Values);
            switch (e.Operator)
            {
                case "In": yield return $"{e.Key} in {{ '{values}' }}"; break;
                case "NotIn": yield return $"{e.Key} not in {{ '{values}' }}"; break;
                case "Exists": yield return $"has({e.Key})"; break;
                case "DoesNotExist": yield return $"! has({e.Key})"; break;
                default: throw new InvalidOperationException($"operator {e.Operator} was not refused");
            }
        }
    }

    private static void Rules(ModelObject rule, ValueList<KubePeer> peers, ValueList<KubePolicyPort> ports, bool isIngress, string path,
        ImmutableArray<Rule>.Builder rules, ImmutableArray<string>.Builder problems)
    {
        var problem = KubeValidator.UnknownField(rule);
        if (problem is not null || !TryGroupPorts(ports, out var byProtocol, out problem))
        {
            problems.Add($"{path}: {problem}");
            return;
        }
        var entities = new List<EntityRule>();
        foreach (var peer in peers)
        {
            if (!TryConvert(peer, out var entity, out problem))
            {
                problems.Add($"{path}: {problem}");
                return;
            }
            entities.Add(entity);
        }
        if (peers.IsEmpty)
            entities.Add(new EntityRule());

        foreach (var (protocol, list) in byProtocol)
        {
            var destinationPorts = SimplifyPorts(list);
            rules.AddRange(entities.Select(entity => new Rule
            {
                Action = RuleAction.Allow,
                Protocol = protocol,
                Source = isIngress ? NullIfEmpty(entity) : null,
                Destination = NullIfEmpty(isIngress ? new EntityRule { Ports = destinationPorts } : entity with { Ports = destinationPorts }),
            }));
        }
    }

    // No ports at all match every protocol; a protocol without a port matches all of its ports.
    private static bool TryGroupPorts(ValueList<KubePolicyPort> ports, out List<(Protocol? Protocol, ValueList<Port> Ports)> grouped,
        [NotNullWhen(false)] out string? problem)
    {
        grouped = [];
        problem = null;
        if (ports.IsEmpty)
        {
            grouped.Add((null, default));
            return true;
        }
        var byProtocol = new SortedDictionary<string, List<Port>?>(StringComparer.Ordinal);
        foreach (var entry in ports)
        {
            problem = KubeValidator.UnknownField(entry);
            if (problem is not null)
                return false;
            var name = entry.Protocol ?? "TCP";
            if (entry.Port is not { } given)
            {
                byProtocol[name] = null;
                continue;
            }
            var text = entry.EndPort is { } end ? $"{given}:{end}" : given.ToString();
            if (!Port.TryParse(text, out var port) || !Protocol.TryParse(name, out _))
            {
                problem = $"invalid port {text} of protocol {name}";
                return false;
            }
            if (!byProtocol.TryGetValue(name, out var list))
                byProtocol[name] = [port];
            else
                list?.Add(port);
        }
        foreach (var (name, list) in byProtocol)
        {
            if (!Protocol.TryParse(name, out var protocol))
            {
                problem = $"unknown protocol {name}";
                return false;
            }
            grouped.Add((protocol, list is null ? default : [.. list]));
        }
        return true;
    }

    private static bool TryConvert(KubePeer peer, [NotNullWhen(true)] out EntityRule? entity, [NotNullWhen(false)] out string? problem)
    {
        entity = null;
        problem = KubeValidator.UnknownField(peer, peer.IpBlock) ?? SelectorProblem(peer.PodSelector) ?? SelectorProblem(peer.NamespaceSelector)
            ?? (peer is { IpBlock: null, PodSelector: null, NamespaceSelector: null } ? "a peer that names nothing" : null);
        if (problem is not null)
            return false;
        if (peer.IpBlock is not { } block)
        {
            entity = new EntityRule { Selector = PodSelector(peer.PodSelector), NamespaceSelector = NamespaceSelector(peer.NamespaceSelector) };
            return true;
        }
        var nets = new List<string>();
        foreach (var text in block.Except.Prepend(block.Cidr ?? ""))
        {
            if (!Cidr.TryParse(text, out var cidr))
            {
                problem = $"invalid CIDR {text}";
                return false;
            }
            nets.Add(cidr.Network.ToString());
        }
        entity = new EntityRule { Nets = [nets[0]], NotNets = [.. nets.Skip(1)] };
        return true;
    }
}

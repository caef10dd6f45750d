using System.Collections.Immutable;
using Calico.Core.Model.Resources;
using Calico.Core.Net;

namespace Calico.Core.Model.Kubernetes;

/// <summary>
/// ClusterNetworkPolicy as a global policy of tier kube-admin or kube-baseline. A Deny or Pass rule that cannot be
/// converted becomes a deny of everything, an Accept rule is left out: what is not understood is never allowed.
/// </summary>
public static class ClusterPolicyConversion
{
    public static ConvertedPolicy<GlobalNetworkPolicy> Convert(KubeClusterNetworkPolicy policy)
    {
        var spec = policy.Spec;
        var tier = spec.Tier switch { "Admin" => Tier.KubeAdmin, "Baseline" => Tier.KubeBaseline, _ => null };
        if (tier is null)
            return new ConvertedPolicy<GlobalNetworkPolicy>(null, [$"spec.tier: '{spec.Tier}' is neither Admin nor Baseline"]);
        if (spec.Subject is { Namespaces: null, Pods: null })
            return new ConvertedPolicy<GlobalNetworkPolicy>(null, ["spec.subject: names neither namespaces nor pods"]);

        if (PeerProblem(spec.Subject) is { } unknown)
            return new ConvertedPolicy<GlobalNetworkPolicy>(null, [$"spec.subject: {unknown}"]);

        var problems = ImmutableArray.CreateBuilder<string>();
        var ingress = Rules(spec.Ingress, isIngress: true, problems);
        var egress = Rules(spec.Egress, isIngress: false, problems);
        var types = ImmutableArray.CreateBuilder<string>();
        if (!ingress.IsEmpty)
            types.Add(PolicyType.Ingress);
        if (!egress.IsEmpty)
            types.Add(PolicyType.Egress);
        var subject = Entity(spec.Subject);
        return new ConvertedPolicy<GlobalNetworkPolicy>(
            new GlobalNetworkPolicy
            {
                Metadata = PolicyConversion.Metadata(policy.Metadata),
                Spec = new GlobalNetworkPolicySpec
                {
                    Tier = tier,
                    Order = spec.Priority,
                    NamespaceSelector = subject.NamespaceSelector,
                    Selector = subject.Selector ?? PolicyConversion.PodsOnly,
                    Ingress = ingress,
                    Egress = egress,
                    Types = types.ToImmutable(),
                },
            },
            problems.ToImmutable());
    }

    private static ImmutableArray<Rule> Rules(ValueList<KubeClusterRule> rules, bool isIngress, ImmutableArray<string>.Builder problems)
    {
        var converted = ImmutableArray.CreateBuilder<Rule>();
        for (var i = 0; i < rules.Count; i++)
        {
            var rule = rules[i];
            var problem = TryConvert(rule, isIngress, out var made);
            if (problem is null)
            {
                converted.AddRange(made);
                continue;
            }
            problems.Add($"spec.{(isIngress ? "ingress" : "egress")}[{i}] '{rule.Name}': {problem}");
            if (rule.Action is "Deny" or "Pass")
                converted.Add(new Rule { Action = RuleAction.Deny });
        }
        return converted.ToImmutable();
    }

    private static string? TryConvert(KubeClusterRule rule, bool isIngress, out List<Rule> rules)
    {
        rules = [];
        var action = rule.Action switch
        {
            "Accept" => RuleAction.Allow,
            "Deny" => RuleAction.Deny,
            "Pass" => RuleAction.Pass,
            _ => null,
        };
        if (action is null)
            return $"unsupported action {rule.Action}";
        if (KubeValidator.UnknownField(rule) is { } field)
            return field;
        if (GroupPorts(rule.Protocols, out var byProtocol) is { } portProblem)
            return portProblem;
        foreach (var (protocol, ports) in byProtocol)
        {
            foreach (var peer in isIngress ? rule.From : rule.To)
            {
                if (peer is { Namespaces: null, Pods: null } && (isIngress || peer.Networks.IsEmpty))
                    return "a peer has none of the supported fields";
                if (PeerProblem(peer) is { } unknown)
                    return unknown;
                var nets = new List<string>();
                foreach (var text in isIngress ? default : peer.Networks)
                {
                    if (!Cidr.TryParse(text, out var cidr))
                        return $"invalid CIDR {text}";
                    nets.Add(cidr.Network.ToString());
                }
                var entity = Entity(peer) with { Nets = [.. nets] };
                var destinationPorts = PolicyConversion.SimplifyPorts(ports);
                rules.Add(new Rule
                {
                    Metadata = rule.Name is { } name ? new RuleMetadata { Annotations = StringMap.Empty.With("name", name) } : null,
                    Action = action,
                    Protocol = protocol,
                    Source = isIngress ? PolicyConversion.NullIfEmpty(entity) : null,
                    Destination = PolicyConversion.NullIfEmpty(isIngress
                        ? new EntityRule { Ports = destinationPorts }
                        : entity with { Ports = destinationPorts }),
                });
            }
        }
        return null;
    }

    private static string? PeerProblem(KubeClusterPeer peer) => KubeValidator.UnknownField(peer, peer.Pods)
        ?? PolicyConversion.SelectorProblem(peer.Namespaces) ?? PolicyConversion.SelectorProblem(peer.Pods?.PodSelector)
        ?? PolicyConversion.SelectorProblem(peer.Pods?.NamespaceSelector);

    private static EntityRule Entity(KubeClusterPeer peer) => peer.Pods is { } pods
        ? new EntityRule
        {
            Selector = PolicyConversion.PodSelector(pods.PodSelector),
            NamespaceSelector = PolicyConversion.NamespaceSelector(pods.NamespaceSelector),
        }
        : new EntityRule { NamespaceSelector = PolicyConversion.NamespaceSelector(peer.Namespaces) };

    private static string? GroupPorts(ValueList<KubeClusterProtocol> protocols, out List<(Protocol? Protocol, ValueList<Port> Ports)> grouped)
    {
        grouped = [];
        // A named port goes without a protocol, under the empty key.
        var byProtocol = new SortedDictionary<string, List<Port>?>(StringComparer.Ordinal);
        foreach (var entry in protocols.IsEmpty ? [new KubeClusterProtocol()] : protocols)
        {
            if (KubeValidator.UnknownField(entry, entry.Tcp, entry.Udp, entry.Sctp, (entry.Tcp ?? entry.Udp ?? entry.Sctp)?.DestinationPort) is { } unknown)
                return unknown;
            var (name, match) = entry switch
            {
                { Tcp: { } tcp } => ("TCP", tcp),
                { Udp: { } udp } => ("UDP", udp),
                { Sctp: { } sctp } => ("SCTP", sctp),
                _ => ("", null),
            };
            if (name.Length == 0 && entry.DestinationNamedPort is null)
            {
                grouped = [(null, default)];
                return null;
            }
            if (Parse(match?.DestinationPort, entry.DestinationNamedPort, name, out var port) is { } problem)
                return problem;
            if (port is not { } given)
                byProtocol[name] = null;
            else if (!byProtocol.TryGetValue(name, out var list))
                byProtocol[name] = [given];
            else
                list?.Add(given);
        }
        foreach (var (name, list) in byProtocol)
            grouped.Add((name.Length == 0 ? null : Protocol.Parse(name), list is null ? default : [.. list]));
        return null;
    }

    private static string? Parse(KubeClusterPort? match, string? portName, string protocol, out Port? port)
    {
        port = null;
        var text = protocol.Length == 0 ? portName
            : match is { Number: not 0 } ? $"{match.Number}"
            : match?.Range is { } range ? $"{range.Start}:{range.End}"
            : null;
        if (text is null)
            return null;
        if (!Port.TryParse(text, out var parsed))
            return $"invalid port {text}";
        port = parsed;
        return null;
    }
}

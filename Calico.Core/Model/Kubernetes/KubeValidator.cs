using System.Collections.Immutable;
using Calico.Core.Model.Schema;
using Calico.Core.Net;

namespace Calico.Core.Model.Kubernetes;

/// <summary>
/// What Kubernetes' API server would say to an object that a person wrote. Where there is no API server in between, a
/// policy with a mistake in it must not pass for a wider one.
/// </summary>
public static class KubeValidator
{
    private static readonly string[] Protocols = ["TCP", "UDP", "SCTP"];
    private static readonly string[] PolicyTypes = ["Ingress", "Egress"];

    public static ImmutableArray<FieldError> Validate(KubeObject candidate)
    {
        var errors = ImmutableArray.CreateBuilder<FieldError>();
        var name = candidate.Metadata.Name;
        if (string.IsNullOrEmpty(name))
            errors.Add(new FieldError("metadata.name", null, "is required"));
        else if (Formats.Problem(FieldFormat.Name, name) is { } problem)
            errors.Add(new FieldError("metadata.name", name, problem));
        Labels(candidate.Metadata.Labels, "metadata.labels", errors);
        if (candidate is KubeNetworkPolicy policy)
            Policy(policy.Spec, errors);
        return errors.ToImmutable();
    }

    /// <summary>A field that this release does not know, of an object in which it could narrow what is matched; null if there is none.</summary>
    internal static string? UnknownField(params ReadOnlySpan<ModelObject?> parts)
    {
        foreach (var part in parts)
        {
            if (part?.Unknown is { Count: > 0 } unknown)
                return $"field {unknown.Keys.First()} is not known here";
        }
        return null;
    }

    /// <summary>What is wrong with a selector of labels; the paths begin with <paramref name="path"/>.</summary>
    public static void Selector(LabelSelector? selector, string path, ImmutableArray<FieldError>.Builder errors)
    {
        if (selector is null)
            return;
        Labels(selector.MatchLabels, $"{path}.matchLabels", errors);
        for (var i = 0; i < selector.MatchExpressions.Count; i++)
            Expression(selector.MatchExpressions[i], $"{path}.matchExpressions[{i}]", errors);
    }

    private static void Labels(StringMap labels, string path, ImmutableArray<FieldError>.Builder errors)
    {
        foreach (var (key, value) in labels)
        {
            if (!Formats.IsQualifiedName(key))
                errors.Add(new FieldError(path, key, "must be a label's key, such as app or example.com/app"));
            if (!Formats.IsLabelValue(value))
                errors.Add(new FieldError($"{path}.{key}", value, "must be a label's value: at most 63 letters, digits and inner '-', '_', '.'"));
        }
    }

    private static void Expression(LabelSelectorRequirement expression, string path, ImmutableArray<FieldError>.Builder errors)
    {
        if (expression.Key is not { } key || !Formats.IsQualifiedName(key))
            errors.Add(new FieldError($"{path}.key", expression.Key, "must be a label's key, such as app or example.com/app"));
        if (expression.Operator is "In" or "NotIn")
        {
            if (expression.Values.IsEmpty)
                errors.Add(new FieldError($"{path}.values", null, $"must not be empty with operator {expression.Operator}"));
        }
        else if (expression.Operator is "Exists" or "DoesNotExist")
        {
            if (!expression.Values.IsEmpty)
                errors.Add(new FieldError($"{path}.values", null, $"must be empty with operator {expression.Operator}"));
        }
        else
        {
            errors.Add(new FieldError($"{path}.operator", expression.Operator, "must be In, NotIn, Exists or DoesNotExist"));
        }
        foreach (var value in expression.Values.Where(v => !Formats.IsLabelValue(v)))
            errors.Add(new FieldError($"{path}.values", value, "must be a label's value: at most 63 letters, digits and inner '-', '_', '.'"));
    }

    private static void Policy(KubeNetworkPolicySpec spec, ImmutableArray<FieldError>.Builder errors)
    {
        Selector(spec.PodSelector, "spec.podSelector", errors);
        for (var i = 0; i < spec.PolicyTypes.Count; i++)
        {
            if (!PolicyTypes.Contains(spec.PolicyTypes[i]))
                errors.Add(new FieldError($"spec.policyTypes[{i}]", spec.PolicyTypes[i], "must be Ingress or Egress"));
        }
        for (var i = 0; i < spec.Ingress.Count; i++)
            Rule(spec.Ingress[i].Ports, spec.Ingress[i].From, $"spec.ingress[{i}]", "from", errors);
        for (var i = 0; i < spec.Egress.Count; i++)
            Rule(spec.Egress[i].Ports, spec.Egress[i].To, $"spec.egress[{i}]", "to", errors);
    }

    private static void Rule(ValueList<KubePolicyPort> ports, ValueList<KubePeer> peers, string path, string side, ImmutableArray<FieldError>.Builder errors)
    {
        for (var i = 0; i < ports.Count; i++)
            Port(ports[i], $"{path}.ports[{i}]", errors);
        for (var i = 0; i < peers.Count; i++)
            Peer(peers[i], $"{path}.{side}[{i}]", errors);
    }

    private static void Port(KubePolicyPort port, string path, ImmutableArray<FieldError>.Builder errors)
    {
        if (port.Protocol is { } protocol && !Protocols.Contains(protocol))
            errors.Add(new FieldError($"{path}.protocol", protocol, "must be TCP, UDP or SCTP"));
        if (port.Port is { Text: { } name } && Formats.Problem(FieldFormat.PortName, name) is { } problem)
            errors.Add(new FieldError($"{path}.port", name, problem));
        else if (port.Port is { Text: null, Number: < 1 or > 65535 } number)
            errors.Add(new FieldError($"{path}.port", number.ToString(), "must be from 1 to 65535"));
        if (port.EndPort is not { } end)
            return;
        if (port.Port is not { Text: null } start)
            errors.Add(new FieldError($"{path}.endPort", $"{end}", "needs a numeric port beside it"));
        else if (end < start.Number || end > 65535)
            errors.Add(new FieldError($"{path}.endPort", $"{end}", $"must be from {start.Number} to 65535"));
    }

    private static void Peer(KubePeer peer, string path, ImmutableArray<FieldError>.Builder errors)
    {
        if (peer is { IpBlock: null, PodSelector: null, NamespaceSelector: null })
            errors.Add(new FieldError(path, null, "must name podSelector, namespaceSelector or ipBlock"));
        if (peer.IpBlock is not null && (peer.PodSelector is not null || peer.NamespaceSelector is not null))
            errors.Add(new FieldError($"{path}.ipBlock", null, "cannot stand beside podSelector or namespaceSelector"));
        Selector(peer.PodSelector, $"{path}.podSelector", errors);
        Selector(peer.NamespaceSelector, $"{path}.namespaceSelector", errors);
        if (peer.IpBlock is not { } block)
            return;
        if (!Cidr.TryParse(block.Cidr ?? "", out var cidr))
        {
            errors.Add(new FieldError($"{path}.ipBlock.cidr", block.Cidr, "must be a network such as 10.0.0.0/8"));
            return;
        }
        for (var i = 0; i < block.Except.Count; i++)
        {
            if (!Cidr.TryParse(block.Except[i], out var except) || !cidr.Contains(except) || except.PrefixLength == cidr.PrefixLength)
                errors.Add(new FieldError($"{path}.ipBlock.except[{i}]", block.Except[i], $"must be a network inside {block.Cidr} and smaller than it"));
        }
    }
}

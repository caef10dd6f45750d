using System.Collections.Immutable;
using Calico.Core.Net;
using Calico.Core.Policy.Graph;

namespace Calico.Core.Policy;

/// <summary>The first packet of a connection, as far as policy looks at it.</summary>
public readonly record struct PolicyPacket(IpAddr Source, IpAddr Destination, byte Protocol, int SourcePort = 0,
    int DestinationPort = 0, byte IcmpType = 0, byte IcmpCode = 0);

/// <summary>What ended the evaluation.</summary>
public enum VerdictReason : byte
{
    /// <summary>A rule of a policy allowed or denied.</summary>
    Policy = 0,

    /// <summary>Policies of the tier select the endpoint, none decided, and the tier does not pass by default.</summary>
    EndOfTier = 1,

    /// <summary>A rule of a profile allowed or denied.</summary>
    Profile = 2,

    /// <summary>Nothing matched, profiles included.</summary>
    NothingMatched = 3,

    /// <summary>The endpoint is administratively down.</summary>
    AdminDown = 4,

    /// <summary>The node has no such endpoint.</summary>
    UnknownEndpoint = 5,
}

/// <summary>A rule that matched on the way: all of them but the last were Log or Pass.</summary>
/// <param name="Policy">The policy, or null for a profile's rule.</param>
/// <param name="Profile">The profile, or empty for a policy's rule.</param>
/// <param name="Index">Position of the rule in its list, from 0.</param>
public sealed record VerdictStep(string Tier, PolicyKey? Policy, string Profile, long Revision, int Index,
    CompiledRule Rule);

/// <summary>Whether a packet passes one direction of one endpoint, and what decided.</summary>
/// <param name="Tier">The tier that decided, or empty.</param>
/// <param name="Steps">The rules that matched, in order; the last one decided if the reason is a rule.</param>
public sealed record Verdict(bool Allowed, VerdictReason Reason, string Tier, ImmutableArray<VerdictStep> Steps)
{
    /// <summary>The rule that decided, if one did.</summary>
    public VerdictStep? DecidedBy => Reason is VerdictReason.Policy or VerdictReason.Profile ? Steps[^1] : null;
}

/// <summary>
/// Answers "would this packet pass" from the graph alone, with the semantics of the rendered chains. The packet is the
/// first of its connection: replies pass by connection tracking and are not asked about. Also the basis of explain.
/// </summary>
public static class PolicyVerdict
{
    /// <summary>
    /// The verdict of the endpoint's normal policy as of the graph's last flush. For traffic between two workloads ask
    /// twice: the source's egress and the destination's ingress.
    /// </summary>
    public static Verdict Evaluate(NodePolicyGraph graph, string endpointId, Direction direction, PolicyPacket packet)
    {
        if (graph.Policies(endpointId) is not { } policies)
            return new Verdict(false, VerdictReason.UnknownEndpoint, "", []);
        if (!policies.Endpoint.AdminUp)
            return new Verdict(false, VerdictReason.AdminDown, "", []);

        var steps = ImmutableArray.CreateBuilder<VerdictStep>();
        foreach (var tier in policies.Normal)
        {
            var outcome = TierOutcome(graph, tier, direction, packet, steps);
            if (outcome is RuleAction.Allow or RuleAction.Deny)
                return new Verdict(outcome == RuleAction.Allow, VerdictReason.Policy, tier.Name, steps.ToImmutable());
            if (outcome is null && tier.DropsAtEnd(direction))
                return new Verdict(false, VerdictReason.EndOfTier, tier.Name, steps.ToImmutable());
        }
        foreach (var name in policies.Endpoint.Profiles)
        {
            var profile = graph.Profile(name);
            if (profile is null)
                continue;
            var outcome = Try(graph, profile.Rules(direction), packet,
                (index, rule) => steps.Add(new VerdictStep("", null, name, profile.Revision, index, rule)));
            // A Pass in a profile returns from its chain without a verdict: the next profile is tried.
            if (outcome is RuleAction.Allow or RuleAction.Deny)
                return new Verdict(outcome == RuleAction.Allow, VerdictReason.Profile, "", steps.ToImmutable());
        }
        return new Verdict(false, VerdictReason.NothingMatched, "", steps.ToImmutable());
    }

    /// <summary>Whether every condition of a rule holds for a packet, given the sets' members.</summary>
    public static bool Matches(NodePolicyGraph graph, CompiledRule rule, PolicyPacket packet)
    {
        if (rule.ForFamily(packet.Source.Version) is not { } mine)
            return false;
        if (mine.Protocol is { } protocol && protocol != packet.Protocol)
            return false;
        if (mine.NotProtocol is { } not && not == packet.Protocol)
            return false;
        var icmp = packet.Protocol == (packet.Source.IsV4 ? IpProtocol.Icmp : IpProtocol.IcmpV6);
        if (mine.Icmp is { } type && !(icmp && type.Matches(packet.IcmpType, packet.IcmpCode)))
            return false;
        if (mine.NotIcmp is { } notType && !(icmp && !notType.Matches(packet.IcmpType, packet.IcmpCode)))
            return false;
        return Matches(graph, mine.Source, packet.Source, packet.Protocol, packet.SourcePort)
            && Matches(graph, mine.Destination, packet.Destination, packet.Protocol, packet.DestinationPort);
    }

    // Null when no policy of the tier decided or passed.
    private static RuleAction? TierOutcome(NodePolicyGraph graph, EndpointTier tier, Direction direction,
        PolicyPacket packet, ImmutableArray<VerdictStep>.Builder steps)
    {
        foreach (var key in tier.Policies(direction))
        {
            if (key.IsStaged || graph.Policy(key) is not { } policy)
                continue;
            var outcome = Try(graph, policy.Rules(direction), packet, (position, rule) =>
            {
                var index = policy.Compiled.Rules(direction).IndexOf(rule);
                steps.Add(new VerdictStep(tier.Name, key, "", policy.Compiled.Revision,
                    index < 0 ? position : index, rule));
            });
            if (outcome is not null)
                return outcome;
        }
        return null;
    }

    private static RuleAction? Try(NodePolicyGraph graph, ImmutableArray<CompiledRule> rules, PolicyPacket packet,
        Action<int, CompiledRule> matched)
    {
        for (var i = 0; i < rules.Length; i++)
        {
            if (!Matches(graph, rules[i], packet))
                continue;
            matched(i, rules[i]);
            if (rules[i].Action != RuleAction.Log)
                return rules[i].Action;
        }
        return null;
    }

    private static bool Matches(NodePolicyGraph graph, EntityMatch entity, IpAddr address, byte protocol, int port)
    {
        if (!entity.Nets.IsEmpty && !entity.Nets.Any(n => n.Contains(address)))
            return false;
        if (entity.NotNets.Any(n => n.Contains(address)))
            return false;
        if (!entity.Sets.All(s => graph.Members(s)?.Contains(address) == true))
            return false;
        if (entity.NotSets.Any(s => graph.Members(s)?.Contains(address) == true))
            return false;
        if (!entity.Services.All(InPortSet))
            return false;
        if (entity.NotNamedPorts.Any(InPortSet))
            return false;
        // Only protocols with ports can fulfil either form of a port condition.
        var hasPorts = IpProtocol.HasPorts(protocol);
        if (!entity.NotPorts.IsEmpty && !(hasPorts && !entity.NotPorts.Any(p => p.Contains(port))))
            return false;
        return (entity.Ports.IsEmpty && entity.NamedPorts.IsEmpty)
            || (hasPorts && entity.Ports.Any(p => p.Contains(port))) || entity.NamedPorts.Any(InPortSet);

        bool InPortSet(string set) => graph.Members(set)?.Contains(address, protocol, port) == true;
    }
}

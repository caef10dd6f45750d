using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using Calico.Core.Model;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Selectors;
using Calico.Core.Net;

namespace Calico.Core.Policy;

// Policy, from resource to packet:
//
//   NetworkPolicy, GlobalNetworkPolicy, Profile ---> PolicyCompiler ---> CompiledPolicy, CompiledProfile
//   (Kubernetes policies come converted)                 |                    |
//                                                   SetDefinition             |  once per cluster
//   endpoints, network sets, profiles' labels ---> EndpointIndex              |
//                                                        |  members           |
//   - - - - - - - - - - - - - - - - - - - - - - - - - - -|- - - - - - - - - - | - - - - - - - - - - -
//                                                        v                    v
//   tiers, local endpoints ------------------------> NodePolicyGraph --> PolicyVerdict (explain)     per node
//                                                        |
//                                                        v
//                                                  PolicyRenderer ---> nftables chains, sets, maps
//
// Invariants
//   - Everything here is pure: no clock, no I/O, and output in a fixed order, so any sequence of inputs that ends in
//     the same world ends in the same output (the expander tests replay them shuffled).
//   - Set ids, canonical selectors and chain names are Calico's, byte for byte.
//   - Missing input never opens anything: see FailClosed.
//
// Deliberate gaps: HTTP matches are carried by the resource but only a proxy could decide them (Calico's packet
// dataplanes ignore them as well); NFLOG flow logs; IPVS, Istio and DSCP chains.

/// <summary>
/// Turns resources into what nodes enforce. A resource that cannot be compiled (a selector that does not parse, a port
/// without a protocol that has ports) yields an error instead; Calico treats such a policy as absent.
/// </summary>
public static class PolicyCompiler
{
    /// <summary>Compiles a policy of one of the four Calico kinds; a staged deletion is none.</summary>
    public static bool TryCompile(ITieredPolicy policy, long revision, [NotNullWhen(true)] out CompiledPolicy? compiled,
        [NotNullWhen(false)] out string? error)
    {
        var action = (policy as StagedNetworkPolicy)?.Spec.StagedAction
            ?? (policy as StagedGlobalNetworkPolicy)?.Spec.StagedAction;
        if (action != StagedAction.Delete)
            return TryCompile(KeyOf((Resource)policy), policy.PolicySpec, revision, out compiled, out error);
        compiled = null;
        error = $"{KeyOf((Resource)policy)}: stands for the deletion of a policy";
        return false;
    }

    /// <summary>Compiles a policy under an identity of its own, as a converted Kubernetes policy has.</summary>
    public static bool TryCompile(PolicyKey key, IPolicySpec spec, long revision,
        [NotNullWhen(true)] out CompiledPolicy? compiled, [NotNullWhen(false)] out string? error)
    {
        compiled = null;
        try
        {
            var selector = Selector.Parse(EntitySelectors.OfPolicy(key.Namespace, spec));
            var sets = new SortedDictionary<string, SetDefinition>(StringComparer.Ordinal);
            var global = spec as GlobalNetworkPolicySpec;
            compiled = new CompiledPolicy
            {
                Key = key,
                Revision = revision,
                Tier = string.IsNullOrEmpty(spec.Tier) ? TierState.Default : spec.Tier,
                Order = spec.Order,
                Selector = selector.CanonicalText,
                SelectorId = selector.Id,
                Types = TypesOf(spec),
                DoNotTrack = global?.DoNotTrack == true,
                PreDnat = global?.PreDNAT == true,
                ApplyOnForward = global?.ApplyOnForward == true,
                AssumeNeededOnEveryNode = spec.PerformanceHints.Contains("AssumeNeededOnEveryNode"),
                Ingress = Rules(spec.Ingress, key.Namespace, sets),
                Egress = Rules(spec.Egress, key.Namespace, sets),
                Sets = [.. sets.Values],
            };
            error = null;
            return true;
        }
        catch (FormatException e)
        {
            error = $"{key}: {e.Message}";
            return false;
        }
    }

    /// <summary>Compiles a profile.</summary>
    public static bool TryCompile(Profile profile, long revision, [NotNullWhen(true)] out CompiledProfile? compiled,
        [NotNullWhen(false)] out string? error)
    {
        compiled = null;
        try
        {
            var sets = new SortedDictionary<string, SetDefinition>(StringComparer.Ordinal);
            compiled = new CompiledProfile
            {
                Name = profile.Name,
                Revision = revision,
                Ingress = Rules(profile.Spec.Ingress, "", sets),
                Egress = Rules(profile.Spec.Egress, "", sets),
                Sets = [.. sets.Values],
                LabelsToApply = [.. profile.Spec.LabelsToApply],
            };
            error = null;
            return true;
        }
        catch (FormatException e)
        {
            error = $"profile {profile.Name}: {e.Message}";
            return false;
        }
    }

    /// <summary>What the ordering keeps of a tier: every default action but Pass denies.</summary>
    public static TierState TierOf(Tier tier) =>
        new(tier.Name, tier.Spec.Order, tier.Spec.DefaultAction == Model.Resources.RuleAction.Pass);

    public static PolicyKey KeyOf(Resource policy) => new(policy.Kind, policy.Namespace ?? "", policy.Name);

    // The API fills in an empty list on write; one that is empty here was stored past it and means both.
    private static PolicyTypes TypesOf(IPolicySpec spec)
    {
        var types = PolicyTypes.None;
        foreach (var type in spec.Types)
        {
            types |= type.ToUpperInvariant() switch
            {
                "INGRESS" => PolicyTypes.Ingress,
                "EGRESS" => PolicyTypes.Egress,
                _ => throw new FormatException($"'{type}' is no policy type"),
            };
        }
        return types == PolicyTypes.None ? PolicyTypes.Both : types;
    }

    private static ImmutableArray<CompiledRule> Rules(IEnumerable<Rule> rules, string ns,
        SortedDictionary<string, SetDefinition> sets)
    {
        var compiled = ImmutableArray.CreateBuilder<CompiledRule>();
        foreach (var (rule, index) in rules.Select((r, i) => (r, i)))
        {
            try
            {
                compiled.Add(Compile(rule, ns, sets));
            }
            catch (FormatException e)
            {
                throw new FormatException($"rule {index}: {e.Message}", e);
            }
        }
        return compiled.ToImmutable();
    }

    private static CompiledRule Compile(Rule rule, string ns, SortedDictionary<string, SetDefinition> sets) => new()
    {
        Action = rule.Action switch
        {
            Model.Resources.RuleAction.Allow => RuleAction.Allow,
            Model.Resources.RuleAction.Deny => RuleAction.Deny,
            Model.Resources.RuleAction.Log => RuleAction.Log,
            Model.Resources.RuleAction.Pass => RuleAction.Pass,
            _ => throw new FormatException($"'{rule.Action}' is no action"),
        },
        IpVersion = rule.IpVersion switch
        {
            null => null,
            4 => IpVersion.V4,
            6 => IpVersion.V6,
            _ => throw new FormatException($"{rule.IpVersion} is no IP version"),
        },
        Protocol = rule.Protocol?.Number,
        NotProtocol = rule.NotProtocol?.Number,
        Icmp = Icmp(rule.Icmp),
        NotIcmp = Icmp(rule.NotICMP),
        Source = Compile(rule.Source, rule.Protocol?.Number, ns, isSource: true, sets),
        Destination = Compile(rule.Destination, rule.Protocol?.Number, ns, isSource: false, sets),
        Annotations = [.. (rule.Metadata?.Annotations ?? default).Select(a => $"{a.Key}={a.Value}")
            .Order(StringComparer.Ordinal)],
    };

    private static IcmpMatch? Icmp(IcmpFields? fields) => fields?.Type is { } type
        ? new IcmpMatch(checked((byte)type), fields.Code is { } code ? checked((byte)code) : null)
        : null;

    private static EntityMatch Compile(EntityRule? entity, byte? protocol, string ns, bool isSource,
        SortedDictionary<string, SetDefinition> sets)
    {
        if (entity is null)
            return EntityMatch.Any;
        var (positiveText, negativeText) = EntitySelectors.OfEntity(entity, ns);
        var positive = positiveText.Length == 0 ? null : Selector.Parse(positiveText);
        var ports = Numeric(entity.Ports, protocol);
        var named = NamedPorts(entity.Ports, positive, protocol, sets);

        // Named ports are already narrowed by the selector; only ports by number still need it.
        var selects = positive is not null && (named.IsEmpty || !ports.IsEmpty);
        return new EntityMatch
        {
            Nets = Nets(entity.Nets),
            NotNets = Nets(entity.NotNets),
            Ports = ports,
            NotPorts = Numeric(entity.NotPorts, protocol),
            Sets =
            [
                .. selects ? [Use(SetIds.OfSelector(positive!), sets)] : ImmutableArray<string>.Empty,
                .. isSource && ServiceOf(entity, ns) is { } from
                    ? [Use(SetIds.ServiceSet(from, SetKind.ServiceAddresses), sets)]
                    : ImmutableArray<string>.Empty,
            ],
            NotSets = negativeText.Length == 0 ? [] : [Use(SetIds.OfSelector(Selector.Parse(negativeText)), sets)],
            NamedPorts = named,
            NotNamedPorts = NamedPorts(entity.NotPorts, positive, protocol, sets),
            Services = !isSource && ServiceOf(entity, ns) is { } to
                ? [Use(SetIds.ServiceSet(to, SetKind.Service), sets)]
                : [],
        };
    }

    private static string? ServiceOf(EntityRule entity, string ns) => entity.Services is { Name: { Length: > 0 } name } s
        ? $"{(string.IsNullOrEmpty(s.Namespace) ? ns : s.Namespace)}/{name}"
        : null;

    private static ImmutableArray<Cidr> Nets(IEnumerable<string> texts) => [.. texts.Select(t =>
        Cidr.TryParseOrHost(t, out var net) ? net.Network : throw new FormatException($"'{t}' is no network"))];

    private static ImmutableArray<PortRange> Numeric(IEnumerable<Port> ports, byte? protocol)
    {
        ImmutableArray<PortRange> ranges = [.. ports.Where(p => !p.IsNamed).Select(p => new PortRange(p.Min, p.Max))];
        if (!ranges.IsEmpty && !(protocol is { } number && IpProtocol.HasPorts(number)))
        {
            throw new FormatException(string.Create(CultureInfo.InvariantCulture,
                $"port {ranges[0]} needs protocol TCP, UDP or SCTP"));
        }
        return ranges;
    }

    private static ImmutableArray<string> NamedPorts(IEnumerable<Port> ports, Selector? positive, byte? protocol,
        SortedDictionary<string, SetDefinition> sets)
    {
        // A protocol without ports counts as TCP here, as it does in Calico.
        var number = protocol is null ? (byte)0 : IpProtocol.HasPorts(protocol.Value) ? protocol.Value : IpProtocol.Tcp;
        return [.. ports.Where(p => p.IsNamed)
            .Select(p => Use(SetIds.OfNamedPort(positive ?? Selector.All, number, p.Name!), sets))];
    }

    private static string Use(SetDefinition set, SortedDictionary<string, SetDefinition> sets)
    {
        sets.TryAdd(set.Id, set);
        return set.Id;
    }
}

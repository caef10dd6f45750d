using System.Collections.Immutable;
using System.Diagnostics;
using Calico.Core.Net;

namespace Calico.Core.Nft;

/// <summary>A table that a packet can be walked through.</summary>
public interface INftRuleset
{
    NftTable Table { get; }
    IEnumerable<NftChain> Chains { get; }

    /// <summary>The rules of a chain that exists.</summary>
    IReadOnlyList<NftRule> RulesOf(string chain);

    /// <summary>A set or map that exists.</summary>
    NftSetContents SetOf(string name);
}

/// <summary>
/// Walks a packet through the chains of one hook as the kernel would, and says which rules decided.
/// <code>
///   base chains of the hook by priority:  accept ends the chain and the next one follows, drop ends everything
///   jump pushes the place to come back to, goto does not, return and the end of a chain pop;
///   at the bottom the base chain's policy decides
/// </code>
/// Chains of type nat see only the first packet of a connection. Nothing is remembered between walks: what depends on
/// other packets (rates, connection counts, the connection's state) is part of the packet.
/// </summary>
public static class NftEvaluator
{
    /// <summary>The kernel refuses rule sets with deeper jumps (NFT_JUMP_STACK_SIZE).</summary>
    public const int MaxJumps = 16;

    public static NftWalk Evaluate(INftRuleset ruleset, NftHook hook, NftPacket packet)
    {
        var walk = new Walk(ruleset, packet);
        var chains = ruleset.Chains.Where(c => c.Base is { } b && b.Hook == hook)
            .OrderBy(c => c.Base!.Value.Priority).ThenBy(c => c.Name, StringComparer.Ordinal);
        foreach (var chain in chains)
        {
            if (chain.Base!.Value.Type == NftChainType.Nat && !walk.Packet.CtState.HasFlag(NftCtState.New))
                continue;
            if (walk.RunBase(chain) is var outcome && outcome != NftOutcome.Accept)
                return walk.End(outcome);
        }
        return walk.End(NftOutcome.Accept);
    }

    private sealed class Walk(INftRuleset ruleset, NftPacket packet)
    {
        private readonly ImmutableArray<NftStep>.Builder _trace = ImmutableArray.CreateBuilder<NftStep>();
        private readonly List<NftStatement.Log> _logs = [];
        private NftStatement? _nat;

        public NftPacket Packet { get; private set; } = packet;

        public NftWalk End(NftOutcome outcome) => new(outcome, Packet, _nat, _trace.ToImmutable(), [.. _logs]);

        public NftOutcome RunBase(NftChain chain)
        {
            var outcome = Run(chain.Name);
            if (outcome is { } decided)
                return decided;
            var policy = chain.Base!.Value.Policy;
            var accepts = policy == NftPolicy.Accept;
            _trace.Add(new NftStep(chain.Name, -1, null, accepts ? NftVerdict.Accept : NftVerdict.Drop));
            return accepts ? NftOutcome.Accept : NftOutcome.Drop;
        }

        private NftOutcome? Run(string start)
        {
            var stack = new Stack<(string Chain, int Next)>();
            var (chain, index) = (start, 0);
            while (true)
            {
                var rules = ruleset.RulesOf(chain);
                if (index >= rules.Count)
                {
                    if (!stack.TryPop(out var back))
                        return null;
                    (chain, index) = back;
                    continue;
                }
                var rule = rules[index++];
                if (!RunRule(rule, out var verdict, out var outcome))
                    continue;
                _trace.Add(new NftStep(chain, index - 1, rule, verdict));
                if (outcome is not null)
                    return outcome;
                switch (verdict?.Kind)
                {
                    case NftVerdictKind.Return:
                        index = int.MaxValue;
                        break;
                    case NftVerdictKind.Jump:
                        stack.Push((chain, index));
                        if (stack.Count > MaxJumps)
                            throw new InvalidOperationException($"more than {MaxJumps} jumps at {chain}");
                        (chain, index) = (verdict.Value.Chain!, 0);
                        break;
                    case NftVerdictKind.Goto:
                        (chain, index) = (verdict.Value.Chain!, 0);
                        break;
                }
            }
        }

        /// <summary>False when a condition failed; what was done before it stays done, as in the kernel.</summary>
        private bool RunRule(NftRule rule, out NftVerdict? verdict, out NftOutcome? outcome)
        {
            verdict = null;
            outcome = null;
            foreach (var term in rule.Terms)
            {
                if (term is NftMatch match)
                {
                    if (!NftMatching.Holds(match, Packet, ruleset))
                        return false;
                    continue;
                }
                switch ((NftStatement)term)
                {
                    case NftStatement.Verdict { Value: var v }:
                        (verdict, outcome) = (v, OutcomeOf(v));
                        return true;
                    case NftStatement.Reject:
                        (verdict, outcome) = (NftVerdict.Drop, NftOutcome.Reject);
                        return true;
                    case NftStatement.VerdictMap m:
                        var map = ruleset.SetOf(m.Map);
                        if (NftMatching.Key(map.Set, [m.Field], Packet) is not { } key
                            || !map.TryGetVerdict(key, out var found))
                            return false;
                        (verdict, outcome) = (found, OutcomeOf(found));
                        return true;
                    case NftStatement.Masquerade or NftStatement.Snat or NftStatement.Dnat:
                        _nat = (NftStatement)term;
                        if (term is NftStatement.Dnat d)
                            Packet = Translated(Packet, d);
                        else if (term is NftStatement.Snat s)
                            Packet = Packet with { Source = s.To };
                        (verdict, outcome) = (NftVerdict.Accept, NftOutcome.Accept);
                        return true;
                    case NftStatement.SetMark { Of: NftMarkOf.Packet } s:
                        Packet = Packet with { Mark = (Packet.Mark & ~s.Mask) | s.Value };
                        break;
                    case NftStatement.SetMark s when Packet.HasConnection:
                        Packet = Packet with { CtMark = (Packet.CtMark & ~s.Mask) | s.Value };
                        break;
                    case NftStatement.NoTrack:
                        Packet = Packet with { CtState = NftCtState.Untracked };
                        break;
                    case NftStatement.SetDscp s:
                        Packet = Packet with { Dscp = s.Value };
                        break;
                    case NftStatement.Log l:
                        _logs.Add(l);
                        break;
                }
            }
            return true;
        }

        private static NftPacket Translated(NftPacket packet, NftStatement.Dnat dnat) => packet with
        {
            CtDnat = true,
            Destination = dnat.To,
            DestinationPort = dnat.Ports?.First ?? packet.DestinationPort,
        };

        private static NftOutcome? OutcomeOf(NftVerdict verdict) => verdict.Kind switch
        {
            NftVerdictKind.Accept => NftOutcome.Accept,
            NftVerdictKind.Drop => NftOutcome.Drop,
            _ => null,
        };
    }
}

/// <summary>Whether a condition holds for a packet.</summary>
internal static class NftMatching
{
    public static bool Holds(NftMatch match, NftPacket packet, INftRuleset ruleset) =>
        Plain(match, packet, ruleset) is { } holds && holds != match.Negate;

    /// <summary>The set key that the fields of a packet make, or null if the packet lacks one of them.</summary>
    public static NftElement? Key(NftSet set, ReadOnlySpan<NftField> fields, NftPacket packet)
    {
        if (fields.Length != set.Key.Length)
            throw new InvalidOperationException($"{fields.Length} fields looked up in {set.Name}: {set}");
        IpAddr? address = null;
        string? name = null;
        byte protocol = 0;
        ushort port = 0;
        foreach (var field in fields)
        {
            switch (field)
            {
                case NftField.SourceAddress:
                    address = packet.Source;
                    break;
                case NftField.DestinationAddress:
                    address = packet.Destination;
                    break;
                case NftField.Protocol:
                    protocol = packet.Protocol;
                    break;
                case NftField.InInterface:
                    name = packet.InInterface ?? "";
                    break;
                case NftField.OutInterface:
                    name = packet.OutInterface ?? "";
                    break;
                default:
                    if ((field == NftField.SourcePort ? packet.SourcePort : packet.DestinationPort) is not { } value)
                        return null;
                    port = value;
                    break;
            }
        }
        if (name is not null)
            return name.Length == 0 ? null : NftElement.OfInterface(name);
        if (address is { } a)
            return NftElement.Of(a, protocol, port);
        return NftElement.OfProtocol(protocol, port);
    }

    /// <summary>The condition without its negation; null when the packet lacks what it looks at.</summary>
    private static bool? Plain(NftMatch match, NftPacket packet, INftRuleset ruleset) => match switch
    {
        NftMatch.Interface m => InterfaceHolds(m, (m.Outgoing ? packet.OutInterface : packet.InInterface) ?? ""),
        NftMatch.Protocol m => packet.Protocol == m.Number,
        NftMatch.Address m when m.Network.Version != packet.Source.Version => null,
        NftMatch.Address m => m.Network.Contains(m.Side == NftSide.Source ? packet.Source : packet.Destination),
        NftMatch.Port m => (m.Side == NftSide.Source ? packet.SourcePort : packet.DestinationPort) is { } port
            ? m.Ranges.Any(r => r.Contains(port)) : null,
        NftMatch.InSet m => ruleset.SetOf(m.Set) is var set && Key(set.Set, m.Fields.AsSpan(), packet) is { } key
            ? set.Matches(key) : null,
        NftMatch.Icmp m when packet.Source.Version != m.Version || packet.IcmpType is null => null,
        NftMatch.Icmp m => packet.IcmpType == m.Type && (m.Code is null || packet.IcmpCode == m.Code),
        NftMatch.CtState m => (packet.CtState & m.States) != 0,
        NftMatch.CtDnat => packet.HasConnection ? packet.CtDnat : null,
        NftMatch.Mark { Of: NftMarkOf.Packet } m => (packet.Mark & m.Mask) == m.Value,
        NftMatch.Mark m => packet.HasConnection ? (packet.CtMark & m.Mask) == m.Value : null,
        NftMatch.NoReversePath => !packet.HasReversePath,
        NftMatch.AddressType m => TypeOf(m, packet) == m.Type,
        NftMatch.Family m => packet.Source.Version == m.Version,
        NftMatch.Rate => packet.WithinRate,
        NftMatch.Connections m => packet.Connections <= m.Limit,
        NftMatch.ArpOperation m => packet.ArpOperation == m.Operation,
        NftMatch.ArpSender m => packet.Source == m.Sender,
        _ => throw new UnreachableException(match.GetType().Name),
    };

    private static bool InterfaceHolds(NftMatch.Interface m, string name) =>
        m.IsPrefix ? name.StartsWith(m.Name, StringComparison.Ordinal) : name == m.Name;

    private static NftAddressType TypeOf(NftMatch.AddressType m, NftPacket packet) => (m.Side, m.OnOutInterface) switch
    {
        (NftSide.Source, false) => packet.SourceType,
        (NftSide.Source, true) => packet.SourceTypeOnOutInterface,
        (_, false) => packet.DestinationType,
        _ => packet.DestinationTypeOnOutInterface,
    };
}

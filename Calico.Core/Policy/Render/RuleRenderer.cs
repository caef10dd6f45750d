using System.Collections.Immutable;
using Calico.Core.Net;
using Calico.Core.Nft;

namespace Calico.Core.Policy.Render;

/// <summary>
/// Turns a rule of a policy or profile into rules of its chain. Almost always one does:
///
///   conditions, set mark accept (or pass, or drop), count, return (or drop)
///
/// A condition with alternatives that one nftables match cannot express (several networks; ports beside named ports)
/// comes as a block in front. Scratch bit 0 says "all blocks so far hold", bit 1 "this block holds":
///
///   clear 0 and 1
///   alternative of the first block: set 0      (one rule each)
///   alternative of a later block: set 1        (one rule each), then: 1 is clear: clear 0; clear 1
///   0 is set, other conditions: the rule itself
///
/// Calico renders mark and verdict as two rules and cuts port lists after 15 (a limit of iptables); the packet cannot
/// tell.
/// </summary>
internal sealed class RuleRenderer(RenderOptions options, IpVersion family)
{
    private readonly Marks _marks = options.Marks;

    /// <summary>The chain content of a rule list; rules of the other family leave nothing.</summary>
    public ImmutableArray<NftRule> Render(IEnumerable<CompiledRule> rules, Cause cause, string logPrefix)
    {
        var output = ImmutableArray.CreateBuilder<NftRule>();
        foreach (var rule in rules)
        {
            if (rule.ForFamily(family) is { } mine && !IsOtherIcmp(mine))
                Render(mine, cause, logPrefix, output);
        }
        return output.ToImmutable();
    }

    /// <summary>The text in front of logged packets, with its placeholders filled in.</summary>
    public static string LogPrefix(string template, string tier, string kind, string name, string fullName)
    {
        var prefix = template.Length == 0 ? "calico-packet" : template;
        var text = new System.Text.StringBuilder();
        for (var i = 0; i < prefix.Length; i++)
        {
            var value = prefix[i] == '%' && i + 1 < prefix.Length
                ? prefix[i + 1] switch { 't' => tier, 'k' => kind, 'n' => name, 'p' => fullName, _ => null }
                : null;
            if (value is null)
            {
                text.Append(prefix[i]);
                continue;
            }
            text.Append(value);
            i++;
        }
        text.Append(": ");
        return text.Length > NftStatement.Log.MaxPrefixLength
            ? text.ToString(0, NftStatement.Log.MaxPrefixLength)
            : text.ToString();
    }

    // A type of the other family's ICMP can never match here.
    private bool IsOtherIcmp(CompiledRule rule) => (rule.Icmp ?? rule.NotIcmp) is not null
        && rule.Protocol == (family == IpVersion.V4 ? IpProtocol.IcmpV6 : IpProtocol.Icmp);

    private void Render(CompiledRule rule, Cause cause, string logPrefix, ImmutableArray<NftRule>.Builder output)
    {
        var blocks = new List<List<ImmutableArray<NftTerm>>>();
        var terms = new List<NftTerm>();
        if (rule.Protocol is { } protocol)
            terms.Add(Terms.Protocol(protocol));
        if (rule.NotProtocol is { } notProtocol)
            terms.Add(Terms.Protocol(notProtocol, not: true));
        Entity(NftSide.Source, rule.Source, rule.Protocol, terms, blocks);
        Entity(NftSide.Destination, rule.Destination, rule.Protocol, terms, blocks);
        if (rule.Icmp is { } icmp)
            terms.Add(new NftMatch.Icmp(family, icmp.Type, icmp.Code));
        if (rule.NotIcmp is { } notIcmp)
            terms.Add(new NftMatch.Icmp(family, notIcmp.Type, notIcmp.Code) { Negate = true });
        Blocks(blocks, cause, output);
        if (blocks.Count > 0)
            terms.Insert(0, Terms.MarkSet(_marks.Scratch0));
        output.Add(new NftRule([.. terms, .. Actions(rule.Action, logPrefix)], cause));
    }

    private ImmutableArray<NftTerm> Actions(RuleAction action, string logPrefix) => action switch
    {
        RuleAction.Allow => [Terms.SetMark(_marks.Accept), Terms.Counter, Terms.Return],
        RuleAction.Pass => [Terms.SetMark(_marks.Pass), Terms.Counter, Terms.Return],
        RuleAction.Deny => [Terms.SetMark(_marks.Drop), Terms.Counter, Terms.Deny(options.FilterDeny)],
        _ => [Terms.Counter, new NftStatement.Log(logPrefix, NftLogLevel.Info)],
    };

    private void Entity(NftSide side, EntityMatch entity, byte? protocol, List<NftTerm> terms,
        List<List<ImmutableArray<NftTerm>>> blocks)
    {
        if (entity.Nets.Length == 1)
            terms.Add(Terms.Net(side, entity.Nets[0]));
        else if (entity.Nets.Length > 1)
            blocks.Add([.. entity.Nets.Select(n => ImmutableArray.Create(Terms.Net(side, n)))]);
        foreach (var set in entity.Sets)
            terms.Add(Terms.InSet(side, Name(set)));
        foreach (var set in entity.Services)
            terms.Add(Terms.InPortSet(side, Name(set)));
        Ports(side, entity, protocol, terms, blocks);

        foreach (var net in entity.NotNets)
            terms.Add(Terms.Net(side, net, not: true));
        foreach (var set in entity.NotSets)
            terms.Add(Terms.InSet(side, Name(set), not: true));
        if (!entity.NotPorts.IsEmpty)
            terms.Add(Terms.Ports(side, entity.NotPorts, not: true));
        foreach (var set in entity.NotNamedPorts)
            terms.Add(Terms.InPortSet(side, Name(set), not: true));
    }

    private void Ports(NftSide side, EntityMatch entity, byte? protocol, List<NftTerm> terms,
        List<List<ImmutableArray<NftTerm>>> blocks)
    {
        var alternatives = new List<ImmutableArray<NftTerm>>();
        if (!entity.Ports.IsEmpty)
            alternatives.Add([Terms.Protocol(protocol ?? 0), Terms.Ports(side, entity.Ports)]);
        foreach (var set in entity.NamedPorts)
            alternatives.Add([Terms.InPortSet(side, Name(set))]);
        if (alternatives.Count > 1)
            blocks.Add(alternatives);
        else if (!entity.Ports.IsEmpty)
            terms.Add(Terms.Ports(side, entity.Ports));
        else if (alternatives.Count == 1)
            terms.AddRange(alternatives[0]);
    }

    private void Blocks(List<List<ImmutableArray<NftTerm>>> blocks, Cause cause, ImmutableArray<NftRule>.Builder output)
    {
        for (var i = 0; i < blocks.Count; i++)
        {
            var bit = i == 0 ? _marks.Scratch0 : _marks.Scratch1;
            output.Add(new NftRule(cause, Terms.ClearMark(i == 0 ? _marks.Scratch0 | _marks.Scratch1 : bit)));
            foreach (var alternative in blocks[i])
                output.Add(new NftRule([.. alternative, Terms.SetMark(bit)], cause));
            if (i > 0)
                output.Add(new NftRule(cause, Terms.MarkClear(bit), Terms.ClearMark(_marks.Scratch0)));
        }
    }

    private string Name(string setId) => ChainNames.Set(setId, family);
}

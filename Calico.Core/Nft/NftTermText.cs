using System.Globalization;
using System.Text;
using Calico.Core.Net;

namespace Calico.Core.Nft;

/// <summary>The terms of a rule in nft's words.</summary>
internal static class NftTermText
{
    private static readonly CultureInfo At = CultureInfo.InvariantCulture;

    public static void Append(StringBuilder text, NftTerm term, NftRuleContext context)
    {
        if (term is NftMatch match)
            Append(text, match, context);
        else
            Append(text, (NftStatement)term, context);
    }

    private static void Append(StringBuilder text, NftMatch match, NftRuleContext context)
    {
        var not = match.Negate ? "!= " : "";
        switch (match)
        {
            case NftMatch.Interface m:
                text.Append(At, $"{(m.Outgoing ? "oifname" : "iifname")} {not}\"{m.Name}{(m.IsPrefix ? "*" : "")}\"");
                break;
            case NftMatch.Protocol m:
                text.Append(At, $"meta l4proto {not}{NftText.ProtocolName(m.Number)}");
                break;
            case NftMatch.Address m:
                text.Append(At, $"{Ip(m.Network.Version)} {Word(m.Side)}addr {not}{Network(m.Network)}");
                break;
            case NftMatch.Port m:
                text.Append(At, $"{Transport(context.Protocol)} {Word(m.Side)}port {not}");
                if (m.Ranges.Length == 1)
                    text.Append(At, $"{m.Ranges[0]}");
                else
                    text.Append("{ ").AppendJoin(", ", m.Ranges).Append(" }");
                break;
            case NftMatch.InSet m:
                text.AppendJoin(" . ", m.Fields.Select(f => Word(f, context))).Append(At, $" {not}@{m.Set}");
                break;
            case NftMatch.Icmp m:
                AppendIcmp(text, m);
                break;
            case NftMatch.CtState m:
                text.Append(At, $"ct state {(m.Negate ? "! " : "")}").AppendJoin(",", States(m.States));
                break;
            case NftMatch.CtDnat m:
                text.Append(At, $"ct status {(m.Negate ? "! " : "")}dnat");
                break;
            case NftMatch.Mark { Mask: uint.MaxValue } m:
                text.Append(At, $"{Word(m.Of)} {not}0x{m.Value:x8}");
                break;
            case NftMatch.Mark m:
                text.Append(At, $"{Word(m.Of)} & 0x{m.Mask:x8} {(m.Negate ? "!=" : "==")} 0x{m.Value:x8}");
                break;
            case NftMatch.NoReversePath m:
                text.Append(At, $"fib saddr . {(m.WithMark ? "mark . " : "")}iif oif {not}0");
                break;
            case NftMatch.AddressType m:
                text.Append(At, $"fib {Word(m.Side)}addr {(m.OnOutInterface ? ". oif " : "")}");
                text.Append(At, $"type {not}{NftText.Lower(m.Type)}");
                break;
            case NftMatch.Family m:
                text.Append(At, $"meta nfproto {not}{(m.Version == IpVersion.V4 ? "ipv4" : "ipv6")}");
                break;
            case NftMatch.Rate m:
                text.Append(At, $"limit rate {(m.Negate ? "over " : "")}{m.Packets}/{NftText.Lower(m.Per)}");
                text.Append(At, $" burst {m.Burst} packets");
                break;
            case NftMatch.Connections m:
                text.Append(At, $"ct count {(m.Negate ? "over " : "")}{m.Limit}");
                break;
            case NftMatch.ArpOperation m:
                text.Append(At, $"arp operation {not}");
                text.Append(m.Operation switch { 1 => "request", 2 => "reply", var n => n.ToString(At) });
                break;
            case NftMatch.ArpSender m:
                text.Append(At, $"arp saddr ip {not}{m.Sender}");
                break;
        }
    }

    private static void Append(StringBuilder text, NftStatement statement, NftRuleContext context)
    {
        switch (statement)
        {
            case NftStatement.Verdict s:
                text.Append(s.Value.ToString());
                break;
            case NftStatement.Reject s:
                text.Append("reject with ").Append(RejectWith(s.With, context.KnownVersion));
                break;
            case NftStatement.VerdictMap s:
                text.Append(At, $"{Word(s.Field, context)} vmap @{s.Map}");
                break;
            case NftStatement.SetMark s:
                text.Append(At, $"{Word(s.Of)} set ");
                if (s.Mask == uint.MaxValue)
                    text.Append(At, $"0x{s.Value:x8}");
                else if (s.Value == s.Mask)
                    text.Append(At, $"{Word(s.Of)} | 0x{s.Value:x8}");
                else if (s.Value == 0)
                    text.Append(At, $"{Word(s.Of)} & 0x{~s.Mask:x8}");
                else
                    text.Append(At, $"{Word(s.Of)} & 0x{~s.Mask:x8} | 0x{s.Value:x8}");
                break;
            case NftStatement.Log s:
                text.Append(At, $"log prefix \"{NftText.Printable(s.Prefix, NftStatement.Log.MaxPrefixLength)}\"");
                text.Append(s.Group is { } group ? string.Create(At, $" group {group}") : $" level {Word(s.Level)}");
                break;
            case NftStatement.Counter:
                text.Append("counter");
                break;
            case NftStatement.Masquerade s:
                text.Append(At, $"masquerade{(s.Ports is { } ports ? $" to :{ports}" : "")}");
                text.Append(s.FullyRandom ? " fully-random" : "");
                break;
            case NftStatement.Snat s:
                text.Append(At, $"snat {Nat(s.To, s.Ports, context)}{(s.FullyRandom ? " fully-random" : "")}");
                break;
            case NftStatement.Dnat s:
                text.Append(At, $"dnat {Nat(s.To, s.Ports, context)}");
                break;
            case NftStatement.NoTrack:
                text.Append("notrack");
                break;
            case NftStatement.SetDscp s:
                text.Append(At, $"{Ip(s.Version)} dscp set 0x{s.Value:x2}");
                break;
        }
    }

    // Type and code lie side by side in the header; "any other type or code" has no other spelling in nft.
    private static void AppendIcmp(StringBuilder text, NftMatch.Icmp m)
    {
        var family = m.Version == IpVersion.V4 ? "icmp" : "icmpv6";
        var protocol = m.Version == IpVersion.V4 ? "icmp" : "ipv6-icmp";
        if (m.Negate && m.Code is { } other)
            text.Append(At, $"meta l4proto {protocol} @th,0,16 != 0x{m.Type:x2}{other:x2}");
        else
            text.Append(At, $"{family} type {(m.Negate ? "!= " : "")}{m.Type}");
        if (!m.Negate && m.Code is { } code)
            text.Append(At, $" {family} code {code}");
    }

    private static string Nat(IpAddr to, NftPortRange? ports, NftRuleContext context)
    {
        var family = context.Family == NftFamily.Inet ? $"{Ip(to.Version)} " : "";
        return ports is not { } p ? $"{family}to {to}" : to.IsV4 ? $"{family}to {to}:{p}" : $"{family}to [{to}]:{p}";
    }

    private static string RejectWith(NftRejectWith with, IpVersion? version) => (with, version) switch
    {
        (NftRejectWith.TcpReset, _) => "tcp reset",
        (NftRejectWith.AdminProhibited, IpVersion.V4) => "icmp type admin-prohibited",
        (NftRejectWith.AdminProhibited, IpVersion.V6) => "icmpv6 type admin-prohibited",
        (NftRejectWith.AdminProhibited, _) => "icmpx type admin-prohibited",
        (_, IpVersion.V4) => "icmp type port-unreachable",
        (_, IpVersion.V6) => "icmpv6 type port-unreachable",
        _ => "icmpx type port-unreachable",
    };

    private static string Word(NftField field, NftRuleContext context) => field switch
    {
        NftField.SourceAddress => $"{Ip(context.KnownVersion ?? IpVersion.V4)} saddr",
        NftField.DestinationAddress => $"{Ip(context.KnownVersion ?? IpVersion.V4)} daddr",
        NftField.Protocol => "meta l4proto",
        NftField.SourcePort => "th sport",
        NftField.DestinationPort => "th dport",
        NftField.InInterface => "iifname",
        _ => "oifname",
    };

    private static IEnumerable<string> States(NftCtState states) =>
        Enum.GetValues<NftCtState>().Where(s => states.HasFlag(s)).Select(s => s.ToString().ToLowerInvariant());

    private static string Word(NftLogLevel level) => level switch
    {
        NftLogLevel.Emergency => "emerg",
        NftLogLevel.Critical => "crit",
        NftLogLevel.Error => "err",
        NftLogLevel.Warning => "warn",
        _ => level.ToString().ToLowerInvariant(),
    };

    private static string Transport(byte? protocol) => protocol switch
    {
        6 => "tcp",
        17 => "udp",
        33 => "dccp",
        132 => "sctp",
        136 => "udplite",
        _ => "th",
    };

    private static string Network(Cidr network) => network.IsHost ? network.Address.ToString() : network.ToString();
    private static string Ip(IpVersion version) => version == IpVersion.V4 ? "ip" : "ip6";
    private static string Word(NftSide side) => side == NftSide.Source ? "s" : "d";
    private static string Word(NftMarkOf of) => of == NftMarkOf.Packet ? "meta mark" : "ct mark";
}

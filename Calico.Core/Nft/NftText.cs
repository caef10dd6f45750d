using System.Globalization;
using System.Text;

namespace Calico.Core.Nft;

/// <summary>
/// Renders rules, sets and transactions in nft's own words, for logs, hashes and tests. A complete rendering is valid
/// input for <c>nft -f</c>, which is how the tests compare our netlink encoding with nft's.
/// </summary>
public static class NftText
{
    private const int ShownElements = 8;

    /// <summary>
    /// The rule without its comment. The text is part of the rule's hash: changing it makes every rule new.
    /// </summary>
    public static string Render(NftRule rule, NftFamily family = NftFamily.Ip)
    {
        var text = new StringBuilder(96);
        var context = new NftRuleContext(family);
        foreach (var term in rule.Terms)
        {
            if (text.Length > 0)
                text.Append(' ');
            NftTermText.Append(text, term, context);
            context = context.After(term);
        }
        return text.ToString();
    }

    public static string Render(NftTerm term, NftFamily family = NftFamily.Ip)
    {
        var text = new StringBuilder();
        NftTermText.Append(text, term, new NftRuleContext(family));
        return text.ToString();
    }

    public static string Render(NftVerdict verdict) => verdict.Kind switch
    {
        NftVerdictKind.Jump => $"jump {verdict.Chain}",
        NftVerdictKind.Goto => $"goto {verdict.Chain}",
        _ => verdict.Kind.ToString().ToLowerInvariant(),
    };

    public static string Render(NftSet set)
    {
        var text = new StringBuilder($"type {string.Join(" . ", set.Key.Select(Word))}");
        if (set.IsVerdictMap)
            text.Append(" : verdict");
        text.Append(" ;");
        if (set.MaxSize > 0)
            text.Append(CultureInfo.InvariantCulture, $" size {set.MaxSize} ;");
        if (set.Interval)
            text.Append(" flags interval ;");
        if (!set.Cause.IsNone)
            text.Append(CultureInfo.InvariantCulture,
                $" comment \"{Printable(set.Cause.ToString(), NftRule.MaxCommentLength)}\" ;");
        return text.ToString();
    }

    public static string Render(NftElement element, NftSet set) => string.Join(" . ", set.Key.Select(type => type switch
    {
        NftDataType.Ipv4Addr or NftDataType.Ipv6Addr when set.Interval && !element.Network.IsHost =>
            $"{element.Network}",
        NftDataType.Ipv4Addr or NftDataType.Ipv6Addr => $"{element.Address}",
        NftDataType.InetProto => ProtocolName(element.Protocol),
        NftDataType.InetService => $"{element.Port}",
        _ => $"\"{element.InterfaceName}\"",
    }));

    public static string Render(NftTransaction transaction, bool complete)
    {
        var text = new StringBuilder();
        foreach (var op in transaction.Ops)
        {
            AppendOp(text, transaction.Table, op, complete);
            text.Append('\n');
        }
        return text.ToString();
    }

    /// <summary>One operation in nft's words, on one line.</summary>
    public static string Render(NftTable table, NftOp op)
    {
        var text = new StringBuilder();
        AppendOp(text, table, op, complete: false);
        return text.ToString();
    }

    /// <summary>
    /// Printable ASCII without quotes and backslashes, cut to a length: what nft can show and read back.
    /// </summary>
    public static string Printable(string text, int maxLength)
    {
        var length = Math.Min(text.Length, maxLength);
        return string.Create(length, text, static (span, source) =>
        {
            for (var i = 0; i < span.Length; i++)
                span[i] = source[i] is >= ' ' and <= '~' and not ('"' or '\\') ? source[i] : '?';
        });
    }

    internal static string Word(NftFamily family) => family.ToString().ToLowerInvariant();

    internal static string ProtocolName(byte number) => number switch
    {
        1 => "icmp",
        6 => "tcp",
        17 => "udp",
        33 => "dccp",
        58 => "ipv6-icmp",
        132 => "sctp",
        136 => "udplite",
        _ => number.ToString(CultureInfo.InvariantCulture),
    };

    private static string Word(NftDataType type) => type switch
    {
        NftDataType.Ipv4Addr => "ipv4_addr",
        NftDataType.Ipv6Addr => "ipv6_addr",
        NftDataType.InetProto => "inet_proto",
        NftDataType.InetService => "inet_service",
        _ => "ifname",
    };

    private static void AppendOp(StringBuilder text, NftTable table, NftOp op, bool complete)
    {
        var at = CultureInfo.InvariantCulture;
        string Rule(NftRule rule) => $"{Render(rule, table.Family)} comment \"{rule.Comment}\"";
        switch (op)
        {
            case NftOp.AddTable:
                text.Append(at, $"create table {table}");
                break;
            case NftOp.DeleteTable:
                text.Append(at, $"delete table {table}");
                break;
            case NftOp.AddChain { Chain: var c }:
                text.Append(at, $"create chain {table} {c.Name}{Render(c.Base)}");
                break;
            case NftOp.SetChainPolicy { Chain: var c }:
                text.Append(at, $"add chain {table} {c.Name}{Render(c.Base)}");
                break;
            case NftOp.DeleteChain { Chain: var c }:
                text.Append(at, $"delete chain {table} {c}");
                break;
            case NftOp.FlushChain { Chain: var c }:
                text.Append(at, $"flush chain {table} {c}");
                break;
            case NftOp.AppendRule r:
                text.Append(at, $"add rule {table} {r.Chain} {Rule(r.Rule)}");
                break;
            case NftOp.InsertRule r:
                text.Append(at, $"insert rule {table} {r.Chain} position {r.Before} {Rule(r.Rule)}");
                break;
            case NftOp.ReplaceRule r:
                text.Append(at, $"replace rule {table} {r.Chain} handle {r.Handle} {Rule(r.Rule)}");
                break;
            case NftOp.DeleteRule r:
                text.Append(at, $"delete rule {table} {r.Chain} handle {r.Handle}");
                break;
            case NftOp.AddSet { Set: var s }:
                text.Append(at, $"create {(s.IsVerdictMap ? "map" : "set")} {table} {s.Name} {{ {s} }}");
                break;
            case NftOp.DeleteSet { Set: var s }:
                text.Append(at, $"delete set {table} {s}");
                break;
            case NftOp.AddElements e:
                AppendElements(text, $"create element {table} {e.Set.Name}", e.Elements.Length, complete,
                    i => Render(e.Elements.Span[i], e.Set));
                break;
            case NftOp.RemoveElements e:
                AppendElements(text, $"delete element {table} {e.Set.Name}", e.Elements.Length, complete,
                    i => Render(e.Elements.Span[i], e.Set));
                break;
            case NftOp.AddMapEntries e:
                AppendElements(text, $"create element {table} {e.Set.Name}", e.Entries.Length, complete,
                    i => $"{Render(e.Entries.Span[i].Key, e.Set)} : {e.Entries.Span[i].Verdict}");
                break;
        }
    }

    private static void AppendElements(StringBuilder text, string head, int count, bool complete,
        Func<int, string> render)
    {
        var shown = complete ? count : Math.Min(count, ShownElements);
        text.Append(head).Append(" { ").AppendJoin(", ", Enumerable.Range(0, shown).Select(render));
        if (shown < count)
            text.Append(CultureInfo.InvariantCulture, $", ... {count - shown} more");
        text.Append(" }");
    }

    private static string Render(NftBaseHook? hook) => hook is not { } h
        ? ""
        : $" {{ type {Lower(h.Type)} hook {Lower(h.Hook)} priority {h.Priority} ; policy {Lower(h.Policy)} ; }}";

    internal static string Lower<T>(T value) where T : struct, Enum => value.ToString().ToLowerInvariant();
}

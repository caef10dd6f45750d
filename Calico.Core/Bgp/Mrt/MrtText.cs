using System.Globalization;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Mrt;

/// <summary>
/// One line a route, change or state, in the form that tools for MRT files share:
/// <code>
///   TYPE|time|B or A|peer|AS|prefix[|path id]|AS path|origin|next hop|local pref|MED|communities|AG or NAG|aggregator|
///   TYPE|time|W|peer|AS|prefix[|path id]
///   TYPE|time|STATE|peer|AS|from|to
/// </code>
/// B is a route of a table, A one that is announced, W one that is withdrawn.
/// </summary>
public sealed class MrtText
{
    private readonly UpdateDecoder _decoder = new();

    /// <summary>The lines of a record; none for messages that are no UPDATE and for what the reader skipped.</summary>
    /// <param name="record">What was read.</param>
    /// <param name="isAskedFor">Which prefixes; null for all, then states are told as well.</param>
    public IEnumerable<string> Lines(MrtRecord record, Func<Cidr, bool>? isAskedFor = null)
    {
        var head = string.Create(CultureInfo.InvariantCulture, $"{record.Type}|{record.Time.ToUnixTimeSeconds()}");
        return record switch
        {
            MrtRoute route when isAskedFor?.Invoke(route.Prefix) != false =>
                [$"{head}|B|{Of(route.Peer)}|{route.Prefix}{(route.PathId is { } id ? "|" + id : "")}|{Of(route.NextHop, route.Attributes.Span)}"],
            MrtStateChange change when isAskedFor is null => [string.Create(CultureInfo.InvariantCulture, $"{head}|STATE|{Of(change.Peer)}|{change.From}|{change.To}")],
            MrtMessage message when MessageTypeOf(message) == MessageType.Update => Lines(message, head, isAskedFor ?? (_ => true)),
            _ => [],
        };
    }

    /// <summary>The kind of message, 0 for one that is cut off.</summary>
    public static MessageType MessageTypeOf(MrtMessage message) => message.Message.Length >= BgpFraming.HeaderLength ? (MessageType)message.Message.Span[BgpFraming.HeaderLength - 1] : default;

    private List<string> Lines(MrtMessage message, string head, Func<Cidr, bool> isAskedFor)
    {
        var lines = new List<string>();
        var peer = Of(message.Peer);
        if (!_decoder.TryDecode(message.Message.Span[BgpFraming.HeaderLength..], message.Context, out var update, out var error))
            return [$"{head}|E|{peer}|{error}"];
        var mp = update.Multiprotocol;
        // RFC 7606: what is announced with broken attributes is withdrawn.
        var isWithdrawal = update.Verdict >= AttributeVerdict.TreatAsWithdraw;
        Add(Families.Ipv4Unicast, update.Withdrawn, update.PathIds, null);
        if (mp.HasUnreach)
            Add(mp.UnreachFamily, mp.Withdrawn, update.PathIds, null);
        if (mp.HasReach)
            Add(mp.ReachFamily, mp.Announced, update.PathIds, isWithdrawal ? null : Of(mp.NextHop, update.Attributes));
        if (!update.Announced.IsEmpty)
            Add(Families.Ipv4Unicast, update.Announced, update.PathIds, isWithdrawal ? null : Of(update.NextHop, update.Attributes));
        return lines;

        void Add(Families family, ReadOnlySpan<byte> field, Families pathIds, string? said)
        {
            var hasIds = pathIds.Has(family);
            foreach (var (prefix, id) in Nlri.ToPaths(family, field, pathIds))
            {
                if (isAskedFor(prefix))
                    lines.Add($"{head}|{(said is null ? "W" : "A")}|{peer}|{prefix}{(hasIds ? "|" + id.ToString(CultureInfo.InvariantCulture) : "")}{(said is null ? "" : "|" + said)}");
            }
        }
    }

    private static string Of(MrtPeer peer) => $"{peer.Address}|{peer.As}";

    private static string Of(IpAddr nextHop, ReadOnlySpan<byte> canonical)
    {
        var a = PathAttributes.Decode(canonical);
        return string.Create(CultureInfo.InvariantCulture, $"{a.AsPath}|{a.Origin.ToString().ToUpperInvariant()}|{nextHop}|{a.LocalPref ?? 0}|{a.Med ?? 0}|")
            + string.Join(' ', a.Communities.Select(c => c.ToString()).Concat(a.LargeCommunities.Select(c => c.ToString())))
            + $"|{(a.AtomicAggregate ? "AG" : "NAG")}|{(a.Aggregator is { } by ? $"{by.Asn} {by.Id}" : "")}|";
    }
}

using System.Globalization;
using Akka.Actor;
using Calico.Actors.Bgp;
using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;
using Microsoft.AspNetCore.Http;

namespace Calico.Node.Http;

/// <summary>
/// What <c>calicoctl bgp</c> reads of a speaker, as JSON. Routes come in pages, so that a full table costs neither side
/// more than a page.
/// <code>
///   /bgp/peers
///   /bgp/routes?family=ipv4|ipv6 &amp;within=CIDR &amp;from=ADDRESS | &amp;to=ADDRESS &amp;best=true &amp;after=N &amp;limit=N
///   /bgp/explain?to=CIDR
///   /bgp/mrt                 all routes as an MRT file
/// </code>
/// </summary>
internal sealed class BgpPages(IActorRef speaker, IActorRef bfd)
{
    internal const int MaxPage = 10_000;
    internal static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    public IReadOnlyDictionary<string, Func<HttpContext, Task<object>>> All => new Dictionary<string, Func<HttpContext, Task<object>>>
    {
        ["/bgp/peers"] = async _ => Of(await SpeakerStatus.ReadAsync(speaker, bfd, Patience)),
        ["/bgp/routes"] = async context => Of((await speaker.Ask<BgpProtocol.BgpRoutes>(new BgpProtocol.GetBgpRoutes(QueryOf(context.Request.Query)), Patience)).Page),
        ["/bgp/explain"] = async context => Of(
            (await speaker.Ask<BgpProtocol.BgpExplained>(new BgpProtocol.ExplainRoute(Required<Cidr>(context.Request.Query, "to", Cidr.TryParseOrHost)), Patience)).Why),
        ["/bgp/mrt"] = async _ => await MrtDump.BeginAsync(speaker, TimeProvider.System),
    };

    /// <summary>The sessions, as every page shows them.</summary>
    public static object Of(BgpProtocol.BgpStatus bgp) => new
    {
        localAs = bgp.LocalAs.Value,
        routerId = bgp.RouterId.ToString(),
        converged = bgp.Converged,
        listeners = bgp.Listeners.Select(l => new { address = l.Address.ToString(), port = l.Port, error = l.Error }),
        peers = bgp.Peers.Select(p => new
        {
            name = p.Name,
            type = p.Kind.ToString(),
            address = p.Address.ToString(),
            asn = p.PeerAs.Value,
            state = p.Phase.ToString(),
            since = p.Since,
            reason = p.Down?.ToString(),
            reasonType = p.Down?.GetType().Name,
            lastReason = p.LastDown?.ToString(),
            lastReasonType = p.LastDown?.GetType().Name,
            restarting = p.Restarting,
            received = p.Counters.Received,
            advertised = p.Counters.Advertised,
            messagesIn = p.Counters.MessagesIn,
            messagesOut = p.Counters.MessagesOut,
            established = p.Counters.Established,
            pathFailures = p.Counters.PathFailures,
            bfd = BfdOf(p),
            treatedAsWithdrawn = p.Counters.TreatedAsWithdrawn,
            attributesDiscarded = p.Counters.AttributesDiscarded,
            notifications = p.Counters.Notifications.Select(n => new { direction = n.IsSent ? "sent" : "received", code = (int)n.Code, subcode = n.Subcode, count = n.Count }),
        }),
    };

    // Null without BFD. Intervals are those agreed on; zero is one that nothing has been agreed on yet.
    private static object? BfdOf(PeerStatus peer) => peer.Bfd is not { } wanted ? null : new
    {
        interval = wanted.Parameters.Interval.TotalMilliseconds,
        multiplier = wanted.Parameters.Multiplier,
        multihop = wanted.Multihop,
        local = peer.Path?.Local.ToString(),
        port = peer.Path?.Port,
        problem = peer.Unwatchable ?? peer.Neighbour?.Session.Problem,
        since = peer.Neighbour?.Since,
        state = peer.Neighbour?.Session.State.ToString(),
        remoteState = peer.Neighbour?.Session.RemoteState.ToString(),
        diagnostic = peer.Neighbour?.Session.Diagnostic.ToString(),
        remoteDiagnostic = peer.Neighbour?.Session.RemoteDiagnostic.ToString(),
        transmitInterval = peer.Neighbour?.Session.TransmitInterval.TotalMilliseconds,
        receiveInterval = peer.Neighbour?.Session.ReceiveInterval.TotalMilliseconds,
        detectionTime = peer.Neighbour?.Session.DetectionTime.TotalMilliseconds,
        packetsIn = peer.Neighbour?.Session.Counters.PacketsIn,
        packetsOut = peer.Neighbour?.Session.Counters.PacketsOut,
        sendErrors = peer.Neighbour?.Session.Counters.SendErrors,
        discarded = peer.Neighbour?.Session.Counters.Discarded.ToDictionary(d => d.Key.ToString(), d => d.Value),
        ups = peer.Neighbour?.Session.Counters.Ups,
        downs = peer.Neighbour?.Session.Counters.Downs,
    };

    private delegate bool Parser<T>(ReadOnlySpan<char> text, out T value);

    private static RibQuery QueryOf(IQueryCollection query) => new(query["family"] == "ipv6" ? Families.Ipv6Unicast : Families.Ipv4Unicast)
    {
        Within = Optional<Cidr>(query, "within", Cidr.TryParseOrHost),
        From = Optional<IpAddr>(query, "from", IpAddr.TryParse),
        To = Optional<IpAddr>(query, "to", IpAddr.TryParse),
        OnlyBest = query["best"] == "true",
        After = Optional<int>(query, "after", TryParse) ?? 0,
        Limit = Math.Clamp(Optional<int>(query, "limit", TryParse) ?? 1_000, 1, MaxPage),
    };

    private static object Of(RibPage page) => new { routes = page.Routes.Select(Of), next = page.Next };

    private static object Of(RibExplanation? why) => new
    {
        prefix = why?.Prefix.ToString(),
        routes = (why?.Routes ?? []).Select(v => new { route = Of(v.Route), lostAt = v.LostAt?.ToString(), value = v.Value, best = v.BestValue }),
    };

    private static object Of(RibRoute route)
    {
        var attributes = route.Attributes;
        return new
        {
            prefix = route.Prefix.ToString(),
            nextHop = route.Source.IsLocal && route.NextHop.IsUnspecified ? null : route.NextHop.ToString(),
            from = route.Source.IsLocal ? null : route.Source.Address.ToString(),
            pathId = route.PathId == 0 ? (uint?)null : route.PathId,
            best = route.IsBest,
            multipath = route.IsMultipath,
            stale = route.IsStale,
            reachable = route.Resolution.Reachable,
            gateway = route.Resolution.Gateway?.ToString(),
            asPath = attributes.AsPath.ToString(),
            origin = attributes.Origin.ToString().ToLowerInvariant(),
            med = attributes.Med,
            localPref = attributes.LocalPref,
            communities = attributes.Communities.Select(c => c.ToString()),
            largeCommunities = attributes.LargeCommunities.Select(c => c.ToString()),
            extendedCommunities = attributes.ExtendedCommunities.Select(c => c.ToString()),
            originatorId = attributes.OriginatorId?.ToString(),
            clusterList = attributes.ClusterList.Select(c => c.ToString()),
            onlyToCustomer = attributes.OnlyToCustomer?.Value,
            aggregator = attributes.Aggregator is { } a ? $"{a.Asn} {a.Id}" : null,
        };
    }

    private static bool TryParse(ReadOnlySpan<char> text, out int value) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value);

    private static T? Optional<T>(IQueryCollection query, string name, Parser<T> parse) where T : struct =>
        query.TryGetValue(name, out var text) ? parse(text.ToString(), out var value) ? value : throw new BadHttpRequestException($"{name}={text} cannot be read") : null;

    private static T Required<T>(IQueryCollection query, string name, Parser<T> parse) where T : struct =>
        Optional(query, name, parse) ?? throw new BadHttpRequestException($"{name} is missing");
}

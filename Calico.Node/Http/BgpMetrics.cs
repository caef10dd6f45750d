using System.Globalization;
using Calico.Actors.Bgp;
using Calico.Core.Bgp.Session;
using Calico.Kernel.Sockets;

namespace Calico.Node.Http;

/// <summary>The BGP sessions of this node as metrics; those of a peer that is configured no more are gone.</summary>
internal static class BgpMetrics
{
    private static readonly string[] OfPeer = ["peer", "address"];
    private static readonly string[] Ways = ["peer", "address", "direction"];

    private static readonly SeriesSet Up = SeriesSet.Gauge("calico_bgp_peer_up", "1 if the BGP session is established.", OfPeer);
    private static readonly SeriesSet State = SeriesSet.Gauge("calico_bgp_peer_state", "1 for the state that the BGP session is in, by its name in RFC 4271.", [.. OfPeer, "state"]);
    private static readonly SeriesSet Down = SeriesSet.Gauge("calico_bgp_peer_down_reason", "1 for the reason why the BGP session is not established.", [.. OfPeer, "reason"]);
    private static readonly SeriesSet Since = SeriesSet.Gauge("calico_bgp_peer_state_since_seconds", "When the BGP session entered its state, in seconds since 1970.", OfPeer);
    private static readonly SeriesSet Routes = SeriesSet.Gauge("calico_bgp_peer_routes", "Routes exchanged with a BGP peer.", Ways);
    private static readonly SeriesSet Messages = SeriesSet.Counter("calico_bgp_peer_messages_total", "BGP messages exchanged with a peer.", Ways);
    private static readonly SeriesSet Established = SeriesSet.Counter("calico_bgp_peer_established_total", "How often a session with the peer was established.", OfPeer);
    private static readonly SeriesSet PathFailures = SeriesSet.Counter("calico_bgp_peer_path_failures_total", "How often BFD ended a session with the peer.", OfPeer);
    private static readonly SeriesSet Notifications = SeriesSet.Counter("calico_bgp_peer_notifications_total", "NOTIFICATION messages by error code and subcode.", [.. Ways, "code", "subcode"]);
    private static readonly SeriesSet Faulty = SeriesSet.Counter("calico_bgp_peer_faulty_updates_total", "UPDATE messages with faults that did not end the session, by what became of them (RFC 7606).", [.. OfPeer, "treatment"]);

    private static readonly SeriesSet Dropped = SeriesSet.Counter("calico_tcp_dropped_segments_total", "TCP segments that the kernel dropped in this network namespace before BGP saw them, by what was wrong with them.", "reason");

    public static void Show(IReadOnlyCollection<PeerStatus> peers)
    {
        IEnumerable<(string[], double)> Each(Func<PeerStatus, double> value) => peers.Select(p => (Of(p), value(p)));
        Up.Replace(Each(p => p.Phase is SessionPhase.Established ? 1 : 0));
        State.Replace(peers.Select(p => (Of(p, p.Phase.ToString()), 1.0)));
        Down.Replace(peers.Where(p => p.Down is not null).Select(p => (Of(p, p.Down!.GetType().Name), 1.0)));
        Since.Replace(Each(p => p.Since.ToUnixTimeMilliseconds() / 1000.0));
        Routes.Replace(peers.SelectMany(p => ((string[], double)[])[(Of(p, "received"), p.Counters.Received), (Of(p, "advertised"), p.Counters.Advertised)]));
        Messages.Replace(peers.SelectMany(p => ((string[], double)[])[(Of(p, "received"), p.Counters.MessagesIn), (Of(p, "sent"), p.Counters.MessagesOut)]));
        Established.Replace(Each(p => p.Counters.Established));
        PathFailures.Replace(Each(p => p.Counters.PathFailures));
        Notifications.Replace(peers.SelectMany(p => p.Counters.Notifications.Select(n =>
            (Of(p, n.IsSent ? "sent" : "received", Number((int)n.Code), Number(n.Subcode)), (double)n.Count))));
        Faulty.Replace(peers.SelectMany(p => ((string[], double)[])[(Of(p, "treat-as-withdraw"), p.Counters.TreatedAsWithdrawn), (Of(p, "attribute-discard"), p.Counters.AttributesDiscarded)]));
        var dropped = TcpDrops.Read();
        Dropped.Replace([(["password-missing"], dropped.PasswordMissing), (["password-unexpected"], dropped.PasswordUnexpected),
            (["password-wrong"], dropped.PasswordWrong), (["too-far"], dropped.TooFar)]);
    }

    private static string[] Of(PeerStatus peer, params string[] more) => [peer.Name, peer.Address.ToString(), .. more];

    private static string Number(int number) => number.ToString(CultureInfo.InvariantCulture);
}

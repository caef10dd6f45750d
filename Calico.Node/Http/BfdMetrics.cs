using Calico.Actors.Bgp;
using Calico.Core.Bfd;
using Calico.Kernel.Bfd;

namespace Calico.Node.Http;

/// <summary>The BFD sessions of this node's BGP peers as metrics, by the names of the peers; those that are watched no more are gone.</summary>
internal static class BfdMetrics
{
    private static readonly string[] OfPeer = ["peer", "address"];

    private static readonly SeriesSet Up = SeriesSet.Gauge("calico_bfd_session_up", "1 if the BFD session is up.", OfPeer);
    private static readonly SeriesSet State = SeriesSet.Gauge("calico_bfd_session_state", "1 for the state that the BFD session is in, by its name in RFC 5880.", [.. OfPeer, "state"]);
    private static readonly SeriesSet Since = SeriesSet.Gauge("calico_bfd_session_state_since_seconds", "When the BFD session entered its state, in seconds since 1970.", OfPeer);
    private static readonly SeriesSet Interval = SeriesSet.Gauge("calico_bfd_session_interval_seconds", "Between two packets at most, as agreed; 0 while nothing is.", [.. OfPeer, "direction"]);
    private static readonly SeriesSet Detection = SeriesSet.Gauge("calico_bfd_session_detection_seconds", "After how much silence the neighbour is given up; 0 while it is not heard.", OfPeer);
    private static readonly SeriesSet Changes = SeriesSet.Counter("calico_bfd_session_changes_total", "How often the BFD session came up and left that state.", [.. OfPeer, "to"]);
    private static readonly SeriesSet Packets = SeriesSet.Counter("calico_bfd_session_packets_total", "BFD packets exchanged with a peer.", [.. OfPeer, "direction"]);
    private static readonly SeriesSet Discarded = SeriesSet.Counter("calico_bfd_session_discarded_packets_total", "BFD packets of a peer that did not count, by reason.", [.. OfPeer, "reason"]);
    private static readonly SeriesSet Errors = SeriesSet.Counter("calico_bfd_session_send_errors_total", "BFD packets that the kernel did not send.", OfPeer);

    public static void Show(IEnumerable<PeerStatus> peers)
    {
        var watched = peers.Where(p => p.Neighbour is not null).Select(p => (Peer: p, p.Neighbour!.Session, p.Neighbour.Since)).ToList();
        IEnumerable<(string[], double)> Each(Func<BfdSessionStatus, double> value) => watched.Select(w => (Of(w.Peer), value(w.Session)));
        IEnumerable<(string[], double)> Both(string one, Func<BfdSessionStatus, double> ofOne, string other, Func<BfdSessionStatus, double> ofOther) =>
            watched.SelectMany(w => ((string[], double)[])[(Of(w.Peer, one), ofOne(w.Session)), (Of(w.Peer, other), ofOther(w.Session))]);
        Up.Replace(Each(s => s.State == BfdState.Up ? 1 : 0));
        State.Replace(watched.Select(w => (Of(w.Peer, w.Session.State.ToString()), 1.0)));
        Since.Replace(watched.Select(w => (Of(w.Peer), w.Since.ToUnixTimeMilliseconds() / 1000.0)));
        Interval.Replace(Both("received", s => s.ReceiveInterval.TotalSeconds, "sent", s => s.TransmitInterval.TotalSeconds));
        Detection.Replace(Each(s => s.DetectionTime.TotalSeconds));
        Changes.Replace(Both("up", s => s.Counters.Ups, "down", s => s.Counters.Downs));
        Packets.Replace(Both("received", s => s.Counters.PacketsIn, "sent", s => s.Counters.PacketsOut));
        Discarded.Replace(watched.SelectMany(w => w.Session.Counters.Discarded.Select(d => (Of(w.Peer, d.Key.ToString()), (double)d.Value))));
        Errors.Replace(Each(s => s.Counters.SendErrors));
    }

    private static string[] Of(PeerStatus peer, params string[] more) => [peer.Name, peer.Address.ToString(), .. more];
}

using System.Collections.Immutable;
using System.Text;
using Calico.Actors.Bfd;
using Calico.Actors.Bgp;
using Calico.Core.Bfd;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;
using Calico.Kernel.Bfd;
using Calico.Node.Http;
using Prometheus;

namespace Calico.Tests.Node;

[Layer("unit")]
public class BfdMetricsTests
{
    private static readonly BfdEndpoint Path = new(IpAddr.Parse("192.0.2.2"), IpAddr.Parse("192.0.2.1"));

    [Fact]
    public async Task A_peer_whose_path_is_watched_shows_how_it_is_and_one_that_is_watched_no_more_shows_nothing()
    {
        var counters = new BfdCounters(70, 60, 2, ImmutableDictionary<BfdDiscard, long>.Empty.Add(BfdDiscard.HopLimit, 4), 3, 2, 0);
        var session = new BfdSessionStatus(Path, BfdState.Up, BfdState.Up, BfdDiagnostic.None, BfdDiagnostic.None, 1, 2, new BfdParameters(),
            TimeSpan.FromMilliseconds(300), TimeSpan.FromMilliseconds(500), TimeSpan.FromMilliseconds(2500), counters, null);
        var peer = new PeerStatus("bfd-peer", PeerKind.GlobalPeer, Path.Neighbour, new Asn(65002), SessionPhase.Established, default, null, null, false, new PeerCounters(0, 0, 0, 0, 0))
        {
            Path = Path,
            Neighbour = new BfdProtocol.BfdNeighbour(session, DateTimeOffset.FromUnixTimeSeconds(1_700_000_000), 1),
        };

        BfdMetrics.Show([peer, peer with { Name = "unwatched", Path = null, Neighbour = null }]);
        var text = await ScrapeAsync();
        BfdMetrics.Show([peer with { Neighbour = null }]);
        var after = await ScrapeAsync();

        const string Of = "peer=\"bfd-peer\",address=\"192.0.2.2\"";
        string[] expected =
        [
            $"calico_bfd_session_up{{{Of}}} 1", $"calico_bfd_session_state{{{Of},state=\"Up\"}} 1", $"calico_bfd_session_state_since_seconds{{{Of}}} 1700000000",
            $"calico_bfd_session_interval_seconds{{{Of},direction=\"sent\"}} 0.3", $"calico_bfd_session_interval_seconds{{{Of},direction=\"received\"}} 0.5",
            $"calico_bfd_session_detection_seconds{{{Of}}} 2.5", $"calico_bfd_session_changes_total{{{Of},to=\"up\"}} 3", $"calico_bfd_session_changes_total{{{Of},to=\"down\"}} 2",
            $"calico_bfd_session_packets_total{{{Of},direction=\"received\"}} 70", $"calico_bfd_session_packets_total{{{Of},direction=\"sent\"}} 60",
            $"calico_bfd_session_discarded_packets_total{{{Of},reason=\"HopLimit\"}} 4", $"calico_bfd_session_send_errors_total{{{Of}}} 2",
        ];
        Assert.All(expected, line => Assert.Contains(line + "\n", text, StringComparison.Ordinal));
        Assert.DoesNotContain("unwatched", text, StringComparison.Ordinal);
        Assert.DoesNotContain("bfd-peer", after, StringComparison.Ordinal);
    }

    private static async Task<string> ScrapeAsync()
    {
        using var stream = new MemoryStream();
        await Metrics.DefaultRegistry.CollectAndExportAsTextAsync(stream);
        return Encoding.UTF8.GetString(stream.ToArray());
    }
}

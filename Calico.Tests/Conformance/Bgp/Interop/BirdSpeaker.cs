namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>BIRD 2.</summary>
internal sealed class BirdSpeaker(InteropBed bed) : ForeignSpeaker(bed)
{
    public override string Program => "/usr/sbin/bird";

    public override bool ShowsPathIds => false;

    private string Control => Path.Combine(Folder, "bird.ctl");

    private bool _isOverIpv6;

    public override async Task StartAsync(ForeignConfig config)
    {
        var marks = $"{{ bgp_community.add(({config.Community.Replace(':', ',')})); bgp_large_community.add(({config.LargeCommunity.Replace(':', ',')})); }}";
        string Session(int family, ForeignNeighbour peer) => $$"""
            protocol bgp s{{family}}_{{peer.Host}} { local {{(family == 4 ? "192.0.2.2" : "fd00:192::2")}} as {{config.As}}; neighbor {{(family == 4 ? peer.V4 : peer.V6)}} as {{peer.As}}; direct;
              graceful restart on; graceful restart time 60; connect delay time 1; connect retry time 1; error wait time 1, 2;
              {{(config.IsClient(peer) ? $"rr client; rr cluster id {config.ClusterId};" : "")}}
              {{(peer.IsUs && config.Password is { } p ? $"password \"{p}\";" : "")}}
              {{(peer.IsUs && config.Role is { } role ? $"local role {role.Replace('-', '_')};" : "")}}
              {{(peer.IsUs && config.OverIpv6 ? "ipv4 { extended next hop on; import all; export where source = RTS_STATIC || source = RTS_BGP; };" : "")}}
              ipv{{family}} { {{(peer.IsUs && config.AddPaths ? "add paths on;" : "")}} import all; export where source = RTS_STATIC || source = RTS_BGP; }; }
            """;
        await WriteAsync("bird.conf", $$"""
            router id 192.0.2.2;
            graceful restart wait 20;
            protocol device { }
            protocol static own4 { ipv4; {{string.Join(' ', V4(config.Routes).Select(r => $"route {r} blackhole {marks};"))}} }
            protocol static own6 { ipv6; {{string.Join(' ', V6(config.Routes).Select(r => $"route {r} blackhole {marks};"))}} }
            {{string.Join('\n', config.Neighbours.SelectMany(n => (string[])[n.IsUs && config.OverIpv6 ? "" : Session(4, n), Session(6, n)]))}}
            """);
        File.Delete(Control);
        _isOverIpv6 = config.OverIpv6;
        Run("bird.log", ["/usr/sbin/bird", "-f", "-c", Path.Combine(Folder, "bird.conf"), "-s", Control, .. config.IsRestart ? (string[])["-R"] : []]);
    }

    public override async Task<IReadOnlyList<ForeignRoute>> ListAsync(string prefix) =>
        BirdText.Routes(prefix, await AskAsync("birdc", "-s", Control, "show", "route", prefix, "all", "protocol", IsV4(prefix) && !_isOverIpv6 ? "s4_1" : "s6_1"));
}

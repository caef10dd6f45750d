using System.Text.RegularExpressions;

namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>BIRD 2.</summary>
internal sealed partial class BirdSpeaker(InteropBed bed) : ForeignSpeaker(bed)
{
    public override string Program => "/usr/sbin/bird";

    private string Control => Path.Combine(Folder, "bird.ctl");

    public override async Task StartAsync(ForeignConfig config)
    {
        var marks = $"{{ bgp_community.add(({config.Community.Replace(':', ',')})); bgp_large_community.add(({config.LargeCommunity.Replace(':', ',')})); }}";
        string Session(int family, string own, string peer) => $$"""
            protocol bgp s{{family}} { local {{own}} as {{config.As}}; neighbor {{peer}} as {{config.OurAs}}; direct; graceful restart on; graceful restart time 60;
              connect delay time 1; connect retry time 1; error wait time 1, 2; {{(config.Password is { } p ? $"password \"{p}\";" : "")}}
              ipv{{family}} { import all; export where source = RTS_STATIC; }; }
            """;
        await WriteAsync("bird.conf", $$"""
            router id 192.0.2.2;
            graceful restart wait 20;
            protocol device { }
            protocol static own4 { ipv4; {{string.Join(' ', V4(config).Select(r => $"route {r} blackhole {marks};"))}} }
            protocol static own6 { ipv6; {{string.Join(' ', V6(config).Select(r => $"route {r} blackhole {marks};"))}} }
            {{Session(4, "192.0.2.2", "192.0.2.1")}}
            {{Session(6, "fd00:192::2", "fd00:192::1")}}
            """);
        File.Delete(Control);
        Run("bird.log", ["/usr/sbin/bird", "-f", "-c", Path.Combine(Folder, "bird.conf"), "-s", Control, .. config.IsRestart ? (string[])["-R"] : []]);
    }

    public override async Task<ForeignRoute?> FindAsync(string prefix)
    {
        var text = await AskAsync("birdc", "-s", Control, "show", "route", prefix, "all", "protocol", IsV4(prefix) ? "s4" : "s6");
        if (!text.Contains("BGP.next_hop", StringComparison.Ordinal))
            return null;
        string Of(string attribute) => Regex.Match(text, $@"BGP\.{attribute}: (.*)").Groups[1].Value.Trim();
        return new ForeignRoute(prefix, Of("next_hop").Split(' ')[0], Of("as_path"), Joined(Of("community")), Joined(Of("large_community")));
    }

    // (65003,1) and (65003, 2, 3)
    private static string Joined(string communities) =>
        string.Join(' ', Parenthesis().Matches(communities).Select(m => m.Groups[1].Value.Replace(" ", "", StringComparison.Ordinal).Replace(',', ':')));

    [GeneratedRegex(@"\(([^)]*)\)")]
    private static partial Regex Parenthesis();
}

using System.Text.RegularExpressions;

namespace Calico.Tests.Conformance.Bgp.Traffic;

/// <summary>BIRD 2 with its kernel protocols, which take part in a graceful restart.</summary>
internal sealed class BirdRouter(RouterPlace place) : ChainRouter(place)
{
    private string Control => Path.Combine(Folder, "bird.ctl");

    public override async Task<bool> IsSettledAsync()
    {
        var protocols = (await ChildProcess.RunAsync("birdc", "-s", Control, "show", "protocols", "all")).Output;
        var status = (await ChildProcess.RunAsync("birdc", "-s", Control, "show", "status")).Output;
        return Regex.Count(protocols, @"BGP state: +Established") == Sessions && !protocols.Contains("graceful restart active", StringComparison.Ordinal)
            && status.Contains("up and running", StringComparison.Ordinal) && !status.Contains("recovery", StringComparison.Ordinal);
    }

    public override async Task<string> ShowAsync() => (await ChildProcess.RunAsync("birdc", "-s", Control, "show", "route")).Output;

    protected override async Task<string[]> CommandAsync(bool again)
    {
        string Session(string name, int family, string own, string peer, uint asn, string how) => $$"""
            protocol bgp {{name}} { local {{own}} as {{Place.As}}; neighbor {{peer}} as {{asn}}; {{how}}; graceful restart on; graceful restart time 120;
              connect delay time 1; connect retry time 1; error wait time 1, 2; ipv{{family}} { import all; export where source = RTS_BGP; }; }

            """;
        await File.WriteAllTextAsync(Path.Combine(Folder, "bird.conf"), $$"""
            router id 192.0.2.{{Place.Host}};
            log "{{Path.Combine(Folder, "bird.log")}}" all;
            debug protocols { states, events };
            graceful restart wait 60;
            protocol device { }
            protocol direct { ipv4; ipv6; }
            protocol kernel kernel4 { ipv4 { import none; export where source = RTS_BGP; }; persist; graceful restart; }
            protocol kernel kernel6 { ipv6 { import none; export where source = RTS_BGP; }; persist; graceful restart; }

            """ + Session("other4", 4, $"192.0.2.{Place.Host}", $"192.0.2.{Place.OtherHost}", Place.OtherAs, "direct")
                + Session("other6", 6, $"fd00:192::{Place.Host}", $"fd00:192::{Place.OtherHost}", Place.OtherAs, "direct")
                + Session("behind4", 4, $"192.0.2.{Place.Host}", Place.Behind, Place.BehindAs, "multihop")
                + Session("behind6", 6, $"fd00:192::{Place.Host}", Place.Behind6, Place.BehindAs, "multihop"));
        File.Delete(Control);
        return ["/usr/sbin/bird", "-f", "-c", Path.Combine(Folder, "bird.conf"), "-s", Control, .. again ? (string[])["-R"] : []];
    }
}

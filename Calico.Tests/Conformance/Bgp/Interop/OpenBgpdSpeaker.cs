using System.Text.Json;

namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>OpenBGPD. It keeps the routes of a peer that restarts, and does not say that it restarts itself.</summary>
internal sealed class OpenBgpdSpeaker(InteropBed bed) : ForeignSpeaker(bed)
{
    public override string Program => "/usr/sbin/bgpd";

    private string Control => Path.Combine(Folder, "bgpd.sock");

    public override async Task StartAsync(ForeignConfig config)
    {
        string Neighbour(string address, string family) => $$"""
            neighbor {{address}} {
              remote-as {{config.OurAs}}
              announce {{family}} unicast
              announce restart yes
              {{(config.Password is { } p ? $"tcp md5sig password \"{p}\"" : "")}}
            }
            """;
        // Its home, which the package leaves to its service.
        Directory.CreateDirectory("/run/openbgpd");
        await WriteAsync("bgpd.conf", $$"""
            AS {{config.As}}
            router-id 192.0.2.2
            listen on 192.0.2.2
            listen on fd00:192::2
            fib-update no
            socket "{{Control}}"
            {{string.Join('\n', config.Routes.Select(r => $"network {r} set {{ community {config.Community} large-community {config.LargeCommunity} }}"))}}
            {{Neighbour("192.0.2.1", "IPv4")}}
            {{Neighbour("fd00:192::1", "IPv6")}}
            allow from any
            allow to any
            """);
        File.SetUnixFileMode(Path.Combine(Folder, "bgpd.conf"), UnixFileMode.UserRead | UnixFileMode.UserWrite);
        Run("bgpd.log", "/usr/sbin/bgpd", "-d", "-f", Path.Combine(Folder, "bgpd.conf"));
    }

    public override async Task<ForeignRoute?> FindAsync(string prefix)
    {
        var text = await AskAsync("bgpctl", "-s", Control, "-j", "show", "rib", "detail", prefix);
        if (!text.TrimStart().StartsWith('{'))
            return null;
        using var document = JsonDocument.Parse(text);
        if (!document.RootElement.TryGetProperty("rib", out var rib) || rib.GetArrayLength() == 0)
            return null;
        var route = rib[0];
        string List(string name) => route.TryGetProperty(name, out var all) ? string.Join(' ', all.EnumerateArray().Select(c => c.GetString())) : "";
        return new ForeignRoute(prefix, route.GetProperty("exit_nexthop").GetString()!, route.GetProperty("aspath").GetString()!, List("communities"), List("large_communities"));
    }
}

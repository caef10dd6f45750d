using System.Text.Json;

namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>OpenBGPD. It keeps the routes of a peer that restarts; its own capability names no family, so nobody keeps its routes.</summary>
internal sealed class OpenBgpdSpeaker(InteropBed bed) : ForeignSpeaker(bed)
{
    public override string Program => "/usr/sbin/bgpd";

    private string Control => Path.Combine(Folder, "bgpd.sock");

    public override async Task StartAsync(ForeignConfig config)
    {
        string Neighbour(ForeignNeighbour peer, string address, string family) => $$"""
            neighbor {{address}} {
              remote-as {{peer.As}}
              announce {{family}} unicast
              announce restart yes
              {{(config.IsClient(peer) ? "route-reflector " + config.ClusterId : "")}}
              {{(peer.IsUs && config.AddPaths ? "announce add-path recv yes\n  announce add-path send all" : "")}}
              {{(peer.IsUs && config.Password is { } p ? $"tcp md5sig password \"{p}\"" : "")}}
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
            {{string.Join('\n', config.Neighbours.SelectMany(n => (string[])[Neighbour(n, n.V4, "IPv4"), Neighbour(n, n.V6, "IPv6")]))}}
            allow from any
            allow to any
            """);
        File.SetUnixFileMode(Path.Combine(Folder, "bgpd.conf"), UnixFileMode.UserRead | UnixFileMode.UserWrite);
        Run("bgpd.log", "/usr/sbin/bgpd", "-d", "-f", Path.Combine(Folder, "bgpd.conf"));
    }

    public override async Task<IReadOnlyList<ForeignRoute>> ListAsync(string prefix)
    {
        var text = await AskAsync("bgpctl", "-s", Control, "-j", "show", "rib", "detail", "neighbor", IsV4(prefix) ? "192.0.2.1" : "fd00:192::1", prefix);
        if (!text.TrimStart().StartsWith('{'))
            return [];
        using var document = JsonDocument.Parse(text);
        return document.RootElement.TryGetProperty("rib", out var rib) ? [.. rib.EnumerateArray().Select(r => RouteOf(prefix, r))] : [];
    }

    private static ForeignRoute RouteOf(string prefix, JsonElement route)
    {
        string List(string name) => route.TryGetProperty(name, out var all) ? string.Join(' ', all.EnumerateArray().Select(c => c.GetString())) : "";
        return new ForeignRoute(prefix, route.GetProperty("exit_nexthop").GetString()!, route.GetProperty("aspath").GetString()!, List("communities"), List("large_communities"))
        {
            LocalPref = route.GetProperty("localpref").GetUInt32(),
            Originator = Further(route, "originator") is { } originator ? originator.GetString()! : "",
            Clusters = Further(route, "cluster_list") is { } clusters ? string.Join(' ', clusters.EnumerateArray().Select(c => c.GetString())) : "",
            PathId = route.TryGetProperty("path_id", out var id) ? id.GetUInt32() : null,
        };
    }

    // What its tool has no field for is in a list of attributes.
    private static JsonElement? Further(JsonElement route, string name)
    {
        if (route.TryGetProperty("attributes", out var attributes))
        {
            foreach (var attribute in attributes.EnumerateArray())
            {
                if (attribute.TryGetProperty(name, out var value))
                    return value;
            }
        }
        return null;
    }
}

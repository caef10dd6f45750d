using System.Text.Json;

namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>FRR's bgpd, without zebra.</summary>
internal sealed class FrrSpeaker(InteropBed bed) : ForeignSpeaker(bed)
{
    public override string Program => "/usr/lib/frr/bgpd";

    public override async Task StartAsync(ForeignConfig config)
    {
        string Neighbour(string address) => $"""
             neighbor {address} remote-as {config.OurAs}
             neighbor {address} timers connect 1
             neighbor {address} advertisement-interval 0
            {(config.Password is { } p ? $" neighbor {address} password {p}" : "")}
            """;
        await WriteAsync("bgpd.conf", $"""
            router bgp {config.As}
             bgp router-id 192.0.2.2
             no bgp ebgp-requires-policy
             no bgp default ipv4-unicast
             no bgp network import-check
             bgp graceful-restart
             bgp graceful-restart preserve-fw-state
             bgp graceful-restart restart-time 60
            {Neighbour("192.0.2.1")}
            {Neighbour("fd00:192::1")}
             address-family ipv4 unicast
              neighbor 192.0.2.1 activate
              neighbor 192.0.2.1 route-map marks out
            {string.Join('\n', V4(config).Select(r => $"  network {r}"))}
             exit-address-family
             address-family ipv6 unicast
              neighbor fd00:192::1 activate
              neighbor fd00:192::1 route-map marks out
            {string.Join('\n', V6(config).Select(r => $"  network {r}"))}
             exit-address-family
            route-map marks permit 10
             set community {config.Community}
             set large-community {config.LargeCommunity}
            """);
        Run("bgpd.log", "/usr/lib/frr/bgpd", "-f", Path.Combine(Folder, "bgpd.conf"), "-n", "-Z", "-S", "-z", Path.Combine(Folder, "z.api"),
            "-i", Path.Combine(Folder, "bgpd.pid"), "--vty_socket", Folder, "-l", "192.0.2.2", "-l", "fd00:192::2", "--log", "stdout");
    }

    public override async Task<ForeignRoute?> FindAsync(string prefix)
    {
        var text = await AskAsync("vtysh", "--vty_socket", Folder, "-d", "bgpd", "-c", $"show bgp {(IsV4(prefix) ? "ipv4" : "ipv6")} unicast {prefix} json");
        if (!text.TrimStart().StartsWith('{'))
            return null;
        using var document = JsonDocument.Parse(text);
        if (!document.RootElement.TryGetProperty("paths", out var paths))
            return null;
        var ours = paths.EnumerateArray().FirstOrDefault(p => p.GetProperty("peer").TryGetProperty("peerId", out var id) && id.GetString() is "192.0.2.1" or "fd00:192::1");
        if (ours.ValueKind != JsonValueKind.Object)
            return null;
        string Text(string of) => ours.TryGetProperty(of, out var value) ? value.GetProperty("string").GetString()! : "";
        return new ForeignRoute(prefix, ours.GetProperty("nexthops")[0].GetProperty("ip").GetString()!, ours.GetProperty("aspath").GetProperty("string").GetString()!,
            Text("community"), Text("largeCommunity"));
    }
}

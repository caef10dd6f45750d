using System.Text.Json;

namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>FRR's bgpd, without zebra.</summary>
internal sealed class FrrSpeaker(InteropBed bed) : ForeignSpeaker(bed)
{
    public override string Program => "/usr/lib/frr/bgpd";

    public override async Task StartAsync(ForeignConfig config)
    {
        string Neighbour(ForeignNeighbour peer, string address) => $"""
             neighbor {address} remote-as {peer.As}
             neighbor {address} timers connect 1
             neighbor {address} advertisement-interval 0
            {(peer.IsUs && config.Password is { } p ? $" neighbor {address} password {p}" : "")}
            {(peer.IsUs && config.Role is { } role ? $" neighbor {address} local-role {role}" : "")}
            {(peer.IsUs && config.OverIpv6 && address == peer.V6 ? $" neighbor {address} capability extended-nexthop" : "")}
            """;
        string Family(string name, Func<ForeignNeighbour, string> address, IEnumerable<string> routes) => $"""
             address-family {name} unicast
            {string.Join('\n', config.Neighbours.Select(n => $"""
              neighbor {address(n)} activate
              neighbor {address(n)} route-map marks out
            {(config.IsClient(n) ? $"  neighbor {address(n)} route-reflector-client" : "")}
            {(n.IsUs && config.AddPaths ? $"  neighbor {address(n)} addpath-tx-all-paths" : "")}
            """))}
            {string.Join('\n', routes.Select(r => $"  network {r}"))}
             exit-address-family
            """;
        await WriteAsync("bgpd.conf", $"""
            router bgp {config.As}
             bgp router-id 192.0.2.2
             bgp cluster-id {config.ClusterId}
             no bgp ebgp-requires-policy
             no bgp default ipv4-unicast
             no bgp network import-check
             bgp graceful-restart
             bgp graceful-restart preserve-fw-state
             bgp graceful-restart restart-time 60
            {string.Join('\n', config.Neighbours.SelectMany(n => (string[])[n.IsUs && config.OverIpv6 ? "" : Neighbour(n, n.V4), Neighbour(n, n.V6)]))}
            {Family("ipv4", n => n.IsUs && config.OverIpv6 ? n.V6 : n.V4, V4(config.Routes))}
            {Family("ipv6", n => n.V6, V6(config.Routes))}
            route-map marks permit 10
             set community {config.Community}
             set large-community {config.LargeCommunity}
            """);
        Run("bgpd.log", "/usr/lib/frr/bgpd", "-f", Path.Combine(Folder, "bgpd.conf"), "-n", "-Z", "-S", "-z", Path.Combine(Folder, "z.api"),
            "-i", Path.Combine(Folder, "bgpd.pid"), "--vty_socket", Folder, "-l", "192.0.2.2", "-l", "fd00:192::2", "--log", "stdout");
    }

    public override async Task<IReadOnlyList<ForeignRoute>> ListAsync(string prefix)
    {
        var text = await AskAsync("vtysh", "--vty_socket", Folder, "-d", "bgpd", "-c", $"show bgp {(IsV4(prefix) ? "ipv4" : "ipv6")} unicast {prefix} json");
        if (!text.TrimStart().StartsWith('{'))
            return [];
        using var document = JsonDocument.Parse(text);
        return document.RootElement.TryGetProperty("paths", out var paths)
            ? [.. paths.EnumerateArray().Where(p => p.GetProperty("peer").TryGetProperty("peerId", out var id) && id.GetString() is "192.0.2.1" or "fd00:192::1").Select(p => RouteOf(prefix, p))] : [];
    }

    /// <summary>
    /// Once it has sent End-of-RIB to both. FRR 8.4 sends it when a timer of more than a second is over, but tells paths before, and one of these
    /// that it loses before it is withdrawn from us never.
    /// </summary>
    public override async Task<bool> TellsChangesAsync() => await HasToldAsync("192.0.2.1", "ipv4Unicast") && await HasToldAsync("fd00:192::1", "ipv6Unicast");

    private async Task<bool> HasToldAsync(string neighbour, string family)
    {
        var text = await AskAsync("vtysh", "--vty_socket", Folder, "-d", "bgpd", "-c", $"show bgp neighbors {neighbour} json");
        if (!text.TrimStart().StartsWith('{'))
            return false;
        using var document = JsonDocument.Parse(text);
        return document.RootElement.TryGetProperty(neighbour, out var shown) && shown.TryGetProperty("gracefulRestartInfo", out var restart)
            && restart.TryGetProperty("endOfRibSend", out var sent) && sent.TryGetProperty(family, out var ended) && ended.GetBoolean();
    }

    private static ForeignRoute RouteOf(string prefix, JsonElement path)
    {
        string Text(string of) => path.TryGetProperty(of, out var value) ? value.GetProperty("string").GetString()! : "";
        return new ForeignRoute(prefix, path.GetProperty("nexthops")[0].GetProperty("ip").GetString()!, Text("aspath") is var way && way == "Local" ? "" : way, Text("community"), Text("largeCommunity"))
        {
            Originator = path.TryGetProperty("originatorId", out var originator) ? originator.GetString()! : "",
            Clusters = path.TryGetProperty("clusterList", out var clusters) ? string.Join(' ', clusters.GetProperty("list").EnumerateArray().Select(c => c.GetString())) : "",
            OnlyTo = path.TryGetProperty("otc", out var otc) ? otc.GetUInt32() : null,
            LocalPref = path.TryGetProperty("locPrf", out var preference) ? preference.GetUInt32() : null,
            PathId = path.TryGetProperty("addpathRxId", out var id) ? id.GetUInt32() : null,
        };
    }
}

using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>GoBGP.</summary>
internal sealed class GoBgpSpeaker(InteropBed bed) : ForeignSpeaker(bed)
{
    private const string Port = "50077";

    private bool _addPaths;

    public override string Program => "/usr/bin/gobgpd";

    public override async Task StartAsync(ForeignConfig config)
    {
        _addPaths = config.AddPaths;
        string Neighbour(ForeignNeighbour peer, string address, string family) => $"""
            [[neighbors]]
              [neighbors.config]
                neighbor-address = "{address}"
                peer-as = {peer.As}
                {(peer.IsUs && config.Password is { } p ? $"auth-password = \"{p}\"" : "")}
              [neighbors.timers.config]
                connect-retry = 1
                idle-hold-time-after-reset = 1
              [neighbors.graceful-restart.config]
                enabled = true
                restart-time = 60
              [neighbors.route-reflector.config]
                route-reflector-client = {(config.IsClient(peer) ? "true" : "false")}
                route-reflector-cluster-id = "{config.ClusterId}"
              [[neighbors.afi-safis]]
                [neighbors.afi-safis.config]
                  afi-safi-name = "{family}"
                [neighbors.afi-safis.mp-graceful-restart.config]
                  enabled = true
                [neighbors.afi-safis.add-paths.config]
                  receive = {(peer.IsUs && config.AddPaths ? "true" : "false")}
                  send-max = {(peer.IsUs && config.AddPaths ? 8 : 0)}
            {(peer.IsUs && config.OverIpv6 ? """
              [[neighbors.afi-safis]]
                [neighbors.afi-safis.config]
                  afi-safi-name = "ipv4-unicast"
            """ : "")}

            """;
        await WriteAsync("gobgp.toml", $"""
            [global.config]
              as = {config.As}
              router-id = "192.0.2.2"
              local-address-list = ["192.0.2.2", "fd00:192::2"]
            {string.Join('\n', config.Neighbours.SelectMany(n => (string[])[n.IsUs && config.OverIpv6 ? "" : Neighbour(n, n.V4, "ipv4-unicast"), Neighbour(n, n.V6, "ipv6-unicast")]))}
            """);
        Run("gobgpd.log", ["/usr/bin/gobgpd", "-f", Path.Combine(Folder, "gobgp.toml"), "--api-hosts", "127.0.0.1:" + Port, .. config.IsRestart ? (string[])["-r"] : []]);
        await InteropBed.UntilAsync(async () => (await AskAsync("gobgp", "-p", Port, "global")).Contains("AS:", StringComparison.Ordinal), () => Task.FromResult("gobgpd is up"));
        foreach (var route in config.Routes)
        {
            Assert.NotNull(await AskAsync("gobgp", "-p", Port, "global", "rib", "add", route, "-a", IsV4(route) ? "ipv4" : "ipv6",
                "community", config.Community, "large-community", config.LargeCommunity));
        }
    }

    public override async Task<IReadOnlyList<ForeignRoute>> ListAsync(string prefix)
    {
        var text = await AskAsync("gobgp", "-p", Port, "global", "rib", prefix, "-a", IsV4(prefix) ? "ipv4" : "ipv6", "-j");
        if (!text.TrimStart().StartsWith('[') && !text.TrimStart().StartsWith('{'))
            return [];
        using var document = JsonDocument.Parse(text);
        var paths = document.RootElement.ValueKind == JsonValueKind.Array ? document.RootElement.EnumerateArray().ToList()
            : document.RootElement.EnumerateObject().SelectMany(p => p.Value.EnumerateArray()).ToList();
        var ids = _addPaths ? await IdsAsync(prefix) : [];
        return [.. paths.Where(p => p.TryGetProperty("neighbor-ip", out var from) && from.GetString() is "192.0.2.1" or "fd00:192::1").Select(p => RouteOf(prefix, p))
            .Select(r => ids.TryGetValue(r.AsPath, out var id) ? r with { PathId = id } : r)];
    }

    // Only the table of what a neighbour told has the identifiers, and only as text.
    private async Task<Dictionary<string, uint>> IdsAsync(string prefix)
    {
        var text = await AskAsync("gobgp", "-p", Port, "neighbor", IsV4(prefix) ? "192.0.2.1" : "fd00:192::1", "adj-in", "-a", IsV4(prefix) ? "ipv4" : "ipv6");
        return Regex.Matches(text, $@"^ *(\d+) +{Regex.Escape(prefix)} +[0-9a-f.:]+ +([0-9 ]*[0-9]) +\d+:", RegexOptions.Multiline)
            .ToDictionary(m => m.Groups[2].Value, m => uint.Parse(m.Groups[1].Value, CultureInfo.InvariantCulture));
    }

    private static ForeignRoute RouteOf(string prefix, JsonElement path)
    {
        var attributes = path.GetProperty("attrs").EnumerateArray().ToDictionary(a => a.GetProperty("type").GetInt32(), a => a);
        string Each(int type, string list, Func<JsonElement, string> text) =>
            attributes.TryGetValue(type, out var a) ? string.Join(' ', a.GetProperty(list).EnumerateArray().Select(text)) : "";
        var hop = attributes.TryGetValue(3, out var v4) ? v4.GetProperty("nexthop") : attributes[14].GetProperty("nexthop");
        return new ForeignRoute(prefix, hop.GetString()!, Each(2, "as_paths", s => string.Join(' ', s.GetProperty("asns").EnumerateArray().Select(n => n.ToString()))),
            Each(8, "communities", n => Community(n.GetUInt32())), Each(32, "value", Large))
        {
            LocalPref = attributes.TryGetValue(5, out var preference) ? preference.GetProperty("value").GetUInt32() : null,
            Originator = attributes.TryGetValue(9, out var originator) ? originator.GetProperty("value").GetString()! : "",
            Clusters = Each(10, "value", c => c.GetString()!),
        };
    }

    private static string Community(uint value) => string.Create(CultureInfo.InvariantCulture, $"{value >> 16}:{value & 0xFFFF}");

    private static string Large(JsonElement value) => $"{value.GetProperty("ASN")}:{value.GetProperty("LocalData1")}:{value.GetProperty("LocalData2")}";
}

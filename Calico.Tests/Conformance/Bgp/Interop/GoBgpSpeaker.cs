using System.Globalization;
using System.Text.Json;

namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>GoBGP.</summary>
internal sealed class GoBgpSpeaker(InteropBed bed) : ForeignSpeaker(bed)
{
    private const string Port = "50077";

    public override string Program => "/usr/bin/gobgpd";

    public override async Task StartAsync(ForeignConfig config)
    {
        string Neighbour(string address, string family) => $"""
            [[neighbors]]
              [neighbors.config]
                neighbor-address = "{address}"
                peer-as = {config.OurAs}
                {(config.Password is { } p ? $"auth-password = \"{p}\"" : "")}
              [neighbors.timers.config]
                connect-retry = 1
                idle-hold-time-after-reset = 1
              [neighbors.graceful-restart.config]
                enabled = true
                restart-time = 60
              [[neighbors.afi-safis]]
                [neighbors.afi-safis.config]
                  afi-safi-name = "{family}"
                [neighbors.afi-safis.mp-graceful-restart.config]
                  enabled = true

            """;
        await WriteAsync("gobgp.toml", $"""
            [global.config]
              as = {config.As}
              router-id = "192.0.2.2"
              local-address-list = ["192.0.2.2", "fd00:192::2"]
            {Neighbour("192.0.2.1", "ipv4-unicast")}
            {Neighbour("fd00:192::1", "ipv6-unicast")}
            """);
        Run("gobgpd.log", ["/usr/bin/gobgpd", "-f", Path.Combine(Folder, "gobgp.toml"), "--api-hosts", "127.0.0.1:" + Port, .. config.IsRestart ? (string[])["-r"] : []]);
        await InteropBed.UntilAsync(async () => (await AskAsync("gobgp", "-p", Port, "global")).Contains("AS:", StringComparison.Ordinal), () => Task.FromResult("gobgpd is up"));
        foreach (var route in config.Routes)
        {
            Assert.NotNull(await AskAsync("gobgp", "-p", Port, "global", "rib", "add", route, "-a", IsV4(route) ? "ipv4" : "ipv6",
                "community", config.Community, "large-community", config.LargeCommunity));
        }
    }

    public override async Task<ForeignRoute?> FindAsync(string prefix)
    {
        var text = await AskAsync("gobgp", "-p", Port, "global", "rib", prefix, "-a", IsV4(prefix) ? "ipv4" : "ipv6", "-j");
        if (!text.TrimStart().StartsWith('[') && !text.TrimStart().StartsWith('{'))
            return null;
        using var document = JsonDocument.Parse(text);
        var paths = document.RootElement.ValueKind == JsonValueKind.Array ? document.RootElement.EnumerateArray().ToList()
            : document.RootElement.EnumerateObject().SelectMany(p => p.Value.EnumerateArray()).ToList();
        var attributes = paths.Select(p => p.GetProperty("attrs").EnumerateArray().ToDictionary(a => a.GetProperty("type").GetInt32(), a => a))
            .FirstOrDefault(a => a.ContainsKey(2) && a[2].GetProperty("as_paths").GetArrayLength() > 0);
        if (attributes is null)
            return null;
        var path = string.Join(' ', attributes[2].GetProperty("as_paths").EnumerateArray().SelectMany(s => s.GetProperty("asns").EnumerateArray()).Select(n => n.ToString()));
        var hop = attributes.TryGetValue(3, out var v4) ? v4.GetProperty("nexthop") : attributes[14].GetProperty("nexthop");
        return new ForeignRoute(prefix, hop.GetString()!, path,
            attributes.TryGetValue(8, out var c) ? string.Join(' ', c.GetProperty("communities").EnumerateArray().Select(n => Community(n.GetUInt32()))) : "",
            attributes.TryGetValue(32, out var l) ? string.Join(' ', l.GetProperty("value").EnumerateArray().Select(Large)) : "");
    }

    private static string Community(uint value) => string.Create(CultureInfo.InvariantCulture, $"{value >> 16}:{value & 0xFFFF}");

    private static string Large(JsonElement value) => $"{value.GetProperty("ASN")}:{value.GetProperty("LocalData1")}:{value.GetProperty("LocalData2")}";
}

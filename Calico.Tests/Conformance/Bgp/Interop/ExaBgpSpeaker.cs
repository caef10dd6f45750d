using System.Text.Json;

namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>ExaBGP, which keeps no table: what it is told goes to a file, line by line, and is added up here.</summary>
internal sealed class ExaBgpSpeaker(InteropBed bed) : ForeignSpeaker(bed)
{
    public override string Program => "/usr/sbin/exabgp";

    private string Heard => Path.Combine(Folder, "heard.json");

    public override async Task StartAsync(ForeignConfig config)
    {
        string Neighbour(string own, string peer, string family, IEnumerable<string> routes) => $$"""
            neighbor {{peer}} {
              router-id 192.0.2.2;
              local-address {{own}};
              local-as {{config.As}};
              peer-as {{config.OurAs}};
              {{(config.Password is { } p ? $"md5-password '{p}';" : "")}}
              capability { asn4 enable; }
              family { {{family}} unicast; }
              api { processes [ heard ]; receive { parsed; update; } }
              static { {{string.Join(' ', routes.Select(r => $"route {r} next-hop {own} community [ {config.Community} ] large-community [ {config.LargeCommunity} ];"))}} }
            }
            """;
        // Its helpers run as another user.
        File.SetUnixFileMode(Folder, (UnixFileMode)0b111_101_101);
        await WriteAsync("heard.json", "");
        File.SetUnixFileMode(Heard, (UnixFileMode)0b110_110_110);
        await WriteAsync("heard.sh", $"#!/bin/sh\ncat >> {Heard}\n");
        File.SetUnixFileMode(Path.Combine(Folder, "heard.sh"), (UnixFileMode)0b111_101_101);
        await WriteAsync("exabgp.conf", $$"""
            process heard { run {{Path.Combine(Folder, "heard.sh")}}; encoder json; }
            {{Neighbour("192.0.2.2", "192.0.2.1", "ipv4", V4(config))}}
            {{Neighbour("fd00:192::2", "fd00:192::1", "ipv6", V6(config))}}
            """);
        Run("exabgp.log", "env", "exabgp.daemon.user=root", "exabgp.api.cli=false", "exabgp.tcp.bind=", "exabgp", Path.Combine(Folder, "exabgp.conf"));
    }

    public override async Task<ForeignRoute?> FindAsync(string prefix)
    {
        ForeignRoute? found = null;
        if (!File.Exists(Heard))
            return null;
        foreach (var line in await File.ReadAllLinesAsync(Heard))
        {
            if (!line.EndsWith('}'))
                continue;
            using var document = JsonDocument.Parse(line);
            if (!document.RootElement.TryGetProperty("neighbor", out var neighbour) || !neighbour.TryGetProperty("message", out var message)
                || !message.TryGetProperty("update", out var update))
                continue;
            if (update.TryGetProperty("withdraw", out var withdrawn) && withdrawn.EnumerateObject().Any(f => Names(f.Value, prefix)))
                found = null;
            if (!update.TryGetProperty("announce", out var announced))
                continue;
            foreach (var hop in announced.EnumerateObject().Where(f => f.Value.ValueKind == JsonValueKind.Object).SelectMany(f => f.Value.EnumerateObject()).Where(h => Names(h.Value, prefix)))
                found = RouteOf(prefix, hop.Name, update.GetProperty("attribute"));
        }
        return found;
    }

    private static bool Names(JsonElement routes, string prefix) =>
        routes.ValueKind == JsonValueKind.Array && routes.EnumerateArray().Any(r => r.TryGetProperty("nlri", out var nlri) && nlri.GetString() == prefix);

    private static ForeignRoute RouteOf(string prefix, string hop, JsonElement attributes)
    {
        string Numbers(string name) => attributes.TryGetProperty(name, out var all)
            ? string.Join(' ', all.EnumerateArray().Select(c => string.Join(':', c.EnumerateArray().Select(n => n.ToString())))) : "";
        var path = attributes.TryGetProperty("as-path", out var segments)
            ? segments.ValueKind == JsonValueKind.Array ? string.Join(' ', segments.EnumerateArray().Select(n => n.ToString()))
                : string.Join(' ', segments.EnumerateObject().SelectMany(s => s.Value.GetProperty("value").EnumerateArray()).Select(n => n.ToString()))
            : "";
        return new ForeignRoute(prefix, hop, path, Numbers("community"), Numbers("large-community"));
    }
}

using System.Text.Json;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>ExaBGP, which keeps no table: what it is told goes to a file, line by line, and is added up here.</summary>
internal sealed class ExaBgpSpeaker(InteropBed bed) : ForeignSpeaker(bed)
{
    public override string Program => "/usr/sbin/exabgp";

    public override bool HasTable => false;

    private string Heard => Path.Combine(Folder, "heard.json");

    public override async Task StartAsync(ForeignConfig config)
    {
        string Neighbour(string own, ForeignNeighbour peer, string address, string family, IEnumerable<string> routes) => $$"""
            neighbor {{address}} {
              router-id 192.0.2.2;
              local-address {{own}};
              local-as {{config.As}};
              peer-as {{peer.As}};
              {{(config.Password is { } p ? $"md5-password '{p}';" : "")}}
              capability { asn4 enable; graceful-restart 60; {{(config.AddPaths ? "add-path send/receive;" : "")}} }
              family { {{family}} unicast; }
              api { processes [ heard ]; receive { parsed; update; } }
              static { {{string.Join(' ', routes.Select(r => $"route {r};"))}} }
            }
            """;
        IEnumerable<string> Routes(string own, Func<IEnumerable<string>, IEnumerable<string>> family) =>
            family(config.Routes).Select(r => $"{r} next-hop {own} community [ {config.Community} ] large-community [ {config.LargeCommunity} ]")
                .Concat(family(config.Shared).SelectMany(r => config.Others.Select(o => $"{r} path-information 0.0.0.{o.Host} next-hop {own} as-path [ {config.As} {o.As} ]")));
        var us = config.Neighbours.First();
        // Its helpers run as another user.
        File.SetUnixFileMode(Folder, (UnixFileMode)0b111_101_101);
        await WriteAsync("heard.json", "");
        File.SetUnixFileMode(Heard, (UnixFileMode)0b110_110_110);
        await WriteAsync("heard.sh", $"#!/bin/sh\ncat >> {Heard}\n");
        File.SetUnixFileMode(Path.Combine(Folder, "heard.sh"), (UnixFileMode)0b111_101_101);
        await WriteAsync("exabgp.conf", $$"""
            process heard { run {{Path.Combine(Folder, "heard.sh")}}; encoder json; }
            {{Neighbour("192.0.2.2", us, us.V4, "ipv4", Routes("192.0.2.2", V4))}}
            {{Neighbour("fd00:192::2", us, us.V6, "ipv6", Routes("fd00:192::2", V6))}}
            """);
        Run("exabgp.log", "env", "exabgp.daemon.user=root", "exabgp.api.cli=false", "exabgp.tcp.bind=", "exabgp", Path.Combine(Folder, "exabgp.conf"));
    }

    public override async Task<IReadOnlyList<ForeignRoute>> ListAsync(string prefix)
    {
        var found = new Dictionary<uint, ForeignRoute>();
        if (!File.Exists(Heard))
            return [];
        foreach (var line in await File.ReadAllLinesAsync(Heard))
        {
            if (!line.EndsWith('}'))
                continue;
            using var document = JsonDocument.Parse(line);
            if (!document.RootElement.TryGetProperty("neighbor", out var neighbour) || !neighbour.TryGetProperty("message", out var message)
                || !message.TryGetProperty("update", out var update))
                continue;
            if (update.TryGetProperty("withdraw", out var withdrawn))
            {
                foreach (var id in withdrawn.EnumerateObject().SelectMany(f => Paths(f.Value, prefix)))
                    found.Remove(id);
            }
            if (!update.TryGetProperty("announce", out var announced))
                continue;
            foreach (var hop in announced.EnumerateObject().Where(f => f.Value.ValueKind == JsonValueKind.Object).SelectMany(f => f.Value.EnumerateObject()))
            {
                foreach (var id in Paths(hop.Value, prefix))
                    found[id] = RouteOf(prefix, hop.Name, id, update.GetProperty("attribute"));
            }
        }
        return [.. found.Values];
    }

    // The identifiers of a prefix's paths in a list of NLRI; 0 where there is none.
    private static IEnumerable<uint> Paths(JsonElement routes, string prefix) => routes.ValueKind != JsonValueKind.Array ? []
        : routes.EnumerateArray().Where(r => r.TryGetProperty("nlri", out var nlri) && nlri.GetString() == prefix)
            .Select(r => r.TryGetProperty("path-information", out var id) ? RouterId.From(IpAddr.Parse(id.GetString()!)).Value : 0);

    private static ForeignRoute RouteOf(string prefix, string hop, uint id, JsonElement attributes)
    {
        string Numbers(string name) => attributes.TryGetProperty(name, out var all)
            ? string.Join(' ', all.EnumerateArray().Select(c => string.Join(':', c.EnumerateArray().Select(n => n.ToString())))) : "";
        var path = attributes.TryGetProperty("as-path", out var segments)
            ? segments.ValueKind == JsonValueKind.Array ? string.Join(' ', segments.EnumerateArray().Select(n => n.ToString()))
                : string.Join(' ', segments.EnumerateObject().SelectMany(s => s.Value.GetProperty("value").EnumerateArray()).Select(n => n.ToString()))
            : "";
        return new ForeignRoute(prefix, hop, path, Numbers("community"), Numbers("large-community"))
        {
            LocalPref = attributes.TryGetProperty("local-preference", out var preference) ? preference.GetUInt32() : null,
            Originator = attributes.TryGetProperty("originator-id", out var originator) ? originator.GetString()! : "",
            Clusters = attributes.TryGetProperty("cluster-list", out var clusters) ? string.Join(' ', clusters.EnumerateArray().Select(c => c.GetString())) : "",
            PathId = id == 0 ? null : id,
        };
    }
}

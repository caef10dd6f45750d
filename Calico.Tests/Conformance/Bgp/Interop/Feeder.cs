using System.Diagnostics;

namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>Whom a feeder has sessions with (192.0.2.HOST and fd00:192::HOST), and what it tells there; a route may have attributes behind it.</summary>
internal sealed record FeederSession(int Host, uint As, params string[] Routes);

/// <summary>A BIRD beside our speaker that tells routes, to it, to the foreign one or to both, and that shows what it hears.</summary>
internal sealed class Feeder(string ns, int host, uint asn) : IAsyncDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("calico-feeder-").FullName;
    private Process? _bird;

    private string Control => Path.Combine(_folder, "bird.ctl");

    public async Task StartAsync(params FeederSession[] sessions)
    {
        string Session(FeederSession with, int family, string own, string peer, IEnumerable<string> routes) => $$"""
            protocol static own{{with.Host}}_{{family}} { ipv{{family}}; {{string.Concat(routes.Select(r => $"route {Blackholed(r)}; "))}} }
            protocol bgp s{{with.Host}}_{{family}} { local {{own}} as {{asn}}; neighbor {{peer}} as {{with.As}}; multihop; {{(with.Host == 1 ? "passive;" : "connect delay time 1; connect retry time 1; error wait time 1, 2;")}} strict bind;
              ipv{{family}} { import all; export where proto = "own{{with.Host}}_{{family}}"; }; }

            """;
        await File.WriteAllTextAsync(Path.Combine(_folder, "bird.conf"), $$"""
            router id 192.0.2.{{host}};
            protocol device { }
            {{string.Concat(sessions.SelectMany(s => (string[])[
                Session(s, 4, $"192.0.2.{host}", $"192.0.2.{s.Host}", s.Routes.Where(r => !IsV6(r))),
                Session(s, 6, $"fd00:192::{host}", $"fd00:192::{s.Host}", s.Routes.Where(IsV6))]))}}
            """);
        _bird = InteropBed.Start(ns, Path.Combine(_folder, "bird.log"), "/usr/sbin/bird", "-f", "-c", Path.Combine(_folder, "bird.conf"), "-s", Control);
    }

    /// <summary>Its routes go, or come back.</summary>
    public Task TellsAsync(bool enabled) => ChildProcess.RunAsync("birdc", "-s", Control, enabled ? "enable" : "disable", "\"own*\"");

    /// <summary>What it was told of a prefix by a neighbour; null for nothing.</summary>
    public async Task<ForeignRoute?> FindAsync(int from, string prefix)
    {
        var (_, text, _) = await ChildProcess.RunAsync("birdc", "-s", Control, "show", "route", prefix, "all", "protocol", $"s{from}_{(IsV6(prefix) ? 6 : 4)}");
        return BirdText.Routes(prefix, text) is [var first, ..] ? first : null;
    }

    public async ValueTask DisposeAsync()
    {
        if (_bird is not null)
        {
            _bird.Kill(entireProcessTree: true);
            await _bird.WaitForExitAsync();
            _bird.Dispose();
        }
        Directory.Delete(_folder, recursive: true);
    }

    private static string Blackholed(string route) => route.Split(' ', 2) is [var prefix, var rest] ? $"{prefix} blackhole {rest}" : $"{route} blackhole";

    private static bool IsV6(string route) => route.Contains("::", StringComparison.Ordinal);
}

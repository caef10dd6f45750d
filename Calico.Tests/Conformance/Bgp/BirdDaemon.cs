using System.Diagnostics;
using System.Globalization;
using Calico.Core.Net;

namespace Calico.Tests.Conformance.Bgp;

/// <summary>
/// A BIRD 2 of the test's own: configuration, control socket and log in a temporary folder, no kernel protocol, stopped
/// by its process. Killing it is how a crash is played.
/// </summary>
internal sealed class BirdDaemon : IAsyncDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("calico-bird-").FullName;
    private Process? _process;

    public static bool IsInstalled => File.Exists("/usr/sbin/bird") && File.Exists("/usr/sbin/birdc");

    public IpAddr Address { get; init; }
    public IpAddr Neighbour { get; init; }
    public ushort Port { get; init; }
    public uint LocalAs { get; init; } = 64512;
    public uint NeighbourAs { get; init; } = 64512;
    public bool Passive { get; init; }
    public string Password { get; init; } = "";

    /// <summary>How long peers shall keep its routes over a restart, in seconds, and for how long as their last choice.</summary>
    public int RestartTime { get; init; } = 60;
    public int LongLivedTime { get; init; }

    /// <summary>Every route is there twice, from two protocols, and both are told.</summary>
    public bool AddPaths { get; init; }

    public async Task Start(string[] routes, bool recover = false)
    {
        await File.WriteAllTextAsync(Path.Combine(_folder, "bird.conf"), Configuration(routes));
        var start = new ProcessStartInfo("/usr/sbin/bird") { UseShellExecute = false };
        foreach (var argument in new[] { "-f", "-c", Path.Combine(_folder, "bird.conf"), "-s", Socket })
            start.ArgumentList.Add(argument);
        if (recover)
            start.ArgumentList.Add("-R");
        _process = Process.Start(start)!;
    }

    /// <summary>What birdc answers; the empty text while it is not up.</summary>
    public async Task<string> Ask(string command)
    {
        var start = new ProcessStartInfo("/usr/sbin/birdc")
        {
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true
        };
        foreach (var argument in new[] { "-s", Socket }.Concat(command.Split(' ')))
            start.ArgumentList.Add(argument);
        using var process = Process.Start(start)!;
        var text = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return text;
    }

    public async Task Crash()
    {
        _process!.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
        _process = null;
        File.Delete(Socket);
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is not null)
            await Crash();
        Directory.Delete(_folder, recursive: true);
    }

    private string Socket => Path.Combine(_folder, "bird.ctl");

    private string Configuration(string[] routes) => string.Create(CultureInfo.InvariantCulture, $$"""
        router id {{Address}};
        log "{{Path.Combine(_folder, "bird.log")}}" all;
        debug protocols all;
        graceful restart wait 20;
        protocol device { }
        protocol static own {
          ipv4;
          {{string.Join("\n  ", routes.Select(r => $"route {r} blackhole;"))}}
        }
        {{(AddPaths ? Twice(routes) : "")}}
        protocol bgp calico {
          local {{Address}} port {{Port}} as {{LocalAs}};
          neighbor {{Neighbour}} port {{Port}} as {{NeighbourAs}};
          source address {{Address}};
          strict bind yes;
          multihop;
          {{(Passive ? "passive on;" : "")}}
          {{(Password.Length > 0 ? $"password \"{Password}\";" : "")}}
          graceful restart on;
          graceful restart time {{RestartTime}};
          {{(LongLivedTime > 0 ? $"long lived graceful restart on; long lived stale time {LongLivedTime};" : "")}}
          connect delay time 1;
          connect retry time 1;
          error wait time 1, 2;
          ipv4 { {{(AddPaths ? "add paths on;" : "")}} import all; export where source = RTS_STATIC; };
        }
        """);

    private static string Twice(string[] routes) =>
        $"protocol static twice {{ ipv4; {string.Concat(routes.Select(r => $"route {r} unreachable; "))}}}";
}

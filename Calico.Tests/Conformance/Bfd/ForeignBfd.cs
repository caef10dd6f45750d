using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using Calico.Core.Bfd;
using Calico.Core.Net;
using Calico.Kernel.Namespaces;
using Calico.Tests.Conformance.Bgp.Interop;
using Calico.Tests.Kernel.Bfd;

namespace Calico.Tests.Conformance.Bfd;

/// <summary>A session as the foreign daemon's own tool shows it.</summary>
/// <param name="Interval">Between two packets of its own.</param>
/// <param name="DetectionTime">After how much silence it gives us up; zero while it does not hear us.</param>
internal sealed record ForeignBfdSession(bool IsUp, TimeSpan Interval, TimeSpan DetectionTime);

/// <summary>Another BFD implementation, run as Debian ships it in the test's other namespace.</summary>
internal abstract class ForeignBfd(NetworkNamespace inside) : IAsyncDisposable
{
    private Process? _process;

    protected string Folder { get; } = Directory.CreateTempSubdirectory("calico-bfd-").FullName;
    protected string Netns => Path.GetFileName(inside.Path);

    public abstract string Program { get; }

    public string Log => string.Join('\n', Directory.GetFiles(Folder, "*.log").Select(File.ReadAllText));

    /// <summary>Begins sessions with these endpoints, which are as we see them.</summary>
    public abstract Task StartAsync(BfdParameters parameters, params BfdEndpoint[] endpoints);

    /// <summary>The same sessions with other parameters.</summary>
    public abstract Task ChangeAsync(BfdParameters parameters);

    /// <summary>The session with that address of ours; null while there is none.</summary>
    public abstract Task<ForeignBfdSession?> FindAsync(IpAddr ours);

    /// <summary>An operator switches its sessions off or on.</summary>
    public abstract Task SwitchAsync(bool on);

    public virtual async ValueTask DisposeAsync()
    {
        await CrashAsync();
        Directory.Delete(Folder, recursive: true);
    }

    /// <summary>kill -9.</summary>
    public async Task CrashAsync()
    {
        if (_process is null)
            return;
        _process.Kill(entireProcessTree: true);
        await _process.WaitForExitAsync();
        _process.Dispose();
        _process = null;
    }

    protected void Run(string log, params string[] command) => _process = InteropBed.Start(Netns, Path.Combine(Folder, log), command);

    protected async Task<string> AskAsync(params string[] command)
    {
        var (status, output, _) = await ChildProcess.RunAsync(["ip", "netns", "exec", Netns, .. command]);
        return status == 0 ? output : "";
    }

    protected static string Milliseconds(TimeSpan interval) => interval.TotalMilliseconds.ToString(CultureInfo.InvariantCulture);
}

/// <summary>BIRD 2.</summary>
internal sealed partial class BirdBfd(NetworkNamespace inside) : ForeignBfd(inside)
{
    private BfdEndpoint[] _endpoints = [];

    public override string Program => "/usr/sbin/bird";

    /// <summary>Before the program; <c>nice</c> where others keep the machine busy on purpose.</summary>
    public string[] Before { get; init; } = [];

    private string Control => Path.Combine(Folder, "bird.ctl");
    private string Configuration => Path.Combine(Folder, "bird.conf");

    public override async Task StartAsync(BfdParameters parameters, params BfdEndpoint[] endpoints)
    {
        _endpoints = endpoints;
        await WriteAsync(parameters);
        Run("bird.out", [.. Before, Program, "-f", "-c", Configuration, "-s", Control]);
        await BfdBed.UntilAsync(async () => (await BirdAsync("show", "status")).Contains("up and running", StringComparison.Ordinal));
    }

    public override async Task ChangeAsync(BfdParameters parameters)
    {
        await WriteAsync(parameters);
        await BirdAsync("configure");
    }

    public override Task SwitchAsync(bool on) => BirdAsync(on ? "enable" : "disable", "b");

    public override async Task<ForeignBfdSession?> FindAsync(IpAddr ours)
    {
        foreach (var line in (await BirdAsync("show", "bfd", "sessions")).Split('\n'))
        {
            if (Columns().Split(line.Trim()) is [var address, _, var state, _, var interval, var timeout] && address == ours.ToString())
                return new ForeignBfdSession(state == "Up", Seconds(interval), Seconds(timeout));
        }
        return null;
    }

    private Task<string> BirdAsync(params string[] command) => AskAsync(["birdc", "-s", Control, .. command]);

    private Task WriteAsync(BfdParameters parameters)
    {
        var times = $"{{ min rx interval {Milliseconds(parameters.Interval)} ms; min tx interval {Milliseconds(parameters.Interval)} ms; "
            + $"idle tx interval 1 s; multiplier {parameters.Multiplier}; }};";
        return File.WriteAllTextAsync(Configuration, $$"""
            router id 192.0.2.2;
            log "{{Path.Combine(Folder, "bird.log")}}" { info, warning, error, bug, trace };
            protocol device { }
            protocol bfd b {
              debug { states, events };
              interface "*" {{times}}
              multihop {{times}}
            {{string.Join('\n', _endpoints.Select(e => $"  neighbor {e.Local} {(e.Multihop ? "" : "dev \"cable\" ")}local {e.Neighbour} multihop {(e.Multihop ? "on" : "off")};"))}}
            }
            """);
    }

    private static TimeSpan Seconds(string text) => TimeSpan.FromSeconds(double.Parse(text, CultureInfo.InvariantCulture));

    [GeneratedRegex(@"\s+")]
    private static partial Regex Columns();
}

/// <summary>FRR's bfdd, without zebra.</summary>
internal sealed class FrrBfd(NetworkNamespace inside) : ForeignBfd(inside)
{
    private BfdEndpoint[] _endpoints = [];

    public override string Program => "/usr/lib/frr/bfdd";

    public override async Task StartAsync(BfdParameters parameters, params BfdEndpoint[] endpoints)
    {
        _endpoints = endpoints;
        // It gives its rights away before it makes its sockets and reads its configuration.
        File.SetUnixFileMode(Folder, (UnixFileMode)0x1FF);
        await File.WriteAllLinesAsync(Path.Combine(Folder, "bfdd.conf"),
            ["bfd", .. endpoints.SelectMany(e => (string[])[$" {Peer(e)}", .. Times(parameters).Select(t => "  " + t), " exit"]), "exit"]);
        Run("bfdd.log", Program, "-P", "0", "-f", Path.Combine(Folder, "bfdd.conf"), "-z", Path.Combine(Folder, "z.api"),
            "-i", Path.Combine(Folder, "bfdd.pid"), "--vty_socket", Folder, "--bfdctl", Path.Combine(Folder, "bfdd.sock"), "--log", "stdout");
    }

    public override async Task ChangeAsync(BfdParameters parameters)
    {
        foreach (var endpoint in _endpoints)
            await ConfigureAsync(endpoint, Times(parameters));
    }

    public override async Task SwitchAsync(bool on)
    {
        foreach (var endpoint in _endpoints)
            await ConfigureAsync(endpoint, on ? "no shutdown" : "shutdown");
    }

    public override async Task<ForeignBfdSession?> FindAsync(IpAddr ours)
    {
        return Find(await VtyshAsync("show bfd peers json"), ours) is { } session ? Read(session) : null;
    }

    /// <summary>The session with that address of ours in what <c>show bfd peers json</c> prints; null while there is none.</summary>
    public static JsonElement? Find(string text, IpAddr ours)
    {
        if (!text.TrimStart().StartsWith('['))
            return null;
        using var document = JsonDocument.Parse(text);
        return document.RootElement.EnumerateArray().Cast<JsonElement?>().FirstOrDefault(s => s!.Value.GetProperty("peer").GetString() == ours.ToString())?.Clone();
    }

    public static ForeignBfdSession Read(JsonElement session)
    {
        TimeSpan Time(string name) => TimeSpan.FromMilliseconds(session.GetProperty(name).GetDouble());
        var tx = Later(Time("transmit-interval"), Time("remote-receive-interval"));
        var rx = Later(Time("receive-interval"), Time("remote-transmit-interval"));
        return new ForeignBfdSession(session.GetProperty("status").GetString() == "up", tx, rx * session.GetProperty("remote-detect-multiplier").GetInt32());
    }

    private static TimeSpan Later(TimeSpan a, TimeSpan b) => a > b ? a : b;

    private static string Peer(BfdEndpoint e) => $"peer {e.Local} {(e.Multihop ? "multihop " : "")}local-address {e.Neighbour}";

    private static string[] Times(BfdParameters parameters) =>
    [
        $"receive-interval {Milliseconds(parameters.Interval)}",
        $"transmit-interval {Milliseconds(parameters.Interval)}",
        string.Create(CultureInfo.InvariantCulture, $"detect-multiplier {parameters.Multiplier}"),
    ];

    private Task<string> ConfigureAsync(BfdEndpoint endpoint, params string[] lines) => VtyshAsync(["configure terminal", "bfd", Peer(endpoint), .. lines]);

    private Task<string> VtyshAsync(params string[] lines) =>
        AskAsync(["vtysh", "--vty_socket", Folder, "-d", "bfdd", .. lines.SelectMany(l => (string[])["-c", l])]);
}

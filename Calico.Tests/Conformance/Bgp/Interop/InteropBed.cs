using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Calico.Core.Net;
using Calico.Tests.Cni;
using Calico.Tests.Ctl;
using Calico.Tests.Kernel;

namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>
/// Two network namespaces with a cable: in ours <c>calico-node bgp</c> and BIRDs that feed it or its peer, in theirs another
/// implementation.
/// <code>
///   ours                                            theirs
///   BIRD 192.0.2.3 ──► calico-node bgp 192.0.2.1 ◄────────► 192.0.2.2
///        AS 4200000003          AS 4200000001               AS 4200000002, or ours
///   BIRD 192.0.2.4
///        AS 4200000004, or ours
/// </code>
/// </summary>
internal sealed class InteropBed : IAsyncDisposable
{
    public const uint OurAs = 4200000001;
    public const uint TheirAs = 4200000002;
    public const uint FeederAs = 4200000003;
    public const uint SecondFeederAs = 4200000004;

    /// <summary>Its routes for us: with everything that an attribute list can have, with nothing, and over IPv6.</summary>
    public static readonly string[] Fed = ["10.1.0.0/24 { bgp_community.add((65003, 1)); bgp_large_community.add((4200000003, 2, 3)); bgp_med = 7; }", "10.2.0.0/16", "fd00:1::/48 { bgp_community.add((65003, 1)); }"];

    private static int _last;

    private readonly string _folder = Directory.CreateTempSubdirectory("calico-interop-").FullName;
    private readonly TestNamespaces _world = new();
    private Process? _speaker;
    private bool _isOverIpv6;
    private readonly List<Feeder> _feeders = [];

    public string Ours { get; private set; } = "";
    public string Theirs { get; private set; } = "";
    public string Log => File.Exists(LogFile) ? File.ReadAllText(LogFile) : "";

    private string LogFile => Path.Combine(_folder, "speaker.log");
    private string Socket => Path.Combine(_folder, "bgp.sock");

    public async Task PrepareAsync()
    {
        Ours = NameOf(_world.Create().Path);
        Theirs = NameOf(_world.Create().Path);
        var cable = string.Create(CultureInfo.InvariantCulture, $"ciop{Environment.ProcessId % 10000}{Interlocked.Increment(ref _last)}");
        await IpAsync("link", "add", cable + "a", "netns", Ours, "type", "veth", "peer", "name", cable + "b", "netns", Theirs);
        foreach (var (ns, link, hosts) in new[] { (Ours, cable + "a", new[] { 1, 3, 4 }), (Theirs, cable + "b", [2]) })
        {
            await IpAsync("-n", ns, "link", "set", "lo", "up");
            await IpAsync("-n", ns, "link", "set", link, "up");
            foreach (var host in hosts)
            {
                await IpAsync("-n", ns, "addr", "add", $"192.0.2.{host}/24", "dev", link);
                await IpAsync("-n", ns, "addr", "add", $"fd00:192::{host}/64", "dev", link, "nodad");
            }
        }
    }

    /// <summary>Our speaker. Again after <see cref="KillAsync"/>.</summary>
    public async Task StartAsync(OurConfig config)
    {
        if (config.Password is not null)
        {
            Directory.CreateDirectory(Path.Combine(_folder, "secrets", "s"));
            await File.WriteAllTextAsync(Path.Combine(_folder, "secrets", "s", "key"), config.Password);
        }
        await File.WriteAllTextAsync(Path.Combine(_folder, "speaker.yaml"), config.Resources());
        File.Delete(Socket);
        _isOverIpv6 = config.OverIpv6;
        _speaker = Start(Ours, LogFile, ["env", "CALICO_BGP_SECRETS_DIR=" + Path.Combine(_folder, "secrets"), Artifacts.Node(), "bgp",
            "--config", Path.Combine(_folder, "speaker.yaml"), "--node", "router", "--metrics", "127.0.0.1:9091", "--socket", Socket, .. config.HasKernel ? (string[])[] : ["--no-fib"]]);
    }

    public async Task<Feeder> FeedAsync(int host, uint asn, params FeederSession[] sessions)
    {
        var feeder = new Feeder(Ours, host, asn);
        _feeders.Add(feeder);
        await feeder.StartAsync(sessions);
        return feeder;
    }

    /// <summary>kill -9 of our speaker.</summary>
    public async Task KillAsync()
    {
        _speaker!.Kill(entireProcessTree: true);
        await _speaker.WaitForExitAsync();
    }

    /// <summary>The route that we have of the foreign speaker; null for none.</summary>
    public async Task<JsonElement?> FindAsync(string prefix) => await ListAsync("received", prefix) is [var first, ..] ? first : null;

    /// <summary>What we have of the foreign speaker for a prefix, or tell it of one (<c>received</c>, <c>advertised</c>): each path once.</summary>
    public async Task<IReadOnlyList<JsonElement>> ListAsync(string what, string prefix)
    {
        using var runner = new CalicoctlRunner();
        var result = await runner.RunAsync(["bgp", what, Cidr.Parse(prefix).IsV4 && !_isOverIpv6 ? "192.0.2.2" : "fd00:192::2", prefix, "-o", "json", "--socket", Socket]);
        return result.ExitCode == 0 ? [.. JsonDocument.Parse(result.Out).RootElement.EnumerateArray()] : [];
    }

    /// <summary>What Prometheus would read of our speaker.</summary>
    public async Task<string> MetricsAsync() => (await ChildProcess.RunAsync("ip", "netns", "exec", Ours, "bash", "-c",
        "exec 3<>/dev/tcp/127.0.0.1/9091 && printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3")).Item2;

    /// <summary>Our sessions, as calicoctl shows them.</summary>
    public async Task<string> PeersAsync()
    {
        using var runner = new CalicoctlRunner();
        return (await runner.RunAsync(["bgp", "peers", "--socket", Socket])).Output;
    }

    public static Process Start(string netns, string log, params string[] command)
    {
        var start = new ProcessStartInfo("ip") { Environment = { ["LOG"] = log } };
        foreach (var argument in (string[])["netns", "exec", netns, "/bin/sh", "-c", "exec \"$@\" >>\"$LOG\" 2>&1", "sh", .. command])
            start.ArgumentList.Add(argument);
        return Process.Start(start)!;
    }

    public static async Task UntilAsync(Func<Task<bool>> condition, Func<Task<string>> what)
    {
        for (var i = 0; i < 600; i++)
        {
            if (await condition())
                return;
            await Task.Delay(100);
        }
        Assert.Fail("never: " + await what());
    }

    public static async Task IpAsync(params string[] arguments)
    {
        var (status, _, errors) = await ChildProcess.RunAsync(["ip", .. arguments]);
        Assert.True(status == 0, $"ip {string.Join(' ', arguments)}: {errors}");
    }

    private static string NameOf(string path) => Path.GetFileName(path);

    public async ValueTask DisposeAsync()
    {
        if (_speaker is not null)
        {
            if (!_speaker.HasExited)
                _speaker.Kill(entireProcessTree: true);
            await _speaker.WaitForExitAsync();
            _speaker.Dispose();
        }
        foreach (var feeder in _feeders)
            await feeder.DisposeAsync();
        _world.Dispose();
        Directory.Delete(_folder, recursive: true);
    }
}

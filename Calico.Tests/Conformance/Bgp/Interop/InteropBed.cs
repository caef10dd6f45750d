using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Calico.Core.Net;
using Calico.Tests.Cni;
using Calico.Tests.Ctl;
using Calico.Tests.Kernel;

namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>
/// Two network namespaces with a cable: in ours <c>calico-node bgp</c> and a BIRD that feeds it, in theirs another
/// implementation.
/// <code>
///   ours                                            theirs
///   BIRD 192.0.2.3 ──► calico-node bgp 192.0.2.1 ◄────────► 192.0.2.2
///        AS 4200000003          AS 4200000001               AS 4200000002, or ours
/// </code>
/// </summary>
internal sealed class InteropBed : IAsyncDisposable
{
    public const uint OurAs = 4200000001;
    public const uint TheirAs = 4200000002;
    public const uint FeederAs = 4200000003;

    private static int _last;

    private readonly string _folder = Directory.CreateTempSubdirectory("calico-interop-").FullName;
    private readonly TestNamespaces _world = new();
    private Process? _speaker;
    private Process? _feeder;

    public string Ours { get; private set; } = "";
    public string Theirs { get; private set; } = "";
    public string Log => File.Exists(LogFile) ? File.ReadAllText(LogFile) : "";

    private string LogFile => Path.Combine(_folder, "speaker.log");
    private string Socket => Path.Combine(_folder, "bgp.sock");
    private string Control => Path.Combine(_folder, "bird.ctl");

    public async Task PrepareAsync()
    {
        Ours = NameOf(_world.Create().Path);
        Theirs = NameOf(_world.Create().Path);
        var cable = string.Create(CultureInfo.InvariantCulture, $"ciop{Environment.ProcessId % 10000}{Interlocked.Increment(ref _last)}");
        await IpAsync("link", "add", cable + "a", "netns", Ours, "type", "veth", "peer", "name", cable + "b", "netns", Theirs);
        foreach (var (ns, link, hosts) in new[] { (Ours, cable + "a", new[] { 1, 3 }), (Theirs, cable + "b", [2]) })
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

    /// <summary>Our speaker, and the neighbour that it hears routes from. Again after <see cref="KillAsync"/>.</summary>
    public async Task StartAsync(uint theirAs = TheirAs, string? password = null)
    {
        if (password is not null)
        {
            Directory.CreateDirectory(Path.Combine(_folder, "secrets", "s"));
            await File.WriteAllTextAsync(Path.Combine(_folder, "secrets", "s", "key"), password);
        }
        await File.WriteAllTextAsync(Path.Combine(_folder, "speaker.yaml"), Resources(theirAs, password is not null));
        File.Delete(Socket);
        _speaker = Start(Ours, LogFile, "env", "CALICO_BGP_SECRETS_DIR=" + Path.Combine(_folder, "secrets"), Artifacts.Node(), "bgp",
            "--config", Path.Combine(_folder, "speaker.yaml"), "--node", "router", "--no-fib", "--socket", Socket);
        if (_feeder is null)
            await FeedAsync();
    }

    /// <summary>kill -9 of our speaker.</summary>
    public async Task KillAsync()
    {
        _speaker!.Kill(entireProcessTree: true);
        await _speaker.WaitForExitAsync();
    }

    /// <summary>Routes of the feeder go, or come back.</summary>
    public Task FeedsAsync(bool enabled) => ChildProcess.RunAsync("birdc", "-s", Control, enabled ? "enable" : "disable", "\"own*\"");

    /// <summary>The route that we have of the foreign speaker; null for none.</summary>
    public async Task<JsonElement?> FindAsync(string prefix)
    {
        using var runner = new CalicoctlRunner();
        var result = await runner.RunAsync(["bgp", "received", Cidr.Parse(prefix).IsV4 ? "192.0.2.2" : "fd00:192::2", prefix, "-o", "json", "--socket", Socket]);
        return result.ExitCode == 0 && JsonDocument.Parse(result.Out).RootElement is { } all && all.GetArrayLength() > 0 ? all[0] : null;
    }

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

    private async Task FeedAsync()
    {
        await File.WriteAllTextAsync(Path.Combine(_folder, "feeder.conf"), $$"""
            router id 192.0.2.3;
            protocol device { }
            protocol static own4 { ipv4; route 10.1.0.0/24 blackhole { bgp_community.add((65003, 1)); bgp_large_community.add((4200000003, 2, 3)); bgp_med = 7; }; route 10.2.0.0/16 blackhole; }
            protocol static own6 { ipv6; route fd00:1::/48 blackhole { bgp_community.add((65003, 1)); }; }
            protocol bgp four { local 192.0.2.3 as {{FeederAs}}; neighbor 192.0.2.1 as {{OurAs}}; passive; multihop; strict bind; ipv4 { import all; export all; }; }
            protocol bgp six { local fd00:192::3 as {{FeederAs}}; neighbor fd00:192::1 as {{OurAs}}; passive; multihop; strict bind; ipv6 { import all; export all; }; }
            """);
        _feeder = Start(Ours, Path.Combine(_folder, "feeder.log"), "/usr/sbin/bird", "-f", "-c", Path.Combine(_folder, "feeder.conf"), "-s", Control);
    }

    private static string Resources(uint theirAs, bool hasPassword) => $$"""
        apiVersion: projectcalico.org/v3
        kind: BGPConfiguration
        metadata: {name: default}
        spec: {asNumber: {{OurAs}}, nodeToNodeMeshEnabled: false}
        ---
        apiVersion: projectcalico.org/v3
        kind: Node
        metadata: {name: router}
        spec:
          bgp: {ipv4Address: 192.0.2.1/24, ipv6Address: "fd00:192::1/64"}
        """ + string.Concat(new[] { ("192.0.2.2", theirAs, hasPassword), ("fd00:192::2", theirAs, hasPassword), ("192.0.2.3", FeederAs, false), ("fd00:192::3", FeederAs, false) }
        .Select((p, i) => $$"""

        ---
        apiVersion: projectcalico.org/v3
        kind: BGPPeer
        metadata: {name: p{{i}}}
        spec:
          peerIP: "{{p.Item1}}"
          asNumber: {{p.Item2}}
          {{(p.Item3 ? "password: {secretKeyRef: {name: s, key: key}}" : "")}}
        """));

    private static async Task IpAsync(params string[] arguments)
    {
        var (status, _, errors) = await ChildProcess.RunAsync(["ip", .. arguments]);
        Assert.True(status == 0, $"ip {string.Join(' ', arguments)}: {errors}");
    }

    private static string NameOf(string path) => Path.GetFileName(path);

    public async ValueTask DisposeAsync()
    {
        foreach (var process in new[] { _speaker, _feeder }.OfType<Process>())
        {
            if (!process.HasExited)
                process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync();
            process.Dispose();
        }
        _world.Dispose();
        Directory.Delete(_folder, recursive: true);
    }
}

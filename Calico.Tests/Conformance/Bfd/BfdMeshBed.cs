using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Calico.Kernel.Namespaces;
using Calico.Tests.Conformance.Bgp.Interop;
using Calico.Tests.Ctl;
using Calico.Tests.Kernel;

namespace Calico.Tests.Conformance.Bfd;

/// <summary>One end of a watched path, as its own speaker tells it.</summary>
internal sealed record WatchedEnd(int Node, string Peer, string BgpState, string? BfdState, long Ups, long Downs, string? Diagnostic, long PathFailures, long Established, long Received)
{
    public bool IsUp => (BgpState, BfdState) == ("Established", "Up");
}

/// <summary>
/// Nodes in a full mesh, each as its program in a namespace of its own, behind one switch; all watch each other by BFD. A BIRD beside
/// them tells the first node a table, which it passes on to the others.
/// <code>
///   node1 192.0.2.1 ─┬─ node2 .2   the last one's collections stop all of its threads
///                    ├─ …
///   BIRD  .100 ──────┘
///   AS 65100
/// </code>
/// </summary>
internal sealed class BfdMeshBed(int nodes, string bfd, int routes) : IAsyncDisposable
{
    private const int FeederHost = 100;

    private readonly string _folder = Directory.CreateTempSubdirectory("calico-bfdmesh-").FullName;
    private readonly TestNamespaces _world = new();
    private readonly List<Process> _processes = [];

    public int Nodes => nodes;
    public int Routes => routes;

    /// <summary>How often a session of the BIRD left Up, as its log has it.</summary>
    public int FeederDowns => !File.Exists(FeederLog) ? 0 : File.ReadLines(FeederLog).Count(l => l.Contains("changed state from Up to Down", StringComparison.Ordinal));

    /// <summary>What the speakers wrote about BFD and sessions.</summary>
    public string Log => string.Join('\n', Enumerable.Range(1, nodes).SelectMany(n => File.ReadLines(LogOf(n)).Where(l => l.Contains("bfd", StringComparison.OrdinalIgnoreCase) || l.Contains("bgp session", StringComparison.Ordinal)).Select(l => $"node{n}: {l}")));

    /// <summary>The most memory that each process had, of the nodes in turn and the BIRD.</summary>
    public IReadOnlyList<long> PeakMegabytes => [.. _processes.Take(nodes + 1).Select(p => p.HasExited ? 0 : PeakOf(p.Id))];

    private string FeederLog => Path.Combine(_folder, "bird.log");
    private string Control => Path.Combine(_folder, "bird.ctl");

    public async Task StartAsync()
    {
        var bridge = _world.Create();
        await IpAsync("-n", Name(bridge), "link", "add", "bridge", "type", "bridge");
        await IpAsync("-n", Name(bridge), "link", "set", "bridge", "up");
        await File.WriteAllTextAsync(Path.Combine(_folder, "mesh.yaml"), Resources());
        for (var node = 1; node <= nodes; node++)
        {
            var inside = await WireAsync(bridge, node);
            string[] torture = node == nodes ? ["DOTNET_gcConcurrent=0", "DOTNET_GCgen0size=400000"] : [];
            _processes.Add(InteropBed.Start(Name(inside), LogOf(node), ["env", "CALICO_BFD=" + bfd, .. torture, Artifacts.Node(), "bgp",
                "--config", Path.Combine(_folder, "mesh.yaml"), "--node", string.Create(CultureInfo.InvariantCulture, $"node{node}"), "--no-fib", "--socket", SocketOf(node)]));
        }
        var feeder = await WireAsync(bridge, FeederHost);
        await File.WriteAllTextAsync(Path.Combine(_folder, "bird.conf"), Feeder());
        _processes.Add(InteropBed.Start(Name(feeder), FeederLog, "/usr/sbin/bird", "-f", "-c", Path.Combine(_folder, "bird.conf"), "-s", Control));
    }

    /// <summary>Whoever keeps the machine busy: a loop at the usual priority.</summary>
    public void Burn() => _processes.Add(InteropBed.Start(Name(_world.Create()), "/dev/null", "/bin/sh", "-c", "while :; do :; done"));

    /// <summary>The table goes, or comes.</summary>
    public Task TellAsync(bool enabled) => ChildProcess.RunAsync("birdc", "-s", Control, enabled ? "enable" : "disable", "own");

    /// <summary>Every end of every path; those of a speaker that does not answer are missing.</summary>
    public async Task<IReadOnlyList<WatchedEnd>> EndsAsync()
    {
        List<WatchedEnd> ends = [];
        for (var node = 1; node <= nodes; node++)
        {
            using var runner = new CalicoctlRunner();
            var result = await runner.RunAsync(["bgp", "peers", "-o", "json", "--socket", SocketOf(node)]);
            if (result.ExitCode == 0)
                ends.AddRange(JsonDocument.Parse(result.Out).RootElement.GetProperty("peers").EnumerateArray().Select(p => EndOf(node, p)));
        }
        return ends;
    }

    /// <summary>How many ends there are: of each pair of nodes two, and one of the BIRD's.</summary>
    public int EndCount => (nodes * (nodes - 1)) + 1;

    public async ValueTask DisposeAsync()
    {
        foreach (var process in _processes)
        {
            if (!process.HasExited)
                process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync();
            process.Dispose();
        }
        _world.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private static WatchedEnd EndOf(int node, JsonElement peer)
    {
        var watched = peer.GetProperty("bfd") is { ValueKind: JsonValueKind.Object } found ? found : (JsonElement?)null;
        long Count(string of) => watched?.GetProperty(of) is { ValueKind: JsonValueKind.Number } count ? count.GetInt64() : 0;
        return new WatchedEnd(node, peer.GetProperty("address").GetString()!, peer.GetProperty("state").GetString()!, watched?.GetProperty("state").GetString(),
            Count("ups"), Count("downs"), watched?.GetProperty("diagnostic").GetString(), peer.GetProperty("pathFailures").GetInt64(),
            peer.GetProperty("established").GetInt64(), peer.GetProperty("received").GetInt64());
    }

    private string LogOf(int node) => Path.Combine(_folder, string.Create(CultureInfo.InvariantCulture, $"node{node}.log"));

    private string SocketOf(int node) => Path.Combine(_folder, string.Create(CultureInfo.InvariantCulture, $"node{node}.sock"));

    private async Task<NetworkNamespace> WireAsync(NetworkNamespace bridge, int host)
    {
        var inside = _world.Create();
        var port = string.Create(CultureInfo.InvariantCulture, $"to{host}");
        await IpAsync("-n", Name(inside), "link", "set", "lo", "up");
        await IpAsync("link", "add", "cable", "netns", Name(inside), "type", "veth", "peer", "name", port, "netns", Name(bridge));
        await IpAsync("-n", Name(bridge), "link", "set", port, "master", "bridge", "up");
        await IpAsync("-n", Name(inside), "addr", "add", string.Create(CultureInfo.InvariantCulture, $"192.0.2.{host}/24"), "dev", "cable");
        await IpAsync("-n", Name(inside), "link", "set", "cable", "up");
        return inside;
    }

    private string Resources() => """
        apiVersion: projectcalico.org/v3
        kind: BGPConfiguration
        metadata: {name: default}
        spec: {asNumber: 65001}
        ---
        apiVersion: projectcalico.org/v3
        kind: BGPPeer
        metadata: {name: feeder}
        spec: {node: node1, peerIP: 192.0.2.100, asNumber: 65100}
        """ + string.Concat(Enumerable.Range(1, nodes).Select(node => string.Create(CultureInfo.InvariantCulture, $$"""

        ---
        apiVersion: projectcalico.org/v3
        kind: Node
        metadata: {name: node{{node}}}
        spec:
          bgp: {ipv4Address: 192.0.2.{{node}}/24}
        """)));

    // Eight prefixes have their attributes in common, as in a table of the Internet's.
    private string Feeder()
    {
        var text = new StringBuilder(string.Create(CultureInfo.InvariantCulture, $$"""
            router id 192.0.2.{{FeederHost}};
            log stderr { info, warning, error, bug, trace };
            protocol device { }
            protocol bfd { debug { states, events }; interface "*" { interval 300 ms; idle tx interval 300 ms; multiplier 3; }; }
            protocol bgp node1 {
              local 192.0.2.{{FeederHost}} as 65100; neighbor 192.0.2.1 as 65001; bfd graceful; graceful restart on; connect delay time 1; connect retry time 1;
              ipv4 { import all; export where source = RTS_STATIC; };
            }
            protocol static own { disabled; ipv4;

            """));
        for (var i = 0; i < routes; i++)
            text.Append(CultureInfo.InvariantCulture, $"route {20 + (i >> 16)}.{(i >> 8) & 255}.{i & 255}.0/24 blackhole {{ bgp_community.add((65100, {(i >> 3) & 0xFFFF})); }};\n");
        return text.Append("}\n").ToString();
    }

    // VmHWM:   123456 kB
    private static long PeakOf(int pid) => File.ReadLines($"/proc/{pid}/status").Where(l => l.StartsWith("VmHWM:", StringComparison.Ordinal))
        .Select(l => long.Parse(l.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) / 1024).FirstOrDefault();

    private static async Task IpAsync(params string[] arguments)
    {
        var (status, _, errors) = await ChildProcess.RunAsync(["ip", .. arguments]);
        Assert.True(status == 0, $"ip {string.Join(' ', arguments)}: {errors}");
    }

    private static string Name(NetworkNamespace inside) => Path.GetFileName(inside.Path);
}

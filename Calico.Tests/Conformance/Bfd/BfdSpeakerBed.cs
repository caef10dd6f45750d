using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Calico.Core.Net;
using Calico.Kernel.Namespaces;
using Calico.Tests.Cni;
using Calico.Tests.Conformance.Bgp.Interop;
using Calico.Tests.Ctl;
using Calico.Tests.Kernel;

namespace Calico.Tests.Conformance.Bfd;

/// <summary>
/// Our speaker as its program, with a kernel of its own, and two BIRDs that announce one prefix behind a bridge that the test can
/// unplug: neither end loses its carrier by that.
/// <code>
///   ours                          switch                 left    BIRD 192.0.2.2, AS 65002: 10.65.9.0/26, 10.65.2.0/26
///   calico-node bgp 192.0.2.1 ───► bridge ──────────────►
///        AS 65001                        └─────────────► right   BIRD 192.0.2.3, AS 65003: 10.65.9.0/26, the longer path
/// </code>
/// </summary>
internal sealed class BfdSpeakerBed : IAsyncDisposable
{
    public const string Shared = "10.65.9.0/26";
    public const string OnlyLeft = "10.65.2.0/26";

    // Inside the shared prefix; both have it.
    private const string Target = "10.65.9.1";
    private const int Port = 9000;

    private readonly string _folder = Directory.CreateTempSubdirectory("calico-bfd-").FullName;
    private readonly TestNamespaces _world = new();
    private readonly Dictionary<string, Process> _birds = [];
    private readonly NetworkNamespace _ours;
    private readonly NetworkNamespace _left;
    private readonly NetworkNamespace _right;
    private readonly NetworkNamespace _switch;

    public BfdSpeakerBed() => (_ours, _left, _right, _switch) = (_world.Create(), _world.Create(), _world.Create(), _world.Create());

    public Process? Speaker { get; private set; }

    /// <summary>Where left is.</summary>
    public NetworkNamespace Left => _left;

    public string Log => File.Exists(LogFile) ? File.ReadAllText(LogFile) : "";

    public string BirdLogs => string.Join('\n', Directory.GetFiles(_folder, "*.log").Where(f => f != LogFile).Select(f => $"{Path.GetFileName(f)}:\n{File.ReadAllText(f)}"));

    private string LogFile => Path.Combine(_folder, "speaker.log");
    private string ConfigFile => Path.Combine(_folder, "speaker.yaml");
    private string Socket => Path.Combine(_folder, "bgp.sock");

    public async Task PrepareAsync()
    {
        await IpAsync("-n", Name(_switch), "link", "add", "bridge", "type", "bridge");
        await IpAsync("-n", Name(_switch), "link", "set", "bridge", "up");
        foreach (var (inside, port, host) in new[] { (_ours, "ours", 1), (_left, "left", 2), (_right, "right", 3) })
        {
            await IpAsync("-n", Name(inside), "link", "set", "lo", "up");
            await IpAsync("link", "add", "cable", "netns", Name(inside), "type", "veth", "peer", "name", port, "netns", Name(_switch));
            await IpAsync("-n", Name(_switch), "link", "set", port, "master", "bridge", "up");
            await IpAsync("-n", Name(inside), "addr", "add", string.Create(CultureInfo.InvariantCulture, $"192.0.2.{host}/24"), "dev", "cable");
            await IpAsync("-n", Name(inside), "link", "set", "cable", "up");
        }
        foreach (var inside in new[] { _left, _right })
            await IpAsync("-n", Name(inside), "addr", "add", Target + "/32", "dev", "lo");
    }

    /// <summary>From here on no frame passes between left and the others; no device goes down.</summary>
    public Task UnplugLeftAsync() => IpAsync("-n", Name(_switch), "link", "set", "left", "nomaster");

    public Task PlugLeftAsync() => IpAsync("-n", Name(_switch), "link", "set", "left", "master", "bridge");

    public async Task<bool> HasCarrierAsync() => (await IpAsync("-n", Name(_ours), "-o", "link", "show", "cable")).Contains("LOWER_UP", StringComparison.Ordinal);

    /// <summary>The route to the shared prefix in our kernel, as <c>ip</c> shows it.</summary>
    public Task<string> KernelRouteAsync() => IpAsync("-n", Name(_ours), "-o", "route", "show", Shared);

    /// <summary>Starts the speaker with this CALICO_BFD; again after its end.</summary>
    public async Task StartSpeakerAsync(string bfd, string resources)
    {
        await File.WriteAllTextAsync(ConfigFile, resources);
        File.Delete(Socket);
        Speaker?.Dispose();
        Speaker = InteropBed.Start(Name(_ours), LogFile, "env", "CALICO_BFD=" + bfd, Artifacts.Node(), "bgp", "--config", ConfigFile, "--node", "router", "--socket", Socket);
    }

    /// <summary>Sends a signal to the speaker; returns when it has ended, if that is what the signal does.</summary>
    public async Task SignalAsync(string signal)
    {
        var (status, _, errors) = await ChildProcess.RunAsync("kill", signal, Speaker!.Id.ToString(CultureInfo.InvariantCulture));
        Assert.True(status == 0, errors);
        if (signal == "-KILL")
            await Speaker.WaitForExitAsync();
    }

    public Task ChangeAsync(string resources) => File.WriteAllTextAsync(ConfigFile, resources);

    /// <param name="annotations">Of the two peers, as a YAML map without its braces.</param>
    /// <param name="isInternal">Whether they are of our AS.</param>
    public static string Resources(string annotations = "", bool isInternal = false) => """
        apiVersion: projectcalico.org/v3
        kind: BGPConfiguration
        metadata: {name: default}
        spec: {asNumber: 65001, nodeToNodeMeshEnabled: false}
        ---
        apiVersion: projectcalico.org/v3
        kind: Node
        metadata: {name: router}
        spec:
          bgp: {ipv4Address: 192.0.2.1/24}
        """ + string.Concat(new[] { 2, 3 }.Select(host => string.Create(CultureInfo.InvariantCulture, $$"""

        ---
        apiVersion: projectcalico.org/v3
        kind: BGPPeer
        metadata: {name: "bird{{host}}", annotations: { {{annotations}} } }
        spec: {peerIP: 192.0.2.{{host}}, asNumber: 6500{{(isInternal ? 1 : host)}}}
        """)));

    /// <summary>Both BIRDs, with BFD of 100 ms and 3.</summary>
    /// <param name="keptOverRestarts">Whether routes outlive a session (RFC 4724), theirs here and ours there.</param>
    /// <param name="isInternal">Whether they are of our AS, and then of several hops, as is BIRD's default.</param>
    public async Task StartBirdsAsync(bool keptOverRestarts, bool isInternal = false)
    {
        await StartBirdAsync("left", _left, 2, [Shared, OnlyLeft], "", keptOverRestarts, isInternal);
        await StartRightAsync(keptOverRestarts, isInternal);
    }

    /// <summary>The BIRD with the longer path alone: somebody else is left.</summary>
    public Task StartRightAsync(bool keptOverRestarts, bool isInternal = false) =>
        StartBirdAsync("right", _right, 3, [Shared], "bgp_path.prepend(65003);", keptOverRestarts, isInternal);

    /// <param name="bird"><c>left</c> or <c>right</c>.</param>
    /// <param name="command">Of birdc.</param>
    public async Task<string> AskAsync(string bird, params string[] command) =>
        (await ChildProcess.RunAsync(["birdc", "-s", Control(bird), .. command])).Output;

    /// <summary>What <c>calicoctl bgp peers -o json</c> says of the session with left or right; null while it says nothing.</summary>
    public async Task<JsonElement?> PeerAsync(string bird)
    {
        using var runner = new CalicoctlRunner();
        var result = await runner.RunAsync(["bgp", "peers", "-o", "json", "--socket", Socket]);
        if (result.ExitCode != 0)
            return null;
        var address = bird == "left" ? "192.0.2.2" : "192.0.2.3";
        return JsonDocument.Parse(result.Out).RootElement.GetProperty("peers").EnumerateArray().Cast<JsonElement?>()
            .FirstOrDefault(p => p!.Value.GetProperty("address").GetString() == address);
    }

    /// <summary>What <c>calicoctl bgp peers</c> prints.</summary>
    public async Task<string> PeersAsync()
    {
        using var runner = new CalicoctlRunner();
        return (await runner.RunAsync(["bgp", "peers", "--socket", Socket])).Output;
    }

    /// <summary>Datagrams from here to an address of the shared prefix, and who gets them.</summary>
    public BfdTraffic Send() => new(
        _ours.Run(() => new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp)),
        new IPEndPoint(IPAddress.Parse(Target), Port), Listening(_left), Listening(_right));

    public async ValueTask DisposeAsync()
    {
        foreach (var process in _birds.Values.Append(Speaker).OfType<Process>())
        {
            if (!process.HasExited)
                process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync();
            process.Dispose();
        }
        _world.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private async Task StartBirdAsync(string bird, NetworkNamespace inside, int host, string[] prefixes, string mark, bool keptOverRestarts, bool isInternal)
    {
        var configuration = Path.Combine(_folder, bird + ".conf");
        await File.WriteAllTextAsync(configuration, string.Create(CultureInfo.InvariantCulture, $$"""
            router id 192.0.2.{{host}};
            log stderr all;
            debug protocols { states, events };
            protocol device { }
            protocol static own { ipv4; {{string.Concat(prefixes.Select(p => $"route {p} blackhole; "))}} }
            protocol bfd {
              interface "*" { min rx interval 100 ms; min tx interval 100 ms; idle tx interval 300 ms; multiplier 3; };
              multihop { min rx interval 100 ms; min tx interval 100 ms; idle tx interval 300 ms; multiplier 3; };
            }
            protocol bgp calico {
              local 192.0.2.{{host}} as 6500{{(isInternal ? 1 : host)}}; neighbor 192.0.2.1 as 65001; {{(isInternal ? "" : "direct;")}} bfd {{(keptOverRestarts ? "graceful" : "on")}};
              graceful restart {{(keptOverRestarts ? "on; graceful restart time 60" : "off")}}; connect delay time 1; connect retry time 1; error wait time 1, 2;
              ipv4 { import all; export filter { if source != RTS_STATIC then reject; {{mark}} accept; }; };
            }
            """));
        _birds.Add(bird, InteropBed.Start(Name(inside), Path.Combine(_folder, bird + ".log"), "/usr/sbin/bird", "-f", "-c", configuration, "-s", Control(bird)));
    }

    private static Socket Listening(NetworkNamespace inside) => inside.Run(() =>
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        socket.Bind(new IPEndPoint(IPAddress.Parse(Target), Port));
        return socket;
    });

    private string Control(string bird) => Path.Combine(_folder, bird + ".ctl");

    private static async Task<string> IpAsync(params string[] arguments)
    {
        var (status, output, errors) = await ChildProcess.RunAsync(["ip", .. arguments]);
        Assert.True(status == 0, $"ip {string.Join(' ', arguments)}: {errors}");
        return output;
    }

    private static string Name(NetworkNamespace inside) => Path.GetFileName(inside.Path);
}

/// <summary>A datagram every five milliseconds, and when each end got one first and last.</summary>
internal sealed class BfdTraffic : IDisposable
{
    private readonly Socket _from;
    private readonly Socket _left;
    private readonly Socket _right;
    private readonly ManualResetEventSlim _ended = new();
    private readonly Thread _thread;
    private long _lastLeft;
    private long _firstRight;

    public BfdTraffic(Socket from, IPEndPoint to, Socket left, Socket right)
    {
        (_from, _left, _right) = (from, left, right);
        _thread = new Thread(() => Run(to)) { IsBackground = true };
        _thread.Start();
    }

    public bool LeftGets => Volatile.Read(ref _lastLeft) != 0;
    public bool RightGets => Volatile.Read(ref _firstRight) != 0;

    /// <summary>For how long nobody got anything.</summary>
    public TimeSpan Gap => Stopwatch.GetElapsedTime(Volatile.Read(ref _lastLeft), Volatile.Read(ref _firstRight));

    public void Dispose()
    {
        _ended.Set();
        _thread.Join();
        foreach (var socket in new[] { _from, _left, _right })
            socket.Dispose();
        _ended.Dispose();
    }

    private void Run(IPEndPoint to)
    {
        var octets = new byte[1];
        while (!_ended.Wait(5))
        {
            try
            {
                _from.SendTo(octets, to);
            }
            catch (SocketException)
            {
                // No route, or nobody answers for the next hop.
            }
            if (Drain(_left))
                Volatile.Write(ref _lastLeft, Stopwatch.GetTimestamp());
            if (Drain(_right) && !RightGets)
                Volatile.Write(ref _firstRight, Stopwatch.GetTimestamp());
        }
    }

    private static bool Drain(Socket socket)
    {
        var any = false;
        for (var octets = new byte[1]; socket.Available > 0; any = true)
            socket.Receive(octets);
        return any;
    }
}

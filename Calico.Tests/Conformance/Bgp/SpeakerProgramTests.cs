using System.Diagnostics;
using System.Globalization;
using Calico.Core.Net;
using Calico.Tests.Cni;
using Xunit.Abstractions;

namespace Calico.Tests.Conformance.Bgp;

/// <summary><c>calico-node bgp</c> as a process of its own between two BIRDs of other ASes, over loopback addresses.</summary>
[Layer("conformance")]
public sealed class SpeakerProgramTests : IAsyncLifetime
{
    private static int _networks = Environment.ProcessId & 63;

    private readonly ITestOutputHelper _output;
    private readonly string _folder = Directory.CreateTempSubdirectory("calico-speaker-").FullName;
    private readonly int _x = 1 + (Interlocked.Increment(ref _networks) % 250);
    private readonly int _y = Random.Shared.Next(1, 250);
    private readonly BirdDaemon _left;
    private readonly BirdDaemon _right;
    private Process? _speaker;

    public SpeakerProgramTests(ITestOutputHelper output)
    {
        _output = output;
        (_left, _right) = (Bird(2, 65002), Bird(3, 65003));
    }

    [SkippableFact]
    public async Task Routes_of_one_neighbour_go_to_the_other_and_a_changed_file_disturbs_no_session()
    {
        Skip.IfNot(BirdDaemon.IsInstalled, "bird2 is not installed");
        await StartAsync(Peers(2));
        await _left.Start(["10.65.2.0/26"]);
        await _right.Start(["10.65.3.0/26"]);
        await UntilAsync(_left, "show protocols calico", "Established");
        var since = await SinceAsync(_left);

        await File.WriteAllTextAsync(ConfigFile, Peers(2, 3));
        await UntilAsync(_right, "show route 10.65.2.0/26 all protocol calico", "BGP.as_path: 65000 65002", $"BGP.next_hop: {Address(1)}");
        await UntilAsync(_left, "show route 10.65.3.0/26 all protocol calico", "BGP.as_path: 65000 65003", $"BGP.next_hop: {Address(1)}");
        Assert.Equal(since, await SinceAsync(_left));

        // One that cannot be used changes nothing.
        await File.WriteAllTextAsync(ConfigFile, "nonsense: [");
        await WaitAsync(() => Task.FromResult(Log.Contains("the configuration stays as it was", StringComparison.Ordinal)), "it says so");
        await UntilAsync(_right, "show route 10.65.2.0/26 protocol calico", "10.65.2.0/26");
        Assert.Equal(since, await SinceAsync(_left));
    }

    [SkippableFact]
    public async Task A_file_behind_a_link_is_read_again_when_the_link_turns_as_that_of_a_mounted_ConfigMap()
    {
        Skip.IfNot(BirdDaemon.IsInstalled, "bird2 is not installed");
        foreach (var (version, hosts) in ((string, int[])[])[("..1", [2]), ("..2", [2, 3])])
        {
            Directory.CreateDirectory(Path.Combine(_folder, version));
            await File.WriteAllTextAsync(Path.Combine(_folder, version, "speaker.yaml"), Peers(hosts));
        }
        Directory.CreateSymbolicLink(Path.Combine(_folder, "..data"), "..1");
        File.CreateSymbolicLink(ConfigFile, "..data/speaker.yaml");
        Start();
        await _left.Start(["10.65.2.0/26"]);
        await _right.Start(["10.65.3.0/26"]);
        await UntilAsync(_left, "show protocols calico", "Established");

        Directory.CreateSymbolicLink(Path.Combine(_folder, "..next"), "..2");
        Directory.Delete(Path.Combine(_folder, "..data"));
        Directory.Move(Path.Combine(_folder, "..next"), Path.Combine(_folder, "..data"));

        await UntilAsync(_right, "show protocols calico", "Established");
    }

    [SkippableFact]
    public async Task One_that_is_started_twice_says_so_and_takes_nothing_from_the_first()
    {
        Skip.IfNot(BirdDaemon.IsInstalled, "bird2 is not installed");
        await StartAsync(Peers(2));
        await _left.Start(["10.65.2.0/26"]);
        await UntilAsync(_left, "show protocols calico", "Established");
        var since = await SinceAsync(_left);

        Assert.Contains("another process answers there", await FailAsync("--socket", Socket), StringComparison.Ordinal);
        Assert.Contains($"another process listens on port 1179 of {Address(1)}", await FailAsync(), StringComparison.Ordinal);

        Assert.Equal(since, await SinceAsync(_left));
        Assert.Contains($"\t{Address(2)}\t65002\tEstablished\t", await CalicoctlAsync("peers"), StringComparison.Ordinal);
    }

    private async Task<string> FailAsync(params string[] args)
    {
        using var second = Process.Start(new ProcessStartInfo(Artifacts.Node(), ["bgp", "--config", ConfigFile, "--node", "router", "--no-fib", .. args]) { RedirectStandardError = true })!;
        try
        {
            var said = await second.StandardError.ReadToEndAsync().WaitAsync(TimeSpan.FromSeconds(20));
            await second.WaitForExitAsync();
            Assert.Equal(1, second.ExitCode);
            return said;
        }
        finally
        {
            second.Kill();
        }
    }

    [SkippableFact]
    public async Task Calicoctl_shows_its_sessions_its_routes_and_why_it_chose_them()
    {
        Skip.IfNot(BirdDaemon.IsInstalled, "bird2 is not installed");
        await StartAsync(Peers(2, 3));
        await _left.Start(["10.65.2.0/26", "10.65.9.0/26"]);
        await _right.Start(["10.65.9.0/26"]);
        await UntilAsync(_right, "show route 10.65.2.0/26 protocol calico", "10.65.2.0/26");

        Assert.Contains($"\t{Address(2)}\t65002\tEstablished\t", await CalicoctlAsync("peers"), StringComparison.Ordinal);
        var routes = (await CalicoctlAsync("routes")).Split('\n');
        Assert.Contains($"*\t10.65.2.0/26\t{Address(2)}\t{Address(2)}\t\t\t65002\tigp\t", routes);
        await WaitAsync(async () => (await CalicoctlAsync("routes", "10.65.9.0/26")).Split('\n').Length == 4, "both routes are there");
        Assert.DoesNotContain("10.65.2.0/26", await CalicoctlAsync("received", Address(3).ToString()), StringComparison.Ordinal);
        Assert.Contains($"10.65.2.0/26\t{Address(1)}\t{Address(2)}\t\t\t65000 65002\t", await CalicoctlAsync("advertised", Address(3).ToString()), StringComparison.Ordinal);
        var why = await CalicoctlAsync("explain", "10.65.9.7");
        Assert.StartsWith("10.65.9.0/26\n", why, StringComparison.Ordinal);
        Assert.Contains("\tthe best\n", why, StringComparison.Ordinal);
        Assert.Contains($"router id {Address(3)}, the best has {Address(2)}", why, StringComparison.Ordinal);

        Assert.Contains("no route leads to 192.0.2.0/24", (await TryCalicoctlAsync("explain", "192.0.2.0/24")).Error, StringComparison.Ordinal);
        Assert.Contains($"is no peer of this speaker; its peers are: Global_", (await TryCalicoctlAsync("received", "192.0.2.1")).Error, StringComparison.Ordinal);
        using var json = System.Text.Json.JsonDocument.Parse(await CalicoctlAsync("routes", "-o", "json"));
        Assert.Equal(3, json.RootElement.GetArrayLength());
    }

    [SkippableFact]
    public async Task Routes_of_one_that_stays_away_are_the_last_choice_here_and_at_birds()
    {
        Skip.IfNot(BirdDaemon.IsInstalled, "bird2 is not installed");
        await using var left = new BirdDaemon { Address = Address(2), Neighbour = Address(1), Port = 1179, LocalAs = 65002, NeighbourAs = 65000, RestartTime = 1, LongLivedTime = 3600 };
        await using var right = new BirdDaemon { Address = Address(3), Neighbour = Address(1), Port = 1179, LocalAs = 65003, NeighbourAs = 65000, RestartTime = 1, LongLivedTime = 3600 };
        await StartAsync(Peers(2, 3).Replace("  asNumber: 6500", "  maxRestartTime: 1s\n  asNumber: 6500", StringComparison.Ordinal), ("CALICO_BGP_LONG_LIVED_TIME", "3600"));
        await left.Start(["10.65.2.0/26"]);
        await right.Start(["10.65.3.0/26"]);
        await UntilAsync(right, "show route 10.65.2.0/26 protocol calico", "10.65.2.0/26");
        await UntilAsync(left, "show route 10.65.3.0/26 protocol calico", "10.65.3.0/26");

        await left.Crash();
        await WaitAsync(async () => (await CalicoctlAsync("routes", "10.65.2.0/26")).Contains("\t65535:6\n", StringComparison.Ordinal), "the route is marked here");
        await UntilAsync(right, "show route 10.65.2.0/26 all protocol calico", "BGP.community: (65535,6)");

        _speaker!.Kill();
        await UntilAsync(right, "show route 10.65.2.0/26 all protocol calico", "BGP.community: (65535,6)", "65000 65002");
        await UntilAsync(right, "show route protocol calico all", "10.65.2.0/26", "(65535,6)");
    }

    [SkippableFact]
    public async Task Others_read_its_table_and_it_reads_theirs()
    {
        Skip.IfNot(BirdDaemon.IsInstalled, "bird2 is not installed");
        await StartAsync(Peers(2, 3));
        await _left.Start(["10.65.2.0/26"]);
        await _right.Start(["10.65.3.0/26"]);
        await UntilAsync(_right, "show route 10.65.2.0/26 protocol calico", "10.65.2.0/26");
        await UntilAsync(_left, "show route 10.65.3.0/26 protocol calico", "10.65.3.0/26");
        var (ours, theirs) = (Path.Combine(_folder, "ours.mrt"), Path.Combine(_folder, "theirs.mrt"));

        var said = await CalicoctlAsync("dump", ours);
        Assert.Equal($"{ours}: {new FileInfo(ours).Length} octets written\n", said);
        var lines = (await MrtAsync(ours)).Split('\n');
        Assert.Equal(2, lines.Length - 1);
        Assert.Contains(lines, l => l.StartsWith("TABLE_DUMP2|", StringComparison.Ordinal) && l.EndsWith($"|B|{Address(2)}|65002|10.65.2.0/26|65002|IGP|{Address(2)}|0|0||NAG||", StringComparison.Ordinal));
        Assert.Single((await MrtAsync(ours, "--peer", Address(3).ToString(), "--within", "10.65.0.0/16")).TrimEnd().Split('\n'));

        // BIRD's own dump.
        _output.WriteLine(await _right.Ask($"mrt dump table \"*\" to \"{theirs}\""));
        await WaitAsync(async () => File.Exists(theirs) && (await MrtAsync(theirs)).Contains($"|B|{Address(1)}|65000|10.65.2.0/26|65000 65002|IGP|{Address(1)}|", StringComparison.Ordinal), "BIRD's dump is whole" + (File.Exists(theirs) ? await MrtAsync(theirs) : ""));
        Skip.IfNot(File.Exists(GoBgpReader.Program), "gobgpd is not installed");
        await using var reader = new GoBgpReader(Address(9));
        await WaitAsync(async () => (await reader.AskAsync("global")).Contains("AS:", StringComparison.Ordinal), "gobgpd is up");
        // What it puts in its table is not all that it reads: the last routes of a file stay out.
        var read = await reader.AskAsync("-d", "mrt", "inject", "global", ours);
        Assert.Contains($"Addr [{Address(2)}] AS [65002]", read, StringComparison.Ordinal);
        Assert.Contains("Prefix [10.65.3.0/26]", read, StringComparison.Ordinal);
        Assert.Contains($"65002 {{Nexthop: {Address(2)}}}", read, StringComparison.Ordinal);
    }

    private static async Task<string> MrtAsync(params string[] args)
    {
        using var runner = new Ctl.CalicoctlRunner();
        var result = await runner.RunAsync(["bgp", "mrt", .. args]);
        return result.Out + result.Error;
    }

    private async Task<string> CalicoctlAsync(params string[] args)
    {
        var result = await TryCalicoctlAsync(args);
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        return result.Out;
    }

    private async Task<Ctl.CommandResult> TryCalicoctlAsync(params string[] args)
    {
        using var runner = new Ctl.CalicoctlRunner();
        return await runner.RunAsync(["bgp", .. args, "--socket", Socket]);
    }

    private string Socket => Path.Combine(_folder, "bgp.sock");

    private string ConfigFile => Path.Combine(_folder, "speaker.yaml");

    private string LogFile => Path.Combine(_folder, "speaker.log");

    private string Log => File.Exists(LogFile) ? File.ReadAllText(LogFile) : "";

    private IpAddr Address(int host) => IpAddr.Parse($"127.{_x}.{_y}.{host}");

    private BirdDaemon Bird(int host, uint localAs) => new()
    {
        Address = Address(host),
        Neighbour = Address(1),
        Port = 1179,
        LocalAs = localAs,
        NeighbourAs = 65000,
    };

    private string Peers(params int[] hosts) => string.Create(CultureInfo.InvariantCulture, $$"""
        apiVersion: projectcalico.org/v3
        kind: BGPConfiguration
        metadata: {name: default}
        spec: {asNumber: 65000, nodeToNodeMeshEnabled: false, listenPort: 1179}
        ---
        apiVersion: projectcalico.org/v3
        kind: Node
        metadata: {name: router}
        spec:
          bgp:
            ipv4Address: {{Address(1)}}/24
        """) + string.Concat(hosts.Select(h => string.Create(CultureInfo.InvariantCulture, $$"""

        ---
        apiVersion: projectcalico.org/v3
        kind: BGPPeer
        metadata: {name: "bird{{h}}"}
        spec:
          peerIP: "{{Address(h)}}:1179"
          asNumber: {{65000 + h}}
        """)));

    private async Task StartAsync(string config, params (string Name, string Value)[] environment)
    {
        await File.WriteAllTextAsync(ConfigFile, config);
        Start(environment);
    }

    private void Start(params (string Name, string Value)[] environment)
    {
        var start = new ProcessStartInfo("/bin/sh")
        {
            ArgumentList = { "-c", "exec \"$@\" 2>\"$LOG\"", "sh", Artifacts.Node(), "bgp", "--config", ConfigFile, "--node", "router", "--no-fib", "--socket", Socket },
            Environment = { ["LOG"] = LogFile },
        };
        foreach (var (name, value) in environment)
            start.Environment[name] = value;
        _speaker = Process.Start(start);
    }

    private static async Task<string> SinceAsync(BirdDaemon bird) =>
        (await bird.Ask("show protocols calico")).Split('\n').Single(l => l.StartsWith("calico", StringComparison.Ordinal)).TrimEnd();

    private static Task UntilAsync(BirdDaemon bird, string command, params string[] shown) =>
        WaitAsync(async () => await bird.Ask(command) is var text && shown.All(s => text.Contains(s, StringComparison.Ordinal)), $"bird shows {string.Join(", ", shown)}");

    private static async Task WaitAsync(Func<Task<bool>> condition, string what)
    {
        for (var i = 0; i < 600; i++)
        {
            if (await condition())
                return;
            await Task.Delay(100);
        }
        Assert.Fail($"never: {what}");
    }

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        if (_speaker is not null)
        {
            _speaker.Kill();
            await _speaker.WaitForExitAsync();
            _speaker.Dispose();
        }
        await _left.DisposeAsync();
        await _right.DisposeAsync();
        _output.WriteLine(Log);
        Directory.Delete(_folder, recursive: true);
    }
}

using System.Diagnostics;
using System.Globalization;
using Calico.Core.Net;
using Calico.Kernel.Namespaces;
using Calico.Tests.Conformance.Bgp.Interop;
using Calico.Tests.Kernel;

namespace Calico.Tests.Conformance.Bgp.Traffic;

/// <summary>
/// Two routers in a chain between two hosts, each in a network namespace. A host has addresses that nobody but its BIRD tells
/// of; what the routers know of them they know by BGP.
/// <code>
///   host 1 ───────────────── router 1 ─────────────── router 2 ───────────────── host 2
///   198.51.100.2      .1     192.0.2.1        .2     203.0.113.1             .2
///   10.1.0.1, fd00:1::1      AS 65001         AS 65002                        10.2.0.1, fd00:2::1
///   AS 65011                                                                  AS 65012
/// </code>
/// </summary>
internal sealed class RouterChain : IAsyncDisposable
{
    /// <summary>What host 1 and host 2 tell, always.</summary>
    public static readonly string[] Lasting = ["10.1.0.0/24", "fd00:1::/64", "10.2.0.0/24", "fd00:2::/64"];

    /// <summary>What host 1 tells until <see cref="LeaveAsync"/>.</summary>
    public const string Leaving = "10.1.9.0/24";

    private static int _last;

    private readonly TestNamespaces _world = new();
    private readonly string _folder = Directory.CreateTempSubdirectory("calico-chain-").FullName;
    private readonly List<Process> _processes = [];
    private readonly NetworkNamespace[] _hosts;
    private readonly string[] _names;
    private readonly string[] _routers;

    public RouterChain()
    {
        _hosts = [_world.Create(), _world.Create()];
        _names = [.. _hosts.Select(h => Path.GetFileName(h.Path))];
        _routers = [Path.GetFileName(_world.Create().Path), Path.GetFileName(_world.Create().Path)];
    }

    public RouterPlace Place(int host) => host == 1 ? new(_routers[0], 1, 2, "198.51.100.2", "fd00:198::2") : new(_routers[1], 2, 1, "203.0.113.2", "fd00:203::2");

    public async Task PrepareAsync()
    {
        await CableAsync((_names[0], "198.51.100.2/24", "fd00:198::2/64"), (_routers[0], "198.51.100.1/24", "fd00:198::1/64"));
        await CableAsync((_routers[0], "192.0.2.1/24", "fd00:192::1/64"), (_routers[1], "192.0.2.2/24", "fd00:192::2/64"));
        await CableAsync((_names[1], "203.0.113.2/24", "fd00:203::2/64"), (_routers[1], "203.0.113.1/24", "fd00:203::1/64"));
        foreach (var ns in _routers)
            await RunAsync("ip", "netns", "exec", ns, "/bin/sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding");
        foreach (var (i, gateway, gateway6) in new[] { (0, "198.51.100.1", "fd00:198::1"), (1, "203.0.113.1", "fd00:203::1") })
        {
            await RunAsync("ip", "-n", _names[i], "addr", "add", $"10.{i + 1}.0.1/32", "dev", "lo");
            await RunAsync("ip", "-n", _names[i], "addr", "add", $"fd00:{i + 1}::1/128", "dev", "lo");
            await RunAsync("ip", "-n", _names[i], "route", "add", "default", "via", gateway);
            await RunAsync("ip", "-n", _names[i], "route", "add", "default", "via", gateway6);
        }
        await TellAsync(1, [Leaving]);
        await TellAsync(2, []);
    }

    /// <summary>Both directions, both families.</summary>
    public IReadOnlyList<UdpFlow> StartFlows() => [.. new[] { (0, 1), (1, 0) }.SelectMany(d => new[] { "10.{0}.0.1", "fd00:{0}::1" }.Select(f =>
        UdpFlow.Start(_hosts[d.Item1], Of(f, d.Item1), _hosts[d.Item2], Of(f, d.Item2))))];

    /// <summary>Host 1 takes one of its routes back.</summary>
    public Task LeaveAsync() => RunAsync("birdc", "-s", Path.Combine(_folder, "host1.ctl"), "disable", "leaving");

    /// <summary>What the kernel of a router routes by, of what the hosts tell.</summary>
    public static async Task<IReadOnlyList<string>> KernelAsync(string ns)
    {
        var text = (await ChildProcess.RunAsync("ip", "-n", ns, "route", "show")).Output + (await ChildProcess.RunAsync("ip", "-n", ns, "-6", "route", "show")).Output;
        return [.. text.Split('\n').Select(l => l.Split(' ')[0]).Where(p => p == Leaving || Lasting.Contains(p)).Order(StringComparer.Ordinal)];
    }

    /// <summary>From now on every change of a namespace's routes is written down; returns how to read them.</summary>
    public async Task<Func<IReadOnlyList<string>>> WatchAsync(string ns)
    {
        var file = Path.Combine(_folder, ns + ".changes");
        _processes.Add(InteropBed.Start(ns, file, "ip", "monitor", "route"));
        // It listens once it has noticed a route that comes and goes.
        for (var i = 0; i < 100; i++)
        {
            await RunAsync("ip", "-n", ns, "route", "replace", "blackhole", "10.99.0.0/24");
            await RunAsync("ip", "-n", ns, "route", "del", "blackhole", "10.99.0.0/24");
            if (File.Exists(file) && File.ReadAllText(file).Contains("10.99.0.0/24", StringComparison.Ordinal))
                return () => [.. File.ReadAllLines(file).Where(l => !l.Contains("10.99.0.0/24", StringComparison.Ordinal))];
            await Task.Delay(100);
        }
        throw new InvalidOperationException("ip monitor does not listen");
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var process in _processes)
        {
            process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync();
            process.Dispose();
        }
        _world.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private static IpAddr Of(string format, int host) => IpAddr.Parse(string.Format(CultureInfo.InvariantCulture, format, host + 1));

    private async Task TellAsync(int host, string[] leaving)
    {
        var (own, own6) = host == 1 ? ("198.51.100.2", "fd00:198::2") : ("203.0.113.2", "fd00:203::2");
        string Session(int family, string from, string to) => $$"""
            protocol bgp s{{family}} { local {{from}} as {{65010 + host}}; neighbor {{to}} as {{65000 + host}}; multihop; graceful restart on; connect delay time 1; connect retry time 1; error wait time 1, 2;
              ipv{{family}} { import all; export where source = RTS_STATIC; }; }

            """;
        var config = Path.Combine(_folder, $"host{host}.conf");
        await File.WriteAllTextAsync(config, $$"""
            router id {{own}};
            protocol device { }
            protocol static lasting4 { ipv4; route 10.{{host}}.0.0/24 blackhole; }
            protocol static lasting6 { ipv6; route fd00:{{host}}::/64 blackhole; }
            protocol static leaving { ipv4; {{string.Concat(leaving.Select(r => $"route {r} blackhole; "))}} }

            """ + Session(4, own, $"192.0.2.{host}") + Session(6, own6, $"fd00:192::{host}"));
        _processes.Add(InteropBed.Start(_names[host - 1], Path.Combine(_folder, $"host{host}.log"), "/usr/sbin/bird", "-f", "-c", config, "-s", Path.Combine(_folder, $"host{host}.ctl")));
    }

    private static async Task CableAsync(params (string Ns, string V4, string V6)[] ends)
    {
        var cable = string.Create(CultureInfo.InvariantCulture, $"ctr{Environment.ProcessId % 100000}{Interlocked.Increment(ref _last)}");
        await RunAsync("ip", "link", "add", cable + "a", "netns", ends[0].Ns, "type", "veth", "peer", "name", cable + "b", "netns", ends[1].Ns);
        foreach (var (end, link) in ends.Zip([cable + "a", cable + "b"]))
        {
            await RunAsync("ip", "-n", end.Ns, "link", "set", "lo", "up");
            await RunAsync("ip", "-n", end.Ns, "link", "set", link, "up");
            await RunAsync("ip", "-n", end.Ns, "addr", "add", end.V4, "dev", link);
            await RunAsync("ip", "-n", end.Ns, "addr", "add", end.V6, "dev", link, "nodad");
        }
    }

    private static async Task RunAsync(params string[] command)
    {
        var (status, output, errors) = await ChildProcess.RunAsync(command);
        Assert.True(status == 0, $"{string.Join(' ', command)}: {output}{errors}");
    }
}

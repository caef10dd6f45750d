using System.Diagnostics;
using Calico.Core.Net;
using Calico.Kernel;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Routes;

namespace Calico.Bench.Kernel;

/// <summary>
/// What a CNI ADD and DEL do in the kernel, again and again: a veth pair with its peer in a pod's namespace, addresses,
/// routes and the proxy ARP switch, then the removal. Prints the median of each step, and for comparison that of the
/// bare creation and removal of a pair, which is the kernel's own time.
/// </summary>
internal static class VethBench
{
    private static readonly string[] Steps = ["open pod", "create", "pod side", "host side", "delete", "close pod"];

    public static int Run(string[] args)
    {
        var count = BenchNamespace.Count(args, 200);
        using var bench = new BenchNamespace();
        using var links = bench.Space.OpenLinks();
        using var routes = bench.Space.OpenRoutes();
        using var sysctl = bench.Space.OpenSysctl();
        using var pod = NetworkNamespace.CreateUnnamed();
        var times = new double[Steps.Length][];
        for (var s = 0; s < Steps.Length; s++)
            times[s] = new double[count];
        for (var i = 0; i < count; i++)
            OneRound(i, links, routes, sysctl, pod, times);

        var bare = new double[count];
        for (var i = 0; i < count; i++)
        {
            var start = Stopwatch.GetTimestamp();
            links.CreateVeth(new VethPair("cali1", "eth0", pod.Fd), up: false);
            links.Delete("cali1");
            bare[i] = Stopwatch.GetElapsedTime(start).TotalMicroseconds;
        }
        Array.Sort(bare);
        Console.WriteLine($"{count} rounds, microseconds");
        for (var s = 0; s < Steps.Length; s++)
        {
            Array.Sort(times[s]);
            Console.WriteLine($"{Steps[s],-10} p50 {times[s][count / 2],9:F0}   p99 {times[s][count * 99 / 100],9:F0}");
        }
        Console.WriteLine($"{"sum",-10} p50 {times.Sum(t => t[count / 2]),9:F0}");
        Console.WriteLine($"{"bare pair",-10} p50 {bare[count / 2],9:F0}   p99 {bare[count * 99 / 100],9:F0}");
        return 0;
    }

    private static void OneRound(
        int round, ILinkTable links, IRouteTable routes, ISysctl sysctl, NetworkNamespace pod, double[][] times)
    {
        var clock = Stopwatch.GetTimestamp();
        var step = 0;
        void Lap()
        {
            times[step++][round] = Stopwatch.GetElapsedTime(clock).TotalMicroseconds;
            clock = Stopwatch.GetTimestamp();
        }

        var inside = NetworkNamespace.Open($"/proc/self/fd/{pod.Fd}");
        var podLinks = inside.OpenLinks();
        var podRoutes = inside.OpenRoutes();
        Lap();
        var host = links.CreateVeth(new VethPair("cali1", "eth0", inside.Fd) { Mtu = 1440, Mac = MacAddress.WorkloadHostSide }, up: true);
        Lap();
        var eth0 = host.PeerIndex!.Value;
        podLinks.AddAddress(new LinkAddress(eth0, Cidr.Parse("10.65.0.7/32")));
        podLinks.Change(new LinkChange(eth0) { Up = true });
        Apply(podRoutes, Link("169.254.1.1/32", eth0), Via("0.0.0.0/0", "169.254.1.1", eth0));
        Lap();
        sysctl.Write("ipv4/conf/cali1/proxy_arp", "1");
        sysctl.Write("ipv4/conf/cali1/rp_filter", "1");
        sysctl.Write("ipv4/neigh/cali1/proxy_delay", "0");
        Apply(routes, Link("10.65.0.7/32", host.Index));
        Lap();
        links.Delete("cali1");
        Lap();
        podRoutes.Dispose();
        podLinks.Dispose();
        inside.Dispose();
        Lap();
    }

    private static RouteChange Link(string destination, int link) =>
        new(new Route(new RouteKey(Cidr.Parse(destination), 0), RouteKind.Unicast, 80, [new NextHop(null, link)]) { Scope = RouteScope.Link }, Delete: false);

    private static RouteChange Via(string destination, string gateway, int link) =>
        new(new Route(new RouteKey(Cidr.Parse(destination), 0), RouteKind.Unicast, 80, [new NextHop(IpAddr.Parse(gateway), link)]), Delete: false);

    private static void Apply(IRouteTable routes, params ReadOnlySpan<RouteChange> changes)
    {
        Span<Errno> results = stackalloc Errno[changes.Length];
        routes.Apply(changes, results);
        if (results.ContainsAnyExcept(Errno.None))
            throw new InvalidOperationException("a route was refused");
    }
}

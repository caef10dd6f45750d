using System.Diagnostics;
using System.Globalization;
using Calico.Core.Net;
using Calico.Kernel;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Routes;

namespace Calico.Bench.Kernel;

/// <summary>
/// Adds and removes many routes through <see cref="IRouteTable"/> and, in turns with it, through <c>ip -batch</c>,
/// both in the same namespace, and prints the medians with their ratio. With <c>gcc</c> at hand a third takes part, the
/// floor: <c>route-floor.c</c>, which sends the same requests and does nothing else. Also prints what a change allocates.
/// </summary>
internal static class RouteBench
{
    private const int Rounds = 5;
    private const string FloorSource = "Calico.Bench/Kernel/route-floor.c";

    public static int Run(string[] args)
    {
        var count = BenchNamespace.Count(args, 100_000);
        using var bench = new BenchNamespace();
        using var routes = bench.Space.OpenRoutes();
        var add = new RouteChange[count];
        var remove = new RouteChange[count];
        for (var i = 0; i < count; i++)
        {
            var route = new Route(new RouteKey(Cidr.Host(IpAddr.FromV4(0x0B000000u + (uint)i)), 0), RouteKind.Unicast, 80,
                [new NextHop(IpAddr.Parse("10.0.0.2"), bench.Left)]);
            add[i] = new RouteChange(route, Delete: false);
            remove[i] = new RouteChange(route, Delete: true);
        }
        var floor = BuildFloor();
        var addFile = WriteBatch(add, "replace");
        var removeFile = WriteBatch(remove, "del");
        try
        {
            double[] oursAdd = new double[Rounds], oursRemove = new double[Rounds], oursDump = new double[Rounds];
            double[] ipAdd = new double[Rounds], ipRemove = new double[Rounds], ipDump = new double[Rounds];
            double[] floorAdd = new double[Rounds], floorRemove = new double[Rounds];
            var results = new Errno[count];
            Apply(routes, add, results);
            Apply(routes, remove, results);
            var allocated = GC.GetAllocatedBytesForCurrentThread();
            Apply(routes, add, results);
            Apply(routes, remove, results);
            allocated = GC.GetAllocatedBytesForCurrentThread() - allocated;
            for (var round = 0; round < Rounds; round++)
            {
                oursAdd[round] = Time(() => Apply(routes, add, results));
                oursDump[round] = Time(() => Expect(count, routes.Dump(new RouteFilter(Protocol: 80)).Count));
                oursRemove[round] = Time(() => Apply(routes, remove, results));
                ipAdd[round] = Time(() => RunIp(bench.Space, $"-batch {addFile}"));
                ipDump[round] = Time(() => RunIp(bench.Space, "route show proto 80"));
                ipRemove[round] = Time(() => RunIp(bench.Space, $"-batch {removeFile}"));
                if (floor is not null)
                    (floorAdd[round], floorRemove[round]) = RunFloor(bench, floor, count);
            }
            Console.WriteLine($"{count} routes, median of {Rounds} rounds in turns, milliseconds; {allocated / (2.0 * count):F2} bytes allocated a change");
            Report("add", oursAdd, "ip", ipAdd);
            Report("remove", oursRemove, "ip", ipRemove);
            Report("dump", oursDump, "ip", ipDump);
            if (floor is not null)
            {
                Report("add", oursAdd, "floor", floorAdd);
                Report("remove", oursRemove, "floor", floorRemove);
            }
            return 0;
        }
        finally
        {
            File.Delete(addFile);
            File.Delete(removeFile);
            if (floor is not null)
                File.Delete(floor);
        }
    }

    private static void Apply(IRouteTable routes, RouteChange[] changes, Errno[] results)
    {
        routes.Apply(changes, results);
        if (results.AsSpan().ContainsAnyExcept(Errno.None))
            throw new InvalidOperationException("a change was refused");
    }

    private static void Expect(int wanted, int got)
    {
        if (wanted != got)
            throw new InvalidOperationException($"{got} routes instead of {wanted}");
    }

    private static string WriteBatch(RouteChange[] changes, string verb)
    {
        var file = Path.GetTempFileName();
        using var writer = new StreamWriter(file);
        foreach (var change in changes)
            writer.WriteLine($"route {verb} {change.Route.Key.Destination} via {change.Route.NextHops[0].Gateway} dev left proto 80");
        return file;
    }

    private static void RunIp(NetworkNamespace space, string arguments) => RunTool(space, "ip", arguments);

    private static string RunTool(NetworkNamespace space, string program, string arguments)
    {
        using var tool = ProcessInNamespace.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true }, space);
        var output = tool.StandardOutput.ReadToEnd();
        tool.WaitForExit();
        return tool.ExitCode == 0 ? output : throw new InvalidOperationException($"{program} {arguments} failed");
    }

    /// <summary>Compiles the floor if there is a compiler and we run at the top of the source tree.</summary>
    private static string? BuildFloor()
    {
        if (!File.Exists("/usr/bin/gcc") || !File.Exists(FloorSource))
            return null;
        var program = Path.GetTempFileName();
        using var gcc = Process.Start("/usr/bin/gcc", ["-O2", "-o", program, FloorSource]);
        gcc.WaitForExit();
        return gcc.ExitCode == 0 ? program : throw new InvalidOperationException("route-floor.c does not compile");
    }

    private static (double Add, double Remove) RunFloor(BenchNamespace bench, string floor, int count)
    {
        var times = RunTool(bench.Space, floor, $"{count} {bench.Left}").Split(' ');
        return (double.Parse(times[0], CultureInfo.InvariantCulture), double.Parse(times[1], CultureInfo.InvariantCulture));
    }

    private static double Time(Action action)
    {
        var start = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
    }

    private static void Report(string what, double[] ours, string peer, double[] theirs)
    {
        Array.Sort(ours);
        Array.Sort(theirs);
        double a = ours[Rounds / 2], b = theirs[Rounds / 2];
        Console.WriteLine($"{what,-8} ours {a,8:F1}   {peer,-5} {b,8:F1}   ratio {b / a:F2}   (best {ours[0]:F1} / {theirs[0]:F1}, ratio {theirs[0] / ours[0]:F2})");
    }
}

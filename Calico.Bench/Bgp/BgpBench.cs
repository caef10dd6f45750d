using System.Diagnostics;
using System.Globalization;
using Calico.Core.Net;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;

namespace Calico.Bench.Bgp;

/// <summary>
/// A full table through a speaker, from one external peer to another: how long until it has passed on all of it (load), a tenth of it
/// with other paths (change) and the loss of all (withdraw), and what it holds then. Ours and others in turns, each in a namespace of its
/// own; prints medians and ratios.
/// </summary>
internal static class BgpBench
{
    private const string GeneratorSpace = "calico-bench-gen";
    private static readonly IpAddr Speaker = IpAddr.Parse("198.18.0.100");
    private static readonly IpAddr Feeder = IpAddr.Parse("198.18.0.1");
    private static readonly IpAddr Sink = IpAddr.Parse("198.18.0.2");
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    private sealed record Result(double Load, double Change, double Withdraw, double MiB);

    public static async Task<int> RunAsync(string[] args)
    {
        if (args.Length == 0)
        {
            Console.Error.WriteLine("usage: Calico.Bench bgp CALICO_NODE [ROUTES [ROUNDS [bird,frr]]]   (root)");
            return 64;
        }
        var table = new BgpTable(Arguments.Number(args, 1, 1_000_000));
        var rounds = Arguments.Number(args, 2, 3);
        BgpContender[] contenders = [BgpContender.Ours(Path.GetFullPath(args[0])), .. (args.Length > 3 ? args[3] : "bird").Split(',').Select(BgpContender.Of)];
        var load = table.Announce(table.Count, Feeder, 65001, salt: 0);
        var change = table.Announce(table.Count / 10, Feeder, 65001, salt: 7919);
        var results = contenders.ToDictionary(c => c.Name, _ => new List<Result>());

        Clear();
        using var dut = NetworkNamespace.CreateNamed(BgpContender.Space);
        using var generator = NetworkNamespace.CreateNamed(GeneratorSpace);
        try
        {
            Wire(dut, generator);
            for (var round = 0; round < rounds; round++)
            {
                foreach (var contender in round % 2 == 0 ? contenders : [.. contenders.Reverse()])
                {
                    var result = await OnceAsync(contender, generator, table.Count, load, change);
                    results[contender.Name].Add(result);
                    Console.WriteLine(Line($"{contender.Name}, round {round + 1}", result));
                }
            }
        }
        finally
        {
            Clear();
        }
        Report(results);
        return 0;
    }

    private static async Task<Result> OnceAsync(BgpContender contender, NetworkNamespace generator, int routes, List<byte[]> load, List<byte[]> change)
    {
        using var running = contender.Start();
        using var feeder = await BgpClient.ConnectAsync(generator, Feeder, 65001, Speaker);
        using var sink = await BgpClient.ConnectAsync(generator, Sink, 65002, Speaker);
        await Task.Delay(1000);

        var loaded = await MeasureAsync(feeder, sink, load, () => sink.Announced >= routes);
        var memory = running.ResidentMiB;
        sink.Reset();
        var changed = await MeasureAsync(feeder, sink, change, () => sink.Announced >= routes / 10);
        sink.Reset();
        var begun = Stopwatch.GetTimestamp();
        feeder.Dispose();
        return new Result(loaded, changed, await AwaitAsync(begun, sink, () => sink.Withdrawn >= routes), memory);
    }

    private static Task<double> MeasureAsync(BgpClient feeder, BgpClient sink, List<byte[]> messages, Func<bool> done)
    {
        var begun = Stopwatch.GetTimestamp();
        foreach (var chunk in messages)
            feeder.Send(chunk);
        return AwaitAsync(begun, sink, done);
    }

    private static async Task<double> AwaitAsync(long begun, BgpClient sink, Func<bool> done)
    {
        while (!done())
        {
            sink.Check();
            if (Stopwatch.GetElapsedTime(begun) > Patience)
                throw new IOException($"after {Patience.TotalMinutes:0} min the other peer has {sink.Announced} announced and {sink.Withdrawn} withdrawn");
            await Task.Delay(2);
        }
        return Stopwatch.GetElapsedTime(begun).TotalSeconds;
    }

    private static void Wire(NetworkNamespace dut, NetworkNamespace generator)
    {
        using var ours = dut.OpenLinks();
        using var theirs = generator.OpenLinks();
        var left = ours.CreateVeth(new VethPair("dut", "gen", generator.Fd), up: true).Index;
        var right = theirs.Find("gen")!.Index;
        theirs.Change(new LinkChange(right) { Up = true });
        ours.AddAddress(new LinkAddress(left, new Cidr(Speaker, 24)));
        theirs.AddAddress(new LinkAddress(right, new Cidr(Feeder, 24)));
        theirs.AddAddress(new LinkAddress(right, new Cidr(Sink, 24)));
    }

    // What a run that was interrupted left, too.
    private static void Clear()
    {
        NetworkNamespace.DeleteNamed(BgpContender.Space);
        NetworkNamespace.DeleteNamed(GeneratorSpace);
    }

    private static void Report(Dictionary<string, List<Result>> results)
    {
        var ours = Median(results["calico"]);
        foreach (var (name, all) in results)
        {
            var median = Median(all);
            Console.WriteLine(Line(name + ", median", median));
            if (name != "calico")
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{"to " + name,-18} load {ours.Load / median.Load,7:f2}   change {ours.Change / median.Change,6:f2}   withdraw {ours.Withdraw / median.Withdraw,6:f2}   memory {ours.MiB / median.MiB,6:f2}"));
        }
    }

    private static string Line(string what, Result r) => string.Create(CultureInfo.InvariantCulture,
        $"{what,-18} load {r.Load,6:f2} s   change {r.Change,5:f2} s   withdraw {r.Withdraw,5:f2} s   memory {r.MiB,4:f0} MiB");

    private static Result Median(List<Result> results)
    {
        double Of(Func<Result, double> what) => results.Select(what).Order().ElementAt(results.Count / 2);
        return new Result(Of(r => r.Load), Of(r => r.Change), Of(r => r.Withdraw), Of(r => r.MiB));
    }
}

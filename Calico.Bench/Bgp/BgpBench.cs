using System.Diagnostics;

namespace Calico.Bench.Bgp;

/// <summary>
/// A full table through a speaker, from one external peer to another: how long until it has passed on all of it (load), a tenth of it
/// with other paths (change) and the loss of all (withdraw), and what it holds then.
/// </summary>
internal static class BgpBench
{
    private const int Feeder = 0, Sink = 1;

    public static async Task<int> RunAsync(string[] args)
    {
        if (args.Length == 0)
        {
            Console.Error.WriteLine("usage: Calico.Bench bgp CALICO_NODE [ROUTES [ROUNDS [bird,frr]]]   (root)");
            return 64;
        }
        var table = new BgpTable(Arguments.Number(args, 1, 1_000_000));
        var contest = new BgpContest(["load s", "change s", "withdraw s", "memory MiB"], Arguments.Number(args, 2, 3));
        var load = table.Announce(table.Count, Feeder, salt: 0);
        var change = table.Announce(table.Count / 10, Feeder, salt: 7919);
        using var bed = new BgpBed(neighbours: 2);
        return await contest.RunAsync(BgpContender.All(args[0], args.Length > 3 ? args[3] : "bird", neighbours: 2), async running =>
        {
            using var feeder = await bed.ConnectAsync(Feeder);
            using var sink = await bed.ConnectAsync(Sink);
            await Task.Delay(1000);

            var loaded = await MeasureAsync(feeder, sink, load, () => sink.Announced >= table.Count);
            var memory = running.ResidentMiB;
            sink.Reset();
            var changed = await MeasureAsync(feeder, sink, change, () => sink.Announced >= table.Count / 10);
            sink.Reset();
            var begun = Stopwatch.GetTimestamp();
            feeder.Dispose();
            return [loaded, changed, await AwaitAsync(begun, sink, () => sink.Withdrawn >= table.Count), memory];
        });
    }

    private static Task<double> MeasureAsync(BgpClient feeder, BgpClient sink, List<byte[]> messages, Func<bool> done)
    {
        var begun = Stopwatch.GetTimestamp();
        foreach (var chunk in messages)
            feeder.Send(chunk);
        return AwaitAsync(begun, sink, done);
    }

    private static Task<double> AwaitAsync(long begun, BgpClient sink, Func<bool> done) => BgpBed.AwaitAsync(begun, () =>
    {
        sink.Check();
        return done();
    }, () => $"the other peer has {sink.Announced} announced and {sink.Withdrawn} withdrawn");
}

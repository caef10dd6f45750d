using System.Diagnostics;

namespace Calico.Bench.Bgp;

/// <summary>
/// Several external peers announce the same table, each with a path one hop longer than the one before: how long until the speaker has
/// read all of them and passed on the table (load), and, once the best of them is gone, the table with the second's paths (lose).
/// </summary>
internal static class FeedersBench
{
    public static async Task<int> RunAsync(string[] args)
    {
        if (args.Length == 0)
        {
            Console.Error.WriteLine("usage: Calico.Bench bgp-feeders CALICO_NODE [ROUTES [FEEDERS [ROUNDS [bird,frr]]]]   (root)");
            return 64;
        }
        var table = new BgpTable(Arguments.Number(args, 1, 250_000));
        var feeders = Arguments.Number(args, 2, 8);
        var contest = new BgpContest(["load s", "lose s", "memory MiB"], Arguments.Number(args, 3, 3));
        var loads = Enumerable.Range(0, feeders).Select(i => table.Announce(table.Count, i, salt: 0, longer: i)).ToArray();
        var marks = Enumerable.Range(0, feeders).Select(i => BgpTable.Mark(i)).ToArray();
        using var bed = new BgpBed(feeders + 1);
        return await contest.RunAsync(BgpContender.All(args[0], args.Length > 4 ? args[4] : "bird", feeders + 1), async running =>
        {
            var peers = new List<BgpClient>();
            using var sink = await bed.ConnectAsync(feeders);
            try
            {
                for (var i = 0; i < feeders; i++)
                    peers.Add(await bed.ConnectAsync(i));
                await Task.Delay(1000);
                var begun = Stopwatch.GetTimestamp();
                var sending = peers.Select((peer, i) => Task.Factory.StartNew(() =>
                {
                    foreach (var chunk in loads[i])
                        peer.Send(chunk);
                    peer.Send(marks[i]);
                }, TaskCreationOptions.LongRunning)).ToArray();
                // A peer's last route comes behind all of its others.
                var loaded = await AwaitAsync(begun, sink, () => sink.Marks == feeders && sink.Announced >= table.Count);
                await Task.WhenAll(sending);
                var memory = running.ResidentMiB;
                sink.Reset();
                begun = Stopwatch.GetTimestamp();
                peers[0].Dispose();
                return [loaded, await AwaitAsync(begun, sink, () => sink.Announced >= table.Count), memory];
            }
            finally
            {
                peers.ForEach(p => p.Dispose());
            }
        });
    }

    private static Task<double> AwaitAsync(long begun, BgpClient sink, Func<bool> done) => BgpBed.AwaitAsync(begun, () =>
    {
        sink.Check();
        return done();
    }, () => $"the other peer has {sink.Announced} announced and {sink.Marks} last routes");
}

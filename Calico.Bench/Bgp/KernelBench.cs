using System.Diagnostics;
using System.Globalization;

namespace Calico.Bench.Bgp;

/// <summary>
/// A table from an external peer through the speaker into the kernel: how long until the kernel has all of it (load),
/// and nothing of it any more (withdraw).
/// </summary>
internal static class KernelBench
{
    public static async Task<int> RunAsync(string[] args)
    {
        if (args.Length == 0)
        {
            Console.Error.WriteLine("usage: Calico.Bench bgp-kernel CALICO_NODE [ROUTES [ROUNDS [bird]]]   (root)");
            return 64;
        }
        var table = new BgpTable(Arguments.Number(args, 1, 100_000));
        var contest = new BgpContest(["load s", "withdraw s", "memory MiB"], Arguments.Number(args, 2, 3));
        var load = table.Announce(table.Count, 0, salt: 0);
        using var bed = new BgpBed(neighbours: 1);
        return await contest.RunAsync(BgpContender.All(args[0], args.Length > 3 ? args[3] : "bird", neighbours: 1, kernel: true), async running =>
        {
            using var feeder = await bed.ConnectAsync(0);
            await Task.Delay(1000);
            var before = PrefixesOf(running.Id);
            var begun = Stopwatch.GetTimestamp();
            load.ForEach(chunk => feeder.Send(chunk));
            var loaded = await BgpBed.AwaitAsync(begun, () => PrefixesOf(running.Id) >= before + table.Count, State);
            var memory = running.ResidentMiB;
            begun = Stopwatch.GetTimestamp();
            feeder.Dispose();
            return [loaded, await BgpBed.AwaitAsync(begun, () => PrefixesOf(running.Id) <= before, State), memory];

            string State() => $"the kernel has {PrefixesOf(running.Id) - before} routes";
        });
    }

    // What the kernel says about its own tries, of the namespace that the process is in.
    private static int PrefixesOf(int process) => File.ReadLines($"/proc/{process}/net/fib_triestat")
        .Select(line => line.Trim().Split(':'))
        .Where(parts => parts[0] == "Prefixes")
        .Sum(parts => int.Parse(parts[1], CultureInfo.InvariantCulture));
}

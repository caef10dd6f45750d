using System.Diagnostics;

namespace Calico.Bench.Bgp;

/// <summary>
/// Many external peers, each with a few routes that all others shall have: how long from the first route until everybody has everybody's
/// (load), and from the loss of one peer until all others have been told (lose).
/// </summary>
internal static class SessionsBench
{
    public static async Task<int> RunAsync(string[] args)
    {
        if (args.Length == 0)
        {
            Console.Error.WriteLine("usage: Calico.Bench bgp-sessions CALICO_NODE [SESSIONS [ROUTES [ROUNDS [bird,frr]]]]   (root)");
            return 64;
        }
        var sessions = Arguments.Number(args, 1, 500);
        var each = Arguments.Number(args, 2, 200);
        var contest = new BgpContest(["load s", "lose s", "memory MiB"], Arguments.Number(args, 3, 3));
        var table = new BgpTable(sessions * each);
        var routes = Enumerable.Range(0, sessions).Select(i => table.Announce(each, i, salt: 0, from: i * each)).ToArray();
        using var bed = new BgpBed(sessions);
        return await contest.RunAsync(BgpContender.All(args[0], args.Length > 4 ? args[4] : "bird", sessions), async running =>
        {
            var peers = new List<BgpClient>();
            try
            {
                for (var i = 0; i < sessions; i++)
                    peers.Add(await bed.ConnectAsync(i));
                await Task.Delay(1000);
                var begun = Stopwatch.GetTimestamp();
                for (var i = 0; i < sessions; i++)
                    routes[i].ForEach(chunk => peers[i].Send(chunk));
                var loaded = await AwaitAsync(begun, peers, p => p.Announced >= (sessions - 1) * each);
                var memory = running.ResidentMiB;
                begun = Stopwatch.GetTimestamp();
                peers[0].Dispose();
                return [loaded, await AwaitAsync(begun, peers[1..], p => p.Withdrawn >= each), memory];
            }
            finally
            {
                peers.ForEach(p => p.Dispose());
            }
        });
    }

    private static Task<double> AwaitAsync(long begun, List<BgpClient> peers, Predicate<BgpClient> done)
    {
        var next = 0;
        return BgpBed.AwaitAsync(begun, () =>
        {
            for (; next < peers.Count; next++)
            {
                peers[next].Check();
                if (!done(peers[next]))
                    return false;
            }
            return true;
        }, () => $"{peers.Count(p => !done(p))} peers have not got everything; the next has {peers[next].Announced} announced and {peers[next].Withdrawn} withdrawn");
    }
}

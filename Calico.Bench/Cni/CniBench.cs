using System.Globalization;
using Calico.Kernel.Namespaces;

namespace Calico.Bench.Cni;

/// <summary>
/// Calls CNI plugins the way a container runtime does, one process a call, by one caller and by many at one time: our shim,
/// bridge with host-local, and the floor (<see cref="CniFloor"/>), in turns. Runs inside the network namespace of a node.
/// Prints what each took, and the ratios of ours to the others over all rounds.
/// </summary>
internal static class CniBench
{
    private static readonly string[] Commands = ["ADD", "DEL"];

    public static int Run(string[] args)
    {
        if (args.Length < 2)
        {
            Console.Error.WriteLine("usage: ip netns exec NODE Calico.Bench cni SHIM NODE_SOCKET [COUNT [ROUNDS [CALLERS,…]]]");
            return 64;
        }
        int count = Arguments.Number(args, 2, 100), rounds = Arguments.Number(args, 3, 5);
        int[] callers = args.Length > 4 ? [.. args[4].Split(',').Select(n => int.Parse(n, NumberStyles.None, CultureInfo.InvariantCulture))] : [1, 32];
        var state = Directory.CreateTempSubdirectory("calico-bench-");
        using var host = NetworkNamespace.OpenCurrent();
        using var floor = new CniFloor(state.FullName, count);
        CniContender[] contenders =
        [
            new("calico", args[0], $$$"""{"cniVersion":"1.0.0","name":"k8s-pod-network","type":"calico","node_socket":"{{{args[1]}}}","ipam":{"type":"calico-ipam"}}""", host),
            new("bridge", Path.Combine(CniContender.PeerPlugins, "bridge"),
                $$$"""{"cniVersion":"1.0.0","name":"bench","type":"bridge","bridge":"calico-bench0","isGateway":true,"ipam":{"type":"host-local","dataDir":"{{{state.FullName}}}","ranges":[[{"subnet":"10.88.0.0/16"}]],"routes":[{"dst":"0.0.0.0/0"}]}}""", host),
            new("floor", floor.Program, """{"cniVersion":"1.0.0","name":"floor","type":"floor"}""", floor.Space, floor.Environment),
        ];
        try
        {
            foreach (var many in callers)
            {
                // The first round warms up and does not count.
                Round(contenders, count, many, keep: false);
                for (var round = 0; round < rounds; round++)
                    Round(round % 2 == 0 ? contenders : [.. contenders.Reverse()], count, many, keep: true);
                Report(contenders, many);
            }
        }
        finally
        {
            using var links = host.OpenLinks();
            links.Delete("calico-bench0");
            state.Delete(recursive: true);
        }
        return 0;
    }

    private static void Round(CniContender[] contenders, int count, int callers, bool keep)
    {
        foreach (var contender in contenders)
        {
            var pods = Enumerable.Range(0, count).Select(i => $"calico-bench-{i}").ToList();
            try
            {
                // A run that was interrupted leaves its own.
                pods.ForEach(p => NetworkNamespace.DeleteNamed(p));
                pods.ForEach(p => NetworkNamespace.CreateNamed(p).Dispose());
                foreach (var command in Commands)
                    contender.Run(command, pods, callers, keep);
            }
            finally
            {
                pods.ForEach(p => NetworkNamespace.DeleteNamed(p));
            }
        }
    }

    private static void Report(CniContender[] contenders, int callers)
    {
        foreach (var command in Commands)
        {
            foreach (var c in contenders)
                Console.WriteLine($"{callers,2} callers {command} {c.Name,-7} p50 {c.At(command, callers, 50),8:F2} ms   p90 {c.At(command, callers, 90),8:F2} ms   p99 {c.At(command, callers, 99),8:F2} ms   {c.PerSecond(command, callers),6:F0}/s");
            foreach (var other in contenders[1..])
                Console.WriteLine($"{callers,2} callers {command} to {other.Name,-7} p50 {Ratio(50, other),5:F2}   p99 {Ratio(99, other),5:F2}");
            double Ratio(int percent, CniContender other) => contenders[0].At(command, callers, percent) / other.At(command, callers, percent);
        }
    }
}

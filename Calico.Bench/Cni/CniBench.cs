using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Calico.Kernel.Namespaces;

namespace Calico.Bench.Cni;

/// <summary>
/// Calls CNI plugins the way a container runtime does, one process a call: our shim and bridge with host-local, in
/// turns, inside the network namespace that it is started in, which must be a node's. Prints the medians of each round
/// and the ratio of the medians over all rounds.
/// </summary>
internal static class CniBench
{
    private const string PeerPlugins = "/usr/lib/cni";
    private static readonly string[] Commands = ["ADD", "DEL"];

    private sealed record Contender(string Name, string Program, string Config)
    {
        public Dictionary<string, List<double>> Milliseconds { get; } = Commands.ToDictionary(c => c, _ => new List<double>());
    }

    public static int Run(string[] args)
    {
        if (args.Length < 2)
        {
            Console.Error.WriteLine("usage: ip netns exec NODE Calico.Bench cni SHIM NODE_SOCKET [COUNT [ROUNDS]]");
            return 64;
        }
        int count = Number(args, 2, 100), rounds = Number(args, 3, 5);
        var state = Directory.CreateTempSubdirectory("calico-bench-");
        Contender[] contenders =
        [
            new("calico", args[0], $$$"""{"cniVersion":"1.0.0","name":"k8s-pod-network","type":"calico","node_socket":"{{{args[1]}}}","ipam":{"type":"calico-ipam"}}"""),
            new("bridge", Path.Combine(PeerPlugins, "bridge"),
                $$$"""{"cniVersion":"1.0.0","name":"bench","type":"bridge","bridge":"calico-bench0","isGateway":true,"ipam":{"type":"host-local","dataDir":"{{{state.FullName}}}","ranges":[[{"subnet":"10.88.0.0/16"}]],"routes":[{"dst":"0.0.0.0/0"}]}}"""),
        ];
        try
        {
            Round(contenders, count, keep: false);
            for (var round = 0; round < rounds; round++)
                Round(round % 2 == 0 ? contenders : [.. contenders.Reverse()], count, keep: true);
        }
        finally
        {
            using var host = NetworkNamespace.OpenCurrent();
            using var links = host.OpenLinks();
            links.Delete("calico-bench0");
            state.Delete(recursive: true);
        }
        foreach (var command in Commands)
        {
            foreach (var c in contenders)
                Console.WriteLine($"{c.Name,-8} {command} p50 {At(c, command, 50),7:F2} ms   p90 {At(c, command, 90),7:F2} ms   p99 {At(c, command, 99),7:F2} ms");
            Console.WriteLine($"ratio    {command} p50 {At(contenders[0], command, 50) / At(contenders[1], command, 50):F2}");
        }
        return 0;
    }

    // The first round warms up and does not count.
    private static void Round(Contender[] contenders, int count, bool keep)
    {
        foreach (var contender in contenders)
        {
            var pods = Enumerable.Range(0, count).Select(i => $"calico-bench-{i}").ToList();
            try
            {
                pods.ForEach(p => NetworkNamespace.CreateNamed(p).Dispose());
                foreach (var command in Commands)
                {
                    var times = pods.Select(p => Call(contender, command, p)).ToList();
                    if (keep)
                        contender.Milliseconds[command].AddRange(times);
                }
            }
            finally
            {
                pods.ForEach(p => NetworkNamespace.DeleteNamed(p));
            }
        }
    }

    private static double Call(Contender contender, string command, string pod)
    {
        var start = new ProcessStartInfo(contender.Program) { RedirectStandardInput = true, RedirectStandardOutput = true, UseShellExecute = false };
        start.Environment["CNI_COMMAND"] = command;
        start.Environment["CNI_CONTAINERID"] = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(pod)));
        start.Environment["CNI_NETNS"] = "/run/netns/" + pod;
        start.Environment["CNI_IFNAME"] = "eth0";
        start.Environment["CNI_PATH"] = PeerPlugins;
        start.Environment["CNI_ARGS"] = "";
        var began = Stopwatch.GetTimestamp();
        using var process = Process.Start(start)!;
        process.StandardInput.Write(contender.Config);
        process.StandardInput.Close();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0
            ? Stopwatch.GetElapsedTime(began).TotalMilliseconds
            : throw new InvalidOperationException($"{contender.Name} {command} of {pod}: {output}");
    }

    private static double At(Contender contender, string command, int percent)
    {
        var sorted = contender.Milliseconds[command].Order().ToList();
        return sorted[sorted.Count * percent / 100];
    }

    private static int Number(string[] args, int index, int otherwise) =>
        args.Length > index && int.TryParse(args[index], NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number > 0 ? number : otherwise;
}

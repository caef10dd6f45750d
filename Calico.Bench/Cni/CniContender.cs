using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using Calico.Kernel.Namespaces;

namespace Calico.Bench.Cni;

/// <summary>One of the plugins that are compared: how it is called, and how long its calls took.</summary>
/// <param name="Name">For the report.</param>
/// <param name="Program">The plugin.</param>
/// <param name="Config">Its network configuration.</param>
/// <param name="Space">The namespace in which it runs.</param>
/// <param name="Extra">Variables beyond those that runtimes set, by pod and command.</param>
internal sealed record CniContender(string Name, string Program, string Config, NetworkNamespace Space,
    Func<int, string, IEnumerable<KeyValuePair<string, string>>>? Extra = null)
{
    public const string PeerPlugins = "/usr/lib/cni";

    private readonly Dictionary<(string Command, int Callers), (List<double> Milliseconds, double Total)> _calls = [];

    /// <summary>Calls the plugin for all pods, by that many callers at one time.</summary>
    public void Run(string command, IReadOnlyList<string> pods, int callers, bool keep)
    {
        var times = new double[pods.Count];
        var faults = new List<Exception>();
        var began = Stopwatch.GetTimestamp();
        var threads = Enumerable.Range(0, callers).Select(first => NamespaceThread.Create(() =>
        {
            try
            {
                NamespaceThread.Enter(Space.Fd);
                for (var i = first; i < pods.Count; i += callers)
                    times[i] = Call(command, pods[i], i);
            }
            catch (Exception e) when (e is InvalidOperationException or IOException)
            {
                lock (faults)
                    faults.Add(e);
            }
        })).ToList();
        threads.ForEach(t => t.Start());
        threads.ForEach(t => t.Join());
        if (faults.Count > 0)
            throw new InvalidOperationException(faults[0].Message, faults[0]);
        if (!keep)
            return;
        var (all, total) = _calls.GetValueOrDefault((command, callers), ([], 0));
        all.AddRange(times);
        _calls[(command, callers)] = (all, total + Stopwatch.GetElapsedTime(began).TotalSeconds);
    }

    public double At(string command, int callers, int percent)
    {
        var sorted = _calls[(command, callers)].Milliseconds.Order().ToList();
        return sorted[sorted.Count * percent / 100];
    }

    public double PerSecond(string command, int callers) =>
        _calls[(command, callers)].Milliseconds.Count / _calls[(command, callers)].Total;

    private double Call(string command, string pod, int number)
    {
        var environment = new Dictionary<string, string>
        {
            ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin",
            ["CNI_COMMAND"] = command,
            ["CNI_CONTAINERID"] = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(pod))),
            ["CNI_NETNS"] = "/run/netns/" + pod,
            ["CNI_IFNAME"] = "eth0",
            ["CNI_PATH"] = PeerPlugins,
            ["CNI_ARGS"] = "",
        };
        foreach (var (name, value) in Extra?.Invoke(number, command) ?? [])
            environment[name] = value;
        var input = Encoding.UTF8.GetBytes(Config);
        var began = Stopwatch.GetTimestamp();
        var status = Spawn.Run(Program, environment, input, out var output);
        var took = Stopwatch.GetElapsedTime(began).TotalMilliseconds;
        return status == 0 ? took : throw new InvalidOperationException($"{Name} {command} of {pod}: {output}");
    }
}

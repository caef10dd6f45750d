using System.Diagnostics;
using System.Globalization;

namespace Calico.Bench.Bgp;

/// <summary>A speaker as its own program, AS 65000, with two passive external neighbours and no routes of the kernel.</summary>
/// <param name="Name">What it is called in the results.</param>
/// <param name="Program">What is started.</param>
/// <param name="Configuration">Of the file whose path stands for <c>{file}</c> in the arguments.</param>
/// <param name="Arguments">With <c>{folder}</c> for a folder of its own.</param>
internal sealed record BgpContender(string Name, string Program, string Configuration, string[] Arguments)
{
    public const string Space = "calico-bench-dut";

    /// <summary>The speaker's own, which no path may hold.</summary>
    public const uint As = 65000;

    private static readonly (string Address, uint As)[] Neighbours = [("198.18.0.1", 65001), ("198.18.0.2", 65002)];

    public static BgpContender Ours(string program) => new("calico", program, $$"""
        {apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: default}, spec: {nodeToNodeMeshEnabled: false} }
        ---
        {apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: dut}, spec: {bgp: {ipv4Address: 198.18.0.100/24, asNumber: 65000} } }
        {{Each((address, asn) => $"---\n{{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {{name: as{asn}}}, spec: {{peerIP: {address}, asNumber: {asn}}}}}\n")}}
        """, ["bgp", "--config", "{file}", "--node", "dut", "--no-fib"]);

    public static BgpContender Of(string peer) => peer switch
    {
        "bird" => new("bird", "/usr/sbin/bird", $$"""
            router id 198.18.0.100;
            protocol device { }
            {{Each((address, asn) => $"protocol bgp as{asn} {{ local 198.18.0.100 as 65000; neighbor {address} as {asn}; passive; direct; ipv4 {{ import all; export all; }}; }}\n")}}
            """, ["-f", "-c", "{file}", "-s", "{folder}/bird.ctl"]),
        "frr" => new("frr", "/usr/lib/frr/bgpd", $$"""
            router bgp 65000
             bgp router-id 198.18.0.100
             no bgp ebgp-requires-policy
             no bgp default ipv4-unicast
            {{Each((address, asn) => $" neighbor {address} remote-as {asn}\n neighbor {address} passive\n neighbor {address} advertisement-interval 0\n")}}
             address-family ipv4 unicast
            {{Each((address, _) => $"  neighbor {address} activate\n")}}
             exit-address-family
            """, ["-f", "{file}", "-n", "-Z", "-S", "-z", "{folder}/zserv", "-i", "{folder}/pid", "--vty_socket", "{folder}", "-l", "198.18.0.100"]),
        _ => throw new ArgumentException($"no speaker '{peer}' is known; there are bird and frr"),
    };

    /// <summary>Runs it in the namespace until the end is disposed of.</summary>
    public Running Start()
    {
        var folder = Directory.CreateTempSubdirectory("calico-bench-bgp-").FullName;
        var file = Path.Combine(folder, "speaker.conf");
        File.WriteAllText(file, Configuration);
        var start = new ProcessStartInfo("ip") { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in (string[])["netns", "exec", Space, Program, .. Arguments])
            start.ArgumentList.Add(argument.Replace("{file}", file, StringComparison.Ordinal).Replace("{folder}", folder, StringComparison.Ordinal));
        var process = Process.Start(start)!;
        process.OutputDataReceived += (_, _) => { };
        process.ErrorDataReceived += (_, _) => { };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return new Running(process, folder);
    }

    private static string Each(Func<string, uint, string> line) => string.Concat(Neighbours.Select(n => line(n.Address, n.As)));

    /// <summary>The process; <c>ip</c> became the program, so that the number is its own.</summary>
    internal sealed class Running(Process process, string folder) : IDisposable
    {
        public double ResidentMiB => File.ReadLines($"/proc/{process.Id}/status")
            .Where(l => l.StartsWith("VmRSS:", StringComparison.Ordinal))
            .Select(l => double.Parse(l.Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2], CultureInfo.InvariantCulture) / 1024).First();

        public void Dispose()
        {
            process.Kill();
            process.WaitForExit();
            process.Dispose();
            Directory.Delete(folder, recursive: true);
        }
    }
}

using System.Diagnostics;
using System.Globalization;
using Calico.Core.Net;

namespace Calico.Bench.Bgp;

/// <summary>A speaker as its own program, AS 65000, with passive external neighbours; its routes go into the kernel or not.</summary>
/// <param name="Name">What it is called in the results.</param>
/// <param name="Program">What is started.</param>
/// <param name="Configuration">Of the file whose path stands for <c>{file}</c> in the arguments.</param>
/// <param name="Arguments">With <c>{folder}</c> for a folder of its own.</param>
internal sealed record BgpContender(string Name, string Program, string Configuration, string[] Arguments)
{
    public const string Space = "calico-bench-dut";

    /// <summary>The speaker's own, which no path may hold.</summary>
    public const uint As = 65000;

    /// <summary>Ours, and those that are named in a list with commas, each with as many neighbours.</summary>
    public static BgpContender[] All(string program, string peers, int neighbours, bool kernel = false) =>
        [Ours(Path.GetFullPath(program), neighbours, kernel), .. peers.Split(',').Select(p => Of(p, neighbours, kernel))];

    private static BgpContender Ours(string program, int neighbours, bool kernel) => new("calico", program, $$"""
        {apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: default}, spec: {nodeToNodeMeshEnabled: false} }
        ---
        {apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: dut}, spec: {bgp: {ipv4Address: {{BgpBed.Speaker}}/{{BgpBed.PrefixLength}}, asNumber: 65000} } }
        {{Each(neighbours, (address, asn) => $"---\n{{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {{name: as{asn}}}, spec: {{peerIP: {address}, asNumber: {asn}}}}}\n")}}
        """, ["bgp", "--config", "{file}", "--node", "dut", .. kernel ? Array.Empty<string>() : ["--no-fib"]]);

    private static BgpContender Of(string peer, int neighbours, bool kernel) => peer switch
    {
        "bird" => new("bird", "/usr/sbin/bird", $$"""
            router id {{BgpBed.Speaker}};
            protocol device { }
            {{(kernel ? "protocol kernel { ipv4 { export all; }; }" : "")}}
            {{Each(neighbours, (address, asn) => $"protocol bgp as{asn} {{ local {BgpBed.Speaker} as 65000; neighbor {address} as {asn}; passive; direct; ipv4 {{ import all; export all; }}; }}\n")}}
            """, ["-f", "-c", "{file}", "-s", "{folder}/bird.ctl"]),
        "frr" => new("frr", "/usr/lib/frr/bgpd", $$"""
            router bgp 65000
             bgp router-id {{BgpBed.Speaker}}
             no bgp ebgp-requires-policy
             no bgp default ipv4-unicast
            {{Each(neighbours, (address, asn) => $" neighbor {address} remote-as {asn}\n neighbor {address} passive\n neighbor {address} advertisement-interval 0\n")}}
             address-family ipv4 unicast
            {{Each(neighbours, (address, _) => $"  neighbor {address} activate\n")}}
             exit-address-family
            """, ["-f", "{file}", "-n", "-Z", "-S", "-z", "{folder}/zserv", "-i", "{folder}/pid", "--vty_socket", "{folder}", "-l", BgpBed.Speaker.ToString()]),
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

    private static string Each(int neighbours, Func<IpAddr, uint, string> line) =>
        string.Concat(Enumerable.Range(0, neighbours).Select(i => line(BgpBed.Neighbour(i), BgpBed.AsOf(i))));

    /// <summary>The process; <c>ip</c> became the program, so that the number is its own.</summary>
    internal sealed class Running(Process process, string folder) : IDisposable
    {
        public int Id => process.Id;

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

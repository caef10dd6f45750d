using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Calico.Core.Bfd;
using Calico.Core.Net;
using Calico.Kernel.Namespaces;
using Calico.Tests.Conformance.Bgp.Interop;

namespace Calico.Tests.Conformance.Bfd;

/// <summary>
/// FRR as a router that watches its BGP neighbour by BFD: bgpd asks bfdd for it, and both speak by way of zebra. Its neighbour is
/// 192.0.2.1, AS 65001; it is 192.0.2.2, AS 65002.
/// </summary>
internal sealed class FrrRouter(NetworkNamespace inside) : IAsyncDisposable
{
    private const string Programs = "/usr/lib/frr";
    private static readonly IpAddr Ours = IpAddr.Parse("192.0.2.1");

    private readonly string _folder = Directory.CreateTempSubdirectory("calico-frr-").FullName;
    private readonly List<Process> _processes = [];

    public static bool IsInstalled => ((string[])["zebra", "bfdd", "bgpd"]).All(p => File.Exists(Path.Combine(Programs, p)));

    public string Log => string.Join('\n', Directory.GetFiles(_folder, "*.log").Select(f => $"{Path.GetFileName(f)}:\n{File.ReadAllText(f)}"));

    private string Netns => Path.GetFileName(inside.Path);

    /// <summary>Starts all three, announcing these prefixes.</summary>
    public async Task StartAsync(BfdParameters parameters, params string[] prefixes)
    {
        // They give their rights away before they make their sockets and read their configuration.
        File.SetUnixFileMode(_folder, (UnixFileMode)0x1FF);
        await StartAsync("zebra", "");
        for (var i = 0; !File.Exists(Path.Combine(_folder, "z.api")); i++)
        {
            Assert.True(i < 200, "zebra does not open its socket\n" + Log);
            await Task.Delay(50);
        }
        await StartAsync("bfdd", string.Create(CultureInfo.InvariantCulture, $"""
            bfd
             profile calico
              detect-multiplier {parameters.Multiplier}
              receive-interval {parameters.Interval.TotalMilliseconds}
              transmit-interval {parameters.Interval.TotalMilliseconds}
             exit
            exit
            """));
        await StartAsync("bgpd", $"""
            router bgp 65002
             bgp router-id 192.0.2.2
             no bgp ebgp-requires-policy
             no bgp network import-check
             bgp graceful-restart
             bgp graceful-restart restart-time 60
             neighbor 192.0.2.1 remote-as 65001
             neighbor 192.0.2.1 timers connect 1
             neighbor 192.0.2.1 advertisement-interval 0
             neighbor 192.0.2.1 bfd
             neighbor 192.0.2.1 bfd profile calico
             address-family ipv4 unicast
            {string.Join('\n', prefixes.Select(p => $"  network {p}"))}
             exit-address-family
            """, "-n", "-l", "192.0.2.2");
    }

    /// <summary>Its BFD session with us, as <c>show bfd peers json</c> has it; null while there is none.</summary>
    public async Task<JsonElement?> BfdAsync() => FrrBfd.Find(await VtyshAsync("bfdd", "show bfd peers json"), Ours);

    /// <summary>Its BGP session with us, as <c>show bgp neighbors json</c> has it; null while it does not answer.</summary>
    public async Task<JsonElement?> BgpAsync()
    {
        var text = await VtyshAsync("bgpd", "show bgp neighbors 192.0.2.1 json");
        if (!text.TrimStart().StartsWith('{'))
            return null;
        using var document = JsonDocument.Parse(text);
        return document.RootElement.TryGetProperty(Ours.ToString(), out var neighbour) ? neighbour.Clone() : null;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var process in _processes)
        {
            process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync();
            process.Dispose();
        }
        Directory.Delete(_folder, recursive: true);
    }

    private async Task StartAsync(string program, string configuration, params string[] arguments)
    {
        var file = Path.Combine(_folder, program + ".conf");
        await File.WriteAllTextAsync(file, configuration + "\n");
        string[] own = program == "bfdd" ? ["--bfdctl", Path.Combine(_folder, "bfdd.sock")] : [];
        _processes.Add(InteropBed.Start(Netns, Path.Combine(_folder, program + ".log"), [Path.Combine(Programs, program), "-P", "0", "-f", file,
            "-z", Path.Combine(_folder, "z.api"), "-i", Path.Combine(_folder, program + ".pid"), "--vty_socket", _folder, "--log", "stdout", .. own, .. arguments]));
    }

    private async Task<string> VtyshAsync(string program, string command)
    {
        var (status, output, _) = await ChildProcess.RunAsync("ip", "netns", "exec", Netns, "vtysh", "--vty_socket", _folder, "-d", program, "-c", command);
        return status == 0 ? output : "";
    }
}

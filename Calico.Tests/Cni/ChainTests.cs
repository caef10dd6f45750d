using System.Text.Json.Nodes;
using Calico.Core.Net;
using Calico.Kernel.Namespaces;

namespace Calico.Tests.Cni;

/// <summary>Debian's plugins after ours, before ours and around ours, each called as a runtime calls a chain.</summary>
[Layer("kernel")]
public sealed class ChainTests : IAsyncLifetime
{
    private const string Others = "/usr/lib/cni";

    private NodeBed _bed = null!;

    public async Task InitializeAsync() => _bed = await NodeBed.StartDualAsync();
    public async Task DisposeAsync() => await _bed.DisposeAsync();

    [SkippableFact]
    public async Task Portmap_bandwidth_and_tuning_work_on_what_the_plugin_made()
    {
        NeedsPlugins();
        var pod = _bed.CreatePod();
        var chain = new Chain(_bed, pod, "net",
            """{"type": "calico", "ipam": {"type": "calico-ipam"}}""",
            """{"type": "portmap", "snat": true, "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}}""",
            """{"type": "bandwidth", "ingressRate": 8000000, "ingressBurst": 8000000, "egressRate": 8000000, "egressBurst": 8000000}""",
            """{"type": "tuning", "sysctl": {"net.ipv4.conf.eth0.arp_notify": "1"}}""");

        var result = await chain.AddAsync();

        Assert.Equal("eth0", result["interfaces"]![1]!["name"]!.GetValue<string>());
        using (var sysctl = pod.OpenSysctl())
            Assert.Equal("1", sysctl.Read("ipv4/conf/eth0/arp_notify"));
        using (var links = _bed.Host.OpenLinks())
            Assert.Contains(links.Dump(), l => l.Name.StartsWith("bwp", StringComparison.Ordinal));
        await chain.CheckAsync(result);
        await chain.DelAsync(result);
        Assert.Equal((0, 0), (_bed.HostLinks(), await _bed.AllocatedAsync()));
    }

    [SkippableFact]
    public async Task Addresses_of_ours_work_under_the_bridge_plugin()
    {
        NeedsPlugins();
        var (a, b) = (_bed.CreatePod(), _bed.CreatePod());
        const string bridge = """{"type": "bridge", "bridge": "br-test", "ipam": {"type": "calico-ipam"}}""";
        var (first, second) = (new Chain(_bed, a, "bridged", bridge) { Container = "a" }, new Chain(_bed, b, "bridged", bridge) { Container = "b" });

        var result = await first.AddAsync();
        await second.AddAsync();

        Assert.Equal(2, await _bed.AllocatedAsync());
        using (var links = a.OpenLinks())
            Assert.Contains(links.DumpAddresses(links.Find("eth0")!.Index), d => d.Address == Cidr.Parse(result["ips"]![0]!["address"]!.GetValue<string>()));
        await first.DelAsync(result);
        await second.DelAsync(null);
        Assert.Equal(0, await _bed.AllocatedAsync());
    }

    private static void NeedsPlugins() =>
        Skip.IfNot(File.Exists(Path.Combine(Others, "portmap")), "Debian's containernetworking-plugins are not installed");

    /// <summary>What a runtime does with a list of plugins: one after the other, each with the result of the one before.</summary>
    private sealed class Chain(NodeBed bed, NetworkNamespace pod, string network, params string[] plugins)
    {
        public string Container { get; init; } = "cid-1";

        public async Task<JsonObject> AddAsync()
        {
            JsonObject? result = null;
            foreach (var plugin in plugins)
                result = (await RunAsync("ADD", plugin, result)).Json;
            return result!;
        }

        public async Task CheckAsync(JsonObject result)
        {
            // Debian's portmap looks for rules of IPv6 although there are none to make.
            foreach (var plugin in plugins.Where(p => !p.Contains("portmap", StringComparison.Ordinal)))
                await RunAsync("CHECK", plugin, result);
        }

        public async Task DelAsync(JsonObject? result)
        {
            foreach (var plugin in plugins.Reverse())
                await RunAsync("DEL", plugin, result);
        }

        private async Task<ShimRun> RunAsync(string command, string plugin, JsonObject? previous)
        {
            var config = JsonNode.Parse(plugin)!.AsObject();
            config["cniVersion"] = "1.0.0";
            config["name"] = network;
            if (previous is not null)
                config["prevResult"] = previous.DeepClone();
            var type = config["type"]!.GetValue<string>();
            var run = await bed.RunAsync(command, pod, config.ToJsonString(), Container, type == "calico" ? type : Path.Combine(Others, type));
            Assert.True(run.ExitCode == 0, $"{command} of {type}: {run.Output} {run.Errors}");
            return run;
        }
    }
}

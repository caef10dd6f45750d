using Calico.Core.Net;
using Calico.Kernel.Links;
using Calico.Kernel.Routes;

namespace Calico.Tests.Cni;

/// <summary>The plugin, a node and the kernel together: what a container runtime may rely on.</summary>
[Layer("kernel")]
public sealed class PluginTests : IAsyncLifetime
{
    private const string Dual = """{"type": "calico-ipam", "assign_ipv4": "true", "assign_ipv6": "true"}""";

    private NodeBed _bed = null!;

    public async Task InitializeAsync() => _bed = await NodeBed.StartDualAsync();
    public async Task DisposeAsync() => await _bed.DisposeAsync();

    [Fact]
    public async Task Pods_of_both_families_reach_each_other_and_the_gateway_that_nobody_has()
    {
        var (a, b) = (_bed.CreatePod(), _bed.CreatePod());
        var first = NodeBed.AddressesOf(await _bed.AddAsync(a, NodeBed.Config("net", Dual), "a"));
        var second = NodeBed.AddressesOf(await _bed.AddAsync(b, NodeBed.Config("net", Dual), "b"));

        Assert.Equal([IpVersion.V4, IpVersion.V6], first.Select(f => f.Version));
        foreach (var address in second)
            await NodeBed.AssertPingAsync(_bed, a, address);
        foreach (var address in first)
            await NodeBed.AssertPingAsync(_bed, b, address);
        using var links = a.OpenLinks();
        Assert.All(links.DumpAddresses(links.Find("eth0")!.Index), address => Assert.False(address.Tentative));
    }

    [Fact]
    public async Task A_pod_gets_an_address_of_either_family_or_none()
    {
        await _bed.AddPoolAsync(new() { Cidr = "10.66.0.0/32", BlockSize = 32, NodeSelector = "!all()" });
        var pod = _bed.CreatePod();

        // One of the two can be had, the other cannot.
        var run = await _bed.RunAsync("ADD", pod, NodeBed.Config("net", """{"type": "calico-ipam", "assign_ipv6": "true", "ipv6_pools": ["fd00:99::/64"]}"""));

        Assert.Equal((1, 7), (run.ExitCode, run.Code));
        Assert.Equal(0, await _bed.AllocatedAsync());
        Assert.Equal(0, _bed.HostLinks());
        Assert.Empty(await _bed.EndpointsAsync());
    }

    [Fact]
    public async Task What_is_added_and_deleted_in_any_order_and_number_leaves_nothing_behind()
    {
        var pod = _bed.CreatePod();
        var config = NodeBed.Config("net");

        var twins = await Task.WhenAll(_bed.RunAsync("ADD", pod, config), _bed.RunAsync("ADD", pod, config));
        Assert.All(twins, t => Assert.Equal(0, t.ExitCode));
        Assert.Equal(twins[0].Output, twins[1].Output);
        var first = await _bed.AddAsync(pod, config);
        Assert.Equal(twins[0].Output, first.Output);

        await _bed.DelAsync(pod, config);
        await _bed.DelAsync(pod, config);
        await _bed.AddAsync(pod, config);
        Assert.Equal(1, await _bed.AllocatedAsync());

        var race = await Task.WhenAll(_bed.RunAsync("ADD", _bed.CreatePod(), config, "other"), _bed.RunAsync("DEL", null, config, "other"));
        Assert.Equal(0, race[1].ExitCode);
        await _bed.DelAsync(null, config, "other");
        await _bed.DelAsync(null, config);

        Assert.Equal((0, 0), (await _bed.AllocatedAsync(), _bed.HostLinks()));
        Assert.Empty(await _bed.EndpointsAsync());
        Assert.Empty(await _bed.WorkloadsAsync());
    }

    [Fact]
    public async Task A_pod_with_two_interfaces_in_one_network_is_reached_at_either()
    {
        var (pod, other) = (_bed.CreatePod(), _bed.CreatePod());
        var config = NodeBed.Config("net", Dual);
        var first = NodeBed.AddressesOf(await _bed.AddAsync(pod, config));
        var add = await _bed.RunAsync("ADD", pod, config, interfaceName: "net1");
        Assert.True(add.ExitCode == 0, add.Output);
        var second = NodeBed.AddressesOf(add);
        var third = await _bed.AddAsync(other, config, "other");

        Assert.Equal(4, first.Union(second).Count());
        foreach (var address in first.Concat(second))
            await NodeBed.AssertPingAsync(_bed, other, address);
        Assert.Equal((6, 3), (await _bed.AllocatedAsync(), (await _bed.EndpointsAsync()).Length));
        foreach (var name in (string[])["eth0", "net1"])
            Assert.Equal(0, (await _bed.RunAsync("CHECK", pod, config, interfaceName: name)).ExitCode);
        await NodeBed.AssertPingAsync(_bed, pod, NodeBed.AddressesOf(third)[0]);
        await _bed.StopNodeAsync();
        await _bed.StartNodeAsync();
        Assert.Equal(6, await _bed.AllocatedAsync());
        for (var i = 0; i < 2; i++)
            Assert.Equal(0, (await _bed.RunAsync("DEL", pod, config, interfaceName: "net1")).ExitCode);
        await NodeBed.AssertPingAsync(_bed, other, first[0]);
        await _bed.DelAsync(pod, config);
        Assert.Equal((2, 1), (await _bed.AllocatedAsync(), _bed.HostLinks()));
    }

    [Fact]
    public async Task A_pod_that_is_gone_without_a_delete_leaves_nothing_behind_for_long()
    {
        var (gone, stays) = (_bed.CreatePod(), _bed.CreatePod());
        var config = NodeBed.Config("net");
        var address = NodeBed.AddressesOf(await _bed.AddAsync(gone, config, "gone"))[0];
        await _bed.AddAsync(stays, config, "stays");

        _bed.DeletePod(gone);

        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(10));
        while ((await _bed.WorkloadsAsync()).Length > 1)
            await Task.Delay(50, limit.Token);
        Assert.Equal("stays", Assert.Single(await _bed.WorkloadsAsync()).ContainerId);
        Assert.Equal("stays", Assert.Single(await _bed.EndpointsAsync()).Spec.ContainerID);
        Assert.Equal(1, await _bed.AllocatedAsync());
        Assert.Contains(_bed.Reports, r => r.Contains("gone without a DEL", StringComparison.Ordinal) && r.Contains(address.ToString(), StringComparison.Ordinal));
        await _bed.DelAsync(null, config, "gone");
    }

    [Fact]
    public async Task A_container_whose_namespace_is_another_one_is_made_anew()
    {
        var (old, pod) = (_bed.CreatePod(), _bed.CreatePod());
        var config = NodeBed.Config("net");
        await _bed.AddAsync(old, config);
        _bed.DeletePod(old);

        await _bed.AddAsync(pod, config);

        using var links = pod.OpenLinks();
        Assert.NotNull(links.Find("eth0"));
        Assert.Equal((1, 1), (await _bed.AllocatedAsync(), _bed.HostLinks()));
    }

    [Fact]
    public async Task What_the_configuration_says_of_the_interface_is_how_it_is()
    {
        var pod = _bed.CreatePod();
        await File.WriteAllTextAsync(_bed.MtuFile, "1410\n");

        var run = await _bed.AddAsync(pod, NodeBed.Config("net", more: """
            "num_queues": 2, "container_settings": {"allow_ip_forwarding": true}, "require_mtu_file": true,
            "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}], "dns": {"nameservers": ["192.0.2.53"]}},
            "args": {"cni": {"labels": [{"key": "app", "value": "web"}]}}
            """));

        using var links = pod.OpenLinks();
        using var sysctl = pod.OpenSysctl();
        var link = links.Find("eth0")!;
        Assert.Equal((1410u, 2), (link.Mtu, link.Queues));
        Assert.Equal("1", sysctl.Read("ipv4/ip_forward"));
        Assert.Equal((1410, "192.0.2.53"), (run.Json["interfaces"]![1]!["mtu"]!.GetValue<int>(), run.Json["dns"]!["nameservers"]![0]!.GetValue<string>()));
        var endpoint = Assert.Single(await _bed.EndpointsAsync());
        Assert.Equal("web", endpoint.Metadata.Labels["app"]);
        Assert.Equal((80, 8080), Assert.Single(endpoint.Spec.Ports) is var port ? (port.Port, port.HostPort) : default);
    }

    [Fact]
    public async Task A_missing_mtu_file_that_is_required_is_named()
    {
        var run = await _bed.RunAsync("ADD", _bed.CreatePod(), NodeBed.Config("net", more: "\"require_mtu_file\": true"));

        Assert.Equal((1, 11), (run.ExitCode, run.Code));
        Assert.Contains(_bed.MtuFile, run.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_ADD_waits_for_the_gates_of_its_configuration()
    {
        using var gate = new System.Net.HttpListener();
        var url = $"http://127.0.0.1:{Datastore.Etcd.EtcdProcess.FreePort()}/";
        gate.Prefixes.Add(url);
        gate.Start();
        var answers = new Queue<int>([503, 200]);
        _ = Task.Run(async () =>
        {
            while (answers.Count > 0)
            {
                var asked = await gate.GetContextAsync();
                asked.Response.StatusCode = answers.Dequeue();
                asked.Response.Close();
            }
        });

        var refused = await _bed.RunAsync("ADD", _bed.CreatePod(), NodeBed.Config("net", more: "\"readiness_gates\": [\"ftp://nowhere/\"]"));
        await _bed.AddAsync(_bed.CreatePod(), NodeBed.Config("net", more: $"\"readiness_gates\": [\"{url}\"]"));

        Assert.Equal(7, refused.Code);
        Assert.Empty(answers);
    }

    [Fact]
    public async Task A_network_s_profile_is_made_once_and_lets_its_own_in()
    {
        await _bed.AddAsync(_bed.CreatePod(), NodeBed.Config("blue"), "a");
        await _bed.AddAsync(_bed.CreatePod(), NodeBed.Config("blue"), "b");

        var profiles = await _bed.Resources.ListAsync(Calico.Core.Model.Resources.ResourceKind.Profile);
        var profile = Assert.Single(profiles.Items.Cast<Calico.Core.Model.Resources.Profile>(), p => p.Name == "blue");
        Assert.Equal("has(blue)", Assert.Single(profile.Spec.Ingress).Source?.Selector);
    }

    // ---- CHECK, STATUS, GC -------------------------------------------------------------------------------------------

    [Fact]
    public async Task Check_finds_whatever_was_taken_from_a_pod()
    {
        var pod = _bed.CreatePod();
        var config = NodeBed.Config("net", Dual);
        var add = await _bed.AddAsync(pod, config);
        var check = NodeBed.Config("net", Dual, $"\"prevResult\": {add.Output}");
        var host = add.Json["interfaces"]![0]!["name"]!.GetValue<string>();
        Assert.Equal(0, (await _bed.RunAsync("CHECK", pod, check)).ExitCode);

        var wrong = check.Replace(NodeBed.AddressesOf(add)[0].ToString(), "10.9.9.9", StringComparison.Ordinal);
        await FailsAsync(pod, wrong, "prevResult");
        using (var links = pod.OpenLinks())
        using (var routes = pod.OpenRoutes())
        {
            var eth0 = links.Find("eth0")!.Index;
            var kept = routes.Dump(new RouteFilter()).First(r => r.NextHops.Any(h => h.Gateway == IpAddr.Parse("169.254.1.1")));
            Apply(routes, kept, delete: true);
            await FailsAsync(pod, check, "169.254.1.1");
            Apply(routes, kept, delete: false);
            links.DeleteAddress(new LinkAddress(eth0, Cidr.Host(NodeBed.AddressesOf(add)[1])));
            await FailsAsync(pod, check, NodeBed.AddressesOf(add)[1].ToString());
            links.AddAddress(new LinkAddress(eth0, Cidr.Host(NodeBed.AddressesOf(add)[1])));
            links.Change(new LinkChange(eth0) { Up = false });
            await FailsAsync(pod, check, "down");
        }
        using (var links = _bed.Host.OpenLinks())
            links.Delete(host);
        await FailsAsync(pod, check, "gone");
        await _bed.DelAsync(pod, config);
        Assert.Equal(3, (await _bed.RunAsync("CHECK", pod, check)).Code);
    }

    [Fact]
    public async Task Gc_takes_what_is_not_valid_any_more_and_only_of_its_network()
    {
        foreach (var (container, network) in ((string, string)[])[("keep", "net"), ("stale", "net"), ("other", "else")])
            await _bed.AddAsync(_bed.CreatePod(), NodeBed.Config(network), container);

        var nothing = await _bed.RunAsync("GC", null, NodeBed.Config("net", version: "1.1.0"));
        Assert.Equal((0, 3), (nothing.ExitCode, (await _bed.WorkloadsAsync()).Length));
        var run = await _bed.RunAsync("GC", null, NodeBed.Config("net", more: """
            "cni.dev/valid-attachments": [{"containerID": "keep", "ifname": "eth0"}]
            """, version: "1.1.0"));

        Assert.Equal(0, run.ExitCode);
        Assert.Equal(["keep", "other"], (await _bed.WorkloadsAsync()).Select(w => w.ContainerId).Order());
        Assert.Equal(2, await _bed.AllocatedAsync());
    }

    // ---- addresses alone, and addresses of others --------------------------------------------------------------------

    [Fact]
    public async Task Addresses_alone_outlive_a_restart_of_the_node_and_go_with_their_DEL()
    {
        var config = NodeBed.Config("other");
        var add = await _bed.RunAsync("ADD", _bed.CreatePod(), config, program: "calico-ipam");
        var again = await _bed.RunAsync("ADD", _bed.CreatePod(), config, program: "calico-ipam");
        Assert.Equal((0, add.Output), (add.ExitCode, again.Output));
        Assert.False(add.Json.ContainsKey("interfaces"));

        await _bed.StopNodeAsync();
        await _bed.StartNodeAsync();

        Assert.Equal(1, await _bed.AllocatedAsync());
        Assert.Equal((0, 0), (_bed.HostLinks(), (await _bed.EndpointsAsync()).Length));
        Assert.Equal(0, (await _bed.RunAsync("CHECK", _bed.CreatePod(), config, program: "calico-ipam")).ExitCode);
        Assert.Equal(0, (await _bed.RunAsync("DEL", null, config, program: "calico-ipam")).ExitCode);
        Assert.Equal(0, await _bed.AllocatedAsync());
    }

    [Fact]
    public async Task Another_s_ipam_plugin_gives_addresses_and_routes_and_gets_them_back()
    {
        var data = Directory.CreateDirectory(Path.Combine(_bed.Folder, "host-local")).FullName;
        var ipam = $$"""{"type": "host-local", "dataDir": "{{data}}", "subnet": "10.77.0.0/24", "routes": [{"dst": "10.0.0.0/8"}, {"dst": "0.0.0.0/0"}]}""";
        var config = NodeBed.Config("net", ipam);
        var (a, b) = (_bed.CreatePod(), _bed.CreatePod());

        var first = NodeBed.AddressesOf(await _bed.AddAsync(a, config, "a"))[0];
        var second = NodeBed.AddressesOf(await _bed.AddAsync(b, config, "b"))[0];

        Assert.True(Cidr.Parse("10.77.0.0/24").Contains(first));
        await NodeBed.AssertPingAsync(_bed, a, second);
        using (var routes = a.OpenRoutes())
            Assert.Contains(routes.Dump(new RouteFilter()), r => r.Key.Destination == Cidr.Parse("10.0.0.0/8"));
        Assert.Equal(0, await _bed.AllocatedAsync());
        Assert.Equal(2, (await _bed.EndpointsAsync()).Length);
        Assert.Equal(0, (await _bed.RunAsync("CHECK", a, config, "a")).ExitCode);
        await _bed.DelAsync(a, config, "a");
        await _bed.DelAsync(b, config, "b");
        Assert.Empty(Directory.GetFiles(Path.Combine(data, "net"), "10.*"));
        Assert.Empty(await _bed.EndpointsAsync());
    }

    [Fact]
    public async Task Another_s_address_is_given_back_when_the_node_refuses()
    {
        var data = Directory.CreateDirectory(Path.Combine(_bed.Folder, "host-local")).FullName;
        var config = NodeBed.Config("net", $$"""{"type": "host-local", "dataDir": "{{data}}", "subnet": "10.77.0.0/24"}""", "\"require_mtu_file\": true");

        var run = await _bed.RunAsync("ADD", _bed.CreatePod(), config);

        Assert.Equal((1, 11), (run.ExitCode, run.Code));
        Assert.Empty(Directory.GetFiles(Path.Combine(data, "net"), "10.*"));
    }

    [Fact]
    public async Task The_node_s_pod_network_stands_for_usePodCidr()
    {
        var node = await _bed.Resources.GetAsync(new(Calico.Core.Model.Resources.ResourceKind.Node, null, NodeBed.Node)) as Calico.Core.Model.Resources.NodeResource;
        await _bed.Resources.UpdateAsync(node! with { Status = node.Status with { PodCIDRs = ["10.88.3.0/24"] } });
        var data = Directory.CreateDirectory(Path.Combine(_bed.Folder, "host-local")).FullName;
        var config = NodeBed.Config("net", $$"""{"type": "host-local", "dataDir": "{{data}}", "subnet": "usePodCidr"}""");
        var pod = _bed.CreatePod();
        await Wait.Until(() => _bed.RunAsync("ADD", pod, config).GetAwaiter().GetResult().ExitCode == 0, "the pod network");

        var again = await _bed.RunAsync("CHECK", pod, config);

        Assert.Equal(0, again.ExitCode);
        Assert.True(Cidr.Parse("10.88.3.0/24").Contains((await _bed.WorkloadsAsync())[0].ParsedAddresses.Single()));
        await _bed.DelAsync(pod, config);
        Assert.Empty(Directory.GetFiles(Path.Combine(data, "net"), "10.*"));
    }

    [Fact]
    public async Task An_ipam_plugin_that_is_nowhere_is_named()
    {
        var run = await _bed.RunAsync("ADD", _bed.CreatePod(), NodeBed.Config("net", """{"type": "nobodys-ipam"}"""));

        Assert.Equal((1, 7), (run.ExitCode, run.Code));
        Assert.Contains("nobodys-ipam", run.Message, StringComparison.Ordinal);
    }

    // ---- the log -----------------------------------------------------------------------------------------------------

    [Fact]
    public async Task Calls_are_logged_where_the_configuration_says_and_a_log_that_cannot_be_written_harms_nobody()
    {
        var log = Path.Combine(_bed.Folder, "logs", "cni.log");
        await _bed.AddAsync(_bed.CreatePod(), NodeBed.Config("net", more: $"\"log_file_path\": \"{log}\""), "a");
        await _bed.AddAsync(_bed.CreatePod(), NodeBed.Config("net", more: "\"log_file_path\": \"/proc/nowhere/cni.log\""), "b");

        await Wait.Until(() => File.Exists(log) && File.ReadAllText(log).Contains("calico ADD ContainerID=a", StringComparison.Ordinal), "the line");
    }

    private async Task FailsAsync(Calico.Kernel.Namespaces.NetworkNamespace pod, string check, string why)
    {
        var run = await _bed.RunAsync("CHECK", pod, check);
        Assert.True(run.ExitCode == 1, $"CHECK succeeded though it should have found '{why}'");
        Assert.Contains(why, run.Message, StringComparison.Ordinal);
    }

    private static void Apply(IRouteTable routes, Route route, bool delete)
    {
        var results = new Calico.Kernel.Errno[1];
        routes.Apply([new RouteChange(route, delete)], results);
        Assert.Equal(Calico.Kernel.Errno.None, results[0]);
    }
}

using System.Text;
using Calico.Core.Cni;
using Calico.Core.Net;
using CsCheck;

namespace Calico.Tests.Core.Cni;

[Layer("unit")]
public class CniConfigTests
{
    private const string Full = """
        {
          "cniVersion": "1.0.0", "name": "k8s-pod-network", "type": "calico",
          "log_level": "info", "datastore_type": "kubernetes", "nodename": "node-1", "mtu": 1450, "num_queues": 4,
          "ipam": {"type": "calico-ipam", "assign_ipv4": "true", "assign_ipv6": "true",
                   "ipv4_pools": ["10.65.0.0/16", "blue"], "ipv6_pools": ["fd00::/48"]},
          "policy": {"type": "k8s"}, "kubernetes": {"kubeconfig": "/etc/cni/net.d/calico-kubeconfig"},
          "feature_control": {"ip_addrs_no_ipam": true, "floating_ips": true},
          "container_settings": {"allow_ip_forwarding": true}, "include_default_routes": true,
          "device_type": "netkit", "readiness_gates": ["http://localhost:9099/readiness"],
          "policy_setup_timeout_seconds": 7, "require_mtu_file": true,
          "args": {"cni": {"labels": [{"key": "app", "value": "web"}]},
                   "org.apache.mesos": {"network_info": {"labels": {"labels": [{"key": "app", "value": "old"}, {"key": "rack", "value": "3"}]}}}},
          "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "udp", "hostIP": "192.0.2.1"}],
                            "dns": {"nameservers": ["192.0.2.53"], "search": ["cluster.local"]}},
          "prevResult": {"cniVersion": "1.0.0", "ips": [{"address": "10.65.1.2/32"}]}
        }
        """;

    [Fact]
    public void Every_key_that_calico_uses_is_read()
    {
        Assert.True(Parse(Full, out var config, out _));

        Assert.Equal((new CniVersion(1, 0, 0), "k8s-pod-network", "calico"), (config.Version, config.Name, config.Type));
        Assert.Equal(("node-1", 1450u, 4), (config.NodeName, config.Mtu, config.NumQueues));
        Assert.True(config.Ipam is { Type: CniIpamConfig.CalicoType, AssignV4: true, AssignV6: true });
        Assert.Equal(["10.65.0.0/16", "blue"], config.Ipam.V4Pools.AsEnumerable());
        Assert.Equal(["fd00::/48"], config.Ipam.V6Pools.AsEnumerable());
        Assert.True(config is
        {
            KubernetesPolicy: true,
            AllowIpAddrsNoIpam: true,
            AllowFloatingIps: true,
            AllowIpForwarding: true,
            IncludeDefaultRoutes: true,
            IsNetkitWanted: true,
            RequireMtuFile: true,
        });
        Assert.Equal(TimeSpan.FromSeconds(7), config.PolicySetupTimeout);
        Assert.Equal(["http://localhost:9099/readiness"], config.ReadinessGates.AsEnumerable());
        Assert.Equal(["192.0.2.53"], config.RuntimeDns.Nameservers.AsEnumerable());
        Assert.Equal([new CniPortMapping(8080, 80, "udp", IpAddr.Parse("192.0.2.1"))], config.PortMappings.AsEnumerable());
        Assert.Equal("10.65.1.2/32", config.PreviousResult!.Addresses[0].Address.ToString());
    }

    [Fact]
    public void Labels_of_the_cni_convention_win_over_those_of_mesos()
    {
        Parse(Full, out var config, out _);

        Assert.Equal([("app", "web"), ("rack", "3")], config.Labels.OrderBy(l => l.Key).Select(l => (l.Key, l.Value)));
    }

    [Fact]
    public void The_shortest_configuration_has_calico_s_defaults()
    {
        Assert.True(Parse("""{"name": "net1"}""", out var config, out _));

        Assert.Equal(CniVersion.Unspecified, config.Version);
        Assert.True(config is { Mtu: 0, NumQueues: 1, NodeName: null, KubernetesPolicy: false, IsNetkitWanted: false, PreviousResult: null, ValidAttachments: null });
        Assert.True(config.Ipam is { AssignV4: true, AssignV6: false, Type: "" });
    }

    [Theory]
    [InlineData("""{"name": "net1", "nodename": "a", "hostname": "b"}""", "a")]
    [InlineData("""{"name": "net1", "nodename": "", "hostname": "b"}""", "b")]
    [InlineData("""{"name": "net1", "NodeName": "a"}""", "a")]
    public void The_node_s_name_comes_from_nodename_then_from_hostname(string json, string name)
    {
        Parse(json, out var config, out _);

        Assert.Equal(name, config.NodeName ?? config.HostName);
    }

    [Theory]
    [InlineData("""{"name": "net1" """, "malformed JSON")]
    [InlineData("", "malformed JSON")]
    [InlineData("[]", "not a JSON object")]
    [InlineData("null", "not a JSON object")]
    [InlineData("""{"name": "net1"} x""", "malformed JSON")]
    [InlineData("""{"name": "net1", "cniVersion": 4}""", "'cniVersion' is not a string")]
    [InlineData("""{"name": 1}""", "'name' is not a string")]
    [InlineData("""{"name": "net1", "cniVersion": "four"}""", "cniVersion 'four'")]
    [InlineData("""{"name": "net1", "mtu": "1450"}""", "'mtu'")]
    [InlineData("""{"name": "net1", "ipam": {"assign_ipv4": true}}""", "'ipam.assign_ipv4'")]
    [InlineData("""{"name": "net1", "ipam": "calico-ipam"}""", "'ipam'")]
    [InlineData("""{"name": "net1", "ipam": {"ipv4_pools": [1]}}""", "'ipam.ipv4_pools[0]' has the wrong type")]
    [InlineData("""{"name": "net1", "cni.dev/valid-attachments": "all"}""", "'cni.dev/valid-attachments' has the wrong type")]
    [InlineData("""{"name": "net1", "cni.dev/valid-attachments": [{"ifname": 5}]}""", "'cni.dev/valid-attachments[0].ifname' has the wrong type")]
    [InlineData("""{"name": "net1", "args": {"org.apache.mesos": {"network_info": 1}}}""", "'args.org.apache.mesos.network_info' has the wrong type")]
    public void What_cannot_be_decoded_is_code_6_and_says_where(string json, string where)
    {
        Assert.False(Parse(json, out _, out var error));

        Assert.Equal(CniErrorCode.DecodeFailure, error!.Code);
        Assert.Contains(where, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{}", "missing network name")]
    [InlineData("""{"name": null}""", "missing network name")]
    [InlineData("""{"name": "net 1"}""", "'net 1'")]
    [InlineData("""{"name": "-net"}""", "'-net'")]
    [InlineData("""{"name": "net1", "mtu": -1}""", "'mtu' is -1")]
    [InlineData("""{"name": "net1", "mtu": 70000}""", "'mtu' is 70000")]
    [InlineData("""{"name": "net1", "mtu": 67}""", "'mtu' is 67 and must be between 68 and 65535")]
    [InlineData("""{"name": "net1", "device_type": "ipvlan"}""", "'device_type' is 'ipvlan'")]
    [InlineData("""{"name": "net1", "policy_setup_timeout_seconds": -1}""", "'policy_setup_timeout_seconds' is -1")]
    [InlineData("""{"name": "net1", "ipam": {"assign_ipv6": "yes"}}""", "'ipam.assign_ipv6' is \"yes\"")]
    [InlineData("""{"name": "net1", "ipam": {"ipv4_pools": ["fd00::/64"]}}""", "'fd00::/64'")]
    [InlineData("""{"name": "net1", "ipam": {"ipv6_pools": ["10.0.0.0/99"]}}""", "'10.0.0.0/99'")]
    [InlineData("""{"name": "net1", "args": {"cni": {"labels": [{"value": "x"}]}}}""", "no key")]
    [InlineData("""{"name": "net1", "prevResult": {"cniVersion": "1.0.0", "ips": [{"address": "x"}]}}""", "'prevResult': ips[0].address 'x'")]
    [InlineData("""{"name": "net1", "prevResult": {"cniVersion": "9.0.0"}}""", "'prevResult': cniVersion '9.0.0'")]
    [InlineData("""{"name": "net1", "prevResult": "none"}""", "'prevResult': it is not a JSON object")]
    [InlineData("""{"name": "net1", "runtimeConfig": {"portMappings": [{"hostPort": 99999}]}}""", "hostPort")]
    public void What_makes_no_sense_is_code_7_and_named(string json, string what)
    {
        Assert.False(Parse(json, out _, out var error));

        Assert.Equal(CniErrorCode.InvalidConfig, error!.Code);
        Assert.Contains(what, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void All_problems_are_told_at_once()
    {
        Parse("""{"name": "net1", "mtu": -1, "device_type": "x", "num_queues": 5000}""", out _, out var error);

        Assert.Equal(2, error!.Message.Count(c => c == ';'));
    }

    [Theory]
    [InlineData("""{"name": "net1", "cniVersion": "1.0.0", "mtu": "large"}""", "1.0.0")]
    [InlineData("""{"name": "net1", "cniVersion": "0.4.0", "mtu": -1}""", "0.4.0")]
    [InlineData("""{"cniVersion": "1.1.0"}""", "1.1.0")]
    [InlineData("""{"name": "net1", "cniVersion": "2.0.0"}""", "0.2.0")]
    [InlineData("""{"name": "net1", "mtu": -1}""", "0.2.0")]
    public void A_refusal_is_in_the_version_that_the_configuration_asks_for(string json, string version)
    {
        Assert.False(Parse(json, out var config, out _));

        Assert.Equal(version, config.Version.ToString());
    }

    [Theory]
    [InlineData(CniCommand.Add, "0.0.9")]
    [InlineData(CniCommand.Add, "0.5.0")]
    [InlineData(CniCommand.Add, "2.0.0")]
    [InlineData(CniCommand.Check, "0.3.1")]
    [InlineData(CniCommand.Status, "1.0.0")]
    [InlineData(CniCommand.Gc, "1.0.0")]
    public void A_version_that_does_not_do_is_code_1(CniCommand command, string version)
    {
        var json = Encoding.UTF8.GetBytes($$"""{"name": "net1", "cniVersion": "{{version}}"}""");

        Assert.False(CniNetworkConfig.TryParse(json, command, out _, out var error));
        Assert.Equal(CniErrorCode.IncompatibleVersion, error!.Code);
        Assert.Contains(version, error.Details, StringComparison.Ordinal);
    }

    [Fact]
    public void The_error_about_a_version_lists_those_that_do()
    {
        Parse("""{"name": "net1", "cniVersion": "2.0.0"}""", out _, out var error);

        Assert.EndsWith("0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0", error!.Details, StringComparison.Ordinal);
    }

    [Fact]
    public void Garbage_collection_lists_what_to_keep()
    {
        var json = """{"name": "net1", "cniVersion": "1.1.0", "cni.dev/valid-attachments": [{"containerID": "a", "ifname": "eth0"}]}""";

        Assert.True(CniNetworkConfig.TryParse(Encoding.UTF8.GetBytes(json), CniCommand.Gc, out var config, out _));
        Assert.Equal([new CniAttachment("a", "eth0")], config.ValidAttachments!.Value.AsEnumerable());
    }

    [Theory]
    [InlineData("""{"containerID": "a"}""")]
    [InlineData("""{"ifname": "eth0"}""")]
    [InlineData("""{"containerID": "a", "ifname": ""}""")]
    [InlineData("{}")]
    [InlineData("null")]
    public void Garbage_collection_with_an_entry_that_names_no_attachment_is_refused(string entry)
    {
        var json = """{"name": "net1", "cniVersion": "1.1.0", "cni.dev/valid-attachments": [{"containerID": "b", "ifname": "eth0"}, """ + entry + "]}";

        Assert.False(CniNetworkConfig.TryParse(Encoding.UTF8.GetBytes(json), CniCommand.Gc, out _, out var error));
        Assert.Equal(CniErrorCode.InvalidConfig, error!.Code);
        Assert.Contains("'cni.dev/valid-attachments[1]'", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_shim_s_reader_finds_the_node_s_socket()
    {
        var json = """{"ipam": {"name": "no", "node_socket": "no"}, "node_socket": "/run/x.sock", "name": "net1"}"""u8;

        Assert.True(CniConfigHeader.TryRead(json, CniCommand.Add, out var header, out _));
        Assert.Equal(("net1", "/run/x.sock"), (header.Name, header.NodeSocket));
    }

    [Fact]
    public void A_broken_document_never_throws()
    {
        var full = Encoding.UTF8.GetBytes(Full);

        Gen.Select(Gen.Int[0, full.Length - 1], Gen.Byte, Gen.Int[0, full.Length]).Sample((at, value, length) =>
        {
            var bytes = (byte[])full.Clone();
            bytes[at] = value;
            CniNetworkConfig.TryParse(bytes, CniCommand.Add, out _, out _);
            CniNetworkConfig.TryParse(bytes.AsMemory(0, length), CniCommand.Add, out _, out _);
        }, iter: 5_000);
    }

    [Theory]
    [InlineData("""{"name": "net1", "ipam": null, "args": {"cni": {"labels": null}}, "readiness_gates": [null]}""")]
    [InlineData("""{"name": "net1", "prevResult": null, "runtimeConfig": {"portMappings": [null]}}""")]
    public void Null_is_as_good_as_absent(string json) => Assert.True(Parse(json, out _, out _));

    private static bool Parse(string json, out CniNetworkConfig config, out CniError? error) =>
        CniNetworkConfig.TryParse(Encoding.UTF8.GetBytes(json), CniCommand.Add, out config, out error);
}

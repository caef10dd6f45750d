using System.Text.Json.Nodes;
using Calico.Actors.Cni;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore.Kubernetes;
using Calico.Tests.Datastore.Kubernetes.Fake;

namespace Calico.Tests.Cni;

/// <summary>Pods of Kubernetes: what they and their namespace say is what they get.</summary>
[Layer("kernel")]
public sealed class PodAnnotationTests : IAsyncLifetime
{
    private const string Prefix = "cni.projectcalico.org/";
    private const string Policy = "\"policy\": {\"type\": \"k8s\"}";

    private readonly FakeApi _api = new();
    private readonly KubernetesReader _reader;
    private NodeBed _bed = null!;
    private int _pods;

    public PodAnnotationTests() => _reader = new KubernetesReader(_api.Options);

    public async Task InitializeAsync()
    {
        _bed = await NodeBed.StartAsync(new KubernetesPods(_reader), new IPPoolSpec { Cidr = "10.65.0.0/16" }, new IPPoolSpec { Cidr = "10.66.0.0/16" },
            new IPPoolSpec { Cidr = "fd00:65::/48" });
        foreach (var name in (string[])["kns.web", "ksa.web.builder"])
            await _bed.Resources.ApplyAsync(new Profile
            {
                Metadata = new ObjectMeta { Name = name },
                Spec = new ProfileSpec { Egress = [new Rule { Action = RuleAction.Allow }], Ingress = [new Rule { Action = RuleAction.Allow }] },
            });
    }

    public async Task DisposeAsync()
    {
        await _bed.DisposeAsync();
        _reader.Dispose();
    }

    [Fact]
    public async Task Labels_account_ports_and_owner_come_from_the_pod()
    {
        Namespace();
        var run = await RunAsync(Policy, labels: """{"app": "web"}""", spec: """
            "serviceAccountName": "builder", "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}]
            """, generateName: "web-");

        Assert.True(run.ExitCode == 0, run.Output);
        var endpoint = Assert.Single(await _bed.EndpointsAsync());
        Assert.Equal(("web", "web-", "builder"), (endpoint.Metadata.Labels["app"], endpoint.Metadata.GenerateName, endpoint.Spec.ServiceAccountName));
        Assert.Equal(["kns.web", "ksa.web.builder"], endpoint.Spec.Profiles);
        Assert.Equal(("http", 8080), Assert.Single(endpoint.Spec.Ports) is var port ? (port.Name, port.Port) : default);
    }

    [Fact]
    public async Task Pools_of_the_pod_beat_those_of_its_namespace_which_beat_the_configuration_s()
    {
        Namespace(("ipv4pools", "[\"10.66.0.0/16\"]"));
        var byNamespace = await RunAsync(Policy);
        var byPod = await RunAsync(Policy, annotations: [("ipv4pools", "[\"10.65.0.0/16\"]")]);

        Assert.True(Cidr.Parse("10.66.0.0/16").Contains(NodeBed.AddressesOf(byNamespace)[0]));
        Assert.True(Cidr.Parse("10.65.0.0/16").Contains(NodeBed.AddressesOf(byPod)[0]));
    }

    [Fact]
    public async Task Families_are_the_pod_s_choice()
    {
        Namespace();
        var six = await RunAsync(Policy, annotations: [("ipFamilies", "[\"IPv6\"]")]);
        var both = await RunAsync(Policy, annotations: [("ipFamilies", "[\"IPv4\", \"IPv6\"]")]);

        Assert.Equal([IpVersion.V6], NodeBed.AddressesOf(six).Select(a => a.Version));
        Assert.Equal([IpVersion.V4, IpVersion.V6], NodeBed.AddressesOf(both).Select(a => a.Version));
    }

    [Fact]
    public async Task Wanted_addresses_and_mac_are_what_the_pod_gets()
    {
        Namespace();
        var run = await RunAsync(Policy, annotations: [("ipAddrs", "[\"10.65.7.7\", \"fd00:65::77\"]"), ("hwAddr", "1c:0c:0a:c0:ff:ee")]);

        Assert.Equal([IpAddr.Parse("10.65.7.7"), IpAddr.Parse("fd00:65::77")], NodeBed.AddressesOf(run).AsEnumerable());
        Assert.Equal("1c:0c:0a:c0:ff:ee", run.Json["interfaces"]![1]!["mac"]!.GetValue<string>());
        Assert.Equal(2, await _bed.AllocatedAsync());
    }

    [Fact]
    public async Task Addresses_without_ipam_need_the_feature_and_take_nothing_from_a_pool()
    {
        Namespace();
        var refused = await RunAsync(Policy, annotations: [("ipAddrsNoIpam", "[\"10.99.0.1\"]")]);
        var run = await RunAsync(Policy + ", \"feature_control\": {\"ip_addrs_no_ipam\": true}", annotations: [("ipAddrsNoIpam", "[\"10.99.0.1\"]")]);

        Assert.Equal(7, refused.Code);
        Assert.Contains("feature_control.ip_addrs_no_ipam", refused.Message, StringComparison.Ordinal);
        Assert.Equal([IpAddr.Parse("10.99.0.1")], NodeBed.AddressesOf(run).AsEnumerable());
        Assert.Equal(0, await _bed.AllocatedAsync());
    }

    [Fact]
    public async Task Floating_addresses_and_foreign_sources_are_told_to_the_endpoint()
    {
        Namespace();
        var refused = await RunAsync(Policy, annotations: [("floatingIPs", "[\"192.0.2.7\"]")]);
        var run = await RunAsync(Policy + ", \"feature_control\": {\"floating_ips\": true}",
            annotations: [("floatingIPs", "[\"192.0.2.7\"]"), ("allowedSourcePrefixes", "[\"198.51.100.0/24\"]")]);

        Assert.Equal(7, refused.Code);
        Assert.True(run.ExitCode == 0, run.Output);
        var spec = Assert.Single(await _bed.EndpointsAsync()).Spec;
        Assert.Equal(("192.0.2.7", NodeBed.AddressesOf(run)[0].ToString()), Assert.Single(spec.IpNATs) is var nat ? (nat.ExternalIP, nat.InternalIP) : default);
        Assert.Equal(["198.51.100.0/24"], spec.AllowSpoofedSourcePrefixes);
        using var sysctl = _bed.Host.OpenSysctl();
        Assert.Equal("0", sysctl.Read($"ipv4/conf/{run.Json["interfaces"]![0]!["name"]!.GetValue<string>()}/rp_filter"));
    }

    [Theory]
    [InlineData("ipAddrs", "10.65.7.7", "JSON list")]
    [InlineData("ipAddrs", "[\"10.65.7.7\", \"10.65.7.8\"]", "second IPv4 address")]
    [InlineData("ipAddrs", "[\"web\"]", "is no address")]
    [InlineData("hwAddr", "01:00:5e:00:00:01", "no MAC address")]
    [InlineData("ipFamilies", "[\"IPX\"]", "neither IPv4 nor IPv6")]
    [InlineData("ipv4pools", "[\"nowhere\"]", "does not exist")]
    public async Task An_annotation_that_cannot_be_followed_is_named_and_leaves_no_trace(string name, string value, string why)
    {
        Namespace();
        var run = await RunAsync(Policy, annotations: [(name, value)]);

        Assert.Equal((1, 7), (run.ExitCode, run.Code));
        Assert.Contains(why, run.Message, StringComparison.Ordinal);
        Assert.Equal((0, 0), (await _bed.AllocatedAsync(), _bed.HostLinks()));
    }

    [Fact]
    public async Task A_pod_that_Kubernetes_does_not_know_is_to_be_tried_again()
    {
        Namespace();
        var run = await _bed.RunAsync("ADD", _bed.CreatePod(), NodeBed.Config("net", more: Policy), args: "K8S_POD_NAMESPACE=web;K8S_POD_NAME=ghost");

        Assert.Equal((1, 11), (run.ExitCode, run.Code));
        Assert.Contains("web/ghost", run.Message, StringComparison.Ordinal);
    }

    private void Namespace(params (string Name, string Value)[] annotations) =>
        _api.Apply("namespaces", new JsonObject { ["metadata"] = new JsonObject { ["name"] = "web", ["annotations"] = Map(annotations) } }.ToJsonString());

    private Task<ShimRun> RunAsync(string more, (string Name, string Value)[]? annotations = null, string labels = "{}", string spec = "", string? generateName = null)
    {
        var name = $"web-{++_pods}";
        _api.Apply("pods", $$"""
            {"metadata": {"name": "{{name}}", "namespace": "web", "labels": {{labels}}, "annotations": {{Map(annotations ?? []).ToJsonString()}}
              {{(generateName is null ? "" : $", \"generateName\": \"{generateName}\"")}} },
             "spec": {"nodeName": "{{NodeBed.Node}}"{{(spec.Length > 0 ? ", " + spec : "")}} } }
            """);
        return _bed.RunAsync("ADD", _bed.CreatePod(), NodeBed.Config("net", more: more), $"sandbox-{_pods}",
            args: $"IgnoreUnknown=1;K8S_POD_NAMESPACE=web;K8S_POD_NAME={name}");
    }

    private static JsonObject Map((string Name, string Value)[] annotations) =>
        new(annotations.Select(a => KeyValuePair.Create<string, JsonNode?>(Prefix + a.Name, a.Value)));
}

/// <summary>The plugin where the Kubernetes API is the datastore: an endpoint is the pod itself.</summary>
[Layer("kernel")]
public sealed class KubernetesNodeTests
{
    [Fact]
    public async Task A_pod_s_endpoint_is_the_pod_with_its_addresses_and_goes_with_its_DEL()
    {
        var api = new FakeApi();
        api.Apply("nodes", $$$"""{"metadata":{"name":"{{{NodeBed.Node}}}"}}""");
        api.Apply("namespaces", """{"metadata":{"name":"web","annotations":{"cni.projectcalico.org/ipv4pools":"[\"10.66.0.0/16\"]"}}}""");
        api.Apply("serviceaccounts", """{"metadata":{"name":"default","namespace":"web"}}""");
        api.Apply("pods", $$$"""{"metadata":{"name":"web-0","namespace":"web","labels":{"app":"web"}},"spec":{"nodeName":"{{{NodeBed.Node}}}","serviceAccountName":"default"}}""");
        using var reader = new KubernetesReader(api.Options);
        await using var bed = await NodeBed.StartOnAsync(api.Open(), new KubernetesPods(reader), new IPPoolSpec { Cidr = "10.65.0.0/16" }, new IPPoolSpec { Cidr = "10.66.0.0/16" });
        const string args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=web;K8S_POD_NAME=web-0";
        var config = NodeBed.Config("k8s-pod-network", more: "\"policy\": {\"type\": \"k8s\"}");

        var add = await bed.AddAsync(bed.CreatePod(), config, "sandbox-1", args);

        var address = NodeBed.AddressesOf(add)[0];
        Assert.True(Cidr.Parse("10.66.0.0/16").Contains(address));
        var endpoint = Assert.Single(await bed.EndpointsAsync());
        Assert.Equal(($"{address}/32", "sandbox-1", "web"), (Assert.Single(endpoint.Spec.IpNetworks), endpoint.Spec.ContainerID, endpoint.Metadata.Labels["app"]));
        Assert.Equal(["kns.web", "ksa.web.default"], Assert.Single(await bed.WorkloadsAsync()).Profiles.AsEnumerable());
        Assert.Equal(0, (await bed.RunAsync("CHECK", null, config, "sandbox-1", args: args, netns: Assert.Single(await bed.WorkloadsAsync()).NetnsPath)).ExitCode);
        Assert.Equal(0, (await bed.RunAsync("DEL", null, config, "sandbox-1", args: args)).ExitCode);
        Assert.Empty(await bed.EndpointsAsync());
        Assert.Equal(0, await bed.AllocatedAsync());
    }
}

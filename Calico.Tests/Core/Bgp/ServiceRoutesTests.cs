using System.Text.Json;
using Calico.Core.Bgp.Services;
using Calico.Core.Model.Resources;
using Calico.Core.Net;

namespace Calico.Tests.Core.Bgp;

[Layer("unit")]
public class ServiceRoutesTests
{
    private static readonly ServiceRanges All = Ranges(new BGPConfigurationSpec
    {
        ServiceClusterIPs = [new CidrEntry { Cidr = "10.96.0.0/12" }],
        ServiceExternalIPs = [new CidrEntry { Cidr = "203.0.113.0/24" }, new CidrEntry { Cidr = "198.51.100.1/32" }],
        ServiceLoadBalancerIPs = [new CidrEntry { Cidr = "198.18.0.0/24" }, new CidrEntry { Cidr = "198.19.0.1/32" }],
    });

    private static ServiceRanges Ranges(BGPConfigurationSpec spec, params string[] more) => ServiceRanges.Of(spec, more.Select(m => Cidr.Parse(m)));

    private static ServiceFacts Service(string policy, string more = "") => ServiceFacts.Read(JsonDocument.Parse($$$$"""
        {"spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.5", "clusterIPs": ["10.96.0.5"], "ipFamilies": ["IPv4"], "externalTrafficPolicy": "{{{{policy}}}}",
                  "externalIPs": ["203.0.113.7", "198.51.100.1", "192.0.2.1"]{{{{more}}}}},
         "status": {"loadBalancer": {"ingress": [{"ip": "198.18.0.7"}, {"ip": "198.19.0.1"}, {"hostname": "x"}]}}}
        """).RootElement);

    private static SliceFacts Slice(string node, string conditions = "{}", string type = "IPv4") => SliceFacts.Read(JsonDocument.Parse(
        $$$$"""{"addressType": "{{{{type}}}}", "endpoints": [{"addresses": ["10.1.0.1"], "nodeName": "{{{{node}}}}", "conditions": {{{{conditions}}}}}]}""").RootElement);

    private static string[] Routes(ServiceFacts service, ServiceRanges ranges, params SliceFacts[] slices) =>
        [.. ServiceRoutes.Of(service, slices, ranges, "n1").Order().Select(r => r.ToString())];

    [Fact]
    public void Ranges_go_out_as_a_whole_except_single_addresses_that_have_a_place()
    {
        Assert.Equal(["10.96.0.0/12", "203.0.113.0/24", "198.18.0.0/24"], All.Aggregates.Select(a => a.ToString()));
        Assert.Equal(5, All.All.Length);
        Assert.Equal(["10.96.0.0/12", "203.0.113.0/24"], (All with { AggregatesLoadBalancers = false }).Aggregates.Select(a => a.ToString()));
        Assert.Equal(["10.96.0.5/32"], Ranges(new BGPConfigurationSpec(), "10.96.0.5/32").Aggregates.Select(a => a.ToString()));
    }

    [Fact]
    public void A_local_service_is_announced_where_it_has_an_endpoint_that_is_ready()
    {
        string[] routes = ["10.96.0.5/32", "198.18.0.7/32", "198.19.0.1/32", "198.51.100.1/32", "203.0.113.7/32"];

        Assert.Equal(routes, Routes(Service("Local"), All, Slice("n2"), Slice("n1")));
        Assert.Equal(routes, Routes(Service("Local"), All, Slice("n1", "{\"ready\": true}")));
        Assert.Empty(Routes(Service("Local"), All, Slice("n1", "{\"ready\": false}")));
        Assert.Empty(Routes(Service("Local"), All, Slice("n2")));
        Assert.Empty(Routes(Service("Local"), All, Slice("n1", type: "IPv6")));
    }

    [Fact]
    public void A_cluster_IP_alone_is_announced_only_if_some_are_configured() =>
        Assert.DoesNotContain("10.96.0.5/32", Routes(Service("Local"), All with { Cluster = [] }, Slice("n1")));

    [Fact]
    public void Another_service_has_the_addresses_that_have_a_range_of_their_own()
    {
        Assert.Equal(["198.19.0.1/32", "198.51.100.1/32"], Routes(Service("Cluster"), All));
        Assert.Equal(["198.18.0.7/32", "198.19.0.1/32", "198.51.100.1/32"], Routes(Service("Cluster"), All with { AggregatesLoadBalancers = false }, Slice("n2")));
        Assert.Equal(["198.19.0.1/32", "198.51.100.1/32"], Routes(Service("Cluster"), All with { AggregatesLoadBalancers = false }));
    }

    [Theory]
    [InlineData("""{"spec": {"type": "ClusterIP", "clusterIP": "None", "externalIPs": ["198.51.100.1"]}}""")]
    [InlineData("""{"spec": {"type": "ExternalName", "externalIPs": ["198.51.100.1"]}}""")]
    [InlineData("""{"spec": 7}""")]
    public void Headless_and_named_services_have_no_routes(string json) =>
        Assert.Empty(Routes(ServiceFacts.Read(JsonDocument.Parse(json).RootElement), All, Slice("n1")));
}

using System.Text.Json.Nodes;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Model.V1;
using Calico.Core.Model.Validation;
using Calico.Datastore.Manifests;

namespace Calico.Tests.Core.Model;

[Layer("unit")]
public sealed class V1ConversionTests
{
    [Theory]
    [InlineData("""
        {apiVersion: v1, kind: policy, metadata: {name: Allow.Web, annotations: {a: b}}, spec: {order: 10, selector: "calico/k8s_ns == 'shop'",
         ingress: [{action: allow, protocol: tcp, source: {tag: front, selector: "a == 'b'", net: 10.0.0.0/8, nets: [192.0.2.0/24]}, destination: {ports: [80, '443:444']}}],
         egress: [{action: pass}]}}
        """, """
        {"apiVersion":"projectcalico.org/v3","kind":"GlobalNetworkPolicy","metadata":{"name":"allow-web-48b69621","annotations":{"a":"b"}},
         "spec":{"order":10,"selector":"projectcalico.org/namespace == 'shop'","types":["Ingress","Egress"],
          "ingress":[{"action":"Allow","protocol":"TCP","source":{"nets":["192.0.2.0/24","10.0.0.0/8"],"selector":"(a == 'b') && front == ''"},"destination":{"ports":[80,"443:444"]}}],
          "egress":[{"action":"Pass","source":{},"destination":{}}]}}
        """)]
    [InlineData("{apiVersion: v1, kind: policy, metadata: {name: raw}, spec: {selector: all(), doNotTrack: true}}",
        """{"apiVersion":"projectcalico.org/v3","kind":"GlobalNetworkPolicy","metadata":{"name":"raw"},"spec":{"selector":"all()","types":["Ingress"],"doNotTrack":true,"applyOnForward":true}}""")]
    [InlineData("{apiVersion: v1, kind: bgpPeer, metadata: {scope: node, node: Rack1_Host, peerIP: 192.0.2.1}, spec: {asNumber: 64512}}",
        """{"apiVersion":"projectcalico.org/v3","kind":"BGPPeer","metadata":{"name":"rack1-host.192-0-2-1"},"spec":{"node":"rack1-host","peerIP":"192.0.2.1","asNumber":64512}}""")]
    [InlineData("{apiVersion: v1, kind: bgpPeer, metadata: {scope: global, peerIP: '2001:db8::1'}, spec: {asNumber: 64512}}",
        """{"apiVersion":"projectcalico.org/v3","kind":"BGPPeer","metadata":{"name":"2001-0db8-0000-0000-0000-0000-0000-0001"},"spec":{"peerIP":"2001:db8::1","asNumber":64512}}""")]
    [InlineData("{apiVersion: v1, kind: ipPool, metadata: {cidr: 10.1.0.0/16}, spec: {ipip: {enabled: true, mode: cross-subnet}, nat-outgoing: true}}",
        """{"apiVersion":"projectcalico.org/v3","kind":"IPPool","metadata":{"name":"10-1-0-0-16"},"spec":{"cidr":"10.1.0.0/16","ipipMode":"CrossSubnet","natOutgoing":true,"nodeSelector":"all()","blockSize":26}}""")]
    [InlineData("{apiVersion: v1, kind: node, metadata: {name: host1}, spec: {bgp: {asNumber: 64512, ipv4Address: 192.0.2.1/24}, orchRefs: [{nodeName: k1, orchestrator: k8s}]}}",
        """{"apiVersion":"projectcalico.org/v3","kind":"Node","metadata":{"name":"host1"},"spec":{"bgp":{"asNumber":64512,"ipv4Address":"192.0.2.1/24"},"orchRefs":[{"nodeName":"k1","orchestrator":"k8s"}]}}""")]
    [InlineData("{apiVersion: v1, kind: profile, metadata: {name: k8s_ns.shop, tags: [web], labels: {a: b}}, spec: {ingress: [{action: deny, source: {notTag: bad}}]}}",
        """{"apiVersion":"projectcalico.org/v3","kind":"Profile","metadata":{"name":"kns.shop"},"spec":{"labelsToApply":{"a":"b","web":""},"ingress":[{"action":"Deny","source":{"notSelector":"bad == ''"},"destination":{}}]}}""")]
    [InlineData("{apiVersion: v1, kind: hostEndpoint, metadata: {name: eth0, node: host1, labels: {a: b}}, spec: {interfaceName: eth0, expectedIPs: ['2001:db8::1', 192.0.2.1], profiles: [k8s_ns.shop], ports: [{name: web, protocol: tcp, port: 80}]}}",
        """{"apiVersion":"projectcalico.org/v3","kind":"HostEndpoint","metadata":{"name":"host1.eth0","labels":{"a":"b"}},"spec":{"node":"host1","interfaceName":"eth0","expectedIPs":["192.0.2.1","2001:db8::1"],"profiles":["kns.shop"],"ports":[{"name":"web","protocol":"TCP","port":80}]}}""")]
    [InlineData("{apiVersion: v1, kind: workloadEndpoint, metadata: {name: eth0, node: host1, orchestrator: k8s, workload: shop.web-0, activeInstanceID: 4f0c, labels: {calico/k8s_ns: shop}}, spec: {interfaceName: cali1, mac: '02:00:00:00:00:01', ipNetworks: [10.1.0.1/32], profiles: [k8s_ns.shop]}}",
        """{"apiVersion":"projectcalico.org/v3","kind":"WorkloadEndpoint","metadata":{"name":"host1-k8s-web--0-eth0","namespace":"shop","labels":{"projectcalico.org/namespace":"shop"}},"spec":{"node":"host1","orchestrator":"k8s","pod":"web-0","containerID":"4f0c","endpoint":"eth0","interfaceName":"cali1","mac":"02:00:00:00:00:01","ipNetworks":["10.1.0.1/32"],"profiles":["kns.shop"]}}""")]
    public void The_first_api_becomes_todays(string v1, string expected)
    {
        var converted = V1Conversion.Convert(Read(v1));

        ResourceValidator.Check(ResourceDefaults.Apply(converted));
        var json = JsonNode.Parse(ResourceCodec.ToJson(converted).GetRawText());
        Assert.True(JsonNode.DeepEquals(Cleaned(JsonNode.Parse(expected)), Cleaned(json)), json!.ToJsonString());
    }

    [Theory]
    [InlineData("{apiVersion: v1, kind: policy, metadata: {name: a}, spec: {selektor: x, ingress: [{action: allow, sauce: {}}]}}", "spec.selektor", "spec.ingress[0].sauce")]
    [InlineData("{apiVersion: v1, kind: policy, metadata: {}, spec: {}}", "metadata.name", "is required")]
    [InlineData("{apiVersion: v1, kind: policy, metadata: {name: a}, spec: {ingress: [{action: explode}]}}", "spec.ingress[0].action", "'explode'")]
    [InlineData("{apiVersion: v1, kind: policy, metadata: {name: a}, spec: {ingress: 7}}", "spec.ingress", "must be a list")]
    [InlineData("{apiVersion: v1, kind: bgpPeer, metadata: {scope: rack, peerIP: 192.0.2.1}, spec: {}}", "metadata.scope", "global or node")]
    [InlineData("{apiVersion: v1, kind: bgpPeer, metadata: {scope: node, peerIP: 192.0.2.1}, spec: {}}", "metadata.node", "is required")]
    [InlineData("{apiVersion: v1, kind: ipPool, metadata: {cidr: ten}, spec: {}}", "metadata.cidr", "'ten' is no CIDR")]
    [InlineData("{apiVersion: v1, kind: profile, metadata: {name: a, tags: [x], labels: {x: y}}, spec: {}}", "metadata.tags", "rename it first")]
    [InlineData("{apiVersion: v1, kind: workloadEndpoint, metadata: {name: eth0, node: n, orchestrator: k8s, workload: web}, spec: {}}", "metadata.workload", "NAMESPACE.POD")]
    public void What_cannot_be_converted_is_named_and_nothing_is_dropped(string v1, string field, string reason)
    {
        var error = Assert.Throws<InvalidResourceException>(() => V1Conversion.Convert(Read(v1))).Message;

        Assert.Contains(field, error, StringComparison.Ordinal);
        Assert.Contains(reason, error, StringComparison.Ordinal);
    }

    private static System.Text.Json.JsonElement Read(string yaml) => ManifestReader.Read(yaml, "test")[0].Json;

    // Empty objects and false flags mean nothing.
    private static JsonNode? Cleaned(JsonNode? node) => node switch
    {
        JsonObject fields => new JsonObject(fields.Select(f => KeyValuePair.Create(f.Key, Cleaned(f.Value))).Where(f => f.Value is not (null or JsonObject { Count: 0 }) && f.Value.ToJsonString() != "false")),
        JsonArray items => new JsonArray([.. items.Select(Cleaned)]),
        _ => node?.DeepClone(),
    };
}

using System.Text.Json;
using Calico.Core.Model.Kubernetes;
using Calico.Core.Model.Schema;

namespace Calico.Tests.Core.Model.Kubernetes;

/// <summary>A mistake in a policy is refused with its place, and what is not understood never makes a policy wider.</summary>
[Layer("unit")]
public class KubeStrictTests
{
    private static JsonElement Policy(string spec) => JsonDocument.Parse(
        $$"""{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"p","namespace":"n"},"spec":{{spec}}}""").RootElement;

    [Theory]
    [InlineData("""{"podSelecter":{}}""", "spec.podSelecter")]
    [InlineData("""{"podSelector":{"matchLabel":{"a":"b"}}}""", "spec.podSelector.matchLabel")]
    [InlineData("""{"podSelector":{},"ingress":[{"from":[{"podSelecter":{}}]}]}""", "spec.ingress[0].from[0].podSelecter")]
    [InlineData("""{"podSelector":{},"ingress":[{"form":[]}]}""", "spec.ingress[0].form")]
    [InlineData("""{"podSelector":{"matchExpressions":[{"key":"a","operator":"in","values":["b"]}]}}""", "spec.podSelector.matchExpressions[0].operator")]
    [InlineData("""{"podSelector":{"matchExpressions":[{"key":"a","operator":"In"}]}}""", "spec.podSelector.matchExpressions[0].values")]
    [InlineData("""{"podSelector":{"matchExpressions":[{"key":"a","operator":"Exists","values":["b"]}]}}""", "spec.podSelector.matchExpressions[0].values")]
    [InlineData("""{"podSelector":{"matchExpressions":[{"operator":"Exists"}]}}""", "spec.podSelector.matchExpressions[0].key")]
    [InlineData("""{"podSelector":{"matchLabels":{"a b":"c"}}}""", "spec.podSelector.matchLabels")]
    [InlineData("""{"podSelector":{"matchLabels":{"a":"it's"}}}""", "spec.podSelector.matchLabels.a")]
    [InlineData("""{"podSelector":{},"policyTypes":["ingress"]}""", "spec.policyTypes[0]")]
    [InlineData("""{"podSelector":{},"ingress":[{"ports":[{"protocol":"tcp","port":80}]}]}""", "spec.ingress[0].ports[0].protocol")]
    [InlineData("""{"podSelector":{},"ingress":[{"ports":[{"port":0}]}]}""", "spec.ingress[0].ports[0].port")]
    [InlineData("""{"podSelector":{},"ingress":[{"ports":[{"port":"80"}]}]}""", "spec.ingress[0].ports[0].port")]
    [InlineData("""{"podSelector":{},"ingress":[{"ports":[{"port":"http","endPort":90}]}]}""", "spec.ingress[0].ports[0].endPort")]
    [InlineData("""{"podSelector":{},"ingress":[{"ports":[{"port":90,"endPort":80}]}]}""", "spec.ingress[0].ports[0].endPort")]
    [InlineData("""{"podSelector":{},"egress":[{"to":[{}]}]}""", "spec.egress[0].to[0]")]
    [InlineData("""{"podSelector":{},"egress":[{"to":[{"ipBlock":{"cidr":"10.0.0.0/8"},"podSelector":{}}]}]}""", "spec.egress[0].to[0].ipBlock")]
    [InlineData("""{"podSelector":{},"egress":[{"to":[{"ipBlock":{"cidr":"10.0.0.0/33"}}]}]}""", "spec.egress[0].to[0].ipBlock.cidr")]
    [InlineData("""{"podSelector":{},"egress":[{"to":[{"ipBlock":{"cidr":"10.0.0.0/8","except":["11.0.0.0/9"]}}]}]}""", "spec.egress[0].to[0].ipBlock.except[0]")]
    [InlineData("""{"podSelector":{},"egress":[{"to":[{"ipBlock":{"cidr":"10.0.0.0/8","except":["10.0.0.0/8"]}}]}]}""", "spec.egress[0].to[0].ipBlock.except[0]")]
    public void A_mistake_is_refused_with_its_place(string spec, string path)
    {
        var error = Assert.Throws<InvalidResourceException>(() => KubeCodec.ParseStrict<KubeNetworkPolicy>(Policy(spec)));

        Assert.Equal([path], error.Errors.Select(e => e.Path));
        Assert.Contains("NetworkPolicy(p)", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_kubectl_prints_can_be_given_back()
    {
        var json = JsonDocument.Parse("""
            {"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy",
             "metadata":{"name":"p","namespace":"n","uid":"5a","resourceVersion":"7","generation":2,"creationTimestamp":"2026-08-22T10:00:00Z",
               "managedFields":[{"manager":"kubectl","fieldsV1":{"f:spec":{}}}],"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}"}},
             "spec":{"podSelector":{"matchLabels":{"app":"db"}},"policyTypes":["Ingress","Egress"],
               "ingress":[{"from":[{"podSelector":{}},{"ipBlock":{"cidr":"10.0.0.0/8","except":["10.1.0.0/16"]}}],"ports":[{"protocol":"UDP","port":53},{"port":"http"},{"port":80,"endPort":90}]}]},
             "status":{}}
            """).RootElement;

        Assert.Equal("p", KubeCodec.ParseStrict<KubeNetworkPolicy>(json).Metadata.Name);
    }

    [Theory]
    [InlineData("""{"from":[{"podSelector":{"matchExpressions":[{"key":"a","operator":"Near","values":["b"]}]}}]}""")]
    [InlineData("""{"from":[{"podSelector":{"matchLabels":{"a":"x' || all() || a == '"}}}]}""")]
    [InlineData("""{"from":[{"podSelector":{"matchFields":{"a":"b"}}}]}""")]
    [InlineData("""{"from":[{"serviceSelector":{}}]}""")]
    [InlineData("""{"from":[{"ipBlock":{"cidr":"10.0.0.0/8","only":["10.1.0.0/16"]}}]}""")]
    [InlineData("""{"from":[{"podSelector":{}}],"ports":[{"port":80,"sourcePort":1}]}""")]
    [InlineData("""{"from":[{"podSelector":{}}],"between":"9-17"}""")]
    [InlineData("""{"from":[{}]}""")]
    public void A_rule_that_a_newer_api_server_holds_and_is_not_understood_here_allows_nothing(string rule)
    {
        var (policy, problems) = PolicyConversion.FromNetworkPolicy(KubeCodec.Decode<KubeNetworkPolicy>(
            Policy($$"""{"podSelector":{},"ingress":[{{rule}},{"ports":[{"port":443}]}]}""")));

        var left = Assert.Single(policy!.Spec.Ingress);
        Assert.Equal("443", Assert.Single(left.Destination!.Ports).ToString());
        Assert.Contains("spec.ingress[0]", Assert.Single(problems), StringComparison.Ordinal);
    }

    [Fact]
    public void A_policy_whose_own_selector_is_not_understood_isolates_every_pod_of_its_namespace()
    {
        var (policy, problems) = PolicyConversion.FromNetworkPolicy(KubeCodec.Decode<KubeNetworkPolicy>(
            Policy("""{"podSelector":{"matchExpressions":[{"key":"a","operator":"Near"}]},"ingress":[{}],"policyTypes":["Ingress"]}""")));

        Assert.Equal(PolicyConversion.PodsOnly, policy!.Spec.Selector);
        Assert.Empty(policy.Spec.Ingress);
        Assert.Equal(["Ingress"], policy.Spec.Types.AsEnumerable());
        Assert.Contains("spec.podSelector", Assert.Single(problems), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"namespaces":{"matchExpressions":[{"key":"a","operator":"Near"}]}}""", "[]")]
    [InlineData("""{"namespaces":{}}""", """[{"icmp":{"type":8}}]""")]
    public void A_cluster_policy_denies_what_it_does_not_understand(string peer, string protocols)
    {
        var json = JsonDocument.Parse($$$"""
            {"apiVersion":"policy.networking.k8s.io/v1alpha2","kind":"ClusterNetworkPolicy","metadata":{"name":"p"},
             "spec":{"tier":"Admin","priority":1,"subject":{"namespaces":{}},
               "ingress":[{"name":"a","action":"Accept","from":[{{{peer}}}],"protocols":{{{protocols}}}},{"name":"d","action":"Deny","from":[{{{peer}}}],"protocols":{{{protocols}}}}]}}
            """).RootElement;

        var (policy, problems) = ClusterPolicyConversion.Convert(KubeCodec.Decode<KubeClusterNetworkPolicy>(json));

        Assert.Equal(2, problems.Length);
        Assert.Equal("Deny", Assert.Single(policy!.Spec.Ingress).Action?.ToString());
    }
}

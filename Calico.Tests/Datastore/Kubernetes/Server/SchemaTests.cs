using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Core.Model.Resources;
using Calico.Datastore.Kubernetes;
using Calico.Datastore.Kubernetes.Client;
using Calico.Datastore.Kubernetes.Mapping;
using Calico.Tests.Core.Model.Validation;

namespace Calico.Tests.Datastore.Kubernetes.Server;

/// <summary>What the real API server takes and refuses because of the definitions, whoever writes.</summary>
[Layer("kubernetes")]
[Collection(ServerCollection.Name)]
public sealed class SchemaTests(ApiServerFixture fixture) : KubernetesApiTests
{
    protected override KubernetesDatastore Store => fixture.Store;

    protected override KubernetesOptions Options => fixture.Server.Options;

    // Checked as for a create and not stored.
    private async Task<string?> RefusalAsync(KubeClient client, JsonElement resource)
    {
        Assert.True(ResourceKind.TryFind(resource.GetProperty("kind").GetString()!, out var kind));
        var target = ResourceMap.ResourceOf(kind, isClassic: true);
        var body = JsonNode.Parse(resource.GetRawText())!.AsObject();
        body["apiVersion"] = target.ApiVersion;
        body["kind"] = target.Kind;
        body["metadata"] = new JsonObject { ["name"] = "checked" };
        try
        {
            var answer = await client.SendAsync(KubeRequest.Create(target, kind.IsNamespaced ? "default" : null, body) with { Query = "dryRun=All" }, CancellationToken.None);
            return answer.IsSuccess ? null : answer.Problem;
        }
        catch (Calico.Datastore.DatastoreException e)
        {
            return e.Message;
        }
    }

    [SkippableFact]
    public async Task Whatever_the_validator_takes_the_server_takes()
    {
        using var client = new KubeClient(Options);
        List<string> wrong = [];
        var checkedRows = 0;

        foreach (var row in Cases.Read("03-validation/cases.json").EnumerateArray().Where(r => r.GetProperty("valid").GetBoolean()))
        {
            var resource = ValidationCaseTests.Wrap(row);
            if (resource.GetProperty("kind").GetString() is "Node" or "WorkloadEndpoint" or "Profile")
                continue;
            checkedRows++;
            // As the client sends it.
            var sent = ResourceCodec.ToJson(ResourceDefaults.Apply(ResourceCodec.ParseStrict(resource)));
            if (await RefusalAsync(client, sent) is { } refusal)
                wrong.Add($"{row.GetProperty("id")}: {refusal}");
        }

        Assert.NotEqual(0, checkedRows);
        Assert.Empty(wrong);
    }

    [SkippableTheory]
    [InlineData("IPPool", """{"cidr":"10.0.0.0/16","ipipMode":"Sometimes"}""", "spec.ipipMode")]
    [InlineData("IPPool", """{"cidr":"10.0.0.0/16","blockSize":129}""", "spec.blockSize")]
    [InlineData("IPPool", """{"cidr":"ten"}""", "spec.cidr")]
    [InlineData("IPPool", """{"natOutgoing":true}""", "spec.cidr")]
    [InlineData("IPPool", """{"cidr":"10.0.0.0/16","natOutgoing":"yes"}""", "spec.natOutgoing")]
    [InlineData("IPPool", """{"cidr":"10.0.0.0/16","allowedUses":["Workload","Workload"]}""", "spec.allowedUses")]
    [InlineData("BGPPeer", """{"peerIP":"192.0.2.1","asNumber":4294967296}""", "spec.asNumber")]
    [InlineData("BGPPeer", """{"peerIP":"192.0.2.1","keepaliveTime":"soon"}""", "spec.keepaliveTime")]
    [InlineData("BGPConfiguration", """{"listenPort":65536}""", "spec.listenPort")]
    [InlineData("BGPConfiguration", """{"communities":[{"name":"c","value":"x:y"}]}""", "spec.communities")]
    [InlineData("BGPFilter", """{"importV4":[{"action":"Drop"}]}""", "spec.importV4")]
    [InlineData("FelixConfiguration", """{"iptablesBackend":"eBPF"}""", "spec.iptablesBackend")]
    [InlineData("FelixConfiguration", """{"prometheusMetricsPort":"many"}""", "spec.prometheusMetricsPort")]
    [InlineData("GlobalNetworkPolicy", """{"types":["Sideways"]}""", "spec.types")]
    [InlineData("GlobalNetworkPolicy", """{"ingress":[{"protocol":"TCP"}]}""", "action")]
    [InlineData("GlobalNetworkPolicy", """{"ingress":[{"action":"Allow","protocol":300}]}""", "protocol")]
    [InlineData("GlobalNetworkPolicy", """{"ingress":[{"action":"Allow","protocol":"TCP","destination":{"ports":[70000]}}]}""", "ports")]
    [InlineData("NetworkPolicy", """{"order":"first"}""", "spec.order")]
    [InlineData("NetworkPolicy", """{"ingress":[{"action":"Allow","source":{"nets":["10.0.0.0/8;"]}}]}""", "nets")]
    [InlineData("HostEndpoint", """{"node":"n","interfaceName":"a-name-that-is-too-long"}""", "spec.interfaceName")]
    [InlineData("Tier", """{"defaultAction":"Maybe"}""", "spec.defaultAction")]
    [InlineData("IPAMConfiguration", """{"strictAffinity":true,"autoAllocateBlocks":true,"ipCooldownSeconds":1201}""", "spec.ipCooldownSeconds")]
    [InlineData("StagedKubernetesNetworkPolicy", """{"stagedAction":"Later"}""", "spec.stagedAction")]
    public async Task A_mistake_that_kubectl_brings_is_refused_with_its_place(string kind, string spec, string place)
    {
        using var client = new KubeClient(Options);
        using var resource = JsonDocument.Parse($$"""{"kind":"{{kind}}","spec":{{spec}}}""");

        Assert.Contains(place, await RefusalAsync(client, resource.RootElement), StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Fields_that_kubectl_leaves_open_get_the_defaults_that_calicoctl_fills_in()
    {
        var pool = await CreateAsync(Classic("IPPool", "ippools"), $$$"""{"metadata":{"name":"{{{Id}}}"},"spec":{"cidr":"10.252.0.0/16"}}""");
        var tier = await CreateAsync(Classic("Tier", "tiers"), $$$"""{"metadata":{"name":"{{{Id}}}"},"spec":{}}""");
        var policy = await CreateAsync(Classic("GlobalNetworkPolicy", "globalnetworkpolicies"), $$$"""{"metadata":{"name":"{{{Id}}}"},"spec":{}}""");

        Assert.Equal(("all()", "Automatic"), (pool.SpecText("nodeSelector"), pool.SpecText("assignmentMode")));
        Assert.Equal("Deny", tier.SpecText("defaultAction"));
        Assert.Equal("default", policy.SpecText("tier"));
    }
}

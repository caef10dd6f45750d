using System.Text;
using System.Text.Json;
using Calico.Core.Ipam;
using Calico.Core.Model;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore;
using Calico.Datastore.Kubernetes;
using Calico.Datastore.Kubernetes.Client;
using Calico.Datastore.Resources;

namespace Calico.Tests.Datastore.Kubernetes;

/// <summary>How resources stand on an API server as objects of their own kinds. Each kind goes through it in the golden tests.</summary>
public abstract class KubernetesResourceTests : KubernetesApiTests
{
    // What a store adds to an object is not the writer's.
    private static JsonElement WithoutIdentity(Resource resource) => ResourceCodec.ToJson(resource with
    {
        Metadata = resource.Metadata with { Uid = null, CreationTimestamp = null, ResourceVersion = null, Generation = 0 },
    });

    [SkippableFact]
    public async Task What_every_cluster_has_is_made_once()
    {
        await Resources.EnsureInitializedAsync("v3.33.0", "k8s,kdd");
        var first = await Resources.GetAsync(new ResourceKey(ResourceKind.ClusterInformation, null, "default"));
        await Resources.EnsureInitializedAsync("v3.33.0", "k8s,kdd");
        var second = await Resources.GetAsync(first.Key);

        Assert.Equal(32, ((ClusterInformation)first).Spec.ClusterGuid!.Length);
        Assert.Equal(WithoutIdentity(first).GetRawText(), WithoutIdentity(second).GetRawText());
        foreach (var tier in Tier.BuiltIn)
            Assert.Equal(tier.Spec, ((Tier)await Resources.GetAsync(tier.Key)).Spec);
    }

    [SkippableFact]
    public async Task The_metadata_of_a_resource_is_kept_where_calico_keeps_it()
    {
        await Resources.EnsureInitializedAsync();
        var ns = await NamespaceAsync();
        await Resources.CreateAsync(new NetworkPolicy
        {
            Metadata = new ObjectMeta { Name = "p", Namespace = ns, Labels = StringMap.Empty.With("app", "x"), Annotations = StringMap.Empty.With("a", "b") },
        });

        var item = await FindAsync(Classic("NetworkPolicy", "networkpolicies", true), "p", ns);
        using var note = JsonDocument.Parse(item.Annotation("projectcalico.org/metadata")!);
        var created = await Resources.GetAsync(new ResourceKey(ResourceKind.NetworkPolicy, ns, "p"));

        Assert.Equal("p", note.RootElement.GetProperty("name").GetString());
        Assert.Equal("x", note.RootElement.GetProperty("labels").GetProperty("app").GetString());
        Assert.Equal("b", note.RootElement.GetProperty("annotations").GetProperty("a").GetString());
        Assert.Equal(created.Metadata.CreationTimestamp, note.RootElement.GetProperty("creationTimestamp").GetDateTimeOffset());
        // Of the labels the object itself has those that are Calico's, for selectors of the API.
        Assert.Equal("""{"projectcalico.org/tier":"default"}""", item.Metadata.GetProperty("labels").GetRawText());
        Assert.NotEqual(item.Uid, created.Metadata.Uid);
        Assert.True(Calico.Core.Model.Kubernetes.KubeNames.TryConvertUid(item.Uid!, out var uid));
        Assert.Equal(uid, created.Metadata.Uid);
    }

    [SkippableFact]
    public async Task An_object_that_kubectl_made_is_a_resource_with_its_own_metadata()
    {
        await CreateAsync(Classic("GlobalNetworkSet", "globalnetworksets"),
            $$$"""{"metadata":{"name":"{{{Id}}}","labels":{"team":"a"},"annotations":{"why":"test"}},"spec":{"nets":["192.0.2.0/24"]}}""");

        var set = (GlobalNetworkSet)await Resources.GetAsync(new ResourceKey(ResourceKind.GlobalNetworkSet, null, Id));

        Assert.Equal(("a", "test"), (set.Metadata.Labels.GetOrNull("team"), set.Metadata.Annotations.GetOrNull("why")));
        Assert.Equal(["192.0.2.0/24"], set.Spec.Nets);

        await Resources.UpdateAsync(set with { Spec = set.Spec with { Nets = ["198.51.100.0/24"] } });
        var item = await FindAsync(Classic("GlobalNetworkSet", "globalnetworksets"), Id);

        Assert.Equal("""["198.51.100.0/24"]""", item.Spec("nets").GetRawText());
        Assert.Equal("a", ((GlobalNetworkSet)await Resources.GetAsync(set.Key)).Metadata.Labels.GetOrNull("team"));
    }
}

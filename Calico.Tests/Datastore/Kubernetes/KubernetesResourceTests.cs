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

/// <summary>How resources stand on an API server as objects of their own kinds.</summary>
public abstract class KubernetesResourceTests : KubernetesApiTests
{
    public static TheoryData<string> StoredKinds => new(ResourceKind.All
        .Where(k => k != ResourceKind.Node && k != ResourceKind.WorkloadEndpoint && k != ResourceKind.Profile).Select(k => k.Kind));

    // What a store adds to an object is not the writer's.
    private static JsonElement WithoutIdentity(Resource resource) => ResourceCodec.ToJson(resource with
    {
        Metadata = resource.Metadata with { Uid = null, CreationTimestamp = null, ResourceVersion = null, Generation = 0 },
    });

    [SkippableTheory]
    [MemberData(nameof(StoredKinds))]
    public async Task Every_field_of_a_kind_is_read_as_it_was_written_and_those_of_a_release_to_come_too(string kindName)
    {
        Assert.True(ResourceKind.TryFind(kindName, out var kind));
        var name = kind == ResourceKind.IPAMConfiguration ? "default" : $"full-{Id}";
        var written = ResourceSamples.Full(kind, name, kind.IsNamespaced ? await NamespaceAsync() : null);
        // A flag that says that the object is about to go.
        if (written is BlockAffinity affinity)
            written = affinity with { Spec = affinity.Spec with { Deleted = false } };
        var key = written.Key;
        if (await Store.GetAsync(key.Path) is { } old)
            await Store.CommitAsync(new Transaction([Compare.At(key.Path, old.ModRevision)], [Write.Delete(key.Path)]));

        var revision = await PutAsync(key.Path, StoredResource.Write(written));

        var stored = (await Store.GetAsync(key.Path))!;
        var read = StoredResource.Read(key, stored.Value.Span, stored.ModRevision);
        Assert.Equal(revision, stored.ModRevision);
        Assert.Equal(WithoutIdentity(written).GetRawText(), WithoutIdentity(read).GetRawText());
        Assert.Contains(ResourceSamples.Unknown, Text(stored), StringComparison.Ordinal);
        Assert.Equal(Text(stored), Text((await Store.ListAsync(ResourceKey.Prefix(kind))).Items.Single(i => i.Key == key.Path)));
    }

    public static TheoryData<string> Minimal =>
    [
        """{"kind":"BGPConfiguration","metadata":{"name":"node.@ID"},"spec":{}}""",
        """{"kind":"BGPFilter","metadata":{"name":"@ID"},"spec":{"exportV4":[{"action":"Accept"}]}}""",
        """{"kind":"BGPPeer","metadata":{"name":"@ID"},"spec":{"peerIP":"192.0.2.1","asNumber":64512}}""",
        """{"kind":"CalicoNodeStatus","metadata":{"name":"@ID"},"spec":{"node":"n","classes":["BGP"],"updatePeriodSeconds":10}}""",
        """{"kind":"FelixConfiguration","metadata":{"name":"node.@ID"},"spec":{}}""",
        """{"kind":"GlobalNetworkPolicy","metadata":{"name":"@ID"},"spec":{"selector":"all()"}}""",
        """{"kind":"GlobalNetworkSet","metadata":{"name":"@ID"},"spec":{}}""",
        """{"kind":"HostEndpoint","metadata":{"name":"@ID"},"spec":{"node":"n","interfaceName":"eth0"}}""",
        """{"kind":"IPPool","metadata":{"name":"@ID"},"spec":{"cidr":"10.@HIGH.@LOW.0/26"}}""",
        """{"kind":"IPReservation","metadata":{"name":"@ID"},"spec":{"reservedCIDRs":["192.0.2.1"]}}""",
        """{"kind":"NetworkPolicy","metadata":{"name":"@ID","namespace":"@NAMESPACE"},"spec":{}}""",
        """{"kind":"NetworkSet","metadata":{"name":"@ID","namespace":"@NAMESPACE"},"spec":{}}""",
        """{"kind":"StagedGlobalNetworkPolicy","metadata":{"name":"@ID"},"spec":{}}""",
        """{"kind":"StagedKubernetesNetworkPolicy","metadata":{"name":"@ID","namespace":"@NAMESPACE"},"spec":{"podSelector":{}}}""",
        """{"kind":"StagedNetworkPolicy","metadata":{"name":"@ID","namespace":"@NAMESPACE"},"spec":{}}""",
        """{"kind":"Tier","metadata":{"name":"@ID"},"spec":{}}""",
    ];

    [SkippableTheory]
    [MemberData(nameof(Minimal))]
    public async Task A_resource_with_hardly_a_field_is_created_read_updated_and_deleted_as_on_etcd(string manifest)
    {
        await Resources.EnsureInitializedAsync("v3.33.0", "kdd");
        var ns = manifest.Contains("@NAMESPACE", StringComparison.Ordinal) ? await NamespaceAsync() : "";
        var text = manifest.Replace("{\"kind\"", "{\"apiVersion\":\"projectcalico.org/v3\",\"kind\"", StringComparison.Ordinal)
            .Replace("@ID", Id, StringComparison.Ordinal).Replace("@NAMESPACE", ns, StringComparison.Ordinal)
            .Replace("@HIGH", $"{Convert.ToInt32(Id[..2], 16) % 200}", StringComparison.Ordinal)
            .Replace("@LOW", $"{Convert.ToInt32(Id[2..4], 16)}", StringComparison.Ordinal);
        using var json = JsonDocument.Parse(text);
        var wanted = ResourceCodec.ParseStrict(json.RootElement);

        var created = await Resources.CreateAsync(wanted);
        var read = await Resources.GetAsync(created.Key);

        Assert.Equal(WithoutIdentity(created).GetRawText(), WithoutIdentity(read).GetRawText());
        Assert.Equal(created.Metadata.ResourceVersion, read.Metadata.ResourceVersion);

        var changed = read with { Metadata = read.Metadata with { Labels = read.Metadata.Labels.With("changed", "yes") } };
        var updated = await Resources.UpdateAsync(changed);
        var again = await Resources.GetAsync(created.Key);

        Assert.Equal(WithoutIdentity(changed).GetRawText(), WithoutIdentity(again).GetRawText());
        Assert.Equal(updated.Metadata.ResourceVersion, again.Metadata.ResourceVersion);
        Assert.Equal((read.Metadata.Uid, read.Metadata.CreationTimestamp), (again.Metadata.Uid, again.Metadata.CreationTimestamp));
        Assert.Equal(ResourceFault.Conflict, (await Assert.ThrowsAsync<ResourceException>(() => Resources.UpdateAsync(read))).Fault);

        await Resources.DeleteAsync(created.Key);

        Assert.Null(await Resources.FindAsync<Resource>(created.Key));
    }

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

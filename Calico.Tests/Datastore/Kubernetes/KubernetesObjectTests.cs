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
using Calico.Node.Agent;

namespace Calico.Tests.Datastore.Kubernetes;

/// <summary>What becomes of Kubernetes' own objects.</summary>
public abstract class KubernetesObjectTests : KubernetesApiTests
{
    private const string Block = "10.251.0.0/26";

    [SkippableFact]
    public async Task A_node_has_calico_s_fields_in_annotations_and_the_labels_of_both()
    {
        var name = $"node-{Id}";
        await CreateAsync(KubeResource.Nodes, $$$"""{"metadata":{"name":"{{{name}}}","labels":{"zone":"z1"}},"spec":{"podCIDR":"10.9.0.0/24","podCIDRs":["10.9.0.0/24"]}}""");
        await PatchAsync(KubeResource.Nodes, null, name,
            """{"status":{"addresses":[{"type":"InternalIP","address":"192.0.2.9"},{"type":"Hostname","address":"h"},{"type":"ExternalIP","address":"203.0.113.9"}]}}""", "status");
        var key = new ResourceKey(ResourceKind.Node, null, name);
        var bare = (NodeResource)await Resources.GetAsync(key);

        Assert.Equal("z1", bare.Metadata.Labels.GetOrNull("zone"));
        Assert.Null(bare.Spec.Bgp);
        Assert.Equal(["192.0.2.9", "203.0.113.9"], bare.Spec.Addresses.Select(a => a.Address));
        Assert.Equal([new OrchRef { NodeName = name, Orchestrator = "k8s" }], bare.Spec.OrchRefs);
        Assert.Equal(["10.9.0.0/24"], bare.Status!.PodCIDRs);

        var wanted = bare with
        {
            Metadata = bare.Metadata with { Labels = bare.Metadata.Labels.With("rack", "r7"), Annotations = bare.Metadata.Annotations.With("note", "n") },
            Spec = bare.Spec with
            {
                Bgp = new NodeBGPSpec
                {
                    Ipv4Address = "192.0.2.9/24",
                    Ipv6Address = "2001:db8::9/64",
                    AsNumber = new Asn(64513),
                    RouteReflectorClusterID = "224.0.0.1",
                    Ipv4IPIPTunnelAddr = "10.9.0.1",
                },
                Ipv4VXLANTunnelAddr = "10.9.0.2",
                VxlanTunnelMACAddr = "66:00:00:00:00:01",
                Wireguard = new NodeWireguardSpec { InterfaceIPv4Address = "10.9.0.3" },
                Interfaces = [new NodeInterface { Name = "eth0", Addresses = ["192.0.2.9/24"] }],
            },
            Status = bare.Status with { WireguardPublicKey = "jlkVyQYooZYzI2wFfNhSZez5eWh44yfq1wKVjLvSXgY=" },
        };
        await Resources.UpdateAsync(wanted);
        var read = (NodeResource)await Resources.GetAsync(key);
        var item = await FindAsync(KubeResource.Nodes, name);

        Assert.Equal(wanted.Spec with { Addresses = default }, read.Spec with { Addresses = default });
        Assert.Equal(["192.0.2.9/24", "2001:db8::9/64", "192.0.2.9", "203.0.113.9"], read.Spec.Addresses.Select(a => a.Address));
        Assert.Equal(wanted.Metadata.Labels, read.Metadata.Labels);
        Assert.Equal(wanted.Status, read.Status);
        Assert.Equal(("192.0.2.9/24", "64513", "224.0.0.1", "10.9.0.1"), (item.Annotation("projectcalico.org/IPv4Address"), item.Annotation("projectcalico.org/ASNumber"),
            item.Annotation("projectcalico.org/RouteReflectorClusterID"), item.Annotation("projectcalico.org/IPv4IPIPTunnelAddr")));
        Assert.Equal("""{"rack":"r7"}""", item.Annotation("projectcalico.org/labels"));
        Assert.Equal("""{"zone":"z1"}""", item.Metadata.GetProperty("labels").GetRawText());

        await Resources.UpdateAsync(read with { Metadata = bare.Metadata with { ResourceVersion = null }, Spec = read.Spec with { Bgp = null, Wireguard = null, Interfaces = default } });
        var cleared = await FindAsync(KubeResource.Nodes, name);

        Assert.Null(cleared.Annotation("projectcalico.org/IPv4Address"));
        Assert.Null(cleared.Annotation("projectcalico.org/labels"));
    }

    [SkippableFact]
    public async Task An_agent_finds_its_node_and_writes_its_address_on_it()
    {
        var name = $"node-{Id}";
        await CreateAsync(KubeResource.Nodes, $$$"""{"metadata":{"name":"{{{name}}}"}}""");
        var options = AgentOptions.Read(new Dictionary<string, string>
        {
            ["NODENAME"] = name,
            ["IP"] = "192.0.2.9/24",
            ["AS"] = "64513",
            ["CALICO_MESH_INSECURE"] = "true",
            ["DATASTORE_TYPE"] = "kubernetes",
            ["K8S_API_ENDPOINT"] = "https://a:6443",
        }, out var problems);
        Assert.Empty(problems);

        await new NodeStartup(Store, options, TimeProvider.System).RunAsync(CancellationToken.None);

        var node = await FindAsync(KubeResource.Nodes, name);
        var cluster = (ClusterInformation)await Resources.GetAsync(new ResourceKey(ResourceKind.ClusterInformation, null, "default"));
        Assert.Equal(("192.0.2.9/24", "64513"), (node.Annotation("projectcalico.org/IPv4Address"), node.Annotation("projectcalico.org/ASNumber")));
        Assert.Contains("kdd", cluster.Spec.ClusterType, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Nodes_are_neither_made_nor_deleted_here()
    {
        var made = await Assert.ThrowsAsync<DatastoreException>(() => Resources.CreateAsync(new NodeResource { Metadata = new ObjectMeta { Name = $"none-{Id}" } }));
        await CreateAsync(KubeResource.Nodes, $$$"""{"metadata":{"name":"node-{{{Id}}}"}}""");
        var deleted = await Assert.ThrowsAsync<DatastoreException>(() => Resources.DeleteAsync(new ResourceKey(ResourceKind.Node, null, $"node-{Id}")));

        Assert.Equal((DatastoreFault.Invalid, DatastoreFault.Invalid), (made.Fault, deleted.Fault));
        Assert.Contains("kubectl delete node", deleted.Message, StringComparison.Ordinal);
    }

    private protected async Task<(string Namespace, string Key)> PodAsync(string extra = "")
    {
        var ns = await NamespaceAsync("""{"team":"red"}""");
        await CreateAsync(KubeResource.Pods, $$$"""
            {"metadata":{"name":"web-0","namespace":"{{{ns}}}","labels":{"app":"web","pcns.evil":"x"}},
             "spec":{"nodeName":"node-1","serviceAccountName":"runner",{{{extra}}}
              "containers":[{"name":"c","image":"i","ports":[{"name":"http","containerPort":8080,"protocol":"TCP"}]}]}}
            """, ns);
        return (ns, new ResourceKey(ResourceKind.WorkloadEndpoint, ns, "node--1-k8s-web--0-eth0").Path);
    }

    private static ReadOnlyMemory<byte> Endpoint(string ns, string container, params string[] networks) => StoredResource.Write(new WorkloadEndpoint
    {
        Metadata = new ObjectMeta { Name = "node--1-k8s-web--0-eth0", Namespace = ns },
        Spec = new WorkloadEndpointSpec
        {
            Orchestrator = "k8s",
            Node = "node-1",
            Pod = "web-0",
            Endpoint = "eth0",
            ContainerID = container,
            IpNetworks = [.. networks],
            InterfaceName = "cali0",
        },
    });

    [SkippableFact]
    public async Task A_pod_becomes_an_endpoint_with_the_write_of_its_addresses_and_none_with_the_delete()
    {
        var (ns, key) = await PodAsync();
        var start = (await Store.ListAsync(key)).Revision;
        Assert.Null(await Store.GetAsync(key));

        var written = await Store.CommitAsync(new Transaction([Compare.Absent(key)], [Write.Put(key, Endpoint(ns, "c1", "10.0.0.1/32", "fd00::1/128"))]));
        Assert.True(written.Succeeded);
        var stored = (await Store.GetAsync(key))!;
        var endpoint = (WorkloadEndpoint)ResourceCodec.Decode(ResourceKind.WorkloadEndpoint, stored.Value.Span);
        var pod = await FindAsync(KubeResource.Pods, "web-0", ns);

        Assert.Equal(written.Revision, stored.ModRevision);
        Assert.Equal(["10.0.0.1/32", "fd00::1/128"], endpoint.Spec.IpNetworks);
        Assert.Equal([$"kns.{ns}", $"ksa.{ns}.runner"], endpoint.Spec.Profiles);
        Assert.Equal(("c1", "node-1", "runner"), (endpoint.Spec.ContainerID, endpoint.Spec.Node, endpoint.Spec.ServiceAccountName));
        Assert.Equal($"app=web,projectcalico.org/namespace={ns},projectcalico.org/orchestrator=k8s,projectcalico.org/serviceaccount=runner", endpoint.Metadata.Labels.ToString());
        Assert.Equal(("10.0.0.1/32", "10.0.0.1/32,fd00::1/128", "c1"), (pod.Annotation("cni.projectcalico.org/podIP"),
            pod.Annotation("cni.projectcalico.org/podIPs"), pod.Annotation("cni.projectcalico.org/containerID")));

        var deleted = await Store.CommitAsync(new Transaction([Compare.At(key, stored.ModRevision)], [Write.Delete(key)]));
        Assert.True(deleted.Succeeded);
        Assert.Null(await Store.GetAsync(key));
        Assert.Equal("", (await FindAsync(KubeResource.Pods, "web-0", ns)).Annotation("cni.projectcalico.org/podIP"));

        await PutAsync(key, Endpoint(ns, "c2", "10.0.0.2/32"));
        List<string> told = [];
        await foreach (var batch in Store.WatchAsync(key, start, new CancellationTokenSource(TimeSpan.FromSeconds(60)).Token))
        {
            told.AddRange(batch.Select(e => e.IsDelete ? "-" : ((WorkloadEndpoint)ResourceCodec.Decode(ResourceKind.WorkloadEndpoint, e.Current!.Value.Span)).Spec.ContainerID!));
            if (told.Count == 3)
                break;
        }
        Assert.Equal(["c1", "-", "c2"], told);
    }

    [SkippableFact]
    public async Task Services_are_followed_from_all_that_there_are()
    {
        var (ns, _) = await PodAsync();
        await CreateAsync(KubeResource.Services, $$$"""{"metadata":{"name":"early","namespace":"{{{ns}}}"},"spec":{"clusterIP":"None","ports":[{"port":80}]}}""", ns);
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        List<string> told = [];

        await foreach (var change in Store.FollowAsync(new PlainSelection(PlainKind.Services), patience.Token))
        {
            told.AddRange(change.Objects.Where(o => o.Namespace == ns).Select(o => $"{(change.IsAll ? "all" : "one")} {o.Name} {(o.Json is null ? "gone" : "there")}"));
            if (told.Count == 1)
                await CreateAsync(KubeResource.Services, $$$"""{"metadata":{"name":"late","namespace":"{{{ns}}}"},"spec":{"clusterIP":"None","ports":[{"port":80}]}}""", ns);
            if (told.Count == 2)
                break;
        }

        Assert.Equal(["all early there", "one late there"], told);
    }

    [SkippableFact]
    public async Task A_secret_is_followed_by_its_name_before_and_after_it_is_there()
    {
        var (ns, _) = await PodAsync();
        await CreateAsync(KubeResource.Secrets, """{"metadata":{"name":"other"},"data":{"password":"bm8="}}""", ns);
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        List<string> told = [];

        await foreach (var change in Store.FollowAsync(new PlainSelection(PlainKind.Secrets, ns, "bgp"), patience.Token))
        {
            told.Add($"{(change.IsAll ? "all" : "one")} {string.Join(',', change.Objects.Select(o => o.Name + (o.Json?.GetProperty("data").GetProperty("password").GetString() ?? " gone")))}");
            if (told.Count == 1)
                await CreateAsync(KubeResource.Secrets, """{"metadata":{"name":"bgp"},"data":{"password":"czNjcmV0"}}""", ns);
            if (told.Count == 2)
                break;
        }

        Assert.Equal(["all ", "one bgpczNjcmV0"], told);
    }

    [SkippableFact]
    public async Task An_address_and_the_endpoint_that_has_it_are_written_together()
    {
        var (ns, key) = await PodAsync();
        var handle = IpamKeys.Handle($"k8s-pod-network.{Id}");
        var start = (await Store.ListAsync(key)).Revision;

        var result = await Store.CommitAsync(new Transaction([Compare.Absent(handle)],
            [Write.Put(handle, IpamJson.WriteHandle(new Dictionary<string, int> { [Block] = 1 })), Write.Put(key, Endpoint(ns, "c1", "10.0.0.1/32"))]));
        var undone = await Store.CommitAsync(new Transaction([Compare.At(handle, result.Revision)], [Write.Delete(handle), Write.Delete(key)]));

        Assert.True(result.Succeeded && undone.Succeeded);
        Assert.Null(await Store.GetAsync(handle));
        Assert.Null(await Store.GetAsync(key));
        List<(bool, long)> told = [];
        await foreach (var batch in Store.WatchAsync(key, start, new CancellationTokenSource(TimeSpan.FromSeconds(60)).Token))
        {
            told.AddRange(batch.Select(e => (e.IsDelete, e.Revision)));
            if (told.Count == 2)
                break;
        }
        Assert.Equal([(false, result.Revision), (true, undone.Revision)], told);
    }

    [SkippableFact]
    public async Task Pods_on_the_host_s_network_are_no_endpoints_and_endpoints_without_a_pod_cannot_be_written()
    {
        var (ns, key) = await PodAsync("\"hostNetwork\":true,");
        await PatchAsync(KubeResource.Pods, ns, "web-0", """{"status":{"podIP":"192.0.2.1","podIPs":[{"ip":"192.0.2.1"}]}}""", "status");

        Assert.Null(await Store.GetAsync(key));
        Assert.Empty((await Store.ListAsync(ResourceKey.Prefix(ResourceKind.WorkloadEndpoint, ns))).Items);
        var refused = await Assert.ThrowsAsync<DatastoreException>(() => PutAsync(new ResourceKey(ResourceKind.WorkloadEndpoint, ns, "node--1-k8s-none-eth0").Path, Endpoint(ns, "c", "10.0.0.1/32")));
        Assert.Equal(DatastoreFault.Invalid, refused.Fault);
    }

    [SkippableFact]
    public async Task A_pod_of_which_only_the_kubelet_knows_the_address_is_an_endpoint_and_what_the_plugin_wrote_is_newer()
    {
        var (ns, key) = await PodAsync();
        await PatchAsync(KubeResource.Pods, ns, "web-0", """{"status":{"podIP":"10.0.0.7","podIPs":[{"ip":"10.0.0.7"}]}}""", "status");
        var first = (WorkloadEndpoint)ResourceCodec.Decode(ResourceKind.WorkloadEndpoint, (await Store.GetAsync(key))!.Value.Span);

        await PutAsync(key, Endpoint(ns, "c2", "10.0.0.8/32"));
        var second = (WorkloadEndpoint)ResourceCodec.Decode(ResourceKind.WorkloadEndpoint, (await Store.GetAsync(key))!.Value.Span);

        Assert.Equal(["10.0.0.7/32"], first.Spec.IpNetworks);
        Assert.Equal(["10.0.0.8/32"], second.Spec.IpNetworks);
    }

    [SkippableFact]
    public async Task Namespaces_and_service_accounts_are_profiles_that_can_only_be_read()
    {
        var ns = await NamespaceAsync("""{"team":"red"}""");
        await CreateAsync(KubeResource.ServiceAccounts, $$$"""{"metadata":{"name":"runner","namespace":"{{{ns}}}","labels":{"role":"r"} } }""", ns);

        var space = (Profile)await Resources.GetAsync(new ResourceKey(ResourceKind.Profile, null, $"kns.{ns}"));
        var account = (Profile)await Resources.GetAsync(new ResourceKey(ResourceKind.Profile, null, $"ksa.{ns}.runner"));
        var listed = (await Resources.ListAsync(ResourceKind.Profile)).Items.Select(p => p.Name).ToList();
        var refused = await Assert.ThrowsAsync<DatastoreException>(() => Resources.UpdateAsync(space));

        Assert.Equal(("red", ns), (space.Spec.LabelsToApply.GetOrNull("pcns.team"), space.Spec.LabelsToApply.GetOrNull("pcns.projectcalico.org/name")));
        Assert.Equal("Allow", space.Spec.Ingress.Single().Action);
        Assert.Equal(("r", "runner"), (account.Spec.LabelsToApply.GetOrNull("pcsa.role"), account.Spec.LabelsToApply.GetOrNull("pcsa.projectcalico.org/name")));
        Assert.Superset(new HashSet<string> { "projectcalico-default-allow", space.Name, account.Name }, listed.ToHashSet());
        Assert.Equal(DatastoreFault.Invalid, refused.Fault);
        Assert.Contains("it is read from namespaces", refused.Message, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task A_policy_of_kubernetes_is_a_policy_of_calico_under_a_name_of_its_own()
    {
        var ns = await NamespaceAsync();
        await Resources.EnsureInitializedAsync();
        var start = (await Store.ListAsync(ResourceKey.Prefix(ResourceKind.NetworkPolicy, ns))).Revision;
        await CreateAsync(KubeResource.NetworkPolicies, $$$"""
            {"metadata":{"name":"allow","namespace":"{{{ns}}}"},
             "spec":{"podSelector":{"matchLabels":{"app":"db"}},"policyTypes":["Ingress"],
              "ingress":[{"from":[{"namespaceSelector":{}}],"ports":[{"port":5432,"protocol":"TCP"}]}]}}
            """, ns);
        await Resources.CreateAsync(new NetworkPolicy { Metadata = new ObjectMeta { Name = "allow", Namespace = ns } });

        var policy = (NetworkPolicy)await Resources.GetAsync(new ResourceKey(ResourceKind.NetworkPolicy, ns, "knp.default.allow"));
        var listed = (await Resources.ListAsync(ResourceKind.NetworkPolicy, ns)).Items.Select(p => p.Name);

        Assert.Equal(("default", 1000.0, "projectcalico.org/orchestrator == 'k8s' && app == 'db'"), (policy.Spec.Tier, policy.Spec.Order, policy.Spec.Selector));
        Assert.Equal([Port.Single(5432)], policy.Spec.Ingress.Single().Destination!.Ports);
        Assert.Equal("all()", policy.Spec.Ingress.Single().Source!.NamespaceSelector);
        Assert.Equal(["allow", "knp.default.allow"], listed.Order(StringComparer.Ordinal));
        await Assert.ThrowsAsync<DatastoreException>(() => Resources.DeleteAsync(policy.Key));
        List<string> told = [];
        await foreach (var batch in Store.WatchAsync(ResourceKey.Prefix(ResourceKind.NetworkPolicy, ns), start, new CancellationTokenSource(TimeSpan.FromSeconds(60)).Token))
        {
            told.AddRange(batch.Select(e => e.Key.Split('/')[^1]));
            if (told.Count == 2)
                break;
        }
        Assert.Equal(["allow", "knp.default.allow"], told.Order(StringComparer.Ordinal));
    }
}

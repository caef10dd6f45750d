using System.Text;
using Calico.Core.Model;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Datastore;
using Calico.Datastore.Resources;
using Microsoft.Extensions.Time.Testing;

namespace Calico.Tests.Datastore.Resources;

[Layer("unit")]
public class ResourceStoreTests
{
    private readonly InMemoryDatastore _datastore = new();
    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 8, 22, 10, 0, 0, TimeSpan.Zero));
    private readonly ResourceStore _store;

    public ResourceStoreTests() =>
        _store = new ResourceStore(_datastore, _time, () => Guid.Parse("6d0e8b1e-3c1f-4a57-9a1e-0c2c6f6f3b11"));

    [Fact]
    public async Task A_created_policy_is_stored_as_Calico_stores_it()
    {
        await _store.EnsureInitializedAsync();

        await _store.CreateAsync(Policy("allow-db"));

        var stored = await _datastore.GetAsync("/calico/resources/v3/projectcalico.org/networkpolicies/web/allow-db");
        Assert.Equal(
            """{"kind":"NetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{"name":"allow-db","namespace":"web","uid":"6d0e8b1e-3c1f-4a57-9a1e-0c2c6f6f3b11","creationTimestamp":"2026-08-22T10:00:00Z","labels":{"projectcalico.org/tier":"default"},"annotations":{"projectcalico.org/metadata":"{\"name\":\"allow-db\"}"}},"spec":{"tier":"default","order":100,"selector":"app == 'db'","types":["Ingress"]}}""",
            Encoding.UTF8.GetString(stored!.Value.Span));
    }

    [Fact]
    public async Task A_policy_reads_back_without_the_store_s_annotation_and_with_its_revision()
    {
        await _store.EnsureInitializedAsync();

        var created = await _store.CreateAsync(Policy("allow-db"));
        var read = await _store.GetAsync(created.Key);

        Assert.Equal(created, read);
        Assert.True(read.Metadata.Annotations.IsEmpty);
        Assert.Equal($"{_datastore.Revision}", read.Metadata.ResourceVersion);
    }

    [Fact]
    public async Task Creating_twice_is_refused()
    {
        await _store.CreateAsync(Pool("p", "10.0.0.0/16"));

        var e = await Assert.ThrowsAsync<ResourceException>(() => _store.CreateAsync(Pool("p", "10.0.0.0/16")));

        Assert.Equal(ResourceFault.AlreadyExists, e.Fault);
    }

    [Fact]
    public async Task An_update_from_a_stale_version_conflicts()
    {
        var first = (IPPool)await _store.CreateAsync(Pool("p", "10.0.0.0/16"));
        await _store.UpdateAsync(first with { Spec = first.Spec with { NatOutgoing = true } });

        var e = await Assert.ThrowsAsync<ResourceException>(() => _store.UpdateAsync(first));

        Assert.Equal(ResourceFault.Conflict, e.Fault);
        Assert.StartsWith("update conflict: IPPool(p)", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_update_without_a_version_survives_a_write_in_between()
    {
        var pool = (IPPool)await _store.CreateAsync(Pool("p", "10.0.0.0/16"));
        var disturbed = false;
        _datastore.BeforeCommit = async _ =>
        {
            if (disturbed)
                return;
            disturbed = true;
            await _store.UpdateAsync(pool with { Spec = pool.Spec with { Disabled = true } });
        };

        var update = Pool("p", "10.0.0.0/16");
        var updated = await _store.UpdateAsync(update with { Spec = update.Spec with { NatOutgoing = true } });

        Assert.True(disturbed);
        Assert.True(((IPPool)updated).Spec.NatOutgoing);
    }

    [Fact]
    public async Task An_update_keeps_what_the_store_owns()
    {
        var created = await _store.CreateAsync(Pool("p", "10.0.0.0/16"));
        _time.Advance(TimeSpan.FromDays(1));

        var updated = await _store.UpdateAsync(Pool("p", "10.0.0.0/16") with
        {
            Metadata = new ObjectMeta { Name = "p", Uid = "forged", Labels = StringMap.Empty.With("a", "b"), CreationTimestamp = _time.GetUtcNow() },
        });

        Assert.Equal(created.Metadata.Uid, updated.Metadata.Uid);
        Assert.Equal(created.Metadata.CreationTimestamp, updated.Metadata.CreationTimestamp);
        Assert.Equal("b", updated.Metadata.Labels["a"]);
    }

    [Fact]
    public async Task Unknown_fields_survive_an_update_made_by_reading_first()
    {
        const string key = "/calico/resources/v3/projectcalico.org/ippools/p";
        await _datastore.CommitAsync(new Transaction([], [Write.Put(key, Encoding.UTF8.GetBytes(
            """{"kind":"IPPool","apiVersion":"projectcalico.org/v3","metadata":{"name":"p"},"spec":{"cidr":"10.0.0.0/16","newer":{"x":1}}}"""))]));

        var pool = (IPPool)await _store.GetAsync(new ResourceKey(ResourceKind.IPPool, null, "p"));
        await _store.UpdateAsync(pool with { Spec = pool.Spec with { Disabled = true } });

        Assert.Contains("\"newer\":{\"x\":1}", Encoding.UTF8.GetString((await _datastore.GetAsync(key))!.Value.Span), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_policy_needs_its_tier()
    {
        var e = await Assert.ThrowsAsync<ResourceException>(() => _store.CreateAsync(Policy("p")));

        Assert.Equal(ResourceFault.NotFound, e.Fault);
        Assert.Contains("Tier(default)", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_tier_that_is_deleted_at_the_same_moment_takes_no_policy()
    {
        var tier = await _store.CreateAsync(new Tier { Metadata = new ObjectMeta { Name = "t" } });
        var once = true;
        _datastore.BeforeCommit = async t =>
        {
            if (once && t.Writes[0].Key.Contains("networkpolicies", StringComparison.Ordinal))
            {
                once = false;
                await _store.DeleteAsync(tier.Key);
            }
        };
        var policy = Policy("p");

        await Assert.ThrowsAsync<ResourceException>(() => _store.CreateAsync(policy with { Spec = policy.Spec with { Tier = "t" } }));

        Assert.DoesNotContain(_datastore.Keys, k => k.Contains("networkpolicies", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_tier_with_policies_stays()
    {
        await _store.EnsureInitializedAsync();
        var tier = await _store.CreateAsync(new Tier { Metadata = new ObjectMeta { Name = "t" } });
        var policy = Policy("p");
        await _store.CreateAsync(policy with { Spec = policy.Spec with { Tier = "t" } });

        var e = await Assert.ThrowsAsync<ResourceException>(() => _store.DeleteAsync(tier.Key));
        await _store.DeleteAsync(policy.Key);
        await _store.DeleteAsync(tier.Key);

        Assert.Contains("NetworkPolicy(web/p) is in it", e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(_datastore.Keys, k => k.EndsWith("/tiers/t", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("default")]
    [InlineData("kube-admin")]
    [InlineData("kube-baseline")]
    public async Task Built_in_tiers_stay(string name)
    {
        await _store.EnsureInitializedAsync();

        var e = await Assert.ThrowsAsync<ResourceException>(() => _store.DeleteAsync(new ResourceKey(ResourceKind.Tier, null, name)));

        Assert.Equal(ResourceFault.NotSupported, e.Fault);
    }

    [Fact]
    public async Task Initialisation_creates_the_cluster_once_and_merges_tags()
    {
        await _store.EnsureInitializedAsync("v3.33.0", "k8s");
        await _store.EnsureInitializedAsync(null, "k8s,bgp");

        var info = (ClusterInformation)await _store.GetAsync(new ResourceKey(ResourceKind.ClusterInformation, null, "default"));
        Assert.Equal("6d0e8b1e3c1f4a579a1e0c2c6f6f3b11", info.Spec.ClusterGuid);
        Assert.Equal("k8s,bgp", info.Spec.ClusterType);
        Assert.Equal("v3.33.0", info.Spec.CalicoVersion);
        Assert.True(info.Spec.DatastoreReady);
        Assert.Equal(["default", "kube-admin", "kube-baseline"], (await _store.ListAsync(ResourceKind.Tier)).Items.Select(t => t.Name));
    }

    [Fact]
    public async Task Initialisation_of_an_initialised_store_writes_nothing()
    {
        await _store.EnsureInitializedAsync("v1", "k8s");
        var revision = _datastore.Revision;

        await _store.EnsureInitializedAsync("v1", "k8s");

        Assert.Equal(revision, _datastore.Revision);
    }

    [Fact]
    public async Task The_default_allow_profile_is_always_there_and_never_stored()
    {
        var list = await _store.ListAsync(ResourceKind.Profile);

        Assert.Equal(Profile.AllowEverything, Assert.Single(list.Items));
        Assert.Equal(Profile.AllowEverything, await _store.GetAsync(Profile.AllowEverything.Key));
        await Assert.ThrowsAsync<ResourceException>(() => _store.CreateAsync(Profile.AllowEverything with { Metadata = new ObjectMeta { Name = Profile.DefaultAllow } }));
        await Assert.ThrowsAsync<ResourceException>(() => _store.DeleteAsync(Profile.AllowEverything.Key));
        Assert.Empty(_datastore.Keys);
    }

    [Fact]
    public async Task Policies_of_older_releases_are_found_under_the_user_s_name()
    {
        const string key = "/calico/resources/v3/projectcalico.org/globalnetworkpolicies/default.old";
        await _store.EnsureInitializedAsync();
        await _datastore.CommitAsync(new Transaction([], [Write.Put(key, Encoding.UTF8.GetBytes(
            """{"kind":"GlobalNetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{"name":"default.old"},"spec":{"selector":"all()"}}"""))]));
        var wanted = new ResourceKey(ResourceKind.GlobalNetworkPolicy, null, "old");

        var read = (GlobalNetworkPolicy)await _store.GetAsync(wanted);
        await _store.UpdateAsync(read with { Spec = read.Spec with { Order = 5 } });
        var listed = await _store.ListAsync(ResourceKind.GlobalNetworkPolicy);
        await _store.DeleteAsync(wanted);

        Assert.Equal("old", Assert.Single(listed.Items).Name);
        Assert.DoesNotContain(_datastore.Keys, k => k.Contains("globalnetworkpolicies", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Pools_must_not_overlap()
    {
        await _store.CreateAsync(Pool("p", "10.0.0.0/16"));

        var e = await Assert.ThrowsAsync<InvalidResourceException>(() => _store.CreateAsync(Pool("q", "10.0.128.0/24")));

        Assert.Contains("overlaps with IPPool(p) CIDR 10.0.0.0/16", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_pool_keeps_its_cidr_and_block_size()
    {
        await _store.CreateAsync(Pool("p", "10.0.0.0/16"));
        var other = Pool("p", "10.0.0.0/17");

        var e = await Assert.ThrowsAsync<InvalidResourceException>(() => _store.UpdateAsync(other with { Spec = other.Spec with { BlockSize = 28 } }));

        Assert.Equal(["spec.cidr", "spec.blockSize"], e.Errors.Select(f => f.Path));
    }

    [Fact]
    public async Task A_pool_is_disabled_before_it_is_deleted()
    {
        var pool = await _store.CreateAsync(Pool("p", "10.0.0.0/16"));
        var writes = new List<string>();
        _datastore.BeforeCommit = t =>
        {
            writes.Add(t.Writes[0].Value is { } value ? Encoding.UTF8.GetString(value.Span) : "delete");
            return Task.CompletedTask;
        };

        await _store.DeleteAsync(pool.Key, pool.Metadata.ResourceVersion);

        Assert.Equal(2, writes.Count);
        Assert.Contains("\"disabled\":true", writes[0], StringComparison.Ordinal);
        Assert.Equal("delete", writes[1]);
        Assert.Empty(_datastore.Keys);
    }

    [Fact]
    public async Task A_pool_over_blocks_of_another_size_is_refused()
    {
        await _datastore.CommitAsync(new Transaction([], [Write.Put("/calico/ipam/v2/assignment/ipv4/block/10.0.1.0-28", "{}"u8.ToArray())]));

        var e = await Assert.ThrowsAsync<InvalidResourceException>(() => _store.CreateAsync(Pool("p", "10.0.0.0/16")));

        Assert.Contains("10.0.1.0/28", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_deleted_node_takes_what_belongs_to_it_along()
    {
        await _store.CreateAsync(new NodeResource { Metadata = new ObjectMeta { Name = "n1" } });
        foreach (var node in new[] { "n1", "n2" })
        {
            await _store.CreateAsync(Endpoint(node));
            await _store.CreateAsync(new BGPPeer { Metadata = new ObjectMeta { Name = "peer-" + node }, Spec = new BGPPeerSpec { Node = node, PeerIP = "192.0.2.1" } });
            await _store.CreateAsync(new FelixConfiguration { Metadata = new ObjectMeta { Name = "node." + node } });
        }

        await _store.DeleteAsync(new ResourceKey(ResourceKind.Node, null, "n1"));

        Assert.Equal(["bgppeers/peer-n2", "felixconfigurations/node.n2", "workloadendpoints/web/n2-k8s-pod-eth0"],
            _datastore.Keys.Select(k => k["/calico/resources/v3/projectcalico.org/".Length..]));
    }

    [Fact]
    public async Task An_endpoint_must_have_the_name_that_its_fields_make()
    {
        var endpoint = Endpoint("n1");

        var e = await Assert.ThrowsAsync<InvalidResourceException>(() => _store.CreateAsync(endpoint with { Metadata = endpoint.Metadata with { Name = "other" } }));

        Assert.Contains("expected name n1-k8s-pod-eth0", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_value_that_is_no_resource_is_reported_and_hides_nothing()
    {
        await _store.CreateAsync(Pool("p", "10.0.0.0/16"));
        await _datastore.CommitAsync(new Transaction([], [Write.Put("/calico/resources/v3/projectcalico.org/ippools/broken", "{\"spec\":{\"blockSize\":\"x\"}}"u8.ToArray())]));

        var list = await _store.ListAsync(ResourceKind.IPPool);

        Assert.Equal("p", Assert.Single(list.Items).Name);
        Assert.Single(list.Unreadable);
    }

    [Fact]
    public async Task Lists_of_a_namespace_hold_that_namespace_only()
    {
        await _store.EnsureInitializedAsync();
        await _store.CreateAsync(Policy("a"));
        await _store.CreateAsync(Policy("b") with { Metadata = new ObjectMeta { Name = "b", Namespace = "web2" } });

        Assert.Equal(["a"], (await _store.ListAsync(ResourceKind.NetworkPolicy, "web")).Items.Select(p => p.Name));
        Assert.Equal(["a", "b"], (await _store.ListAsync(ResourceKind.NetworkPolicy)).Items.Select(p => p.Name));
    }

    [Fact]
    public async Task Applying_creates_and_then_updates()
    {
        var pool = Pool("p", "10.0.0.0/16");

        var created = await _store.ApplyAsync(pool);
        var updated = await _store.ApplyAsync(pool with { Spec = pool.Spec with { NatOutgoing = true } });

        Assert.Equal(created.Metadata.Uid, updated.Metadata.Uid);
        Assert.True(((IPPool)updated).Spec.NatOutgoing);
    }

    private static NetworkPolicy Policy(string name) => new()
    {
        Metadata = new ObjectMeta { Name = name, Namespace = "web" },
        Spec = new NetworkPolicySpec { Order = 100, Selector = "app == 'db'" },
    };

    private static IPPool Pool(string name, string cidr) => new()
    {
        Metadata = new ObjectMeta { Name = name },
        Spec = new IPPoolSpec { Cidr = cidr },
    };

    private static WorkloadEndpoint Endpoint(string node) => new()
    {
        Metadata = new ObjectMeta { Name = node + "-k8s-pod-eth0", Namespace = "web" },
        Spec = new WorkloadEndpointSpec { Orchestrator = "k8s", Node = node, Pod = "pod", Endpoint = "eth0", InterfaceName = "cali0" },
    };
}

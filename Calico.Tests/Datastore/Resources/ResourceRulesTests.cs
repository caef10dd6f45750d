using Calico.Core.Model;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Datastore.Resources;

namespace Calico.Tests.Datastore.Resources;

/// <summary>Rules and defaults that take a stored state or another field to see.</summary>
[Layer("unit")]
public class ResourceRulesTests
{
    private readonly ResourceStore _store = new(new InMemoryDatastore(), TimeProvider.System);

    [Fact]
    public async Task A_pool_s_network_may_change_its_spelling_but_not_itself()
    {
        await _store.CreateAsync(Pool("FD00:0:0::/48"));

        await _store.UpdateAsync(Pool("fd00:0000::/48"));

        Assert.Equal("fd00::/48", ((IPPool)await _store.GetAsync(Pool("").Key)).Spec.Cidr);
        Assert.Equal(["spec.cidr"], await ErrorsAsync(() => _store.UpdateAsync(Pool("fd01::/48"))));
    }

    [Fact]
    public async Task A_pool_for_load_balancers_stays_one()
    {
        await _store.CreateAsync(Pool("10.0.0.0/16", IPPoolUse.LoadBalancer));

        Assert.Equal(["spec.allowedUses"], await ErrorsAsync(() => _store.UpdateAsync(Pool("10.0.0.0/16", IPPoolUse.Workload))));
    }

    [Fact]
    public async Task There_is_one_configuration_of_the_controllers()
    {
        var other = new KubeControllersConfiguration { Metadata = new ObjectMeta { Name = "other" } };

        Assert.Equal(["metadata.name"], await ErrorsAsync(() => _store.CreateAsync(other)));
    }

    [Fact]
    public async Task A_template_of_host_endpoints_has_a_name_of_its_own_and_interfaces()
    {
        const string templates = "spec.controllers.node.hostEndpoint.templates";

        var errors = await ErrorsAsync(() => _store.CreateAsync(Controllers(
            new HostEndpointTemplate { GenerateName = "a", InterfacePattern = "eth" },
            new HostEndpointTemplate { InterfacePattern = "eth" },
            new HostEndpointTemplate { GenerateName = "a", InterfaceCIDRs = ["10.0.0.0/8"] },
            new HostEndpointTemplate { GenerateName = "b" })));

        Assert.Equal([$"{templates}[1].generateName", $"{templates}[2].generateName", $"{templates}[3]"], errors);
    }

    [Fact]
    public async Task An_endpoint_without_a_name_gets_that_of_its_spec()
    {
        var endpoint = new WorkloadEndpoint
        {
            Metadata = new ObjectMeta { Namespace = "web", Labels = StringMap.Empty.With("app", "a") },
            Spec = new WorkloadEndpointSpec { Orchestrator = "k8s", Node = "node-1", Pod = "p", Endpoint = "eth0", InterfaceName = "cali0" },
        };

        await _store.ApplyAsync(endpoint);
        var applied = await _store.ApplyAsync(endpoint with { Spec = endpoint.Spec with { ContainerID = "c" } });

        Assert.Equal("node--1-k8s-p-eth0", applied.Name);
        Assert.Equal("app=a,projectcalico.org/namespace=web,projectcalico.org/orchestrator=k8s", applied.Metadata.Labels.ToString());
        Assert.Single((await _store.ListAsync(ResourceKind.WorkloadEndpoint)).Items);
    }

    [Fact]
    public async Task An_endpoint_with_another_name_than_its_spec_s_is_refused()
    {
        var endpoint = new WorkloadEndpoint
        {
            Metadata = new ObjectMeta { Name = "p", Namespace = "web" },
            Spec = new WorkloadEndpointSpec { Orchestrator = "k8s", Node = "n", Pod = "p", Endpoint = "eth0", InterfaceName = "cali0" },
        };

        Assert.Equal(["metadata.name"], await ErrorsAsync(() => _store.CreateAsync(endpoint)));
    }

    [Theory]
    [InlineData(null, "TCP", "Enabled")]
    [InlineData(true, "Enabled", "Disabled")]
    [InlineData(false, "Disabled", "Disabled")]
    public void The_older_switch_of_connect_time_load_balancing_decides_where_it_is_set(bool? older, string balancing, string nat)
    {
        var spec = ((FelixConfiguration)ResourceDefaults.Apply(new FelixConfiguration
        {
            Spec = new FelixConfigurationSpec { BpfConnectTimeLoadBalancingEnabled = older },
        })).Spec;

        Assert.Equal((balancing, nat), (spec.BpfConnectTimeLoadBalancing, spec.BpfHostNetworkedNATWithoutCTLB));
    }

    [Fact]
    public void A_staged_deletion_has_no_directions()
    {
        var policy = (StagedNetworkPolicy)ResourceDefaults.Apply(new StagedNetworkPolicy
        {
            Spec = new StagedNetworkPolicySpec { StagedAction = StagedAction.Delete, Types = [PolicyType.Egress] },
        });

        Assert.True(policy.Spec.Types.IsEmpty);
    }

    private static IPPool Pool(string cidr, params string[] uses) => new()
    {
        Metadata = new ObjectMeta { Name = "p" },
        Spec = new IPPoolSpec { Cidr = cidr, AllowedUses = [.. uses] },
    };

    private static KubeControllersConfiguration Controllers(params HostEndpointTemplate[] templates) => new()
    {
        Metadata = new ObjectMeta { Name = "default" },
        Spec = new KubeControllersConfigurationSpec
        {
            Controllers = new ControllersConfig
            {
                Node = new NodeControllerConfig { HostEndpoint = new AutoHostEndpointConfig { Templates = [.. templates] } },
            },
        },
    };

    private static async Task<IEnumerable<string>> ErrorsAsync(Func<Task> write) =>
        (await Assert.ThrowsAsync<InvalidResourceException>(write)).Errors.Select(e => e.Path);
}

using System.Collections.Immutable;
using Akka.Actor;
using Calico.Actors.Dataplane;
using Calico.Actors.Endpoints;
using Calico.Actors.Ipam;
using Calico.Actors.Policy;
using Calico.Core.Net;
using Calico.Kernel.Routes;
using Calico.Tests.Datastore;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Endpoints;

[Layer("actor")]
public sealed class RegistryActorTests : NodeActorFixture
{
    private readonly TemporaryDirectory _journal = new();
    private readonly Akka.TestKit.TestProbe _routes;
    private readonly Akka.TestKit.TestProbe _lease;

    public RegistryActorTests(ITestOutputHelper output)
        : base(output)
    {
        _routes = CreateTestProbe("routes");
        _lease = CreateTestProbe("lease");
    }

    [Fact]
    public async Task A_workload_is_admitted_under_the_interface_that_it_asks_for()
    {
        var registry = await Started();

        var admitted = await Admit(registry, Pod("c1", "web"));

        Assert.Equal((Pod("c1", "web").HostInterface, false, null), (admitted.Workload.HostInterface, admitted.IsKnown, admitted.Replaces));
    }

    [Fact]
    public async Task A_workload_that_is_recorded_is_known_as_it_was_given()
    {
        var registry = await Started();
        var workload = Pod("c1", "web") with { Addresses = ["10.9.0.1"], PodMac = "02:00:00:00:00:01" };
        await Record(registry, workload);

        var again = await Admit(registry, Pod("c1", "web"));

        Assert.True(again.IsKnown);
        Assert.Equal(workload.Addresses, again.Workload.Addresses);
        Assert.Equal(workload.PodMac, again.Workload.PodMac);
    }

    [Fact]
    public async Task A_call_that_is_repeated_before_the_first_is_done_gets_the_same_interface()
    {
        var registry = await Started();
        await Admit(registry, Container("c1", "caliSame"));

        var again = await Admit(registry, Container("c1", "caliSame"));

        Assert.Equal(("caliSame", false, null), (again.Workload.HostInterface, again.IsKnown, again.Replaces));
    }

    [Fact]
    public async Task Two_containers_with_one_interface_name_get_two_interfaces_even_while_both_are_being_made()
    {
        var registry = await Started();
        await Admit(registry, Container("c1", "caliSame"));

        var second = await Admit(registry, Container("c2", "caliSame"));

        Assert.NotEqual("caliSame", second.Workload.HostInterface);
        Assert.StartsWith("cali", second.Workload.HostInterface, StringComparison.Ordinal);
        Assert.True(second.Workload.HostInterface.Length <= 15);
        Assert.Null(second.Replaces);
    }

    [Fact]
    public async Task A_new_container_of_the_same_pod_replaces_the_earlier_one()
    {
        var registry = await Started();
        await Record(registry, Pod("c1", "web"));

        var admitted = await Admit(registry, Pod("c2", "web"));

        Assert.Equal("c1", admitted.Replaces?.ContainerId);
        Assert.Equal(Pod("c1", "web").HostInterface, admitted.Workload.HostInterface);
    }

    [Fact]
    public async Task Forgetting_the_earlier_container_late_does_not_free_the_interface_of_the_new_one()
    {
        var registry = await Started();
        await Record(registry, Container("c1", "caliSame"));
        await Admit(registry, Container("c2", "caliSame") with { Name = "c1" });
        await Forget(registry, Container("c1", "caliSame"));

        var third = await Admit(registry, Container("c3", "caliSame"));

        Assert.NotEqual("caliSame", third.Workload.HostInterface);
    }

    [Fact]
    public async Task A_recorded_workload_is_in_the_journal_and_a_forgotten_one_is_not()
    {
        var registry = await Started();
        await Record(registry, Pod("c1", "web"));
        await Record(registry, Pod("c2", "db"));
        await Forget(registry, Pod("c1", "web"));

        Assert.Equal(["c2"], Journal().Select(w => w.ContainerId));
        Assert.Equal(["c2"], (await All(registry)).Select(w => w.ContainerId));
        Assert.Null((await registry.Ask<RegistryProtocol.Found>(new RegistryProtocol.Find("c1", "eth0"), Patience)).Workload);
    }

    [Fact]
    public async Task An_admitted_workload_that_was_never_recorded_is_not_known()
    {
        var registry = await Started();
        await Admit(registry, Pod("c1", "web"));

        Assert.Empty(Journal());
        Assert.Empty(await All(registry));
    }

    [Fact]
    public async Task A_workload_that_cannot_be_written_is_reported_and_not_known()
    {
        var registry = await Started();
        // A directory in the place of the file: refused to root as well.
        Directory.CreateDirectory(Path.Combine(_journal.Path, "c1@eth0.json"));

        registry.Tell(new RegistryProtocol.Record(Pod("c1", "web")), TestActor);

        Assert.NotNull((await ExpectMsgAsync<RegistryProtocol.Recorded>(Patience)).Fault);
        Assert.Empty(await All(registry));
    }

    [Fact]
    public async Task A_process_that_starts_again_wants_the_routes_of_its_workloads_and_releases_what_nobody_has()
    {
        var link = AddLink("cali1");
        new WorkloadJournal(_journal.Path).Put(Pod("c1", "web") with { HostInterface = "cali1", Addresses = ["10.9.0.1"] });
        // Of a workload that the journal lost.
        Put(new Route(new RouteKey(Cidr.Parse("10.9.0.2/32"), 1024), RouteKind.Unicast, RouteWriterOptions.BootProtocol,
            [new NextHop(null, link)])
        { Scope = RouteScope.Link });

        Start();

        var wanted = await _routes.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience);
        var route = Assert.Single(wanted.Wanted);
        Assert.Equal((RouteSource.Workloads, Cidr.Parse("10.9.0.1/32"), link), (wanted.Source, route.Key.Destination, route.NextHops[0].LinkIndex));
        Assert.Equal(RouteSource.Workloads, (await _routes.ExpectMsgAsync<RouteProtocol.SourceComplete>(Patience)).Source);
        var release = await _lease.ExpectMsgAsync<LeaseProtocol.ReleaseAllBut>(Patience);
        Assert.Equal(["k8s-pod-network.c1"], release.Handles);
        Assert.Equal([("10.9.0.1", "k8s-pod-network.c1"), ("10.9.0.2", null)],
            release.InUse.OrderBy(u => u.Key).Select(u => (u.Key.ToString(), u.Value)));
    }

    [Fact]
    public async Task A_journal_file_that_cannot_be_read_does_not_hide_the_others()
    {
        File.WriteAllText(Path.Combine(_journal.Path, "a@eth0.json"), "{");
        AddLink("caliweb");
        new WorkloadJournal(_journal.Path).Put(Pod("c1", "web"));

        Assert.Equal(["c1"], (await All(Start())).Select(w => w.ContainerId));
    }

    // In other nodes' blocks only the handle finds it.
    [Fact]
    public async Task What_a_workload_had_that_is_gone_at_the_start_is_given_back_by_its_handle()
    {
        new WorkloadJournal(_journal.Path).Put(Pod("c2", "db") with { Addresses = ["10.9.0.7"] });

        Start();

        var release = await _lease.ExpectMsgAsync<LeaseProtocol.Release>(Patience);
        Assert.Equal(("k8s-pod-network.c2", IpAddr.Parse("10.9.0.7")), (release.HandleId, Assert.Single(release.Addresses)));
        Assert.Empty(release.Alongside);
    }

    // The datastore may be away for longer than the lease waits, and the agent may be killed meanwhile.
    [Fact]
    public async Task It_asks_until_they_are_given_back_and_the_journal_keeps_them_until_then()
    {
        new WorkloadJournal(_journal.Path).Put(Pod("c2", "db") with { Addresses = ["10.9.0.7"] });
        var registry = Start();
        var release = await _lease.ExpectMsgAsync<LeaseProtocol.Release>(Patience);
        await _lease.ExpectMsgAsync<LeaseProtocol.ReleaseAllBut>(Patience);
        Assert.Empty(await All(registry));
        // A pod of its name is there at once, with the interface that it had.
        Assert.Equal(Pod("c3", "db").HostInterface, (await Admit(registry, Pod("c3", "db"))).Workload.HostInterface);

        registry.Tell(new LeaseProtocol.NotReleased(release.RequestId, "the datastore does not answer"));
        Assert.Equal(release.HandleId, (await _lease.ExpectMsgAsync<LeaseProtocol.Release>(Patience)).HandleId);
        Assert.Equal(["c2"], Journal().Select(w => w.ContainerId));

        registry.Tell(new LeaseProtocol.Released(release.RequestId, []));
        await Eventually(() => Assert.Empty(Journal()));
    }

    [Fact]
    public async Task A_process_that_starts_again_forgets_a_workload_whose_interface_is_gone()
    {
        AddLink("caliweb");
        new WorkloadJournal(_journal.Path).Put(Pod("c1", "web"));
        new WorkloadJournal(_journal.Path).Put(Pod("c2", "db"));

        Assert.Equal(["c1"], (await All(Start())).Select(w => w.ContainerId));
        Assert.Equal(["c1"], Journal().Select(w => w.ContainerId));
        Assert.Equal(["k8s-pod-network.c1"], (await _lease.ExpectMsgAsync<LeaseProtocol.ReleaseAllBut>(Patience)).Handles);
    }

    [Fact]
    public async Task An_address_that_a_new_workload_has_is_no_other_workloads_any_more()
    {
        var registry = await Started();
        // Its removal released the address and then failed.
        await Record(registry, Pod("c1", "web") with { Addresses = ["10.9.0.1", "fd00::1"] });

        await Record(registry, Pod("c2", "db") with { Addresses = ["10.9.0.1"] });

        Assert.Equal(["fd00::1"], (await registry.Ask<RegistryProtocol.Found>(new RegistryProtocol.Find("c1", "eth0"), Patience)).Workload!.Addresses.AsEnumerable());
        Assert.Equal(["fd00::1"], Journal().Single(w => w.ContainerId == "c1").Addresses.AsEnumerable());
    }

    [Fact]
    public async Task A_fenced_workload_has_no_routes_until_it_is_connected_again_and_stays_fenced_over_a_start()
    {
        var link = AddLink("caliweb");
        var registry = await Started();
        var workload = Pod("c1", "web") with { Addresses = ["10.9.0.1"] };
        await Record(registry, workload);

        await Fence(registry, workload, true);
        Assert.Equal([Cidr.Parse("10.9.0.1/32")], (await _routes.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience)).Unwanted.Select(k => k.Destination));
        await registry.GracefulStop(Patience);
        var next = Start();
        await _routes.ExpectMsgAsync<RouteProtocol.SourceComplete>(Patience);
        next.Tell(new RegistryProtocol.TellEndpoints(), TestActor);
        Assert.Empty((await ExpectMsgAsync<EnforcerProtocol.AdoptEndpoints>(Patience)).Endpoints);

        await Fence(next, workload, false);
        var wanted = await _routes.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience);
        Assert.Equal(link, Assert.Single(wanted.Wanted).NextHops[0].LinkIndex);
    }

    [Fact]
    public async Task A_workload_that_is_not_here_any_more_is_not_fenced()
    {
        var registry = await Started();

        Assert.Null((await registry.Ask<RegistryProtocol.Fenced>(new RegistryProtocol.Fence(Pod("c1", "web") with { IsFenced = true }), Patience)).Workload);
        Assert.Empty(Journal());
    }

    [Fact]
    public async Task A_container_is_under_way_from_its_admission_until_it_is_recorded_or_forgotten()
    {
        var registry = await Started();
        await Admit(registry, Pod("c1", "web"));
        await Admit(registry, Pod("c2", "db"));
        Assert.Equal(["c1", "c2"], (await AllAndUnderWay(registry)).UnderWay.Order(StringComparer.Ordinal));

        await Record(registry, Pod("c1", "web"));
        await Forget(registry, Pod("c2", "db"));

        Assert.Empty((await AllAndUnderWay(registry)).UnderWay);
    }

    [Fact]
    public async Task A_restart_of_the_actor_keeps_the_workloads_and_releases_nothing()
    {
        var registry = await Started();
        await Record(registry, Pod("c1", "web"));

        Crash(registry);

        Assert.Equal(["c1"], (await All(registry)).Select(w => w.ContainerId));
        Assert.True((await Admit(registry, Pod("c1", "web"))).IsKnown);
        await _lease.ExpectNoMsgAsync(TimeSpan.Zero);
    }

    [Fact]
    public async Task An_interface_that_is_reserved_for_a_call_under_way_stays_reserved_over_a_restart()
    {
        var registry = await Started();
        await Admit(registry, Container("c1", "caliSame"));

        Crash(registry);

        Assert.NotEqual("caliSame", (await Admit(registry, Container("c2", "caliSame"))).Workload.HostInterface);
    }

    [Fact]
    public async Task The_enforcer_is_told_every_workload()
    {
        var registry = await Started();
        await Record(registry, Pod("c1", "web") with { Addresses = ["10.9.0.1"] });
        await Record(registry, Pod("c2", "db"));

        registry.Tell(new RegistryProtocol.TellEndpoints(), TestActor);

        var adopt = await ExpectMsgAsync<EnforcerProtocol.AdoptEndpoints>(Patience);
        Assert.Equal(["default/db/eth0", "default/web/eth0"], adopt.Endpoints.Select(e => e.Id).Order(StringComparer.Ordinal));
        Assert.Equal(IpAddr.Parse("10.9.0.1"), Assert.Single(adopt.Endpoints.Single(e => e.Id == "default/web/eth0").Addresses));
    }

    [Fact]
    public async Task Who_gets_another_s_address_is_recorded_only_when_the_other_s_loss_of_it_is()
    {
        var registry = await Started();
        await Record(registry, Pod("c1", "web") with { Addresses = ["10.9.0.1"] });
        var file = Path.Combine(_journal.Path, "c1@eth0.json");
        File.Delete(file);
        Directory.CreateDirectory(file);
        var second = Pod("c2", "db") with { Addresses = ["10.9.0.1"] };

        var refused = await registry.Ask<RegistryProtocol.Recorded>(new RegistryProtocol.Record(second), Patience);

        Assert.NotNull(refused.Fault);
        Assert.Empty(Journal());
    }

    [Fact]
    public async Task A_cut_that_could_not_be_written_is_written_when_it_is_asked_for_again()
    {
        var registry = await Started();
        var pod = Pod("c1", "web") with { Addresses = ["10.9.0.1"] };
        await Record(registry, pod);
        var file = Path.Combine(_journal.Path, "c1@eth0.json");
        File.Delete(file);
        Directory.CreateDirectory(file);
        await Fence(registry, pod, fenced: true);
        Directory.Delete(file);

        await Fence(registry, pod, fenced: true);

        Assert.True(Assert.Single(Journal()).IsFenced);
    }

    protected override void AfterAll()
    {
        base.AfterAll();
        _journal.Dispose();
    }

    private IActorRef Start() => Sys.ActorOf(RegistryActor.Props(_journal.Path, "cali", Host, _routes, _lease));

    private async Task<IActorRef> Started()
    {
        var registry = Start();
        await _routes.ExpectMsgAsync<RouteProtocol.SourceComplete>(Patience);
        await _lease.ExpectMsgAsync<LeaseProtocol.ReleaseAllBut>(Patience);
        return registry;
    }

    private ImmutableArray<Workload> Journal() => new WorkloadJournal(_journal.Path).Load((path, e) => Assert.Fail($"{path}: {e}"));

    private static Task<RegistryProtocol.Admitted> Admit(IActorRef registry, Workload draft) =>
        registry.Ask<RegistryProtocol.Admitted>(new RegistryProtocol.Admit(draft), Patience);

    private static async Task Record(IActorRef registry, Workload workload) =>
        Assert.Null((await registry.Ask<RegistryProtocol.Recorded>(new RegistryProtocol.Record(workload), Patience)).Fault);

    private static async Task Forget(IActorRef registry, Workload workload) =>
        Assert.Null((await registry.Ask<RegistryProtocol.Recorded>(new RegistryProtocol.Forget(workload), Patience)).Fault);

    private static async Task Fence(IActorRef registry, Workload workload, bool fenced) =>
        Assert.Equal(fenced, (await registry.Ask<RegistryProtocol.Fenced>(new RegistryProtocol.Fence(workload with { IsFenced = fenced }), Patience)).Workload!.IsFenced);

    private static Task<RegistryProtocol.All> AllAndUnderWay(IActorRef registry) =>
        registry.Ask<RegistryProtocol.All>(new RegistryProtocol.GetAll(), Patience);

    private static async Task<ImmutableArray<Workload>> All(IActorRef registry) =>
        (await AllAndUnderWay(registry)).Workloads;

    private static Workload Pod(string container, string name) => new()
    {
        ContainerId = container,
        Network = "k8s-pod-network",
        Orchestrator = Workload.KubernetesOrchestrator,
        Namespace = "default",
        Name = name,
        PodInterface = "eth0",
        HostInterface = "cali" + name,
    };

    private static Workload Container(string container, string hostInterface) => Pod(container, container) with
    {
        Orchestrator = Workload.CniOrchestrator,
        HostInterface = hostInterface,
    };
}

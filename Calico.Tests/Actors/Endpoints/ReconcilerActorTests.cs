using System.Collections.Immutable;
using Akka.Actor;
using Akka.TestKit;
using Calico.Actors.Cni;
using Calico.Actors.Endpoints;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Actors.Policy;
using Calico.Core.Feed;
using Calico.Core.Ipam;
using Calico.Core.Model;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Endpoints;

/// <summary>The reconciler over a datastore in memory, with a lease, a registry and an enforcer that the test speaks for.</summary>
[Layer("actor")]
public sealed class ReconcilerActorTests : ActorFixture
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly TestProbe _upstream;
    private readonly TestProbe _enforcer;
    private readonly Node _node = new();
    private readonly IActorRef _reconciler;
    private int _registrations;

    /// <summary>What the node's actors would answer.</summary>
    private sealed class Node
    {
        public List<Workload> Workloads { get; } = [];
        public HashSet<string> UnderWay { get; } = [];
        public HashSet<IpAddr> Strangers { get; } = [];
        public HashSet<string> Doubtful { get; } = [];
        public Dictionary<string, LeaseProtocol.NotAllocated> Refusals { get; } = [];
        public List<string> Reclaimed { get; } = [];
        public List<(string Id, bool IsFenced)> Fences { get; } = [];
    }

    private sealed class Actors : ReceiveActor
    {
        public Actors(Node node)
        {
            Receive<LeaseProtocol.Subscribe>(_ => { });
            Receive<RegistryProtocol.GetAll>(_ => Sender.Tell(new RegistryProtocol.All([.. node.Workloads], [.. node.UnderWay])));
            Receive<RegistryProtocol.GetStrangers>(_ => Sender.Tell(new RegistryProtocol.Strangers([.. node.Strangers])));
            Receive<RegistryProtocol.Fence>(f =>
            {
                node.Fences.Add((f.Workload.Id, f.Workload.IsFenced));
                node.Workloads[node.Workloads.FindIndex(w => w.Id == f.Workload.Id)] = f.Workload;
                Sender.Tell(new RegistryProtocol.Fenced(f.Workload));
            });
            Receive<LeaseProtocol.Verify>(v => Sender.Tell(new LeaseProtocol.Doubts(true, [.. v.Tenants.Where(t => node.Doubtful.Contains(t.HandleId))])));
            Receive<LeaseProtocol.Allocate>(a =>
            {
                Assert.True(a.IsReclaim);
                node.Reclaimed.Add($"{a.Request.HandleId} {string.Join(' ', a.Request.Wanted)}");
                Sender.Tell(node.Refusals.TryGetValue(a.Request.HandleId, out var no) ? no : new LeaseProtocol.Allocated(a.RequestId, a.Request.Wanted));
                if (!node.Refusals.ContainsKey(a.Request.HandleId))
                    node.Doubtful.Remove(a.Request.HandleId);
            });
            Receive<FactsProtocol.GetPools>(_ => Sender.Tell(new FactsProtocol.Pools([], ImmutableDictionary<string, string>.Empty,
                ImmutableDictionary<string, string>.Empty, true)));
        }
    }

    public ReconcilerActorTests(ITestOutputHelper output)
        : base(output)
    {
        _upstream = CreateTestProbe("upstream");
        _enforcer = CreateTestProbe("enforcer");
        var actors = Sys.ActorOf(Props.Create(() => new Actors(_node)).WithDispatcher(Akka.TestKit.CallingThreadDispatcher.Id));
        _reconciler = Sys.ActorOf(ReconcilerActor.Props(new ReconcilerServices("node-1", Store, actors, actors, _enforcer, actors, Clock, _ =>
        {
            Interlocked.Increment(ref _registrations);
            return Task.CompletedTask;
        }), _upstream));
    }

    private static Workload Pod(string container, string name, string address) => new()
    {
        ContainerId = container,
        Network = "net",
        Orchestrator = Workload.KubernetesOrchestrator,
        Namespace = "default",
        Name = name,
        PodInterface = "eth0",
        HostInterface = "cali" + name,
        Addresses = [address],
    };

    private static string KeyOf(Workload workload) => workload.EndpointKey("node-1").Path;

    private async Task<FeedItem> StoreEndpointAsync(Workload workload, Func<WorkloadEndpoint, WorkloadEndpoint>? change = null)
    {
        var resource = workload.ToResource("node-1", Clock.GetUtcNow());
        var result = await PutAsync(KeyOf(workload), ResourceCodec.Encode(change is null ? resource : change(resource)));
        return new FeedItem(KeyOf(workload), (await Store.GetAsync(KeyOf(workload)))!.Value, result.Revision);
    }

    private static FeedItem NodeResource { get; } = new(new ResourceKey(ResourceKind.Node, null, "node-1").Path,
        ResourceCodec.Encode(new NodeResource { Metadata = new ObjectMeta { Name = "node-1" } }), 1);

    private void Tell(params FeedItem[] items) =>
        _reconciler.Tell(new UpstreamProtocol.ResourcesChanged([NodeResource, .. items], true, 1));

    private async Task<WorkloadEndpoint?> StoredAsync(Workload workload) => await Store.GetAsync(KeyOf(workload)) is { } stored
        ? (WorkloadEndpoint)ResourceCodec.Decode(ResourceKind.WorkloadEndpoint, stored.Value.Span)
        : null;

    private async Task<ReconcileReport> ReportAsync(Func<ReconcileReport, bool> until)
    {
        ReconcileReport? report = null;
        await AwaitAssertAsync(async () =>
        {
            report = (await _reconciler.Ask<ReconcilerProtocol.Status>(new ReconcilerProtocol.GetStatus(), Patience)).Report;
            Assert.True(report is not null && until(report));
        }, Patience, TimeSpan.FromMilliseconds(50));
        return report!;
    }

    [Fact]
    public async Task Where_everything_is_right_nothing_is_written()
    {
        var web = Pod("c1", "web", "10.65.0.1");
        _node.Workloads.Add(web);
        var item = await StoreEndpointAsync(web);
        var revision = Store.Revision;

        Tell(item);
        await ReportAsync(r => r.Pending.IsEmpty && r.Fenced.IsEmpty);

        Assert.Equal(revision, Store.Revision);
        Assert.Empty(_node.Reclaimed);
        Assert.Equal(0, _registrations);
    }

    [Fact]
    public async Task A_pod_whose_address_IPAM_does_not_know_takes_it_back_and_its_endpoint_is_written_again()
    {
        var web = Pod("c1", "web", "10.65.0.1");
        _node.Workloads.Add(web);
        _node.Doubtful.Add("net.c1");

        Tell();

        await AwaitAssertAsync(async () => Assert.Equal("c1", (await StoredAsync(web))?.Spec.ContainerID), Patience);
        Assert.Equal(["net.c1 10.65.0.1"], _node.Reclaimed);
        Assert.Equal(["10.65.0.1/32"], (await StoredAsync(web))!.Spec.IpNetworks.AsEnumerable());
    }

    [Fact]
    public async Task A_pod_whose_address_is_anothers_is_cut_off_and_has_no_endpoint()
    {
        var web = Pod("c1", "web", "10.65.0.1");
        _node.Workloads.Add(web);
        _node.Doubtful.Add("net.c1");
        _node.Refusals["net.c1"] = new LeaseProtocol.NotAllocated(1, "its block is held by node2", Retryable: false, IsTaken: true);

        Tell(await StoreEndpointAsync(web));
        var report = await ReportAsync(r => r.Fenced.Length == 1);

        Assert.Contains("default/web/eth0", report.Fenced[0], StringComparison.Ordinal);
        Assert.Contains("node2", report.Fenced[0], StringComparison.Ordinal);
        Assert.Equal(("default/web/eth0", true), _node.Fences[0]);
        Assert.Equal("default/web/eth0", (await _enforcer.ExpectMsgAsync<EnforcerProtocol.RemoveEndpoint>(Patience)).EndpointId);
        await AwaitAssertAsync(async () => Assert.Null(await StoredAsync(web)), Patience);
    }

    // The holder of its block is silent: nobody is told to delete the pod, and its endpoint stays.
    [Fact]
    public async Task A_pod_of_which_nobody_says_whose_its_address_is_is_cut_off_for_the_time_being()
    {
        var web = Pod("c1", "web", "10.65.0.1");
        _node.Workloads.Add(web);
        _node.Doubtful.Add("net.c1");
        _node.Refusals["net.c1"] = new LeaseProtocol.NotAllocated(1, "its block is held by node2; node2 has not answered", Retryable: true, IsTaken: true);

        Tell(await StoreEndpointAsync(web));
        var report = await ReportAsync(r => r.Pending.Length == 1);

        Assert.Empty(report.Fenced);
        Assert.Contains("until it is known whose address 10.65.0.1 is", report.Pending[0], StringComparison.Ordinal);
        Assert.Equal(("default/web/eth0", true), _node.Fences[0]);
        Assert.NotNull(await StoredAsync(web));
    }

    [Fact]
    public async Task A_pod_that_was_cut_off_is_connected_when_its_address_is_its_own_again_rules_first()
    {
        _node.Workloads.Add(Pod("c1", "web", "10.65.0.1") with { IsFenced = true });
        _node.Doubtful.Add("net.c1");

        Tell();

        var set = await _enforcer.ExpectMsgAsync<EnforcerProtocol.SetEndpoint>(Patience);
        Assert.Empty(_node.Fences);
        _enforcer.Reply(new EnforcerProtocol.Enforced(set.RequestId));
        await ReportAsync(r => r.Fenced.IsEmpty);
        Assert.Equal([("default/web/eth0", false)], _node.Fences);
    }

    [Fact]
    public async Task What_cannot_be_taken_back_yet_is_pending_and_tried_again()
    {
        _node.Workloads.Add(Pod("c1", "web", "10.65.0.1"));
        _node.Doubtful.Add("net.c1");
        _node.Refusals["net.c1"] = new LeaseProtocol.NotAllocated(1, "this node has not joined the mesh yet", Retryable: true);
        Tell();
        Assert.Contains("has not joined", (await ReportAsync(r => r.Pending.Length == 1)).Pending[0], StringComparison.Ordinal);

        _node.Refusals.Clear();

        await ReportAsync(r => r.Pending.IsEmpty);
        Assert.Empty(_node.Fences);
    }

    [Fact]
    public async Task An_endpoint_of_a_container_that_is_not_here_is_deleted()
    {
        var item = await StoreEndpointAsync(Pod("gone", "web", "10.65.0.1"));
        var other = await StoreEndpointAsync(Pod("busy", "api", "10.65.0.2"));
        var stranger = await StoreEndpointAsync(Pod("theirs", "old", "10.65.0.3"));
        _node.UnderWay.Add("busy");
        _node.Strangers.Add(IpAddr.Parse("10.65.0.3"));

        Tell(item, other, stranger);

        await AwaitAssertAsync(async () => Assert.Null(await Store.GetAsync(item.Key)), Patience);
        Assert.NotNull(await Store.GetAsync(other.Key));
        Assert.NotNull(await Store.GetAsync(stranger.Key));
    }

    [Fact]
    public async Task An_endpoint_that_was_written_since_is_not_deleted()
    {
        var item = await StoreEndpointAsync(Pod("gone", "web", "10.65.0.1"));
        await StoreEndpointAsync(Pod("new", "web", "10.65.0.9"));

        Tell(item);
        await ReportAsync(_ => true);

        Assert.NotNull(await Store.GetAsync(item.Key));
    }

    [Fact]
    public async Task Endpoints_of_other_nodes_and_orchestrators_are_left_alone()
    {
        var others = new List<FeedItem>();
        foreach (var name in (string[])["node-k8s-web-eth0", "node--1-openstack-web-eth0", "node--12-k8s-web-eth0", "node--1x"])
        {
            var key = new ResourceKey(ResourceKind.WorkloadEndpoint, "default", name).Path;
            await PutAsync(key, "{}");
            others.Add(new FeedItem(key, (await Store.GetAsync(key))!.Value, Store.Revision));
        }
        var revision = Store.Revision;

        Tell([.. others]);
        await ReportAsync(_ => true);

        Assert.Equal(revision, Store.Revision);
    }

    [Fact]
    public async Task An_endpoint_that_names_another_container_is_written_anew_and_keeps_what_others_added()
    {
        var web = Pod("c2", "web", "10.65.0.2");
        _node.Workloads.Add(web);
        var item = await StoreEndpointAsync(Pod("c1", "web", "10.65.0.1"), e => e with
        {
            Metadata = e.Metadata with { Labels = e.Metadata.Labels.With("team", "blue") },
        });

        Tell(item);

        await AwaitAssertAsync(async () => Assert.Equal("c2", (await StoredAsync(web))?.Spec.ContainerID), Patience);
        Assert.Equal("blue", (await StoredAsync(web))!.Metadata.Labels["team"]);
    }

    [Fact]
    public async Task Before_the_feed_is_complete_nothing_is_missing()
    {
        _node.Workloads.Add(Pod("c1", "web", "10.65.0.1"));
        var revision = Store.Revision;

        _reconciler.Tell(new UpstreamProtocol.ResourcesChanged([], false, 1));
        _reconciler.Tell(new LeaseProtocol.HeldBlocks(ImmutableSortedDictionary<Cidr, long>.Empty, true));
        await ReportAsync(_ => true);

        Assert.Equal(revision, Store.Revision);
        Assert.Equal(0, _registrations);
    }

    [Fact]
    public async Task A_node_that_was_deleted_while_its_agent_runs_registers_again()
    {
        Tell();
        await ReportAsync(_ => true);
        Assert.Equal(0, _registrations);

        _reconciler.Tell(new UpstreamProtocol.ResourcesChanged([NodeResource with { Value = null }], true, 2));

        await AwaitAssertAsync(() => Assert.Equal(1, _registrations), Patience);
    }
}

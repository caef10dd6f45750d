using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using Akka.Actor;
using Akka.TestKit;
using Calico.Actors.Bgp;
using Calico.Actors.Dataplane;
using Calico.Actors.Endpoints;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Actors.Routing;
using Calico.Core.Bgp.Rib;
using Calico.Core.Feed;
using Calico.Core.Ipam;
using Calico.Core.Model;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore.Kubernetes;
using Calico.Kernel.Routes;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Routing;

[Layer("actor")]
public sealed class RoutingActorTests : NodeActorFixture
{
    private const string Own = "10.1.0.0/26";
    private const string Theirs = "10.1.0.64/26";

    private readonly TestProbe _upstream;
    private readonly TestProbe _lease;
    private readonly TestProbe _registry;
    private readonly TestProbe _writer;
    private readonly TestProbe _speaker;
    private readonly IActorRef _routing;

    // Of workloads, as the registry knows them when it is asked.
    private ImmutableArray<IpAddr> _addresses = [];

    public RoutingActorTests(ITestOutputHelper output)
        : base(output)
    {
        _upstream = CreateTestProbe("upstream");
        _lease = CreateTestProbe("lease");
        _registry = CreateTestProbe("registry");
        _registry.SetAutoPilot(new DelegateAutoPilot((_, message) =>
        {
            if (message is RegistryProtocol.FollowAddresses follow)
                follow.Subscriber.Tell(new RegistryProtocol.AddressesChanged(_addresses, [], IsAll: true));
            return AutoPilot.KeepRunning;
        }));
        _writer = CreateTestProbe("writer");
        _speaker = CreateTestProbe("bgp");
        _routing = Sys.ActorOf(RoutingActor.Props("a", "cali", Host, _upstream, _lease, _registry, _writer));
    }

    [Fact]
    public async Task It_subscribes_to_what_it_joins()
    {
        Assert.Equal(_routing, (await _upstream.ExpectMsgAsync<UpstreamProtocol.Subscribe>(Patience)).Subscriber);
        Assert.Equal(_routing, (await _lease.ExpectMsgAsync<LeaseProtocol.Subscribe>(Patience)).Subscriber);
    }

    [Fact]
    public async Task A_gained_block_is_announced_and_blackholed()
    {
        await Introduced();

        Hold(Own);

        var announced = await _speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience);
        Assert.Equal([Cidr.Parse(Own)], announced.Add.Select(r => r.Prefix));
        Assert.Empty(announced.Remove);
        await _speaker.ExpectMsgAsync<BgpProtocol.OriginationComplete>(Patience);
        var written = await _writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience);
        var route = Assert.Single(written.Wanted);
        Assert.Equal((RouteSource.Blocks, RouteKind.Blackhole, Cidr.Parse(Own)), (written.Source, route.Kind, route.Key.Destination));
        Assert.Equal(RouteSource.Blocks, (await _writer.ExpectMsgAsync<RouteProtocol.SourceComplete>(Patience)).Source);
    }

    [Fact]
    public async Task Only_what_changed_is_said_of_later_blocks_and_completeness_only_once()
    {
        await Holding(Own);

        Hold(Own, Theirs);
        Hold(Own);

        Assert.Equal([Cidr.Parse(Theirs)], (await _speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Add.Select(r => r.Prefix));
        var lost = await _speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience);
        Assert.Empty(lost.Add);
        Assert.Equal(Cidr.Parse(Theirs), Assert.Single(lost.Remove));
        Assert.Equal(Cidr.Parse(Theirs), Assert.Single((await _writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience)).Wanted).Key.Destination);
        Assert.Equal(Cidr.Parse(Theirs), Assert.Single((await _writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience)).Unwanted).Destination);
    }

    [Fact]
    public async Task A_lease_that_does_not_know_its_blocks_yet_takes_nothing_away()
    {
        await Holding(Own);

        _routing.Tell(new LeaseProtocol.HeldBlocks(ImmutableSortedDictionary<Cidr, long>.Empty, Loaded: false));
        Hold(Own, Theirs);

        Assert.Empty((await _speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Remove);
    }

    [Fact]
    public async Task A_block_of_one_address_is_announced_but_not_blackholed()
    {
        await Introduced();

        Hold("10.1.0.5/32");

        Assert.Single((await _speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Add);
        Assert.Empty((await _writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience)).Wanted);
    }

    [Fact]
    public async Task An_address_of_a_pool_that_is_in_no_block_held_is_announced_by_itself_and_never_blackholed()
    {
        await Holding(Own);
        Resources(Pool("10.1.0.0/16"));

        Come("10.1.0.7", "10.1.9.9", "172.16.0.1");

        Assert.Equal([Cidr.Parse("10.1.9.9/32")], (await _speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Add.Select(r => r.Prefix));
        Go("10.1.0.7", "10.1.9.9", "172.16.0.1");
        Assert.Equal(Cidr.Parse("10.1.9.9/32"), Assert.Single((await _speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Remove));
        await _writer.ExpectNoMsgAsync(TimeSpan.Zero);
    }

    [Fact]
    public async Task An_address_is_announced_by_itself_only_while_its_block_is_another_nodes()
    {
        await Holding(Own);
        Resources(Pool("10.1.0.0/16"));
        Come("10.1.0.70");
        await _speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience);

        Hold(Own, Theirs);
        Hold(Own);

        var gained = await _speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience);
        Assert.Equal((Theirs, "10.1.0.70/32"), (Assert.Single(gained.Add).Prefix.ToString(), Assert.Single(gained.Remove).ToString()));
        var lost = await _speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience);
        Assert.Equal(("10.1.0.70/32", Theirs), (Assert.Single(lost.Add).Prefix.ToString(), Assert.Single(lost.Remove).ToString()));
    }

    [Fact]
    public async Task A_pool_that_is_deleted_takes_the_single_addresses_with_it()
    {
        await Holding(Own);
        Resources(Pool("10.1.0.0/16"));
        Come("10.1.9.9");
        await _speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience);

        Resources(Pool("10.1.0.0/16") with { Value = null });

        Assert.Equal(Cidr.Parse("10.1.9.9/32"), Assert.Single((await _speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Remove));
    }

    [Fact]
    public async Task Not_everything_has_been_announced_before_the_workloads_are_known()
    {
        var routing = Sys.ActorOf(RoutingActor.Props("a", "cali", Host, _upstream, _lease, CreateTestProbe("mute"), _writer));
        routing.Tell(new BgpProtocol.SpeakerStarted(), _speaker);
        await _speaker.ExpectMsgAsync<BgpProtocol.NextHopsChanged>(Patience);
        routing.Tell(new LeaseProtocol.HeldBlocks(ImmutableSortedDictionary<Cidr, long>.Empty.Add(Cidr.Parse(Own), 1), Loaded: true));
        await _speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience);
        await _speaker.ExpectNoMsgAsync(TimeSpan.FromMilliseconds(100));

        routing.Tell(new RegistryProtocol.AddressesChanged([], [], IsAll: true));

        await _speaker.FishForMessageAsync<BgpProtocol.OriginationComplete>(_ => true, Patience);
    }

    [Fact]
    public async Task A_learned_route_is_written_and_the_speaker_told_when_it_is()
    {
        await Introduced();

        Learn(7, Via(Theirs, "192.0.2.2"));

        var written = await _writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience);
        Assert.Equal((RouteSource.Bgp, 7L), (written.Source, written.RequestId));
        var route = Assert.Single(written.Wanted);
        Assert.Equal((Cidr.Parse(Theirs), RouteWriterOptions.CalicoProtocol), (route.Key.Destination, route.Protocol));
        Assert.Equal(new NextHop(IpAddr.Parse("192.0.2.2"), Uplink), Assert.Single(route.NextHops));
        _writer.Reply(new RouteProtocol.RoutesCommitted(7, []));
        Assert.Equal(7, (await _speaker.ExpectMsgAsync<BgpProtocol.BestRoutesApplied>(Patience)).Sequence);
    }

    [Fact]
    public async Task A_route_that_is_gone_is_not_wanted_any_more()
    {
        await Introduced();
        Learn(1, Via(Theirs, "192.0.2.2"));
        await _writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience);

        Learn(2, new BestRoute(Cidr.Parse(Theirs), [], 0));

        var written = await _writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience);
        Assert.Empty(written.Wanted);
        Assert.Equal(Cidr.Parse(Theirs), Assert.Single(written.Unwanted).Destination);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Convergence_lets_the_writer_remove_what_was_not_confirmed_however_it_came(bool complete)
    {
        await Introduced();

        _routing.Tell(new BgpProtocol.InitialConvergence(complete, ["Mesh_192_0_2_2"]), _speaker);

        Assert.Equal(RouteSource.Bgp, (await _writer.ExpectMsgAsync<RouteProtocol.SourceComplete>(Patience)).Source);
    }

    [Fact]
    public async Task A_nodes_resource_makes_a_peer_of_it_and_an_unreadable_one_changes_nothing()
    {
        await Introduced();
        Resources(Node("a", "192.0.2.1/24"), Node("b", "192.0.2.2/24"));
        Assert.Equal(["Mesh_192_0_2_2"], (await _speaker.ExpectMsgAsync<BgpProtocol.ConfigureSpeaker>(Patience)).Config.Peers.Select(p => p.Name));

        Resources(Node("b", "192.0.2.2/24") with { Value = Encoding.UTF8.GetBytes("{\"spec\":7}") }, Node("c", "192.0.2.3/24"));

        Assert.Equal(["Mesh_192_0_2_2", "Mesh_192_0_2_3"],
            (await _speaker.ExpectMsgAsync<BgpProtocol.ConfigureSpeaker>(Patience)).Config.Peers.Select(p => p.Name));
    }

    [Fact]
    public async Task A_block_that_was_taken_from_its_holder_is_not_reached_through_it_any_more()
    {
        await Introduced();
        Resources(Node("a", "192.0.2.1/24"), Node("b", "192.0.2.2/24"), Node("c", "192.0.2.3/24"), Affinity("b", exists: true));
        Learn(1, Via(Theirs, "192.0.2.2", "192.0.2.3"));
        Assert.Equal(2, Assert.Single((await _writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience)).Wanted).NextHops.Length);

        Resources(Affinity("b", exists: false));

        var other = Assert.Single((await _writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience)).Wanted);
        Assert.Equal(IpAddr.Parse("192.0.2.3"), Assert.Single(other.NextHops).Gateway);
        Resources(Affinity("c", exists: false));
        Assert.Equal(Cidr.Parse(Theirs), Assert.Single((await _writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience)).Unwanted).Destination);
    }

    [Fact]
    public async Task A_new_way_to_a_next_hop_is_told_to_the_speaker()
    {
        var first = await Introduced();
        Assert.False(first.Resolver.Resolve(IpAddr.Parse("198.51.100.1")).Reachable);

        Put(new Route(new RouteKey(Cidr.Parse("198.51.100.0/24"), 0), RouteKind.Unicast, 4, [new NextHop(IpAddr.Parse("192.0.2.9"), Uplink)]));

        var changed = await _speaker.ExpectMsgAsync<BgpProtocol.NextHopsChanged>(Patience);
        Assert.Equal(IpAddr.Parse("192.0.2.9"), changed.Resolver.Resolve(IpAddr.Parse("198.51.100.1")).Gateway);
    }

    [Fact]
    public async Task A_speaker_that_starts_again_is_told_everything_again()
    {
        await Holding(Own);
        Resources(Node("a", "192.0.2.1/24"));
        await _speaker.ExpectMsgAsync<BgpProtocol.ConfigureSpeaker>(Patience);

        _routing.Tell(new BgpProtocol.SpeakerStarted(), _speaker);

        await ExpectIntroduction();
    }

    [Fact]
    public async Task Routing_that_starts_again_subscribes_again_and_introduces_itself_to_the_speaker()
    {
        await Holding(Own);
        Resources(Node("a", "192.0.2.1/24"));
        await _speaker.ExpectMsgAsync<BgpProtocol.ConfigureSpeaker>(Patience);
        await _upstream.ExpectMsgAsync<UpstreamProtocol.Subscribe>(Patience);
        await _lease.ExpectMsgAsync<LeaseProtocol.Subscribe>(Patience);

        Crash(_routing);

        await _upstream.ExpectMsgAsync<UpstreamProtocol.Subscribe>(Patience);
        await _lease.ExpectMsgAsync<LeaseProtocol.Subscribe>(Patience);
        await _speaker.ExpectMsgAsync<BgpProtocol.NextHopsChanged>(Patience);
        await _speaker.ExpectMsgAsync<BgpProtocol.ConfigureSpeaker>(Patience);
        await _speaker.ExpectMsgAsync<BgpProtocol.RepeatBestRoutes>(Patience);
        Hold(Own);
        Assert.Equal([Cidr.Parse(Own)], (await _speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Add.Select(r => r.Prefix));
        Assert.Equal(Cidr.Parse(Own), Assert.Single((await _writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience)).Wanted).Key.Destination);
    }

    [Fact]
    public async Task A_block_that_is_lost_while_routing_starts_again_is_withdrawn()
    {
        await Holding(Own, Theirs);

        Crash(_routing);
        Hold(Own);

        var lost = await _speaker.FishForMessageAsync<BgpProtocol.OriginateRoutes>(_ => true, Patience);
        Assert.Equal(Cidr.Parse(Theirs), Assert.Single(lost.Remove));
        Assert.Equal(Cidr.Parse(Theirs), Assert.Single((await _writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience)).Unwanted).Destination);
    }

    [Fact]
    public async Task A_speaker_that_starts_while_routing_starts_again_is_told_everything()
    {
        await Holding(Own);
        Resources(Node("a", "192.0.2.1/24"));
        await _speaker.ExpectMsgAsync<BgpProtocol.ConfigureSpeaker>(Patience);
        var next = CreateTestProbe("bgp2");

        Crash(_routing);
        _routing.Tell(new BgpProtocol.SpeakerStarted(), next);
        Hold(Own);

        await next.ExpectMsgAsync<BgpProtocol.NextHopsChanged>(Patience);
        await next.ExpectMsgAsync<BgpProtocol.ConfigureSpeaker>(Patience);
        Assert.Single((await next.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Add);
        await next.ExpectMsgAsync<BgpProtocol.OriginationComplete>(Patience);
    }

    [Fact]
    public async Task Our_routes_carry_the_normal_priority_and_are_told_again_when_it_changes()
    {
        await Introduced();
        Hold(Own);
        Assert.Equal(2147482623u, Assert.Single((await _speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Add).Attributes.LocalPref);
        await _speaker.ExpectMsgAsync<BgpProtocol.OriginationComplete>(Patience);

        Resources(Configuration(new BGPConfigurationSpec { Ipv4NormalRoutePriority = 512 }));

        Assert.Equal(2147483135u, Assert.Single((await _speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Add).Attributes.LocalPref);
    }

    [Fact]
    public async Task Ranges_of_services_are_announced_and_nothing_in_them_is_written_into_the_kernel()
    {
        await Holding(Own);
        Learn(1, Via("10.96.0.7/32", "192.0.2.2"));
        Assert.Single((await _writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience)).Wanted);

        Resources(Configuration(new BGPConfigurationSpec { ServiceClusterIPs = [new CidrEntry { Cidr = "10.96.0.0/12" }] }));

        Assert.Equal(Cidr.Parse("10.96.0.0/12"), Assert.Single((await _speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Add).Prefix);
        Assert.Equal(Cidr.Parse("10.96.0.7/32"), Assert.Single((await _writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience)).Unwanted).Destination);
        Resources(Configuration(new BGPConfigurationSpec()));
        Assert.Equal(Cidr.Parse("10.96.0.0/12"), Assert.Single((await _speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Remove));
        Assert.Single((await _writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience)).Wanted);
    }

    [Fact]
    public async Task Services_stay_announced_while_routing_starts_again_and_go_if_they_are_gone_then()
    {
        await Holding(Own);
        Resources(Configuration(new BGPConfigurationSpec { ServiceClusterIPs = [new CidrEntry { Cidr = "10.96.0.0/12" }] }));
        await _speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience);

        Crash(_routing);
        Hold(Own);
        Assert.Empty((await _speaker.FishForMessageAsync<BgpProtocol.OriginateRoutes>(_ => true, Patience)).Remove);
        Resources(Configuration(new BGPConfigurationSpec()));

        Assert.Equal(Cidr.Parse("10.96.0.0/12"), Assert.Single((await _speaker.FishForMessageAsync<BgpProtocol.OriginateRoutes>(_ => true, Patience)).Remove));
    }

    [Fact]
    public async Task Single_addresses_of_services_are_announced_where_their_endpoints_are()
    {
        var routing = Sys.ActorOf(RoutingActor.Props("a", "cali", Host, _upstream, _lease, _registry, _writer,
            new RoutingOptions { Services = new OneService(), KubernetesName = "k8s-a" }));
        routing.Tell(new BgpProtocol.SpeakerStarted(), _speaker);
        routing.Tell(new LeaseProtocol.HeldBlocks(ImmutableSortedDictionary<Cidr, long>.Empty, Loaded: true));

        routing.Tell(new UpstreamProtocol.ResourcesChanged([Configuration(new BGPConfigurationSpec { ServiceExternalIPs = [new CidrEntry { Cidr = "203.0.113.0/24" }] })],
            InSync: true, 1));

        Assert.Equal("203.0.113.0/24", Assert.Single((await _speaker.FishForMessageAsync<BgpProtocol.OriginateRoutes>(_ => true, Patience)).Add).Prefix.ToString());
        Assert.Equal("203.0.113.7/32", Assert.Single((await _speaker.FishForMessageAsync<BgpProtocol.OriginateRoutes>(_ => true, Patience)).Add).Prefix.ToString());
    }

    private sealed class OneService : IPlainObjects
    {
        public async IAsyncEnumerable<PlainChange> FollowAsync(PlainKind kind, [EnumeratorCancellation] CancellationToken cancellation)
        {
            var json = kind == PlainKind.Services
                ? """{"spec": {"clusterIP": "10.96.0.5", "externalTrafficPolicy": "Local", "externalIPs": ["203.0.113.7"]}}"""
                : """{"metadata": {"labels": {"kubernetes.io/service-name": "web"}}, "addressType": "IPv4", "endpoints": [{"nodeName": "k8s-a"}]}""";
            yield return new PlainChange([new PlainObject("d", "web", JsonDocument.Parse(json).RootElement)], IsAll: true);
            await Task.Delay(Timeout.Infinite, cancellation);
        }
    }

    [Fact]
    public async Task A_node_that_is_excluded_from_load_balancers_announces_no_services()
    {
        await Holding(Own);

        Resources(Node("a", "192.0.2.1/24", "node.kubernetes.io/exclude-from-external-load-balancers"),
            Configuration(new BGPConfigurationSpec { ServiceClusterIPs = [new CidrEntry { Cidr = "10.96.0.0/12" }] }));

        await _speaker.ExpectMsgAsync<BgpProtocol.ConfigureSpeaker>(Patience);
        await _speaker.ExpectNoMsgAsync(TimeSpan.FromMilliseconds(100));
    }

    [Fact]
    public async Task Interfaces_are_named_once_a_filter_asks_for_them()
    {
        Assert.Null((await Introduced()).Resolver.Resolve(IpAddr.Parse("192.0.2.9")).Interface);

        Resources(Item(new BGPFilter
        {
            Metadata = new ObjectMeta { Name = "f" },
            Spec = new BGPFilterSpec { ExportV4 = [new BGPFilterRuleV4 { Action = "Reject", Interface = "eth*" }] },
        }));

        Assert.Equal("eth0", (await _speaker.ExpectMsgAsync<BgpProtocol.NextHopsChanged>(Patience)).Resolver.Resolve(IpAddr.Parse("192.0.2.9")).Interface);
    }

    [Fact]
    public async Task A_session_comes_when_its_password_does_and_nothing_is_said_twice()
    {
        using var folder = new Calico.Tests.Datastore.TemporaryDirectory();
        var routing = Sys.ActorOf(RoutingActor.Props("a", "cali", Host, _upstream, _lease, _registry, _writer,
            new RoutingOptions { SecretsDirectory = folder.Path, SecretsEvery = TimeSpan.FromMilliseconds(50) }));
        routing.Tell(new BgpProtocol.SpeakerStarted(), _speaker);
        await _speaker.ExpectMsgAsync<BgpProtocol.NextHopsChanged>(Patience);
        routing.Tell(new UpstreamProtocol.ResourcesChanged([Node("a", "192.0.2.1/24"), Item(new BGPPeer
        {
            Metadata = new ObjectMeta { Name = "p" },
            Spec = new BGPPeerSpec
            {
                PeerIP = "192.0.2.9",
                AsNumber = new Asn(65001),
                Password = new BGPPassword { SecretKeyRef = new SecretKeySelector { Name = "s", Key = "k" } },
            },
        })], InSync: true, 1));
        var before = (await _speaker.ExpectMsgAsync<BgpProtocol.ConfigureSpeaker>(Patience)).Config;
        Assert.Empty(before.Peers);
        Assert.Equal("Global_192_0_2_9", Assert.Single(before.Withheld).Peer.Name);

        Directory.CreateDirectory(Path.Combine(folder.Path, "s"));
        await File.WriteAllTextAsync(Path.Combine(folder.Path, "s", "k.tmp"), "secret\n");
        File.Move(Path.Combine(folder.Path, "s", "k.tmp"), Path.Combine(folder.Path, "s", "k"));

        Assert.Equal("secret", Assert.Single((await _speaker.ExpectMsgAsync<BgpProtocol.ConfigureSpeaker>(Patience)).Config.Peers).Password);
        await _speaker.ExpectNoMsgAsync(TimeSpan.FromMilliseconds(200));
    }

    /// <summary>The speaker has started and been told what there is to tell of a node that has nothing.</summary>
    private async Task<BgpProtocol.NextHopsChanged> Introduced()
    {
        _routing.Tell(new BgpProtocol.SpeakerStarted(), _speaker);
        return await _speaker.ExpectMsgAsync<BgpProtocol.NextHopsChanged>(Patience);
    }

    private async Task Holding(params string[] blocks)
    {
        await Introduced();
        Hold(blocks);
        await _speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience);
        await _speaker.ExpectMsgAsync<BgpProtocol.OriginationComplete>(Patience);
        await _writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience);
        await _writer.ExpectMsgAsync<RouteProtocol.SourceComplete>(Patience);
    }

    private async Task ExpectIntroduction()
    {
        await _speaker.ExpectMsgAsync<BgpProtocol.NextHopsChanged>(Patience);
        Assert.Equal([Cidr.Parse(Own)], (await _speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Add.Select(r => r.Prefix));
        await _speaker.ExpectMsgAsync<BgpProtocol.OriginationComplete>(Patience);
        await _speaker.ExpectMsgAsync<BgpProtocol.ConfigureSpeaker>(Patience);
    }

    private void Come(params string[] addresses) =>
        _routing.Tell(new RegistryProtocol.AddressesChanged([.. addresses.Select(a => IpAddr.Parse(a))], [], IsAll: false));

    private void Go(params string[] addresses) =>
        _routing.Tell(new RegistryProtocol.AddressesChanged([], [.. addresses.Select(a => IpAddr.Parse(a))], IsAll: false));

    private static FeedItem Pool(string cidr) => new(new ResourceKey(ResourceKind.IPPool, null, "pool").Path,
        ResourceCodec.Encode(new IPPool { Metadata = new ObjectMeta { Name = "pool" }, Spec = new IPPoolSpec { Cidr = cidr } }), 1);

    private void Hold(params string[] blocks) => _routing.Tell(new LeaseProtocol.HeldBlocks(
        blocks.ToImmutableSortedDictionary(b => Cidr.Parse(b), _ => 1L), Loaded: true));

    private void Learn(long sequence, BestRoute route) => _routing.Tell(new BgpProtocol.BestRoutesChanged(sequence, [route]), _speaker);

    private BestRoute Via(string prefix, params string[] peers) => new(Cidr.Parse(prefix),
        [.. peers.Select(p => IpAddr.Parse(p)).Select(p => new BestNextHop(p, null, Uplink, p))], 100);

    private void Resources(params FeedItem[] items) => _routing.Tell(new UpstreamProtocol.ResourcesChanged([.. items], InSync: true, 1));

    private static FeedItem Item(Resource resource) =>
        new(new ResourceKey(resource.ResourceKind, null, resource.Metadata.Name!).Path, ResourceCodec.Encode(resource), 1);

    private static FeedItem Node(string name, string address, params string[] labels) => Item(new NodeResource
    {
        Metadata = new ObjectMeta { Name = name, Labels = StringMap.From(labels.Select(l => KeyValuePair.Create(l, ""))) },
        Spec = new NodeSpec { Bgp = new NodeBGPSpec { Ipv4Address = address } },
    });

    private static FeedItem Configuration(BGPConfigurationSpec spec) => Item(new BGPConfiguration { Metadata = new ObjectMeta { Name = "default" }, Spec = spec });

    private static FeedItem Affinity(string host, bool exists) =>
        new(IpamKeys.Affinity(host, Cidr.Parse(Theirs)), exists ? Encoding.UTF8.GetBytes("{}") : (ReadOnlyMemory<byte>?)null, 1);
}

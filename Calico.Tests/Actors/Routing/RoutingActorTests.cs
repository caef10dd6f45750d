using System.Collections.Immutable;
using Akka.Actor;
using Akka.TestKit;
using Calico.Actors.Bgp;
using Calico.Actors.Dataplane;
using Calico.Actors.Endpoints;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Actors.Routing;
using Calico.Core.Bgp.Rib;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Kernel.Routes;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Routing;

[Layer("actor")]
public sealed class RoutingActorTests(ITestOutputHelper output) : RoutingFixture(output)
{
    [Fact]
    public async Task It_subscribes_to_what_it_joins()
    {
        Assert.Equal(Routing, (await Upstream.ExpectMsgAsync<UpstreamProtocol.Subscribe>(Patience)).Subscriber);
        Assert.Equal(Routing, (await Lease.ExpectMsgAsync<LeaseProtocol.Subscribe>(Patience)).Subscriber);
    }

    [Fact]
    public async Task A_gained_block_is_announced_and_blackholed()
    {
        await Introduced();

        Hold(Own);

        var announced = await Speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience);
        Assert.Equal([Cidr.Parse(Own)], announced.Add.Select(r => r.Prefix));
        Assert.Empty(announced.Remove);
        await Speaker.ExpectMsgAsync<BgpProtocol.OriginationComplete>(Patience);
        var written = await Writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience);
        var route = Assert.Single(written.Wanted);
        Assert.Equal((RouteSource.Blocks, RouteKind.Blackhole, Cidr.Parse(Own)), (written.Source, route.Kind, route.Key.Destination));
        Assert.Equal(RouteSource.Blocks, (await Writer.ExpectMsgAsync<RouteProtocol.SourceComplete>(Patience)).Source);
    }

    [Fact]
    public async Task Only_what_changed_is_said_of_later_blocks_and_completeness_only_once()
    {
        await Holding(Own);

        Hold(Own, Theirs);
        Hold(Own);

        Assert.Equal([Cidr.Parse(Theirs)], (await Speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Add.Select(r => r.Prefix));
        var lost = await Speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience);
        Assert.Empty(lost.Add);
        Assert.Equal(Cidr.Parse(Theirs), Assert.Single(lost.Remove));
        Assert.Equal(Cidr.Parse(Theirs), Assert.Single((await Writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience)).Wanted).Key.Destination);
        Assert.Equal(Cidr.Parse(Theirs), Assert.Single((await Writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience)).Unwanted).Destination);
    }

    [Fact]
    public async Task A_lease_that_does_not_know_its_blocks_yet_takes_nothing_away()
    {
        await Holding(Own);

        Routing.Tell(new LeaseProtocol.HeldBlocks(ImmutableSortedDictionary<Cidr, long>.Empty, Loaded: false));
        Hold(Own, Theirs);

        Assert.Empty((await Speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Remove);
    }

    [Fact]
    public async Task A_block_of_one_address_is_announced_but_not_blackholed()
    {
        await Introduced();

        Hold("10.1.0.5/32");

        Assert.Single((await Speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Add);
        Assert.Empty((await Writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience)).Wanted);
    }

    [Fact]
    public async Task An_address_of_a_pool_that_is_in_no_block_held_is_announced_by_itself_and_never_blackholed()
    {
        await Holding(Own);
        Resources(Pool("10.1.0.0/16"));

        Come("10.1.0.7", "10.1.9.9", "172.16.0.1");

        Assert.Equal([Cidr.Parse("10.1.9.9/32")], (await Speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Add.Select(r => r.Prefix));
        Go("10.1.0.7", "10.1.9.9", "172.16.0.1");
        Assert.Equal(Cidr.Parse("10.1.9.9/32"), Assert.Single((await Speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Remove));
        await Writer.ExpectNoMsgAsync(TimeSpan.Zero);
    }

    [Fact]
    public async Task An_address_is_announced_by_itself_only_while_its_block_is_another_nodes()
    {
        await Holding(Own);
        Resources(Pool("10.1.0.0/16"));
        Come("10.1.0.70");
        await Speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience);

        Hold(Own, Theirs);
        Hold(Own);

        var gained = await Speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience);
        Assert.Equal((Theirs, "10.1.0.70/32"), (Assert.Single(gained.Add).Prefix.ToString(), Assert.Single(gained.Remove).ToString()));
        var lost = await Speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience);
        Assert.Equal(("10.1.0.70/32", Theirs), (Assert.Single(lost.Add).Prefix.ToString(), Assert.Single(lost.Remove).ToString()));
    }

    [Fact]
    public async Task A_pool_that_is_deleted_takes_the_single_addresses_with_it()
    {
        await Holding(Own);
        Resources(Pool("10.1.0.0/16"));
        Come("10.1.9.9");
        await Speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience);

        Resources(Pool("10.1.0.0/16") with { Value = null });

        Assert.Equal(Cidr.Parse("10.1.9.9/32"), Assert.Single((await Speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Remove));
    }

    [Fact]
    public async Task Not_everything_has_been_announced_before_the_workloads_are_known()
    {
        var routing = Sys.ActorOf(RoutingActor.Props("a", "cali", Host, Upstream, Lease, CreateTestProbe("mute"), Writer));
        routing.Tell(new BgpProtocol.SpeakerStarted(), Speaker);
        await Speaker.ExpectMsgAsync<BgpProtocol.NextHopsChanged>(Patience);
        routing.Tell(new LeaseProtocol.HeldBlocks(ImmutableSortedDictionary<Cidr, long>.Empty.Add(Cidr.Parse(Own), 1), Loaded: true));
        await Speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience);
        await Speaker.ExpectNoMsgAsync(TimeSpan.FromMilliseconds(100));

        routing.Tell(new RegistryProtocol.AddressesChanged([], [], IsAll: true));

        await Speaker.FishForMessageAsync<BgpProtocol.OriginationComplete>(_ => true, Patience);
    }

    [Fact]
    public async Task A_learned_route_is_written_and_the_speaker_told_when_it_is()
    {
        await Introduced();

        Learn(7, Via(Theirs, "192.0.2.2"));

        var written = await Writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience);
        Assert.Equal((RouteSource.Bgp, 7L), (written.Source, written.RequestId));
        var route = Assert.Single(written.Wanted);
        Assert.Equal((Cidr.Parse(Theirs), RouteWriterOptions.CalicoProtocol), (route.Key.Destination, route.Protocol));
        Assert.Equal(new NextHop(IpAddr.Parse("192.0.2.2"), Uplink), Assert.Single(route.NextHops));
        Writer.Reply(new RouteProtocol.RoutesCommitted(7, []));
        Assert.Equal(7, (await Speaker.ExpectMsgAsync<BgpProtocol.BestRoutesApplied>(Patience)).Sequence);
    }

    [Fact]
    public async Task A_route_that_is_gone_is_not_wanted_any_more()
    {
        await Introduced();
        Learn(1, Via(Theirs, "192.0.2.2"));
        await Writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience);

        Learn(2, new BestRoute(Cidr.Parse(Theirs), [], 0));

        var written = await Writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience);
        Assert.Empty(written.Wanted);
        Assert.Equal(Cidr.Parse(Theirs), Assert.Single(written.Unwanted).Destination);
    }

    [Fact]
    public async Task A_block_that_was_taken_from_its_holder_is_not_reached_through_it_any_more()
    {
        await Introduced();
        Resources(Node("a", "192.0.2.1/24"), Node("b", "192.0.2.2/24"), Node("c", "192.0.2.3/24"), Affinity("b", exists: true));
        Learn(1, Via(Theirs, "192.0.2.2", "192.0.2.3"));
        Assert.Equal(2, Assert.Single((await Writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience)).Wanted).NextHops.Length);

        Resources(Affinity("b", exists: false));

        var other = Assert.Single((await Writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience)).Wanted);
        Assert.Equal(IpAddr.Parse("192.0.2.3"), Assert.Single(other.NextHops).Gateway);
        Resources(Affinity("c", exists: false));
        Assert.Equal(Cidr.Parse(Theirs), Assert.Single((await Writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience)).Unwanted).Destination);
    }

    [Fact]
    public async Task Our_routes_carry_the_normal_priority_and_are_told_again_when_it_changes()
    {
        await Introduced();
        Hold(Own);
        Assert.Equal(2147482623u, Assert.Single((await Speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Add).Attributes.LocalPref);
        await Speaker.ExpectMsgAsync<BgpProtocol.OriginationComplete>(Patience);

        Resources(Configuration(new BGPConfigurationSpec { Ipv4NormalRoutePriority = 512 }));

        Assert.Equal(2147483135u, Assert.Single((await Speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Add).Attributes.LocalPref);
    }
}

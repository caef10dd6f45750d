using Akka.Actor;
using Akka.TestKit;
using Calico.Actors.Bgp;
using Calico.Actors.Dataplane;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Routing;

/// <summary>Routing or the speaker starts again: nothing is lost, and what is gone is taken back.</summary>
[Layer("actor")]
public sealed class RoutingRestartTests(ITestOutputHelper output) : RoutingFixture(output)
{
    [Fact]
    public async Task A_speaker_that_starts_again_is_told_everything_again()
    {
        await Holding(Own);
        Resources(Node("a", "192.0.2.1/24"));
        await Speaker.ExpectMsgAsync<BgpProtocol.ConfigureSpeaker>(Patience);

        Routing.Tell(new BgpProtocol.SpeakerStarted(), Speaker);

        await ExpectIntroduction();
    }

    [Fact]
    public async Task Routing_that_starts_again_subscribes_again_and_introduces_itself_to_the_speaker()
    {
        await Holding(Own);
        Resources(Node("a", "192.0.2.1/24"));
        await Speaker.ExpectMsgAsync<BgpProtocol.ConfigureSpeaker>(Patience);
        await Upstream.ExpectMsgAsync<UpstreamProtocol.Subscribe>(Patience);
        await Lease.ExpectMsgAsync<LeaseProtocol.Subscribe>(Patience);

        Crash(Routing);

        await Upstream.ExpectMsgAsync<UpstreamProtocol.Subscribe>(Patience);
        await Lease.ExpectMsgAsync<LeaseProtocol.Subscribe>(Patience);
        await Speaker.ExpectMsgAsync<BgpProtocol.NextHopsChanged>(Patience);
        await Speaker.ExpectMsgAsync<BgpProtocol.ConfigureSpeaker>(Patience);
        await Speaker.ExpectMsgAsync<BgpProtocol.RepeatBestRoutes>(Patience);
        Hold(Own);
        Assert.Equal([Cidr.Parse(Own)], (await Speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Add.Select(r => r.Prefix));
        Assert.Equal(Cidr.Parse(Own), Assert.Single((await Writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience)).Wanted).Key.Destination);
    }

    [Fact]
    public async Task A_block_that_is_lost_while_routing_starts_again_is_withdrawn()
    {
        await Holding(Own, Theirs);

        Crash(Routing);
        Hold(Own);

        var lost = await Speaker.FishForMessageAsync<BgpProtocol.OriginateRoutes>(_ => true, Patience);
        Assert.Equal(Cidr.Parse(Theirs), Assert.Single(lost.Remove));
        Assert.Equal(Cidr.Parse(Theirs), Assert.Single((await Writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience)).Unwanted).Destination);
    }

    [Fact]
    public async Task A_speaker_that_starts_while_routing_starts_again_is_told_everything()
    {
        await Holding(Own);
        Resources(Node("a", "192.0.2.1/24"));
        await Speaker.ExpectMsgAsync<BgpProtocol.ConfigureSpeaker>(Patience);
        var next = CreateTestProbe("bgp2");

        Crash(Routing);
        Routing.Tell(new BgpProtocol.SpeakerStarted(), next);
        Hold(Own);

        await next.ExpectMsgAsync<BgpProtocol.NextHopsChanged>(Patience);
        await next.ExpectMsgAsync<BgpProtocol.ConfigureSpeaker>(Patience);
        Assert.Single((await next.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Add);
        await next.ExpectMsgAsync<BgpProtocol.OriginationComplete>(Patience);
    }

    [Fact]
    public async Task Services_stay_announced_while_routing_starts_again_and_go_if_they_are_gone_then()
    {
        await Holding(Own);
        Resources(Configuration(new BGPConfigurationSpec { ServiceClusterIPs = [new CidrEntry { Cidr = "10.96.0.0/12" }] }));
        await Speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience);

        Crash(Routing);
        Hold(Own);
        Assert.Empty((await Speaker.FishForMessageAsync<BgpProtocol.OriginateRoutes>(_ => true, Patience)).Remove);
        Resources(Configuration(new BGPConfigurationSpec()));

        Assert.Equal(Cidr.Parse("10.96.0.0/12"), Assert.Single((await Speaker.FishForMessageAsync<BgpProtocol.OriginateRoutes>(_ => true, Patience)).Remove));
    }
}

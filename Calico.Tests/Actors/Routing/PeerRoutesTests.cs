using System.Collections.Immutable;
using Calico.Actors.Bgp;
using Calico.Actors.Dataplane;
using Calico.Actors.Routing;
using Calico.Core.Bgp.Wire;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Kernel.Routes;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Routing;

[Layer("unit")]
public class PeerRoutesTests
{
    private readonly PeerRoutes _routes = new();

    [Fact]
    public void Only_what_changed_is_said()
    {
        Assert.Null(_routes.Take(Config()));
        Assert.Equal(["+198.51.100.9/32 via 192.0.2.254"], Said(_routes.Take(Config(("198.51.100.9", "192.0.2.254")))));
        Assert.Null(_routes.Take(Config(("198.51.100.9", "192.0.2.254"), ("198.51.100.7", null))));
        Assert.Equal(["+198.51.100.9/32 via 192.0.2.253", "+fd00:9::9/128 via fd00::fe"],
            Said(_routes.Take(Config(("198.51.100.9", "192.0.2.253"), ("fd00:9::9", "fd00::fe")))));
        Assert.Equal(["-198.51.100.9/32"], Said(_routes.Take(Config(("fd00:9::9", "fd00::fe")))));
    }

    [Fact]
    public void A_peer_that_waits_for_its_password_has_its_route_and_of_two_with_one_address_the_first_decides()
    {
        var config = Config(("198.51.100.9", "192.0.2.254"), ("198.51.100.9", "192.0.2.253"));
        config = config with { Peers = config.Peers[..1], Withheld = [new WithheldPeer(config.Peers[1], "no password")] };
        Assert.Equal(["+198.51.100.9/32 via 192.0.2.254"], Said(_routes.Take(config)));

        Assert.Null(_routes.Take(config with { Peers = [], Withheld = [new WithheldPeer(config.Peers[0], "no password")] }));
    }

    private static SpeakerConfig Config(params (string Address, string? Gateway)[] peers) => new()
    {
        RouterId = RouterId.Parse("192.0.2.1"),
        Peers = [.. peers.Select((p, i) => new PeerConfig
        {
            Name = $"Global_{i}",
            Address = IpAddr.Parse(p.Address),
            As = new Asn(65009),
            ReachableBy = p.Gateway is { } gateway ? IpAddr.Parse(gateway) : null,
        })],
    };

    private static IEnumerable<string> Said(RouteProtocol.ChangeRoutes? change)
    {
        Assert.Equal(RouteSource.Peers, change!.Source);
        return change.Wanted.Select(r => $"+{r.Key.Destination} via {r.NextHops[0].Gateway}").Concat(change.Unwanted.Select(k => $"-{k.Destination}"));
    }
}

/// <summary>The same with the actor that has the configuration.</summary>
[Layer("actor")]
public sealed class PeerRoutesActorTests(ITestOutputHelper output) : RoutingFixture(output)
{
    [Fact]
    public async Task A_peer_with_a_gateway_has_a_host_route_and_what_it_announces_goes_that_way()
    {
        await Introduced();
        Resources(Node("a", "192.0.2.1/24"), Peer("192.0.2.254"));

        var written = await Writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience);
        Assert.Equal(new NextHop(IpAddr.Parse("192.0.2.254")), Assert.Single(written.Wanted).NextHops[0]);
        Assert.Equal(IpAddr.Parse("192.0.2.254"), (await WayToPeerAsync()).Gateway);

        Resources(Peer(null));
        written = await Writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience);
        Assert.Equal(Cidr.Parse("198.51.100.9/32"), Assert.Single(written.Unwanted).Destination);
        Assert.False((await WayToPeerAsync()).Reachable);
    }

    private async Task<Calico.Core.Bgp.Rib.NextHopResolution> WayToPeerAsync() =>
        (await Speaker.FishForMessageAsync<BgpProtocol.NextHopsChanged>(_ => true, Patience)).Resolver.Resolve(IpAddr.Parse("198.51.100.9"));

    private static Calico.Core.Feed.FeedItem Peer(string? gateway) => Item(new BGPPeer
    {
        Metadata = new ObjectMeta { Name = "far" },
        Spec = new BGPPeerSpec { PeerIP = "198.51.100.9", AsNumber = new Asn(65009), ReachableBy = gateway },
    });
}

using System.Text;
using Akka.Actor;
using Calico.Actors.Bgp;
using Calico.Actors.Dataplane;
using Calico.Actors.Gateway;
using Calico.Actors.Routing;
using Calico.Core.Bgp.Wire;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Kernel.Links;
using Calico.Kernel.Routes;
using Calico.Tests.Core.Bgp;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Routing;

/// <summary>Whom the speaker talks to, and what it is told of next hops.</summary>
[Layer("actor")]
public sealed class RoutingPeersTests(ITestOutputHelper output) : RoutingFixture(output)
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Convergence_lets_the_writer_remove_what_was_not_confirmed_however_it_came(bool complete)
    {
        await Introduced();

        Routing.Tell(new BgpProtocol.InitialConvergence(complete, ["Mesh_192_0_2_2"]), Speaker);

        Assert.Equal(RouteSource.Bgp, (await Writer.ExpectMsgAsync<RouteProtocol.SourceComplete>(Patience)).Source);
    }

    [Fact]
    public async Task A_nodes_resource_makes_a_peer_of_it_and_an_unreadable_one_changes_nothing()
    {
        await Introduced();
        Resources(Node("a", "192.0.2.1/24"), Node("b", "192.0.2.2/24"));
        Assert.Equal(["Mesh_192_0_2_2"], (await Speaker.ExpectMsgAsync<BgpProtocol.ConfigureSpeaker>(Patience)).Config.Peers.Select(p => p.Name));

        Resources(Node("b", "192.0.2.2/24") with { Value = Encoding.UTF8.GetBytes("{\"spec\":7}") }, Node("c", "192.0.2.3/24"));

        Assert.Equal(["Mesh_192_0_2_2", "Mesh_192_0_2_3"],
            (await Speaker.ExpectMsgAsync<BgpProtocol.ConfigureSpeaker>(Patience)).Config.Peers.Select(p => p.Name));
    }

    [Fact]
    public async Task A_new_way_to_a_next_hop_is_told_to_the_speaker()
    {
        var first = await Introduced();
        Assert.False(first.Resolver.Resolve(IpAddr.Parse("198.51.100.1")).Reachable);

        Put(new Route(new RouteKey(Cidr.Parse("198.51.100.0/24"), 0), RouteKind.Unicast, 4, [new NextHop(IpAddr.Parse("192.0.2.9"), Uplink)]));

        var changed = await Speaker.ExpectMsgAsync<BgpProtocol.NextHopsChanged>(Patience);
        Assert.Equal(IpAddr.Parse("192.0.2.9"), changed.Resolver.Resolve(IpAddr.Parse("198.51.100.1")).Gateway);
    }

    [Fact]
    public async Task A_next_hop_whose_link_is_gone_is_looked_at_again_and_so_it_is_when_the_link_is_back()
    {
        var net = new RibHarness((await Introduced()).Resolver);
        var peer = RibHarness.Peer(1, isInternal: true);
        net.Up(peer);
        net.Announce(peer, new PathAttributes(), "192.0.2.9", "10.1.0.0/24");
        Assert.False(Assert.Single(net.Rib.TakeBest(9)).IsGone);

        foreach (var isUp in (bool[])[false, true])
        {
            Links.Change(new LinkChange(Uplink) { Up = isUp });
            var changed = await Speaker.ExpectMsgAsync<BgpProtocol.NextHopsChanged>(Patience);
            net.Rib.ResolveNextHops(changed.Resolver, changed.Changed.IsDefault ? null : changed.Changed);
            Assert.Equal(!isUp, Assert.Single(net.Rib.TakeBest(9)).IsGone);
        }
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

        Assert.Equal("eth0", (await Speaker.ExpectMsgAsync<BgpProtocol.NextHopsChanged>(Patience)).Resolver.Resolve(IpAddr.Parse("192.0.2.9")).Interface);
    }

    [Fact]
    public async Task A_session_comes_when_its_password_does_and_nothing_is_said_twice()
    {
        using var folder = new Calico.Tests.Datastore.TemporaryDirectory();
        var routing = Sys.ActorOf(RoutingActor.Props("a", "cali", Host, Upstream, Lease, Registry, Writer,
            new RoutingOptions { SecretsDirectory = folder.Path, SecretsEvery = TimeSpan.FromMilliseconds(50) }));
        routing.Tell(new BgpProtocol.SpeakerStarted(), Speaker);
        await Speaker.ExpectMsgAsync<BgpProtocol.NextHopsChanged>(Patience);
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
        var before = (await Speaker.ExpectMsgAsync<BgpProtocol.ConfigureSpeaker>(Patience)).Config;
        Assert.Empty(before.Peers);
        Assert.Equal("Global_192_0_2_9", Assert.Single(before.Withheld).Peer.Name);

        Directory.CreateDirectory(Path.Combine(folder.Path, "s"));
        await File.WriteAllTextAsync(Path.Combine(folder.Path, "s", "k.tmp"), "secret\n");
        File.Move(Path.Combine(folder.Path, "s", "k.tmp"), Path.Combine(folder.Path, "s", "k"));

        Assert.Equal("secret", Assert.Single((await Speaker.ExpectMsgAsync<BgpProtocol.ConfigureSpeaker>(Patience)).Config.Peers).Password);
        await Speaker.ExpectNoMsgAsync(TimeSpan.FromMilliseconds(200));
    }

    [Fact]
    public async Task A_node_that_left_the_mesh_is_given_up_when_its_last_block_was_taken_back()
    {
        await Introduced();
        Resources(Node("a", "192.0.2.1/24"), Node("b", "192.0.2.2/24"), Affinity("b", exists: true));
        await Speaker.ExpectMsgAsync<BgpProtocol.ConfigureSpeaker>(Patience);
        Members("a", "b");
        Members("a");

        Resources(Affinity("b", exists: false));

        var gone = await Speaker.ExpectMsgAsync<BgpProtocol.PeersGone>(Patience);
        Assert.Equal(IpAddr.Parse("192.0.2.2"), Assert.Single(gone.Addresses));
        Assert.Equal("b left the mesh and holds no block", gone.Reason);
    }

    private void Members(params string[] nodes) =>
        Routing.Tell(new UpstreamProtocol.MembersChanged([.. nodes.Select(n => new MeshMember("akka://" + n, n, true))]));
}

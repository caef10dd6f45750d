using Akka.Actor;
using Akka.TestKit;
using Calico.Actors.Bgp;
using Calico.Actors.Dataplane;
using Calico.Actors.Routing;
using Calico.Core.Feed;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Net;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Routing;

/// <summary>Workloads that speak BGP with their node: where they find it, and how what they tell is reached.</summary>
[Layer("actor")]
public sealed class WorkloadPeersTests(ITestOutputHelper output) : RoutingFixture(output)
{
    private static readonly IpAddr Pod = IpAddr.Parse("10.65.1.7");

    [Fact]
    public async Task Its_link_gets_the_nodes_address_and_what_it_tells_is_reached_by_its_link()
    {
        var links = CreateTestProbe("links");
        var routing = Sys.ActorOf(RoutingActor.Props("a", "cali", Host, Upstream, Lease, Registry, Writer, links: links));
        routing.Tell(new BgpProtocol.SpeakerStarted(), Speaker);
        Assert.False((await Speaker.ExpectMsgAsync<BgpProtocol.NextHopsChanged>(Patience)).Resolver.Resolve(Pod).Reachable);
        void Tell(params FeedItem[] items) => routing.Tell(new Calico.Actors.Gateway.UpstreamProtocol.ResourcesChanged([.. items], InSync: true, 1));
        var peer = new BGPPeer { Metadata = new ObjectMeta { Name = "p" }, Spec = new BGPPeerSpec { LocalWorkloadSelector = "role == 'router'", AsNumber = new Asn(65010) } };

        var index = MakeLink("cali1");
        Tell(Node("a", "192.0.2.1/24"), Configuration(new BGPConfigurationSpec { LocalWorkloadPeeringIPV4 = "169.254.1.9", LocalWorkloadPeeringIPV6 = "fd00::9" }), Item(peer), Workload("cali1"));

        Assert.Equal([("cali1", IpAddr.Parse("169.254.1.9"))], (await links.ExpectMsgAsync<LinkProtocol.AssignPeering>(Patience)).Wanted);
        var resolved = await Until(r => r.Reachable);
        Assert.Equal((index, null), (resolved.LinkIndex, resolved.Gateway));

        // Another link of that name, as that of a pod that was made anew.
        Host.OpenLinks().Delete("cali1");
        var next = MakeLink("cali1");
        Assert.Equal(next, (await Until(r => r.Reachable && r.LinkIndex == next)).LinkIndex);

        Tell(Configuration(new BGPConfigurationSpec { LocalWorkloadPeeringIPV4 = "169.254.1.10" }));
        Assert.Equal([("cali1", IpAddr.Parse("169.254.1.10"))], (await links.ExpectMsgAsync<LinkProtocol.AssignPeering>(Patience)).Wanted);
        Tell(Workload("cali1") with { Value = null });
        Assert.Empty((await links.ExpectMsgAsync<LinkProtocol.AssignPeering>(Patience)).Wanted);
        await Until(r => !r.Reachable);
    }

    private int MakeLink(string name)
    {
        using var links = Host.OpenLinks();
        return links.CreateVeth(new Calico.Kernel.Links.VethPair(name, "eth9", Kernel.CreateNamespace("pod" + Guid.NewGuid()).Fd), up: true).Index;
    }

    private async Task<Calico.Core.Bgp.Rib.NextHopResolution> Until(Func<Calico.Core.Bgp.Rib.NextHopResolution, bool> wanted) =>
        ((BgpProtocol.NextHopsChanged)await Speaker.FishForMessageAsync(m => m is BgpProtocol.NextHopsChanged c && wanted(c.Resolver.Resolve(Pod)), Patience)).Resolver.Resolve(Pod);

    private static FeedItem Workload(string link) => new(new ResourceKey(ResourceKind.WorkloadEndpoint, "d", "a-k8s-p-eth0").Path, ResourceCodec.Encode(new WorkloadEndpoint
    {
        Metadata = new ObjectMeta { Name = "a-k8s-p-eth0", Namespace = "d", Labels = Calico.Core.Model.StringMap.Empty.With("role", "router") },
        Spec = new WorkloadEndpointSpec { Node = "a", Orchestrator = "k8s", Pod = "p", Endpoint = "eth0", InterfaceName = link, IpNetworks = ["10.65.1.7/32"] },
    }), 1);
}

using System.Collections.Immutable;
using System.Text;
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
using Calico.Kernel.Routes;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Routing;

/// <summary>A routing actor between probes of all that it joins, over a kernel of its own.</summary>
public abstract class RoutingFixture : NodeActorFixture
{
    protected const string Own = "10.1.0.0/26";
    protected const string Theirs = "10.1.0.64/26";

    protected TestProbe Upstream { get; }
    protected TestProbe Lease { get; }
    protected TestProbe Registry { get; }
    protected TestProbe Writer { get; }
    protected TestProbe Speaker { get; }
    protected IActorRef Routing { get; }

    // Of workloads, as the registry knows them when it is asked.
    private ImmutableArray<IpAddr> _addresses = [];

    protected RoutingFixture(ITestOutputHelper output)
        : base(output)
    {
        Upstream = CreateTestProbe("upstream");
        Lease = CreateTestProbe("lease");
        Registry = CreateTestProbe("registry");
        Registry.SetAutoPilot(new DelegateAutoPilot((_, message) =>
        {
            if (message is RegistryProtocol.FollowAddresses follow)
                follow.Subscriber.Tell(new RegistryProtocol.AddressesChanged(_addresses, [], IsAll: true));
            return AutoPilot.KeepRunning;
        }));
        Writer = CreateTestProbe("writer");
        Speaker = CreateTestProbe("bgp");
        Routing = Sys.ActorOf(RoutingActor.Props("a", "cali", Host, Upstream, Lease, Registry, Writer));
    }

    /// <summary>The speaker has started and been told what there is to tell of a node that has nothing.</summary>
    protected async Task<BgpProtocol.NextHopsChanged> Introduced()
    {
        Routing.Tell(new BgpProtocol.SpeakerStarted(), Speaker);
        return await Speaker.ExpectMsgAsync<BgpProtocol.NextHopsChanged>(Patience);
    }

    protected async Task Holding(params string[] blocks)
    {
        await Introduced();
        Hold(blocks);
        await Speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience);
        await Speaker.ExpectMsgAsync<BgpProtocol.OriginationComplete>(Patience);
        await Writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience);
        await Writer.ExpectMsgAsync<RouteProtocol.SourceComplete>(Patience);
    }

    protected async Task ExpectIntroduction()
    {
        await Speaker.ExpectMsgAsync<BgpProtocol.NextHopsChanged>(Patience);
        Assert.Equal([Cidr.Parse(Own)], (await Speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Add.Select(r => r.Prefix));
        await Speaker.ExpectMsgAsync<BgpProtocol.OriginationComplete>(Patience);
        await Speaker.ExpectMsgAsync<BgpProtocol.ConfigureSpeaker>(Patience);
    }

    protected void Come(params string[] addresses) =>
        Routing.Tell(new RegistryProtocol.AddressesChanged([.. addresses.Select(a => IpAddr.Parse(a))], [], IsAll: false));

    protected void Go(params string[] addresses) =>
        Routing.Tell(new RegistryProtocol.AddressesChanged([], [.. addresses.Select(a => IpAddr.Parse(a))], IsAll: false));

    protected static FeedItem Pool(string cidr) => new(new ResourceKey(ResourceKind.IPPool, null, "pool").Path,
        ResourceCodec.Encode(new IPPool { Metadata = new ObjectMeta { Name = "pool" }, Spec = new IPPoolSpec { Cidr = cidr } }), 1);

    protected void Hold(params string[] blocks) => Routing.Tell(new LeaseProtocol.HeldBlocks(
        blocks.ToImmutableSortedDictionary(b => Cidr.Parse(b), _ => 1L), Loaded: true));

    protected void Learn(long sequence, BestRoute route) => Routing.Tell(new BgpProtocol.BestRoutesChanged(sequence, [route]), Speaker);

    protected BestRoute Via(string prefix, params string[] peers) => new(Cidr.Parse(prefix),
        [.. peers.Select(p => IpAddr.Parse(p)).Select(p => new BestNextHop(p, null, Uplink, p))], 100);

    protected void Resources(params FeedItem[] items) => Routing.Tell(new UpstreamProtocol.ResourcesChanged([.. items], InSync: true, 1));

    protected static FeedItem Item(Resource resource) =>
        new(new ResourceKey(resource.ResourceKind, null, resource.Metadata.Name!).Path, ResourceCodec.Encode(resource), 1);

    protected static FeedItem Node(string name, string address, params string[] labels) => Item(new NodeResource
    {
        Metadata = new ObjectMeta { Name = name, Labels = StringMap.From(labels.Select(l => KeyValuePair.Create(l, ""))) },
        Spec = new NodeSpec { Bgp = new NodeBGPSpec { Ipv4Address = address } },
    });

    protected static FeedItem Configuration(BGPConfigurationSpec spec) => Item(new BGPConfiguration { Metadata = new ObjectMeta { Name = "default" }, Spec = spec });

    protected static FeedItem Affinity(string host, bool exists) =>
        new(IpamKeys.Affinity(host, Cidr.Parse(Theirs)), exists ? Encoding.UTF8.GetBytes("{}") : (ReadOnlyMemory<byte>?)null, 1);
}

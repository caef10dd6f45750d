using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Akka.Actor;
using Calico.Actors.Bgp;
using Calico.Actors.Dataplane;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Actors.Routing;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore.Kubernetes;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Routing;

/// <summary>What routing does for addresses of services.</summary>
[Layer("actor")]
public sealed class RoutingServicesTests(ITestOutputHelper output) : RoutingFixture(output)
{
    [Fact]
    public async Task Ranges_of_services_are_announced_and_nothing_in_them_is_written_into_the_kernel()
    {
        await Holding(Own);
        Learn(1, Via("10.96.0.7/32", "192.0.2.2"));
        Assert.Single((await Writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience)).Wanted);

        Resources(Configuration(new BGPConfigurationSpec { ServiceClusterIPs = [new CidrEntry { Cidr = "10.96.0.0/12" }] }));

        Assert.Equal(Cidr.Parse("10.96.0.0/12"), Assert.Single((await Speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Add).Prefix);
        Assert.Equal(Cidr.Parse("10.96.0.7/32"), Assert.Single((await Writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience)).Unwanted).Destination);
        Resources(Configuration(new BGPConfigurationSpec()));
        Assert.Equal(Cidr.Parse("10.96.0.0/12"), Assert.Single((await Speaker.ExpectMsgAsync<BgpProtocol.OriginateRoutes>(Patience)).Remove));
        Assert.Single((await Writer.ExpectMsgAsync<RouteProtocol.ChangeRoutes>(Patience)).Wanted);
    }

    [Fact]
    public async Task Single_addresses_of_services_are_announced_where_their_endpoints_are()
    {
        var routing = Sys.ActorOf(RoutingActor.Props("a", "cali", Host, Upstream, Lease, Registry, Writer,
            new RoutingOptions { Services = new OneService(), KubernetesName = "k8s-a" }));
        routing.Tell(new BgpProtocol.SpeakerStarted(), Speaker);
        routing.Tell(new LeaseProtocol.HeldBlocks(ImmutableSortedDictionary<Cidr, long>.Empty, Loaded: true));

        routing.Tell(new UpstreamProtocol.ResourcesChanged([Configuration(new BGPConfigurationSpec { ServiceExternalIPs = [new CidrEntry { Cidr = "203.0.113.0/24" }] })],
            InSync: true, 1));

        Assert.Equal("203.0.113.0/24", Assert.Single((await Speaker.FishForMessageAsync<BgpProtocol.OriginateRoutes>(_ => true, Patience)).Add).Prefix.ToString());
        Assert.Equal("203.0.113.7/32", Assert.Single((await Speaker.FishForMessageAsync<BgpProtocol.OriginateRoutes>(_ => true, Patience)).Add).Prefix.ToString());
    }

    private sealed class OneService : IPlainObjects
    {
        public async IAsyncEnumerable<PlainChange> FollowAsync(PlainSelection what, [EnumeratorCancellation] CancellationToken cancellation)
        {
            var json = what.Kind == PlainKind.Services
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

        await Speaker.ExpectMsgAsync<BgpProtocol.ConfigureSpeaker>(Patience);
        await Speaker.ExpectNoMsgAsync(TimeSpan.FromMilliseconds(100));
    }
}

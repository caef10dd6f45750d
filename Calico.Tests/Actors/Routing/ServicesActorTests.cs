using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Threading.Channels;
using Akka.Actor;
using Akka.TestKit;
using Calico.Actors.Routing;
using Calico.Core.Bgp.Services;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore;
using Calico.Datastore.Kubernetes;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Routing;

[Layer("actor")]
public sealed class ServicesActorTests : NodeActorFixture
{
    private static readonly ServiceRanges Ranges = ServiceRanges.Of(new BGPConfigurationSpec { ServiceExternalIPs = [new CidrEntry { Cidr = "203.0.113.0/24" }] }, []);

    private readonly Source _source = new();
    private readonly TestProbe _parent;
    private readonly IActorRef _services;

    public ServicesActorTests(ITestOutputHelper output)
        : base(output)
    {
        _parent = CreateTestProbe("routing");
        _services = _parent.ChildActorOf(ServicesActor.Props(_source, "n1"));
    }

    [Fact]
    public async Task Without_ranges_nothing_is_watched()
    {
        _services.Tell(new ServiceProtocol.UseRanges(new ServiceRanges()));

        Assert.Empty((await _parent.ExpectMsgAsync<ServiceProtocol.RoutesChanged>(Patience)).Routes);
        Assert.Equal(0, _source.Opened);
    }

    [Fact]
    public async Task Routes_are_told_when_both_kinds_are_known_and_whenever_they_change()
    {
        _services.Tell(new ServiceProtocol.UseRanges(Ranges));
        _source.Services.Writer.TryWrite(new PlainChange([Service("web", "203.0.113.7"), Service("db", "203.0.113.8")], IsAll: true));
        await _parent.ExpectNoMsgAsync(TimeSpan.FromMilliseconds(300));

        _source.Slices.Writer.TryWrite(new PlainChange([Slice("web-1", "web", "n1"), Slice("db-1", "db", "n2")], IsAll: true));
        Assert.Equal([Cidr.Parse("203.0.113.7/32")], (await _parent.ExpectMsgAsync<ServiceProtocol.RoutesChanged>(Patience)).Routes);

        _source.Slices.Writer.TryWrite(new PlainChange([Slice("db-1", "db", "n1")], IsAll: false));
        Assert.Equal(2, (await _parent.ExpectMsgAsync<ServiceProtocol.RoutesChanged>(Patience)).Routes.Count);
        _source.Services.Writer.TryWrite(new PlainChange([new PlainObject("d", "web", null)], IsAll: false));
        Assert.Equal([Cidr.Parse("203.0.113.8/32")], (await _parent.ExpectMsgAsync<ServiceProtocol.RoutesChanged>(Patience)).Routes);
    }

    [Fact]
    public async Task Ranges_that_are_taken_away_take_their_routes_with_them()
    {
        _services.Tell(new ServiceProtocol.UseRanges(Ranges));
        _source.Services.Writer.TryWrite(new PlainChange([Service("web", "203.0.113.7")], IsAll: true));
        _source.Slices.Writer.TryWrite(new PlainChange([Slice("web-1", "web", "n1")], IsAll: true));
        Assert.Single((await _parent.ExpectMsgAsync<ServiceProtocol.RoutesChanged>(Patience)).Routes);

        _services.Tell(new ServiceProtocol.UseRanges(new ServiceRanges()));

        Assert.Empty((await _parent.ExpectMsgAsync<ServiceProtocol.RoutesChanged>(Patience)).Routes);
    }

    [Fact]
    public async Task A_watch_that_is_refused_takes_nothing_back()
    {
        _services.Tell(new ServiceProtocol.UseRanges(Ranges));
        _source.Services.Writer.TryWrite(new PlainChange([Service("web", "203.0.113.7")], IsAll: true));
        _source.Slices.Writer.TryWrite(new PlainChange([Slice("web-1", "web", "n1")], IsAll: true));
        await _parent.ExpectMsgAsync<ServiceProtocol.RoutesChanged>(Patience);

        _source.Slices.Writer.Complete(new DatastoreException(DatastoreFault.Denied, "no"));

        await _parent.ExpectNoMsgAsync(TimeSpan.FromMilliseconds(300));
    }

    private static PlainObject Service(string name, string external) => new("d", name, JsonDocument.Parse(
        $$$$"""{"spec": {"clusterIP": "10.96.0.5", "externalTrafficPolicy": "Local", "externalIPs": ["{{{{external}}}}"]}}""").RootElement);

    private static PlainObject Slice(string name, string service, string node) => new("d", name, JsonDocument.Parse(
        $$$$"""{"metadata": {"labels": {"kubernetes.io/service-name": "{{{{service}}}}"}}, "addressType": "IPv4", "endpoints": [{"nodeName": "{{{{node}}}}"}]}""").RootElement);

    private sealed class Source : IPlainObjects
    {
        public Channel<PlainChange> Services { get; } = Channel.CreateUnbounded<PlainChange>();
        public Channel<PlainChange> Slices { get; } = Channel.CreateUnbounded<PlainChange>();
        public int Opened { get; private set; }

        public async IAsyncEnumerable<PlainChange> FollowAsync(PlainSelection what, [EnumeratorCancellation] CancellationToken cancellation)
        {
            Opened++;
            await foreach (var change in (what.Kind == PlainKind.Services ? Services : Slices).Reader.ReadAllAsync(cancellation))
                yield return change;
        }
    }
}

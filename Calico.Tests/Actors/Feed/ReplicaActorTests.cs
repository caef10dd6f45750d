using System.Collections.Immutable;
using Akka.Actor;
using Akka.TestKit;
using Calico.Actors.Feed;
using Calico.Core.Feed;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Feed;

[Layer("actor")]
public class ReplicaActorTests : ActorFixture
{
    private const string Pool = "/calico/resources/v3/projectcalico.org/ippools/default";
    private const string Own = "/calico/resources/v3/projectcalico.org/workloadendpoints/shop/node--1-k8s-web-eth0";
    private const string Others = "/calico/resources/v3/projectcalico.org/workloadendpoints/shop/node2-k8s-db-eth0";

    private readonly TestProbe _source;

    public ReplicaActorTests(ITestOutputHelper output) : base(output) => _source = CreateTestProbe("source");

    private async Task<IActorRef> StartAsync(params string[] keys)
    {
        var replica = Sys.ActorOf(ReplicaActor.Props(_source.Ref, "node-1", Clock));
        await _source.ExpectMsgAsync<FeedProtocol.Pull>();
        replica.Tell(new FeedProtocol.News(FeedName.Resources, new FeedBatch(new FeedCursor(1, keys.Length),
            [.. keys.Select((k, i) => new FeedItem(k, "{}"u8.ToArray(), i + 1))], Reset: true, Complete: true)));
        return replica;
    }

    private async Task<ImmutableArray<FeedItem>> PullAsync(IActorRef replica, string reader) => (await replica.Ask<FeedProtocol.News>(
        new FeedProtocol.Pull(FeedName.Resources, FeedCursor.Start, reader, FeedProtocol.DefaultMaxBytes), TimeSpan.FromSeconds(10))).Batch.Items;

    [Fact]
    public async Task A_node_hears_of_its_own_endpoints_and_of_nobody_else_s()
    {
        var replica = await StartAsync(Pool, Own, Others);

        Assert.Equal([(Pool, 1), (Own, 2)], (await PullAsync(replica, "node/node-1")).Select(i => (i.Key, i.Revision)));
        Assert.Equal([Pool], (await PullAsync(replica, "node/node")).Select(i => i.Key));
        Assert.Equal([Pool], (await PullAsync(replica, "somebody")).Select(i => i.Key));
    }
}

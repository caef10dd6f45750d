using Akka.Actor;
using Akka.TestKit;
using Calico.Actors.Feed;
using Calico.Core.Feed;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Feed;

[Layer("actor")]
public class FeedActorTests(ITestOutputHelper output) : ActorFixture(output)
{
    private const string Pool = "/calico/resources/v3/projectcalico.org/ippools/default";
    private static readonly string Affinity = IpamKeys.Affinity("node1", Cidr.Parse("10.65.0.0/26"));

    private sealed class Warden : UntypedActor
    {
        private readonly IActorRef _probe;

        public Warden(IActorRef probe) => _probe = probe;

        public static Props For(TestProbe probe) => Props.Create(() => new Warden(probe.Ref));

        protected override void OnReceive(object message) => _probe.Tell(message);
    }

    private (IActorRef Feed, TestProbe Warden) Start()
    {
        var warden = CreateTestProbe("told");
        return (Sys.ActorOf(FeedActor.Props(Store, Warden.For(warden), Clock)), warden);
    }

    private static FeedProtocol.Pull From(FeedCursor cursor) => new(FeedName.Resources, cursor, "test", FeedProtocol.DefaultMaxBytes);

    private static async Task<Dictionary<string, FeedItem>> UntilInSync(TestProbe warden)
    {
        var seen = new Dictionary<string, FeedItem>();
        while (true)
        {
            var changed = await warden.ExpectMsgAsync<FeedProtocol.Changed>(TimeSpan.FromSeconds(10));
            foreach (var item in changed.Items)
                seen[item.Key] = item;
            if (changed.InSync)
                return seen;
        }
    }

    [Fact]
    public async Task The_warden_hears_that_everything_is_listed_although_nothing_changes_afterwards()
    {
        await PutAsync(Pool, "{}");
        await PutAsync(Affinity, """{"state":"confirmed"}""");

        var (_, warden) = Start();

        Assert.Equal([Affinity, Pool], (await UntilInSync(warden)).Keys.Order(StringComparer.Ordinal));
        await warden.ExpectNoMsgAsync(TimeSpan.FromMilliseconds(200));
    }

    [Fact]
    public async Task An_empty_datastore_is_in_sync_too() => Assert.Empty(await UntilInSync(Start().Warden));

    [Fact]
    public async Task Changes_after_the_listing_are_told_and_answer_a_pull_that_waits()
    {
        await PutAsync(Pool, "{}");
        var (feed, warden) = Start();
        await UntilInSync(warden);
        feed.Tell(From(FeedCursor.Start), TestActor);
        var all = await ExpectMsgAsync<FeedProtocol.News>();
        Assert.Equal([Pool], all.Batch.Items.Select(i => i.Key));
        feed.Tell(From(all.Batch.Cursor), TestActor);
        await ExpectNoMsgAsync(TimeSpan.FromMilliseconds(100));

        await PutAsync(Affinity, """{"state":"confirmed"}""");

        Assert.Equal([Affinity], (await ExpectMsgAsync<FeedProtocol.News>()).Batch.Items.Select(i => i.Key));
        Assert.Equal([Affinity], (await warden.ExpectMsgAsync<FeedProtocol.Changed>()).Items.Select(i => i.Key));

        await DeleteAsync(Pool);

        var deleted = Assert.Single((await warden.ExpectMsgAsync<FeedProtocol.Changed>()).Items);
        Assert.Equal((Pool, true), (deleted.Key, deleted.Value is null));
    }

    [Fact]
    public async Task Keys_that_concern_nobody_are_not_told()
    {
        var (_, warden) = Start();
        await UntilInSync(warden);

        await PutAsync(IpamKeys.Block(Cidr.Parse("10.65.0.0/26")), "{}");
        await PutAsync(Pool, "{}");

        Assert.Equal([Pool], (await warden.ExpectMsgAsync<FeedProtocol.Changed>()).Items.Select(i => i.Key));
    }
}

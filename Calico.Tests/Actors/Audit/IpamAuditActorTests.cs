using System.Text;
using Akka.Actor;
using Calico.Actors.Audit;
using Calico.Actors.Feed;
using Calico.Core.Feed;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Audit;

[Layer("actor")]
public class IpamAuditActorTests(ITestOutputHelper output) : ActorFixture(output)
{
    private const string Root = "/calico/resources/v3/projectcalico.org/";
    private static readonly Cidr First = Cidr.Parse("10.65.0.0/29");

    private readonly IpamBoard _board = new();

    [Fact]
    public async Task The_board_follows_blocks_and_the_feed_and_is_empty_when_the_audit_ends()
    {
        await StoreBlockAsync("10.65.0.1");
        var audit = Sys.ActorOf(IpamAuditActor.Props(Store, TestActor, _board, Clock));
        await ExpectMsgAsync<FeedProtocol.Subscribe>();
        await Task.Delay(200);
        Assert.Null(_board.Figures);

        audit.Tell(Changed(true, ("ippools/pool", """{"metadata":{"name":"pool"},"spec":{"cidr":"10.65.0.0/24"}}"""), ("nodes/node1", """{"metadata":{"name":"node1"},"spec":{}}"""),
            ("workloadendpoints/shop/node1-k8s-web-eth0", Endpoint("10.65.0.1"))));
        await UntilAsync(f => f.Nodes is [{ Pool: "pool", Node: "node1", InUse: 1, Blocks: 1 }]);
        await StoreBlockAsync("10.65.0.1", "10.65.0.2");
        await UntilAsync(f => f.Nodes is [{ InUse: 2 }]);
        Clock.Advance(IpamAuditActor.Certainty);
        await UntilAsync(f => f is { Leaked: 1, Nodes: [{ Candidates: 1 }] });
        await DeleteAsync(IpamKeys.Block(First));
        await UntilAsync(f => f is { Leaked: 0, Nodes: [], Reclaimed: [("pool", "node1", 1)] });

        await audit.GracefulStop(TimeSpan.FromSeconds(5));
        Assert.Null(_board.Figures);
    }

    [Fact]
    public async Task Nothing_is_said_before_the_feed_has_told_everything()
    {
        await StoreBlockAsync("10.65.0.1");
        var audit = Sys.ActorOf(IpamAuditActor.Props(Store, TestActor, _board, Clock));

        audit.Tell(Changed(false, ("ippools/pool", """{"metadata":{"name":"pool"},"spec":{"cidr":"10.65.0.0/24"}}""")));
        await Task.Delay(TimeSpan.FromSeconds(6));
        Assert.Null(_board.Figures);

        audit.Tell(Changed(true));
        await UntilAsync(f => f.Nodes.Length == 1);
    }

    [Fact]
    public async Task A_watch_that_breaks_is_begun_again_and_what_went_meanwhile_is_gone()
    {
        await StoreBlockAsync("10.65.0.1");
        var audit = Sys.ActorOf(IpamAuditActor.Props(Store, TestActor, _board, Clock));
        audit.Tell(Changed(true, ("ippools/pool", """{"metadata":{"name":"pool"},"spec":{"cidr":"10.65.0.0/24"}}""")));
        await UntilAsync(f => f.Nodes.Length == 1);

        audit.Tell(new PrefixFollower.Listed(IpamKeys.BlockPrefix, [], Store.Revision));

        await UntilAsync(f => f.Nodes.IsEmpty);
    }

    private static string Endpoint(string address) =>
        $$"""{"metadata":{"name":"node1-k8s-web-eth0","namespace":"shop"},"spec":{"node":"node1","orchestrator":"k8s","pod":"web","endpoint":"eth0","interfaceName":"cali1","ipNetworks":["{{address}}/32"] } }""";

    private static FeedProtocol.Changed Changed(bool inSync, params (string Name, string Json)[] items) =>
        new([.. items.Select(i => new FeedItem(Root + i.Name, Encoding.UTF8.GetBytes(i.Json), 1))], inSync, 1);

    private Task UntilAsync(Func<IpamFigures, bool> condition) =>
        AwaitConditionAsync(() => Task.FromResult(_board.Figures is { } figures && condition(figures)), TimeSpan.FromSeconds(20), TimeSpan.FromMilliseconds(100));

    private async Task StoreBlockAsync(params string[] assigned)
    {
        var block = IpamBlock.Create(First, "host:node1", DateTimeOffset.UnixEpoch);
        foreach (var address in assigned)
            block.Assign(IpAddr.Parse(address), new AllocationAttributes("net." + address, new Dictionary<string, string> { ["node"] = "node1" }));
        Assert.True((await PutAsync(IpamKeys.Block(First), IpamJson.WriteBlock(block))).Succeeded);
    }
}

using System.Collections.Immutable;
using System.Text;
using Akka.Actor;
using Akka.TestKit;
using Calico.Actors.Cluster;
using Calico.Actors.Ipam;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Cluster;

[Layer("actor")]
public class NodeActorTests : ActorFixture
{
    private static readonly Cidr Block = Cidr.Parse("10.65.3.0/26");
    private const long Epoch = 7;
    private static readonly IpAddr Host = IpAddr.Parse("192.0.2.3");
    private const string Endpoint = "/calico/resources/v3/projectcalico.org/workloadendpoints/shop/node3-k8s-db-eth0";

    private readonly TestProbe _blocks;
    private readonly Probe _probe = new();

    public NodeActorTests(ITestOutputHelper output) : base(output) => _blocks = CreateTestProbe("blocks");

    private sealed class Probe : IHostProbe
    {
        public bool Answers { get; set; }

        public int Asked { get; private set; }

        public Task<bool> AnswersAsync(IpAddr address, CancellationToken cancellation)
        {
            Asked++;
            return Task.FromResult(Answers);
        }
    }

    private IActorRef Start(int goneAfterSeconds = 60) => Sys.ActorOf(NodeActor.Props(
        new MeshOptions("node1", IpAddr.Parse("192.0.2.1")) { NodeGoneAfter = TimeSpan.FromSeconds(goneAfterSeconds) },
        Store, _probe, Clock, _blocks.Ref));

    private NodeProtocol.NodeObserved Seen(bool isMember, bool resourceExists = true, params string[] endpoints) =>
        new("node3", isMember, resourceExists, Host, [new BlockProtocol.Holding(Block, Epoch)], [.. endpoints.Select(e => new NodeProtocol.Endpoint(e, RevisionOf(e)))], []);

    private long RevisionOf(string key) => Store.GetAsync(key).GetAwaiter().GetResult()?.ModRevision ?? 0;

    private async Task<NodeProtocol.Phase> PhaseAsync(IActorRef node) =>
        (await node.Ask<NodeProtocol.NodeStatus>(new NodeProtocol.GetNode("node3"), TimeSpan.FromSeconds(10))).Phase;

    private Task UntilPhaseAsync(IActorRef node, NodeProtocol.Phase phase) =>
        AwaitAssertAsync(async () => Assert.Equal(phase, await PhaseAsync(node)), TimeSpan.FromSeconds(10));

    /// <summary>Tells the same for as long as the clock takes, as the warden does.</summary>
    private async Task Watch(IActorRef node, int seconds, NodeProtocol.NodeObserved seen)
    {
        for (var i = 0; i < seconds; i += 5)
        {
            node.Tell(seen);
            await PhaseAsync(node);
            Clock.Advance(TimeSpan.FromSeconds(5));
        }
    }

    [Fact]
    public async Task A_host_that_answers_keeps_its_blocks_however_long_its_agent_is_away()
    {
        _probe.Answers = true;
        var node = Start();
        node.Tell(Seen(isMember: true));

        await Watch(node, 600, Seen(isMember: false, endpoints: Endpoint));

        Assert.Equal(NodeProtocol.Phase.AgentDown, await PhaseAsync(node));
        Assert.True(_probe.Asked > 10);
        await _blocks.ExpectNoMsgAsync(TimeSpan.FromMilliseconds(100));
    }

    [Fact]
    public async Task A_host_that_is_silent_long_enough_loses_its_endpoints_and_then_its_blocks()
    {
        await PutAsync(Endpoint, "{}");
        var node = Start();
        node.Tell(Seen(isMember: true));

        await Watch(node, 55, Seen(isMember: false, endpoints: Endpoint));
        Assert.Equal(NodeProtocol.Phase.AgentDown, await PhaseAsync(node));
        await _blocks.ExpectNoMsgAsync(TimeSpan.FromMilliseconds(100));
        await Watch(node, 10, Seen(isMember: false, endpoints: Endpoint));

        Assert.Equal(new BlockProtocol.RetireHolder(Block, "node3", Epoch), await _blocks.ExpectMsgAsync<BlockProtocol.RetireHolder>());
        Assert.DoesNotContain(Endpoint, Store.Keys);
        Assert.Equal(NodeProtocol.Phase.Gone, await PhaseAsync(node));
    }

    [Fact]
    public async Task A_jump_of_the_wall_clock_is_no_silence()
    {
        var node = Start();
        await Watch(node, 10, Seen(isMember: false));

        Clock.Jump = TimeSpan.FromDays(1);
        await Watch(node, 10, Seen(isMember: false));

        Assert.Equal(NodeProtocol.Phase.AgentDown, await PhaseAsync(node));
        await _blocks.ExpectNoMsgAsync(TimeSpan.FromMilliseconds(100));
    }

    [Fact]
    public async Task Silence_that_nobody_listened_to_does_not_count()
    {
        var node = Start();
        await Watch(node, 20, Seen(isMember: false));

        // The feed moves to another member, and nobody observes meanwhile.
        Clock.Advance(TimeSpan.FromSeconds(90));
        await Watch(node, 55, Seen(isMember: false));
        Assert.Equal(NodeProtocol.Phase.AgentDown, await PhaseAsync(node));
        await Watch(node, 10, Seen(isMember: false));

        await _blocks.ExpectMsgAsync<BlockProtocol.RetireHolder>();
    }

    [Fact]
    public async Task Without_a_limit_a_silent_host_is_waited_for_without_end()
    {
        var node = Start(goneAfterSeconds: 0);

        await Watch(node, 3600, Seen(isMember: false));

        Assert.Equal((NodeProtocol.Phase.AgentDown, 0), (await PhaseAsync(node), _probe.Asked));
        await _blocks.ExpectNoMsgAsync(TimeSpan.FromMilliseconds(100));
    }

    [Fact]
    public async Task A_node_whose_resource_was_deleted_is_gone_but_not_at_the_first_look()
    {
        var node = Start(goneAfterSeconds: 0);

        var missing = Seen(isMember: false, resourceExists: false);
        await Watch(node, 5, missing);
        await Watch(node, 5, Seen(isMember: false, resourceExists: true));
        node.Tell(missing);
        // Changes of the resource are told as they come, however close together.
        node.Tell(missing);
        await _blocks.ExpectNoMsgAsync(TimeSpan.FromMilliseconds(100));
        Clock.Advance(TimeSpan.FromSeconds(5));
        node.Tell(missing);

        Assert.Equal("node3", (await _blocks.ExpectMsgAsync<BlockProtocol.RetireHolder>()).Node);
    }

    [Fact]
    public async Task A_resource_that_is_back_ends_what_its_absence_began()
    {
        var node = Start(goneAfterSeconds: 0);
        await Watch(node, 10, Seen(isMember: false, resourceExists: false));
        await _blocks.ExpectMsgAsync<BlockProtocol.RetireHolder>();

        await Watch(node, 10, Seen(isMember: false, resourceExists: true));

        Assert.Equal(NodeProtocol.Phase.AgentDown, await PhaseAsync(node));
        await _blocks.ExpectNoMsgAsync(TimeSpan.FromMilliseconds(100));
    }

    [Fact]
    public async Task A_host_that_was_silent_stays_gone_until_its_agent_is_a_member_again()
    {
        var node = Start();
        await Watch(node, 70, Seen(isMember: false));
        await _blocks.ExpectMsgAsync<BlockProtocol.RetireHolder>();
        _probe.Answers = true;

        await Watch(node, 30, Seen(isMember: false));
        Assert.Equal(NodeProtocol.Phase.Gone, await PhaseAsync(node));
        node.Tell(Seen(isMember: true));

        await UntilPhaseAsync(node, NodeProtocol.Phase.Alive);
    }

    [Fact]
    public async Task A_member_is_alive_although_its_resource_is_missing()
    {
        var node = Start();
        for (var i = 0; i < 5; i++)
            node.Tell(Seen(isMember: true, resourceExists: false));

        Assert.Equal(NodeProtocol.Phase.Alive, await PhaseAsync(node));
        await _blocks.ExpectNoMsgAsync(TimeSpan.FromMilliseconds(100));
    }

    [Fact]
    public async Task Blocks_stay_until_the_endpoints_could_be_deleted()
    {
        await PutAsync(Endpoint, "{}");
        FailCommits(2, happens: false);
        var node = Start();
        var gone = Seen(isMember: false, resourceExists: false, endpoints: Endpoint);
        await Watch(node, 5, gone);

        // Each failed attempt is repeated by the next observation, and only by it.
        node.Tell(gone);
        await _blocks.ExpectNoMsgAsync(TimeSpan.FromMilliseconds(100));
        node.Tell(gone);
        await _blocks.ExpectNoMsgAsync(TimeSpan.FromMilliseconds(100));
        node.Tell(gone);

        await _blocks.ExpectMsgAsync<BlockProtocol.RetireHolder>();
        Assert.DoesNotContain(Endpoint, Store.Keys);
    }

    [Fact]
    public async Task As_many_endpoints_as_fit_go_first_and_the_blocks_wait_for_the_rest()
    {
        var endpoints = Enumerable.Range(0, NodeProtocol.MaxEndpoints).Select(i => Endpoint + i).ToArray();
        await Store.CommitAsync(new Transaction([], [.. endpoints.Select(e => Write.Put(e, new byte[] { 1 }))]));
        var node = Start();
        await Watch(node, 5, Seen(isMember: false, resourceExists: false, endpoints: endpoints));
        node.Tell(Seen(isMember: false, resourceExists: false, endpoints: endpoints));

        await AwaitAssertAsync(() => Assert.Empty(Store.Keys));
        await _blocks.ExpectNoMsgAsync(TimeSpan.FromMilliseconds(100));
        node.Tell(Seen(isMember: false, resourceExists: false));

        await _blocks.ExpectMsgAsync<BlockProtocol.RetireHolder>();
    }

    // Only the endpoints tell where the node has borrowed.
    [Fact]
    public async Task Endpoints_stay_until_what_their_node_had_borrowed_is_free()
    {
        var other = Cidr.Parse("10.65.9.0/26");
        var block = IpamBlock.Create(other, "host:node4", Clock.GetUtcNow());
        block.Assign(IpAddr.Parse("10.65.9.1"), new AllocationAttributes("net.web", ImmutableSortedDictionary<string, string>.Empty.Add("node", "node3")));
        await PutAsync(IpamKeys.Block(other), Encoding.UTF8.GetString(IpamJson.WriteBlock(block)));
        await PutAsync(Endpoint, """{"kind":"WorkloadEndpoint","apiVersion":"projectcalico.org/v3","metadata":{"name":"e"},"spec":{"ipNetworks":["10.65.9.1/32"]}}""");
        var gone = Seen(isMember: false, resourceExists: false, endpoints: Endpoint) with
        {
            Borrowed = [new NodeProtocol.Borrowing(Endpoint, (await Store.GetAsync(Endpoint))!.ModRevision, other)],
        };
        FailCommits(1, happens: false);
        var node = Start();
        await Watch(node, 5, gone);
        node.Tell(gone);
        await _blocks.ExpectNoMsgAsync(TimeSpan.FromMilliseconds(100));
        Assert.Contains(Endpoint, Store.Keys);

        node.Tell(gone);

        await _blocks.ExpectMsgAsync<BlockProtocol.RetireHolder>();
        Assert.DoesNotContain(Endpoint, Store.Keys);
        Assert.True(IpamJson.ParseBlock((await Store.GetAsync(IpamKeys.Block(other)))!.Value).IsEmpty);
    }

    [Fact]
    public async Task A_node_that_came_back_is_left_alone()
    {
        var node = Start();
        await Watch(node, 5, Seen(isMember: false, resourceExists: false));
        node.Tell(Seen(isMember: false, resourceExists: false));
        await _blocks.ExpectMsgAsync<BlockProtocol.RetireHolder>();

        node.Tell(Seen(isMember: true));

        await UntilPhaseAsync(node, NodeProtocol.Phase.Alive);
        await _blocks.ExpectNoMsgAsync(TimeSpan.FromMilliseconds(100));
    }

    [Fact]
    public async Task The_silence_is_counted_anew_when_another_member_takes_over()
    {
        var first = Start();
        await Watch(first, 55, Seen(isMember: false));
        await first.GracefulStop(TimeSpan.FromSeconds(5));
        var second = Start();

        await Watch(second, 55, Seen(isMember: false));
        Assert.Equal(NodeProtocol.Phase.AgentDown, await PhaseAsync(second));
        await Watch(second, 10, Seen(isMember: false));

        await _blocks.ExpectMsgAsync<BlockProtocol.RetireHolder>();
    }
}

using System.Collections.Immutable;
using System.Diagnostics;
using Akka.Actor;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Core.Feed;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Ipam;

/// <summary>
/// Many ask for few addresses: everybody is told the truth, nobody waits for ever, and the datastore is written about as
/// often as something is given out.
/// </summary>
[Layer("actor")]
public sealed class LeaseScarcityTests(ITestOutputHelper output) : LeaseFixture(output)
{
    // Seconds of work, on machines that do much else.
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    private int _writes;
    private int _claims;

    /// <summary>Carries claims, loans, and the news of who holds what, as the mesh does.</summary>
    private sealed class Cluster : ReceiveActor
    {
        private readonly Dictionary<Cidr, IActorRef> _owners = [];
        private readonly Dictionary<string, IActorRef> _leases = [];

        // An owner answers in the order in which it was asked.
        private readonly Dictionary<Cidr, Queue<IActorRef>> _askers = [];

        public Cluster(Props owner, Action claimed)
        {
            Receive<UpstreamProtocol.Subscribe>(s => s.Subscriber.Tell(new UpstreamProtocol.ResourcesChanged([], true, 1)));
            Receive<UpstreamProtocol.AnswerTo>(a =>
            {
                _leases[a.Node] = a.Lease;
                // Who lends to whom is of interest among few only.
                if (_leases.Count > 64)
                    return;
                var members = new UpstreamProtocol.MembersChanged([.. _leases.Keys.Select(n => new MeshMember("a-" + n, n, true))]);
                foreach (var lease in _leases.Values)
                    lease.Tell(members);
            });
            Receive<MeshLinkProtocol.ToNode>(m => _leases[m.Message.To].Tell(m.Message));
            Receive<MeshLinkProtocol.ToBlock>(m =>
            {
                claimed();
                if (!_owners.TryGetValue(m.Command.Block, out var block))
                {
                    _owners[m.Command.Block] = block = Context.ActorOf(owner);
                    _askers[m.Command.Block] = new();
                }
                _askers[m.Command.Block].Enqueue(Sender);
                block.Tell(m.Command, Self);
            });
            Receive<BlockProtocol.BlockGranted>(g =>
            {
                _askers[g.Block].Dequeue().Tell(g);
                var item = new FeedItem(IpamKeys.Affinity(g.Node, g.Block), IpamJson.WriteAffinity("confirmed"), g.Epoch);
                foreach (var lease in _leases.Values)
                    lease.Tell(new UpstreamProtocol.ResourcesChanged([item], true, g.Epoch));
            });
            Receive<BlockProtocol.BlockRefused>(r => _askers[r.Block].Dequeue().Tell(r));
        }
    }

    private IActorRef[] StartNodes(int count, LeaseOptions? options = null)
    {
        Store.BeforeCommit = _ =>
        {
            Interlocked.Increment(ref _writes);
            return Task.CompletedTask;
        };
        var cluster = Sys.ActorOf(Props.Create(() => new Cluster(BlockActor.Props(Store, Clock), () => Interlocked.Increment(ref _claims))));
        return [.. Enumerable.Range(1, count).Select(i => Start($"node{i}", options, cluster))];
    }

    private static async Task<object> AskAsync(IActorRef lease, object request) => await lease.Ask<object>(request, Patience);

    [Fact]
    public async Task A_hundred_callers_share_four_addresses_and_each_has_its_turn()
    {
        var pool = new PoolRef("four", Cidr.Parse("10.66.0.0/30"), 30);
        var lease = StartNodes(1)[0];
        var waiting = Enumerable.Range(0, 100).Select(i => "pod" + i).ToList();
        var rounds = 0;

        while (waiting.Count > 0)
        {
            Assert.True(++rounds <= 100, $"{waiting.Count} starve");
            var answers = await Task.WhenAll(waiting.Select(async p => (Pod: p, Answer: await AskAsync(lease, Allocate(p, [pool])))));
            var given = answers.Where(a => a.Answer is LeaseProtocol.Allocated).ToList();
            Assert.Equal(Math.Min(4, waiting.Count), given.Count);
            Assert.Equal(given.Count, given.Select(g => ((LeaseProtocol.Allocated)g.Answer).Addresses[0]).Distinct().Count());
            Assert.All(answers.Select(a => a.Answer).OfType<LeaseProtocol.NotAllocated>(), no =>
                Assert.Contains("no free address and no free block in the pool four (10.66.0.0/30)", no.Reason, StringComparison.Ordinal));
            waiting.RemoveAll(p => given.Any(g => g.Pod == p));
            foreach (var (pod, _) in given)
                Assert.IsType<LeaseProtocol.Released>(await AskAsync(lease, Release(pod)));
        }

        Assert.Empty(await AssignedAsync());
        // A grant, and for each pod at most one transaction to give and one to take back: refusals cost none.
        Assert.InRange(_writes, 26, 1 + 2 * 100);
    }

    [Fact]
    public async Task A_thousand_nodes_that_begin_at_once_have_a_block_each()
    {
        const int Nodes = 1_000;
        var pool = new PoolRef("large", Cidr.Parse("10.64.0.0/16"), 26);
        var leases = StartNodes(Nodes);

        var answers = await Task.WhenAll(leases.Select((l, i) => AskAsync(l, Allocate("pod" + i, [pool]))));

        Assert.Equal(Nodes, answers.Cast<LeaseProtocol.Allocated>().Select(a => BlockCandidates.Containing(a.Addresses[0], 26)).Distinct().Count());
        // One transaction makes a node the holder, one gives the address; a claim that comes too late is answered without one.
        Assert.InRange(_writes, 2 * Nodes, 2 * Nodes + Nodes / 2);
        Output.WriteLine($"{_writes} transactions, {_claims} claims");
    }

    [Fact]
    public async Task A_pool_is_used_to_its_last_address_and_then_says_so()
    {
        const int Nodes = 32;
        // As many addresses as pods, in as many blocks as the nodes hold together.
        var pool = new PoolRef("full", Cidr.Parse("10.64.0.0/19"), 26);
        var leases = StartNodes(Nodes, new LeaseOptions { Answer = LeaseAnswer.Durable, PromiseAfter = Patience * 60 });
        // Who was told to ask again in a while waits for the clock, which else moves between rounds only.
        await using var whileWaiting = new Timer(_ => Clock.Advance(TimeSpan.FromSeconds(11)), null, TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(5));
        var waiting = Enumerable.Range(0, 8_192).Select(i => (Pod: "pod" + i, Lease: leases[i % Nodes])).ToList();
        var given = new HashSet<IpAddr>();

        for (var rounds = 0; waiting.Count > 0; rounds++)
        {
            Assert.True(rounds < 40, $"{waiting.Count} of {pool.Cidr} have no address");
            var answers = await Task.WhenAll(waiting.Select(async w => (Of: w, Answer: await AskAsync(w.Lease, Allocate(w.Pod, [pool])))));
            foreach (var answer in answers.Select(a => a.Answer).OfType<LeaseProtocol.Allocated>())
                Assert.True(given.Add(answer.Addresses[0]), $"{answer.Addresses[0]} is given twice");
            waiting = [.. answers.Where(a => a.Answer is LeaseProtocol.NotAllocated).Select(a => a.Of)];
            // A node that had none to lend is asked again after a while.
            Clock.Advance(TimeSpan.FromSeconds(11));
        }

        Assert.Equal(8_192, given.Count);
        Assert.Equal(8_192, (await AssignedAsync()).Count);
        var writes = _writes;
        var refused = await Task.WhenAll(Enumerable.Range(0, 100).Select(i => AskAsync(leases[i % Nodes], Allocate("more" + i, [pool]))));
        Assert.All(refused, r => Assert.Contains("no free address and no free block in the pool full", Assert.IsType<LeaseProtocol.NotAllocated>(r).Reason, StringComparison.Ordinal));
        Assert.Equal(writes, _writes);
        Output.WriteLine($"{_writes} transactions for 8192 addresses, {_claims} claims");
    }

    [Fact]
    public async Task A_pool_of_65_536_addresses_is_used_to_its_last_address_by_few_transactions()
    {
        const int AtOnce = 240;
        var pool = new PoolRef("sixteen", Cidr.Parse("10.64.0.0/16"), 24);
        var lease = StartNodes(1, new LeaseOptions { Answer = LeaseAnswer.Durable, MaxBlocks = 300 })[0];
        var given = new HashSet<IpAddr>();
        var watch = Stopwatch.StartNew();

        foreach (var some in Enumerable.Range(0, 65_536).Chunk(AtOnce))
        {
            var answers = await Task.WhenAll(some.Select(i => AskAsync(lease, Allocate("pod" + i, [pool]))));
            Assert.All(answers, a => Assert.True(given.Add(Assert.IsType<LeaseProtocol.Allocated>(a).Addresses.Single())));
        }
        var span = watch.Elapsed;

        Assert.Equal(65_536, given.Count);
        Assert.Equal(65_536, (await AssignedAsync()).Count);
        Assert.Equal(65_536, Handles.Length);
        // One makes the node the holder of a block, and others carry up to 62 addresses each, fewer where a block ends or callers begin anew.
        var writes = _writes;
        Assert.InRange(writes, 256 + 65_536 / 62, 4_096);
        var refused = Assert.IsType<LeaseProtocol.NotAllocated>(await AskAsync(lease, Allocate("more", [pool])));
        Assert.Equal("no free address and no free block in the pool sixteen (10.64.0.0/16)", refused.Reason);
        Assert.Equal(writes, _writes);
        Output.WriteLine($"{writes} transactions for 65536 addresses in {span.TotalSeconds:0.0} s, {_claims} claims");
    }
}

using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Globalization;
using Akka.Actor;
using Calico.Actors.Cluster;
using Calico.Actors.Dispatch;
using Calico.Actors.Ipam;
using Calico.Core.Ipam;
using Calico.Core.Model;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore;
using Calico.Tests.Datastore;

namespace Calico.Tests.Cluster.Churn;

/// <summary>
/// Nodes whose pods come and go while something is always broken. Knows at every moment which pod uses which address; the
/// faults follow from the seed, their interleaving with the calls does not.
/// </summary>
internal sealed class ChurnBed : IHostProbe, IAsyncDisposable
{
    /// <summary>Everything heals within seconds; what takes this long never will.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(90);

    private static int _networks = Environment.ProcessId & 63;

    private readonly ConcurrentDictionary<IpAddr, bool> _silent = new();
    private readonly ConcurrentDictionary<IpAddr, ChurnPod> _users = new();
    private readonly ConcurrentDictionary<string, ChurnPod> _pods = new();
    private readonly ConcurrentDictionary<string, int> _counts = new();
    private readonly ConcurrentQueue<string> _faults = new();
    private readonly ConcurrentQueue<string> _story = new();
    private readonly ConcurrentQueue<string> _calls = new();
    private readonly long _began = TimeProvider.System.GetTimestamp();
    private readonly int _seed;
    private readonly ImmutableArray<PoolRef> _pools;
    private readonly Random _random;
    private long _lastId;
    private int _operations;

    public ChurnBed(int seed, int nodes, Cidr pool, int blockSize)
    {
        _seed = seed;
        _random = new Random(seed);
        _pools = [new PoolRef("pool", pool, blockSize)];
        var (x, y) = (1 + (Interlocked.Increment(ref _networks) % 250), System.Random.Shared.Next(1, 250));
        All = [.. Enumerable.Range(1, nodes).Select(i => new ChurnNode(this, new MeshOptions($"n{i}", IpAddr.Parse($"127.{x}.{y}.{i}"))
        {
            Port = 5473,
            GossipInterval = TimeSpan.FromMilliseconds(200),
            Pace = TimeSpan.FromMilliseconds(200),
            StableAfter = TimeSpan.FromSeconds(1.5),
            AcceptableHeartbeatPause = TimeSpan.FromSeconds(2.5),
            BootstrapStaleAfter = TimeSpan.FromSeconds(3),
            NodeGoneAfter = TimeSpan.FromSeconds(3),
            Loggers = "loggers = []\nremote.dot-netty.tcp.applied-adapters = [trttl]",
        }))];
    }

    public ImmutableArray<ChurnNode> All { get; }
    public InMemoryDatastore Datastore { get; } = new();
    public ActorSystem Nodes { get; } = ActorSystem.Create("nodes",
        "akka { loglevel = ERROR, stdout-loglevel = OFF, loggers = [], actor.guardian-supervisor-strategy = \"Calico.Actors.NodeSupervisorStrategy, Calico.Actors\" }\n" + StartedTimers.Hocon + DispatcherNames.Hocon);

    /// <summary>What happened, for whoever has to find out why.</summary>
    public IEnumerable<string> Story => [$"seed {_seed}", .. _story, string.Join(", ", _counts.OrderBy(c => c.Key).Select(c => $"{c.Value} {c.Key}"))];

    public int Operations => _operations;

    /// <summary>The handle that an address belongs to, by what is stored; null if it is free.</summary>
    public async Task<string?> OwnerOfAsync(IpAddr address) =>
        await Datastore.GetAsync(IpamKeys.Block(BlockCandidates.Containing(address, _pools[0].BlockSize))) is { } stored
            ? IpamJson.ParseBlock(stored.Value).OwnerOf(address)?.HandleId : null;

    public Random Random(string of) => new(of.Aggregate(_seed, (hash, c) => unchecked(hash * 31 + c)));

    public long NextId() => Interlocked.Increment(ref _lastId);

    public void Count(string what) => _counts.AddOrUpdate(what, 1, (_, n) => n + 1);

    public void Silence(IpAddr address, bool isSilent) => _silent[address] = isSilent;

    public Task<bool> AnswersAsync(IpAddr address, CancellationToken cancellation) => Task.FromResult(!_silent.GetValueOrDefault(address));

    public void Tell(string what) => _story.Enqueue(string.Create(CultureInfo.InvariantCulture, $"{TimeProvider.System.GetElapsedTime(_began).TotalSeconds,7:0.0} {what}"));

    /// <summary>What was called for a pod, and what came of it; the latest are kept.</summary>
    public void Note(ChurnPod pod, string what)
    {
        _calls.Enqueue(string.Create(CultureInfo.InvariantCulture, $"{TimeProvider.System.GetElapsedTime(_began).TotalSeconds,9:0.000} {pod.Id} on {pod.Node.Name}: {what}"));
        while (_calls.Count > 100_000)
            _calls.TryDequeue(out _);
    }

    // Everything about the pods and blocks that a fault names: calls, and what was written at which revision.
    private void TellOfPods(string fault)
    {
        foreach (var block in System.Text.RegularExpressions.Regex.Matches(fault, @"[\d.]+-\d+\b").Select(m => m.Value).Distinct().Take(2))
        {
            foreach (var written in Datastore.HistoryOf(block).TakeLast(30))
                Tell($"{block}: revision {written.Revision}: {written.Key} {(written.Current is { } now ? System.Text.Encoding.UTF8.GetString(now.Value.Span) : "deleted")}");
        }
        foreach (var pod in System.Text.RegularExpressions.Regex.Matches(fault, @"\bp\d+\b").Select(m => m.Value).Distinct().Take(4))
        {
            foreach (var call in _calls.Where(c => c.Contains($" {pod} ", StringComparison.Ordinal)))
                Tell(call);
            foreach (var written in Datastore.HistoryOf($"k8s-pod-network.{pod}"))
                Tell($"{pod}: revision {written.Revision}: {written.Key} {(written.Current is null ? "deleted" : "written")}");
        }
    }

    public async Task StartAsync()
    {
        foreach (var pool in _pools)
        {
            var resource = new IPPool { Metadata = new ObjectMeta { Name = pool.Name }, Spec = new IPPoolSpec { Cidr = pool.Cidr.ToString(), BlockSize = pool.BlockSize } };
            await Datastore.CommitAsync(new Transaction([], [Write.Put(new ResourceKey(ResourceKind.IPPool, null, pool.Name).Path, ResourceCodec.Encode(resource))]));
        }
        var configuration = new KubeControllersConfiguration
        {
            Metadata = new ObjectMeta { Name = "default" },
            Spec = new KubeControllersConfigurationSpec { Controllers = new ControllersConfig { Node = new NodeControllerConfig { LeakGracePeriod = GoDuration.From(TimeSpan.FromSeconds(2)) } } },
        };
        await Datastore.CommitAsync(new Transaction([], [Write.Put(new ResourceKey(ResourceKind.KubeControllersConfiguration, null, "default").Path, ResourceCodec.Encode(configuration))]));
        _ = CountGivenBackAsync();
        foreach (var node in All)
        {
            await node.RegisterAsync();
            node.Start();
        }
    }

    private async Task CountGivenBackAsync()
    {
        await foreach (var events in Datastore.WatchAsync(IpamKeys.HostPrefix, 0))
        {
            foreach (var _ in events.Where(e => e.Current is { } affinity && IpamJson.ParseAffinityState(affinity.Value) == IpamJson.PendingDeletion))
                Count("blocks given back");
        }
    }

    // ---- pods --------------------------------------------------------------------------------------------------------

    /// <summary>Calls without end from several callers, until so many have been made.</summary>
    public async Task CallAsync(int operations, int callers, int podsPerNode)
    {
        var last = _operations + operations;
        await Task.WhenAll(Enumerable.Range(0, callers).Select(c => Task.Run(async () =>
        {
            var random = Random("caller" + c);
            while (Interlocked.Increment(ref _operations) <= last && _faults.IsEmpty)
                // Ebb and flow, so that blocks get empty.
                await CallAsync(All[random.Next(All.Length)], _operations / 1_500 % 2 == 0 ? podsPerNode : podsPerNode / 8, random);
        })));
    }

    private async Task CallAsync(ChurnNode node, int podsPerNode, Random random)
    {
        try
        {
            var here = _pods.Values.Where(p => p.Node == node).ToList();
            if (!node.IsUp)
                await Task.Delay(20);
            else if (node.Orphans.TryDequeue(out var orphan))
                await RemoveAsync(orphan);
            else if (here.Count > 0 && random.Next(2 * podsPerNode) < here.Count && _pods.TryRemove(here[random.Next(here.Count)].Id, out var leaving))
                await RemoveAsync(leaving);
            else
                await AddAsync(new ChurnPod($"p{NextId()}", node));
        }
        catch (Exception e) when (e is AskTimeoutException or OperationCanceledException)
        {
            Count("calls without an answer");
        }
    }

    private async Task AddAsync(ChurnPod pod)
    {
        var done = false;
        try
        {
            var addresses = await pod.Node.AddAsync(pod, _pools, given => Give(pod, given));
            done = addresses is not null;
            Note(pod, done ? $"started with {string.Join(' ', addresses!.Value)}" : "not started");
            Count(done ? "pods started" : "pods not started");
        }
        finally
        {
            // The runtime removes what did not start, as soon as anybody answers.
            if (done)
                _pods[pod.Id] = pod;
            else
                Leave(pod);
        }
    }

    private async Task RemoveAsync(ChurnPod pod)
    {
        Free(pod);
        var done = false;
        try
        {
            done = await pod.Node.RemoveAsync(pod);
            Note(pod, done ? "removed" : "to be removed again");
            Count(done ? "pods removed" : "removals to repeat");
        }
        finally
        {
            if (!done)
                pod.Node.Orphans.Enqueue(pod);
        }
    }

    private void Leave(ChurnPod pod)
    {
        Free(pod);
        pod.Node.Orphans.Enqueue(pod);
    }

    // From now on the pod may use them. Nobody else may, but for pods that others have reason to take for gone.
    private void Give(ChurnPod pod, ImmutableArray<IpAddr> addresses)
    {
        foreach (var address in addresses)
        {
            if (_users.TryGetValue(address, out var user) && user.Id != pod.Id && !user.Node.MayBeGone && !pod.Node.MayBeGone)
                _faults.Enqueue($"{address} is given to {pod.Id} on {pod.Node.Name} while {user.Id} on {user.Node.Name} uses it");
            _users[address] = pod;
        }
    }

    private void Free(ChurnPod pod)
    {
        foreach (var (address, user) in _users.Where(u => u.Value.Id == pod.Id))
            _users.TryRemove(KeyValuePair.Create(address, user));
    }

    // ---- faults ------------------------------------------------------------------------------------------------------

    /// <summary>One thing after the other breaks and is mended, until told to stop.</summary>
    public async Task BreakAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested && _faults.IsEmpty)
        {
            var node = All[_random.Next(All.Length)];
            var kind = _random.Next(7);
            // Sometimes long enough for the others to take back what a silent node holds, which is after about six seconds.
            var span = TimeSpan.FromMilliseconds(kind is 1 or 3 ? 3_000 + _random.Next(9_000) : 300 + _random.Next(4_000));
            Tell($"{node.Name}: {kind switch
            {
                0 => "its process is killed",
                1 => "its machine dies",
                2 => "is out of reach of the other nodes",
                3 => "its cables are pulled",
                4 => "cannot reach the datastore",
                5 => "its lease fails",
                _ => "everybody loses the datastore",
            }} for {span.TotalSeconds:0.0} s");
            await BreakAsync(node, kind, span);
            await Task.Delay(_random.Next(800), CancellationToken.None);
        }
    }

    private async Task BreakAsync(ChurnNode node, int kind, TimeSpan span)
    {
        switch (kind)
        {
            case 0:
                await node.KillAsync();
                await Task.Delay(span);
                node.Start();
                break;
            case 1:
                await DieAsync(node);
                await SilenceAsync(node, span);
                Silence(node.Address, false);
                node.Start();
                await ReconciledAsync(node);
                break;
            case 2:
                await node.IsolateAsync(true, andDatastore: false);
                await Task.Delay(span);
                await node.IsolateAsync(false, andDatastore: false);
                break;
            case 3:
                await node.IsolateAsync(true, andDatastore: true);
                await SilenceAsync(node, span);
                await node.IsolateAsync(false, andDatastore: true);
                await ReconciledAsync(node);
                break;
            case 4:
                node.DatastoreIsAway(true);
                await Task.Delay(span);
                node.DatastoreIsAway(false);
                break;
            case 5:
                node.LeaseFails();
                break;
            default:
                foreach (var each in All)
                    each.DatastoreIsAway(true);
                await Task.Delay(span);
                foreach (var each in All)
                    each.DatastoreIsAway(false);
                break;
        }
    }

    private async Task SilenceAsync(ChurnNode node, TimeSpan span)
    {
        var held = BlocksOf(node);
        await Task.Delay(span);
        if (held > 0 && BlocksOf(node) < held)
            Count("nodes that lost their blocks");
    }

    private int BlocksOf(ChurnNode node) => Datastore.Keys.Count(k => k.StartsWith(IpamKeys.AffinitiesOf(node.Name), StringComparison.Ordinal));

    private async Task DieAsync(ChurnNode node)
    {
        await node.DieAsync();
        foreach (var pod in _pods.Values.Where(p => p.Node == node))
        {
            _pods.TryRemove(pod.Id, out _);
            Free(pod);
        }
    }

    // Until the node has compared what it has with what is stored, its pods may have addresses that others have by now.
    private async Task ReconciledAsync(ChurnNode node)
    {
        await UntilAsync(node.AbsenceAsync, $"{node.Name} is one of them again");
        // What was told to the owners of its blocks before that is carried out by now, or never.
        await Task.Delay(TimeSpan.FromSeconds(1));
        await UntilAsync(async () => await node.UnsettledAsync(), $"{node.Name} has found out what is still its own");
        await DeleteFencedAsync(node);
        node.MayBeGone = false;
    }

    // A pod that is cut off, because its address is another's, is for a person to delete.
    private async Task DeleteFencedAsync(ChurnNode node)
    {
        foreach (var fenced in (await node.WorkloadsAsync()).Where(w => w.IsFenced))
        {
            Count("pods cut off");
            if (_pods.TryRemove(fenced.ContainerId, out var pod))
                await RemoveAsync(pod);
        }
    }

    // ---- at the end --------------------------------------------------------------------------------------------------

    /// <summary>Waits until nothing is under way, and says what is wrong then.</summary>
    public async Task<ImmutableArray<string>> AuditAsync()
    {
        Tell("everything is whole; waiting until nothing changes any more");
        foreach (var node in All)
        {
            await UntilAsync(async () => await node.UnsettledAsync(), $"{node.Name} is settled");
            for (var tries = 0; !node.Orphans.IsEmpty && tries < 10_000; tries++)
            {
                if (node.Orphans.TryDequeue(out var orphan))
                    await RemoveAsync(orphan);
            }
            await DeleteFencedAsync(node);
        }
        ImmutableArray<string> faults = [];
        // What a reconciler finds is written a moment later.
        await UntilAsync(async () =>
        {
            foreach (var node in All)
            {
                if (await node.UnsettledAsync() is not { } why)
                    continue;
                faults = [why];
                return why;
            }
            faults = await new AddressAudit(Datastore).RunAsync(await LivingAsync());
            return faults.IsEmpty ? null : string.Join('\n', faults);
        }, "the addresses are as they should be", isFault: true);
        return [.. _faults, .. faults];
    }

    private async Task<Dictionary<string, ImmutableArray<string>>> LivingAsync()
    {
        var living = new Dictionary<string, ImmutableArray<string>>();
        foreach (var node in All)
        {
            var workloads = await node.WorkloadsAsync();
            var known = workloads.Select(w => w.ContainerId).Order(StringComparer.Ordinal);
            var expected = _pods.Values.Where(p => p.Node == node).Select(p => p.Id).Order(StringComparer.Ordinal);
            if (!known.SequenceEqual(expected))
                _faults.Enqueue($"{node.Name} knows {string.Join(' ', known.Except(expected))} and does not know {string.Join(' ', expected.Except(known))}");
            foreach (var workload in workloads.Where(w => !w.IsFenced))
                living[workload.HandleId] = [.. workload.Addresses];
        }
        return living;
    }

    private async Task UntilAsync(Func<Task<string?>> missing, string what, bool isFault = false)
    {
        var begun = TimeProvider.System.GetTimestamp();
        for (; ; )
        {
            string? still;
            try
            {
                still = await missing();
            }
            catch (Exception e) when (e is AskTimeoutException or OperationCanceledException)
            {
                still = e.Message;
            }
            if (still is null)
                return;
            if (TimeProvider.System.GetElapsedTime(begun) > Patience)
            {
                Tell($"never: {what}: {still}");
                TellOfPods(still);
                foreach (var node in All)
                    Tell(await node.DescribeAsync());
                Assert.True(isFault, $"never: {what}: {still}");
                return;
            }
            await Task.Delay(100);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Task.WhenAll(All.Select(n => n.DisposeAsync().AsTask()));
        await Nodes.Terminate();
    }
}

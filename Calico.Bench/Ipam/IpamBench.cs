using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Diagnostics;
using System.Globalization;
using Akka.Actor;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Bench.Datastore;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Bench.Ipam;

/// <summary>
/// Addresses that are durable in Debian's etcd, a second, for many callers on one node. The peer is what Calico's library does:
/// each caller reads the block, writes it by compare-and-swap, begins again if another was faster, and writes the handle.
/// Each caller takes an address and gives it back, again and again; only what is taken counts.
/// </summary>
internal static class IpamBench
{
    private const string Node = "node-1";
    private const int Rounds = 3;

    private static readonly Cidr PoolCidr = Cidr.Parse("10.65.0.0/16");
    private static readonly PoolRef Pool = new("pool", PoolCidr, 25);

    private sealed record Result(double PerSecond, double P50, double P99, long Transactions, long Conflicts);

    public static async Task<int> RunAsync(string[] args)
    {
        var directory = Path.Combine(args.Length > 0 ? args[0] : Path.GetTempPath(), $"calico-bench-{Environment.ProcessId}");
        var span = TimeSpan.FromSeconds(args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 5);
        Directory.CreateDirectory(directory);
        try
        {
            await using var etcd = await BenchBackend.EtcdAsync(directory);
            Console.WriteLine("callers  way            addresses/s   p50 ms   p99 ms   transactions   conflicts   ratio");
            foreach (var callers in (int[])[1, 64])
            {
                var results = new Dictionary<string, List<Result>> { ["optimistic"] = [], ["lease"] = [], ["lease, decided"] = [] };
                for (var round = 0; round < Rounds; round++)
                {
                    results["optimistic"].Add(await OptimisticAsync(etcd.Store, callers, span, round));
                    results["lease"].Add(await LeaseAsync(etcd.Store, callers, span, LeaseAnswer.Durable));
                    results["lease, decided"].Add(await LeaseAsync(etcd.Store, callers, span, LeaseAnswer.Decided));
                }
                var floor = Median(results["optimistic"]);
                foreach (var (way, all) in results)
                {
                    var r = Median(all);
                    Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                        $"{callers,7}  {way,-14} {r.PerSecond,11:N0} {r.P50,8:0.00} {r.P99,8:0.0} {r.Transactions,14:N0} {r.Conflicts,11:N0} {r.PerSecond / floor.PerSecond,7:0.0}"));
                }
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
        return 0;
    }

    private static Result Median(List<Result> results) => results.OrderBy(r => r.PerSecond).ElementAt(results.Count / 2);

    private static async Task<Result> MeasureAsync(CountingStore store, int callers, TimeSpan span, Func<int, long, Task<Func<Task>>> take)
    {
        var (transactions, conflicts) = (store.Transactions, store.Conflicts);
        var latencies = new ConcurrentBag<double>();
        var watch = Stopwatch.StartNew();
        await Task.WhenAll(Enumerable.Range(0, callers).Select(c => Task.Run(async () =>
        {
            for (var i = 0L; watch.Elapsed < span; i++)
            {
                var begun = Stopwatch.GetTimestamp();
                var giveBack = await take(c, i);
                latencies.Add(Stopwatch.GetElapsedTime(begun).TotalMilliseconds);
                await giveBack();
            }
        })));
        var sorted = latencies.Order().ToArray();
        return new Result(sorted.Length / watch.Elapsed.TotalSeconds, sorted[sorted.Length / 2], sorted[sorted.Length * 99 / 100],
            store.Transactions - transactions, store.Conflicts - conflicts);
    }

    // ---- the peer ----------------------------------------------------------------------------------------------------

    private static async Task<Result> OptimisticAsync(IDatastore etcd, int callers, TimeSpan span, int round)
    {
        var store = new CountingStore(etcd);
        var block = Cidr.Parse($"10.66.{round}.0/25");
        await etcd.CommitAsync(new Transaction([], [Write.Put(IpamKeys.Block(block), IpamJson.WriteBlock(IpamBlock.Create(block, "host:" + Node, TimeProvider.System.GetUtcNow())))]));
        return await MeasureAsync(store, callers, span, async (caller, i) =>
        {
            var handle = $"net.{round}-{caller}-{i}";
            await ChangeAsync(store, block, b => b.AutoAssign(new AllocationAttributes(handle, Attributes(handle)), _ => false));
            await store.CommitAsync(new Transaction([Compare.Absent(IpamKeys.Handle(handle))],
                [Write.Put(IpamKeys.Handle(handle), IpamJson.WriteHandle(new Dictionary<string, int> { [block.ToString()] = 1 }))]));
            return async () =>
            {
                await ChangeAsync(store, block, b => b.ReleaseWhere((_, o) => o.HandleId == handle));
                await store.CommitAsync(new Transaction([], [Write.Delete(IpamKeys.Handle(handle))]));
            };
        });
    }

    private static async Task ChangeAsync(CountingStore store, Cidr cidr, Action<IpamBlock> change)
    {
        while (true)
        {
            var stored = (await store.GetAsync(IpamKeys.Block(cidr)))!;
            var block = IpamJson.ParseBlock(stored.Value);
            change(block);
            block.SequenceNumber++;
            if ((await store.CommitAsync(new Transaction([Compare.At(stored.Key, stored.ModRevision)], [Write.Put(stored.Key, IpamJson.WriteBlock(block))]))).Succeeded)
                return;
        }
    }

    private static ImmutableSortedDictionary<string, string> Attributes(string pod) => ImmutableSortedDictionary<string, string>.Empty
        .Add("namespace", "default").Add("node", Node).Add("pod", pod).Add("timestamp", "2026-01-01 00:00:00.0000000 +0000 UTC");

    // ---- ours --------------------------------------------------------------------------------------------------------

    private static async Task<Result> LeaseAsync(IDatastore etcd, int callers, TimeSpan span, LeaseAnswer answer)
    {
        var store = new CountingStore(etcd);
        var system = ActorSystem.Create("bench", "akka { loglevel = ERROR, loggers = [], stdout-loglevel = OFF }");
        try
        {
            var mesh = system.ActorOf(Props.Create(() => new Mesh(BlockActor.Props(store, TimeProvider.System))));
            var lease = system.ActorOf(LeaseActor.Props(store, Node, mesh, TimeProvider.System, new LeaseOptions { Answer = answer }));
            await (await TakeAsync(lease, "first", 0))();
            return await MeasureAsync(store, callers, span, (caller, i) => TakeAsync(lease, $"{answer}-{caller}-{i}", i));
        }
        finally
        {
            await system.Terminate();
        }
    }

    private static async Task<Func<Task>> TakeAsync(IActorRef lease, string pod, long request)
    {
        var handle = "net." + pod;
        var answer = await lease.Ask<object>(new LeaseProtocol.Allocate(request, new AllocationRequest(handle, Attributes(pod), [IpVersion.V4], [PoolCidr], []),
            [Pool], _ => []), TimeSpan.FromSeconds(30));
        var addresses = answer is LeaseProtocol.Allocated given ? given.Addresses : throw new InvalidOperationException($"no address: {answer}");
        return () => lease.Ask<LeaseProtocol.Released>(new LeaseProtocol.Release(request, handle, addresses, []), TimeSpan.FromSeconds(30));
    }

    /// <summary>The owners of blocks, without a mesh between.</summary>
    private sealed class Mesh : ReceiveActor
    {
        private readonly Dictionary<Cidr, IActorRef> _owners = [];

        public Mesh(Props owner)
        {
            Receive<UpstreamProtocol.Subscribe>(s => s.Subscriber.Tell(new UpstreamProtocol.ResourcesChanged([], true, 1)));
            Receive<UpstreamProtocol.AnswerTo>(_ => { });
            Receive<MeshLinkProtocol.ToBlock>(m =>
            {
                if (!_owners.TryGetValue(m.Command.Block, out var block))
                    _owners[m.Command.Block] = block = Context.ActorOf(owner);
                block.Forward(m.Command);
            });
        }
    }

    /// <summary>Counts transactions, and those that lost a race.</summary>
    private sealed class CountingStore(IDatastore inner) : IDatastore
    {
        private long _transactions;
        private long _conflicts;

        public long Transactions => Interlocked.Read(ref _transactions);
        public long Conflicts => Interlocked.Read(ref _conflicts);

        public Task<KeyValue?> GetAsync(string key, CancellationToken cancellation = default) => inner.GetAsync(key, cancellation);

        public Task<ListPage> ListAsync(string prefix, string? next = null, long revision = 0, int limit = DatastoreLimits.MaxPageItems, CancellationToken cancellation = default) =>
            inner.ListAsync(prefix, next, revision, limit, cancellation);

        public async Task<TransactionResult> CommitAsync(Transaction transaction, CancellationToken cancellation = default)
        {
            Interlocked.Increment(ref _transactions);
            var result = await inner.CommitAsync(transaction, cancellation);
            if (!result.Succeeded)
                Interlocked.Increment(ref _conflicts);
            return result;
        }

        public IAsyncEnumerable<ImmutableArray<WatchEvent>> WatchAsync(string prefix, long afterRevision, CancellationToken cancellation = default) =>
            inner.WatchAsync(prefix, afterRevision, cancellation);

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}

using System.Collections.Immutable;
using System.Diagnostics;
using System.Globalization;
using Calico.Core.Model;
using Calico.Core.Model.Resources;
using Calico.Datastore;
using Google.Protobuf;
using Grpc.Net.Client;
using Wire = Calico.Datastore.Etcd.Wire;

namespace Calico.Bench.Datastore;

/// <summary>
/// A start over a large cluster's etcd: everything is listed and watched from there. The peer is a client that does the
/// same with nothing but the generated messages. Sizes double, so that the cost of a key shows whether it grows.
/// </summary>
internal static class ScaleBench
{
    private const string Prefix = "/calico/resources/v3/projectcalico.org/";
    private const string Marker = Prefix + "zz-marker";
    private const int PageSize = DatastoreLimits.MaxPageItems;
    private const int Rounds = 3;
    private const int Events = 500;

    /// <summary>One of ten keys is a policy, the others are workload endpoints.</summary>
    private const int Largest = 110_000;

    public static async Task<int> RunAsync(string[] args)
    {
        var directory = Path.Combine(args.Length > 0 ? args[0] : Path.GetTempPath(), $"calico-bench-{Environment.ProcessId}");
        Directory.CreateDirectory(directory);
        try
        {
            await using var etcd = await BenchBackend.EtcdAsync(directory);
            using var channel = GrpcChannel.ForAddress(etcd.Url!, new GrpcChannelOptions { MaxReceiveMessageSize = null });
            var raw = new RawClient(channel);
            var filled = 0;
            Console.WriteLine("keys       ours: list+watch   us/key   raw: list+watch   ratio   decoded in   allocated   kept");
            foreach (var size in (int[])[Largest / 8, Largest / 4, Largest / 2, Largest])
            {
                await FillAsync(etcd.Store, filled, size);
                filled = size;
                await CompareAsync(etcd.Store, raw, size);
            }
            await EventsAsync(etcd.Store, raw);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
        return 0;
    }

    private static async Task FillAsync(IDatastore store, int from, int to)
    {
        foreach (var chunk in Enumerable.Range(from, to - from).Chunk(100))
            await store.CommitAsync(new Transaction([], [.. chunk.Select(i => Write.Put(KeyOf(i).Path, ResourceCodec.Encode(ResourceOf(i))))]));
    }

    private static ResourceKey KeyOf(int i) => ResourceOf(i).Key;

    private static Resource ResourceOf(int i) => i % 11 == 0
        ? new NetworkPolicy
        {
            Metadata = new ObjectMeta { Name = $"policy-{i}", Namespace = $"ns-{i % 200}", Uid = Guid.Empty.ToString(), CreationTimestamp = DateTimeOffset.UnixEpoch },
            Spec = new NetworkPolicySpec
            {
                Tier = "default",
                Order = i,
                Selector = $"app == 'app-{i % 500}'",
                Types = [PolicyType.Ingress],
                Ingress = [new Rule { Action = RuleAction.Allow, Protocol = Protocol.Tcp, Source = new EntityRule { Selector = $"app == 'app-{(i + 1) % 500}'" } }],
            },
        }
        : new WorkloadEndpoint
        {
            Metadata = new ObjectMeta
            {
                Name = $"node{i % 1000}-k8s-pod{i}-eth0",
                Namespace = $"ns-{i % 200}",
                Uid = Guid.Empty.ToString(),
                CreationTimestamp = DateTimeOffset.UnixEpoch,
                Labels = StringMap.From(new Dictionary<string, string>
                {
                    ["app"] = $"app-{i % 500}",
                    ["projectcalico.org/namespace"] = $"ns-{i % 200}",
                    ["projectcalico.org/orchestrator"] = "k8s",
                }),
            },
            Spec = new WorkloadEndpointSpec
            {
                Orchestrator = "k8s",
                Node = $"node{i % 1000}",
                Pod = $"pod{i}",
                ContainerID = i.ToString("x64", CultureInfo.InvariantCulture),
                Endpoint = "eth0",
                IpNetworks = [$"10.{i >> 16}.{(i >> 8) & 255}.{i & 255}/32"],
                Profiles = [$"kns.ns-{i % 200}"],
                InterfaceName = $"cali{i:x11}",
            },
        };

    // In turns, so that a slow moment of the machine hits both; the medians count.
    private static async Task CompareAsync(IDatastore store, RawClient raw, int size)
    {
        List<double> ours = [], theirs = [];
        long allocated = 0;
        for (var round = 0; round < Rounds; round++)
        {
            var before = GC.GetTotalAllocatedBytes(precise: true);
            ours.Add(await TimeAsync(() => StartAsync(store)));
            allocated = GC.GetTotalAllocatedBytes(precise: true) - before;
            theirs.Add(await TimeAsync(raw.StartAsync));
        }
        var kept = GC.GetTotalMemory(forceFullCollection: true);
        var items = await ListAsync(store);
        kept = GC.GetTotalMemory(forceFullCollection: true) - kept;
        var decoded = await TimeAsync(() => Task.Run(() =>
        {
            foreach (var item in items.Items)
            {
                if (ResourceKey.TryParse(item.Key, out var key))
                    ResourceCodec.Decode(key.Kind, item.Value.Span);
            }
        }));
        double mine = Median(ours), peer = Median(theirs);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{size,7}   {mine,13:f0} ms   {mine * 1000 / size,6:f1}   {peer,12:f0} ms   {mine / peer,5:f2}   {decoded,7:f0} ms   {allocated >> 20,6} MB   {kept >> 20,3} MB"));
        GC.KeepAlive(items);
    }

    private static async Task<(ImmutableArray<KeyValue> Items, long Revision)> ListAsync(IDatastore store)
    {
        var items = ImmutableArray.CreateBuilder<KeyValue>();
        string? next = null;
        long revision = 0;
        do
        {
            var page = await store.ListAsync(Prefix, next, revision, PageSize);
            (next, revision) = (page.Next, page.Revision);
            items.AddRange(page.Items);
        }
        while (next is not null);
        return (items.ToImmutable(), revision);
    }

    // Until the watch has shown that it is there.
    private static async Task StartAsync(IDatastore store)
    {
        var (_, revision) = await ListAsync(store);
        await store.CommitAsync(new Transaction([], [Write.Put(Marker, new byte[1])]));
        await foreach (var _ in store.WatchAsync(Prefix, revision))
            break;
    }

    private static async Task EventsAsync(IDatastore store, RawClient raw)
    {
        using var stop = new CancellationTokenSource();
        var start = (await store.CommitAsync(new Transaction([], [Write.Put(Marker, new byte[1])]))).Revision;
        using var ours = new SemaphoreSlim(0);
        using var theirs = new SemaphoreSlim(0);
        var watching = Task.Run(async () =>
        {
            await foreach (var batch in store.WatchAsync(Prefix, start, stop.Token))
                ours.Release(batch.Length);
        });
        var rawWatching = raw.WatchAsync(start, theirs, stop.Token);
        List<double> mine = [], peer = [];
        for (var i = 0; i < Events; i++)
        {
            var value = ResourceCodec.Encode(ResourceOf(i));
            var written = Stopwatch.GetTimestamp();
            var commit = store.CommitAsync(new Transaction([], [Write.Put(Marker, value)]));
            await Task.WhenAll(Until(ours, mine, written), Until(theirs, peer, written), commit);
        }
        await stop.CancelAsync();
        await Task.WhenAll(watching, rawWatching).ContinueWith(_ => { }, TaskScheduler.Default);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"event to its subscriber, from the commit's start: ours p50 {Median(mine):f2} ms, raw client p50 {Median(peer):f2} ms, ratio {Median(mine) / Median(peer):f2}"));

        static async Task Until(SemaphoreSlim arrived, List<double> into, long since)
        {
            await arrived.WaitAsync();
            into.Add(Stopwatch.GetElapsedTime(since).TotalMilliseconds);
        }
    }

    private static async Task<double> TimeAsync(Func<Task> work)
    {
        var started = Stopwatch.GetTimestamp();
        await work();
        return Stopwatch.GetElapsedTime(started).TotalMilliseconds;
    }

    private static double Median(List<double> values) => values.Order().ElementAt(values.Count / 2);

    /// <summary>The generated stubs and nothing else: no fail-over, no deadlines, no model.</summary>
    private sealed class RawClient(GrpcChannel channel)
    {
        private static readonly ByteString First = ByteString.CopyFromUtf8(Prefix);
        private static readonly ByteString End = ByteString.CopyFromUtf8(Prefix[..^1] + '0');
        private readonly Wire.KV.KVClient _kv = new(channel);
        private readonly Wire.Watch.WatchClient _watch = new(channel);

        public async Task StartAsync()
        {
            var items = new List<Wire.KeyValue>();
            var from = First;
            long revision = 0;
            while (true)
            {
                var page = await _kv.RangeAsync(new Wire.RangeRequest { Key = from, RangeEnd = End, Limit = PageSize, Revision = revision });
                items.AddRange(page.Kvs);
                revision = revision == 0 ? page.Header.Revision : revision;
                if (!page.More)
                    break;
                from = ByteString.CopyFrom([.. page.Kvs[^1].Key.Span, 0]);
            }
            await _kv.PutAsync(new Wire.PutRequest { Key = ByteString.CopyFromUtf8(Marker), Value = ByteString.CopyFrom(new byte[1]) });
            using var first = new SemaphoreSlim(0);
            using var stop = new CancellationTokenSource();
            var watching = WatchAsync(revision, first, stop.Token);
            await first.WaitAsync();
            await stop.CancelAsync();
            await watching.ContinueWith(_ => { }, TaskScheduler.Default);
            GC.KeepAlive(items);
        }

        public async Task WatchAsync(long after, SemaphoreSlim arrived, CancellationToken cancellation)
        {
            using var call = _watch.Watch(cancellationToken: cancellation);
            await call.RequestStream.WriteAsync(new Wire.WatchRequest
            {
                CreateRequest = new Wire.WatchCreateRequest { Key = First, RangeEnd = End, StartRevision = after + 1, PrevKv = true },
            }, cancellation);
            while (await call.ResponseStream.MoveNext(cancellation))
            {
                if (call.ResponseStream.Current.Events.Count > 0)
                    arrived.Release(call.ResponseStream.Current.Events.Count);
            }
        }
    }
}

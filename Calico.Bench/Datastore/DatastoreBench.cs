using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Calico.Datastore;
using Microsoft.Win32.SafeHandles;

namespace Calico.Bench.Datastore;

/// <summary>
/// The embedded store in process, the same served, and etcd, on one disk, one after the other in rounds:
/// compare-and-swap transactions by 1 and by 64 callers, and the time from a commit to a watch. The floor is what the
/// disk can do: one page written over in a file that has its size already, and synced, at a time.
/// </summary>
internal static class DatastoreBench
{
    private const int Rounds = 3;
    private const int ValueBytes = 256;
    private const int WatchedCommits = 300;
    private const int PageBytes = 4096;
    private const int FloorPages = 1024;

    public static async Task<int> RunAsync(string[] args)
    {
        var parent = args.Length > 0 ? args[0] : Path.GetTempPath();
        var duration = TimeSpan.FromSeconds(args.Length > 1 ? double.Parse(args[1], CultureInfo.InvariantCulture) : 5);
        var directory = Path.Combine(parent, $"calico-bench-{Environment.ProcessId}");
        Directory.CreateDirectory(directory);
        try
        {
            await using var embedded = BenchBackend.Embedded(directory);
            await using var served = await BenchBackend.ServedAsync(directory);
            await using var etcd = await BenchBackend.EtcdAsync(directory);
            BenchBackend[] backends = [embedded, served, etcd];
            (string, Func<Task<Sample>>)[] Each(Func<IDatastore, Task<Sample>> measure) =>
                [.. backends.Select(b => (b.Name, (Func<Task<Sample>>)(() => measure(b.Store))))];

            (string, Func<Task<Sample>>) floor = ("disk floor", () => Task.FromResult(Fsyncs(directory, duration)));
            await CompareAsync("1 caller", [floor, .. Each(s => CasAsync(s, 1, duration))], Report);
            await CompareAsync("64 callers", Each(s => CasAsync(s, 64, duration)), Report);
            await CompareAsync("1 watch", Each(s => WatchAsync(s, 1)), ReportWatch);
            await CompareAsync("100 watches", Each(s => WatchAsync(s, 100)), ReportWatch);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
        return 0;
    }

    // The rounds alternate, so that a slow minute of the machine hits all of them; the median round counts.
    private static async Task CompareAsync(string what, (string Name, Func<Task<Sample>> MeasureAsync)[] subjects,
        Action<string, string, Sample> report)
    {
        var samples = subjects.ToDictionary(s => s.Name, _ => new List<Sample>());
        for (var round = 0; round < Rounds; round++)
        {
            foreach (var (name, measureAsync) in subjects)
                samples[name].Add(await measureAsync());
        }
        foreach (var (name, _) in subjects)
            report(name, what, samples[name].OrderBy(s => s.Median).ElementAt(Rounds / 2));
    }

    /// <summary>Each caller updates a key of its own from the revision it knows, as fast as it is answered.</summary>
    private static async Task<Sample> CasAsync(IDatastore store, int callers, TimeSpan duration)
    {
        var latencies = new ConcurrentBag<List<double>>();
        var clock = Stopwatch.StartNew();
        await Task.WhenAll(Enumerable.Range(0, callers).Select(c => Task.Run(async () =>
        {
            var value = new byte[ValueBytes];
            Random.Shared.NextBytes(value);
            var key = $"/bench/cas/{c}";
            var revision = (await store.GetAsync(key))?.ModRevision ?? 0;
            List<double> own = [];
            while (clock.Elapsed < duration)
            {
                var started = Stopwatch.GetTimestamp();
                var result = await store.CommitAsync(new Transaction([new Compare(key, revision)], [Write.Put(key, value)]));
                own.Add(Stopwatch.GetElapsedTime(started).TotalMilliseconds);
                if (!result.Succeeded)
                    throw new InvalidOperationException("a key of one's own was written by somebody else");
                revision = result.Revision;
            }
            latencies.Add(own);
        })));
        return new Sample([.. latencies.SelectMany(l => l)], clock.Elapsed);
    }

    /// <summary>From just before a commit until the last of the watches has its event.</summary>
    private static async Task<Sample> WatchAsync(IDatastore store, int watches)
    {
        using var stop = new CancellationTokenSource();
        var start = (await store.CommitAsync(new Transaction([], [Write.Put("/bench/watch", new byte[1])]))).Revision;
        using var arrived = new SemaphoreSlim(0);
        var readers = Enumerable.Range(0, watches).Select(async _ =>
        {
            await foreach (var batch in store.WatchAsync("/bench/watch", start, stop.Token))
                arrived.Release(batch.Length);
        }).ToArray();

        var clock = Stopwatch.StartNew();
        List<double> latencies = [];
        for (var i = 0; i < WatchedCommits; i++)
        {
            var started = Stopwatch.GetTimestamp();
            await store.CommitAsync(new Transaction([], [Write.Put("/bench/watch", new byte[ValueBytes])]));
            for (var seen = 0; seen < watches; seen++)
                await arrived.WaitAsync();
            latencies.Add(Stopwatch.GetElapsedTime(started).TotalMilliseconds);
        }
        var elapsed = clock.Elapsed;
        await stop.CancelAsync();
        await Task.WhenAll(readers).ContinueWith(_ => { }, TaskScheduler.Default);
        return new Sample([.. latencies], elapsed);
    }

    private static Sample Fsyncs(string directory, TimeSpan duration)
    {
        using SafeFileHandle file = File.OpenHandle(Path.Combine(directory, "fsync"), FileMode.Create, FileAccess.Write);
        var page = new byte[PageBytes];
        for (var i = 0; i < FloorPages; i++)
            RandomAccess.Write(file, page, (long)i * PageBytes);
        RandomAccess.FlushToDisk(file);
        List<double> latencies = [];
        var clock = Stopwatch.StartNew();
        for (var i = 0; clock.Elapsed < duration; i++)
        {
            var started = Stopwatch.GetTimestamp();
            RandomAccess.Write(file, page, (long)(i % FloorPages) * PageBytes);
            RandomAccess.FlushToDisk(file);
            latencies.Add(Stopwatch.GetElapsedTime(started).TotalMilliseconds);
        }
        return new Sample([.. latencies], clock.Elapsed);
    }

    private static void Report(string name, string what, Sample sample) => Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
        $"{name,-12} {what,-11} {sample.Latencies.Length / sample.Elapsed.TotalSeconds,9:f0}/s   p50 {sample.Median,7:f2} ms   p99 {sample.Percentile(0.99),7:f2} ms"));

    private static void ReportWatch(string name, string what, Sample sample) => Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
        $"{name,-12} {what,-11} commit to last event   p50 {sample.Median,7:f2} ms   p99 {sample.Percentile(0.99),7:f2} ms"));

    private sealed class Sample(double[] latencies, TimeSpan elapsed)
    {
        private readonly double[] _sorted = [.. latencies.Order()];

        public double[] Latencies => _sorted;
        public TimeSpan Elapsed { get; } = elapsed;
        public double Median => Percentile(0.5);

        public double Percentile(double part) => _sorted[(int)((_sorted.Length - 1) * part)];
    }
}

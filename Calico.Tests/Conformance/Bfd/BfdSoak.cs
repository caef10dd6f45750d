using System.Globalization;
using System.Runtime;
using Calico.Core.Bfd;
using Calico.Kernel.Bfd;
using Calico.Tests.Kernel.Bfd;

namespace Calico.Tests.Conformance.Bfd;

/// <summary>
/// A process that has a session of 50 ms and 3 with BIRD and does all that it can to lose it: it keeps every core busy, allocates
/// on two threads, holds a heap of more than 200 MB and has all of it collected again and again with every thread stopped. It
/// is a process of its own so that other tests do not suffer.
/// </summary>
internal static class BfdSoak
{
    private const int HeapMegabytes = 256;
    private const int LongestRunMilliseconds = 40;

    /// <summary>What the process prints at the end, and what is read back.</summary>
    internal sealed record Report(double Seconds, long Ups, long Flaps, int Collections, double PausedShare, double LongestPauseMs, double HeapMb, long PacketsIn, bool SendsAhead)
    {
        public override string ToString() => string.Create(CultureInfo.InvariantCulture,
            $"soak: {Seconds:F0} s, {Ups} ups, {Flaps} flaps, {Collections} blocking collections, paused for {PausedShare:P0} of the time and {LongestPauseMs:F0} ms at the longest, heap {HeapMb:F0} MB, {PacketsIn} packets in, ahead {SendsAhead}");
    }

    /// <param name="args">Seconds; whether the kernel may send ahead.</param>
    public static async Task<int> RunAsync(string[] args)
    {
        var seconds = int.Parse(args[0], CultureInfo.InvariantCulture);
        await using var bed = new BfdBed();
        // The machine is busy for both; whether BIRD gets its share of it is not what is measured.
        await using var bird = new BirdBfd(bed.Theirs) { Before = ["nice", "-n", "-20"] };
        var engine = bed.Start(bed.Ours, sendsAhead: bool.Parse(args[1]));
        await bird.StartAsync(BfdBed.Every(50), BfdBed.Endpoint);
        engine.Watch(BfdBed.Endpoint, BfdBed.Every(50));
        await BfdBed.UntilAsync(async () => await BfdBed.StatusAsync(engine, BfdBed.Endpoint) is { State: BfdState.Up, DetectionTime.TotalMilliseconds: 150 });
        await BfdBed.UntilAsync(async () => await bird.FindAsync(BfdBed.Local) is { IsUp: true });

        using var load = new Load();
        using var never = new ManualResetEventSlim();
        var random = new Random(1);
        var (began, paused) = (BfdLoop.Now, GC.GetTotalPauseDuration());
        while (BfdLoop.Now - began < TimeSpan.FromSeconds(seconds))
        {
            load.CollectEverything();
            // A program runs between two collections, if only shortly.
            never.Wait(random.Next(LongestRunMilliseconds));
        }
        var took = BfdLoop.Now - began;
        var share = (GC.GetTotalPauseDuration() - paused) / took;

        var status = await BfdBed.StatusAsync(engine, BfdBed.Endpoint);
        var report = new Report(took.TotalSeconds, status.Counters.Ups, status.Counters.Downs, load.Collections, share, load.LongestPause.TotalMilliseconds,
            load.Heap / 1e6, status.Counters.PacketsIn, engine.SendsAhead);
        await Console.Out.WriteLineAsync($"{report}\n{status}\n{bird.Log}");
        await Console.Out.WriteLineAsync(System.Text.Json.JsonSerializer.Serialize(report));
        return 0;
    }

    /// <summary>The process at its worst. Its collections are those of the whole heap, compacting, with all threads stopped.</summary>
    private sealed class Load : IDisposable
    {
        private readonly List<Thread> _threads = [];
        private readonly object?[] _heap = BuildHeap();
        private volatile bool _ended;

        public Load()
        {
            for (var i = 0; i < Environment.ProcessorCount; i++)
            {
                _threads.Add(new Thread(Spin));
                _threads.Add(new Thread(Allocate));
            }
            foreach (var thread in _threads)
                thread.Start();
        }

        public int Collections { get; private set; }
        public TimeSpan LongestPause { get; private set; }
        public long Heap { get; private set; }

        public void CollectEverything()
        {
            GCSettings.LargeObjectHeapCompactionMode = GCLargeObjectHeapCompactionMode.CompactOnce;
            GC.Collect(2, GCCollectionMode.Forced, blocking: true, compacting: true);
            Collections++;
            var info = GC.GetGCMemoryInfo(GCKind.FullBlocking);
            Heap = info.HeapSizeBytes;
            foreach (var pause in info.PauseDurations)
                LongestPause = pause > LongestPause ? pause : LongestPause;
        }

        public void Dispose()
        {
            _ended = true;
            foreach (var thread in _threads)
                thread.Join();
        }

        // Many small objects that point to each other, which is what a collector has to walk through.
        private static object?[] BuildHeap()
        {
            var heap = new object?[HeapMegabytes * 1024 * 1024 / 64];
            for (var i = 0; i < heap.Length; i++)
                heap[i] = new object?[] { i > 0 ? heap[i / 2] : null, null, null };
            return heap;
        }

        private void Spin()
        {
            while (!_ended)
                Thread.SpinWait(1000);
        }

        private void Allocate()
        {
            var random = new Random(1);
            while (!_ended)
                _heap[random.Next(_heap.Length)] = new object?[] { new byte[random.Next(200)], null, null };
        }
    }
}

using Calico.Core.Bfd;
using Calico.Core.Net;
using Calico.Kernel.Bfd;
using static Calico.Tests.Kernel.Bfd.BfdBed;

namespace Calico.Tests.Kernel.Bfd;

/// <summary>The thread held up, as a garbage collection or a hypervisor does it, and what it costs to run.</summary>
[Layer("kernel")]
public sealed class BfdPauseTests : IAsyncLifetime
{
    private readonly BfdBed _bed = new();
    private readonly BfdThread _engine;

    public BfdPauseTests() => _engine = _bed.Start(_bed.Ours);

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync() => await _bed.DisposeAsync();

    [Fact]
    public async Task A_pause_of_many_detection_times_is_no_failure_of_a_neighbour_that_went_on_talking()
    {
        using var puppet = await UpAsync();

        await HoldAsync(TimeSpan.FromSeconds(2));
        await RoundsAsync(2);

        var status = await StatusAsync(_engine, Endpoint);
        Assert.Equal((BfdState.Up, 0L, 0L), (status.State, status.Counters.Downs, status.Counters.Excused));
    }

    [Fact]
    public async Task After_a_pause_in_which_nothing_could_arrive_the_neighbour_is_given_a_detection_time()
    {
        using var puppet = await UpAsync();

        puppet.Silent = true;
        await HoldAsync(TimeSpan.FromSeconds(2), () => puppet.Silent = false);
        await UntilAsync(async () => (await StatusAsync(_engine, Endpoint)).Counters.Excused > 0);
        await RoundsAsync(2);

        var status = await StatusAsync(_engine, Endpoint);
        Assert.True(status is { State: BfdState.Up, Counters.Downs: 0 }, status.ToString());
    }

    [Fact]
    public async Task A_neighbour_that_fell_silent_during_a_pause_is_given_up_all_the_same()
    {
        using var puppet = await UpAsync();

        puppet.Silent = true;
        await HoldAsync(TimeSpan.FromSeconds(2));

        await UntilAsync(async () => await StatusAsync(_engine, Endpoint) is
        { State: BfdState.Down, Diagnostic: BfdDiagnostic.ControlDetectionTimeExpired });
    }

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_neighbour_goes_on_hearing_us_through_a_pause_if_the_kernel_sends_ahead_and_only_then(bool ahead)
    {
        var held = _bed.Start(_bed.Ours, sendsAhead: ahead);
        var other = _bed.Start(_bed.Theirs);
        Skip.If(ahead && !held.SendsAhead, "this kernel has no io_uring");
        held.Watch(Endpoint, Every(100));
        other.Watch(Reverse(Endpoint), Every(100));
        await UntilAsync(async () => await StatusAsync(other, Reverse(Endpoint)) is { State: BfdState.Up, DetectionTime.TotalMilliseconds: 300 });
        await UntilAsync(async () => await StatusAsync(held, Endpoint) is { State: BfdState.Up, DetectionTime.TotalMilliseconds: 300 });
        await Task.Delay(500);

        await HoldAsync(held, TimeSpan.FromSeconds(0.9));
        await RoundsAsync(1);

        Assert.Equal(ahead ? 0 : 1, (await StatusAsync(other, Reverse(Endpoint))).Counters.Downs);
    }

    [SkippableFact]
    public async Task What_the_kernel_sends_ahead_has_the_agreed_pace_and_ends_with_the_state_that_it_tells()
    {
        Skip.IfNot(_engine.SendsAhead, "this kernel has no io_uring");
        using var puppet = await UpAsync();
        using var heard = _bed.Neighbouring(Neighbour, BfdEndpoint.SingleHopPort);
        await Task.Delay(1000);
        var octets = new byte[100];
        while (heard.Available > 0)
            heard.Receive(octets);

        var packets = await CountAsync(heard, TimeSpan.FromSeconds(3));
        Assert.InRange(packets, 9, 14);

        _engine.SetEnabled(Endpoint, false);
        await IsAsync(_engine, Endpoint, BfdState.AdminDown);
        while (heard.Available > 0)
            heard.Receive(octets);
        BfdPacket.TryDecode(octets, out var last);
        Assert.Equal(BfdState.AdminDown, last.State);
        Assert.InRange(await CountAsync(heard, TimeSpan.FromSeconds(2)), 1, 3);

        async Task<int> CountAsync(System.Net.Sockets.Socket socket, TimeSpan time)
        {
            var count = 0;
            using var end = new CancellationTokenSource(time);
            try
            {
                for (; ; count++)
                    await socket.ReceiveAsync(octets, end.Token);
            }
            catch (OperationCanceledException)
            {
                return count;
            }
        }
    }

    [Fact]
    public async Task Thousands_of_packets_make_no_object()
    {
        var other = _bed.Start(_bed.Theirs);
        BfdEndpoint[] endpoints =
        [
            .. from pair in new[] { (Neighbour, Local), (NeighbourV6, LocalV6) }
               from device in new[] { null, "cable" }
               from multihop in new[] { false, true }
               select new BfdEndpoint(pair.Item1, pair.Item2, device, multihop),
        ];
        foreach (var endpoint in endpoints)
        {
            _engine.Watch(endpoint, Every(10, 100));
            other.Watch(Reverse(endpoint), Every(10, 100));
        }
        foreach (var endpoint in endpoints)
        {
            await UntilAsync(async () => await StatusAsync(_engine, endpoint) is { State: BfdState.Up, DetectionTime.TotalSeconds: 1 });
            await UntilAsync(async () => await StatusAsync(other, Reverse(endpoint)) is { State: BfdState.Up, DetectionTime.TotalSeconds: 1 });
        }

        // The last polls are over.
        await Task.Delay(TimeSpan.FromSeconds(3));
        // What is made once, such as a type that is loaded late, is made by no packet: the next thousands make nothing.
        var made = -1L;
        for (var i = 0; i < 3 && made != 0; i++)
        {
            var packets = await PacketsAsync();
            var before = await AllocatedAsync();
            await Task.Delay(TimeSpan.FromSeconds(4));
            made = await AllocatedAsync() - before;
            Assert.True(await PacketsAsync() - packets > 2000, $"{await PacketsAsync() - packets} packets");
        }
        Assert.Equal(0, made);
    }

    // Up with 300 ms and 3 against a puppet that sends every 20 ms.
    private async Task<BfdPuppet> UpAsync()
    {
        _engine.Watch(Endpoint, Every(300));
        var puppet = new BfdPuppet(_bed, (await StatusAsync(_engine, Endpoint)).LocalDiscriminator);
        await UntilAsync(async () => await StatusAsync(_engine, Endpoint) is { State: BfdState.Up, DetectionTime.TotalMilliseconds: 900 });
        return puppet;
    }

    private Task HoldAsync(TimeSpan time, Action? before = null) => HoldAsync(_engine, time, before);

    private static async Task HoldAsync(BfdThread engine, TimeSpan time, Action? before = null)
    {
        var held = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        engine.Execute(() =>
        {
            using var never = new ManualResetEventSlim();
            never.Wait(time);
            before?.Invoke();
            held.SetResult();
        });
        await held.Task;
    }

    // The thread has judged everybody since.
    private async Task RoundsAsync(int detectionTimes)
    {
        await Task.Delay(TimeSpan.FromMilliseconds(900 * detectionTimes));
        await _engine.StatusAsync();
    }

    private async Task<long> PacketsAsync() => (await _engine.StatusAsync()).Sum(s => s.Counters.PacketsIn + s.Counters.PacketsOut);

    // Whatever tells the waiter would make an object on the thread itself.
    private async Task<long> AllocatedAsync()
    {
        var allocated = -1L;
        _engine.Execute(() => Volatile.Write(ref allocated, GC.GetAllocatedBytesForCurrentThread()));
        await UntilAsync(() => Task.FromResult(Volatile.Read(ref allocated) >= 0));
        return allocated;
    }
}

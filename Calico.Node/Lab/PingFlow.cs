using System.Diagnostics;
using Calico.Core.Net;

namespace Calico.Node.Lab;

/// <summary>What became of the numbered requests of a flow.</summary>
/// <param name="Lost">When those that never came back were sent, from the flow's beginning.</param>
/// <param name="Gap">The longest time between two requests that were answered and had none between them; zero if fewer than two were.</param>
internal sealed record PingCount(int Sent, IReadOnlyList<TimeSpan> Lost, TimeSpan Gap)
{
    public static PingCount Of(IReadOnlyList<TimeSpan> sentAt, IReadOnlySet<ushort> answered)
    {
        var lost = new List<TimeSpan>();
        var gap = TimeSpan.Zero;
        TimeSpan? last = null;
        for (var i = 0; i < sentAt.Count; i++)
        {
            if (!answered.Contains((ushort)(i + 1)))
            {
                lost.Add(sentAt[i]);
                continue;
            }
            if (last is { } before && sentAt[i] - before > gap)
                gap = sentAt[i] - before;
            last = sentAt[i];
        }
        return new PingCount(sentAt.Count, lost, gap);
    }
}

/// <summary>A steady stream of echo requests from one pod to another or elsewhere, and the count of those that came back.</summary>
internal sealed class PingFlow : IAsyncDisposable
{
    private static readonly TimeSpan Usual = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan Straggler = TimeSpan.FromSeconds(1);

    private readonly Probe.Echo _echo;
    private readonly CancellationTokenSource _stop = new();
    private readonly HashSet<ushort> _answered = [];
    private readonly long _begun = Stopwatch.GetTimestamp();
    private readonly List<TimeSpan> _sentAt = [];
    private readonly Task _sending;
    private readonly Task _receiving;
    private int _sent, _answers;

    private PingFlow(string name, Probe.Echo echo, TimeSpan interval)
    {
        Name = name;
        _echo = echo;
        _sending = SendAsync(interval);
        _receiving = ReceiveAsync();
    }

    public string Name { get; }
    public int Sent => Volatile.Read(ref _sent);
    public int Answered => Volatile.Read(ref _answers);

    public static PingFlow Start(Topology topology, LabPod from, LabPod to) =>
        Start(topology, from, IpAddr.Parse(to.Address), to.Id.ToString(), Usual);

    /// <summary>To an address that need not be a pod's.</summary>
    public static PingFlow Start(Topology topology, LabPod from, IpAddr to, TimeSpan interval) =>
        Start(topology, from, to, to.ToString(), interval);

    private static PingFlow Start(Topology topology, LabPod from, IpAddr to, string name, TimeSpan interval)
    {
        using var inside = topology.OpenPod(from.Id);
        return new PingFlow($"{from.Id} -> {name}", new Probe.Echo(inside, to), interval);
    }

    /// <summary>Stops, waits for the last answers, and counts.</summary>
    public async Task<PingCount> StopAsync()
    {
        await _stop.CancelAsync();
        await _sending;
        await _receiving;
        return PingCount.Of(_sentAt, _answered);
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAll(_sending, _receiving);
        _echo.Dispose();
        _stop.Dispose();
    }

    private async Task SendAsync(TimeSpan interval)
    {
        using var timer = new PeriodicTimer(interval);
        try
        {
            while (await timer.WaitForNextTickAsync(_stop.Token))
            {
                // What the kernel refuses to send is lost, too.
                _sentAt.Add(Stopwatch.GetElapsedTime(_begun));
                _echo.TrySend();
                _sent++;
            }
        }
        catch (OperationCanceledException)
        {
            // Stopped.
        }
    }

    private async Task ReceiveAsync()
    {
        // Ends when everything was answered after the last was sent, or nothing came for a while after it. The stop itself
        // is too early: one more may be on its way out.
        while (!_sending.IsCompleted || _answered.Count < _sent)
        {
            var stopped = _sending.IsCompleted;
            if (await _echo.ReceiveAsync(Straggler) is { } sequence)
            {
                _answered.Add(sequence);
                Volatile.Write(ref _answers, _answered.Count);
            }
            else if (stopped)
                return;
        }
    }
}

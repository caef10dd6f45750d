using System.Diagnostics;
using Calico.Core.Net;

namespace Calico.Node.Lab;

/// <summary>A steady stream of echo requests from one pod to another, and the count of those that came back.</summary>
internal sealed class PingFlow : IAsyncDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan Straggler = TimeSpan.FromSeconds(1);

    private readonly Probe.Echo _echo;
    private readonly CancellationTokenSource _stop = new();
    private readonly HashSet<ushort> _answered = [];
    private readonly long _begun = Stopwatch.GetTimestamp();
    private readonly List<TimeSpan> _sentAt = [];
    private readonly Task _sending;
    private readonly Task _receiving;
    private int _sent, _answers;

    private PingFlow(LabPod from, LabPod to, Probe.Echo echo)
    {
        Name = $"{from.Id} -> {to.Id}";
        _echo = echo;
        _sending = SendAsync();
        _receiving = ReceiveAsync();
    }

    public string Name { get; }
    public int Sent => Volatile.Read(ref _sent);
    public int Answered => Volatile.Read(ref _answers);

    public static PingFlow Start(Topology topology, LabPod from, LabPod to)
    {
        using var inside = topology.OpenPod(from.Id);
        return new PingFlow(from, to, new Probe.Echo(inside, IpAddr.Parse(to.Address)));
    }

    /// <summary>Stops, waits for the last answers, and tells how many were sent and when those that never came back.</summary>
    public async Task<(int Sent, IReadOnlyList<TimeSpan> Lost)> StopAsync()
    {
        await _stop.CancelAsync();
        await _sending;
        await _receiving;
        return (_sent, [.. _sentAt.Where((_, i) => !_answered.Contains((ushort)(i + 1)))]);
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAll(_sending, _receiving);
        _echo.Dispose();
        _stop.Dispose();
    }

    private async Task SendAsync()
    {
        using var timer = new PeriodicTimer(Interval);
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

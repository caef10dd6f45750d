namespace Calico.Datastore.Embedded;

/// <summary>What the store does by the clock: ends leases, and forgets history that nobody needs any more.</summary>
internal sealed class StoreUpkeep : IAsyncDisposable
{
    private static readonly TimeSpan LeaseInterval = TimeSpan.FromMilliseconds(500);

    private readonly StoreWriter _writer;
    private readonly WatchHub _hub;
    private readonly LeaseTable _leases;
    private readonly EmbeddedOptions _options;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _loops;

    // When which revision was the newest: the youngest entry that is older than the wanted history is where to cut.
    private readonly Queue<(long Timestamp, long Revision)> _marks = new();

    public StoreUpkeep(StoreWriter writer, WatchHub hub, LeaseTable leases, EmbeddedOptions options)
    {
        _writer = writer;
        _hub = hub;
        _leases = leases;
        _options = options;
        _marks.Enqueue((options.Time.GetTimestamp(), hub.Revision));
        var leaseTimer = new PeriodicTimer(LeaseInterval, options.Time);
        var historyTimer = options.CompactionInterval > TimeSpan.Zero ? new PeriodicTimer(options.CompactionInterval, options.Time) : null;
        _loops = Task.WhenAll(EveryAsync(leaseTimer, EndLeasesAsync), EveryAsync(historyTimer, ForgetAsync));
    }

    private async Task EveryAsync(PeriodicTimer? timer, Func<CancellationToken, Task> work)
    {
        if (timer is null)
            return;
        using (timer)
        {
            try
            {
                while (await timer.WaitForNextTickAsync(_stop.Token))
                    await work(_stop.Token);
            }
            catch (OperationCanceledException)
            {
                // Disposed.
            }
        }
    }

    private async Task EndLeasesAsync(CancellationToken cancellation)
    {
        foreach (var id in _leases.Expired())
            await TryAsync(() => _writer.RevokeLeaseAsync(id, ifExpired: true, cancellation));
    }

    private async Task ForgetAsync(CancellationToken cancellation)
    {
        var newest = _hub.Revision;
        var now = _options.Time.GetTimestamp();
        _marks.Enqueue((now, newest));
        long old = 0;
        while (_marks.TryPeek(out var mark) && _options.Time.GetElapsedTime(mark.Timestamp, now) >= _options.KeepHistoryFor)
            old = _marks.Dequeue().Revision;
        var target = Math.Max(old, newest - _options.KeepRevisions);
        if (target > 1)
            await TryAsync(() => _writer.CompactAsync(target, cancellation));
    }

    // Refused (compacted already, lease gone): that is what was wanted. Failed: the next tick tries again, and
    // whoever writes meanwhile hears why it fails.
    private static async Task TryAsync<T>(Func<Task<T>> work)
    {
        try
        {
            await work();
        }
        catch (Exception e) when (e is StoreException or DatastoreException or ObjectDisposedException)
        {
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _loops;
        _stop.Dispose();
    }
}

using System.Collections.Immutable;

namespace Calico.Datastore.Embedded;

/// <summary>
/// Hands committed changes to the watches.
/// <code>
///   writer --Publish--> hub --matching changes--> watch's queue --ReadAsync--> consumer
///                                                    | full: the watch falls behind
///                                                    v
///                                history in the file, read in pieces until it has caught up
/// </code>
/// A queue is bounded, so a slow consumer costs the writer nothing: its watch drops off the feed and reads the file
/// instead, at its own pace, until it is back at the newest revision; or until that history is compacted.
/// Lock order: hub, then watch.
/// </summary>
internal sealed class WatchHub(StoreReader reader)
{
    private readonly HashSet<StoreWatch> _watches = [];
    private readonly Lock _gate = new();
    private long _published;
    private DatastoreException? _closed;

    /// <summary>The newest revision that is committed and handed out.</summary>
    public long Revision => Volatile.Read(ref _published);

    public void Start(long revision) => Volatile.Write(ref _published, revision);

    /// <summary>A watch of the changes after a revision, also if that is long ago or still to come.</summary>
    public StoreWatch Watch(KeyRange range, long after)
    {
        var watch = new StoreWatch(this, reader, range, after);
        lock (_gate)
        {
            if (_closed is not null)
                throw _closed;
            _watches.Add(watch);
            watch.Join(_published);
        }
        return watch;
    }

    /// <summary>Called by the writer after each commit, with all changes up to the revision.</summary>
    public void Publish(List<StoreEvent> changes, long revision)
    {
        lock (_gate)
        {
            Volatile.Write(ref _published, revision);
            foreach (var watch in _watches)
                watch.Offer(changes, revision);
        }
    }

    /// <summary>Puts a watch that has read history up to a revision back on the feed, if that is the newest one.</summary>
    public bool TryRejoin(StoreWatch watch, long through)
    {
        lock (_gate)
        {
            if (_published > through)
                return false;
            watch.Join(_published);
            return true;
        }
    }

    public void Leave(StoreWatch watch)
    {
        lock (_gate)
            _watches.Remove(watch);
    }

    /// <summary>Ends every watch with this.</summary>
    public void Close(DatastoreException reason)
    {
        lock (_gate)
        {
            _closed = reason;
            foreach (var watch in _watches)
                watch.Close(reason);
            _watches.Clear();
        }
    }
}

/// <summary>Changes, and the revision up to which there are no others.</summary>
internal readonly record struct WatchBatch(ImmutableArray<StoreEvent> Events, long Through);

/// <summary>One watch. <see cref="ReadAsync"/> is for one consumer; the rest is the hub's.</summary>
internal sealed class StoreWatch : IDisposable
{
    private const int MaxPendingEvents = 4_096;
    private const long MaxPendingBytes = 8 << 20;
    private const int HistoryEvents = 1_000;
    private const long HistoryBytes = 4 << 20;

    private readonly WatchHub _hub;
    private readonly StoreReader _reader;
    private readonly KeyRange _range;
    private readonly Lock _gate = new();
    private readonly SemaphoreSlim _wake = new(0, 1);
    private List<StoreEvent> _pending = [];
    private long _pendingBytes;
    private long _through;
    private bool _behind;
    private bool _poked;
    private Exception? _closed;

    public StoreWatch(WatchHub hub, StoreReader reader, KeyRange range, long after)
    {
        _hub = hub;
        _reader = reader;
        _range = range;
        _through = after;
    }

    /// <summary>
    /// Waits for changes and returns those of one or several whole revisions, in order. Without any it returns after
    /// <paramref name="idle"/> or a <see cref="Poke"/>, once it has caught up, to tell how far.
    /// </summary>
    /// <exception cref="StoreException">The changes to come next are compacted.</exception>
    /// <exception cref="DatastoreException">The store was closed or failed.</exception>
    public async Task<WatchBatch> ReadAsync(TimeSpan idle, CancellationToken cancellation)
    {
        var timedOut = false;
        while (true)
        {
            bool behind;
            lock (_gate)
            {
                if (_pending.Count > 0)
                    return Drain();
                if (_closed is not null)
                    throw _closed;
                behind = _behind;
                if (!behind && (_poked || timedOut))
                {
                    _poked = false;
                    return new WatchBatch([], _through);
                }
            }
            if (!behind)
                timedOut = !await _wake.WaitAsync(idle, cancellation);
            else if (await CatchUpAsync(cancellation) is { Events.IsEmpty: false } batch)
                return batch;
        }
    }

    /// <summary>Makes a waiting <see cref="ReadAsync"/> say how far it is.</summary>
    public void Poke()
    {
        lock (_gate)
        {
            _poked = true;
            Wake();
        }
    }

    private async Task<WatchBatch> CatchUpAsync(CancellationToken cancellation)
    {
        List<StoreEvent> events = [];
        var through = await _reader.EventsAfterAsync(_range, _through, HistoryEvents, HistoryBytes, events, cancellation);
        lock (_gate)
            _through = through;
        _hub.TryRejoin(this, through);
        return new WatchBatch([.. events], through);
    }

    private WatchBatch Drain()
    {
        var batch = new WatchBatch([.. _pending], _through);
        _pending = [];
        _pendingBytes = 0;
        return batch;
    }

    internal void Join(long published)
    {
        lock (_gate)
            _behind = _through < published;
    }

    internal void Offer(List<StoreEvent> changes, long revision)
    {
        lock (_gate)
        {
            if (_behind)
                return;
            var before = _pending.Count;
            foreach (var change in changes)
            {
                // History that was read a moment ago may reach further than what was handed out by then.
                if (change.Key.Mod <= _through || !_range.Contains(change.Key.Key))
                    continue;
                _pending.Add(change);
                _pendingBytes += change.Key.Key.Length + change.Key.Value.Length;
            }
            if (_pending.Count > MaxPendingEvents || _pendingBytes > MaxPendingBytes)
            {
                // What was offered before stays; this commit and later ones come from the file.
                _pending.RemoveRange(before, _pending.Count - before);
                _behind = true;
            }
            else
            {
                _through = Math.Max(_through, revision);
            }
            if (_pending.Count > before || _behind)
                Wake();
        }
    }

    internal void Close(Exception reason)
    {
        lock (_gate)
        {
            _closed = reason;
            Wake();
        }
    }

    private void Wake()
    {
        if (_wake.CurrentCount == 0)
            _wake.Release();
    }

    public void Dispose()
    {
        _hub.Leave(this);
        _wake.Dispose();
    }
}

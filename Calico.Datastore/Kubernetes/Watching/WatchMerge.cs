using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Threading.Channels;
using Calico.Datastore.Kubernetes.Client;
using Calico.Datastore.Kubernetes.Mapping;
using Calico.Datastore.Kubernetes.Transactions;

namespace Calico.Datastore.Kubernetes.Watching;

/// <summary>
/// One watch of a prefix: the streams of all resources that can have keys below it and of the transactions' records,
/// merged into changes of keys.
/// <code>
///   KubeStream ipamblocks ------.
///   KubeStream blockaffinities -+- queue - one reader: what changed for the key? - TransactionBatches - caller
///   KubeStream transactions ----'
/// </code>
/// Locks are no changes: an object that is locked is not told of until it is let go, and then only if its value is another
/// one than before. Nor are changes of an object that leave the value's revision as it was.
/// </summary>
internal sealed class WatchMerge(KubeClient client, Lister lister, Resolver resolver, ObjectReader reader, KeyMaps maps, string prefix, long after)
    : IAsyncDisposable
{
    private const int MaxQueued = 1_024;
    private static readonly TimeSpan SweepEvery = TimeSpan.FromSeconds(5);

    private readonly CancellationTokenSource _closed = new();
    private readonly Channel<(Source Source, KubeChange Change)> _queue =
        Channel.CreateBounded<(Source, KubeChange)>(new BoundedChannelOptions(MaxQueued) { SingleReader = true });
    private readonly Dictionary<(KeyMap, string?, string), Last> _last = [];
    private readonly TransactionBatches _batches = new(prefix, after, client.Options.Time);
    private readonly List<Task> _pumps = [];
    private readonly ConcurrentQueue<string> _gone = new();
    private Task<bool>? _waiting;
    private long _sweptAt = client.Options.Time.GetTimestamp();

    private sealed record Source(KubeResource Resource, ImmutableArray<KeyMap> Maps);

    /// <summary>What was told of an object's key last.</summary>
    private readonly record struct Last(string Key, KeyValue? Value);

    /// <summary>Opens the streams, all after the same revision.</summary>
    public async Task StartAsync(CancellationToken cancellation)
    {
        if (after <= 0)
        {
            throw new DatastoreException(DatastoreFault.Compacted,
                $"kubernetes {client.Options.Endpoint}: watch of '{prefix}': the API keeps no history from the start on: list first");
        }
        foreach (var record in await UnderWayAsync(cancellation))
            _batches.Note(record);
        Pump(new Source(KubeResource.Transactions, []), default);
        foreach (var group in maps.Below(prefix).GroupBy(m => (m.Resource, Scope: m.ScopeOf(prefix))))
            Pump(new Source(group.Key.Resource, [.. group]), group.Key.Scope);
    }

    // The transactions whose records were made before the watch begins and whose objects may change after.
    private async Task<IEnumerable<TransactionRecord>> UnderWayAsync(CancellationToken cancellation)
    {
        try
        {
            var (items, _) = await lister.ListAsync(KubeResource.Transactions, default, after, cancellation);
            return items.Select(TransactionRecord.Of);
        }
        catch (DatastoreException e) when (e.Fault == DatastoreFault.Invalid)
        {
            // A revision to come: what is under way at it, nobody knows.
            return [];
        }
    }

    private void Pump(Source source, KubeScope scope) => _pumps.Add(Task.Run(async () =>
    {
        await using var stream = new KubeStream(client, source.Resource, scope, after);
        try
        {
            while (true)
            {
                var change = await stream.ReadAsync(_closed.Token);
                if (change.Type != KubeChangeType.Bookmark)
                    await _queue.Writer.WriteAsync((source, change), _closed.Token);
            }
        }
        catch (Exception e)
        {
            // The reader throws it once it has read what came before.
            _queue.Writer.TryComplete(e);
        }
    }));

    /// <summary>The next changes: those of one transaction, or a single one.</summary>
    /// <exception cref="DatastoreException">Compacted, Denied or Invalid: the watch is over.</exception>
    public async Task<ImmutableArray<WatchEvent>> ReadAsync(CancellationToken cancellation)
    {
        while (true)
        {
            if (_batches.TryTake(out var batch))
                return batch;
            if (_queue.Reader.TryRead(out var next))
            {
                Take(next.Source, next.Change);
                continue;
            }
            _waiting ??= _queue.Reader.WaitToReadAsync(_closed.Token).AsTask();
            var patience = _batches.UntilOverdue ?? SweepEvery;
            using var wake = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            await Task.WhenAny(_waiting, Task.Delay(patience, client.Options.Time, wake.Token));
            await wake.CancelAsync();
            cancellation.ThrowIfCancellationRequested();
            if (_waiting.IsCompleted)
            {
                var isOpen = await _waiting;
                _waiting = null;
                if (!isOpen)
                    await _queue.Reader.Completion;
            }
            _batches.CloseOverdue();
            Sweep();
        }
    }

    private void Take(Source source, KubeChange change)
    {
        if (source.Resource == KubeResource.Transactions)
        {
            if (change.Type == KubeChangeType.Deleted)
                _batches.Forget(change.Item.Name);
            else
                _batches.Note(TransactionRecord.Of(change.Item));
            return;
        }
        foreach (var map in source.Maps)
            Take(map, change);
    }

    private void Take(KeyMap map, KubeChange change)
    {
        var item = change.Item;
        var id = (map, item.Namespace, item.Name);
        var isKnown = _last.TryGetValue(id, out var last);
        var key = map.KeyOf(item) ?? (isKnown ? last.Key : null);
        if (key is null || !key.StartsWith(prefix, StringComparison.Ordinal))
            return;
        if (isKnown && last.Key != key)
        {
            // The object is another key's now: the name was used again while the watch was away.
            Tell(id, last.Key, null, last.Value, change.Revision, null);
            (isKnown, last) = (false, default);
        }
        var stored = Stored.Of(map, key, item, DateTimeOffset.UnixEpoch);
        var isDeleted = change.Type == KubeChangeType.Deleted;
        if (stored.Lock is { } held && !isDeleted)
        {
            if (change.Type == KubeChangeType.Added)
                _last[id] = new Last(key, null);
            return;
        }
        if (isDeleted)
        {
            var previous = isKnown ? last.Value : stored.Value;
            if (previous is not null)
                Tell(id, key, null, previous, change.Revision, stored.Lock is { Action: LockAction.Delete } by ? by.Transaction : null);
            _last.Remove(id);
        }
        else if (stored.Value is { } value)
        {
            // Let go of by a transaction that changed nothing, or written for one that was decided before the watch began.
            var isOld = value.ModRevision <= (isKnown && last.Value is not null ? Math.Max(after, last.Value.ModRevision) : after);
            if (isOld)
                _last[id] = new Last(key, value);
            else
                Tell(id, key, value, last.Value, value.ModRevision, stored.WrittenBy);
        }
        // An object without a value, such as a pod without an address. Whether there was one before the watch began is not
        // known: telling that it is gone does no harm.
        else if (isKnown ? last.Value is not null : change.Type == KubeChangeType.Modified && !(stored.RemovedAt <= after))
            Tell(id, key, null, last.Value, change.Revision, stored.WrittenBy);
        else
            _last[id] = new Last(key, null);
    }

    private void Tell((KeyMap, string?, string) id, string key, KeyValue? value, KeyValue? previous, long revision, string? transaction)
    {
        _last[id] = new Last(key, value);
        _batches.Add(new WatchEvent(key, value, previous, revision), transaction);
    }

    // Transactions whose owner died and whose keys nobody asks for would be stuck; who watches has an eye on them.
    private void Sweep()
    {
        if (client.Options.Time.GetElapsedTime(_sweptAt) < SweepEvery)
            return;
        _sweptAt = client.Options.Time.GetTimestamp();
        while (_gone.TryDequeue(out var gone))
            _batches.Forget(gone);
        foreach (var name in _batches.OlderThan(client.Options.TransactionTimeout + SweepEvery))
            _ = SettleAsync(name);
    }

    private async Task SettleAsync(string name)
    {
        try
        {
            if (await reader.FindAsync(name, _closed.Token) is { } record)
                await resolver.SettleAsync(record, maps, _closed.Token);
            else
                _gone.Enqueue(name);
        }
        catch (Exception e) when (e is DatastoreException or OperationCanceledException or ObjectDisposedException)
        {
            // Tried again at the next sweep.
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _closed.CancelAsync();
        await Task.WhenAll(_pumps);
        _closed.Dispose();
    }
}

using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using Calico.Datastore;
using Calico.Tests.Datastore;

namespace Calico.Tests.Cluster;

/// <summary>
/// The shared datastore as one member reaches it: knows what this member watches and has written, and is gone for it
/// when the member is killed, as a dead process' connections are. Never answers on the caller's thread.
/// </summary>
internal sealed class MemberStore(InMemoryDatastore shared) : IDatastore
{
    private readonly CancellationTokenSource _cut = new();
    private readonly ConcurrentDictionary<long, string> _watches = new();
    private readonly ConcurrentQueue<Transaction> _committed = new();
    private long _nextWatch;

    /// <summary>The prefixes that this member watches now, one for each open watch.</summary>
    public ImmutableArray<string> OpenWatches => [.. _watches.Values.Order(StringComparer.Ordinal)];

    public bool HasWritten(string key) => _committed.Any(t => t.Writes.Any(w => w.Key == key));

    /// <summary>Nothing gets through any more.</summary>
    public void Cut() => _cut.Cancel();

    public async Task<KeyValue?> GetAsync(string key, CancellationToken cancellation = default)
    {
        await PassAsync(cancellation);
        return await shared.GetAsync(key, cancellation);
    }

    public async Task<ListPage> ListAsync(string prefix, string? next = null, long revision = 0, int limit = 500,
        CancellationToken cancellation = default)
    {
        await PassAsync(cancellation);
        return await shared.ListAsync(prefix, next, revision, limit, cancellation);
    }

    public async Task<TransactionResult> CommitAsync(Transaction transaction, CancellationToken cancellation = default)
    {
        await PassAsync(cancellation);
        var result = await shared.CommitAsync(transaction, cancellation);
        if (result.Succeeded)
            _committed.Enqueue(transaction);
        return result;
    }

    public async IAsyncEnumerable<ImmutableArray<WatchEvent>> WatchAsync(string prefix, long afterRevision,
        [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        await PassAsync(cancellation);
        var id = Interlocked.Increment(ref _nextWatch);
        _watches[id] = prefix;
        try
        {
            using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellation, _cut.Token);
            await foreach (var events in shared.WatchAsync(prefix, afterRevision, either.Token))
                yield return events;
        }
        finally
        {
            _watches.TryRemove(id, out _);
        }
    }

    public ValueTask DisposeAsync()
    {
        _cut.Dispose();
        return ValueTask.CompletedTask;
    }

    private async Task PassAsync(CancellationToken cancellation)
    {
        await Task.Yield();
        cancellation.ThrowIfCancellationRequested();
        if (_cut.IsCancellationRequested)
            throw new DatastoreException(DatastoreFault.Unavailable, "this member has been cut off");
    }
}

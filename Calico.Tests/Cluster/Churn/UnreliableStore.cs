using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using Calico.Datastore;
using Calico.Tests.Datastore;

namespace Calico.Tests.Cluster.Churn;

/// <summary>
/// The shared datastore as one process reaches it: never on the caller's thread, sometimes away, and now and then it
/// carries out a transaction and the answer gets lost.
/// </summary>
internal sealed class UnreliableStore(InMemoryDatastore shared, Random random) : IDatastore
{
    private readonly CancellationTokenSource _cut = new();

    public volatile bool IsAway;

    /// <summary>The process is dead.</summary>
    public void Cut() => _cut.Cancel();

    public async Task<KeyValue?> GetAsync(string key, CancellationToken cancellation = default)
    {
        await PassAsync(cancellation);
        return await shared.GetAsync(key, cancellation);
    }

    public async Task<ListPage> ListAsync(string prefix, string? next = null, long revision = 0, int limit = 500, CancellationToken cancellation = default)
    {
        await PassAsync(cancellation);
        return await shared.ListAsync(prefix, next, revision, limit, cancellation);
    }

    public async Task<TransactionResult> CommitAsync(Transaction transaction, CancellationToken cancellation = default)
    {
        await PassAsync(cancellation);
        var result = await shared.CommitAsync(transaction, cancellation);
        // The answer comes a moment later, or not at all.
        await PassAsync(cancellation);
        int luck;
        lock (random)
            luck = random.Next(500);
        return luck == 0 ? throw Gone() : result;
    }

    public async IAsyncEnumerable<ImmutableArray<WatchEvent>> WatchAsync(string prefix, long afterRevision,
        [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        await PassAsync(cancellation);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellation, _cut.Token);
        await foreach (var events in shared.WatchAsync(prefix, afterRevision, either.Token))
        {
            while (IsAway)
                await Task.Delay(50, either.Token);
            yield return events;
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
        if (IsAway || _cut.IsCancellationRequested)
            throw Gone();
    }

    private static DatastoreException Gone() => new(DatastoreFault.Unavailable, "nobody answered");
}

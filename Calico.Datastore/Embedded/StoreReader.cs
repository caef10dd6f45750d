using System.Collections.Concurrent;
using Microsoft.Data.Sqlite;

namespace Calico.Datastore.Embedded;

/// <summary>
/// Read-only connections for every thread but the writer's. A read sees the last commit that was acknowledged before it
/// began, or a later one: that is what makes reads linearizable. SQLite calls block, so they run on the pool's threads,
/// never on the caller's.
/// </summary>
internal sealed class StoreReader(StoreFile file, int connections) : IAsyncDisposable
{
    private readonly ConcurrentBag<Connection> _idle = [];
    private readonly SemaphoreSlim _places = new(connections);
    private volatile bool _closed;

    /// <summary>A range at its revision, or now, with the store's revision at that moment.</summary>
    /// <exception cref="StoreException">The revision is compacted, or not there yet.</exception>
    public Task<Answer<RangeResult>> RangeAsync(RangeOperation range, CancellationToken cancellation) =>
        ReadAsync(queries =>
        {
            var revision = queries.Revision();
            CheckRevision(range.Revision, revision, queries);
            return new Answer<RangeResult>(queries.Range(range, revision), revision);
        }, cancellation);

    /// <summary>Changes from history for a watch that is behind; see <see cref="StoreQueries.EventsAfter"/>.</summary>
    /// <exception cref="StoreException">The first wanted revision is compacted.</exception>
    public Task<long> EventsAfterAsync(KeyRange range, long revision, int about, long maxBytes, List<StoreEvent> into,
        CancellationToken cancellation) =>
        ReadAsync(queries =>
        {
            var compacted = queries.Compacted();
            if (revision + 1 < compacted)
                throw Compacted(revision + 1, compacted);
            return queries.EventsAfter(range, revision, about, maxBytes, into);
        }, cancellation);

    public Task<long> CompactedAsync(CancellationToken cancellation) =>
        ReadAsync(queries => queries.Compacted(), cancellation);

    /// <summary>The keys that end with a lease.</summary>
    public Task<List<byte[]>> LeaseKeysAsync(long lease, CancellationToken cancellation) =>
        ReadAsync(queries => queries.LeaseKeys(lease), cancellation);

    public static void CheckRevision(long wanted, long newest, StoreQueries queries)
    {
        if (wanted <= 0)
            return;
        if (wanted > newest)
            throw new StoreException(StoreError.FutureRevision, $"revision {wanted} is not reached yet, the store is at {newest}");
        var compacted = queries.Compacted();
        if (wanted < compacted)
            throw Compacted(wanted, compacted);
    }

    public static StoreException Compacted(long wanted, long compacted) =>
        new(StoreError.Compacted, $"revision {wanted} is compacted, history starts at {compacted}: list again");

    private async Task<T> ReadAsync<T>(Func<StoreQueries, T> read, CancellationToken cancellation)
    {
        await _places.WaitAsync(cancellation);
        try
        {
            return await Task.Run(() => Read(read), cancellation);
        }
        finally
        {
            _places.Release();
        }
    }

    private T Read<T>(Func<StoreQueries, T> read)
    {
        ObjectDisposedException.ThrowIf(_closed, typeof(EmbeddedDatastore));
        Connection? connection = null;
        try
        {
            connection = _idle.TryTake(out var idle) ? idle : new Connection(file.OpenReader());
            connection.Queries.Begin();
            try
            {
                return read(connection.Queries);
            }
            finally
            {
                connection.Queries.End();
            }
        }
        catch (SqliteException e)
        {
            connection?.Dispose();
            connection = null;
            throw SqliteFaults.ToDatastoreException(e, file.Path);
        }
        finally
        {
            if (connection is not null)
                _idle.Add(connection);
        }
    }

    /// <summary>Waits for the reads under way and closes.</summary>
    public async ValueTask DisposeAsync()
    {
        _closed = true;
        for (var i = 0; i < connections; i++)
            await _places.WaitAsync();
        while (_idle.TryTake(out var connection))
            connection.Dispose();
        _places.Release(connections);
    }

    private sealed class Connection(SqliteConnection connection) : IDisposable
    {
        public StoreQueries Queries { get; } = new(connection);

        public void Dispose()
        {
            Queries.Dispose();
            connection.Dispose();
        }
    }
}

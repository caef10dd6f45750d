using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using System.Text;

namespace Calico.Datastore.Embedded;

/// <summary>
/// The store of record in one SQLite file, with etcd's semantics: for clusters that have neither etcd nor a Kubernetes
/// API, and for the lab. One process owns the file; the others reach it over etcd's own protocol, which
/// <see cref="Etcd.EtcdServer"/> speaks for it.
/// <code>
///   CommitAsync -&gt; StoreWriter (own thread, group commit) -&gt; StoreTransactions -&gt; StoreTables -&gt; file
///                     |                                                                            ^
///                     v committed changes                                                          |
///   WatchAsync  &lt;- WatchHub &lt;- history of what a watch missed ------------- StoreReader -----------+
///   Get, List   &lt;-----------------------------------------------------------/
/// </code>
/// Invariants: one revision for each transaction that changes something, never used twice, not even after a crash; an
/// acknowledged write is on disk; a transaction is whole or absent; a watch gets every change once, in order, or
/// <see cref="DatastoreFault.Compacted"/>.
/// Deliberate gaps: one node only (who wants replication runs etcd), no roles.
/// </summary>
public sealed class EmbeddedDatastore : IDatastore, IDatastoreMaintenance
{
    /// <summary>The etcd release whose API and errors are followed.</summary>
    internal const string EtcdVersion = "3.4.0";

    private readonly EmbeddedOptions _options;
    private int _disposed;

    private EmbeddedDatastore(EmbeddedOptions options, StoreFile file)
    {
        _options = options;
        File = file;
        Leases = new LeaseTable(options.Time);
        Reader = new StoreReader(file, options.Readers);
        Hub = new WatchHub(Reader);
        Writer = new StoreWriter(file, options, Hub, Leases);
        Upkeep = new StoreUpkeep(Writer, Hub, Leases, options);
    }

    internal StoreFile File { get; }
    internal StoreReader Reader { get; }
    internal StoreWriter Writer { get; }
    internal WatchHub Hub { get; }
    internal LeaseTable Leases { get; }
    private StoreUpkeep Upkeep { get; }

    /// <summary>Opens or makes the store, and recovers what a crash left.</summary>
    /// <exception cref="DatastoreException">
    /// <see cref="DatastoreFault.Unavailable"/>: another process has it open, the message says which;
    /// <see cref="DatastoreFault.Denied"/>: the folder cannot be written; <see cref="DatastoreFault.Exhausted"/>: no
    /// room on the disk; <see cref="DatastoreFault.Invalid"/>: options, or a file of another schema or none at all.
    /// </exception>
    public static EmbeddedDatastore Open(EmbeddedOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        var file = StoreFile.Open(options);
        try
        {
            return new EmbeddedDatastore(options, file);
        }
        catch (Microsoft.Data.Sqlite.SqliteException e)
        {
            file.Dispose();
            throw SqliteFaults.ToDatastoreException(e, file.Path);
        }
    }

    public async Task<KeyValue?> GetAsync(string key, CancellationToken cancellation = default)
    {
        var range = new RangeOperation(new KeyRange(DatastoreLimits.EncodeKey(key), null));
        var answer = await Ask(Reader.RangeAsync(range, cancellation));
        return answer.Result.Keys is [var stored] ? Port(stored) : null;
    }

    public async Task<ListPage> ListAsync(string prefix, string? next = null, long revision = 0, int limit = DatastoreLimits.MaxPageItems,
        CancellationToken cancellation = default)
    {
        var range = KeyRange.Prefix(DatastoreLimits.EncodePrefix(prefix));
        if (next is not null)
            range = range.From(ListCursor.Decode(next, range));
        var answer = await Ask(Reader.RangeAsync(new RangeOperation(range)
        {
            Revision = revision,
            Limit = DatastoreLimits.CheckPageLimit(limit),
            MaxBytes = DatastoreLimits.MaxPageBytes,
        }, cancellation));
        var keys = answer.Result.Keys;
        return new ListPage([.. keys.Select(Port)], revision > 0 ? revision : answer.Revision,
            answer.Result.More ? ListCursor.After(keys[^1].Key) : null);
    }

    public async Task<TransactionResult> CommitAsync(Transaction transaction, CancellationToken cancellation = default)
    {
        DatastoreLimits.Check(transaction);
        var operation = new TransactionOperation(
            [.. transaction.Compares.Select(c => new StoreCompare(
                new KeyRange(DatastoreLimits.EncodeKey(c.Key), null), CompareField.Mod, CompareRelation.Equal)
                { Number = c.ModRevision })],
            [.. transaction.Writes.Select(Write)],
            [.. transaction.Compares.Select(c => new RangeOperation(new KeyRange(DatastoreLimits.EncodeKey(c.Key), null)))]);
        var answer = await Ask(Writer.ApplyAsync(operation, cancellation));
        var outcome = (TransactionOutcome)answer.Result;
        return new TransactionResult(outcome.Succeeded, answer.Revision, outcome.Succeeded ? []
            : [.. outcome.Results.Select(r => ((RangeResult)r).Keys is [var stored] ? Port(stored) : null)]);
    }

    private static StoreOperation Write(Write write) => write.Value is { } value
        ? new PutOperation(DatastoreLimits.EncodeKey(write.Key), value.ToArray()) { TimeToLive = write.TimeToLive }
        : new DeleteOperation(new KeyRange(DatastoreLimits.EncodeKey(write.Key), null));

    public async IAsyncEnumerable<ImmutableArray<WatchEvent>> WatchAsync(string prefix, long afterRevision,
        [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        using var watch = Hub.Watch(KeyRange.Prefix(DatastoreLimits.EncodePrefix(prefix)), afterRevision);
        while (true)
        {
            var batch = await Ask(watch.ReadAsync(Timeout.InfiniteTimeSpan, cancellation));
            yield return [.. batch.Events.Select(Port)];
        }
    }

    public async Task CompactAsync(long revision, CancellationToken cancellation = default) =>
        await Ask(Writer.CompactAsync(revision, cancellation));

    public async Task<DatastoreStatus> GetStatusAsync(CancellationToken cancellation = default)
    {
        // A read, so that a failing disk shows.
        await Ask(Reader.CompactedAsync(cancellation));
        return new DatastoreStatus(_options.File, EtcdVersion, Hub.Revision, File.Size);
    }

    private static async Task<T> Ask<T>(Task<T> answer)
    {
        try
        {
            return await answer;
        }
        catch (StoreException e)
        {
            throw e.ToDatastoreException();
        }
    }

    private static WatchEvent Port(StoreEvent change) => new(DatastoreLimits.DecodeKey(change.Key.Key),
        change.IsDelete ? null : Port(change.Key), change.Previous is { } previous ? Port(previous) : null, change.Key.Mod);

    private static KeyValue Port(StoredKey key) =>
        new(DatastoreLimits.DecodeKey(key.Key), key.Value, key.Mod, key.Create);

    /// <summary>Lets what was accepted finish, ends the watches and gives the file free.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;
        await Upkeep.DisposeAsync();
        await Writer.DisposeAsync();
        Hub.Close(new DatastoreException(DatastoreFault.Unavailable, $"embedded store {File.Path}: closed"));
        await Reader.DisposeAsync();
        File.Dispose();
    }
}

/// <summary>Where a list goes on: the bytes of the next key, one to a character, since keys need not be text.</summary>
internal static class ListCursor
{
    public static string After(ReadOnlySpan<byte> key) => Encoding.Latin1.GetString(KeyRange.Successor(key));

    /// <exception cref="DatastoreException"><see cref="DatastoreFault.Invalid"/>: not from a page of this list.</exception>
    public static byte[] Decode(string cursor, KeyRange list)
    {
        if (cursor.Length is 0 or > DatastoreLimits.MaxKeyBytes + 1 || cursor.Any(c => c > 0xff))
            throw DatastoreLimits.Invalid("a list's cursor that no page gave");
        var key = Encoding.Latin1.GetBytes(cursor);
        return list.Contains(key) ? key : throw DatastoreLimits.Invalid("a cursor of another list");
    }
}

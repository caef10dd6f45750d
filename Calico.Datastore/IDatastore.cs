using System.Collections.Immutable;

namespace Calico.Datastore;

/// <summary>A stored value and the revision that wrote it. Revisions are one increasing number for the whole store.</summary>
public sealed record KeyValue(string Key, ReadOnlyMemory<byte> Value, long ModRevision, long CreateRevision);

/// <summary>One page of a list, all of it as of <paramref name="Revision"/>.</summary>
/// <param name="Next">Where the next page starts, or null at the end.</param>
public sealed record ListPage(ImmutableArray<KeyValue> Items, long Revision, string? Next);

/// <summary>What must hold for a transaction to be carried out.</summary>
public readonly record struct Compare(string Key, long ModRevision)
{
    /// <summary>The key must not exist.</summary>
    public static Compare Absent(string key) => new(key, 0);

    /// <summary>The key must exist and have been written last by <paramref name="revision"/>.</summary>
    public static Compare At(string key, long revision) => new(key, revision);
}

/// <summary>A write inside a transaction: a put, or with a null value a delete.</summary>
/// <param name="TimeToLive">
/// The store deletes the key by itself unless it is put again in this time (Felix's status keys). Null is for ever;
/// whole seconds, at least one.
/// </param>
public readonly record struct Write(string Key, ReadOnlyMemory<byte>? Value, TimeSpan? TimeToLive = null)
{
    public static Write Put(string key, ReadOnlyMemory<byte> value, TimeSpan? timeToLive = null) =>
        new(key, value, timeToLive);

    public static Write Delete(string key) => new(key, null);
}

/// <summary>All of <paramref name="Writes"/> at one revision if every compare holds, else nothing.</summary>
public sealed record Transaction(ImmutableArray<Compare> Compares, ImmutableArray<Write> Writes);

/// <summary>
/// The outcome. On success <paramref name="Revision"/> is the ModRevision of every key written; on failure
/// <paramref name="Actual"/> holds what is stored now for each compared key (null if absent), in compare order.
/// After a success it is empty. A transaction that changes nothing succeeds with the revision the store is at.
/// </summary>
public sealed record TransactionResult(bool Succeeded, long Revision, ImmutableArray<KeyValue?> Actual);

/// <summary>One change; a delete has a null <paramref name="Current"/> and, where the store still knows it, the value before.</summary>
public sealed record WatchEvent(string Key, KeyValue? Current, KeyValue? Previous, long Revision)
{
    public bool IsDelete => Current is null;
}

/// <summary>Why a datastore call failed; the caller acts on the kind, a person reads the message.</summary>
public enum DatastoreFault
{
    /// <summary>
    /// No endpoint answered in time: try again later. Nothing is known about a write: it may have happened, so read
    /// before deciding again.
    /// </summary>
    Unavailable,

    /// <summary>The wanted revision is gone: list again and watch from there.</summary>
    Compacted,

    /// <summary>Credentials or permissions were refused: trying again is useless.</summary>
    Denied,

    /// <summary>The request itself is wrong or too large (<see cref="DatastoreLimits"/>).</summary>
    Invalid,

    /// <summary>The store's disk or quota is full: nothing was written, reads still work. Make room.</summary>
    Exhausted,
}

/// <summary>A failed call, naming the operation, the key, the endpoint tried and for how long.</summary>
public sealed class DatastoreException(DatastoreFault fault, string message, Exception? inner = null)
    : Exception(message, inner)
{
    public DatastoreFault Fault { get; } = fault;
}

/// <summary>
/// The store of record, in Calico's own key layout (<c>/calico/…</c>). Reads are linearizable. Every write is a
/// transaction with compares: there is no unconditional put of shared state. Thread-safe.
/// </summary>
public interface IDatastore : IAsyncDisposable
{
    Task<KeyValue?> GetAsync(string key, CancellationToken cancellation = default);

    /// <summary>
    /// Lists keys that start with <paramref name="prefix"/> in key order. Pages of one list name the
    /// <paramref name="revision"/> of the first so that all of them show one moment; 0 is now.
    /// </summary>
    /// <exception cref="DatastoreException"><see cref="DatastoreFault.Compacted"/>: that revision is gone, start over.</exception>
    Task<ListPage> ListAsync(string prefix, string? next = null, long revision = 0, int limit = DatastoreLimits.MaxPageItems,
        CancellationToken cancellation = default);

    Task<TransactionResult> CommitAsync(Transaction transaction, CancellationToken cancellation = default);

    /// <summary>
    /// Changes below <paramref name="prefix"/> with a revision greater than <paramref name="afterRevision"/>, in
    /// revision order, one batch a revision at least: all changes of one transaction arrive in one batch. Reconnects
    /// by itself; ends only by cancellation or by an exception.
    /// </summary>
    /// <exception cref="DatastoreException"><see cref="DatastoreFault.Compacted"/>: list again.</exception>
    IAsyncEnumerable<ImmutableArray<WatchEvent>> WatchAsync(string prefix, long afterRevision,
        CancellationToken cancellation = default);
}

/// <summary>Upkeep of a store, for the one who runs it: the compaction timer, <c>calicoctl</c>, health checks.</summary>
public interface IDatastoreMaintenance
{
    /// <summary>
    /// Forgets every value that was overwritten before <paramref name="revision"/>: lists and watches from an older one
    /// get <see cref="DatastoreFault.Compacted"/> from now on.
    /// </summary>
    /// <exception cref="DatastoreException">
    /// <see cref="DatastoreFault.Compacted"/>: it was done already; <see cref="DatastoreFault.Invalid"/>: not reached yet.
    /// </exception>
    Task CompactAsync(long revision, CancellationToken cancellation = default);

    /// <summary>Asks the store for its state, as a proof of life.</summary>
    Task<DatastoreStatus> GetStatusAsync(CancellationToken cancellation = default);
}

/// <summary>What a store says of itself.</summary>
/// <param name="Endpoint">Who answered: a URL, or the embedded store's file.</param>
/// <param name="Version">The etcd version whose API is spoken.</param>
/// <param name="Revision">The newest revision.</param>
/// <param name="SizeBytes">Bytes on disk.</param>
public sealed record DatastoreStatus(string Endpoint, string Version, long Revision, long SizeBytes);

using System.Collections.Immutable;

namespace Calico.Datastore.Embedded;

/// <summary>
/// One version of one key: what etcd calls a key-value. <c>Mod</c> is the revision that wrote it, <c>Create</c> the one
/// that made the key, <c>Version</c> counts the writes since then and is 0 for a tombstone.
/// </summary>
internal sealed record StoredKey(byte[] Key, byte[] Value, long Create, long Mod, long Version, long Lease);

/// <summary>One change: <see cref="Key"/> as written (a tombstone for a delete) and what was there before, if known.</summary>
internal sealed record StoreEvent(StoredKey Key, StoredKey? Previous)
{
    public bool IsDelete => Key.Version == 0;
}

/// <summary>One operation of a transaction; the shapes are those of etcd's API, so that it can be served as it is.</summary>
internal abstract record StoreOperation;

/// <summary>Reads a range as of a revision (0 is now), filtered, sorted and cut as etcd's Range does.</summary>
internal sealed record RangeOperation(KeyRange Range) : StoreOperation
{
    public long Revision { get; init; }
    public long Limit { get; init; }
    public bool KeysOnly { get; init; }
    public bool CountOnly { get; init; }

    /// <summary>Whether the number of keys in the whole range is wanted when a limit cuts it: that costs a scan.</summary>
    public bool WithCount { get; init; }

    /// <summary>Ends the answer early once this many bytes are in it; 0 is never.</summary>
    public long MaxBytes { get; init; }

    public RangeFilter? Filter { get; init; }
    public RangeOrder Order { get; init; }
}

/// <summary>Bounds on the revisions of the keys that are returned; 0 is no bound.</summary>
internal sealed record RangeFilter(long MinMod, long MaxMod, long MinCreate, long MaxCreate)
{
    public bool Passes(StoredKey key) =>
        key.Mod >= MinMod && (MaxMod == 0 || key.Mod <= MaxMod)
        && key.Create >= MinCreate && (MaxCreate == 0 || key.Create <= MaxCreate);
}

internal enum SortField
{
    Key,
    Version,
    Create,
    Mod,
    Value,
}

/// <summary>The order of a range; the default is by ascending key, which is how they are stored.</summary>
internal readonly record struct RangeOrder(SortField Field, bool Descending)
{
    public bool IsStored => Field == SortField.Key && !Descending;
}

internal sealed record PutOperation(byte[] Key, byte[] Value) : StoreOperation
{
    public long Lease { get; init; }

    /// <summary>Makes a lease of this long for this one key, in the same transaction.</summary>
    public TimeSpan? TimeToLive { get; init; }

    public bool WithPrevious { get; init; }
    public bool KeepValue { get; init; }
    public bool KeepLease { get; init; }
}

internal sealed record DeleteOperation(KeyRange Range) : StoreOperation
{
    public bool WithPrevious { get; init; }
}

internal enum CompareField
{
    Version,
    Create,
    Mod,
    Value,
    Lease,
}

internal enum CompareRelation
{
    Equal,
    Greater,
    Less,
    NotEqual,
}

/// <summary>Must hold for every key of the range; an absent single key compares as all zeros, except by value.</summary>
internal sealed record StoreCompare(KeyRange Range, CompareField Field, CompareRelation Relation)
{
    public long Number { get; init; }
    public byte[] Value { get; init; } = [];

    public bool Holds(StoredKey? key)
    {
        if (Field == CompareField.Value && key is null)
            return false;
        var order = Field switch
        {
            CompareField.Version => (key?.Version ?? 0).CompareTo(Number),
            CompareField.Create => (key?.Create ?? 0).CompareTo(Number),
            CompareField.Mod => (key?.Mod ?? 0).CompareTo(Number),
            CompareField.Lease => (key?.Lease ?? 0).CompareTo(Number),
            _ => key!.Value.AsSpan().SequenceCompareTo(Value),
        };
        return Relation switch
        {
            CompareRelation.Equal => order == 0,
            CompareRelation.NotEqual => order != 0,
            CompareRelation.Greater => order > 0,
            _ => order < 0,
        };
    }
}

internal sealed record TransactionOperation(
    ImmutableArray<StoreCompare> Compares,
    ImmutableArray<StoreOperation> Success,
    ImmutableArray<StoreOperation> Failure) : StoreOperation;

/// <summary>What an operation answered, in the shape of etcd's responses.</summary>
internal abstract record StoreResult;

internal sealed record RangeResult(ImmutableArray<StoredKey> Keys, bool More, long Count) : StoreResult;

internal sealed record PutResult(StoredKey? Previous) : StoreResult;

internal sealed record DeleteResult(long Deleted, ImmutableArray<StoredKey> Previous) : StoreResult;

internal sealed record TransactionOutcome(bool Succeeded, ImmutableArray<StoreResult> Results) : StoreResult;

/// <summary>A result and the revision the store was at when it was made.</summary>
internal readonly record struct Answer<T>(T Result, long Revision);

internal enum StoreError
{
    Compacted,
    FutureRevision,
    KeyNotFound,
    DuplicateKey,
    EmptyKey,
    TooLarge,
    TooManyOperations,
    LeaseNotFound,
    LeaseExists,
    LeaseTooLong,
}

/// <summary>The store refused: nothing was changed. Each border (port, wire) says it in its own words.</summary>
internal sealed class StoreException(StoreError error, string message) : Exception(message)
{
    public StoreError Error { get; } = error;

    public DatastoreException ToDatastoreException() => new(
        Error == StoreError.Compacted ? DatastoreFault.Compacted : DatastoreFault.Invalid, Message, this);
}

using System.Collections.Immutable;

namespace Calico.Datastore.Embedded;

/// <summary>
/// Carries transactions out, one after the other, on the writer's thread. Each that changes something takes the next
/// revision; all its changes have that one. An operation sees the changes of those before it in its transaction.
/// </summary>
internal sealed class StoreTransactions(StoreQueries queries, StoreTables tables, LeaseTable leases)
{
    private readonly List<StoreEvent> _changes = [];
    private long _revision;

    /// <summary>The revision of the last transaction that was carried out, committed or still to be.</summary>
    public long Revision { get; set; }

    /// <summary>Carries one out and hands over its changes. On a <see cref="StoreException"/> nothing is changed.</summary>
    public Answer<StoreResult> Apply(StoreOperation operation, List<StoreEvent> changes)
    {
        _changes.Clear();
        _revision = Revision + 1;
        var marked = CanFailHalfWay(operation);
        if (marked)
            tables.Mark();
        StoreResult result;
        try
        {
            result = Run(operation);
        }
        catch (StoreException)
        {
            if (marked)
                tables.BackToMark();
            else if (_changes.Count > 0)
                throw new InvalidOperationException("A transaction without a mark was refused after it wrote.");
            leases.Reload(tables);
            throw;
        }
        if (marked)
            tables.Release();
        if (_changes.Count > 0)
        {
            Revision = _revision;
            changes.AddRange(_changes);
        }
        return new Answer<StoreResult>(result, Revision);
    }

    /// <summary>Ends a lease and deletes its keys.</summary>
    public long RevokeLease(long id, List<StoreEvent> changes)
    {
        if (!leases.Contains(id))
            throw new StoreException(StoreError.LeaseNotFound, $"lease {id:x} does not exist, or has expired");
        _changes.Clear();
        _revision = Revision + 1;
        foreach (var key in queries.LeaseKeys(id))
        {
            if (queries.Get(key) is { } stored)
                Bury(stored);
        }
        leases.Revoke(id, tables);
        if (_changes.Count > 0)
        {
            Revision = _revision;
            changes.AddRange(_changes);
        }
        return Revision;
    }

    // A plain put or compare cannot be refused once the limits are checked; what names leases, old revisions or
    // present values can, and what has several of these may have written by then.
    private static bool CanFailHalfWay(StoreOperation operation) => operation switch
    {
        TransactionOperation t => t.Success.Any(IsFallible) || t.Failure.Any(IsFallible),
        _ => false,
    };

    private static bool IsFallible(StoreOperation operation) => operation switch
    {
        PutOperation p => p.Lease != 0 || p.KeepLease || p.KeepValue,
        RangeOperation r => r.Revision != 0,
        DeleteOperation d => !d.Range.IsSingle,
        _ => true,
    };

    private StoreResult Run(StoreOperation operation) => operation switch
    {
        RangeOperation range => Read(range),
        PutOperation put => Put(put),
        DeleteOperation delete => Delete(delete),
        TransactionOperation transaction => Decide(transaction),
        _ => throw new InvalidOperationException($"Unknown operation {operation.GetType()}"),
    };

    private TransactionOutcome Decide(TransactionOperation transaction)
    {
        var holds = transaction.Compares.All(Holds);
        var results = ImmutableArray.CreateBuilder<StoreResult>();
        foreach (var operation in holds ? transaction.Success : transaction.Failure)
            results.Add(Run(operation));
        return new TransactionOutcome(holds, results.DrainToImmutable());
    }

    private bool Holds(StoreCompare compare)
    {
        if (compare.Range.IsSingle)
            return compare.Holds(queries.Get(compare.Range.Start));
        // Of a range without keys etcd asks the same as of one absent key.
        var keys = queries.Range(new RangeOperation(compare.Range), Revision).Keys;
        return keys.IsEmpty ? compare.Holds(null) : keys.All(compare.Holds);
    }

    private RangeResult Read(RangeOperation range)
    {
        var now = _changes.Count > 0 ? _revision : Revision;
        StoreReader.CheckRevision(range.Revision, now, queries);
        return queries.Range(range, now);
    }

    private PutResult Put(PutOperation put)
    {
        var previous = queries.Get(put.Key);
        if ((put.KeepValue || put.KeepLease) && previous is null)
            throw new StoreException(StoreError.KeyNotFound, $"key '{KeyBytes.Show(put.Key)}' does not exist");
        var lease = put.KeepLease ? previous!.Lease : put.Lease;
        if (put.TimeToLive is { } timeToLive)
            lease = leases.Grant(0, (long)timeToLive.TotalSeconds, tables);
        else if (lease != 0 && !leases.Contains(lease))
            throw new StoreException(StoreError.LeaseNotFound, $"lease {lease:x} does not exist, or has expired");

        Append(new StoredKey(put.Key, put.KeepValue ? previous!.Value : put.Value, previous?.Create ?? _revision, _revision,
            (previous?.Version ?? 0) + 1, lease), previous);
        return new PutResult(put.WithPrevious ? previous : null);
    }

    private DeleteResult Delete(DeleteOperation delete)
    {
        var keys = queries.Range(new RangeOperation(delete.Range), Revision).Keys;
        foreach (var key in keys)
            Bury(key);
        return new DeleteResult(keys.Length, delete.WithPrevious ? keys : []);
    }

    private void Bury(StoredKey key) => Append(new StoredKey(key.Key, [], 0, _revision, 0, 0), key);

    private void Append(StoredKey key, StoredKey? previous)
    {
        if (_changes.Count == StoreFile.MaxPositions)
            throw new StoreException(StoreError.TooManyOperations, $"more than {StoreFile.MaxPositions} keys changed by one transaction");
        tables.Append(_revision << StoreFile.PositionBits | (long)_changes.Count, key);
        _changes.Add(new StoreEvent(key, previous));
    }
}

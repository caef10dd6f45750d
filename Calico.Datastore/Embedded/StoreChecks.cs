namespace Calico.Datastore.Embedded;

/// <summary>What can be said about a request before it waits for the writer: the limits, and etcd's rule on duplicates.</summary>
internal static class StoreChecks
{
    private const int MaxNesting = 4;

    /// <exception cref="StoreException">Too large, an empty key, or a key written twice.</exception>
    public static void Check(StoreOperation operation)
    {
        long bytes = 0;
        var writes = new Writes();
        Check(operation, ref bytes, writes, 0);
        if (bytes > DatastoreLimits.MaxTransactionBytes)
            throw new StoreException(StoreError.TooLarge, $"a request of {bytes} bytes; the limit is {DatastoreLimits.MaxTransactionBytes}");
    }

    private static void Check(StoreOperation operation, ref long bytes, Writes writes, int depth)
    {
        switch (operation)
        {
            case RangeOperation range:
                CheckKey(range.Range.Start);
                break;
            case PutOperation put:
                CheckKey(put.Key);
                bytes += put.Key.Length + put.Value.Length;
                writes.Put(put.Key);
                break;
            case DeleteOperation delete:
                CheckKey(delete.Range.Start);
                writes.Delete(delete.Range);
                break;
            case TransactionOperation transaction:
                Check(transaction, ref bytes, writes, depth);
                break;
        }
    }

    private static void Check(TransactionOperation transaction, ref long bytes, Writes writes, int depth)
    {
        var longest = Math.Max(transaction.Compares.Length, Math.Max(transaction.Success.Length, transaction.Failure.Length));
        if (longest > DatastoreLimits.MaxTransactionOperations || depth == MaxNesting)
        {
            throw new StoreException(StoreError.TooManyOperations, $"a transaction of {longest} operations at depth "
                + $"{depth}; the limits are {DatastoreLimits.MaxTransactionOperations} and {MaxNesting}");
        }
        foreach (var compare in transaction.Compares)
        {
            CheckKey(compare.Range.Start);
            bytes += compare.Value.Length;
        }

        // The two branches never run both: each is checked against what is outside, not against the other.
        var failure = new Writes(writes);
        foreach (var operation in transaction.Success)
            Check(operation, ref bytes, writes, depth + 1);
        foreach (var operation in transaction.Failure)
            Check(operation, ref bytes, failure, depth + 1);
        writes.Join(failure);
    }

    private static void CheckKey(byte[] key)
    {
        if (key.Length == 0)
            throw new StoreException(StoreError.EmptyKey, "a key must not be empty");
        if (key.Length > DatastoreLimits.MaxKeyBytes)
            throw new StoreException(StoreError.TooLarge, $"a key of {key.Length} bytes; the limit is {DatastoreLimits.MaxKeyBytes}");
    }

    /// <summary>The keys put and the ranges deleted so far: a put may meet neither.</summary>
    private sealed class Writes
    {
        private readonly HashSet<byte[]> _puts = new(KeyBytes.Comparer);
        private readonly List<KeyRange> _deletes = [];

        public Writes()
        {
        }

        public Writes(Writes other) => Join(other);

        public void Join(Writes other)
        {
            _puts.UnionWith(other._puts);
            _deletes.AddRange(other._deletes);
        }

        public void Put(byte[] key)
        {
            if (!_puts.Add(key) || _deletes.Any(d => d.Contains(key)))
                throw Duplicate(key);
        }

        public void Delete(KeyRange range)
        {
            if (_puts.FirstOrDefault(k => range.Contains(k)) is { } key)
                throw Duplicate(key);
            _deletes.Add(range);
        }

        private static StoreException Duplicate(byte[] key) =>
            new(StoreError.DuplicateKey, $"key '{KeyBytes.Show(key)}' is written twice in one transaction");
    }
}

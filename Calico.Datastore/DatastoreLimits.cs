using System.Text;

namespace Calico.Datastore;

/// <summary>
/// What one call may ask for, the same in every backend, so that what works embedded works on etcd too. The numbers of
/// operations and bytes are etcd's defaults (<c>--max-txn-ops</c>, <c>--max-request-bytes</c>); the key length is ours.
/// </summary>
public static class DatastoreLimits
{
    public const int MaxKeyBytes = 4 * 1024;
    public const int MaxValueBytes = 3 * 512 * 1024;
    public const int MaxTransactionOperations = 128;

    /// <summary>All keys and values of one transaction together.</summary>
    public const int MaxTransactionBytes = MaxValueBytes;

    public const int MaxPageItems = 10_000;

    /// <summary>A list page ends early once its values reach this.</summary>
    public const int MaxPageBytes = 8 * 1024 * 1024;

    /// <summary>A hundred years, in etcd's own bound of 9,000,000,000 seconds.</summary>
    public static readonly TimeSpan MaxTimeToLive = TimeSpan.FromDays(36_500);

    // Throws on lone surrogates instead of storing a different key than the one asked for.
    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <exception cref="DatastoreException"><see cref="DatastoreFault.Invalid"/>: empty, too long, or not text.</exception>
    internal static byte[] EncodeKey(string key)
    {
        if (string.IsNullOrEmpty(key))
            throw Invalid("a key must not be empty");
        return EncodePrefix(key);
    }

    internal static byte[] EncodePrefix(string prefix)
    {
        ArgumentNullException.ThrowIfNull(prefix);
        byte[] bytes;
        try
        {
            bytes = Utf8.GetBytes(prefix);
        }
        catch (EncoderFallbackException e)
        {
            throw Invalid("a key is not valid text: it has a lone surrogate", e);
        }
        if (bytes.Length > MaxKeyBytes)
            throw Invalid($"key '{prefix[..64]}…' is {bytes.Length} bytes long; the limit is {MaxKeyBytes}");
        return bytes;
    }

    /// <summary>Keys that others wrote need not be text; what is not shows as U+FFFD.</summary>
    internal static string DecodeKey(ReadOnlySpan<byte> key) => Encoding.UTF8.GetString(key);

    /// <exception cref="DatastoreException"><see cref="DatastoreFault.Invalid"/></exception>
    internal static void Check(Transaction transaction)
    {
        ArgumentNullException.ThrowIfNull(transaction);
        if (transaction.Compares.IsDefault || transaction.Writes.IsDefault)
            throw Invalid("a transaction needs its compares and writes, if only empty ones");
        if (transaction.Compares.Length > MaxTransactionOperations || transaction.Writes.Length > MaxTransactionOperations)
        {
            throw Invalid($"a transaction of {transaction.Compares.Length} compares and {transaction.Writes.Length} "
                + $"writes; the limit is {MaxTransactionOperations} of each");
        }

        long bytes = 0;
        var written = new HashSet<string>(transaction.Writes.Length, StringComparer.Ordinal);
        foreach (var write in transaction.Writes)
        {
            bytes += Encoding.UTF8.GetByteCount(write.Key) + (write.Value?.Length ?? 0);
            if (!written.Add(write.Key))
                throw Invalid($"key '{write.Key}' is written twice in one transaction");
            if (write.TimeToLive is { } ttl && (write.Value is null || ttl < TimeSpan.FromSeconds(1) || ttl > MaxTimeToLive))
                throw Invalid($"key '{write.Key}': a time to live of {ttl} is not between 1 s and {MaxTimeToLive}, or on a delete");
        }
        if (bytes > MaxTransactionBytes)
            throw Invalid($"a transaction of {bytes} bytes; the limit is {MaxTransactionBytes}");
    }

    internal static int CheckPageLimit(int limit) =>
        limit > 0 ? Math.Min(limit, MaxPageItems) : throw Invalid($"a page of {limit} items");

    internal static DatastoreException Invalid(string message, Exception? inner = null) =>
        new(DatastoreFault.Invalid, message, inner);
}

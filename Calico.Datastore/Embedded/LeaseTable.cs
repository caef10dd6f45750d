using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Calico.Datastore.Embedded;

/// <summary>
/// The leases and when they end. What was granted is in the file; when it ends is not: after a restart each lease
/// starts anew, as on a new leader of etcd, so that a store that was down deletes nothing that is being kept alive.
/// Changes happen on the writer's thread; keeping alive and looking, on any.
/// </summary>
internal sealed class LeaseTable(TimeProvider time)
{
    public const int MaxLeases = 100_000;

    private readonly Dictionary<long, (long Seconds, long Ends)> _leases = [];
    private readonly Lock _gate = new();

    /// <summary>Makes memory agree with the file again: at the start, and after a transaction was undone.</summary>
    public void Reload(StoreTables tables)
    {
        var stored = tables.Leases();
        lock (_gate)
        {
            var before = _leases.ToDictionary();
            _leases.Clear();
            foreach (var (id, seconds) in stored)
                _leases[id] = before.TryGetValue(id, out var known) ? known : (seconds, EndOf(seconds));
        }
    }

    public long Grant(long id, long seconds, StoreTables tables)
    {
        lock (_gate)
        {
            if (seconds > (long)DatastoreLimits.MaxTimeToLive.TotalSeconds)
                throw new StoreException(StoreError.LeaseTooLong, $"a lease of {seconds} s");
            if (id != 0 && _leases.ContainsKey(id))
                throw new StoreException(StoreError.LeaseExists, $"lease {id:x} exists already");
            if (_leases.Count >= MaxLeases)
                throw new StoreException(StoreError.TooManyOperations, $"{MaxLeases} leases exist; no more are granted");
            while (id == 0 || _leases.ContainsKey(id))
                id = RandomId();
            seconds = Math.Max(seconds, 1);
            tables.AddLease(id, seconds);
            _leases[id] = (seconds, EndOf(seconds));
            return id;
        }
    }

    public void Revoke(long id, StoreTables tables)
    {
        lock (_gate)
        {
            tables.RemoveLease(id);
            _leases.Remove(id);
        }
    }

    /// <summary>Starts the lease's time anew. Null if there is no such lease.</summary>
    public long? KeepAlive(long id)
    {
        lock (_gate)
        {
            if (!_leases.TryGetValue(id, out var lease))
                return null;
            _leases[id] = (lease.Seconds, EndOf(lease.Seconds));
            return lease.Seconds;
        }
    }

    public bool Contains(long id)
    {
        lock (_gate)
            return _leases.ContainsKey(id);
    }

    /// <summary>The seconds granted and left, or null if there is no such lease.</summary>
    public (long Granted, long Left)? Find(long id)
    {
        lock (_gate)
        {
            if (!_leases.TryGetValue(id, out var lease))
                return null;
            var left = (lease.Ends - time.GetTimestamp()) / time.TimestampFrequency;
            return (lease.Seconds, Math.Max(left, 0));
        }
    }

    public long[] All()
    {
        lock (_gate)
            return [.. _leases.Keys.Order()];
    }

    public bool IsExpired(long id)
    {
        lock (_gate)
            return _leases.TryGetValue(id, out var lease) && lease.Ends <= time.GetTimestamp();
    }

    public List<long> Expired()
    {
        var now = time.GetTimestamp();
        lock (_gate)
            return [.. _leases.Where(l => l.Value.Ends <= now).Select(l => l.Key).Order()];
    }

    private static long RandomId()
    {
        Span<byte> bytes = stackalloc byte[8];
        RandomNumberGenerator.Fill(bytes);
        return BinaryPrimitives.ReadInt64LittleEndian(bytes) & long.MaxValue;
    }

    private long EndOf(long seconds) => time.GetTimestamp() + seconds * time.TimestampFrequency;
}

using System.Collections.Immutable;
using Microsoft.Data.Sqlite;

namespace Calico.Datastore.Embedded;

/// <summary>
/// The reading statements, prepared once for one connection and used by one thread at a time: a reader's, or the
/// writer's own when a transaction reads. Everything between <see cref="Begin"/> and <see cref="End"/> sees one moment.
/// </summary>
internal sealed class StoreQueries : IDisposable
{
    private const string Columns = "h.key, h.id, h.create_revision, h.version, h.lease, h.value";

    // An upper bound that SQLite can seek to: longer than any key, and of the greatest bytes.
    private static readonly byte[] AboveAllKeys = Enumerable.Repeat((byte)0xff, DatastoreLimits.MaxKeyBytes + 1).ToArray();

    private readonly SqliteCommand _begin;
    private readonly SqliteCommand _end;
    private readonly SqliteCommand _newest;
    private readonly SqliteCommand _compacted;
    private readonly SqliteCommand _single;
    private readonly SqliteCommand _singleAt;
    private readonly SqliteCommand _range;
    private readonly SqliteCommand _rangeAt;
    private readonly SqliteCommand _count;
    private readonly SqliteCommand _countAt;
    private readonly SqliteCommand _touched;
    private readonly SqliteCommand _events;
    private readonly SqliteCommand _previous;
    private readonly SqliteCommand _leaseKeys;

    public StoreQueries(SqliteConnection connection)
    {
        _begin = connection.Prepare("BEGIN");
        _end = connection.Prepare("COMMIT");
        _newest = connection.Prepare("SELECT max(id) FROM history");
        _compacted = connection.Prepare("SELECT value FROM meta WHERE name = 'compacted'");
        _single = connection.Prepare(
            $"SELECT {Columns} FROM current c JOIN history h ON h.id = c.id WHERE c.key = $start", "$start");
        _singleAt = connection.Prepare(
            $"SELECT {Columns} FROM history h WHERE h.key = $start AND h.id < $below ORDER BY h.id DESC LIMIT 1",
            "$start", "$below");
        _range = connection.Prepare($"""
            SELECT {Columns} FROM current c JOIN history h ON h.id = c.id
            WHERE c.key >= $start AND c.key < $end ORDER BY c.key
            """, "$start", "$end");
        // The other columns of a row are those of the greatest id: SQLite defines that for a query with a single max().
        _rangeAt = connection.Prepare("""
            SELECT key, max(id), create_revision, version, lease, value FROM history
            WHERE key >= $start AND key < $end AND id < $below
            GROUP BY key HAVING version > 0 ORDER BY key
            """, "$start", "$end", "$below");
        _count = connection.Prepare(
            "SELECT count(*) FROM current WHERE key >= $start AND key < $end", "$start", "$end");
        _countAt = connection.Prepare("""
            SELECT count(*) FROM (SELECT max(id), version FROM history
            WHERE key >= $start AND key < $end AND id < $below GROUP BY key HAVING version > 0)
            """, "$start", "$end", "$below");
        // The unary plus keeps the planner on the rowid: the few newest rows, not all of the range's.
        _touched = connection.Prepare("""
            SELECT 1 FROM history WHERE id >= $from AND +key >= $start AND +key < $end LIMIT 1
            """, "$from", "$start", "$end");
        _events = connection.Prepare($"""
            SELECT {Columns} FROM history h
            WHERE h.id >= $from AND +h.key >= $start AND +h.key < $end ORDER BY h.id
            """, "$from", "$start", "$end");
        _previous = connection.Prepare(
            $"SELECT {Columns} FROM history h WHERE h.key = $start AND h.id < $below ORDER BY h.id DESC LIMIT 1",
            "$start", "$below");
        _leaseKeys = connection.Prepare(
            "SELECT key FROM current WHERE lease = $id AND lease <> 0 ORDER BY key", "$id");
    }

    public void Begin() => _begin.ExecuteNonQuery();

    public void End() => _end.ExecuteNonQuery();

    /// <summary>The store's revision; a new store is at 1, as etcd is.</summary>
    public long Revision() => _newest.ExecuteScalar() is long id ? id >> StoreFile.PositionBits : 1;

    /// <summary>Reads below this revision are refused.</summary>
    public long Compacted() => (long)_compacted.ExecuteScalar()!;

    public StoredKey? Get(byte[] key)
    {
        _single.Parameters[0].Value = key;
        using var rows = _single.ExecuteReader();
        return rows.Read() ? Row(rows) : null;
    }

    /// <summary>Reads a range at a moment; the caller has checked that the revision is neither gone nor to come.</summary>
    public RangeResult Range(RangeOperation range, long revision)
    {
        var now = range.Revision <= 0 || range.Revision == revision || !TouchedAfter(range.Range, range.Revision);
        if (range.CountOnly)
            return new RangeResult([], false, Count(range.Range, now, range.Revision));

        // A filter or an order looks at every key of the range before the limit applies.
        var whole = range.Filter is not null || !range.Order.IsStored;
        var limit = range.Limit > 0 && !whole ? range.Limit : long.MaxValue;
        var keys = ImmutableArray.CreateBuilder<StoredKey>();
        var more = Scan(range, now, limit, keys);
        long count = keys.Count;
        if (whole)
            more = Arrange(range, ref keys);
        else if (more && range.WithCount)
            count = Count(range.Range, now, range.Revision);
        return new RangeResult(keys.DrainToImmutable(), more, count);
    }

    private bool Scan(RangeOperation range, bool now, long limit, ImmutableArray<StoredKey>.Builder keys)
    {
        long bytes = 0;
        using var rows = Select(range.Range, now, range.Revision).ExecuteReader();
        while (rows.Read())
        {
            if (rows.GetInt64(3) == 0)
                continue;
            if (keys.Count == limit || range.MaxBytes > 0 && bytes >= range.MaxBytes)
                return true;
            var key = Row(rows, range.KeysOnly && range.Order.Field != SortField.Value);
            bytes += key.Key.Length + key.Value.Length;
            keys.Add(key);
        }
        return false;
    }

    private static bool Arrange(RangeOperation range, ref ImmutableArray<StoredKey>.Builder keys)
    {
        IEnumerable<StoredKey> arranged = keys.ToImmutable();
        if (range.Filter is { } filter)
            arranged = arranged.Where(filter.Passes);
        Comparison<StoredKey> order = range.Order.Field switch
        {
            SortField.Version => (a, b) => a.Version.CompareTo(b.Version),
            SortField.Create => (a, b) => a.Create.CompareTo(b.Create),
            SortField.Mod => (a, b) => a.Mod.CompareTo(b.Mod),
            SortField.Value => (a, b) => a.Value.AsSpan().SequenceCompareTo(b.Value),
            _ => (a, b) => a.Key.AsSpan().SequenceCompareTo(b.Key),
        };
        var comparer = Comparer<StoredKey>.Create(order);
        arranged = range.Order.Descending ? arranged.OrderDescending(comparer) : arranged.Order(comparer);
        if (range.KeysOnly)
            arranged = arranged.Select(k => k with { Value = [] });

        keys = ImmutableArray.CreateBuilder<StoredKey>();
        keys.AddRange(arranged);
        if (range.Limit <= 0 || keys.Count <= range.Limit)
            return false;
        keys.Count = (int)range.Limit;
        return true;
    }

    private long Count(KeyRange range, bool now, long revision)
    {
        if (range.IsSingle)
        {
            using var rows = Select(range, now, revision).ExecuteReader();
            return rows.Read() && rows.GetInt64(3) > 0 ? 1 : 0;
        }
        var command = now ? _count : _countAt;
        Bind(command, 0, range);
        if (!now)
            command.Parameters[2].Value = (revision + 1) << StoreFile.PositionBits;
        return (long)command.ExecuteScalar()!;
    }

    private SqliteCommand Select(KeyRange range, bool now, long revision)
    {
        var command = (range.IsSingle, now) switch
        {
            (true, true) => _single,
            (true, false) => _singleAt,
            (false, true) => _range,
            (false, false) => _rangeAt,
        };
        if (range.IsSingle)
            command.Parameters[0].Value = range.Start;
        else
            Bind(command, 0, range);
        if (!now)
            command.Parameters[^1].Value = (revision + 1) << StoreFile.PositionBits;
        return command;
    }

    private bool TouchedAfter(KeyRange range, long revision)
    {
        _touched.Parameters[0].Value = (revision + 1) << StoreFile.PositionBits;
        Bind(_touched, 1, range);
        return _touched.ExecuteScalar() is not null;
    }

    /// <summary>
    /// The changes of a range after a revision, whole revisions only, about as many as asked for. Says up to which
    /// revision there are none left out.
    /// </summary>
    public long EventsAfter(KeyRange range, long revision, int about, long maxBytes, List<StoreEvent> into)
    {
        var newest = Revision();
        var compacted = Compacted();
        long bytes = 0;
        _events.Parameters[0].Value = (revision + 1) << StoreFile.PositionBits;
        Bind(_events, 1, range);
        using var rows = _events.ExecuteReader();
        while (rows.Read())
        {
            var last = into.Count > 0 ? into[^1].Key.Mod : 0;
            if ((into.Count >= about || bytes >= maxBytes) && rows.GetInt64(1) >> StoreFile.PositionBits != last)
                return last;
            var key = Row(rows);
            var previous = Previous(key.Key, rows.GetInt64(1), compacted);
            bytes += key.Value.Length + key.Key.Length;
            into.Add(new StoreEvent(key, previous));
        }
        return newest;
    }

    private StoredKey? Previous(byte[] key, long id, long compacted)
    {
        _previous.Parameters[0].Value = key;
        _previous.Parameters[1].Value = id;
        using var rows = _previous.ExecuteReader();
        if (!rows.Read() || Row(rows) is not { Version: > 0 } previous)
            return null;
        // What a read just before the change would be refused for is not told either.
        return (id >> StoreFile.PositionBits) - 1 >= compacted ? previous : null;
    }

    public List<byte[]> LeaseKeys(long id)
    {
        List<byte[]> keys = [];
        _leaseKeys.Parameters[0].Value = id;
        using var rows = _leaseKeys.ExecuteReader();
        while (rows.Read())
            keys.Add((byte[])rows.GetValue(0));
        return keys;
    }

    private static void Bind(SqliteCommand command, int first, KeyRange range)
    {
        // A single key is the range up to its successor.
        command.Parameters[first].Value = range.Start;
        command.Parameters[first + 1].Value = range.IsUnbounded ? AboveAllKeys : range.End ?? KeyRange.Successor(range.Start);
    }

    private static StoredKey Row(SqliteDataReader row, bool withoutValue = false)
    {
        var id = row.GetInt64(1);
        return new StoredKey((byte[])row.GetValue(0), withoutValue ? [] : (byte[])row.GetValue(5), row.GetInt64(2),
            id >> StoreFile.PositionBits, row.GetInt64(3), row.GetInt64(4));
    }

    public void Dispose()
    {
        foreach (var command in (SqliteCommand[])[_begin, _end, _newest, _compacted, _single, _singleAt, _range, _rangeAt,
            _count, _countAt, _touched, _events, _previous, _leaseKeys])
        {
            command.Dispose();
        }
    }
}

internal static class SqliteConnectionExtensions
{
    /// <summary>A statement compiled once, with its parameters in the given order.</summary>
    public static SqliteCommand Prepare(this SqliteConnection connection, string sql, params ReadOnlySpan<string> parameters)
    {
        var command = connection.CreateCommand();
        command.CommandText = sql;
        foreach (var name in parameters)
        {
            var parameter = command.CreateParameter();
            parameter.ParameterName = name;
            parameter.Value = DBNull.Value;
            command.Parameters.Add(parameter);
        }
        command.Prepare();
        return command;
    }
}

using Microsoft.Data.Sqlite;

namespace Calico.Datastore.Embedded;

/// <summary>The writing statements. They run on the writer's thread inside its transaction.</summary>
internal sealed class StoreTables : IDisposable
{
    private readonly SqliteCommand _begin;
    private readonly SqliteCommand _commit;
    private readonly SqliteCommand _rollback;
    private readonly SqliteCommand _mark;
    private readonly SqliteCommand _release;
    private readonly SqliteCommand _backToMark;
    private readonly SqliteCommand _append;
    private readonly SqliteCommand _point;
    private readonly SqliteCommand _unpoint;
    private readonly SqliteCommand _addLease;
    private readonly SqliteCommand _removeLease;
    private readonly SqliteCommand _leases;
    private readonly SqliteCommand _setMeta;
    private readonly SqliteCommand _getMeta;
    private readonly SqliteCommand _superseding;
    private readonly SqliteCommand _forgetOlder;
    private readonly SqliteCommand _forget;

    public StoreTables(SqliteConnection connection)
    {
        _begin = connection.Prepare("BEGIN IMMEDIATE");
        _commit = connection.Prepare("COMMIT");
        _rollback = connection.Prepare("ROLLBACK");
        _mark = connection.Prepare("SAVEPOINT one");
        _release = connection.Prepare("RELEASE one");
        _backToMark = connection.Prepare("ROLLBACK TO one");
        _append = connection.Prepare("INSERT INTO history VALUES ($id, $key, $create, $version, $lease, $value)",
            "$id", "$key", "$create", "$version", "$lease", "$value");
        _point = connection.Prepare("""
            INSERT INTO current VALUES ($key, $id, $lease)
            ON CONFLICT (key) DO UPDATE SET id = excluded.id, lease = excluded.lease
            """, "$key", "$id", "$lease");
        _unpoint = connection.Prepare("DELETE FROM current WHERE key = $key", "$key");
        _addLease = connection.Prepare("INSERT INTO lease VALUES ($id, $seconds)", "$id", "$seconds");
        _removeLease = connection.Prepare("DELETE FROM lease WHERE id = $id", "$id");
        _leases = connection.Prepare("SELECT id, seconds FROM lease");
        _setMeta = connection.Prepare("UPDATE meta SET value = $value WHERE name = $name", "$name", "$value");
        _getMeta = connection.Prepare("SELECT value FROM meta WHERE name = $name", "$name");
        _superseding = connection.Prepare(
            "SELECT id, key, version FROM history WHERE id >= $from AND id < $below ORDER BY id LIMIT $limit",
            "$from", "$below", "$limit");
        _forgetOlder = connection.Prepare("DELETE FROM history WHERE key = $key AND id < $id", "$key", "$id");
        _forget = connection.Prepare("DELETE FROM history WHERE id = $id", "$id");
    }

    public void Begin() => _begin.ExecuteNonQuery();

    public void Commit() => _commit.ExecuteNonQuery();

    public void Rollback() => _rollback.ExecuteNonQuery();

    /// <summary>Starts a part that <see cref="BackToMark"/> can undo alone.</summary>
    public void Mark() => _mark.ExecuteNonQuery();

    public void Release() => _release.ExecuteNonQuery();

    public void BackToMark()
    {
        _backToMark.ExecuteNonQuery();
        _release.ExecuteNonQuery();
    }

    public void Append(long id, StoredKey key)
    {
        var p = _append.Parameters;
        p[0].Value = id;
        p[1].Value = key.Key;
        p[2].Value = key.Create;
        p[3].Value = key.Version;
        p[4].Value = key.Lease;
        p[5].Value = key.Value;
        _append.ExecuteNonQuery();

        if (key.Version == 0)
        {
            _unpoint.Parameters[0].Value = key.Key;
            _unpoint.ExecuteNonQuery();
            return;
        }
        _point.Parameters[0].Value = key.Key;
        _point.Parameters[1].Value = id;
        _point.Parameters[2].Value = key.Lease;
        _point.ExecuteNonQuery();
    }

    public void AddLease(long id, long seconds)
    {
        _addLease.Parameters[0].Value = id;
        _addLease.Parameters[1].Value = seconds;
        _addLease.ExecuteNonQuery();
    }

    public void RemoveLease(long id)
    {
        _removeLease.Parameters[0].Value = id;
        _removeLease.ExecuteNonQuery();
    }

    public List<(long Id, long Seconds)> Leases()
    {
        List<(long, long)> leases = [];
        using var rows = _leases.ExecuteReader();
        while (rows.Read())
            leases.Add((rows.GetInt64(0), rows.GetInt64(1)));
        return leases;
    }

    public long GetMeta(string name)
    {
        _getMeta.Parameters[0].Value = name;
        return (long)_getMeta.ExecuteScalar()!;
    }

    public void SetMeta(string name, long value)
    {
        _setMeta.Parameters[0].Value = name;
        _setMeta.Parameters[1].Value = value;
        _setMeta.ExecuteNonQuery();
    }

    /// <summary>
    /// One step of thinning history after a compaction at <paramref name="revision"/>: looks at the rows written from
    /// <paramref name="from"/> on and removes what they replaced. Only rows since the last compaction are looked at, so
    /// the cost follows the changes, not the size of the store. Tombstones of the revision itself stay: a watch
    /// may still start there.
    /// </summary>
    /// <returns>The id to go on from, or null when done.</returns>
    public long? Sweep(long from, long revision, int rows)
    {
        List<(long Id, byte[] Key, bool Tombstone)> batch = [];
        _superseding.Parameters[0].Value = from;
        _superseding.Parameters[1].Value = (revision + 1) << StoreFile.PositionBits;
        _superseding.Parameters[2].Value = rows;
        using (var reader = _superseding.ExecuteReader())
        {
            while (reader.Read())
                batch.Add((reader.GetInt64(0), (byte[])reader.GetValue(1), reader.GetInt64(2) == 0));
        }
        foreach (var (id, key, tombstone) in batch)
        {
            _forgetOlder.Parameters[0].Value = key;
            _forgetOlder.Parameters[1].Value = id;
            _forgetOlder.ExecuteNonQuery();
            if (!tombstone || id >> StoreFile.PositionBits >= revision)
                continue;
            _forget.Parameters[0].Value = id;
            _forget.ExecuteNonQuery();
        }
        return batch.Count < rows ? null : batch[^1].Id + 1;
    }

    public void Dispose()
    {
        foreach (var command in (SqliteCommand[])[_begin, _commit, _rollback, _mark, _release, _backToMark, _append, _point,
            _unpoint, _addLease, _removeLease, _leases, _setMeta, _getMeta, _superseding, _forgetOlder, _forget])
        {
            command.Dispose();
        }
    }
}

using System.Buffers.Binary;
using System.Security.Cryptography;
using Microsoft.Data.Sqlite;

namespace Calico.Datastore.Embedded;

/// <summary>
/// The file and its schema.
/// <code>
///   history   id = revision &lt;&lt; 20 | position in the transaction      every version of every key, in write order
///             key, create_revision, version (0: a tombstone), lease, value
///   current   key -> id of its newest version                        only keys that exist
///   lease     id, granted seconds
///   meta      schema, cluster, member, compacted (reads below it are refused), swept (history is thinned up to it)
/// </code>
/// The revision of the store is that of the newest history row: it needs no row of its own, and since compaction never
/// removes the newest revision it cannot go back.
/// </summary>
internal sealed class StoreFile : IDisposable
{
    public const int PositionBits = 20;
    public const int MaxPositions = 1 << PositionBits;

    private const int SchemaVersion = 1;
    private const int PageSize = 4096;

    private readonly StoreOwner _owner;
    private readonly EmbeddedOptions _options;

    private StoreFile(EmbeddedOptions options, StoreOwner owner, SqliteConnection writer)
    {
        _options = options;
        _owner = owner;
        Writer = writer;
        ClusterId = unchecked((ulong)ReadMeta("cluster"));
        MemberId = unchecked((ulong)ReadMeta("member"));
    }

    /// <summary>The one connection that writes; only the writer's thread may use it.</summary>
    public SqliteConnection Writer { get; }

    /// <summary>Made once with the file, as etcd makes one for a cluster: a client sees a replaced store by it.</summary>
    public ulong ClusterId { get; }

    public ulong MemberId { get; }
    public string Path => _options.File;
    public long Size => Length(Path) + Length(Path + "-wal");

    public static StoreFile Open(EmbeddedOptions options)
    {
        options.Validate();
        StoreOwner? owner = null;
        SqliteConnection? writer = null;
        try
        {
            // Secrets (BGP passwords) are in here.
            if (OperatingSystem.IsWindows())
                Directory.CreateDirectory(options.Directory);
            else
                Directory.CreateDirectory(options.Directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            owner = StoreOwner.Take(options.Directory);
            writer = Connect(options.File, SqliteOpenMode.ReadWriteCreate);
            Prepare(writer, options);
            return new StoreFile(options, owner, writer);
        }
        catch (Exception e)
        {
            writer?.Dispose();
            owner?.Dispose();
            throw e switch
            {
                SqliteException s => SqliteFaults.ToDatastoreException(s, options.File),
                IOException io => SqliteFaults.ToDatastoreException(io, options.Directory),
                UnauthorizedAccessException u => SqliteFaults.ToDatastoreException(u, options.Directory),
                _ => e,
            };
        }
    }

    public SqliteConnection OpenReader()
    {
        var reader = Connect(_options.File, SqliteOpenMode.ReadWrite);
        Execute(reader, "PRAGMA query_only = ON");
        return reader;
    }

    private static SqliteConnection Connect(string file, SqliteOpenMode mode)
    {
        var connection = new SqliteConnection(new SqliteConnectionStringBuilder
        {
            DataSource = file,
            Mode = mode,
            Pooling = false,
            DefaultTimeout = 5,
        }.ToString());
        try
        {
            connection.Open();
            return connection;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    private static void Prepare(SqliteConnection writer, EmbeddedOptions options)
    {
        Execute(writer, $"PRAGMA page_size = {PageSize}");
        Execute(writer, "PRAGMA journal_mode = WAL");
        // FULL syncs the log on every commit: an acknowledged write survives a power cut.
        Execute(writer, "PRAGMA synchronous = FULL");
        Execute(writer, "PRAGMA wal_autocheckpoint = 4000");
        Execute(writer, $"PRAGMA journal_size_limit = {64 << 20}");
        Execute(writer, $"PRAGMA cache_size = -{32 << 10}");
        Execute(writer, $"PRAGMA max_page_count = {options.MaxBytes / PageSize}");

        var version = Convert.ToInt32(Scalar(writer, "PRAGMA user_version"), null);
        if (version == SchemaVersion)
            return;
        if (version != 0 || Convert.ToInt64(Scalar(writer, "SELECT count(*) FROM sqlite_master"), null) > 0)
        {
            throw new DatastoreException(DatastoreFault.Invalid,
                $"embedded store {options.File}: its schema is version {version}, this program knows {SchemaVersion}; "
                + "run the version that wrote it, or export and import");
        }
        CreateSchema(writer);
    }

    private static void CreateSchema(SqliteConnection writer)
    {
        using var transaction = writer.BeginTransaction();
        Execute(writer, """
            CREATE TABLE history(
              id INTEGER PRIMARY KEY, key BLOB NOT NULL, create_revision INTEGER NOT NULL, version INTEGER NOT NULL,
              lease INTEGER NOT NULL, value BLOB NOT NULL);
            CREATE INDEX history_key ON history(key);
            CREATE TABLE current(key BLOB PRIMARY KEY, id INTEGER NOT NULL, lease INTEGER NOT NULL) WITHOUT ROWID;
            CREATE INDEX current_lease ON current(lease) WHERE lease <> 0;
            CREATE TABLE lease(id INTEGER PRIMARY KEY, seconds INTEGER NOT NULL);
            CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
            INSERT INTO meta VALUES ('compacted', 0), ('swept', 0);
            """);
        using var identity = writer.CreateCommand();
        identity.CommandText = "INSERT INTO meta VALUES ('cluster', $cluster), ('member', $member)";
        identity.Parameters.AddWithValue("$cluster", RandomId());
        identity.Parameters.AddWithValue("$member", RandomId());
        identity.ExecuteNonQuery();
        Execute(writer, $"PRAGMA user_version = {SchemaVersion}");
        transaction.Commit();
    }

    private static long RandomId()
    {
        Span<byte> bytes = stackalloc byte[8];
        RandomNumberGenerator.Fill(bytes);
        return BinaryPrimitives.ReadInt64LittleEndian(bytes) & long.MaxValue | 1;
    }

    private long ReadMeta(string name) =>
        Convert.ToInt64(Scalar(Writer, $"SELECT value FROM meta WHERE name = '{name}'"), null);

    public static void Execute(SqliteConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    private static object? Scalar(SqliteConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        return command.ExecuteScalar();
    }

    private static long Length(string path)
    {
        var file = new FileInfo(path);
        return file.Exists ? file.Length : 0;
    }

    public void Dispose()
    {
        Writer.Dispose();
        _owner.Dispose();
    }
}

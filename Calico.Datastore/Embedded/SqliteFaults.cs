using Microsoft.Data.Sqlite;

namespace Calico.Datastore.Embedded;

/// <summary>Turns SQLite's and the file system's errors into the port's, with what to do about them.</summary>
internal static class SqliteFaults
{
    private const int Busy = 5;
    private const int ReadOnly = 8;
    private const int InputOutput = 10;
    private const int Corrupt = 11;
    private const int Full = 13;
    private const int CannotOpen = 14;
    private const int NotADatabase = 26;

    private const int ErrnoNoSpace = 28;
    private const int ErrnoReadOnly = 30;
    private const int ErrnoQuota = 122;

    // SQLITE_IOERR_SHMSIZE: how a full disk shows when the shared-memory file is to grow.
    private const int InputOutputShmSize = InputOutput | 19 << 8;

    /// <summary>Whether the store can go on after this: a full disk can be emptied, a broken one is not trusted again.</summary>
    public static bool IsRecoverable(SqliteException e) => e.SqliteErrorCode is Full or Busy;

    public static DatastoreException ToDatastoreException(SqliteException e, string file) => e.SqliteErrorCode switch
    {
        Full => new(DatastoreFault.Exhausted,
            $"embedded store {file}: the disk or the store's quota is full; nothing was written. Free space, or compact", e),
        _ when e.SqliteExtendedErrorCode == InputOutputShmSize => new(DatastoreFault.Exhausted,
            $"embedded store {file}: no room for its shared-memory file; free space on that disk", e),
        ReadOnly => new(DatastoreFault.Denied,
            $"embedded store {file}: the file or its disk is read-only; it must be writable by this user", e),
        CannotOpen => new(DatastoreFault.Denied,
            $"embedded store {file}: cannot be opened or made; the folder must be writable by this user", e),
        Corrupt or NotADatabase => new(DatastoreFault.Invalid,
            $"embedded store {file}: the file is damaged ({e.Message}); restore it from a backup", e),
        InputOutput => new(DatastoreFault.Unavailable,
            $"embedded store {file}: the disk failed ({e.Message}, code {e.SqliteExtendedErrorCode}); nothing is known about "
            + "the write. The store stops writing until it is opened again", e),
        _ => new(DatastoreFault.Unavailable, $"embedded store {file}: {e.Message}", e),
    };

    public static DatastoreException ToDatastoreException(IOException e, string directory) => (e.HResult & 0xffff) switch
    {
        ErrnoNoSpace or ErrnoQuota => new(DatastoreFault.Exhausted,
            $"embedded store {directory}: the disk is full; free space on it", e),
        ErrnoReadOnly => new(DatastoreFault.Denied,
            $"embedded store {directory}: the disk is read-only; the folder must be writable", e),
        _ => new(DatastoreFault.Denied, $"embedded store {directory}: {e.Message}", e),
    };

    public static DatastoreException ToDatastoreException(UnauthorizedAccessException e, string directory) =>
        new(DatastoreFault.Denied, $"embedded store {directory}: {e.Message} The folder must be writable by this user", e);
}

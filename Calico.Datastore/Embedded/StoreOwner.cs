using System.Globalization;

namespace Calico.Datastore.Embedded;

/// <summary>
/// The exclusive right to a store's folder: an advisory lock (flock) that the kernel drops with the process, however it
/// ends, and beside it a note of who holds it, for the message to the second comer. The note is no lock: one that a
/// killed process left behind is overwritten.
/// </summary>
internal sealed class StoreOwner : IDisposable
{
    private readonly FileStream _lock;
    private readonly string _note;

    private StoreOwner(FileStream file, string note)
    {
        _lock = file;
        _note = note;
    }

    public static StoreOwner Take(string directory)
    {
        var note = Path.Combine(directory, "calico.owner");
        FileStream file;
        try
        {
            // FileShare.None is flock(LOCK_EX | LOCK_NB) here.
            file = new FileStream(Path.Combine(directory, "calico.lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite,
                FileShare.None);
        }
        catch (IOException e) when (IsHeld(e))
        {
            throw new DatastoreException(DatastoreFault.Unavailable,
                $"embedded store {directory}: in use by {Holder(note)}; stop it, or give this process its address instead", e);
        }

        try
        {
            File.WriteAllText(note,
                string.Create(CultureInfo.InvariantCulture, $"{Environment.ProcessId} {Environment.ProcessPath}\n"));
        }
        catch
        {
            file.Dispose();
            throw;
        }
        return new StoreOwner(file, note);
    }

    private static string Holder(string note)
    {
        try
        {
            var parts = File.ReadAllText(note).Trim().Split(' ', 2);
            return parts.Length == 2 ? $"pid {parts[0]} ({parts[1]})" : "another process";
        }
        catch (IOException)
        {
            return "another process";
        }
    }

    // EWOULDBLOCK is the only failure of open+flock that has this HResult; ENOSPC, EROFS and EIO have their own.
    private static bool IsHeld(IOException e) => e.GetType() == typeof(IOException) && (e.HResult & 0xffff) == 11;

    public void Dispose()
    {
        try
        {
            File.Delete(_note);
        }
        catch (IOException)
        {
            // Only a courtesy: the lock itself goes with the handle.
        }
        _lock.Dispose();
    }
}

using Calico.Datastore.Kubernetes.Client;
using Calico.Datastore.Kubernetes.Mapping;

namespace Calico.Datastore.Kubernetes.Transactions;

/// <summary>
/// What stands for a key: the object if there is one, the lock on it, and the value that the key has as long as the
/// transaction behind the lock is not committed.
/// </summary>
internal sealed record Stored(KeyMap Map, ObjectName Name, string Key, KubeItem? Item, LockNote? Lock, KeyValue? Value, string? WrittenBy)
{
    /// <summary>The key that the object really has, where it is not this one: the name is taken.</summary>
    public string? TakenBy { get; init; }

    /// <summary>The revision at which a transaction removed the key and left its object; null if none did.</summary>
    public long? RemovedAt { get; init; }

    public static Stored Absent(KeyMap map, ObjectName name, string key) => new(map, name, key, null, null, null, null);

    /// <param name="now">The server's time, for keys that expire.</param>
    public static Stored Of(KeyMap map, string key, KubeItem item, DateTimeOffset now)
    {
        var name = new ObjectName(item.Namespace, item.Name);
        var held = LockNote.Of(item);
        var note = RevisionNote.Of(item);
        if (held is { IsNew: true })
            return new Stored(map, name, key, item, held, null, null);
        if (map.ValueOf(item) is not { } value || IsExpired(item, now))
        {
            // Where an object stays when its key goes, the note tells who removed the key.
            var isRemoved = note is { Hash: null, Transaction: not null } && held is null;
            return new Stored(map, name, key, item, held, null, isRemoved ? note!.Transaction : null) { RemovedAt = isRemoved ? note!.Revision : null };
        }
        // A hash only costs where there is something to compare it with.
        var hash = held?.Hash is null && note?.Hash is null ? null : RevisionNote.HashOf(value);
        var revision = hash is not null && held?.Hash == hash ? held.Revision
            : hash is not null && note?.Hash == hash && held is null ? note.Revision
            : item.Revision;
        var created = held?.Created is > 0 and var c ? c : note?.Created is > 0 and var n ? n : revision;
        var writer = revision == note?.Revision ? note.Transaction : null;
        return new Stored(map, name, key, item, held, new KeyValue(key, value, revision, Math.Min(created, revision)), writer);
    }

    /// <summary>The value once the transaction behind the lock is committed at a revision.</summary>
    public KeyValue? Committed(long revision)
    {
        if (Lock!.Action == LockAction.Check)
            return Value;
        if (Lock.Action == LockAction.Delete)
            return null;
        var item = Lock.IsNew ? Item! : Lock.Next is { } next ? ObjectWrites.Predict(Item!, Map.Put(Item, Key, next)) : Item!;
        return Map.ValueOf(item) is { } value
            ? new KeyValue(Key, value, revision, Value is null ? revision : Value.CreateRevision)
            : null;
    }

    /// <summary>The key has run out but nobody has removed it yet.</summary>
    private static bool IsExpired(KubeItem item, DateTimeOffset now) =>
        item.Annotation(Bookkeeping.Expires) is { } text && long.TryParse(text, out var at)
        && now.ToUnixTimeMilliseconds() > at + ExpiryGraceMilliseconds;

    /// <summary>The clocks of two machines differ, and who wrote the key removes it in time if it lives.</summary>
    private const long ExpiryGraceMilliseconds = 5_000;
}

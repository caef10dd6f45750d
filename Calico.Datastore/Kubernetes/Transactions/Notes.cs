using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Datastore.Kubernetes.Client;
using Calico.Datastore.Kubernetes.Mapping;

namespace Calico.Datastore.Kubernetes.Transactions;

/// <summary>What a transaction that holds an object is about to do with it.</summary>
internal enum LockAction
{
    /// <summary>Nothing: its compare must hold until the decision.</summary>
    Check,
    Put,
    Delete,
}

/// <summary>
/// The annotation on an object that a transaction holds. Until the transaction's record says that it is committed the
/// object's value is the one before; from that moment on it is the one to come.
/// </summary>
internal sealed record LockNote
{
    private const int CompressAbove = 1024;

    public required string Transaction { get; init; }
    public required LockAction Action { get; init; }

    /// <summary>The object was made by this lock: its key was absent before.</summary>
    public bool IsNew { get; init; }

    /// <summary>The revision of the value before, its creation, and the hash that says whether somebody else changed it since.</summary>
    public long Revision { get; init; }

    public long Created { get; init; }
    public string? Hash { get; init; }

    /// <summary>The value to come of a put; the object itself has it if it is new.</summary>
    public ReadOnlyMemory<byte>? Next { get; init; }

    /// <summary>When the value to come is to go, in milliseconds of Unix time.</summary>
    public long Expires { get; init; }

    public static LockNote? Of(KubeItem item)
    {
        if (item.Annotation(Bookkeeping.Lock) is not { } text || JsonForms.TryParse(Encoding.UTF8.GetBytes(text)) is not { } json
            || KubeItem.Text(json, "tx") is not { } transaction)
            return null;
        return new LockNote
        {
            Transaction = transaction,
            Action = KubeItem.Text(json, "do") switch { "put" => LockAction.Put, "delete" => LockAction.Delete, _ => LockAction.Check },
            IsNew = json.TryGetProperty("new", out var isNew) && isNew.ValueKind == JsonValueKind.True,
            Revision = Number(json, "rev"),
            Created = Number(json, "created"),
            Hash = KubeItem.Text(json, "hash"),
            Expires = Number(json, "expires"),
            Next = KubeItem.Text(json, "next") is { } plain ? Convert.FromBase64String(plain)
                : KubeItem.Text(json, "nextGzip") is { } packed ? Unpack(Convert.FromBase64String(packed))
                : null,
        };
    }

    public string Write()
    {
        var json = new JsonObject { ["tx"] = Transaction, ["do"] = Action.ToString().ToLowerInvariant() };
        if (IsNew)
            json["new"] = true;
        else
            (json["rev"], json["created"], json["hash"]) = (Revision, Created, Hash);
        if (Expires != 0)
            json["expires"] = Expires;
        if (Next is { } next)
        {
            // Annotations of one object may have 256 KiB together; a block of many addresses packs to a tenth.
            if (next.Length <= CompressAbove)
                json["next"] = Convert.ToBase64String(next.Span);
            else
                json["nextGzip"] = Convert.ToBase64String(Pack(next.Span));
        }
        return json.ToJsonString(JsonForms.TextOptions);
    }

    internal static long Number(JsonElement json, string name) =>
        json.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out var number) ? number : 0;

    private static byte[] Pack(ReadOnlySpan<byte> bytes)
    {
        using var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.Fastest))
            gzip.Write(bytes);
        return packed.ToArray();
    }

    private static byte[] Unpack(byte[] packed)
    {
        using var bytes = new MemoryStream();
        using var gzip = new BoundedStream(new GZipStream(new MemoryStream(packed), CompressionMode.Decompress), DatastoreLimits.MaxValueBytes);
        gzip.CopyTo(bytes);
        return bytes.ToArray();
    }
}

/// <summary>
/// The annotation that says of which revision an object's value is, where that is not the revision of the object:
/// transactions write their objects after the revision at which they were decided, and locks come and go without
/// changing a value. Holds as long as the value has the hash.
/// </summary>
/// <param name="Revision">0: the object's own.</param>
/// <param name="Transaction">Who wrote the value at that revision; null where it is only said again.</param>
internal sealed record RevisionNote(long Revision, long Created, string? Hash, string? Transaction)
{
    /// <summary>Differs from one write to the next where nothing else does.</summary>
    public string? Mark { get; init; }

    public static RevisionNote? Of(KubeItem item) =>
        item.Annotation(Bookkeeping.Revision) is { } text && JsonForms.TryParse(Encoding.UTF8.GetBytes(text)) is { } json
            ? new RevisionNote(LockNote.Number(json, "rev"), LockNote.Number(json, "created"), KubeItem.Text(json, "hash"), KubeItem.Text(json, "tx"))
            : null;

    public string Write()
    {
        var json = new JsonObject { ["created"] = Created };
        if (Mark is not null)
            json["mark"] = Mark;
        if (Revision != 0)
            (json["rev"], json["hash"]) = (Revision, Hash);
        if (Transaction is not null)
            json["tx"] = Transaction;
        return json.ToJsonString(JsonForms.TextOptions);
    }

    public static string HashOf(ReadOnlySpan<byte> value) => Convert.ToHexStringLower(SHA256.HashData(value).AsSpan(0, 8));
}

using System.Globalization;
using System.Text.Json.Nodes;
using Calico.Datastore.Kubernetes.Client;
using Calico.Datastore.Kubernetes.Mapping;

namespace Calico.Datastore.Kubernetes.Transactions;

/// <summary>The requests that change objects. Each is conditional on the version of the object that it was made from.</summary>
internal static class ObjectWrites
{
    /// <summary>Gives a key that nobody holds its value.</summary>
    /// <param name="stored">What stands for the key now.</param>
    /// <param name="value">The value to come.</param>
    /// <param name="expires">When it is to go, in milliseconds of Unix time; 0 is never.</param>
    /// <param name="isMarked">Makes the object differ from what it is even if the value is the same.</param>
    public static KubeRequest Put(Stored stored, ReadOnlyMemory<byte> value, long expires, bool isMarked = false)
    {
        var write = stored.Map.Put(stored.Item, stored.Key, value);
        var created = stored.Map.KeepsCreation && stored.Value is { } before ? before.CreateRevision : 0;
        var note = created > 0 || isMarked ? new RevisionNote(0, created, null, null) { Mark = isMarked ? Guid.NewGuid().ToString("N") : null } : null;
        return Request(stored, write, null, note, expires);
    }

    /// <summary>Removes a key that nobody holds.</summary>
    public static KubeRequest Remove(Stored stored) => stored.Map.Remove(stored.Item!, stored.Key) is { } write
        ? Request(stored, write, null, null, 0)
        : KubeRequest.Delete(stored.Map.Resource, stored.Item!);

    /// <summary>Takes hold of a key: on its object, or by making one.</summary>
    public static KubeRequest Lock(Stored stored, string transaction, LockAction action, ReadOnlyMemory<byte>? value, long expires)
    {
        if (stored.Item is null)
        {
            var body = action == LockAction.Put ? stored.Map.Put(null, stored.Key, value!.Value).Body : stored.Map.Placeholder(stored.Key);
            var held = new LockNote { Transaction = transaction, Action = action, IsNew = true };
            return Request(stored, new KubeWrite(body, IsPatch: false), held, null, expires);
        }
        var note = new LockNote
        {
            Transaction = transaction,
            Action = action,
            Revision = stored.Value?.ModRevision ?? 0,
            Created = stored.Value?.CreateRevision ?? 0,
            Hash = stored.Value is { } now ? RevisionNote.HashOf(now.Value.Span) : null,
            Next = value,
            Expires = expires,
        };
        if (value is { } next)
            // What does not fit is to be heard of before anything is held.
            _ = stored.Map.Put(stored.Item, stored.Key, next);
        return Metadata(stored, new JsonObject { [Bookkeeping.Lock] = note.Write() });
    }

    /// <summary>Does what the lock announced, for a transaction that is committed at a revision.</summary>
    public static KubeRequest Forward(Stored stored, long revision)
    {
        var held = stored.Lock!;
        switch (held.Action)
        {
            case LockAction.Check:
                return Release(stored);
            case LockAction.Delete when stored.Map.Remove(stored.Item!, stored.Key) is { } removal:
                return Request(stored, removal, null, new RevisionNote(revision, 0, null, held.Transaction), 0);
            case LockAction.Delete:
                return Remove(stored);
            case LockAction.Put when held.IsNew:
                var hash = stored.Map.ValueOf(stored.Item!) is { } made ? RevisionNote.HashOf(made) : null;
                return Notes(stored, new RevisionNote(revision, revision, hash, held.Transaction));
            default:
                var write = stored.Map.Put(stored.Item, stored.Key, held.Next ?? default);
                var value = stored.Map.ValueOf(Predict(stored.Item!, write));
                var note = new RevisionNote(revision, held.Created > 0 ? held.Created : revision,
                    value is null ? null : RevisionNote.HashOf(value), held.Transaction);
                return Request(stored, write, null, note, held.Expires);
        }
    }

    /// <summary>Lets go of a key, whose value stays of the revision that it was of.</summary>
    public static KubeRequest Release(Stored stored)
    {
        var held = stored.Lock!;
        if (held.IsNew)
            return KubeRequest.Delete(stored.Map.Resource, stored.Item!);
        var isUntouched = stored.Value is { } value && held.Hash is not null && held.Hash == RevisionNote.HashOf(value.Value.Span);
        return Notes(stored, isUntouched ? new RevisionNote(held.Revision, held.Created, held.Hash, null)
            : stored.Map.KeepsCreation && held.Created > 0 ? new RevisionNote(0, held.Created, null, null)
            : null);
    }

    /// <summary>No lock, and this note about the revision or none.</summary>
    public static KubeRequest Notes(Stored stored, RevisionNote? note) =>
        Metadata(stored, new JsonObject { [Bookkeeping.Lock] = null, [Bookkeeping.Revision] = note?.Write() });

    /// <summary>The object as it will be after a write, as far as the server takes it as it is.</summary>
    public static KubeItem Predict(KubeItem item, KubeWrite write)
    {
        JsonObject after;
        if (write.IsPatch)
        {
            after = JsonForms.Editable(item.Json);
            JsonForms.Merge(after, write.Body.DeepClone().AsObject());
        }
        else
        {
            after = write.Body.DeepClone().AsObject();
            var metadata = after["metadata"]!.AsObject();
            foreach (var name in (string[])["uid", "creationTimestamp", "resourceVersion"])
            {
                if (item.Metadata.TryGetProperty(name, out var kept))
                    metadata[name] = JsonForms.Node(kept);
            }
        }
        return new KubeItem(JsonForms.Element(after));
    }

    private static KubeRequest Metadata(Stored stored, JsonObject annotations) => new(KubeVerb.Patch, stored.Map.Resource,
        stored.Name.Namespace, stored.Name.Name)
    {
        Subresource = stored.Map.MetadataSubresource,
        Body = new JsonObject
        {
            ["metadata"] = new JsonObject { ["resourceVersion"] = stored.Item!.ResourceVersion, ["annotations"] = annotations },
        },
    };

    private static KubeRequest Request(Stored stored, KubeWrite write, LockNote? held, RevisionNote? note, long expires)
    {
        var body = write.Body;
        var metadata = JsonForms.Child(body, "metadata");
        Annotate(metadata, write.IsPatch, Bookkeeping.Lock, held?.Write());
        Annotate(metadata, write.IsPatch, Bookkeeping.Revision, note?.Write());
        Annotate(metadata, write.IsPatch, Bookkeeping.Expires, expires == 0 ? null : expires.ToString(CultureInfo.InvariantCulture));
        var (ns, name) = (stored.Name.Namespace, stored.Name.Name);
        if (stored.Item is not { } item)
            return KubeRequest.Create(stored.Map.Resource, ns, body);
        metadata["resourceVersion"] = item.ResourceVersion;
        return new KubeRequest(write.IsPatch ? KubeVerb.Patch : KubeVerb.Update, stored.Map.Resource, ns, name)
        {
            Subresource = write.Subresource,
            Body = body,
        };
    }

    // In a patch null removes; in a whole object what is not there is gone.
    private static void Annotate(JsonObject metadata, bool isPatch, string name, string? value)
    {
        if (value is not null || isPatch)
            JsonForms.Child(metadata, "annotations")[name] = value;
    }
}

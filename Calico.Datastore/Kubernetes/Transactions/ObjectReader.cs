using Calico.Datastore.Kubernetes.Client;
using Calico.Datastore.Kubernetes.Mapping;

namespace Calico.Datastore.Kubernetes.Transactions;

/// <summary>Reads single keys.</summary>
internal sealed class ObjectReader(KubeClient client)
{
    /// <summary>What stands for the key now, with whatever lock is on it.</summary>
    public async Task<Stored> LoadAsync(KeyMap map, ObjectName name, string key, CancellationToken cancellation)
    {
        var request = KubeRequest.Get(map.Resource, name.Namespace, name.Name);
        var answer = await client.SendAsync(request, cancellation);
        if (answer.IsNotFound)
            return Stored.Absent(map, name, key);
        return answer.IsSuccess ? Of(map, name, key, answer.Item) : throw client.Unexpected(request, answer);
    }

    /// <summary>What an object that was read or written says of the key.</summary>
    public Stored Of(KeyMap map, ObjectName name, string key, KubeItem item)
    {
        // An object of another key under this key's name: pods of another node, ids that differ in case only.
        var other = map.KeyOf(item);
        var stored = Stored.Of(map, key, item, client.ServerTime);
        return other == key ? stored : stored with { Name = name, Value = null, TakenBy = other ?? "an object without a key" };
    }

    /// <summary>
    /// The value of a key. Reading never waits and never writes: where a transaction holds the key, its record says
    /// which of the two values it is.
    /// </summary>
    public async Task<KeyValue?> ReadAsync(KeyMap map, ObjectName name, string key, CancellationToken cancellation)
    {
        string? missing = null;
        while (true)
        {
            var stored = await LoadAsync(map, name, key, cancellation);
            if (stored.Lock is not { } held)
                return stored.Value;
            var record = await FindAsync(held.Transaction, cancellation);
            if (record is { State: TransactionState.Committed })
                return stored.Committed(record.Revision);
            // Not committed when its record was read, hence not when the object was: the value before. But a record that
            // is missing may have been committed and done with in between, then the lock is gone too: look once more.
            if (record is not null || missing == held.Transaction)
                return stored.Value;
            missing = held.Transaction;
        }
    }

    /// <summary>The record of a transaction; null if it is done with.</summary>
    public async Task<TransactionRecord?> FindAsync(string transaction, CancellationToken cancellation)
    {
        var request = KubeRequest.Get(KubeResource.Transactions, null, transaction);
        var answer = await client.SendAsync(request, cancellation);
        return answer.IsNotFound ? null : answer.IsSuccess ? TransactionRecord.Of(answer.Item) : throw client.Unexpected(request, answer);
    }

    /// <summary>The newest revision of the whole store.</summary>
    public async Task<long> RevisionAsync(CancellationToken cancellation)
    {
        var request = new KubeRequest(KubeVerb.List, KubeResource.Transactions, null, null) { Query = "limit=1" };
        var answer = await client.SendAsync(request, cancellation);
        if (!answer.IsSuccess)
            throw client.Unexpected(request, answer);
        return KubeItem.ParseRevision(KubeItem.Text(answer.Item.Metadata, "resourceVersion"));
    }
}

using System.Collections.Immutable;
using Calico.Datastore.Kubernetes.Client;
using Calico.Datastore.Kubernetes.Mapping;

namespace Calico.Datastore.Kubernetes.Transactions;

/// <summary>A key of a transaction with what is asked of it.</summary>
internal sealed record Part(KeyMap Map, ObjectName Name, string Key, Compare? Compare, Write? Write)
{
    /// <summary>The order in which objects are locked where the order matters: the same for everybody.</summary>
    public string Order { get; } = $"{Map.Resource.FullName}/{Name.Namespace}/{Name.Name}";
}

/// <summary>
/// Carries transactions out. One key is one conditional request. Several take a record that decides (see
/// <see cref="LockingCommit"/>).
/// </summary>
internal sealed class Committer(KubeClient client, ObjectReader reader, Resolver resolver, ExpiryTimers expiry)
{
    private const int Parallelism = 16;

    public async Task<TransactionResult> CommitAsync(Transaction transaction, KeyMaps maps, CancellationToken cancellation)
    {
        var parts = Parts(transaction, maps);
        for (var attempt = 0; ; attempt++)
        {
            var stored = await LoadAllAsync(parts, maps, cancellation);
            if (Failure(transaction, parts, stored) is { } failed)
                return failed;
            // A delete of what is not there changes nothing.
            var writes = parts.Where(p => p.Write is { } w && (w.Value is not null || stored[p.Key].Value is not null)).ToList();
            TransactionResult? result;
            if (writes.Count == 0)
                result = await CheckAsync(parts, stored, cancellation);
            else if (writes is [var only] && parts.All(p => p == only || p.Compare is null))
                result = await WriteAsync(only, stored[only.Key], cancellation);
            else
                result = await new LockingCommit(client, reader, resolver, maps).RunAsync(parts, stored, attempt, cancellation);
            if (result is not null)
            {
                if (result.Succeeded)
                    expiry.Note(parts);
                return result;
            }
            if (attempt > 0)
                await client.BackOffAsync(Math.Min(attempt - 1, 2), cancellation);
        }
    }

    private static List<Part> Parts(Transaction transaction, KeyMaps maps)
    {
        var compares = new Dictionary<string, Compare>(StringComparer.Ordinal);
        foreach (var compare in transaction.Compares)
            compares[compare.Key] = compare;
        var parts = new List<Part>();
        foreach (var write in transaction.Writes)
        {
            if (Find(maps, write.Key, write) is { } part)
                parts.Add(part with { Compare = compares.TryGetValue(write.Key, out var compare) ? compare : null });
        }
        foreach (var compare in compares.Values.Where(c => transaction.Writes.All(w => w.Key != c.Key)))
        {
            if (Find(maps, compare.Key, null) is { } part)
                parts.Add(part with { Compare = compare });
        }
        if (parts.GroupBy(p => p.Order).FirstOrDefault(g => g.Count(p => p.Write is not null) > 1) is { } twice)
        {
            throw new DatastoreException(DatastoreFault.Invalid,
                $"kubernetes: '{twice.First().Key}' and '{twice.Last().Key}' are one object here and cannot be written in one transaction");
        }
        return parts;
    }

    private static Part? Find(KeyMaps maps, string key, Write? write)
    {
        DatastoreLimits.EncodeKey(key);
        if (maps.Find(key, out var name) is { } map)
        {
            if (write?.TimeToLive is not null && !map.Expires)
                throw new DatastoreException(DatastoreFault.Invalid, $"kubernetes: '{key}': {map.Resource.FullName} cannot have a time to live");
            return new Part(map, name, key, null, write);
        }
        return write?.Value is null ? null
            : throw new DatastoreException(DatastoreFault.Invalid, $"kubernetes: '{key}' cannot be written: the API has no place for it");
    }

    /// <summary>What stands for every key, with nobody else's lock on any.</summary>
    private async Task<Dictionary<string, Stored>> LoadAllAsync(List<Part> parts, KeyMaps maps, CancellationToken cancellation)
    {
        var stored = new Stored[parts.Count];
        if (parts is [var only])
            stored[0] = await LoadFreeAsync(only, maps, cancellation);
        else
            await Parallel.ForEachAsync(Enumerable.Range(0, parts.Count),
            new ParallelOptions { MaxDegreeOfParallelism = Parallelism, CancellationToken = cancellation },
            async (i, token) => stored[i] = await LoadFreeAsync(parts[i], maps, token));
        return stored.ToDictionary(s => s.Key, StringComparer.Ordinal);
    }

    private async Task<Stored> LoadFreeAsync(Part part, KeyMaps maps, CancellationToken cancellation)
    {
        for (var attempt = 0; ; attempt++)
        {
            var stored = await reader.LoadAsync(part.Map, part.Name, part.Key, cancellation);
            if (stored.Lock is not null)
            {
                await resolver.ClearAsync(stored, maps, attempt, cancellation);
                continue;
            }
            if (part.Write?.Value is not null && stored.TakenBy is { } other)
            {
                throw new DatastoreException(DatastoreFault.Invalid,
                    $"kubernetes: '{part.Key}' cannot be written: {part.Map.Resource.FullName} {part.Name.Name} is {other}");
            }
            if (stored.Item is null || !part.Map.IsTombstone(stored.Item))
                return stored;
            // Marked as deleted by a client that did not come to deleting it.
            await client.SendAsync(KubeRequest.Delete(part.Map.Resource, stored.Item), cancellation);
        }
    }

    private static TransactionResult? Failure(Transaction transaction, List<Part> parts, Dictionary<string, Stored> stored)
    {
        KeyValue? Actual(Compare c) => stored.GetValueOrDefault(c.Key)?.Value;

        return transaction.Compares.All(c => (Actual(c)?.ModRevision ?? 0) == c.ModRevision)
            ? null
            : new TransactionResult(false, stored.Values.Select(s => s.Value?.ModRevision ?? 0).DefaultIfEmpty().Max(), [.. transaction.Compares.Select(Actual)]);
    }

    // Compares alone. A revision is never used twice: a key that has the same one in two readings had it at every moment
    // in between, and all keys of the first reading were read before all of the second.
    private async Task<TransactionResult?> CheckAsync(List<Part> parts, Dictionary<string, Stored> first, CancellationToken cancellation)
    {
        var compared = parts.Where(p => p.Compare is not null).ToList();
        if (compared.Count > 1)
        {
            foreach (var part in compared)
            {
                var second = await reader.LoadAsync(part.Map, part.Name, part.Key, cancellation);
                if (second.Lock is not null || second.Value?.ModRevision != first[part.Key].Value?.ModRevision)
                    return null;
            }
        }
        return new TransactionResult(true, await reader.RevisionAsync(cancellation), []);
    }

    private async Task<TransactionResult?> WriteAsync(Part part, Stored stored, CancellationToken cancellation)
    {
        var write = part.Write!.Value;
        var request = write.Value is { } value ? ObjectWrites.Put(stored, value, expiry.At(write.TimeToLive)) : ObjectWrites.Remove(stored);
        var answer = await client.SendAsync(request, cancellation);
        if (answer.IsSuccess && write.Value is { } same && answer.Item.ResourceVersion == stored.Item?.ResourceVersion)
        {
            // The server has no revision for a write that changes nothing. Here every write has one: who takes a key by
            // writing what is there already must be seen to have done so.
            request = ObjectWrites.Put(stored, same, expiry.At(write.TimeToLive), isMarked: true);
            answer = await client.SendAsync(request, cancellation);
        }
        if (answer.IsSuccess)
        {
            // What a delete answers has no revision: the one of a moment later tells as much.
            var revision = request.Verb == KubeVerb.Delete ? await reader.RevisionAsync(cancellation) : answer.Item.Revision;
            return new TransactionResult(true, revision, []);
        }
        if (write.Value is not null && stored.Item is null && answer.IsNotFound)
            throw client.Unexpected(request, answer with { Status = 400 });
        return answer.IsConflict ? null : throw client.Unexpected(request, answer);
    }
}

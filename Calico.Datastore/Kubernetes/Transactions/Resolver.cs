using System.Collections.Concurrent;
using Calico.Datastore.Kubernetes.Client;
using Calico.Datastore.Kubernetes.Mapping;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Calico.Datastore.Kubernetes.Transactions;

/// <summary>
/// Brings transactions to their end, one's own and those whose owners died on the way. Any number of processes may do so
/// for one transaction at the same moment: each step names the version that it was decided from, so it happens once or
/// is seen to have happened, and all who act have read the same decision.
/// </summary>
internal sealed class Resolver(KubeClient client, ObjectReader reader)
{
    private const int Parallelism = 16;
    private const int MaxRemembered = 10_000;

    private readonly ILogger _log = client.Options.Logging?.CreateLogger<Resolver>() ?? NullLogger<Resolver>.Instance;
    private readonly ConcurrentDictionary<string, long> _firstSeen = new(StringComparer.Ordinal);

    /// <summary>
    /// A writer met a lock. Finishes or aborts the transaction behind it if that may be done, else waits a moment; the
    /// writer then looks again.
    /// </summary>
    public async Task ClearAsync(Stored held, KeyMaps maps, int attempt, CancellationToken cancellation)
    {
        var name = held.Lock!.Transaction;
        var record = await reader.FindAsync(name, cancellation);
        if (record is null)
        {
            // Done with since, or never completed: a lock that was written late, after its transaction had been aborted.
            var again = await reader.LoadAsync(held.Map, held.Name, held.Key, cancellation);
            if (again.Lock?.Transaction == name)
                await SendOnceAsync(ObjectWrites.Release(again), cancellation);
            return;
        }
        if (record.State == TransactionState.Prepared && !IsOverdue(record))
        {
            // Ten milliseconds is what a transaction takes; who waits for long is waiting for a dead one.
            await Task.Delay(TimeSpan.FromMilliseconds(Math.Min(100, 5 << Math.Min(attempt, 5)) * (0.5 + Random.Shared.NextDouble())),
                client.Options.Time, cancellation);
            return;
        }
        var revision = await SettleAsync(record, maps, cancellation);
        if (_log.IsEnabled(LogLevel.Information))
            _log.LogInformation("transaction {Transaction} was left behind: {Outcome} for its owner", name, revision is null ? "aborted" : "finished");
    }

    /// <summary>Whether others may abort it. A wrong answer costs its owner a retry and nothing else.</summary>
    public bool IsOverdue(TransactionRecord record)
    {
        if (_firstSeen.Count > MaxRemembered)
            _firstSeen.Clear();
        var seen = _firstSeen.GetOrAdd(record.Name, _ => client.Options.Time.GetTimestamp());
        // The server's clock has seconds only.
        return client.Options.Time.GetElapsedTime(seen) >= client.Options.TransactionTimeout
            || (record.Item.Created is { } created && client.ServerTime - created > client.Options.TransactionTimeout + TimeSpan.FromSeconds(2));
    }

    /// <summary>Aborts the transaction unless it is committed, and does what the decision asks for.</summary>
    /// <returns>The revision if it turned out to be committed, null if aborted or done with by others.</returns>
    public async Task<long?> SettleAsync(TransactionRecord record, KeyMaps maps, CancellationToken cancellation)
    {
        while (record.State == TransactionState.Prepared)
        {
            var request = record.Become(TransactionState.Aborted);
            var answer = await client.SendAsync(request, cancellation);
            if (answer.IsSuccess)
            {
                record = TransactionRecord.Of(answer.Item);
                break;
            }
            if (!answer.IsConflict && !answer.IsUnknown)
                throw client.Unexpected(request, answer);
            if (await reader.FindAsync(record.Name, cancellation) is not { } now)
                return null;
            record = now;
        }
        await CompleteAsync(record, maps, cancellation);
        return record.State == TransactionState.Committed ? record.Revision : null;
    }

    /// <summary>Carries a decision out on every key and forgets the transaction.</summary>
    public async Task CompleteAsync(TransactionRecord record, KeyMaps maps, CancellationToken cancellation)
    {
        await Parallel.ForEachAsync(record.Keys, new ParallelOptions { MaxDegreeOfParallelism = Parallelism, CancellationToken = cancellation },
            async (key, token) =>
            {
                if (maps.Find(key, out var name) is { } map)
                    await CompleteAsync(record, Stored.Absent(map, name, key), isKnown: false, token);
            });
        await ForgetAsync(record, cancellation);
    }

    /// <summary>Deletes the record: only when no key is held any more.</summary>
    public async Task ForgetAsync(TransactionRecord record, CancellationToken cancellation)
    {
        // Whether this one or another deletes it is all the same.
        await SendOnceAsync(KubeRequest.Delete(KubeResource.Transactions, record.Item), cancellation);
        _firstSeen.TryRemove(record.Name, out _);
    }

    /// <summary>Carries a decision out on one key, if the transaction still holds it.</summary>
    /// <param name="isKnown">Whether <paramref name="stored"/> shows the object as it was a moment ago; else it is read.</param>
    public async Task CompleteAsync(TransactionRecord record, Stored stored, bool isKnown, CancellationToken cancellation)
    {
        for (; ; isKnown = false)
        {
            if (!isKnown)
                stored = await reader.LoadAsync(stored.Map, stored.Name, stored.Key, cancellation);
            if (stored.Lock?.Transaction != record.Name)
                return;
            var isCommitted = record.State == TransactionState.Committed;
            var request = isCommitted ? ObjectWrites.Forward(stored, record.Revision) : ObjectWrites.Release(stored);
            var answer = await client.SendAsync(request, cancellation);
            if (answer.IsSuccess)
            {
                if (isCommitted && stored.Lock.Action == LockAction.Put && !stored.Lock.IsNew)
                    await CorrectAsync(stored, answer.Item, record, cancellation);
                return;
            }
            // Changed since by somebody who does not know of locks (the kubelet), or by another who completes it.
            if (!answer.IsConflict && !answer.IsUnknown)
                throw client.Unexpected(request, answer);
        }
    }

    // The server may have filled in defaults or dropped what its schema does not know: then the note has a hash of a value
    // that is not the stored one. Should this be lost, the key has the revision of its object, which is a newer one.
    private async Task CorrectAsync(Stored stored, KubeItem written, TransactionRecord record, CancellationToken cancellation)
    {
        var now = reader.Of(stored.Map, stored.Name, stored.Key, written);
        if (now.Value is not { } value || value.ModRevision == record.Revision || RevisionNote.Of(written) is not { } note)
            return;
        await SendOnceAsync(ObjectWrites.Notes(now, note with { Hash = RevisionNote.HashOf(value.Value.Span) }), cancellation);
    }

    private async Task SendOnceAsync(KubeRequest request, CancellationToken cancellation)
    {
        var answer = await client.SendAsync(request, cancellation);
        if (!answer.IsSuccess && !answer.IsConflict && !answer.IsUnknown)
            throw client.Unexpected(request, answer);
    }
}

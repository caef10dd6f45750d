using System.Collections.Immutable;
using System.Globalization;
using Calico.Datastore.Kubernetes.Client;
using Calico.Datastore.Kubernetes.Mapping;

namespace Calico.Datastore.Kubernetes.Transactions;

// The API changes one object at a time. A transaction over several is made of such changes, so that it is whole or absent
// for everybody who knows of locks, wherever its owner dies:
//
//   1  create the record, prepared, naming all keys             nothing is true of it
//   2  lock every object: an annotation with the transaction's  the value of a locked key is still the one before;
//      name and the value to come, conditional on the version    a compare-only key is locked like one to be written
//      at which the compare held; a key to be made is made        (a key that is not there yet is made with its lock)
//   3  record: prepared -> committed                            THE COMMIT. Its revision is that of the transaction
//   4  write the values to come, without the lock               says again what step 3 made true
//   5  delete the record                                        only when no object is locked any more
//
// Why it is one moment. At step 3 every object is locked, so every compare holds and every value is the one before; no
// other transaction can change one of them, because it would have to change a locked object, and before that it would have
// to abort this transaction, which is a write of the record at the version that step 3 names: one of the two fails.
// Readers ask the record about a locked key, so for them all keys change at step 3. Compare-only keys have to be locked
// too: if they were only read once more before step 3, another transaction could change one between that and step 3 and be
// seen by a reader who does not see this one yet, although this one was decided from the value before.
//
// Where the owner may die, and what others find:
//   before 3   a record that is prepared, and any number of locks   whoever is in its way aborts it once it is overdue:
//                                                                   record -> aborted, locks released, record deleted
//   after 3    a record that is committed, and some locks           whoever is in its way does steps 4 and 5
//   at a step whose answer is lost: the record and the locks are read and say whether it happened.
// A lock request that was sent and is carried out late, after the transaction was aborted and its record deleted, leaves a
// lock without a record. Such a transaction cannot have been committed: that takes every lock acknowledged. It counts as
// aborted. Deadlocks: the first attempts lock in any order and never wait while they hold something; later ones wait while
// holding but lock in one order that is the same for all.

/// <summary>One attempt of a transaction over several keys.</summary>
internal sealed class LockingCommit(KubeClient client, ObjectReader reader, Resolver resolver, KeyMaps maps)
{
    private const int Parallelism = 16;
    private const int HastyAttempts = 2;

    // Annotations of one object may have 256 KiB together.
    private const int MaxNote = 200 << 10;

    private readonly string _name = "tx-" + Guid.NewGuid().ToString("N", CultureInfo.InvariantCulture);
    private readonly Dictionary<string, Stored> _held = new(StringComparer.Ordinal);

    /// <returns>Null: something was in the way; look again and try once more.</returns>
    public async Task<TransactionResult?> RunAsync(List<Part> parts, Dictionary<string, Stored> stored, int attempt, CancellationToken cancellation)
    {
        // Deletes of what is not there have no object to lock and nothing to do.
        var taking = parts.Where(p => p.Compare is not null || p.Write?.Value is not null || stored[p.Key].Value is not null).ToList();
        foreach (var part in taking)
            Check(LockOf(part, stored[part.Key]));
        TransactionRecord? record = null, committed = null;
        try
        {
            record = await CreateAsync(taking, stored, cancellation);
            var hasAll = attempt < HastyAttempts
                ? await LockAtOnceAsync(taking, stored, cancellation)
                : await LockInOrderAsync(taking, stored, cancellation);
            if (hasAll)
                committed = await DecideAsync(record, cancellation);
        }
        finally
        {
            if (record is not null && committed is null)
                await GiveUpAsync(record);
        }
        if (committed is null)
            return null;
        await FinishAsync(committed);
        return new TransactionResult(true, committed.Revision, []);
    }

    private static LockAction ActionOf(Part part, Stored stored) => part.Write switch
    {
        { Value: not null } => LockAction.Put,
        { } when stored.Value is not null => LockAction.Delete,
        _ => LockAction.Check,
    };

    private KubeRequest LockOf(Part part, Stored stored)
    {
        var action = ActionOf(part, stored);
        // A delete is refused now where it would be refused after the decision.
        if (action == LockAction.Delete)
            _ = part.Map.Remove(stored.Item!, part.Key);
        var expires = part.Write?.TimeToLive is { } ttl ? (client.ServerTime + ttl).ToUnixTimeMilliseconds() : 0;
        return ObjectWrites.Lock(stored, _name, action, part.Write?.Value, expires);
    }

    private static void Check(KubeRequest request)
    {
        var note = (string?)request.Body?["metadata"]?["annotations"]?[Bookkeeping.Lock];
        if (note is { Length: > MaxNote })
        {
            throw new DatastoreException(DatastoreFault.Invalid, $"kubernetes: {request}: the value packs to {note.Length} bytes, "
                + $"in a transaction of several keys {MaxNote} are possible; write it alone");
        }
    }

    private async Task<TransactionRecord> CreateAsync(List<Part> parts, Dictionary<string, Stored> stored, CancellationToken cancellation)
    {
        var kinds = parts.ToLookup(p => ActionOf(p, stored[p.Key]) == LockAction.Check, p => p.Key);
        var request = TransactionRecord.Create(_name, writes: kinds[false], checks: kinds[true]);
        while (true)
        {
            var answer = await client.SendAsync(request, cancellation);
            if (answer.IsSuccess)
                return TransactionRecord.Of(answer.Item);
            if (!answer.IsUnknown && answer.Status != 409)
                throw client.Unexpected(request, answer);
            // The name is nobody else's: if it is there, the first request did arrive.
            if (await reader.FindAsync(_name, cancellation) is { } made)
                return made;
        }
    }

    private async Task<bool> LockAtOnceAsync(List<Part> parts, Dictionary<string, Stored> stored, CancellationToken cancellation)
    {
        var failed = false;
        await Parallel.ForEachAsync(parts, new ParallelOptions { MaxDegreeOfParallelism = Parallelism, CancellationToken = cancellation },
            async (part, token) =>
            {
                if (!Volatile.Read(ref failed) && !await LockAsync(part, stored[part.Key], token))
                    Volatile.Write(ref failed, true);
            });
        return !failed;
    }

    private async Task<bool> LockInOrderAsync(List<Part> parts, Dictionary<string, Stored> stored, CancellationToken cancellation)
    {
        foreach (var part in parts.OrderBy(p => p.Order, StringComparer.Ordinal))
        {
            var now = stored[part.Key];
            for (var attempt = 0; !await LockAsync(part, now, cancellation); attempt++)
            {
                now = await reader.LoadAsync(part.Map, part.Name, part.Key, cancellation);
                if (now.Lock is not null)
                    await resolver.ClearAsync(now, maps, attempt, cancellation);
                // What the whole attempt was decided from is no longer so.
                else if (part.Compare is { } compare && (now.Value?.ModRevision ?? 0) != compare.ModRevision
                    || now.TakenBy is not null || now.Item is not null && part.Map.IsTombstone(now.Item)
                    || part.Write is { Value: null } && (now.Value is null) != (stored[part.Key].Value is null))
                    return false;
            }
        }
        return true;
    }

    private async Task<bool> LockAsync(Part part, Stored stored, CancellationToken cancellation)
    {
        if (stored.Lock is not null)
            return false;
        while (true)
        {
            var request = LockOf(part, stored);
            var answer = await client.SendAsync(request, cancellation);
            if (answer.IsSuccess)
            {
                Hold(reader.Of(part.Map, part.Name, part.Key, answer.Item));
                return true;
            }
            if (stored.Item is null && answer.IsNotFound)
                throw client.Unexpected(request, answer with { Status = 400 });
            if (!answer.IsUnknown)
                return answer.IsConflict ? false : throw client.Unexpected(request, answer);
            var now = await reader.LoadAsync(part.Map, part.Name, part.Key, cancellation);
            if (now.Lock?.Transaction == _name)
            {
                Hold(now);
                return true;
            }
            if (now.Item?.ResourceVersion != stored.Item?.ResourceVersion)
                return false;
        }
    }

    private void Hold(Stored held)
    {
        lock (_held)
            _held[held.Key] = held;
    }

    // Returns null if somebody aborted it.
    private async Task<TransactionRecord?> DecideAsync(TransactionRecord record, CancellationToken cancellation)
    {
        var request = record.Become(TransactionState.Committed);
        for (var isInDoubt = false; ;)
        {
            var answer = await client.SendAsync(request, cancellation);
            if (answer.IsSuccess)
                return TransactionRecord.Of(answer.Item);
            if (!answer.IsUnknown && !answer.IsConflict)
                throw client.Unexpected(request, answer);
            isInDoubt |= answer.IsUnknown;
            var now = await reader.FindAsync(_name, cancellation);
            if (now is { State: TransactionState.Committed })
                return now;
            // Gone after an answer that was lost: committed or aborted and done with, by others, and nobody remembers which.
            if (now is null && isInDoubt)
            {
                throw new DatastoreException(DatastoreFault.Unavailable, $"kubernetes {client.Options.Endpoint}: the commit of "
                    + $"{record.Writes.Length} keys got no answer and its record is gone; it may or may not have been carried out");
            }
            if (now is not { State: TransactionState.Prepared })
                return null;
        }
    }

    // The decision is taken: whatever fails from here on, others finish.
    private async Task FinishAsync(TransactionRecord record)
    {
        using var time = new CancellationTokenSource(client.Options.RequestTimeout, client.Options.Time);
        try
        {
            await Parallel.ForEachAsync(_held.Values, new ParallelOptions { MaxDegreeOfParallelism = Parallelism, CancellationToken = time.Token },
                async (held, token) => await resolver.CompleteAsync(record, held, isKnown: true, token));
            await resolver.ForgetAsync(record, time.Token);
        }
        catch (Exception e) when (e is DatastoreException or OperationCanceledException)
        {
            // It is committed all the same, and locked keys say so: whoever meets one finishes it.
        }
    }

    // Also after an error: it may be committed without our knowing, then this finishes it.
    private async Task GiveUpAsync(TransactionRecord record)
    {
        using var time = new CancellationTokenSource(client.Options.RequestTimeout, client.Options.Time);
        try
        {
            await resolver.SettleAsync(record, maps, time.Token);
        }
        catch (Exception e) when (e is DatastoreException or OperationCanceledException)
        {
            // Whoever meets one of its locks aborts it when it is overdue. The error that led here says what is wrong.
        }
    }
}

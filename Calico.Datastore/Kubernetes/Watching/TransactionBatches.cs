using System.Collections.Immutable;
using Calico.Datastore.Kubernetes.Transactions;

namespace Calico.Datastore.Kubernetes.Watching;

/// <summary>
/// Puts the changes of a transaction together again, which come one by one on the streams of their kinds. The stream of
/// the transactions' records says which keys belong together. A change of a key that waits in an unfinished batch waits
/// behind it, everything else passes.
/// </summary>
internal sealed class TransactionBatches(string prefix, long after, TimeProvider time)
{
    // Changes of one transaction are written within milliseconds. Where one never comes, because somebody who knows of no
    // locks wrote over it, the others are told without it.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);
    private const int MaxDone = 1_000;

    private readonly Dictionary<string, Known> _known = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Open> _open = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Open> _waiting = new(StringComparer.Ordinal);
    private readonly Queue<string> _done = new();
    private readonly Queue<ImmutableArray<WatchEvent>> _ready = new();

    /// <summary>Batches to give out.</summary>
    public bool TryTake(out ImmutableArray<WatchEvent> batch) => _ready.TryDequeue(out batch);

    /// <summary>How long until something has to be given out unfinished; null if nothing waits.</summary>
    public TimeSpan? UntilOverdue => _open.Count == 0 ? null
        : _open.Values.Min(o => Patience - time.GetElapsedTime(o.Since)) is var left && left > TimeSpan.Zero ? left : TimeSpan.Zero;

    /// <summary>Transactions that nobody has ended for a time.</summary>
    public ImmutableArray<string> OlderThan(TimeSpan age) =>
        [.. _known.Where(k => !k.Value.IsDone && time.GetElapsedTime(k.Value.Since) > age).Select(k => k.Key)];

    /// <summary>A change of a key.</summary>
    /// <param name="transaction">The transaction that made it; null if it was alone.</param>
    public void Add(WatchEvent change, string? transaction)
    {
        if (_waiting.TryGetValue(change.Key, out var before))
        {
            before.Followers.Add((change, transaction));
            return;
        }
        var known = transaction is null ? null : _known.GetValueOrDefault(transaction);
        // Decided before the watch began, carried out after: whoever watches from there has seen it already.
        if (known is { Revision: > 0 } && known.Revision <= after)
            return;
        if (transaction is null || known is { IsTold: true })
        {
            _ready.Enqueue([change]);
            return;
        }
        if (!_open.TryGetValue(transaction, out var open))
            _open[transaction] = open = new Open(time.GetTimestamp());
        open.Changes[change.Key] = change;
        _waiting[change.Key] = open;
        TryClose(transaction);
    }

    /// <summary>What the record of a transaction says now.</summary>
    public void Note(TransactionRecord record)
    {
        if (!_known.TryGetValue(record.Name, out var known))
            _known[record.Name] = known = new Known(record.Writes, time.GetTimestamp());
        if (record.State == TransactionState.Committed)
            known.Revision = record.Revision;
        TryClose(record.Name);
    }

    /// <summary>The record is gone. What belongs to the transaction may still be on its way.</summary>
    public void Forget(string transaction)
    {
        if (!_known.TryGetValue(transaction, out var known))
            return;
        known.IsDone = true;
        _done.Enqueue(transaction);
        while (_done.Count > MaxDone)
            _known.Remove(_done.Dequeue());
    }

    /// <summary>Gives out what has waited for too long.</summary>
    public void CloseOverdue()
    {
        foreach (var name in _open.Where(o => time.GetElapsedTime(o.Value.Since) >= Patience).Select(o => o.Key).ToList())
            Close(name);
    }

    private void TryClose(string transaction)
    {
        if (_open.TryGetValue(transaction, out var open) && _known.TryGetValue(transaction, out var known) && known.Revision != 0
            && known.Writes.All(w => !w.StartsWith(prefix, StringComparison.Ordinal) || open.Changes.ContainsKey(w)))
            Close(transaction);
    }

    private void Close(string transaction)
    {
        _open.Remove(transaction, out var open);
        var known = _known.GetValueOrDefault(transaction);
        var order = (known?.Writes ?? []).Select((key, at) => (key, at)).ToDictionary(w => w.key, w => w.at, StringComparer.Ordinal);
        _ready.Enqueue([.. open!.Changes.Values.OrderBy(c => order.GetValueOrDefault(c.Key, int.MaxValue))
            .Select(c => known is { Revision: > 0 } ? c with { Revision = known.Revision } : c)]);
        if (known is not null)
            known.IsTold = true;
        foreach (var key in open.Changes.Keys)
            _waiting.Remove(key);
        foreach (var (change, next) in open.Followers)
            Add(change, next);
    }

    private sealed class Known(ImmutableArray<string> writes, long since)
    {
        public ImmutableArray<string> Writes { get; } = writes;
        public long Since { get; } = since;
        public long Revision { get; set; }
        public bool IsTold { get; set; }
        public bool IsDone { get; set; }
    }

    private sealed class Open(long since)
    {
        public long Since { get; } = since;
        public Dictionary<string, WatchEvent> Changes { get; } = new(StringComparer.Ordinal);
        public List<(WatchEvent Change, string? Transaction)> Followers { get; } = [];
    }
}

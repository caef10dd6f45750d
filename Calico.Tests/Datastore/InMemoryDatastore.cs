using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Calico.Datastore;

namespace Calico.Tests.Datastore;

/// <summary>
/// A complete datastore in memory: revisions, transactions, pages of one moment and watches, with a history that
/// <see cref="Compact"/> cuts.
/// </summary>
public sealed class InMemoryDatastore : IDatastore
{
    private readonly Lock _gate = new();
    private readonly List<ImmutableArray<WatchEvent>> _history = [];
    private readonly List<ChannelWriter<ImmutableArray<WatchEvent>>> _watchers = [];
    private ImmutableSortedDictionary<string, KeyValue> _current = ImmutableSortedDictionary.Create<string, KeyValue>(StringComparer.Ordinal);
    private readonly SortedDictionary<long, ImmutableSortedDictionary<string, KeyValue>> _snapshots = [];
    private long _compacted;

    public InMemoryDatastore() => _snapshots[1] = _current;

    public long Revision { get; private set; } = 1;

    /// <summary>All keys in order, for tests that look at the layout.</summary>
    public ImmutableArray<string> Keys => [.. _current.Keys];

    /// <summary>Called before each transaction, outside the lock: a test can write in between.</summary>
    public Func<Transaction, Task>? BeforeCommit { get; set; }

    /// <summary>Called before each list; a test can make it wait.</summary>
    public Func<Task>? BeforeList { get; set; }

    /// <summary>Told of each key that is read alone.</summary>
    public Action<string>? Read { get; set; }

    public Task<KeyValue?> GetAsync(string key, CancellationToken cancellation = default)
    {
        Read?.Invoke(key);
        return Task.FromResult(_current.GetValueOrDefault(key));
    }

    public async Task<ListPage> ListAsync(string prefix, string? next = null, long revision = 0, int limit = DatastoreLimits.MaxPageItems, CancellationToken cancellation = default)
    {
        if (BeforeList is { } hook)
            await hook();
        lock (_gate)
        {
            if (revision == 0)
                revision = Revision;
            if (revision <= _compacted)
                throw new DatastoreException(DatastoreFault.Compacted, $"list {prefix} at revision {revision}: compacted up to {_compacted}");
            var snapshot = revision == Revision ? _current : _snapshots.Last(s => s.Key <= revision).Value;
            var matching = snapshot.Values
                .Where(v => v.Key.StartsWith(prefix, StringComparison.Ordinal) && (next is null || string.CompareOrdinal(v.Key, next) >= 0))
                .Take(limit + 1).ToList();
            var more = matching.Count > limit ? matching[limit].Key : null;
            return new ListPage([.. matching.Take(limit)], revision, more);
        }
    }

    public async Task<TransactionResult> CommitAsync(Transaction transaction, CancellationToken cancellation = default)
    {
        if (BeforeCommit is { } hook)
            await hook(transaction);
        lock (_gate)
        {
            var actual = transaction.Compares.Select(c => _current.GetValueOrDefault(c.Key)).ToImmutableArray();
            if (transaction.Compares.Zip(actual).Any(p => (p.Second?.ModRevision ?? 0) != p.First.ModRevision))
                return new TransactionResult(false, Revision, actual);
            Revision++;
            var events = ImmutableArray.CreateBuilder<WatchEvent>();
            foreach (var write in transaction.Writes)
            {
                var previous = _current.GetValueOrDefault(write.Key);
                if (write.Value is { } value)
                {
                    var stored = new KeyValue(write.Key, value, Revision, previous?.CreateRevision ?? Revision);
                    _current = _current.SetItem(write.Key, stored);
                    events.Add(new WatchEvent(write.Key, stored, previous, Revision));
                }
                else if (previous is not null)
                {
                    _current = _current.Remove(write.Key);
                    events.Add(new WatchEvent(write.Key, null, previous, Revision));
                }
            }
            _snapshots[Revision] = _current;
            _history.Add(events.ToImmutable());
            foreach (var watcher in _watchers)
                watcher.TryWrite(events.ToImmutable());
            return new TransactionResult(true, Revision, actual);
        }
    }

    public async IAsyncEnumerable<ImmutableArray<WatchEvent>> WatchAsync(string prefix, long afterRevision,
        [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        var channel = Channel.CreateUnbounded<ImmutableArray<WatchEvent>>();
        lock (_gate)
        {
            if (afterRevision < _compacted)
                throw new DatastoreException(DatastoreFault.Compacted, $"watch {prefix} after revision {afterRevision}: compacted up to {_compacted}");
            foreach (var batch in _history.Where(b => !b.IsEmpty && b[0].Revision > afterRevision))
                channel.Writer.TryWrite(batch);
            _watchers.Add(channel.Writer);
        }
        try
        {
            await foreach (var batch in channel.Reader.ReadAllAsync(cancellation))
            {
                var matching = batch.Where(e => e.Key.StartsWith(prefix, StringComparison.Ordinal)).ToImmutableArray();
                if (!matching.IsEmpty)
                    yield return matching;
            }
        }
        finally
        {
            lock (_gate)
                _watchers.Remove(channel.Writer);
        }
    }

    /// <summary>What happened to the keys and values that contain a text, as far as it is remembered.</summary>
    public ImmutableArray<WatchEvent> HistoryOf(string text)
    {
        lock (_gate)
            return [.. _history.SelectMany(b => b).Where(e => e.Key.Contains(text, StringComparison.Ordinal) || Contains(e.Current) != Contains(e.Previous))];

        bool Contains(KeyValue? stored) => stored is not null && System.Text.Encoding.UTF8.GetString(stored.Value.Span).Contains(text, StringComparison.Ordinal);
    }

    /// <summary>Forgets what happened up to a revision: lists at it and watches from before it fail.</summary>
    public void Compact(long revision)
    {
        lock (_gate)
        {
            _compacted = revision;
            _history.RemoveAll(b => b.IsEmpty || b[0].Revision <= revision);
            foreach (var old in _snapshots.Keys.TakeWhile(k => k <= revision && k < Revision).ToList())
                _snapshots.Remove(old);
        }
    }

    public ValueTask DisposeAsync()
    {
        lock (_gate)
        {
            foreach (var watcher in _watchers)
                watcher.TryComplete();
        }
        return ValueTask.CompletedTask;
    }
}

using System.Collections.Concurrent;
using Microsoft.Data.Sqlite;

namespace Calico.Datastore.Embedded;

/// <summary>
/// The writer's thread. It takes what waits, carries each request out as a transaction of its own with its own
/// revision, and commits all of them with one sync of the disk; the longer a sync takes, the more requests share the next.
/// <code>
///   callers --queue--> [ BEGIN  a(rev 7) b(rev 8) c(refused) d(rev 9)  COMMIT+fsync ] --> watches, then callers
/// </code>
/// Nobody hears of a revision before the disk has it. If the commit fails, none of the group has happened; after an
/// error of the disk itself that is not certain any more, and the writer stops for good.
/// </summary>
internal sealed class StoreWriter : IAsyncDisposable
{
    private const int SweepRows = 500;

    private readonly StoreFile _file;
    private readonly EmbeddedOptions _options;
    private readonly WatchHub _hub;
    private readonly LeaseTable _leases;
    private readonly StoreQueries _queries;
    private readonly StoreTables _tables;
    private readonly StoreTransactions _transactions;
    private readonly BlockingCollection<Request> _queue = [];
    private readonly SemaphoreSlim _places;
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly List<Request> _group = [];
    private readonly List<StoreEvent> _changes = [];
    private DatastoreException? _broken;
    private (long From, long Revision)? _sweep;

    public StoreWriter(StoreFile file, EmbeddedOptions options, WatchHub hub, LeaseTable leases)
    {
        _file = file;
        _options = options;
        _hub = hub;
        _leases = leases;
        _queries = new StoreQueries(file.Writer);
        _tables = new StoreTables(file.Writer);
        _transactions = new StoreTransactions(_queries, _tables, leases) { Revision = _queries.Revision() };
        _places = new SemaphoreSlim(options.MaxQueued);
        leases.Reload(_tables);
        var compacted = _tables.GetMeta("compacted");
        var swept = _tables.GetMeta("swept");
        if (swept < compacted << StoreFile.PositionBits)
            _sweep = (swept, compacted);
        hub.Start(_transactions.Revision);
        new Thread(Run) { Name = "calico-store", IsBackground = true }.Start();
    }

    public Task<Answer<StoreResult>> ApplyAsync(StoreOperation operation, CancellationToken cancellation)
    {
        StoreChecks.Check(operation);
        return EnqueueAsync(writer => writer._transactions.Apply(operation, writer._changes), cancellation);
    }

    public Task<Answer<long>> GrantLeaseAsync(long id, long seconds, CancellationToken cancellation) =>
        EnqueueAsync(writer =>
            new Answer<long>(writer._leases.Grant(id, seconds, writer._tables), writer._transactions.Revision), cancellation);

    /// <param name="ifExpired">Only if it still is when the writer gets to it: it may have been kept alive meanwhile.</param>
    public Task<Answer<bool>> RevokeLeaseAsync(long id, bool ifExpired, CancellationToken cancellation) =>
        EnqueueAsync(writer =>
        {
            if (ifExpired && !writer._leases.IsExpired(id))
                return new Answer<bool>(false, writer._transactions.Revision);
            return new Answer<bool>(true, writer._transactions.RevokeLease(id, writer._changes));
        }, cancellation);

    public Task<Answer<bool>> CompactAsync(long revision, CancellationToken cancellation) =>
        EnqueueAsync(writer => writer.Compact(revision), cancellation);

    private Answer<bool> Compact(long revision)
    {
        if (revision > _transactions.Revision)
        {
            throw new StoreException(StoreError.FutureRevision,
                $"revision {revision} is not reached yet, the store is at {_transactions.Revision}");
        }
        var compacted = _tables.GetMeta("compacted");
        if (revision <= compacted)
            throw StoreReader.Compacted(revision, compacted);
        _tables.SetMeta("compacted", revision);
        _sweep = (_sweep?.From ?? _tables.GetMeta("swept"), revision);
        return new Answer<bool>(true, _transactions.Revision);
    }

    private async Task<Answer<T>> EnqueueAsync<T>(Func<StoreWriter, Answer<T>> work, CancellationToken cancellation)
    {
        await _places.WaitAsync(cancellation);
        var request = new Request<T>(work, cancellation);
        try
        {
            _queue.Add(request, CancellationToken.None);
        }
        catch (InvalidOperationException)
        {
            _places.Release();
            throw new ObjectDisposedException(nameof(EmbeddedDatastore));
        }
        // Until the writer takes it up, a cancelled request has not happened; after that it is waited for.
        await using var registration = cancellation.Register(request.TryCancel);
        return await request.Task;
    }

    private void Run()
    {
        try
        {
            while (_sweep is not null ? TakeOrSweep(out var first) : _queue.TryTake(out first, Timeout.Infinite))
            {
                if (first is not null)
                    CarryOut(first);
            }
            _stopped.SetResult();
        }
        catch (Exception e)
        {
            _stopped.SetException(e);
        }
    }

    // Thinning history waits whenever somebody else does.
    private bool TakeOrSweep(out Request? first)
    {
        if (_queue.TryTake(out first))
            return true;
        if (_queue.IsCompleted)
            return false;
        CarryOut(new Request<bool>(writer => writer.SweepOnce(), CancellationToken.None) { TakesPlace = false });
        return true;
    }

    private Answer<bool> SweepOnce()
    {
        var (from, revision) = _sweep!.Value;
        var next = _tables.Sweep(from, revision, SweepRows);
        _tables.SetMeta("swept", next ?? revision << StoreFile.PositionBits);
        _sweep = next is { } id ? (id, revision) : null;
        return new Answer<bool>(true, _transactions.Revision);
    }

    private void CarryOut(Request first)
    {
        var revision = _transactions.Revision;
        var begun = false;
        try
        {
            if (_broken is not null)
                throw _broken;
            _tables.Begin();
            begun = true;
            for (var request = first; request is not null; request = Next())
            {
                _group.Add(request);
                request.CarryOut(this);
            }
            _tables.Commit();
            begun = false;
            _hub.Publish(_changes, _transactions.Revision);
            foreach (var request in _group)
                request.Succeed();
        }
        catch (Exception e)
        {
            if (_group.Count == 0)
                _group.Add(first);
            var fault = _broken ?? Undo(begun, revision, e);
            foreach (var request in _group)
                request.Fail(fault);
        }
        finally
        {
            foreach (var request in _group)
            {
                if (request.TakesPlace)
                    _places.Release();
            }
            _group.Clear();
            _changes.Clear();
        }
    }

    private Request? Next() =>
        _group.Count < _options.MaxGroup && _changes.Count < StoreFile.MaxPositions && _queue.TryTake(out var next) ? next : null;

    private DatastoreException Undo(bool begun, long revision, Exception cause)
    {
        try
        {
            // SQLite has rolled back by itself after some errors (a full disk is one).
            if (begun && SQLitePCL.raw.sqlite3_get_autocommit(_file.Writer.Handle) == 0)
                _tables.Rollback();
            _transactions.Revision = revision;
            _leases.Reload(_tables);
        }
        catch (SqliteException e)
        {
            cause = e;
        }
        // Thinning history is not urgent, and after an error it would fail again at once: the next compaction takes it up.
        _sweep = null;
        if (cause is SqliteException s && SqliteFaults.IsRecoverable(s))
            return SqliteFaults.ToDatastoreException(s, _file.Path);

        _broken = cause is SqliteException bad
            ? SqliteFaults.ToDatastoreException(bad, _file.Path)
            : new DatastoreException(DatastoreFault.Unavailable, $"embedded store {_file.Path}: the writer failed: {cause.Message}", cause);
        _hub.Close(_broken);
        return _broken;
    }

    /// <summary>Carries out what waits, and stops.</summary>
    public async ValueTask DisposeAsync()
    {
        _queue.CompleteAdding();
        await _stopped.Task;
        _queries.Dispose();
        _tables.Dispose();
        // The places are not disposed of: whoever still waits for one gets it and finds the store closed.
        _queue.Dispose();
    }

    private abstract class Request(CancellationToken cancellation)
    {
        private int _state;

        /// <summary>Whether a caller waits for it and so counts against the bound of the queue.</summary>
        public bool TakesPlace { get; init; } = true;

        /// <summary>For the queue: takes the request up, unless it was cancelled. True once.</summary>
        protected bool TryStart() => Interlocked.CompareExchange(ref _state, 1, 0) == 0;

        public void TryCancel()
        {
            if (TryStart())
                Cancel(cancellation);
        }

        public abstract void CarryOut(StoreWriter writer);
        public abstract void Succeed();
        public abstract void Fail(Exception fault);
        protected abstract void Cancel(CancellationToken token);
    }

    private sealed class Request<T>(Func<StoreWriter, Answer<T>> work, CancellationToken cancellation) : Request(cancellation)
    {
        private readonly TaskCompletionSource<Answer<T>> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private Answer<T> _answer;
        private StoreException? _refusal;

        public Task<Answer<T>> Task => _done.Task;

        public override void CarryOut(StoreWriter writer)
        {
            if (!TryStart())
                return;
            try
            {
                _answer = work(writer);
            }
            catch (StoreException e)
            {
                _refusal = e;
            }
        }

        public override void Succeed()
        {
            if (_refusal is not null)
                _done.TrySetException(_refusal);
            else
                _done.TrySetResult(_answer);
        }

        public override void Fail(Exception fault) => _done.TrySetException(fault);

        protected override void Cancel(CancellationToken token) => _done.TrySetCanceled(token);
    }
}

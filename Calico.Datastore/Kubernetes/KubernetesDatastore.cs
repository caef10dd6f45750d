using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using System.Text;
using Calico.Datastore.Embedded;
using Calico.Datastore.Kubernetes.Client;
using Calico.Datastore.Kubernetes.Transactions;
using Calico.Datastore.Kubernetes.Watching;

namespace Calico.Datastore.Kubernetes;

/// <summary>
/// The store of record on the Kubernetes API (1.20 or later): Calico's keys as custom resources, pods, nodes and so on,
/// as Calico's own Kubernetes datastore lays them out (see <see cref="Mapping.KeyMap"/>).
/// <code>
///   Get    : ObjectReader ----------------------------.
///   List   : Lister (all kinds at one revision) -------+  KubeClient : API server
///   Commit : Committer : one key, one request          |  (retries, credentials)
///                      : several keys, LockingCommit --+
///   Watch  : WatchMerge : a KubeStream of each kind ---'
/// </code>
/// Revisions are etcd's, as resource versions show them. What differs from etcd: watches over several kinds merge one
/// stream each, so revisions of different kinds may come out of order; after a break a change may be told twice;
/// compaction is the API server's.
/// </summary>
public sealed class KubernetesDatastore : IDatastore, IDatastoreMaintenance, IPlainObjects
{
    private readonly KubernetesOptions _options;
    private readonly KubeClient _client;
    private readonly Discovery _discovery;
    private readonly ObjectReader _reader;
    private readonly Resolver _resolver;
    private readonly ExpiryTimers _expiry;
    private readonly Committer _committer;
    private readonly Lister _lister;
    private readonly SnapshotCache _snapshots;
    private readonly CancellationTokenSource _closed = new();

    /// <summary>Makes a client; it connects with the first call.</summary>
    /// <exception cref="DatastoreException">The options are wrong, or a certificate cannot be read.</exception>
    public KubernetesDatastore(KubernetesOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        _options = options;
        _client = new KubeClient(options);
        _discovery = new Discovery(_client);
        _reader = new ObjectReader(_client);
        _resolver = new Resolver(_client, _reader);
        _expiry = new ExpiryTimers(_client, _reader);
        _committer = new Committer(_client, _reader, _resolver, _expiry);
        _lister = new Lister(_client, _discovery, _reader, _expiry);
        _snapshots = new SnapshotCache(options.Time);
    }

    public async Task<KeyValue?> GetAsync(string key, CancellationToken cancellation = default)
    {
        DatastoreLimits.EncodeKey(key);
        using var call = new Call(this, $"get {key}", cancellation);
        return await call.RunAsync(async token =>
        {
            var maps = await _discovery.MapsAsync(token);
            return maps.Find(key, out var name) is { } map ? await _reader.ReadAsync(map, name, key, token) : null;
        });
    }

    public async Task<ListPage> ListAsync(string prefix, string? next = null, long revision = 0, int limit = DatastoreLimits.MaxPageItems,
        CancellationToken cancellation = default)
    {
        var range = KeyRange.Prefix(DatastoreLimits.EncodePrefix(prefix));
        limit = DatastoreLimits.CheckPageLimit(limit);
        var start = next is null ? null : ListCursor.Decode(next, range);
        using var call = new Call(this, $"list {prefix}", cancellation) { IsLong = true };
        var snapshot = (next is null ? null : _snapshots.Find(prefix, revision))
            ?? await call.RunAsync(token => _lister.ListAsync(prefix, revision, token));
        return Page(snapshot, start, limit);
    }

    private ListPage Page(Snapshot snapshot, byte[]? start, int limit)
    {
        var items = snapshot.Items;
        var first = start is null ? 0 : FirstFrom(items, start);
        long bytes = 0;
        var end = first;
        while (end < items.Length && end - first < limit && (end == first || bytes < DatastoreLimits.MaxPageBytes))
            bytes += items[end++].Value.Length;
        if (end < items.Length)
            _snapshots.Keep(snapshot);
        else
            _snapshots.Forget(snapshot);
        return new ListPage(items[first..end], snapshot.Revision, end < items.Length ? ListCursor.After(Encoding.UTF8.GetBytes(items[end - 1].Key)) : null);
    }

    private static int FirstFrom(ImmutableArray<KeyValue> items, byte[] start)
    {
        var (low, high) = (0, items.Length);
        while (low < high)
        {
            var middle = (low + high) / 2;
            if (Encoding.UTF8.GetBytes(items[middle].Key).AsSpan().SequenceCompareTo(start) < 0)
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }

    public async Task<TransactionResult> CommitAsync(Transaction transaction, CancellationToken cancellation = default)
    {
        DatastoreLimits.Check(transaction);
        using var call = new Call(this, $"commit of {Names(transaction)}", cancellation);
        return await call.RunAsync(async token => await _committer.CommitAsync(transaction, await _discovery.MapsAsync(token), token));
    }

    private static string Names(Transaction transaction) => transaction switch
    {
        { Writes: [var only] } => only.Key,
        { Writes: [var first, ..] } => $"{first.Key} and {transaction.Writes.Length - 1} more",
        { Compares: [var compare, ..] } => $"a compare with {compare.Key}",
        _ => "nothing",
    };

    public async IAsyncEnumerable<ImmutableArray<WatchEvent>> WatchAsync(string prefix, long afterRevision,
        [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        DatastoreLimits.EncodePrefix(prefix);
        using var linked = Link(cancellation);
        await using var watch = new WatchMerge(_client, _lister, _resolver, _reader, await _discovery.MapsAsync(linked.Token), prefix, afterRevision);
        await watch.StartAsync(linked.Token);
        while (true)
            yield return await watch.ReadAsync(linked.Token);
    }

    /// <summary>The API server compacts by itself, every five minutes.</summary>
    /// <exception cref="DatastoreException"><see cref="DatastoreFault.Invalid"/>, always.</exception>
    public Task CompactAsync(long revision, CancellationToken cancellation = default) => throw new DatastoreException(
        DatastoreFault.Invalid, $"kubernetes {_options.Endpoint}: compaction is the API server's (--etcd-compaction-interval)");

    /// <summary>Asks for the version. How large the API's store is it does not tell: 0.</summary>
    public async Task<DatastoreStatus> GetStatusAsync(CancellationToken cancellation = default)
    {
        using var call = new Call(this, "status", cancellation);
        return await call.RunAsync(async token =>
        {
            var version = await _client.ReadPathAsync("/version", token) is { } json ? KubeItem.Text(json, "gitVersion") : null;
            return new DatastoreStatus(_options.Endpoint, version ?? "unknown", await _reader.RevisionAsync(token), 0);
        });
    }

    private CancellationTokenSource Link(CancellationToken cancellation)
    {
        ObjectDisposedException.ThrowIf(_closed.IsCancellationRequested, this);
        return CancellationTokenSource.CreateLinkedTokenSource(cancellation, _closed.Token);
    }

    /// <inheritdoc/>
    public async IAsyncEnumerable<PlainChange> FollowAsync(PlainSelection what, [EnumeratorCancellation] CancellationToken cancellation)
    {
        using var linked = Link(cancellation);
        await foreach (var change in new PlainFollower(_client, _lister).FollowAsync(what, linked.Token))
            yield return change;
    }

    /// <summary>Ends calls and watches, and closes the connections.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_closed.IsCancellationRequested)
            return;
        await _closed.CancelAsync();
        _expiry.Dispose();
        _client.Dispose();
        _discovery.Dispose();
    }

    /// <summary>One call of a user, with a bound on the time that all its requests take together.</summary>
    private sealed class Call : IDisposable
    {
        // A list of many chunks takes as long as it takes; each request of it has its own bound.
        private static readonly TimeSpan LongCall = TimeSpan.FromMinutes(5);

        private readonly KubernetesDatastore _store;
        private readonly string _what;
        private readonly CancellationToken _caller;
        private readonly CancellationTokenSource _linked;

        public Call(KubernetesDatastore store, string what, CancellationToken caller)
        {
            (_store, _what, _caller) = (store, what, caller);
            _linked = store.Link(caller);
        }

        public bool IsLong { get; init; }

        public async Task<T> RunAsync<T>(Func<CancellationToken, Task<T>> work)
        {
            // A single request that gets no answer says more about why: it ends first.
            var bound = (IsLong ? LongCall : _store._options.RequestTimeout) + TimeSpan.FromMilliseconds(500);
            using var limit = new CancellationTokenSource(bound, _store._options.Time);
            using var both = CancellationTokenSource.CreateLinkedTokenSource(_linked.Token, limit.Token);
            try
            {
                return await work(both.Token);
            }
            catch (OperationCanceledException e) when (!_caller.IsCancellationRequested && !_store._closed.IsCancellationRequested)
            {
                throw new DatastoreException(DatastoreFault.Unavailable, $"kubernetes {_store._options.Endpoint}: {_what}: "
                    + $"not done in {bound.TotalSeconds:f0} s{(e is CutOffException ? $" ({e.Message})" : "")}; a write may or may not have been carried out");
            }
        }

        public void Dispose() => _linked.Dispose();
    }
}

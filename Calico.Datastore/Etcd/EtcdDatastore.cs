using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using Calico.Datastore.Embedded;
using Google.Protobuf;
using Grpc.Core;

namespace Calico.Datastore.Etcd;

/// <summary>
/// The store of record in etcd 3.4 or later, or in an embedded store that is served as one (<see cref="EtcdServer"/>).
/// <code>
///   Get, List, Commit --&gt; EtcdCalls (token, deadline, retries) -+
///                                                               +--&gt; EtcdEndpoints (fail-over) --&gt; member
///   Watch --&gt; EtcdWatch (resume, fragments) --------------------+
/// </code>
/// Reads are linearizable and are tried on one member after the other. A commit is tried again only while it is certain
/// that it was not carried out; when that is unknown the caller hears <see cref="DatastoreFault.Unavailable"/> and
/// decides from what it reads.
/// </summary>
public sealed class EtcdDatastore : IDatastore, IDatastoreMaintenance
{
    private readonly EtcdOptions _options;
    private readonly EtcdEndpoints _endpoints;
    private readonly EtcdCalls _calls;
    private readonly CancellationTokenSource _closed = new();

    /// <summary>Makes a client; it connects with the first call.</summary>
    /// <exception cref="DatastoreException">The options are wrong, or a certificate cannot be read.</exception>
    public EtcdDatastore(EtcdOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        _options = options;
        _endpoints = new EtcdEndpoints(options);
        _calls = new EtcdCalls(options, _endpoints);
    }

    public async Task<KeyValue?> GetAsync(string key, CancellationToken cancellation = default)
    {
        var request = new Wire.RangeRequest { Key = WireMap.Wrap(DatastoreLimits.EncodeKey(key)) };
        var answer = await ReadAsync($"get {key}", request, cancellation);
        return answer.Kvs is [var stored] ? Port(stored) : null;
    }

    public async Task<ListPage> ListAsync(string prefix, string? next = null, long revision = 0, int limit = DatastoreLimits.MaxPageItems,
        CancellationToken cancellation = default)
    {
        var range = KeyRange.Prefix(DatastoreLimits.EncodePrefix(prefix));
        var request = new Wire.RangeRequest
        {
            Key = WireMap.Wrap(next is null ? range.Start : ListCursor.Decode(next, range)),
            RangeEnd = WireMap.Wrap(range.End),
            Revision = revision,
            Limit = DatastoreLimits.CheckPageLimit(limit),
        };
        while (true)
        {
            try
            {
                var answer = await ReadAsync($"list {prefix}", request, cancellation);
                return new ListPage([.. answer.Kvs.Select(Port)], revision > 0 ? revision : answer.Header.Revision,
                    answer.More ? ListCursor.After(answer.Kvs[^1].Key.Span) : null);
            }
            catch (RpcException e) when (request.Limit > 1)
            {
                // etcd bounds a page by items only; large values are asked for in smaller pages.
                _ = e;
                request.Limit = Math.Max(1, request.Limit / 4);
            }
            catch (RpcException e)
            {
                throw new DatastoreException(DatastoreFault.Invalid, $"etcd: list {prefix}: {e.Status.Detail}", e);
            }
        }
    }

    private async Task<Wire.RangeResponse> ReadAsync(string what, Wire.RangeRequest request, CancellationToken cancellation)
    {
        using var linked = Link(cancellation);
        return await _calls.RunAsync(what, repeatable: true, (e, o) => e.Kv.RangeAsync(request, o), linked.Token);
    }

    public async Task<TransactionResult> CommitAsync(Transaction transaction, CancellationToken cancellation = default)
    {
        DatastoreLimits.Check(transaction);
        using var linked = Link(cancellation);
        var leases = await GrantAsync(transaction, linked.Token);
        Wire.TxnResponse? answer = null;
        try
        {
            var what = $"commit of {Names(transaction)}";
            var request = Request(transaction, leases);
            answer = await _calls.RunAsync(what, repeatable: false, (e, o) => e.Kv.TxnAsync(request, o), linked.Token);
        }
        finally
        {
            if (answer is not { Succeeded: true } && leases.Count > 0)
                await RevokeAsync(leases.Values);
        }
        return new TransactionResult(answer.Succeeded, answer.Header.Revision, answer.Succeeded ? []
            : [.. answer.Responses.Select(r => r.ResponseRange.Kvs is [var stored] ? Port(stored) : null)]);
    }

    private static string Names(Transaction transaction) => transaction switch
    {
        { Writes: [var only] } => only.Key,
        { Writes: [var first, ..] } => $"{first.Key} and {transaction.Writes.Length - 1} more",
        { Compares: [var compare, ..] } => $"a compare with {compare.Key}",
        _ => "nothing",
    };

    private static Wire.TxnRequest Request(Transaction transaction, Dictionary<TimeSpan, long> leases)
    {
        var request = new Wire.TxnRequest();
        foreach (var compare in transaction.Compares)
        {
            var key = WireMap.Wrap(DatastoreLimits.EncodeKey(compare.Key));
            request.Compare.Add(new Wire.Compare
            {
                Key = key,
                Target = Wire.Compare.Types.CompareTarget.Mod,
                Result = Wire.Compare.Types.CompareResult.Equal,
                ModRevision = compare.ModRevision,
            });
            request.Failure.Add(new Wire.RequestOp { RequestRange = new Wire.RangeRequest { Key = key } });
        }
        foreach (var write in transaction.Writes)
        {
            var key = WireMap.Wrap(DatastoreLimits.EncodeKey(write.Key));
            request.Success.Add(write.Value is { } value
                ? new Wire.RequestOp
                {
                    RequestPut = new Wire.PutRequest
                    {
                        Key = key,
                        Value = WireMap.Wrap(value),
                        Lease = write.TimeToLive is { } ttl ? leases[ttl] : 0,
                    },
                }
                : new Wire.RequestOp { RequestDeleteRange = new Wire.DeleteRangeRequest { Key = key } });
        }
        return request;
    }

    // A lease too many runs out by itself: granting may be tried again.
    private async Task<Dictionary<TimeSpan, long>> GrantAsync(Transaction transaction, CancellationToken cancellation)
    {
        Dictionary<TimeSpan, long> leases = [];
        foreach (var ttl in transaction.Writes.Select(w => w.TimeToLive).OfType<TimeSpan>().Distinct())
        {
            var request = new Wire.LeaseGrantRequest { TTL = (long)ttl.TotalSeconds };
            var answer = await _calls.RunAsync($"lease of {ttl}", repeatable: true, (e, o) => e.Lease.LeaseGrantAsync(request, o), cancellation);
            leases[ttl] = answer.ID;
        }
        return leases;
    }

    private async Task RevokeAsync(IEnumerable<long> leases)
    {
        foreach (var lease in leases)
        {
            try
            {
                var request = new Wire.LeaseRevokeRequest { ID = lease };
                await _calls.RunAsync($"revoking lease {lease:x}", repeatable: true, (e, o) => e.Lease.LeaseRevokeAsync(request, o), _closed.Token);
            }
            catch (Exception e) when (e is DatastoreException or OperationCanceledException)
            {
                // It runs out by itself.
            }
        }
    }

    public async IAsyncEnumerable<ImmutableArray<WatchEvent>> WatchAsync(string prefix, long afterRevision,
        [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        using var linked = Link(cancellation);
        await using var watch = new EtcdWatch(_options, _endpoints, _calls, DatastoreLimits.EncodePrefix(prefix), afterRevision);
        while (true)
            yield return await watch.ReadAsync(linked.Token);
    }

    public async Task CompactAsync(long revision, CancellationToken cancellation = default)
    {
        using var linked = Link(cancellation);
        // A second try of one that went through is refused as compacted, which is what was asked for.
        var request = new Wire.CompactionRequest { Revision = revision };
        await _calls.RunAsync($"compaction at {revision}", repeatable: false, (e, o) => e.Kv.CompactAsync(request, o), linked.Token);
    }

    public async Task<DatastoreStatus> GetStatusAsync(CancellationToken cancellation = default)
    {
        using var linked = Link(cancellation);
        EtcdEndpoint? answered = null;
        var status = await _calls.RunAsync("status", repeatable: true,
            (e, o) => (answered = e).Maintenance.StatusAsync(new Wire.StatusRequest(), o), linked.Token);
        return new DatastoreStatus(answered!.Url, status.Version, status.Header.Revision, status.DbSize);
    }

    private CancellationTokenSource Link(CancellationToken cancellation)
    {
        ObjectDisposedException.ThrowIf(_closed.IsCancellationRequested, this);
        return CancellationTokenSource.CreateLinkedTokenSource(cancellation, _closed.Token);
    }

    internal static WatchEvent Port(Wire.Event change) => new(DatastoreLimits.DecodeKey(change.Kv.Key.Span),
        change.Type == Wire.Event.Types.EventType.Delete ? null : Port(change.Kv),
        change.PrevKv is { } previous ? Port(previous) : null, change.Kv.ModRevision);

    private static KeyValue Port(Wire.KeyValue key) =>
        new(DatastoreLimits.DecodeKey(key.Key.Span), key.Value.Memory, key.ModRevision, key.CreateRevision);

    /// <summary>Ends calls and watches, and closes the connections.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_closed.IsCancellationRequested)
            return;
        await _closed.CancelAsync();
        _endpoints.Dispose();
        _calls.Dispose();
    }
}

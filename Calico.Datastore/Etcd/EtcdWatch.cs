using System.Collections.Immutable;
using Grpc.Core;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Calico.Datastore.Etcd;

/// <summary>
/// One watch, over as many streams as it takes. It knows the next revision that is wanted, from the events and the
/// progress notes it got, and asks for that whenever a stream ends. A revision that comes in fragments is put together
/// before it is given on; a stream that breaks in the middle of one starts with that revision again. Nothing is read
/// that the consumer has not asked for, so gRPC's flow control reaches the server.
/// </summary>
internal sealed class EtcdWatch(EtcdOptions options, EtcdEndpoints endpoints, EtcdCalls calls, byte[] prefix, long after)
    : IAsyncDisposable
{
    private readonly ILogger _log = options.Logging?.CreateLogger<EtcdWatch>() ?? NullLogger<EtcdWatch>.Instance;
    private readonly string _prefix = DatastoreLimits.DecodeKey(prefix);
    private readonly List<WatchEvent> _fragments = [];
    private AsyncDuplexStreamingCall<Wire.WatchRequest, Wire.WatchResponse>? _stream;
    private EtcdEndpoint? _endpoint;
    private CancellationTokenSource? _life;
    private long _next = after + 1;
    private ulong _cluster;
    private int _failures;

    /// <summary>The first revision that is still wanted: where it resumes.</summary>
    public long Next => Volatile.Read(ref _next);

    /// <summary>The next changes: whole revisions, at least one.</summary>
    /// <exception cref="DatastoreException">Compacted, Denied or Invalid: the watch is over.</exception>
    public async Task<ImmutableArray<WatchEvent>> ReadAsync(CancellationToken cancellation)
    {
        while (true)
        {
            try
            {
                if (_stream is null)
                    await OpenAsync(cancellation);
                if (!await _stream!.ResponseStream.MoveNext(cancellation))
                    throw EtcdErrors.Rpc(StatusCode.Unavailable, "the server ended the watch");
                if (Take(_stream.ResponseStream.Current) is { IsEmpty: false } events)
                    return events;
            }
            catch (RpcException e)
            {
                cancellation.ThrowIfCancellationRequested();
                await LoseAsync(e, cancellation);
            }
            catch (Exception e) when (e is OperationCanceledException or InvalidOperationException or IOException or HttpRequestException)
            {
                // The stream went away under a write, or was given up because the server did not answer.
                cancellation.ThrowIfCancellationRequested();
                await LoseAsync(new RpcException(new Status(StatusCode.Unavailable, e.Message, e)), cancellation);
            }
        }
    }

    private async Task OpenAsync(CancellationToken cancellation)
    {
        _endpoint = endpoints.Current;
        _life = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        // Until the server has answered there is a deadline; afterwards the connection's keep-alive watches over it.
        using var patience = options.Time.CreateTimer(life => ((CancellationTokenSource)life!).Cancel(), _life,
            options.RequestTimeout, Timeout.InfiniteTimeSpan);
        var headers = await calls.HeadersAsync(_endpoint, cancellation);
        // A member that has lost its cluster is to end the watch, not to keep silent.
        headers.Add("hasleader", "true");
        _stream = _endpoint.Watch.Watch(new CallOptions(headers, cancellationToken: _life.Token));
        await _stream.RequestStream.WriteAsync(new Wire.WatchRequest
        {
            CreateRequest = new Wire.WatchCreateRequest
            {
                Key = WireMap.Wrap(prefix.Length == 0 ? [0] : prefix),
                RangeEnd = WireMap.Wrap(Embedded.KeyRange.PrefixEnd(prefix)),
                StartRevision = _next,
                PrevKv = true,
                ProgressNotify = true,
                Fragment = true,
            },
        }, _life.Token);
        if (!await _stream.ResponseStream.MoveNext(_life.Token))
            throw EtcdErrors.Rpc(StatusCode.Unavailable, "the server ended the watch at once");
        Take(_stream.ResponseStream.Current);
        if (_failures > 0 && _log.IsEnabled(LogLevel.Information))
            _log.LogInformation("watch {Prefix} resumed on {Endpoint} at revision {Revision}", _prefix, _endpoint.Url, _next);
        _failures = 0;
    }

    private ImmutableArray<WatchEvent> Take(Wire.WatchResponse response)
    {
        CheckCluster(response.Header);
        if (response.CompactRevision != 0)
        {
            throw new DatastoreException(DatastoreFault.Compacted, $"etcd {_endpoint!.Url}: watch of '{_prefix}': revision "
                + $"{_next} is compacted, history starts at {response.CompactRevision}: list again");
        }
        if (response.Canceled)
            throw Cancelled(response.CancelReason);
        if (response.Created)
            return [];
        if (response.Events.Count == 0)
        {
            // Progress: everything up to here was sent.
            _next = Math.Max(_next, response.Header.Revision + 1);
            return [];
        }
        foreach (var change in response.Events)
        {
            // A member that is asked for what is partly behind it may repeat; nothing is told twice.
            if (change.Kv.ModRevision >= _next)
                _fragments.Add(EtcdDatastore.Port(change));
        }
        if (response.Fragment || _fragments.Count == 0)
            return [];
        ImmutableArray<WatchEvent> events = [.. _fragments];
        _fragments.Clear();
        _next = events[^1].Revision + 1;
        return events;
    }

    // A store that was replaced, or restored from a backup, counts its revisions anew: going on would skip changes.
    private void CheckCluster(Wire.ResponseHeader header)
    {
        if (_cluster != 0 && header.ClusterId != _cluster)
        {
            throw new DatastoreException(DatastoreFault.Compacted, $"etcd {_endpoint!.Url}: watch of '{_prefix}': this is another "
                + $"store than before (cluster {header.ClusterId:x}, was {_cluster:x}): list again");
        }
        _cluster = header.ClusterId;
    }

    // etcd says the whole error here, code and all: "rpc error: code = PermissionDenied desc = etcdserver: …".
    private static RpcException Cancelled(string reason)
    {
        if (reason.EndsWith(EtcdErrors.PermissionDenied, StringComparison.Ordinal))
            return EtcdErrors.Rpc(StatusCode.PermissionDenied, EtcdErrors.PermissionDenied);
        return reason.EndsWith(EtcdErrors.InvalidToken, StringComparison.Ordinal)
            ? EtcdErrors.Rpc(StatusCode.Unauthenticated, EtcdErrors.InvalidToken)
            : EtcdErrors.Rpc(StatusCode.Unavailable, reason);
    }

    private async Task LoseAsync(RpcException failure, CancellationToken cancellation)
    {
        var endpoint = _endpoint!;
        Close();
        _fragments.Clear();
        var verdict = EtcdFailure.Judge(failure);
        if (verdict is Verdict.Refused or Verdict.AnswerTooLarge)
        {
            throw new DatastoreException(EtcdFailure.Fault(failure.Status),
                $"etcd {endpoint.Url}: watch of '{_prefix}': {EtcdFailure.Reason(failure)}", failure);
        }
        if (verdict == Verdict.StaleToken)
        {
            if (options.Username is null || _failures >= 2 * endpoints.Count)
                throw new DatastoreException(DatastoreFault.Denied, $"etcd {endpoint.Url}: watch of '{_prefix}': {failure.Status.Detail}", failure);
            calls.ForgetToken();
        }
        else
        {
            endpoints.Failed(endpoint);
        }
        if (verdict == Verdict.NotTrusted && _failures + 1 >= endpoints.Count)
            throw new DatastoreException(DatastoreFault.Denied, $"etcd {endpoint.Url}: watch of '{_prefix}': {EtcdFailure.Reason(failure)}", failure);

        var reason = EtcdFailure.Reason(failure);
        if (_failures++ == 0 && _log.IsEnabled(LogLevel.Warning))
            _log.LogWarning("watch {Prefix} lost {Endpoint}: {Reason}; it resumes at revision {Revision}", _prefix, endpoint.Url, reason, _next);
        if (_failures % endpoints.Count == 0)
            await calls.BackOffAsync(_failures / endpoints.Count - 1, cancellation);
    }

    private void Close()
    {
        // Cancelling, and then disposing, resets the stream: the server sees the watch end.
        _life?.Cancel();
        _stream?.Dispose();
        _life?.Dispose();
        (_stream, _life) = (null, null);
    }

    public ValueTask DisposeAsync()
    {
        Close();
        return ValueTask.CompletedTask;
    }
}

using System.Collections.Concurrent;
using System.Collections.Immutable;
using Calico.Datastore.Embedded;
using Grpc.Core;

namespace Calico.Datastore.Etcd;

internal sealed class WatchService(EtcdService service) : Wire.Watch.WatchBase
{
    public override async Task Watch(IAsyncStreamReader<Wire.WatchRequest> requestStream,
        IServerStreamWriter<Wire.WatchResponse> responseStream, ServerCallContext context)
    {
        await using var session = new WatchSession(service, responseStream, context.CancellationToken);
        await session.RunAsync(requestStream);
    }
}

/// <summary>
/// One watch stream. It carries any number of watches, each with a task that takes from the store at the pace at which
/// the client reads: gRPC's flow control holds the write back, the watch's queue in the store fills, and the rest comes
/// from history later.
/// </summary>
internal sealed class WatchSession(
    EtcdService service, IServerStreamWriter<Wire.WatchResponse> responses, CancellationToken cancellation) : IAsyncDisposable
{
    private const int MaxWatches = 10_000;

    // What etcd calls the id of no watch: progress of all watches of a stream.
    private const long NoWatch = -1;

    private readonly ConcurrentDictionary<long, ServedWatch> _watches = [];
    private readonly SemaphoreSlim _writing = new(1);
    private readonly CancellationTokenSource _end = CancellationTokenSource.CreateLinkedTokenSource(cancellation, service.Stopping);
    private RpcException? _failure;
    private long _nextId;
    private long _progressWanted;

    public async Task RunAsync(IAsyncStreamReader<Wire.WatchRequest> requests)
    {
        try
        {
            while (await requests.MoveNext(_end.Token))
                await HandleAsync(requests.Current);
            // A client that has closed its side still listens to its watches.
            await Task.WhenAll(_watches.Values.Select(w => w.Pump));
        }
        catch (Exception e) when (e is OperationCanceledException or IOException)
        {
            // The client went away, or one of the reasons below.
        }
        if (_failure is not null)
            throw _failure;
        if (service.Stopping.IsCancellationRequested)
            throw EtcdErrors.Rpc(StatusCode.Unavailable, EtcdErrors.ServerStopped);
    }

    private Task HandleAsync(Wire.WatchRequest request) => request.RequestUnionCase switch
    {
        Wire.WatchRequest.RequestUnionOneofCase.CreateRequest => CreateAsync(request.CreateRequest),
        Wire.WatchRequest.RequestUnionOneofCase.CancelRequest => CancelAsync(request.CancelRequest.WatchId),
        Wire.WatchRequest.RequestUnionOneofCase.ProgressRequest => WantProgressAsync(),
        _ => Task.CompletedTask,
    };

    private async Task CreateAsync(Wire.WatchCreateRequest request)
    {
        var refusal = Refusal(request);
        var revision = service.Store.Hub.Revision;
        if (refusal is not null)
        {
            await SendAsync(new Wire.WatchResponse
            {
                Header = service.Header(revision),
                WatchId = NoWatch,
                Created = true,
                Canceled = true,
                CancelReason = refusal,
            });
            return;
        }

        var id = request.WatchId;
        while (id == 0 && _watches.ContainsKey(_nextId))
            _nextId++;
        if (id == 0)
            id = _nextId++;
        // As in etcd's clients: an empty key is the smallest there is.
        var start = request.Key.IsEmpty ? [0] : request.Key.ToByteArray();
        var after = request.StartRevision > 0 ? request.StartRevision - 1 : revision;
        var watch = service.Store.Hub.Watch(new KeyRange(start, request.RangeEnd.ToByteArray()), after);
        var served = new ServedWatch(id, request, watch, CancellationTokenSource.CreateLinkedTokenSource(_end.Token), after);
        _watches[id] = served;
        await SendAsync(new Wire.WatchResponse { Header = service.Header(revision), WatchId = id, Created = true });
        served.Pump = Task.Run(() => PumpAsync(served));
    }

    private string? Refusal(Wire.WatchCreateRequest request)
    {
        if (_watches.Count >= MaxWatches)
            return $"more than {MaxWatches} watches on one stream";
        if (request.WatchId != 0 && _watches.ContainsKey(request.WatchId))
            return "etcdserver: duplicate watch ID is provided on the WatchStream";
        var end = request.RangeEnd.Span;
        return end.Length > 0 && !(end is [0]) && end.SequenceCompareTo(request.Key.Span) <= 0
            ? "etcdserver: the watched range is empty"
            : null;
    }

    private async Task CancelAsync(long id)
    {
        if (!_watches.TryRemove(id, out var served))
            return;
        await served.StopAsync();
        await SendAsync(new Wire.WatchResponse { Header = service.Header(), WatchId = id, Canceled = true });
    }

    private async Task PumpAsync(ServedWatch served)
    {
        try
        {
            var idle = served.Request.ProgressNotify ? service.Options.ProgressInterval : Timeout.InfiniteTimeSpan;
            while (true)
            {
                var batch = await served.Watch.ReadAsync(idle, served.Stop.Token);
                var sent = await SendEventsAsync(served, batch);
                Volatile.Write(ref served.Through, batch.Through);
                if (await SendWantedProgressAsync() || sent || !served.Request.ProgressNotify)
                    continue;
                // What is told here is what a client may resume from: nothing up to it is still to come.
                await SendAsync(new Wire.WatchResponse
                {
                    Header = service.Header(Math.Min(batch.Through, service.Store.Hub.Revision)),
                    WatchId = served.Id,
                });
            }
        }
        catch (StoreException e)
        {
            await EndCompactedAsync(served, e);
        }
        catch (DatastoreException e)
        {
            await FailAsync(EtcdErrors.ToRpcException(e));
        }
        catch (Exception e) when (e is OperationCanceledException or IOException or InvalidOperationException)
        {
            // The watch was cancelled, or the client went away in the middle of a write.
        }
    }

    private async Task EndCompactedAsync(ServedWatch served, StoreException reason)
    {
        if (!_watches.TryRemove(served.Id, out _))
            return;
        try
        {
            var compacted = await service.Store.Reader.CompactedAsync(_end.Token);
            await SendAsync(new Wire.WatchResponse
            {
                Header = service.Header(),
                WatchId = served.Id,
                Canceled = true,
                CompactRevision = compacted,
                CancelReason = reason.Message,
            });
        }
        catch (Exception e) when (e is OperationCanceledException or IOException or InvalidOperationException or DatastoreException)
        {
            await FailAsync(EtcdErrors.Rpc(StatusCode.Unavailable, e.Message));
        }
    }

    private async Task FailAsync(RpcException failure)
    {
        _failure ??= failure;
        await _end.CancelAsync();
    }

    private async Task<bool> SendEventsAsync(ServedWatch served, WatchBatch batch)
    {
        var sent = false;
        foreach (var (events, fragment) in WatchFragments.Split(batch.Events, served.Request, service.Options.MaxWatchBytes))
        {
            var response = new Wire.WatchResponse
            {
                Header = service.Header(events[^1].Key.Mod),
                WatchId = served.Id,
                Fragment = fragment,
            };
            response.Events.AddRange(events.Select(e => WireMap.Event(e, served.Request.PrevKv)));
            await SendAsync(response);
            sent = true;
        }
        return sent;
    }

    private async Task WantProgressAsync()
    {
        var revision = service.Store.Hub.Revision;
        Volatile.Write(ref _progressWanted, revision);
        foreach (var served in _watches.Values)
            served.Watch.Poke();
        if (_watches.IsEmpty)
            await SendWantedProgressAsync();
    }

    // When every watch has sent what there was up to the asked-for revision, and not before.
    private async Task<bool> SendWantedProgressAsync()
    {
        var wanted = Volatile.Read(ref _progressWanted);
        if (wanted == 0 || _watches.Values.Any(w => Volatile.Read(ref w.Through) < wanted)
            || Interlocked.CompareExchange(ref _progressWanted, 0, wanted) != wanted)
        {
            return false;
        }
        await SendAsync(new Wire.WatchResponse { Header = service.Header(wanted), WatchId = NoWatch });
        return true;
    }

    private async Task SendAsync(Wire.WatchResponse response)
    {
        await _writing.WaitAsync(_end.Token);
        try
        {
            await responses.WriteAsync(response, _end.Token);
        }
        finally
        {
            _writing.Release();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        foreach (var served in _watches.Values)
            await served.StopAsync();
        _end.Dispose();
        _writing.Dispose();
    }
}

internal sealed class ServedWatch(long id, Wire.WatchCreateRequest request, StoreWatch watch, CancellationTokenSource stop, long after)
{
    /// <summary>Everything up to this revision was sent.</summary>
    public long Through = after;

    public long Id { get; } = id;
    public Wire.WatchCreateRequest Request { get; } = request;
    public StoreWatch Watch { get; } = watch;
    public CancellationTokenSource Stop { get; } = stop;
    public Task Pump { get; set; } = Task.CompletedTask;

    public async Task StopAsync()
    {
        await Stop.CancelAsync();
        await Pump;
        Watch.Dispose();
        Stop.Dispose();
    }
}

/// <summary>
/// Cuts events into messages: between revisions where possible, and inside one only for a client that has said it can
/// put fragments together.
/// </summary>
internal static class WatchFragments
{
    public static IEnumerable<(ImmutableArray<StoreEvent> Events, bool Fragment)> Split(
        ImmutableArray<StoreEvent> events, Wire.WatchCreateRequest request, int maxBytes)
    {
        var message = ImmutableArray.CreateBuilder<StoreEvent>();
        long bytes = 0;
        foreach (var change in events)
        {
            if (request.Filters.Contains(change.IsDelete
                ? Wire.WatchCreateRequest.Types.FilterType.Nodelete : Wire.WatchCreateRequest.Types.FilterType.Noput))
            {
                continue;
            }
            var size = Size(change, request.PrevKv);
            var inside = message.Count > 0 && message[^1].Key.Mod == change.Key.Mod;
            if (message.Count > 0 && bytes + size > maxBytes && (!inside || request.Fragment))
            {
                yield return (message.DrainToImmutable(), inside);
                bytes = 0;
            }
            message.Add(change);
            bytes += size;
        }
        if (message.Count > 0)
            yield return (message.DrainToImmutable(), false);
    }

    private static long Size(StoreEvent change, bool withPrevious) =>
        64 + 2 * change.Key.Key.Length + change.Key.Value.Length + (withPrevious ? change.Previous?.Value.Length ?? 0 : 0);
}

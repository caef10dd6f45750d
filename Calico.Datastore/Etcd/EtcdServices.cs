using Calico.Datastore.Embedded;
using Grpc.Core;

namespace Calico.Datastore.Etcd;

/// <summary>What the services share: the store, the identity in every header, and the way errors are said.</summary>
internal sealed class EtcdService(EmbeddedDatastore store, EtcdServerOptions options)
{
    // There is one member and no election: the first term is the only one.
    private const ulong Term = 1;

    public EmbeddedDatastore Store { get; } = store;
    public EtcdServerOptions Options { get; } = options;

    /// <summary>The URL that clients are told to use; known once the server listens.</summary>
    public string Url { get; set; } = "";

    /// <summary>Cancelled when the server stops: streams end then.</summary>
    public CancellationToken Stopping { get; set; }

    public Wire.ResponseHeader Header(long revision) => new()
    {
        ClusterId = Store.File.ClusterId,
        MemberId = Store.File.MemberId,
        Revision = revision,
        RaftTerm = Term,
    };

    public Wire.ResponseHeader Header() => Header(Store.Hub.Revision);

    public static async Task<T> Ask<T>(Task<T> answer)
    {
        try
        {
            return await answer;
        }
        catch (StoreException e)
        {
            throw EtcdErrors.ToRpcException(e);
        }
        catch (DatastoreException e)
        {
            throw EtcdErrors.ToRpcException(e);
        }
        catch (ObjectDisposedException)
        {
            throw EtcdErrors.Rpc(StatusCode.Unavailable, EtcdErrors.ServerStopped);
        }
    }

    public async Task<Answer<T>> ApplyAsync<T>(StoreOperation operation, CancellationToken cancellation)
        where T : StoreResult
    {
        var answer = await Ask(ApplyAsync(operation, cancellation));
        return new Answer<T>((T)answer.Result, answer.Revision);
    }

    // Checks throw at once, before there is a task.
    private async Task<Answer<StoreResult>> ApplyAsync(StoreOperation operation, CancellationToken cancellation) =>
        await Store.Writer.ApplyAsync(operation, cancellation);
}

internal sealed class KvService(EtcdService service) : Wire.KV.KVBase
{
    public override async Task<Wire.RangeResponse> Range(Wire.RangeRequest request, ServerCallContext context)
    {
        var operation = WireMap.Operation(request);
        if (operation.Range.Start.Length == 0)
            throw EtcdErrors.Rpc(StatusCode.InvalidArgument, EtcdErrors.EmptyKey);
        var answer = await EtcdService.Ask(service.Store.Reader.RangeAsync(operation, context.CancellationToken));
        return WireMap.Response(answer.Result, service.Header(answer.Revision));
    }

    public override async Task<Wire.PutResponse> Put(Wire.PutRequest request, ServerCallContext context)
    {
        var answer = await service.ApplyAsync<PutResult>(WireMap.Operation(request), context.CancellationToken);
        return WireMap.Response(answer.Result, service.Header(answer.Revision));
    }

    public override async Task<Wire.DeleteRangeResponse> DeleteRange(Wire.DeleteRangeRequest request, ServerCallContext context)
    {
        var answer = await service.ApplyAsync<DeleteResult>(WireMap.Operation(request), context.CancellationToken);
        return WireMap.Response(answer.Result, service.Header(answer.Revision));
    }

    public override async Task<Wire.TxnResponse> Txn(Wire.TxnRequest request, ServerCallContext context)
    {
        var answer = await service.ApplyAsync<TransactionOutcome>(WireMap.Operation(request), context.CancellationToken);
        return WireMap.Response(answer.Result, service.Header(answer.Revision));
    }

    public override async Task<Wire.CompactionResponse> Compact(Wire.CompactionRequest request, ServerCallContext context)
    {
        var answer = await EtcdService.Ask(service.Store.Writer.CompactAsync(request.Revision, context.CancellationToken));
        return new Wire.CompactionResponse { Header = service.Header(answer.Revision) };
    }
}

internal sealed class MaintenanceService(EtcdService service) : Wire.Maintenance.MaintenanceBase
{
    public override async Task<Wire.StatusResponse> Status(Wire.StatusRequest request, ServerCallContext context)
    {
        var status = await EtcdService.Ask(service.Store.GetStatusAsync(context.CancellationToken));
        return new Wire.StatusResponse
        {
            Header = service.Header(status.Revision),
            Version = status.Version,
            DbSize = status.SizeBytes,
            DbSizeInUse = status.SizeBytes,
            Leader = service.Store.File.MemberId,
            RaftIndex = (ulong)status.Revision,
            RaftAppliedIndex = (ulong)status.Revision,
            RaftTerm = service.Header().RaftTerm,
        };
    }

    // A full store refuses writes by itself and accepts them by itself: no alarm stays behind that must be disarmed.
    public override Task<Wire.AlarmResponse> Alarm(Wire.AlarmRequest request, ServerCallContext context) =>
        request.Action == Wire.AlarmRequest.Types.AlarmAction.Activate
            ? throw EtcdErrors.Rpc(StatusCode.Unimplemented, "this store has no alarms to activate")
            : Task.FromResult(new Wire.AlarmResponse { Header = service.Header() });
}

internal sealed class ClusterService(EtcdService service) : Wire.Cluster.ClusterBase
{
    public override Task<Wire.MemberListResponse> MemberList(Wire.MemberListRequest request, ServerCallContext context) =>
        Task.FromResult(new Wire.MemberListResponse
        {
            Header = service.Header(),
            Members = { new Wire.Member { ID = service.Store.File.MemberId, Name = "calico", ClientURLs = { service.Url } } },
        });
}

internal sealed class LeaseService(EtcdService service) : Wire.Lease.LeaseBase
{
    public override async Task<Wire.LeaseGrantResponse> LeaseGrant(Wire.LeaseGrantRequest request, ServerCallContext context)
    {
        var answer = await EtcdService.Ask(
            service.Store.Writer.GrantLeaseAsync(request.ID, request.TTL, context.CancellationToken));
        return new Wire.LeaseGrantResponse
        {
            Header = service.Header(answer.Revision),
            ID = answer.Result,
            TTL = service.Store.Leases.Find(answer.Result)?.Granted ?? request.TTL,
        };
    }

    public override async Task<Wire.LeaseRevokeResponse> LeaseRevoke(Wire.LeaseRevokeRequest request, ServerCallContext context)
    {
        var answer = await EtcdService.Ask(
            service.Store.Writer.RevokeLeaseAsync(request.ID, ifExpired: false, context.CancellationToken));
        return new Wire.LeaseRevokeResponse { Header = service.Header(answer.Revision) };
    }

    public override async Task LeaseKeepAlive(IAsyncStreamReader<Wire.LeaseKeepAliveRequest> requestStream,
        IServerStreamWriter<Wire.LeaseKeepAliveResponse> responseStream, ServerCallContext context)
    {
        using var end = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, service.Stopping);
        while (await MoveNextAsync(requestStream, end.Token))
        {
            var id = requestStream.Current.ID;
            await responseStream.WriteAsync(new Wire.LeaseKeepAliveResponse
            {
                Header = service.Header(),
                ID = id,
                TTL = service.Store.Leases.KeepAlive(id) ?? 0,
            }, end.Token);
        }
    }

    private static async Task<bool> MoveNextAsync(IAsyncStreamReader<Wire.LeaseKeepAliveRequest> requests, CancellationToken end)
    {
        try
        {
            return await requests.MoveNext(end);
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    public override async Task<Wire.LeaseTimeToLiveResponse> LeaseTimeToLive(Wire.LeaseTimeToLiveRequest request, ServerCallContext context)
    {
        var response = new Wire.LeaseTimeToLiveResponse { Header = service.Header(), ID = request.ID, TTL = -1 };
        if (service.Store.Leases.Find(request.ID) is not { } lease)
            return response;
        response.TTL = lease.Left;
        response.GrantedTTL = lease.Granted;
        if (request.Keys)
        {
            var keys = await EtcdService.Ask(service.Store.Reader.LeaseKeysAsync(request.ID, context.CancellationToken));
            response.Keys.AddRange(keys.Select(k => WireMap.Wrap(k)));
        }
        return response;
    }

    public override Task<Wire.LeaseLeasesResponse> LeaseLeases(Wire.LeaseLeasesRequest request, ServerCallContext context)
    {
        var response = new Wire.LeaseLeasesResponse { Header = service.Header() };
        response.Leases.AddRange(service.Store.Leases.All().Select(id => new Wire.LeaseStatus { ID = id }));
        return Task.FromResult(response);
    }
}

using Calico.Datastore.Embedded;
using Google.Protobuf;
using Grpc.Core;

namespace Calico.Datastore.Etcd;

/// <summary>Between etcd's messages and the store's operations. Values are wrapped, not copied, on their way out.</summary>
internal static class WireMap
{
    public static StoreOperation Operation(Wire.RequestOp operation) => operation.RequestCase switch
    {
        Wire.RequestOp.RequestOneofCase.RequestRange => Operation(operation.RequestRange),
        Wire.RequestOp.RequestOneofCase.RequestPut => Operation(operation.RequestPut),
        Wire.RequestOp.RequestOneofCase.RequestDeleteRange => Operation(operation.RequestDeleteRange),
        Wire.RequestOp.RequestOneofCase.RequestTxn => Operation(operation.RequestTxn),
        _ => throw EtcdErrors.Rpc(StatusCode.InvalidArgument, EtcdErrors.KeyNotFound),
    };

    public static RangeOperation Operation(Wire.RangeRequest request)
    {
        var filter = new RangeFilter(request.MinModRevision, request.MaxModRevision, request.MinCreateRevision, request.MaxCreateRevision);
        return new RangeOperation(Range(request.Key, request.RangeEnd))
        {
            Limit = request.Limit,
            Revision = request.Revision,
            KeysOnly = request.KeysOnly,
            CountOnly = request.CountOnly,
            WithCount = true,
            Filter = filter == new RangeFilter(0, 0, 0, 0) ? null : filter,
            Order = Order(request),
        };
    }

    // etcd sorts by another field than the key only if an order is asked for too, upwards if it is none.
    private static RangeOrder Order(Wire.RangeRequest request) => new(request.SortTarget switch
    {
        Wire.RangeRequest.Types.SortTarget.Version => SortField.Version,
        Wire.RangeRequest.Types.SortTarget.Create => SortField.Create,
        Wire.RangeRequest.Types.SortTarget.Mod => SortField.Mod,
        Wire.RangeRequest.Types.SortTarget.Value => SortField.Value,
        _ => SortField.Key,
    }, request.SortOrder == Wire.RangeRequest.Types.SortOrder.Descend);

    public static PutOperation Operation(Wire.PutRequest request)
    {
        if (request.IgnoreValue && !request.Value.IsEmpty)
            throw EtcdErrors.Rpc(StatusCode.InvalidArgument, EtcdErrors.ValueProvided);
        if (request.IgnoreLease && request.Lease != 0)
            throw EtcdErrors.Rpc(StatusCode.InvalidArgument, EtcdErrors.LeaseProvided);
        return new PutOperation(request.Key.ToByteArray(), request.Value.ToByteArray())
        {
            Lease = request.Lease,
            WithPrevious = request.PrevKv,
            KeepValue = request.IgnoreValue,
            KeepLease = request.IgnoreLease,
        };
    }

    public static DeleteOperation Operation(Wire.DeleteRangeRequest request) =>
        new(Range(request.Key, request.RangeEnd)) { WithPrevious = request.PrevKv };

    public static TransactionOperation Operation(Wire.TxnRequest request) => new(
        [.. request.Compare.Select(Compare)],
        [.. request.Success.Select(Operation)],
        [.. request.Failure.Select(Operation)]);

    private static StoreCompare Compare(Wire.Compare compare) => new(Range(compare.Key, compare.RangeEnd),
        compare.Target switch
        {
            Wire.Compare.Types.CompareTarget.Version => CompareField.Version,
            Wire.Compare.Types.CompareTarget.Create => CompareField.Create,
            Wire.Compare.Types.CompareTarget.Mod => CompareField.Mod,
            Wire.Compare.Types.CompareTarget.Lease => CompareField.Lease,
            _ => CompareField.Value,
        },
        compare.Result switch
        {
            Wire.Compare.Types.CompareResult.Equal => CompareRelation.Equal,
            Wire.Compare.Types.CompareResult.Greater => CompareRelation.Greater,
            Wire.Compare.Types.CompareResult.Less => CompareRelation.Less,
            _ => CompareRelation.NotEqual,
        })
    {
        Number = compare.TargetUnionCase switch
        {
            Wire.Compare.TargetUnionOneofCase.Version => compare.Version,
            Wire.Compare.TargetUnionOneofCase.CreateRevision => compare.CreateRevision,
            Wire.Compare.TargetUnionOneofCase.ModRevision => compare.ModRevision,
            Wire.Compare.TargetUnionOneofCase.Lease => compare.Lease,
            _ => 0,
        },
        Value = compare.TargetUnionCase == Wire.Compare.TargetUnionOneofCase.Value ? compare.Value.ToByteArray() : [],
    };

    public static KeyRange Range(ByteString key, ByteString end) => new(key.ToByteArray(), end.ToByteArray());

    public static Wire.RangeResponse Response(RangeResult result, Wire.ResponseHeader? header)
    {
        var response = new Wire.RangeResponse { Header = header, More = result.More, Count = result.Count };
        response.Kvs.AddRange(result.Keys.Select(Key));
        return response;
    }

    public static Wire.PutResponse Response(PutResult result, Wire.ResponseHeader? header) =>
        new() { Header = header, PrevKv = result.Previous is { } previous ? Key(previous) : null };

    public static Wire.DeleteRangeResponse Response(DeleteResult result, Wire.ResponseHeader? header)
    {
        var response = new Wire.DeleteRangeResponse { Header = header, Deleted = result.Deleted };
        response.PrevKvs.AddRange(result.Previous.Select(Key));
        return response;
    }

    public static Wire.TxnResponse Response(TransactionOutcome outcome, Wire.ResponseHeader? header)
    {
        var response = new Wire.TxnResponse { Header = header, Succeeded = outcome.Succeeded };
        // In here etcd leaves headers empty but for the revision.
        var inner = header is null ? null : new Wire.ResponseHeader { Revision = header.Revision };
        response.Responses.AddRange(outcome.Results.Select(r => Response(r, inner)));
        return response;
    }

    private static Wire.ResponseOp Response(StoreResult result, Wire.ResponseHeader? header) => result switch
    {
        RangeResult range => new() { ResponseRange = Response(range, header) },
        PutResult put => new() { ResponsePut = Response(put, header) },
        DeleteResult delete => new() { ResponseDeleteRange = Response(delete, header) },
        TransactionOutcome transaction => new() { ResponseTxn = Response(transaction, header) },
        _ => throw new InvalidOperationException($"Unknown result {result.GetType()}"),
    };

    public static Wire.Event Event(StoreEvent change, bool withPrevious) => new()
    {
        Type = change.IsDelete ? Wire.Event.Types.EventType.Delete : Wire.Event.Types.EventType.Put,
        Kv = change.IsDelete
            ? new Wire.KeyValue { Key = Wrap(change.Key.Key), ModRevision = change.Key.Mod }
            : Key(change.Key),
        PrevKv = withPrevious && change.Previous is { } previous ? Key(previous) : null,
    };

    public static Wire.KeyValue Key(StoredKey key) => new()
    {
        Key = Wrap(key.Key),
        Value = Wrap(key.Value),
        CreateRevision = key.Create,
        ModRevision = key.Mod,
        Version = key.Version,
        Lease = key.Lease,
    };

    // The store never changes an array that it has given out.
    public static ByteString Wrap(ReadOnlyMemory<byte> bytes) => UnsafeByteOperations.UnsafeWrap(bytes);
}

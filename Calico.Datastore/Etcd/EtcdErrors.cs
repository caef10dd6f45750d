using Calico.Datastore.Embedded;
using Grpc.Core;

namespace Calico.Datastore.Etcd;

/// <summary>
/// The status codes and words of etcd's own errors. Clients tell them apart by the words (rpctypes in etcd's client), so
/// these are part of the protocol.
/// </summary>
internal static class EtcdErrors
{
    public const string Compacted = "etcdserver: mvcc: required revision has been compacted";
    public const string FutureRevision = "etcdserver: mvcc: required revision is a future revision";
    public const string NoSpace = "etcdserver: mvcc: database space exceeded";
    public const string EmptyKey = "etcdserver: key is not provided";
    public const string KeyNotFound = "etcdserver: key not found";
    public const string ValueProvided = "etcdserver: value is provided";
    public const string LeaseProvided = "etcdserver: lease is provided";
    public const string DuplicateKey = "etcdserver: duplicate key given in txn request";
    public const string TooManyOperations = "etcdserver: too many operations in txn request";
    public const string TooLarge = "etcdserver: request is too large";
    public const string TooManyRequests = "etcdserver: too many requests";
    public const string LeaseNotFound = "etcdserver: requested lease not found";
    public const string LeaseExists = "etcdserver: lease already exists";
    public const string LeaseTooLong = "etcdserver: too large lease TTL";
    public const string AuthenticationFailed = "etcdserver: authentication failed, invalid user ID or password";
    public const string AuthenticationNotEnabled = "etcdserver: authentication is not enabled";
    public const string InvalidToken = "etcdserver: invalid auth token";
    public const string OldAuthRevision = "etcdserver: revision of auth store is old";
    public const string UserEmpty = "etcdserver: user name is empty";
    public const string PermissionDenied = "etcdserver: permission denied";
    public const string ServerStopped = "etcdserver: server stopped";

    public static RpcException ToRpcException(StoreException e) => e.Error switch
    {
        StoreError.Compacted => Rpc(StatusCode.OutOfRange, Compacted),
        StoreError.FutureRevision => Rpc(StatusCode.OutOfRange, FutureRevision),
        StoreError.KeyNotFound => Rpc(StatusCode.InvalidArgument, KeyNotFound),
        StoreError.DuplicateKey => Rpc(StatusCode.InvalidArgument, DuplicateKey),
        StoreError.EmptyKey => Rpc(StatusCode.InvalidArgument, EmptyKey),
        StoreError.TooLarge => Rpc(StatusCode.InvalidArgument, TooLarge),
        StoreError.TooManyOperations => Rpc(StatusCode.InvalidArgument, TooManyOperations),
        StoreError.LeaseNotFound => Rpc(StatusCode.NotFound, LeaseNotFound),
        StoreError.LeaseExists => Rpc(StatusCode.FailedPrecondition, LeaseExists),
        StoreError.LeaseTooLong => Rpc(StatusCode.OutOfRange, LeaseTooLong),
        _ => Rpc(StatusCode.Unknown, e.Message),
    };

    public static RpcException ToRpcException(DatastoreException e) => e.Fault switch
    {
        DatastoreFault.Exhausted => Rpc(StatusCode.ResourceExhausted, NoSpace),
        DatastoreFault.Denied => Rpc(StatusCode.PermissionDenied, PermissionDenied),
        DatastoreFault.Invalid => Rpc(StatusCode.InvalidArgument, e.Message),
        _ => Rpc(StatusCode.Unavailable, e.Message),
    };

    public static RpcException Rpc(StatusCode code, string detail) => new(new Status(code, detail));
}

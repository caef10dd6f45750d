using System.Security.Authentication;
using Grpc.Core;

namespace Calico.Datastore.Etcd;

/// <summary>What a failed call means for the caller.</summary>
internal enum Verdict
{
    /// <summary>The server has refused it: the same call fails again.</summary>
    Refused,

    /// <summary>It was not carried out for sure: any call may be tried again.</summary>
    NotDone,

    /// <summary>It was not carried out, and without a change of certificates will not be.</summary>
    NotTrusted,

    /// <summary>It was not carried out because the token has run out.</summary>
    StaleToken,

    /// <summary>The answer would be larger than what is accepted.</summary>
    AnswerTooLarge,

    /// <summary>It may have been carried out: only reads may be tried again.</summary>
    Unknown,
}

internal static class EtcdFailure
{
    public static Verdict Judge(RpcException e)
    {
        // A handshake that broke off for another reason than trust is a server that goes down or comes up.
        if (Find<AuthenticationException>(e) is not null)
            return Verdict.NotTrusted;
        if (Find<NotConnectedException>(e) is not null || Find<HttpRequestException>(e) is
            { HttpRequestError: HttpRequestError.ConnectionError or HttpRequestError.SecureConnectionError or HttpRequestError.NameResolutionError })
        {
            return Verdict.NotDone;
        }
        return e.StatusCode switch
        {
            StatusCode.Unauthenticated => Verdict.StaleToken,
            StatusCode.InvalidArgument when e.Status.Detail is EtcdErrors.OldAuthRevision or EtcdErrors.UserEmpty => Verdict.StaleToken,
            StatusCode.ResourceExhausted when e.Status.Detail.StartsWith("Received message exceeds", StringComparison.Ordinal) =>
                Verdict.AnswerTooLarge,
            StatusCode.ResourceExhausted when e.Status.Detail == EtcdErrors.TooManyRequests => Verdict.NotDone,
            StatusCode.InvalidArgument or StatusCode.OutOfRange or StatusCode.NotFound or StatusCode.FailedPrecondition
                or StatusCode.AlreadyExists or StatusCode.PermissionDenied or StatusCode.ResourceExhausted
                or StatusCode.Unimplemented => Verdict.Refused,
            _ => Verdict.Unknown,
        };
    }

    public static DatastoreFault Fault(Status status) => (status.StatusCode, status.Detail) switch
    {
        (_, EtcdErrors.Compacted) => DatastoreFault.Compacted,
        (_, EtcdErrors.NoSpace) => DatastoreFault.Exhausted,
        (_, EtcdErrors.AuthenticationFailed) => DatastoreFault.Denied,
        (StatusCode.PermissionDenied or StatusCode.Unauthenticated, _) => DatastoreFault.Denied,
        (_, EtcdErrors.UserEmpty or EtcdErrors.InvalidToken) => DatastoreFault.Denied,
        (StatusCode.InvalidArgument or StatusCode.OutOfRange or StatusCode.NotFound or StatusCode.FailedPrecondition
            or StatusCode.AlreadyExists or StatusCode.ResourceExhausted or StatusCode.Unimplemented, _) => DatastoreFault.Invalid,
        _ => DatastoreFault.Unavailable,
    };

    /// <summary>The shortest true thing to say about it.</summary>
    public static string Reason(RpcException e) =>
        Find<NotConnectedException>(e)?.Message ?? Find<AuthenticationException>(e)?.Message ?? $"{e.StatusCode}: {e.Status.Detail}";

    private static T? Find<T>(Exception e)
        where T : Exception
    {
        for (Exception? inner = e; inner is not null; inner = inner.InnerException ?? (inner as RpcException)?.Status.DebugException)
        {
            if (inner is T found)
                return found;
        }
        return null;
    }
}

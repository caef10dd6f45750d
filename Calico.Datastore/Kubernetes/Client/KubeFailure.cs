using System.Net;
using System.Security.Authentication;
using System.Text.Json;
using Calico.Datastore.Etcd;

namespace Calico.Datastore.Kubernetes.Client;

/// <summary>What a failed try means for the next one.</summary>
internal enum KubeVerdict
{
    /// <summary>An answer: the caller decides.</summary>
    Answered,

    /// <summary>It was not carried out for sure: any request may be tried again.</summary>
    NotDone,

    /// <summary>It may have been carried out: only reads may be tried again.</summary>
    Unknown,

    /// <summary>The token was refused: it may have been replaced.</summary>
    StaleToken,

    /// <summary>The same request fails again.</summary>
    Refused,
}

/// <summary>The caller's time was up between two tries; the message is why the last one failed.</summary>
internal sealed class CutOffException(string problem, Exception cause, CancellationToken cancellation) : OperationCanceledException(problem, cause, cancellation);

internal static class KubeFailure
{
    public static KubeVerdict Judge(Exception e)
    {
        if (Find<AuthenticationException>(e) is not null)
            return KubeVerdict.Refused;
        if (Find<NotConnectedException>(e) is not null || Find<HttpRequestException>(e) is
            { HttpRequestError: HttpRequestError.ConnectionError or HttpRequestError.SecureConnectionError or HttpRequestError.NameResolutionError })
        {
            return KubeVerdict.NotDone;
        }
        return KubeVerdict.Unknown;
    }

    public static KubeVerdict Judge(HttpStatusCode status, string problem) => (int)status switch
    {
        200 or 201 or 202 or 404 or 409 or 410 => KubeVerdict.Answered,
        401 => KubeVerdict.StaleToken,
        429 => KubeVerdict.NotDone,
        500 when IsTooLarge(problem) || IsFull(problem) || IsOfTheFuture(problem) => KubeVerdict.Refused,
        >= 500 => KubeVerdict.Unknown,
        _ => KubeVerdict.Refused,
    };

    public static DatastoreFault Fault(int status, string problem) => status switch
    {
        401 or 403 => DatastoreFault.Denied,
        410 => DatastoreFault.Compacted,
        _ when IsFull(problem) => DatastoreFault.Exhausted,
        500 when IsTooLarge(problem) || IsOfTheFuture(problem) => DatastoreFault.Invalid,
        408 or 429 or >= 500 => DatastoreFault.Unavailable,
        _ => DatastoreFault.Invalid,
    };

    /// <summary>What the server says of a refusal, in its own words.</summary>
    public static string Problem(int status, JsonElement body, string text)
    {
        var message = body.ValueKind == JsonValueKind.Object ? KubeItem.Text(body, "message") : null;
        if (string.IsNullOrEmpty(message))
            message = text.Length > 200 ? text[..200] : text.Trim();
        return message.Length == 0 ? $"HTTP status {status}" : $"{message} (HTTP status {status})";
    }

    /// <summary>The shortest true thing to say about it.</summary>
    public static string Reason(Exception e) => Find<NotConnectedException>(e)?.Message ?? Find<AuthenticationException>(e)?.Message
        ?? (e is OperationCanceledException ? "no answer in time" : e.InnerException?.Message ?? e.Message);

    private static bool IsTooLarge(string problem) => problem.Contains("request is too large", StringComparison.Ordinal)
        || problem.Contains("larger than max", StringComparison.Ordinal);

    private static bool IsFull(string problem) => problem.Contains("database space exceeded", StringComparison.Ordinal);

    private static bool IsOfTheFuture(string problem) => problem.Contains("future revision", StringComparison.Ordinal);

    private static T? Find<T>(Exception e)
        where T : Exception
    {
        for (Exception? inner = e; inner is not null; inner = inner.InnerException)
        {
            if (inner is T found)
                return found;
        }
        return null;
    }
}

using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;

namespace Calico.Datastore.Kubernetes.Client;

/// <summary>
/// Carries single requests out: credentials, deadline, retries.
/// <code>
///   not connected, 429              nothing happened        wait (Retry-After), any request
///   broken off, timed out, 5xx      nobody knows            wait, reads; of a write the caller is told (status 0)
///   401                             stale token             once more with the token read anew
///   404, 409, 410                   an answer               to the caller
///   403 and the rest                refused                 DatastoreException
/// </code>
/// </summary>
internal sealed class KubeClient(KubernetesOptions options) : IDisposable
{
    private const int MaxErrorBytes = 64 << 10;

    private readonly KubeTransport _transport = new(options);
    private long _clockDifference;

    public KubernetesOptions Options => options;

    /// <summary>The server's clock, to a second or so, as its last answer told it.</summary>
    public DateTimeOffset ServerTime => options.Time.GetUtcNow() + TimeSpan.FromTicks(Volatile.Read(ref _clockDifference));

    /// <summary>Waits before a further try; less than all of it at random, so that clients that failed together part.</summary>
    public Task BackOffAsync(int failures, CancellationToken cancellation, TimeSpan atLeast = default, TimeSpan? atMost = null)
    {
        var doubled = options.Backoff * Math.Pow(2, Math.Min(failures, 16));
        var wait = doubled < options.MaxBackoff ? doubled : options.MaxBackoff;
        wait = atLeast + wait * (0.5 + Random.Shared.NextDouble() / 2);
        return Task.Delay(wait < atMost ? wait : atMost ?? wait, options.Time, cancellation);
    }

    /// <exception cref="DatastoreException">Refused, or no answer until the time was up.</exception>
    /// <exception cref="AnswerTooLargeException">The answer is larger than what is accepted.</exception>
    public async Task<KubeAnswer> SendAsync(KubeRequest request, CancellationToken cancellation)
    {
        var body = request.Body is null ? null : JsonForms.Bytes(request.Body);
        var started = options.Time.GetTimestamp();
        var refreshed = false;
        string? lastRefusal = null;
        for (var failures = 0; ; failures++)
        {
            KubeVerdict verdict;
            KubeAnswer? answer = null;
            Exception? cause = null;
            var retryAfter = TimeSpan.Zero;
            var left = options.RequestTimeout - options.Time.GetElapsedTime(started);
            using var limit = new CancellationTokenSource(left > TimeSpan.Zero ? left : TimeSpan.Zero, options.Time);
            using var time = CancellationTokenSource.CreateLinkedTokenSource(cancellation, limit.Token);
            try
            {
                using var message = _transport.Message(request.Method, request.Path);
                if (body is not null)
                    message.Content = new ByteArrayContent(body) { Headers = { ContentType = new MediaTypeHeaderValue(request.ContentType) } };
                using var response = await _transport.Calls.SendAsync(message, time.Token);
                Note(response);
                (answer, verdict) = await ReadAsync(response, time.Token);
                retryAfter = RetryAfter(response);
            }
            catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException or JsonException)
            {
                if (cancellation.IsCancellationRequested)
                    throw CutOff(lastRefusal, e, cancellation);
                cause = e;
                verdict = KubeFailure.Judge(e);
            }

            if (verdict == KubeVerdict.Answered)
                return answer!;
            if (verdict == KubeVerdict.StaleToken && options.TokenFile is not null && !refreshed)
            {
                refreshed = true;
                _transport.ForgetToken();
                continue;
            }
            // What the server said last tells more than that the time ran out over the next try.
            lastRefusal = answer?.Problem ?? lastRefusal;
            var problem = cause is OperationCanceledException && lastRefusal is not null ? lastRefusal : answer?.Problem ?? KubeFailure.Reason(cause!);
            if (verdict == KubeVerdict.Unknown && !request.IsRead)
                return new KubeAnswer(0, default, $"{Subject(request)}: {problem}; it may or may not have been carried out");
            left = options.RequestTimeout - options.Time.GetElapsedTime(started);
            var isOver = retryAfter >= left;
            if (verdict is KubeVerdict.Refused or KubeVerdict.StaleToken || isOver)
                throw Failed(request, answer, cause, problem, failures + 1, started);
            try
            {
                await BackOffAsync(failures, cancellation, retryAfter, left);
            }
            catch (OperationCanceledException e)
            {
                throw CutOff(problem, e, cancellation);
            }
        }
    }

    // Whoever set the limit tells the user; what the server said last belongs into it.
    private static OperationCanceledException CutOff(string? lastRefusal, Exception e, CancellationToken cancellation) =>
        lastRefusal is null ? new OperationCanceledException(cancellation) : new CutOffException(lastRefusal, e, cancellation);

    private DatastoreException Failed(KubeRequest request, KubeAnswer? answer, Exception? cause, string problem, int tries, long started)
    {
        var fault = answer is not null ? KubeFailure.Fault(answer.Status, problem)
            : KubeFailure.Judge(cause!) == KubeVerdict.Refused ? DatastoreFault.Denied
            : DatastoreFault.Unavailable;
        var elapsed = options.Time.GetElapsedTime(started);
        var tried = fault == DatastoreFault.Unavailable
            ? string.Create(CultureInfo.InvariantCulture, $" ({tries} tries in {elapsed.TotalSeconds:f1} s)")
            : "";
        var advice = fault == DatastoreFault.Denied && answer is not null ? "; the account in use needs this verb on this resource" : "";
        return new DatastoreException(fault, $"{Subject(request)}: {problem}{tried}{advice}", cause);
    }

    /// <summary>Turns an answer that the caller has no use for into what it means.</summary>
    public DatastoreException Unexpected(KubeRequest request, KubeAnswer answer) => answer.IsUnknown
        ? new DatastoreException(DatastoreFault.Unavailable, answer.Problem)
        : answer.IsUnserved
            ? new DatastoreException(DatastoreFault.Invalid,
                $"{Subject(request)}: the API serves no {request.Resource.FullName} in version {request.Resource.Version}; install deploy/crds")
            : new DatastoreException(KubeFailure.Fault(answer.Status, answer.Problem), $"{Subject(request)}: {answer.Problem}");

    private string Subject(KubeRequest request) => $"kubernetes {options.Endpoint}: {request}";

    /// <summary>Any path outside of the resources, such as discovery; null if it is not there.</summary>
    public async Task<JsonElement?> ReadPathAsync(string path, CancellationToken cancellation)
    {
        var answer = await SendAsync(KubeRequest.At(path), cancellation);
        return answer.IsSuccess ? answer.Body : null;
    }

    /// <summary>Opens a watch: its answer, of which only the head is read.</summary>
    public async Task<HttpResponseMessage> OpenAsync(KubeRequest request, CancellationToken cancellation)
    {
        using var message = _transport.Message(request.Method, request.Path);
        var response = await _transport.Watches.SendAsync(message, cancellation);
        Note(response);
        return response;
    }

    public void ForgetToken() => _transport.ForgetToken();

    public async Task<(KubeAnswer Answer, KubeVerdict Verdict)> ReadAsync(HttpResponseMessage response, CancellationToken cancellation)
    {
        var status = (int)response.StatusCode;
        var isJson = response.Content.Headers.ContentType?.MediaType == "application/json";
        var limit = response.IsSuccessStatusCode ? options.MaxAnswerBytes : MaxErrorBytes;
        await using var stream = new BoundedStream(await response.Content.ReadAsStreamAsync(cancellation), limit);
        JsonElement body = default;
        var text = "";
        if (isJson)
        {
            using var document = await JsonDocument.ParseAsync(stream, cancellationToken: cancellation);
            body = document.RootElement.Clone();
        }
        else
        {
            using var reader = new StreamReader(stream);
            text = await reader.ReadToEndAsync(cancellation);
        }
        var problem = response.IsSuccessStatusCode ? "" : KubeFailure.Problem(status, body, text);
        if (response.IsSuccessStatusCode && !isJson)
            return (new KubeAnswer(status, body, "the answer is not JSON; is this a Kubernetes API server?"), KubeVerdict.Refused);
        return (new KubeAnswer(status, body, problem), KubeFailure.Judge(response.StatusCode, problem));
    }

    private void Note(HttpResponseMessage response)
    {
        if (response.Headers.Date is { } date)
            Volatile.Write(ref _clockDifference, (date - options.Time.GetUtcNow()).Ticks);
    }

    private static TimeSpan RetryAfter(HttpResponseMessage response)
    {
        if (response.StatusCode is not (HttpStatusCode.TooManyRequests or HttpStatusCode.ServiceUnavailable))
            return TimeSpan.Zero;
        var wait = response.Headers.RetryAfter?.Delta ?? TimeSpan.Zero;
        return wait < TimeSpan.Zero ? TimeSpan.Zero : wait;
    }

    public void Dispose() => _transport.Dispose();
}

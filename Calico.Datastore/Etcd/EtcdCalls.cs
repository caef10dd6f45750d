using Grpc.Core;

namespace Calico.Datastore.Etcd;

/// <summary>
/// Carries single calls out: token, deadline, fail-over and retries.
/// <code>
///   not connected, too busy, stale token    nothing happened       next endpoint, any call
///   broken off, timed out                   nobody knows           next endpoint, reads only
///   refused                                 the answer is no       to the caller
/// </code>
/// </summary>
internal sealed class EtcdCalls(EtcdOptions options, EtcdEndpoints endpoints) : IDisposable
{
    private const int MaxTokenTries = 2;

    private readonly SemaphoreSlim _authenticating = new(1);
    private string? _token;

    /// <summary>Waits between tries; also used by watches.</summary>
    public Task BackOffAsync(int failures, CancellationToken cancellation)
    {
        var doubled = options.Backoff * Math.Pow(2, Math.Min(failures, 16));
        var wait = doubled < options.MaxBackoff ? doubled : options.MaxBackoff;
        // Between half and all of it, so that clients that failed together do not come back together.
        return Task.Delay(wait * (0.5 + Random.Shared.NextDouble() / 2), options.Time, cancellation);
    }

    /// <param name="what">For the message: what was tried, on what.</param>
    /// <param name="repeatable">Whether carrying it out twice does no harm.</param>
    /// <exception cref="DatastoreException"/>
    /// <exception cref="RpcException">Only with <see cref="Verdict.AnswerTooLarge"/>.</exception>
    public async Task<T> RunAsync<T>(string what, bool repeatable,
        Func<EtcdEndpoint, CallOptions, AsyncUnaryCall<T>> call, CancellationToken cancellation)
    {
        var started = options.Time.GetTimestamp();
        var tokenTries = 0;
        var causes = new Dictionary<string, RpcException>();
        for (var failures = 0; ; failures++)
        {
            var endpoint = endpoints.Current;
            RpcException failure;
            var tracking = SentTracking.Begin();
            try
            {
                var headers = await HeadersAsync(endpoint, started, cancellation);
                tracking = SentTracking.Begin();
                return await call(endpoint, Options(headers, started, repeatable, cancellation));
            }
            catch (RpcException e)
            {
                cancellation.ThrowIfCancellationRequested();
                failure = e;
            }

            var verdict = EtcdFailure.Judge(failure);
            if (verdict == Verdict.Unknown && !tracking.Sent)
                verdict = Verdict.NotDone;
            // That time is up says less than what it was spent on.
            if (failure.StatusCode != StatusCode.DeadlineExceeded || !causes.ContainsKey(endpoint.Url))
                causes[endpoint.Url] = failure;
            if (verdict == Verdict.AnswerTooLarge)
                throw failure;
            if (verdict == Verdict.StaleToken && options.Username is not null && ++tokenTries <= MaxTokenTries)
            {
                Volatile.Write(ref _token, null);
                continue;
            }
            if (verdict is not (Verdict.Refused or Verdict.StaleToken))
                endpoints.Failed(endpoint);
            var again = verdict switch
            {
                Verdict.NotDone => true,
                Verdict.NotTrusted => failures + 1 < endpoints.Count,
                Verdict.Unknown => repeatable,
                _ => false,
            };
            if (!again || options.Time.GetElapsedTime(started) >= options.RequestTimeout)
                throw Give(up: causes, verdict, what, repeatable, endpoint, failures + 1, started);
            // Each endpoint gets its first chance at once.
            if ((failures + 1) % endpoints.Count == 0)
                await BackOffAsync(failures / endpoints.Count, cancellation);
        }
    }

    private DatastoreException Give(Dictionary<string, RpcException> up, Verdict verdict, string what, bool repeatable, EtcdEndpoint endpoint,
        int tries, long started)
    {
        var fault = verdict switch
        {
            Verdict.NotTrusted or Verdict.StaleToken => DatastoreFault.Denied,
            Verdict.NotDone or Verdict.Unknown => DatastoreFault.Unavailable,
            _ => EtcdFailure.Fault(up[endpoint.Url].Status),
        };
        var elapsed = options.Time.GetElapsedTime(started);
        var tried = fault == DatastoreFault.Unavailable ? $" ({tries} tries in {elapsed.TotalSeconds:f1} s)" : "";
        var outcome = verdict == Verdict.Unknown && !repeatable ? "; it may or may not have been carried out" : "";
        // Where nobody answers, each endpoint may have a reason of its own.
        var reason = fault == DatastoreFault.Unavailable && up.Count > 1
            ? $"etcd: {what}: {string.Join("; ", up.OrderBy(u => u.Key, StringComparer.Ordinal).Select(u => $"{u.Key}: {EtcdFailure.Reason(u.Value)}"))}"
            : $"etcd {endpoint.Url}: {what}: {EtcdFailure.Reason(up[endpoint.Url])}";
        return new DatastoreException(fault, $"{reason}{tried}{outcome}", up[endpoint.Url]);
    }

    private CallOptions Options(Metadata headers, long started, bool repeatable, CancellationToken cancellation)
    {
        var left = options.RequestTimeout - options.Time.GetElapsedTime(started);
        // A read on a member that hangs leaves time for another one.
        if (repeatable && endpoints.Count > 1 && left > options.RequestTimeout / 3)
            left = options.RequestTimeout / 3;
        return new CallOptions(headers, (options.Time.GetUtcNow() + left).UtcDateTime, cancellation);
    }

    /// <summary>The token, if the store wants one.</summary>
    public Task<Metadata> HeadersAsync(EtcdEndpoint endpoint, CancellationToken cancellation) =>
        HeadersAsync(endpoint, options.Time.GetTimestamp(), cancellation);

    private async Task<Metadata> HeadersAsync(EtcdEndpoint endpoint, long started, CancellationToken cancellation)
    {
        if (options.Username is null || options.Password is null)
            return [];
        var token = Volatile.Read(ref _token);
        if (token is null)
        {
            await _authenticating.WaitAsync(cancellation);
            try
            {
                token = Volatile.Read(ref _token) ?? await AuthenticateAsync(endpoint, started, cancellation);
                Volatile.Write(ref _token, token);
            }
            finally
            {
                _authenticating.Release();
            }
        }
        return token.Length == 0 ? [] : new Metadata { { TokenInterceptor.Metadata, token } };
    }

    public void ForgetToken() => Volatile.Write(ref _token, null);

    private async Task<string> AuthenticateAsync(EtcdEndpoint endpoint, long started, CancellationToken cancellation)
    {
        try
        {
            var answer = await endpoint.Auth.AuthenticateAsync(
                new Wire.AuthenticateRequest { Name = options.Username, Password = options.Password },
                Options([], started, repeatable: true, cancellation));
            return answer.Token;
        }
        catch (RpcException e) when (e.Status.Detail == EtcdErrors.AuthenticationNotEnabled)
        {
            // The store asks nobody who they are; as etcd's own client does, go on without.
            return "";
        }
    }

    public void Dispose() => _authenticating.Dispose();
}

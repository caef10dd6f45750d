namespace Calico.Tests.Datastore.Kubernetes.Fake;

/// <summary>
/// A client that dies: after so many requests nothing of it reaches the server any more. The last one may still be carried
/// out, with nobody left to hear of it.
/// </summary>
internal sealed class DyingHandler(HttpMessageHandler inner, int requests, bool isLastCarriedOut) : DelegatingHandler(inner)
{
    private int _sent;

    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        var number = Interlocked.Increment(ref _sent);
        if (number <= requests)
            return await base.SendAsync(request, cancellationToken);
        if (number == requests + 1 && isLastCarriedOut)
            (await base.SendAsync(request, cancellationToken)).Dispose();
        throw new HttpRequestException(HttpRequestError.ResponseEnded, "the process is gone");
    }
}

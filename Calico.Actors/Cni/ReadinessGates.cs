using System.Collections.Immutable;
using Calico.Core.Cni;

namespace Calico.Actors.Cni;

/// <summary>The URLs of <c>readiness_gates</c>: an ADD waits until each has answered with success, half a minute at most.</summary>
internal static class ReadinessGates
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(5);

#pragma warning disable CA5359 // The endpoints are the node's own and have certificates that nobody could check; nothing is sent to them
    private static readonly HttpClient Client = new(new SocketsHttpHandler
    {
        SslOptions = new System.Net.Security.SslClientAuthenticationOptions { RemoteCertificateValidationCallback = (_, _, _, _) => true },
        PooledConnectionLifetime = TimeSpan.FromMinutes(1),
    })
    { Timeout = Pause };
#pragma warning restore CA5359

    /// <exception cref="CniCallException">One of them is not ready.</exception>
    public static async Task WaitAsync(ImmutableArray<string> urls, TimeProvider time)
    {
        var start = time.GetTimestamp();
        foreach (var url in urls)
        {
            if (!Uri.TryCreate(url, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https"))
                throw CniSteps.Failure(CniErrorCode.InvalidConfig, $"'{url}' in readiness_gates is no http or https URL");
            while (await ProblemAsync(uri) is { } problem)
            {
                if (time.GetElapsedTime(start) + Pause > Patience)
                    throw CniSteps.Failure(CniErrorCode.TryAgainLater, $"the readiness gate {url} is not open: {problem}");
                await Task.Delay(Pause, time);
            }
        }
    }

    private static async Task<string?> ProblemAsync(Uri uri)
    {
        try
        {
            using var answer = await Client.GetAsync(uri, HttpCompletionOption.ResponseHeadersRead);
            return answer.IsSuccessStatusCode ? null : $"it answers {(int)answer.StatusCode}";
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException)
        {
            return e.Message;
        }
    }
}

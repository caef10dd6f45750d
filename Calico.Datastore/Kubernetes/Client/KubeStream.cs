using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Calico.Datastore.Kubernetes.Client;

internal enum KubeChangeType
{
    Added,
    Modified,
    Deleted,

    /// <summary>Nothing happened up to this revision.</summary>
    Bookmark,
}

/// <summary>One event of a watch: the object as it is now, or as it was before it was deleted.</summary>
internal readonly record struct KubeChange(KubeChangeType Type, KubeItem Item, long Revision);

/// <summary>What is watched of a resource.</summary>
internal readonly record struct KubeScope(string? Namespace = null, string? LabelSelector = null, string? Name = null)
{
    public string Query => (LabelSelector is null ? "" : "&labelSelector=" + Uri.EscapeDataString(LabelSelector))
        + (Name is null ? "" : "&fieldSelector=" + Uri.EscapeDataString("metadata.name=" + Name));
}

/// <summary>
/// The watch of one resource, over as many connections as it takes. It knows the last revision from events and bookmarks
/// and resumes there; a revision that the server no longer has ends it.
/// </summary>
internal sealed class KubeStream(KubeClient client, KubeResource resource, KubeScope scope, long after) : IAsyncDisposable
{
    private const int MaxLine = 16 << 20;
    private const int ServerTimeoutSeconds = 300;
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(30);

    private readonly ILogger _log = client.Options.Logging?.CreateLogger<KubeStream>() ?? NullLogger<KubeStream>.Instance;
    private readonly KubeRequest _request = new(KubeVerb.Watch, resource, scope.Namespace, null);
    private HttpResponseMessage? _response;
    private LineReader? _lines;
    private int _failures;
    private bool _tokenRenewed;

    /// <summary>Everything up to here was told.</summary>
    public long Revision { get; private set; } = after;

    /// <exception cref="DatastoreException">Compacted, Denied or Invalid: the watch is over.</exception>
    public async Task<KubeChange> ReadAsync(CancellationToken cancellation)
    {
        while (true)
        {
            try
            {
                if (_lines is null)
                    await OpenAsync(cancellation);
                var line = await ReadLineAsync(cancellation);
                if (line is null)
                    // The server ends every watch after a while.
                    Close();
                else if (Take(line.Value) is { } change)
                    return change;
            }
            catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException or JsonException)
            {
                cancellation.ThrowIfCancellationRequested();
                if (KubeFailure.Judge(e) == KubeVerdict.Refused)
                    throw new DatastoreException(DatastoreFault.Denied, $"kubernetes {client.Options.Endpoint}: {_request}: {KubeFailure.Reason(e)}", e);
                await LoseAsync(KubeFailure.Reason(e), TimeSpan.Zero, cancellation);
            }
        }
    }

    private async Task OpenAsync(CancellationToken cancellation)
    {
        // Spread, so that the watches of many clients do not all end at once.
        var seconds = ServerTimeoutSeconds + Random.Shared.Next(60);
        var request = _request with
        {
            Query = string.Create(CultureInfo.InvariantCulture,
                $"watch=1&allowWatchBookmarks=true&resourceVersion={Revision}&timeoutSeconds={seconds}{scope.Query}"),
        };
        // Until the server has answered there is a deadline; afterwards bookmarks and keep-alive watch over it.
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(client.Options.RequestTimeout);
        _response = await client.OpenAsync(request, patience.Token);
        if (!_response.IsSuccessStatusCode)
        {
            var (answer, verdict) = await client.ReadAsync(_response, patience.Token);
            var retryAfter = _response.Headers.RetryAfter?.Delta ?? TimeSpan.Zero;
            Close();
            if (verdict == KubeVerdict.StaleToken && client.Options.TokenFile is not null && !_tokenRenewed)
            {
                _tokenRenewed = true;
                client.ForgetToken();
                return;
            }
            if (verdict is KubeVerdict.NotDone or KubeVerdict.Unknown)
            {
                await LoseAsync(answer.Problem, retryAfter, cancellation);
                return;
            }
            throw answer.IsGone ? Compacted(answer.Problem) : client.Unexpected(request, answer);
        }
        _lines = new LineReader(await _response.Content.ReadAsStreamAsync(cancellation), MaxLine);
        _tokenRenewed = false;
        if (_failures > 0 && _log.IsEnabled(LogLevel.Information))
            _log.LogInformation("watch {Resource} resumed at revision {Revision}", resource.FullName, Revision);
        _failures = 0;
    }

    private async Task<ReadOnlyMemory<byte>?> ReadLineAsync(CancellationToken cancellation)
    {
        if (_lines is null)
            return null;
        // A server that neither tells anything nor ends the watch when it said it would is gone.
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(TimeSpan.FromSeconds(ServerTimeoutSeconds + 60) + Grace);
        return await _lines.ReadAsync(patience.Token);
    }

    private KubeChange? Take(ReadOnlyMemory<byte> line)
    {
        using var document = JsonDocument.Parse(line);
        var json = document.RootElement.GetProperty("object").Clone();
        var type = document.RootElement.GetProperty("type").GetString();
        if (type == "ERROR")
        {
            var problem = KubeItem.Text(json, "message") ?? "the server reported an error";
            var code = json.TryGetProperty("code", out var number) && number.TryGetInt32(out var value) ? value : 0;
            Close();
            if (code == 410)
                throw Compacted(problem);
            throw new IOException(problem);
        }
        var item = new KubeItem(json);
        Revision = Math.Max(Revision, item.Revision);
        return type switch
        {
            "ADDED" => new KubeChange(KubeChangeType.Added, item, item.Revision),
            "MODIFIED" => new KubeChange(KubeChangeType.Modified, item, item.Revision),
            "DELETED" => new KubeChange(KubeChangeType.Deleted, item, item.Revision),
            "BOOKMARK" => new KubeChange(KubeChangeType.Bookmark, item, item.Revision),
            _ => null,
        };
    }

    private DatastoreException Compacted(string problem) => new(DatastoreFault.Compacted,
        $"kubernetes {client.Options.Endpoint}: {_request} after revision {Revision}: {problem}: list again");

    private async Task LoseAsync(string reason, TimeSpan retryAfter, CancellationToken cancellation)
    {
        Close();
        if (_failures++ == 0 && _log.IsEnabled(LogLevel.Warning))
            _log.LogWarning("watch {Resource} lost: {Reason}; it resumes at revision {Revision}", resource.FullName, reason, Revision);
        await client.BackOffAsync(_failures - 1, cancellation, retryAfter);
    }

    private void Close()
    {
        _lines?.Dispose();
        _response?.Dispose();
        (_lines, _response) = (null, null);
    }

    public ValueTask DisposeAsync()
    {
        Close();
        return ValueTask.CompletedTask;
    }
}

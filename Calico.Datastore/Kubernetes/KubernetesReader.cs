using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Calico.Datastore.Kubernetes.Client;

namespace Calico.Datastore.Kubernetes;

/// <summary>Reads Kubernetes' own objects that are no keys of the datastore, such as services.</summary>
public sealed class KubernetesReader(KubernetesOptions options) : IDisposable
{
    private readonly KubeClient _client = new(options);

    /// <summary>All objects of a resource, page by page, as of one moment.</summary>
    /// <param name="group">The API group; empty for the core group.</param>
    /// <param name="version">The group's version.</param>
    /// <param name="plural">The resource, as in <c>services</c>.</param>
    /// <param name="cancellation">Stops asking.</param>
    /// <exception cref="DatastoreException">The API does not answer, or refuses.</exception>
    public async IAsyncEnumerable<JsonElement> ListAsync(string group, string version, string plural,
        [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        var resource = new KubeResource(group, version, plural, "", true);
        for (var next = ""; next is not null;)
        {
            var request = new KubeRequest(KubeVerb.List, resource, null, null)
            {
                Query = string.Create(CultureInfo.InvariantCulture, $"limit={options.PageSize}{(next.Length == 0 ? "" : "&continue=" + Uri.EscapeDataString(next))}"),
            };
            var answer = await _client.SendAsync(request, cancellation);
            if (!answer.IsSuccess)
                throw _client.Unexpected(request, answer);
            if (answer.Body.TryGetProperty("items", out var items) && items.ValueKind == JsonValueKind.Array)
            {
                foreach (var item in items.EnumerateArray())
                    yield return item;
            }
            next = KubeItem.Text(answer.Item.Metadata, "continue") is { Length: > 0 } more ? more : null;
        }
    }

    /// <summary>One object of the core group, or null if there is none.</summary>
    /// <param name="plural">The resource, as in <c>pods</c>.</param>
    /// <param name="ns">Its namespace; null for kinds that have none.</param>
    /// <param name="name">Its name.</param>
    /// <param name="cancellation">Stops asking.</param>
    /// <exception cref="DatastoreException">The API does not answer, or refuses.</exception>
    public async Task<JsonElement?> GetAsync(string plural, string? ns, string name, CancellationToken cancellation = default)
    {
        var request = KubeRequest.Get(new KubeResource("", "v1", plural, "", ns is not null), ns, name);
        var answer = await _client.SendAsync(request, cancellation);
        return answer.IsNotFound ? null : answer.IsSuccess ? answer.Item.Json : throw _client.Unexpected(request, answer);
    }

    public void Dispose() => _client.Dispose();
}

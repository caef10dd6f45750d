using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Datastore.Kubernetes.Client;

namespace Calico.Datastore.Kubernetes;

/// <summary>Brings the definitions of custom resources into a cluster.</summary>
public static class CustomResourceDefinitions
{
    private static readonly KubeResource Resource = new("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", false);
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    /// <summary>
    /// Makes the definitions that are not there, leaves the others as they are, and waits until all of them are served.
    /// </summary>
    /// <param name="options">The API.</param>
    /// <param name="manifests">A CustomResourceDefinition each.</param>
    /// <param name="cancellation">Stops waiting.</param>
    /// <returns>How many were made.</returns>
    /// <exception cref="DatastoreException">The API does not answer, refuses, or does not serve them within a minute.</exception>
    public static async Task<int> EnsureAsync(KubernetesOptions options, IReadOnlyCollection<JsonElement> manifests, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        using var client = new KubeClient(options);
        var made = 0;
        foreach (var manifest in manifests)
        {
            if ((await client.SendAsync(Get(manifest), cancellation)).IsSuccess)
                continue;
            var request = KubeRequest.Create(Resource, null, JsonObject.Create(manifest)!);
            var answer = await client.SendAsync(request, cancellation);
            if (answer.IsSuccess)
                made++;
            else if (!answer.IsConflict)
                throw client.Unexpected(request, answer);
        }
        using var limit = new CancellationTokenSource(Patience, options.Time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(cancellation, limit.Token);
        foreach (var manifest in manifests)
        {
            try
            {
                await ServedAsync(client, manifest, both.Token);
            }
            catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
            {
                throw new DatastoreException(DatastoreFault.Unavailable, $"kubernetes {options.Endpoint}: {new KubeItem(manifest).Name} is not served after {Patience.TotalSeconds:f0} s");
            }
        }
        return made;
    }

    private static KubeRequest Get(JsonElement manifest) => KubeRequest.Get(Resource, null, new KubeItem(manifest).Name);

    private static async Task ServedAsync(KubeClient client, JsonElement manifest, CancellationToken cancellation)
    {
        while (!IsEstablished((await client.SendAsync(Get(manifest), cancellation)).Body))
            await Task.Delay(Pause, client.Options.Time, cancellation);
        var item = new KubeItem(manifest);
        var path = $"/apis/{item.SpecText("group")}/{KubeItem.Text(item.Spec("versions")[0], "name")}/{KubeItem.Text(item.Spec("names"), "plural")}";
        // The server's own copy begins with the first question that it may answer: before that watches have no past.
        while (await client.ReadPathAsync(path + "?resourceVersion=0", cancellation) is null)
            await Task.Delay(Pause, client.Options.Time, cancellation);
    }

    private static bool IsEstablished(JsonElement definition) => Has(definition, "Established") && !Has(definition, "NonStructuralSchema");

    private static bool Has(JsonElement definition, string condition) =>
        definition.ValueKind == JsonValueKind.Object && definition.TryGetProperty("status", out var status) && status.TryGetProperty("conditions", out var conditions)
        && conditions.EnumerateArray().Any(c => KubeItem.Text(c, "type") == condition && KubeItem.Text(c, "status") == "True");
}

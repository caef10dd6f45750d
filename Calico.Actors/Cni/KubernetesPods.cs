using Calico.Core.Model;
using Calico.Core.Model.Kubernetes;
using Calico.Datastore.Kubernetes;

namespace Calico.Actors.Cni;

/// <summary>A pod as Kubernetes knows it, and what its namespace says.</summary>
public sealed record PodFacts(KubePod Pod, StringMap NamespaceAnnotations);

/// <summary>Where calls for Kubernetes' pods learn of them.</summary>
public interface IPodReader
{
    /// <summary>Null: there is no such pod.</summary>
    /// <exception cref="Datastore.DatastoreException">The API does not answer, or refuses.</exception>
    Task<PodFacts?> ReadAsync(string ns, string name, CancellationToken cancellation = default);
}

/// <summary>
/// Reads pod and namespace at the API, both at once, for each ADD: the feed has no pods before they have addresses, and
/// what a pod says of its own network must not be out of date.
/// </summary>
public sealed class KubernetesPods(KubernetesReader reader) : IPodReader
{
    public async Task<PodFacts?> ReadAsync(string ns, string name, CancellationToken cancellation = default)
    {
        var pod = reader.GetAsync("pods", ns, name, cancellation);
        var space = reader.GetAsync("namespaces", null, ns, cancellation);
        await Task.WhenAll(pod, space);
        return await pod is { } json
            ? new PodFacts(KubeCodec.Decode<KubePod>(json),
                await space is { } found ? KubeCodec.Decode<KubeNamespace>(found).Metadata.Annotations : StringMap.Empty)
            : null;
    }
}

using Calico.Core.Model.Schema;
using Calico.Datastore;
using Calico.Datastore.Kubernetes;
using Calico.Node.Agent;
using Serilog;

namespace Calico.Node.Cni;

/// <summary>
/// The way to the pods of Kubernetes: the datastore's own where it is the datastore, else whatever KUBECONFIG, the K8S_
/// variables or the pod's account say, for clusters that keep Calico's resources in etcd.
/// </summary>
internal static class PodAccess
{
    /// <summary>Null where there is no Kubernetes: then pods have no annotations, and labels come from the configuration.</summary>
    public static KubernetesReader? Open(AgentOptions options)
    {
        if (options.Kubernetes is { } datastore)
            return new KubernetesReader(datastore);
        if (Text("KUBECONFIG") is null && Text("K8S_API_ENDPOINT") is null && Text("KUBERNETES_SERVICE_HOST") is null)
            return null;
        try
        {
            return new KubernetesReader(KubernetesAccess.Find(DatastoreOptions.Load(null, "environment", Text) with { HomeDirectory = null }));
        }
        catch (Exception e) when (e is DatastoreException or InvalidResourceException)
        {
            Log.Warning("cni: pods are not read from Kubernetes: {Cause}", e.Message);
            return null;
        }
    }

    private static string? Text(string name) => Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : null;
}

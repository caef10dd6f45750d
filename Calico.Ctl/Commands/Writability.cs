using Calico.Core.Model.Kubernetes;
using Calico.Core.Model.Resources;
using Calico.Datastore.Resources;

namespace Calico.Ctl.Commands;

/// <summary>Resources that belong to controllers: they can be read, not written.</summary>
internal static class Writability
{
    public static bool IsReadOnly(Resource resource) => resource is ClusterInformation
        || (resource is NetworkPolicy && resource.Name.StartsWith(KubeNames.PolicyPrefix, StringComparison.Ordinal));

    /// <exception cref="ResourceException">The resource is one of these.</exception>
    public static void Check(Resource resource, string operation)
    {
        if (IsReadOnly(resource))
            throw ResourceException.NotSupported(resource.Key, operation, resource is ClusterInformation
                ? "resource is readonly"
                : "kubernetes network policies must be managed through the kubernetes API");
    }
}

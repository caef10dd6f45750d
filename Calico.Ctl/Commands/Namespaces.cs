using Calico.Core.Model.Resources;

namespace Calico.Ctl.Commands;

/// <summary>Which namespace a resource on the command line is in.</summary>
internal static class Namespaces
{
    private const string Default = "default";

    /// <exception cref="CtlException">The options contradict the resource or each other.</exception>
    public static Resource Resolve(Resource resource, string? option, bool allNamespaces)
    {
        var own = string.IsNullOrEmpty(resource.Namespace) ? null : resource.Namespace;
        if (!resource.ResourceKind.IsNamespaced)
        {
            if (own is not null)
                throw new CtlException($"namespace should not be specified for a non-namespaced resource. {resource.Kind} is not a namespaced resource");
            return allNamespaces || option is not null ? throw new CtlException($"{resource.Kind} is not namespaced") : resource;
        }
        if (allNamespaces && option is not null)
            throw new CtlException("cannot use both --namespace and --all-namespaces flags at the same time");
        if (own is not null && option is not null && own != option)
            throw new CtlException($"resource namespace does not match client namespace. {own} != {option}");
        return resource with
        {
            Metadata = resource.Metadata with { Namespace = allNamespaces ? null : own ?? option ?? Default },
        };
    }
}

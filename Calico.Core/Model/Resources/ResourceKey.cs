using System.Diagnostics.CodeAnalysis;

namespace Calico.Core.Model.Resources;

/// <summary>The identity of a resource; <paramref name="Namespace"/> is null for cluster-wide kinds.</summary>
public sealed record ResourceKey(ResourceKind Kind, string? Namespace, string Name)
{
    private const string Root = "/calico/resources/v3/projectcalico.org/";

    /// <summary>The etcd key: <c>/calico/resources/v3/projectcalico.org/PLURAL/[NAMESPACE/]NAME</c>.</summary>
    public string Path => string.Concat(Prefix(Kind, Kind.IsNamespaced ? Namespace : null), Name);

    /// <summary>The etcd prefix of all objects of a kind, or of those in one namespace; ends in a slash.</summary>
    public static string Prefix(ResourceKind kind, string? ns = null) =>
        ns is null ? string.Concat(Root, kind.Plural, "/") : string.Concat(Root, kind.Plural, "/", ns, "/");

    /// <summary>Reads a path that <see cref="Path"/> writes; false for any other key, also of unknown kinds.</summary>
    public static bool TryParse(string path, [NotNullWhen(true)] out ResourceKey? key)
    {
        key = null;
        if (!path.StartsWith(Root, StringComparison.Ordinal))
            return false;
        var parts = path[Root.Length..].Split('/');
        if (!ResourceKind.TryFindByPlural(parts[0], out var kind) || parts.Length != (kind.IsNamespaced ? 3 : 2)
            || parts.Any(p => p.Length == 0))
            return false;
        key = kind.IsNamespaced ? new ResourceKey(kind, parts[1], parts[2]) : new ResourceKey(kind, null, parts[1]);
        return true;
    }

    /// <summary>Kind and name as messages show them: <c>NetworkPolicy(web/allow-db)</c>.</summary>
    public override string ToString() => Namespace is null ? $"{Kind.Kind}({Name})" : $"{Kind.Kind}({Namespace}/{Name})";
}

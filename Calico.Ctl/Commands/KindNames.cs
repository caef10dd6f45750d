using System.CommandLine;
using System.CommandLine.Completions;
using Calico.Core.Model.Resources;

namespace Calico.Ctl.Commands;

/// <summary>Resources that the command line names by kind and name.</summary>
internal static class KindNames
{
    /// <summary>The argument that names a kind, with the kinds as what a shell may complete.</summary>
    public static Argument<string?> Argument(bool isRequired)
    {
        var kind = new Argument<string?>("KIND")
        {
            Arity = isRequired ? ArgumentArity.ExactlyOne : ArgumentArity.ZeroOrOne,
            Description = "Kind, in any spelling and number.",
            HelpName = "KIND",
        };
        kind.CompletionSources.Add(_ => ResourceKind.All.Where(k => k != ResourceKind.BlockAffinity).Select(k => new CompletionItem(k.Kind.ToLowerInvariant())));
        return kind;
    }

    /// <exception cref="CtlException">There is no such kind, or none is given.</exception>
    public static ResourceKind Find(string? kind)
    {
        if (kind is null)
            throw new CtlException("no resources specified: name a kind, or a file with -f");
        // Affinities are read with ipam show: their keys are IPAM's.
        return ResourceKind.TryFindByAlias(kind, out var found) && found != ResourceKind.BlockAffinity
            ? found
            : throw new CtlException($"resource type '{kind}' is not supported");
    }

    /// <summary>An empty resource for each name.</summary>
    public static List<Resource> Resources(string? kind, string[] names)
    {
        var found = Find(kind);
        if (names.Length == 0 || names.Contains(""))
            throw new CtlException("resource name may not be empty");
        return [.. names.Select(n => Named(found, n))];
    }

    public static Resource Named(ResourceKind kind, string? name)
    {
        var resource = ResourceCodec.Decode(kind, "{}"u8);
        return resource with { Metadata = new ObjectMeta { Name = name } };
    }
}

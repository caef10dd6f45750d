using Calico.Core.Model.Resources;
using Calico.Ctl.Output;
using Calico.Datastore.Resources;

namespace Calico.Ctl.Commands;

/// <summary>Shows what writing a resource would change, by asking the store for all of its refusals but writing nothing.</summary>
internal static class DryRun
{
    /// <exception cref="ResourceException">The store would refuse it.</exception>
    public static async Task ShowAsync(CtlContext context, ResourceStore store, string verb, Resource resource, CancellationToken cancellation)
    {
        Writability.Check(resource, verb);
        var (before, after) = await store.PreviewAsync(resource, cancellation);
        if (before is null && verb == "replace")
            throw ResourceException.NotFound(after.Key);
        if (before is not null && verb == "create")
            throw ResourceException.AlreadyExists(after.Key);
        var difference = LineDiff.Of(before is null ? "" : Text(before), Text(after), context.UsesColour);
        var what = $"{after.Kind}({(after.Namespace is { } ns ? $"{ns}/" : "")}{after.Name})";
        await context.Out.WriteLineAsync(before is null ? $"{what} would be created:" : difference.Length == 0 ? $"{what} would not change" : $"{what} would change:");
        await context.Out.WriteAsync(difference);
    }

    private static string Text(Resource resource) => YamlText.From(ResourceCodec.ToJson(resource with
    {
        Metadata = resource.Metadata with { Uid = null, ResourceVersion = null, CreationTimestamp = null },
    }));
}

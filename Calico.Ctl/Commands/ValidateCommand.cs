using System.Collections.Immutable;
using System.CommandLine;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Model.Validation;
using Calico.Datastore.Manifests;

namespace Calico.Ctl.Commands;

/// <summary>validate: everything that is wrong with every document, a line each, without a datastore.</summary>
internal static class ValidateCommand
{
    public static Command Build(CtlContext context)
    {
        var file = CommonOptions.File();
        var recursive = CommonOptions.Recursive();
        var skipEmpty = CommonOptions.SkipEmpty();
        var ns = CommonOptions.Namespace();
        var config = CommonOptions.Config();
        var command = new ExampleCommand("validate", "Check resources without a datastore.", "validate -f policies/ -R") { file, recursive, skipEmpty, ns, config };
        command.SetAction((parsed, _) =>
        {
            var documents = ResourceFiles.Read(ResourceCommands.Named(parsed.GetValue(file)), parsed.GetValue(recursive), parsed.GetValue(skipEmpty), context.In);
            var resources = new List<PlacedResource>();
            var unusable = new List<string>();
            foreach (var document in documents)
            {
                try
                {
                    resources.Add(new PlacedResource(ResourceCodec.ParseStrict(document.Json), document.Locate));
                }
                catch (InvalidResourceException e)
                {
                    unusable.Add(ResourceFiles.Explain(e.Subject, e.Errors.Concat(Limits(document, parsed.GetValue(ns))), document.Locate));
                }
            }
            // The others are looked at all the same, or what is wrong with them would come to light one run later.
            if (unusable.Count > 0)
                throw ResourceFiles.Unusable(unusable.Concat(resources.Select(r => Problem(r, parsed.GetValue(ns))).OfType<string>()));
            return new Batch(context, "validate", "validated").RunAsync(resources, resource =>
            {
                ResourceValidator.Check(InPlace(resource, parsed.GetValue(ns)));
                return Task.CompletedTask;
            });
        });
        return command;
    }

    // A resource with a field that is not known can still be looked at beyond that field, if it can be read at all.
    private static ImmutableArray<FieldError> Limits(ManifestDocument document, string? ns)
    {
        try
        {
            return ResourceValidator.Validate(InPlace(ResourceCodec.Decode(ResourceCodec.KindOf(document.Json), document.Json), ns));
        }
        catch (Exception e) when (e is InvalidResourceException or CtlException)
        {
            return [];
        }
    }

    private static string? Problem(PlacedResource placed, string? ns)
    {
        try
        {
            ResourceValidator.Check(InPlace(placed.Resource, ns));
            return null;
        }
        catch (Exception e) when (e is InvalidResourceException or CtlException)
        {
            return placed.Explain(e);
        }
    }

    private static Resource InPlace(Resource resource, string? ns) =>
        ResourceDefaults.Apply(Namespaces.Resolve(resource, ns, allNamespaces: false));
}

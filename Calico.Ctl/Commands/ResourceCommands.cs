using System.CommandLine;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Datastore;
using Calico.Datastore.Resources;

namespace Calico.Ctl.Commands;

/// <summary>create, apply, replace and delete: the same operation on each resource of a file, in order.</summary>
internal static class ResourceCommands
{
    public static Command Create(CtlContext context)
    {
        var skipExists = new Option<bool>("--skip-exists") { Description = "Resources that exist already are no error." };
        return new WriteCommand(context, "create", "created", (store, resource) => store.CreateAsync(resource)) { Skip = (skipExists, ResourceFault.AlreadyExists) }
            .Build("Create resources; one that exists already is an error.");
    }

    public static Command Apply(CtlContext context) => new WriteCommand(context, "apply", "applied", (store, resource) => store.ApplyAsync(resource))
        .Build("Create resources, or replace those that exist.");

    public static Command Replace(CtlContext context) => new WriteCommand(context, "replace", "replaced", (store, resource) => store.UpdateAsync(resource))
        .Build("Replace resources that exist.");

    public static Command Delete(CtlContext context)
    {
        var kind = KindNames.Argument(isRequired: false);
        var names = new Argument<string[]>("NAME") { Arity = ArgumentArity.ZeroOrMore, Description = "Names of resources of that kind." };
        var file = CommonOptions.File();
        var recursive = CommonOptions.Recursive();
        var skipEmpty = CommonOptions.SkipEmpty();
        var ns = CommonOptions.Namespace();
        var config = CommonOptions.Config();
        var skipMissing = new Option<bool>("--skip-not-exists", "-s") { Description = "Resources that do not exist are no error." };
        var command = new ExampleCommand("delete", "Delete resources by file, or by kind and name.", "delete networkpolicy -n shop web db", "delete -f policy.yaml --skip-not-exists")
        {
            kind, names, file, recursive, skipEmpty, ns, config, skipMissing,
        };
        command.SetAction((parsed, cancellation) =>
        {
            var resources = parsed.GetValue(file) is { } path
                ? ReadFiles(context, path, parsed.GetValue(recursive), parsed.GetValue(skipEmpty))
                : [.. KindNames.Resources(parsed.GetValue(kind), parsed.GetValue(names) ?? []).Select(r => new PlacedResource(r))];
            return context.WithStoreAsync(parsed.GetValue(config)!, (_, store) =>
                new Batch(context, "delete", "deleted") { Skip = parsed.GetValue(skipMissing) ? ResourceFault.NotFound : null }.RunAsync(resources, resource =>
                {
                    var inPlace = Namespaces.Resolve(resource, parsed.GetValue(ns), allNamespaces: false);
                    Writability.Check(inPlace, "delete");
                    return store.DeleteAsync(inPlace.Key, inPlace.Metadata.ResourceVersion, cancellation);
                }));
        });
        return command;
    }

    public static List<PlacedResource> ReadFiles(CtlContext context, string? path, bool isRecursive, bool skipEmpty) =>
        ResourceFiles.ReadResources(Named(path), isRecursive, skipEmpty, context.In);

    /// <summary>What <c>-f</c> names.</summary>
    /// <exception cref="CtlException">Nothing.</exception>
    public static string Named(string? path) =>
        path ?? throw new CtlException("no resources specified: name a file with -f, or '-' for standard input");
}

using System.CommandLine;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Model.Validation;
using Calico.Datastore;
using Calico.Datastore.Resources;

namespace Calico.Ctl.Commands;

/// <summary>create, apply, replace, delete and validate: the same operation on each resource of a file, in order.</summary>
internal static class ResourceCommands
{
    public static Command Create(CtlContext context)
    {
        var skipExists = new Option<bool>("--skip-exists") { Description = "Resources that exist already are no error." };
        return FileCommand(context, "create", "created", "Create resources; one that exists already is an error.",
            (store, resource) => store.CreateAsync(resource), skipExists, ResourceFault.AlreadyExists);
    }

    public static Command Apply(CtlContext context) => FileCommand(context, "apply", "applied",
        "Create resources, or replace those that exist.", (store, resource) => store.ApplyAsync(resource));

    public static Command Replace(CtlContext context) => FileCommand(context, "replace", "replaced",
        "Replace resources that exist.", (store, resource) => store.UpdateAsync(resource));

    public static Command Validate(CtlContext context)
    {
        var file = CommonOptions.File();
        var recursive = CommonOptions.Recursive();
        var skipEmpty = CommonOptions.SkipEmpty();
        var ns = CommonOptions.Namespace();
        var config = CommonOptions.Config();
        var command = new ExampleCommand("validate", "Check resources without a datastore.", "validate -f policies/ -R") { file, recursive, skipEmpty, ns, config };
        command.SetAction((parsed, _) =>
        {
            var resources = ReadFiles(context, parsed.GetValue(file), parsed.GetValue(recursive), parsed.GetValue(skipEmpty));
            return new Batch(context, "validate", "validated").RunAsync(resources, resource =>
            {
                var inPlace = ResourceDefaults.Apply(Namespaces.Resolve(resource, parsed.GetValue(ns), allNamespaces: false));
                ResourceValidator.Check(inPlace);
                return Task.CompletedTask;
            });
        });
        return command;
    }

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

    private static ExampleCommand FileCommand(CtlContext context, string verb, string done, string description,
        Func<ResourceStore, Resource, Task<Resource>> write, Option<bool>? skip = null, ResourceFault? skipped = null)
    {
        var file = CommonOptions.File();
        var recursive = CommonOptions.Recursive();
        var skipEmpty = CommonOptions.SkipEmpty();
        var ns = CommonOptions.Namespace();
        var config = CommonOptions.Config();
        var command = new ExampleCommand(verb, description, $"{verb} -f policy.yaml", $"{verb} -f - < policy.yaml", $"{verb} -f policies/ --dry-run") { file, recursive, skipEmpty, ns, config };
        if (skip is not null)
            command.Add(skip);
        var dryRun = new Option<bool>("--dry-run") { Description = "Show what would change and write nothing." };
        command.Add(dryRun);
        command.SetAction((parsed, cancellation) =>
        {
            var resources = ReadFiles(context, parsed.GetValue(file), parsed.GetValue(recursive), parsed.GetValue(skipEmpty));
            return context.WithStoreAsync(parsed.GetValue(config)!, async (_, store) =>
            {
                if (parsed.GetValue(dryRun))
                {
                    return await new Batch(context, verb, $"{done} (dry run, nothing is written)") { Skip = skip is not null && parsed.GetValue(skip) ? skipped : null }
                        .RunAsync(resources, resource => DryRun.ShowAsync(context, store, verb,
                            Prepared(Namespaces.Resolve(resource, parsed.GetValue(ns), allNamespaces: false), verb), cancellation));
                }
                await TryInitialiseAsync(context, store);
                return await new Batch(context, verb, done) { Skip = skip is not null && parsed.GetValue(skip) ? skipped : null }
                    .RunAsync(resources, async resource =>
                    {
                        var inPlace = Prepared(Namespaces.Resolve(resource, parsed.GetValue(ns), allNamespaces: false), verb);
                        if (Writability.IsReadOnly(inPlace) && verb != "create" && await store.FindAsync<Resource>(inPlace.Key) is null)
                            throw ResourceException.NotFound(inPlace.Key);
                        Writability.Check(inPlace, verb == "replace" ? "apply or replace" : "create or apply");
                        await write(store, inPlace);
                    });
            });
        });
        return command;
    }

    private static List<PlacedResource> ReadFiles(CtlContext context, string? path, bool isRecursive, bool skipEmpty) =>
        ResourceFiles.ReadResources(path ?? throw new CtlException("no resources specified: name a file with -f, or '-' for standard input"),
            isRecursive, skipEmpty, context.In);

    // Only name, namespace, labels and annotations of the metadata are the user's to set, and the version to check.
    private static Resource Prepared(Resource resource, string verb)
    {
        var given = resource.Metadata;
        return resource with
        {
            Metadata = new ObjectMeta
            {
                Name = given.Name,
                GenerateName = given.GenerateName,
                Namespace = given.Namespace,
                ResourceVersion = verb == "apply" || verb == "replace" || verb == "create" ? given.ResourceVersion : null,
                Labels = given.Labels,
                Annotations = given.Annotations,
            },
        };
    }

    // A user who may write only some kinds must still be able to write those.
    private static async Task TryInitialiseAsync(CtlContext context, ResourceStore store)
    {
        try
        {
            await store.EnsureInitializedAsync();
        }
        catch (DatastoreException e) when (e.Fault == DatastoreFault.Denied)
        {
            await context.Error.WriteLineAsync($"note: the datastore could not be initialised: {e.Message}");
        }
        catch (InvalidResourceException e)
        {
            await context.Error.WriteLineAsync($"note: the datastore could not be initialised: {e.Message}");
        }
    }
}

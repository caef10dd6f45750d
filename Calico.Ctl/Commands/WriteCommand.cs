using System.CommandLine;
using System.Globalization;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Datastore;
using Calico.Datastore.Resources;

namespace Calico.Ctl.Commands;

/// <summary>create, apply and replace: write each resource of a file, only show what that would change, or wait for it.</summary>
internal sealed class WriteCommand(CtlContext context, string verb, string done, Func<ResourceStore, Resource, Task<Resource>> write)
{
    private const int DefaultTimeout = 60;
    private const int MaxTimeout = 240;

    private readonly Option<string?> _file = CommonOptions.File();
    private readonly Option<bool> _recursive = CommonOptions.Recursive();
    private readonly Option<bool> _skipEmpty = CommonOptions.SkipEmpty();
    private readonly Option<string?> _namespace = CommonOptions.Namespace();
    private readonly Option<string> _config = CommonOptions.Config();
    private readonly Option<bool> _dryRun = new("--dry-run") { Description = "Show what would change and write nothing." };
    private readonly Option<bool> _wait = new("--wait") { Description = "Return when every node has the change in its kernel." };
    private readonly Option<int> _timeout = new("--timeout")
    {
        Description = "How many seconds --wait waits.",
        DefaultValueFactory = _ => DefaultTimeout,
    };

    private long _revision;

    /// <summary>The option that makes a refusal none, and the refusal.</summary>
    public (Option<bool> Option, ResourceFault Fault)? Skip { get; init; }

    public Command Build(string description)
    {
        var command = new ExampleCommand(verb, description, $"{verb} -f policy.yaml", $"{verb} -f - < policy.yaml", $"{verb} -f policies/ --dry-run", $"{verb} -f policy.yaml --wait")
        {
            _file, _recursive, _skipEmpty, _namespace, _config, _dryRun, _wait, _timeout,
        };
        if (Skip is { } skip)
            command.Add(skip.Option);
        command.SetAction((parsed, cancellation) =>
        {
            var limit = parsed.GetValue(_timeout) is > 0 and <= MaxTimeout and var seconds ? TimeSpan.FromSeconds(seconds)
                : throw new CtlException($"--timeout must be from 1 to {MaxTimeout.ToString(CultureInfo.InvariantCulture)} seconds");
            var resources = ResourceCommands.ReadFiles(context, parsed.GetValue(_file), parsed.GetValue(_recursive), parsed.GetValue(_skipEmpty));
            return context.WithStoreAsync(parsed.GetValue(_config)!, async (datastore, store) =>
            {
                if (parsed.GetValue(_dryRun))
                {
                    return await BatchOf(parsed, $"{done} (dry run, nothing is written)").RunAsync(resources, resource =>
                        DryRun.ShowAsync(context, store, verb, InPlace(parsed, resource), cancellation));
                }
                await TryInitialiseAsync(store);
                var status = await BatchOf(parsed, done).RunAsync(resources, resource => WriteAsync(store, InPlace(parsed, resource)));
                if (parsed.GetValue(_wait) && _revision > 0)
                    await new EnforcementWait(context, datastore, store).RunAsync(_revision, limit, cancellation);
                return status;
            });
        });
        return command;
    }

    private Batch BatchOf(ParseResult parsed, string what) =>
        new(context, verb, what) { Skip = Skip is { } skip && parsed.GetValue(skip.Option) ? skip.Fault : null };

    private Resource InPlace(ParseResult parsed, Resource resource) =>
        Prepared(Namespaces.Resolve(resource, parsed.GetValue(_namespace), allNamespaces: false));

    private async Task WriteAsync(ResourceStore store, Resource resource)
    {
        if (Writability.IsReadOnly(resource) && verb != "create" && await store.FindAsync<Resource>(resource.Key) is null)
            throw ResourceException.NotFound(resource.Key);
        Writability.Check(resource, verb == "replace" ? "apply or replace" : "create or apply");
        var written = await write(store, resource);
        if (long.TryParse(written.Metadata.ResourceVersion, NumberStyles.None, CultureInfo.InvariantCulture, out var revision))
            _revision = Math.Max(_revision, revision);
    }

    // Only name, namespace, labels and annotations of the metadata are the user's to set, and the version to check.
    private static Resource Prepared(Resource resource)
    {
        var given = resource.Metadata;
        return resource with
        {
            Metadata = new ObjectMeta
            {
                Name = given.Name,
                GenerateName = given.GenerateName,
                Namespace = given.Namespace,
                ResourceVersion = given.ResourceVersion,
                Labels = given.Labels,
                Annotations = given.Annotations,
            },
        };
    }

    // A user who may write only some kinds must still be able to write those.
    private async Task TryInitialiseAsync(ResourceStore store)
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

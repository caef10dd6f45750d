using System.CommandLine;
using Calico.Core.Model;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Ctl.Output;
using Calico.Datastore.Resources;

namespace Calico.Ctl.Commands;

/// <summary>get: resources by kind, by kind and name, or those that a file names.</summary>
internal static class GetCommand
{
    public static Command Build(CtlContext context)
    {
        var kind = KindNames.Argument(isRequired: false);
        var names = new Argument<string[]>("NAME") { Arity = ArgumentArity.ZeroOrMore, Description = "Names; without one all are listed." };
        var file = CommonOptions.File();
        var recursive = CommonOptions.Recursive();
        var skipEmpty = CommonOptions.SkipEmpty();
        var ns = CommonOptions.Namespace();
        var config = CommonOptions.Config();
        var output = new Option<string>("--output", "-o")
        {
            HelpName = "FORMAT",
            Description = "ps (table), wide, yaml, json, custom-columns=A,B, go-template=TEMPLATE or go-template-file=FILE",
            DefaultValueFactory = _ => "ps",
        };
        output.CompletionSources.Add("ps", "wide", "yaml", "json", "custom-columns=", "go-template=", "go-template-file=");
        var all = new Option<bool>("--all-namespaces", "-A", "-a") { Description = "Resources of all namespaces." };
        var export = new Option<bool>("--export") { Description = "Leave out what belongs to this cluster: uid, revision and times." };
        var command = new ExampleCommand("get", "Show resources.", "get networkpolicy -A", "get ippool default-pool -o yaml",
            "get nodes -o go-template='{{range .}}{{range .Items}}{{.Name}} {{.Spec.BGP.IPv4Address}}{{\"\\n\"}}{{end}}{{end}}'")
        { kind, names, file, recursive, skipEmpty, ns, config, output, all, export };
        command.SetAction((parsed, cancellation) =>
        {
            var allNamespaces = parsed.GetValue(all);
            var format = OutputFormat.Parse(parsed.GetValue(output)!, printNamespace: allNamespaces || parsed.GetValue(ns) is not null);
            var wanted = parsed.GetValue(file) is { } path
                ? [.. ResourceFiles.ReadResources(path, parsed.GetValue(recursive), parsed.GetValue(skipEmpty), context.In).Select(r => r.Resource)]
                : parsed.GetValue(names) is { Length: > 0 } given
                    ? KindNames.Resources(parsed.GetValue(kind), given)
                    : [KindNames.Named(KindNames.Find(parsed.GetValue(kind)), null)];
            return context.WithStoreAsync(parsed.GetValue(config)!, async (_, store) =>
            {
                var results = new List<Listing>();
                var errors = new List<string>();
                foreach (var resource in wanted)
                {
                    try
                    {
                        var inPlace = Namespaces.Resolve(resource, parsed.GetValue(ns), allNamespaces);
                        results.Add(await FetchAsync(context, store, inPlace, parsed.GetValue(export), cancellation));
                    }
                    catch (Exception e) when (e is ResourceException or CtlException or InvalidResourceException)
                    {
                        errors.Add(e.Message);
                    }
                }
                await format.WriteAsync(context.Out, store, results, cancellation);
                foreach (var error in errors)
                    await context.Error.WriteLineAsync(error);
                return errors.Count == 0 ? CommandLine.Success : CommandLine.Failure;
            });
        });
        return command;
    }

    private static async Task<Listing> FetchAsync(CtlContext context, ResourceStore store, Resource wanted, bool export, CancellationToken cancellation)
    {
        if (wanted.Name.Length > 0)
        {
            if (wanted.ResourceKind.IsNamespaced && wanted.Namespace is null)
                throw new CtlException("cannot use --all-namespace flag for getting a single resource");
            var found = await store.GetAsync(wanted.Key, cancellation);
            return new Listing(wanted.ResourceKind, [export ? Exported(found) : found], null);
        }
        var list = await store.ListAsync(wanted.ResourceKind, wanted.Namespace, cancellation);
        foreach (var unreadable in list.Unreadable)
            await context.Error.WriteLineAsync($"note: a stored value was left out: {unreadable.Message}");
        IEnumerable<Resource> items = list.Items;
        if (wanted.ResourceKind == ResourceKind.Tier)
            items = items.OrderBy(t => ((Tier)t).Spec.Order ?? double.PositiveInfinity);
        return new Listing(wanted.ResourceKind, [.. items], list.Revision);
    }

    private static Resource Exported(Resource resource) => resource with
    {
        Metadata = resource.Metadata with
        {
            Namespace = null,
            Uid = null,
            ResourceVersion = null,
            CreationTimestamp = null,
            DeletionTimestamp = null,
            DeletionGracePeriodSeconds = null,
        },
    };
}

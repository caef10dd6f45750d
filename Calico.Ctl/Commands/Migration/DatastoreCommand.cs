using System.CommandLine;
using Calico.Core.Model.Resources;
using Calico.Datastore;
using Calico.Datastore.Kubernetes;
using Calico.Datastore.Manifests;
using Calico.Datastore.Resources;

namespace Calico.Ctl.Commands.Migration;

// datastore migrate: lock -> export (old datastore) -> import (new one, locks it) -> unlock (new one).
// The file between the two is Calico's: resources as YAML, "===", the cluster information, "===", IPAM's records as
// stored under their keys.

/// <summary>datastore: moves everything of a cluster from one datastore to another.</summary>
internal static class DatastoreCommand
{
    private static readonly ResourceKey Cluster = new(ResourceKind.ClusterInformation, null, ClusterInformation.DefaultName);

    public static Command Build(CtlContext context) => new("datastore", "Manage the datastore.")
    {
        new Command("migrate", "Move the contents of a datastore to another one, usually from etcd to Kubernetes.")
        {
            ExportCommand(context),
            ImportCommand(context),
            LockCommand(context, "lock", false, "Lock the datastore: nodes go on as they are, and nothing new is started until it is unlocked."),
            LockCommand(context, "unlock", true, "Unlock the datastore."),
        },
        PolicyNamesCommand(context),
    };

    /// <summary>Locks or unlocks the datastore.</summary>
    public static async Task SetReadyAsync(ResourceStore store, bool isReady, CancellationToken cancellation)
    {
        if (!isReady)
            await store.EnsureInitializedAsync(cancellation: cancellation);
        var cluster = (ClusterInformation)await store.GetAsync(Cluster, cancellation);
        await store.UpdateAsync(cluster with { Spec = cluster.Spec with { DatastoreReady = isReady } }, cancellation);
    }

    public static async Task<ClusterInformation?> ClusterAsync(ResourceStore store, CancellationToken cancellation) =>
        await store.FindAsync<ClusterInformation>(Cluster, cancellation);

    private static ExampleCommand LockCommand(CtlContext context, string name, bool isReady, string description)
    {
        var config = CommonOptions.Config();
        var command = new ExampleCommand(name, description, $"datastore migrate {name}") { config };
        command.SetAction((parsed, cancellation) => context.WithStoreAsync(parsed.GetValue(config)!, async (_, store) =>
        {
            try
            {
                await SetReadyAsync(store, isReady, cancellation);
            }
            catch (ResourceException e)
            {
                throw new CtlException($"error retrieving ClusterInformation for {name}ing: {e.Message}", e);
            }
            await context.Out.WriteLineAsync($"Datastore {name}ed.");
            return CommandLine.Success;
        }));
        return command;
    }

    private static ExampleCommand ExportCommand(CtlContext context)
    {
        var full = new Option<bool>("--full")
        {
            Description = "For another etcd or an embedded store: also what Kubernetes objects turn into (endpoints, profiles, policies), and nodes keep their names.",
        };
        var config = CommonOptions.Config();
        var command = new ExampleCommand("export",
            "Write the contents of an etcd or embedded datastore to standard output. The datastore must be locked.",
            "datastore migrate export > datastore.yaml") { full, config };
        command.SetAction((parsed, cancellation) =>
        {
            var type = context.Load(parsed.GetValue(config)!).Type;
            return context.WithStoreAsync(parsed.GetValue(config)!, async (datastore, store) =>
            {
                if (await ClusterAsync(store, cancellation) is not { Spec.DatastoreReady: false } cluster)
                    throw new CtlException("datastore is not locked. Run the `calicoctl datastore migrate lock` command in order to begin migration");
                if (type == DatastoreType.Kubernetes)
                    throw new CtlException("invalid datastore type: kubernetes to export from for datastore migration. Datastore type must be etcdv3");
                await new Exporter(datastore, context, parsed.GetValue(full)).RunAsync(cluster, cancellation);
                return CommandLine.Success;
            });
        });
        return command;
    }

    private static ExampleCommand ImportCommand(CtlContext context)
    {
        var file = CommonOptions.File();
        var config = CommonOptions.Config();
        var command = new ExampleCommand("import",
            "Store what 'export' wrote in this datastore, which must not have Calico resources. It is locked first and stays so. After an interruption run it again.",
            "datastore migrate import -f datastore.yaml") { file, config };
        command.SetAction(async (parsed, cancellation) =>
        {
            var path = parsed.GetValue(file) ?? throw new CtlException("no file specified: name what 'calicoctl datastore migrate export' wrote with -f, or '-' for standard input");
            var archive = Archive.Parse(path == "-" ? context.In.ReadToEnd() : ResourceFiles.ReadFile(path), path);
            var options = context.Load(parsed.GetValue(config)!);
            var isKubernetes = options.Type == DatastoreType.Kubernetes;
            if (isKubernetes)
                await DefineAsync(context, KubernetesAccess.Find(options), cancellation);
            return await context.WithStoreAsync(parsed.GetValue(config)!, async (datastore, store) =>
            {
                await new Importer(datastore, store, context, isKubernetes).RunAsync(archive, cancellation);
                return CommandLine.Success;
            }, ofAnyVersion: true);
        });
        return command;
    }

    // As Calico's own import does: a new cluster has no custom resources yet.
    private static async Task DefineAsync(CtlContext context, KubernetesOptions api, CancellationToken cancellation)
    {
        var program = typeof(DatastoreCommand).Assembly;
        var manifests = program.GetManifestResourceNames().Where(n => n.StartsWith("crds/", StringComparison.Ordinal)).Select(n =>
        {
            using var reader = new StreamReader(program.GetManifestResourceStream(n)!);
            return ManifestReader.Read(reader.ReadToEnd(), n)[0].Json;
        });
        if (await CustomResourceDefinitions.EnsureAsync(api, [.. manifests], cancellation) is > 0 and var made)
            await context.Out.WriteLineAsync($"Applied {made} custom resource definition(s)");
    }

    private static ExampleCommand PolicyNamesCommand(CtlContext context)
    {
        var config = CommonOptions.Config();
        var command = new ExampleCommand("migrate-policy-names",
            "Store the policies of tier default that a release before 3.32 wrote under the names that they have, without 'default.' in front. Each moves in one transaction; after an interruption run it again.",
            "datastore migrate-policy-names") { config };
        command.SetAction((parsed, cancellation) => context.WithStoreAsync(parsed.GetValue(config)!, async (datastore, _) =>
        {
            var moved = await LegacyPolicyNames.MigrateAsync(datastore, cancellation);
            await context.Out.WriteLineAsync($"Policy name migration complete, migrated {moved} policies.");
            return CommandLine.Success;
        }));
        return command;
    }
}

using Calico.Core.Ipam;
using Calico.Core.Model.Kubernetes;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Ctl.Commands.Ipam;
using Calico.Datastore;
using Calico.Datastore.Resources;

namespace Calico.Ctl.Commands.Migration;

/// <summary>
/// Stores an archive. What an earlier, interrupted import of the same archive stored is kept, so that it can be run
/// again; anything else that is there stops it before the first write.
/// </summary>
internal sealed class Importer(IDatastore datastore, ResourceStore store, CtlContext context, bool isKubernetes)
{
    private const int PerStep = 1000;

    public async Task RunAsync(Archive archive, CancellationToken cancellation)
    {
        await RefuseForeignAsync(archive, cancellation);
        await store.EnsureInitializedAsync(cancellation: cancellation);
        await DatastoreCommand.SetReadyAsync(store, isReady: false, cancellation);
        await ResourcesAsync(archive, cancellation);
        await ClusterAsync(archive.Cluster, cancellation);
        await context.Out.WriteLineAsync("Importing IPAM resources");
        await IpamAsync(archive, cancellation);
        await context.Out.WriteLineAsync("Datastore information successfully imported. Please refer to the datastore migration documentation for next steps.");
    }

    private async Task RefuseForeignAsync(Archive archive, CancellationToken cancellation)
    {
        var wanted = archive.Resources.ToDictionary(r => r.Key);
        var reader = new IpamReader(datastore, context);
        foreach (var kind in archive.Resources.Select(r => r.ResourceKind).Distinct())
        {
            foreach (var present in await reader.ResourcesAsync<Resource>(kind, cancellation))
            {
                if (!IsOthers(present) && !(wanted.TryGetValue(present.Key, out var same) && IsSame(present, same)))
                    throw Foreign($"found existing Calico {kind.Kind} resource {present.Name}");
            }
        }
        var entries = archive.Ipam.ToDictionary(e => e.Key, e => e.Value, StringComparer.Ordinal);
        foreach (var prefix in Archive.IpamLists.SelectMany(l => l.Prefixes))
        {
            foreach (var present in await reader.ListAsync(prefix, cancellation))
            {
                if (!entries.TryGetValue(present.Key, out var value) || !JsonText.IsSame(present.Value.Span, value.AsSpan()))
                    throw Foreign($"found existing IPAM resources ({present.Key})");
            }
        }
    }

    // What every datastore has, or what Kubernetes itself provides.
    private bool IsOthers(Resource present) => present is Tier && Tier.BuiltIn.Any(t => t.Name == present.Name)
        || (isKubernetes && (present is NodeResource or Profile or WorkloadEndpoint || present.Name.StartsWith(KubeNames.PolicyPrefix, StringComparison.Ordinal)));

    private static CtlException Foreign(string what) =>
        new($"datastore already has Calico resources: {what}. Clear out all Calico resources by deleting all Calico CRDs, or the keys below /calico");

    private static bool IsSame(Resource present, Resource wanted) => ResourceDefaults.Apply(wanted with { Metadata = present.Metadata }) == present
        && present.Metadata.Labels == wanted.Metadata.Labels && present.Metadata.Annotations == wanted.Metadata.Annotations;

    private async Task ResourcesAsync(Archive archive, CancellationToken cancellation)
    {
        var (done, errors) = (0, new List<string>());
        foreach (var resource in archive.Resources)
        {
            if (isKubernetes && resource is not NodeResource && IsOthers(resource))
                continue;
            // Nodes are Kubernetes' own there: a node gets its Calico part, or does not exist.
            if (isKubernetes && resource is NodeResource && await store.FindAsync<NodeResource>(resource.Key, cancellation) is null)
            {
                await context.Error.WriteLineAsync($"[WARNING] Attempted to import node {resource.Name} from etcd that references a non-existent Kubernetes node. Skipping it.");
                continue;
            }
            try
            {
                await store.ApplyAsync(resource, cancellation);
                if (++done % PerStep == 0)
                    await context.Error.WriteLineAsync($"{done} of {archive.Resources.Length} resources");
            }
            catch (Exception e) when (e is ResourceException or InvalidResourceException)
            {
                errors.Add(e.Message);
            }
        }
        if (errors.Count > 0)
            throw new CtlException($"failed to import v3 resources: {done} of {archive.Resources.Length} are stored; hit error(s):\n{string.Join('\n', errors)}");
        await context.Out.WriteLineAsync($"Successfully applied {done} resource(s)");
    }

    private async Task ClusterAsync(ClusterInformation exported, CancellationToken cancellation)
    {
        var cluster = await DatastoreCommand.ClusterAsync(store, cancellation) ?? throw new CtlException("failed to update cluster information: it is gone");
        await store.UpdateAsync(cluster with
        {
            Spec = cluster.Spec with { ClusterGuid = exported.Spec.ClusterGuid ?? cluster.Spec.ClusterGuid, CalicoVersion = exported.Spec.CalicoVersion },
        }, cancellation);
    }

    private async Task IpamAsync(Archive archive, CancellationToken cancellation)
    {
        var done = 0;
        foreach (var entry in archive.Ipam)
        {
            var result = await datastore.CommitAsync(new Transaction([Compare.Absent(entry.Key)], [Write.Put(entry.Key, entry.Value.AsMemory())]), cancellation);
            if (!result.Succeeded && (result.Actual is not [{ } present] || !JsonText.IsSame(present.Value.Span, entry.Value.AsSpan())))
                throw new CtlException($"failed to import IPAM resources: {done} of {archive.Ipam.Length} are stored; {entry.Key} exists with another value: is something else writing?");
            if (++done % PerStep == 0)
                await context.Error.WriteLineAsync($"{done} of {archive.Ipam.Length} IPAM resources");
        }
        await context.Out.WriteLineAsync($"Successfully applied {done} IPAM resource(s)");
    }
}

using System.Collections.Immutable;
using System.Globalization;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Model.Validation;

namespace Calico.Datastore.Resources;

// The typed client of the datastore:
//
//   Resource -> ResourceDefaults -> ResourceValidator -> LifeCycle (rules over several resources) -> StoredResource -> IDatastore
//
// Every write is one transaction with compares on all that it was decided from: the resource itself and what its rules
// looked at (a policy's tier). So two clients that pass the rules at the same moment cannot both win.

/// <summary>Resources of a kind as of one revision, and the stored values that are none.</summary>
public sealed record ResourceList(ImmutableArray<Resource> Items, long Revision, ImmutableArray<InvalidResourceException> Unreadable);

/// <summary>Reads and writes v3 resources. Thread-safe.</summary>
public sealed class ResourceStore(IDatastore datastore, TimeProvider time, Func<Guid>? newUid = null)
{
    private const int Attempts = 8;

    private readonly LifeCycle _lifeCycle = new(datastore);

    /// <exception cref="ResourceException"><see cref="ResourceFault.NotFound"/>.</exception>
    public async Task<Resource> GetAsync(ResourceKey key, CancellationToken cancellation = default) =>
        (await FindAsync(key, cancellation))?.Resource ?? throw ResourceException.NotFound(key);

    /// <summary>The resource, or null when there is none.</summary>
    public async Task<T?> FindAsync<T>(ResourceKey key, CancellationToken cancellation = default)
        where T : Resource => (T?)(await FindAsync(key, cancellation))?.Resource;

    /// <summary>All resources of a kind in name order, of one namespace or of all.</summary>
    public async Task<ResourceList> ListAsync(ResourceKind kind, string? ns = null, CancellationToken cancellation = default)
    {
        var items = ImmutableArray.CreateBuilder<Resource>();
        var unreadable = ImmutableArray.CreateBuilder<InvalidResourceException>();
        var prefix = ResourceKey.Prefix(kind, ns);
        string? next = null;
        var revision = 0L;
        do
        {
            var page = await datastore.ListAsync(prefix, next, revision, cancellation: cancellation);
            (next, revision) = (page.Next, page.Revision);
            foreach (var stored in page.Items)
            {
                if (!ResourceKey.TryParse(stored.Key, out var key))
                    continue;
                try
                {
                    items.Add(StoredResource.Read(key, stored.Value.Span, stored.ModRevision));
                }
                catch (InvalidResourceException e)
                {
                    unreadable.Add(e);
                }
            }
        }
        while (next is not null);
        if (kind == ResourceKind.Profile)
            items.Insert(0, Profile.AllowEverything);
        return new ResourceList(items.ToImmutable(), revision, unreadable.ToImmutable());
    }

    /// <summary>Stores a new resource and returns it as stored.</summary>
    /// <exception cref="InvalidResourceException">The resource breaks the rules of its kind.</exception>
    /// <exception cref="ResourceException">It exists already, or may not be created.</exception>
    public async Task<Resource> CreateAsync(Resource resource, CancellationToken cancellation = default)
    {
        if (resource.Metadata.ResourceVersion is { } version)
            throw new InvalidResourceException(resource.ToString(),
                [new FieldError("metadata.resourceVersion", version, "must not be set for a Create request")]);
        var prepared = Prepare(resource);
        prepared = prepared with
        {
            Metadata = prepared.Metadata with
            {
                Uid = (newUid?.Invoke() ?? Guid.NewGuid()).ToString("D", CultureInfo.InvariantCulture),
                CreationTimestamp = Now(),
            },
        };
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            if (await FindAsync(prepared.Key, cancellation) is not null)
                throw ResourceException.AlreadyExists(prepared.Key);
            var rules = await _lifeCycle.CheckWriteAsync(prepared, null, cancellation);
            var path = prepared.Key.Path;
            var result = await datastore.CommitAsync(
                new Transaction([Compare.Absent(path), .. rules], [Write.Put(path, StoredResource.Write(prepared))]), cancellation);
            if (result.Succeeded)
                return WithRevision(prepared, result.Revision);
        }
        throw ResourceException.Conflict(prepared.Key);
    }

    /// <summary>
    /// Replaces an existing resource. With a resource version only if that is still the stored one; without, whatever is
    /// stored. Uid, creation time and the other fields that the store owns stay; labels and annotations are the caller's.
    /// </summary>
    /// <exception cref="InvalidResourceException">The resource breaks the rules of its kind.</exception>
    /// <exception cref="ResourceException">It is gone, has changed, or may not be changed so.</exception>
    public async Task<Resource> UpdateAsync(Resource resource, CancellationToken cancellation = default)
    {
        var prepared = Prepare(resource);
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            var stored = await FindAsync(prepared.Key, cancellation) ?? throw ResourceException.NotFound(prepared.Key);
            if (resource.Metadata.ResourceVersion is { } wanted && wanted != stored.Resource.Metadata.ResourceVersion)
                throw ResourceException.Conflict(prepared.Key);
            var merged = Merge(prepared, stored.Resource);
            var rules = await _lifeCycle.CheckWriteAsync(merged, stored.Resource, cancellation);
            var result = await datastore.CommitAsync(
                new Transaction([Compare.At(stored.Path, stored.Revision), .. rules], [Write.Put(stored.Path, StoredResource.Write(merged))]),
                cancellation);
            if (result.Succeeded)
                return WithRevision(merged, result.Revision);
            if (resource.Metadata.ResourceVersion is not null && result.Actual[0]?.ModRevision != stored.Revision)
                throw result.Actual[0] is null ? ResourceException.NotFound(prepared.Key) : ResourceException.Conflict(prepared.Key);
        }
        throw ResourceException.Conflict(prepared.Key);
    }

    /// <summary>
    /// What <see cref="ApplyAsync"/> would store, and what is stored now (null if nothing); nothing is written. Refuses what
    /// that would refuse.
    /// </summary>
    /// <inheritdoc cref="UpdateAsync"/>
    public async Task<(Resource? Before, Resource After)> PreviewAsync(Resource resource, CancellationToken cancellation = default)
    {
        var prepared = Prepare(resource);
        var stored = await FindAsync(prepared.Key, cancellation);
        if (stored is not null && resource.Metadata.ResourceVersion is { } wanted && wanted != stored.Resource.Metadata.ResourceVersion)
            throw ResourceException.Conflict(prepared.Key);
        var after = stored is null ? prepared : Merge(prepared, stored.Resource);
        await _lifeCycle.CheckWriteAsync(after, stored?.Resource, cancellation);
        return (stored?.Resource, after);
    }

    /// <summary>Creates the resource, or updates it where it exists.</summary>
    /// <inheritdoc cref="UpdateAsync"/>
    public async Task<Resource> ApplyAsync(Resource resource, CancellationToken cancellation = default)
    {
        resource = ResourceDefaults.Apply(resource);
        for (var attempt = 0; ; attempt++)
        {
            try
            {
                return await FindAsync(resource.Key, cancellation) is null
                    ? await CreateAsync(resource with { Metadata = resource.Metadata with { ResourceVersion = null } }, cancellation)
                    : await UpdateAsync(resource, cancellation);
            }
            catch (ResourceException e) when (attempt < Attempts && e.Fault is ResourceFault.AlreadyExists or ResourceFault.NotFound
                && e.Key == resource.Key)
            {
                // Somebody created or deleted it in between: look again.
            }
        }
    }

    /// <summary>Removes a resource, and with a node what belongs to it, and returns what was stored.</summary>
    /// <param name="key">The resource.</param>
    /// <param name="resourceVersion">Only if this is still the stored version; null for any.</param>
    /// <param name="cancellation">Stops waiting; the write may have happened.</param>
    /// <exception cref="ResourceException">It is gone, has changed, or may not be deleted.</exception>
    public async Task<Resource> DeleteAsync(ResourceKey key, string? resourceVersion = null, CancellationToken cancellation = default)
    {
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            var stored = await FindAsync(key, cancellation) ?? throw ResourceException.NotFound(key);
            if (resourceVersion is not null && resourceVersion != stored.Resource.Metadata.ResourceVersion)
                throw ResourceException.Conflict(key);
            await _lifeCycle.CheckDeleteAsync(stored.Resource, cancellation);
            if (stored.Resource is IPPool { Spec.Disabled: false } pool)
            {
                // No node may take a block from a pool that is about to vanish.
                var disabled = await UpdateAsync(pool with { Spec = pool.Spec with { Disabled = true } }, cancellation);
                resourceVersion = resourceVersion is null ? null : disabled.Metadata.ResourceVersion;
                continue;
            }
            var dependents = await _lifeCycle.DependentsAsync(stored.Resource, cancellation);
            var result = await datastore.CommitAsync(
                new Transaction([Compare.At(stored.Path, stored.Revision)], [Write.Delete(stored.Path), .. dependents.Select(Write.Delete)]),
                cancellation);
            if (result.Succeeded)
                return stored.Resource;
        }
        throw ResourceException.Conflict(key);
    }

    /// <summary>
    /// Creates what every cluster has where it is missing: the cluster information with its GUID, and the three built-in
    /// tiers. Adds the tags of <paramref name="clusterType"/> to the cluster's, and sets its version if given.
    /// </summary>
    public async Task EnsureInitializedAsync(string? calicoVersion = null, string? clusterType = null, CancellationToken cancellation = default)
    {
        var key = new ResourceKey(ResourceKind.ClusterInformation, null, ClusterInformation.DefaultName);
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            var current = await FindAsync<ClusterInformation>(key, cancellation);
            var known = current ?? new ClusterInformation { Metadata = new ObjectMeta { Name = ClusterInformation.DefaultName } };
            var wanted = known with
            {
                Spec = known.Spec with
                {
                    ClusterGuid = known.Spec.ClusterGuid ?? (newUid?.Invoke() ?? Guid.NewGuid()).ToString("N", CultureInfo.InvariantCulture),
                    DatastoreReady = known.Spec.DatastoreReady ?? true,
                    ClusterType = MergeTags(known.Spec.ClusterType, clusterType),
                    CalicoVersion = calicoVersion ?? known.Spec.CalicoVersion,
                },
            };
            if (wanted == current || await TryAsync(() => current is null ? CreateAsync(wanted, cancellation) : UpdateAsync(wanted, cancellation)))
                break;
        }
        foreach (var tier in Tier.BuiltIn)
        {
            if (await FindAsync(tier.Key, cancellation) is null)
                await TryAsync(() => CreateAsync(tier, cancellation));
        }
    }

    // The caller's labels and annotations, the store's everything else of the metadata.
    private static Resource Merge(Resource prepared, Resource stored) => prepared with
    {
        Metadata = stored.Metadata with
        {
            Labels = prepared.Metadata.Labels,
            Annotations = prepared.Metadata.Annotations,
            Finalizers = prepared.Metadata.Finalizers.IsEmpty ? stored.Metadata.Finalizers : prepared.Metadata.Finalizers,
        },
    };

    private static Resource Prepare(Resource resource)
    {
        if (resource is Profile { Name: Profile.DefaultAllow })
            throw ResourceException.NotSupported(resource.Key, "create, update or delete", "the profile is built in");
        if (resource.ResourceKind.IsNamespaced && string.IsNullOrEmpty(resource.Namespace))
            throw new InvalidResourceException(resource.ToString(), [new FieldError("metadata.namespace", null, "is required for this kind")]);
        if (!resource.ResourceKind.IsNamespaced && resource.Namespace is { } ns)
            throw new InvalidResourceException(resource.ToString(),
                [new FieldError("metadata.namespace", ns, "must be absent: this kind has no namespaces")]);
        if (resource.Name.Length == 0 && resource.Metadata.GenerateName is not null)
            throw new InvalidResourceException(resource.ToString(),
                [new FieldError("metadata.generateName", resource.Metadata.GenerateName, "is not supported: set metadata.name")]);
        var prepared = ResourceDefaults.Apply(resource);
        ResourceValidator.Check(prepared);
        return prepared;
    }

    private async Task<Found?> FindAsync(ResourceKey key, CancellationToken cancellation)
    {
        if (key is { Kind.Kind: "Profile", Name: Profile.DefaultAllow })
            return new Found("", 1, Profile.AllowEverything);
        foreach (var candidate in new[] { key, StoredResource.LegacyKey(key) })
        {
            if (candidate is not null && await datastore.GetAsync(candidate.Path, cancellation) is { } stored)
                return new Found(stored.Key, stored.ModRevision, StoredResource.Read(candidate, stored.Value.Span, stored.ModRevision));
        }
        return null;
    }

    private static async Task<bool> TryAsync(Func<Task<Resource>> write)
    {
        try
        {
            await write();
            return true;
        }
        catch (ResourceException e) when (e.Fault is ResourceFault.AlreadyExists or ResourceFault.Conflict or ResourceFault.NotFound)
        {
            return false;
        }
    }

    private static string? MergeTags(string? known, string? added)
    {
        var tags = (known ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries)
            .Concat((added ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries)).Distinct();
        return string.Join(',', tags) is { Length: > 0 } merged ? merged : null;
    }

    // Seconds are all that Kubernetes' time format keeps.
    private DateTimeOffset Now() => DateTimeOffset.FromUnixTimeSeconds(time.GetUtcNow().ToUnixTimeSeconds());

    private static Resource WithRevision(Resource resource, long revision) =>
        resource with { Metadata = resource.Metadata with { ResourceVersion = revision.ToString(CultureInfo.InvariantCulture) } };

    private sealed record Found(string Path, long Revision, Resource Resource);
}

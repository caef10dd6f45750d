using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;

namespace Calico.Datastore.Resources;

/// <summary>
/// Moves policies of the default tier to the keys of their names: releases before 3.32 stored them with the tier in
/// front, <c>default.NAME</c>. They are read under both keys; a policy may only be stored under one.
/// </summary>
public static class LegacyPolicyNames
{
    private const int Attempts = 8;

    /// <summary>Moves all that are stored in the old way, each in a transaction, and tells how many. Can be repeated.</summary>
    /// <exception cref="DatastoreException">The datastore is not there, or something else goes on changing a policy.</exception>
    public static async Task<int> MigrateAsync(IDatastore datastore, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(datastore);
        var moved = 0;
        foreach (var kind in ResourceKind.All.Where(k => k.IsTieredPolicy))
        {
            string? next = null;
            var revision = 0L;
            do
            {
                var page = await datastore.ListAsync(ResourceKey.Prefix(kind), next, revision, cancellation: cancellation);
                (next, revision) = (page.Next, page.Revision);
                foreach (var stored in page.Items)
                {
                    if (await MoveAsync(datastore, stored, cancellation))
                        moved++;
                }
            }
            while (next is not null);
        }
        return moved;
    }

    private static async Task<bool> MoveAsync(IDatastore datastore, KeyValue stored, CancellationToken cancellation)
    {
        KeyValue? old = stored;
        for (var attempt = 0; attempt < Attempts && old is not null; attempt++)
        {
            if (!TryRename(old, out var key, out var value))
                return false;
            var present = await datastore.GetAsync(key, cancellation);
            // Under its own name it counts already, whatever the older key says.
            var result = await datastore.CommitAsync(present is null
                ? new Transaction([Compare.At(old.Key, old.ModRevision), Compare.Absent(key)], [Write.Put(key, value), Write.Delete(old.Key)])
                : new Transaction([Compare.At(old.Key, old.ModRevision), Compare.At(key, present.ModRevision)], [Write.Delete(old.Key)]), cancellation);
            if (result.Succeeded)
                return true;
            old = await datastore.GetAsync(old.Key, cancellation);
        }
        return old is null ? false
            : throw new DatastoreException(DatastoreFault.Unavailable, $"{old.Key} was changed by something else {Attempts} times in turn: run this again");
    }

    // What cannot be read stays where it is.
    private static bool TryRename(KeyValue stored, out string key, out byte[] value)
    {
        (key, value) = ("", []);
        if (!ResourceKey.TryParse(stored.Key, out var old))
            return false;
        try
        {
            var policy = StoredResource.Read(old, stored.Value.Span, stored.ModRevision);
            if (policy.Name == old.Name || ((ITieredPolicy)policy).PolicySpec.TierOrDefault != Tier.Default)
                return false;
            (key, value) = ((old with { Name = policy.Name }).Path, StoredResource.Write(policy));
            return true;
        }
        catch (InvalidResourceException)
        {
            return false;
        }
    }
}

using System.Collections.Immutable;
using System.Globalization;
using Calico.Core.Ipam;
using Calico.Datastore;

namespace Calico.Ctl.Commands.Ipam;

/// <summary>
/// Deletes handles that reports call leaked, each only at the revision of the report: one that was written since has a
/// user again.
/// </summary>
internal static class HandleRelease
{
    private const int MostAtOnce = 64;

    public static async Task RunAsync(CtlContext context, IDatastore datastore, ImmutableArray<ReportedHandle> handles, CancellationToken cancellation)
    {
        await context.Out.WriteLineAsync($"Deleting {handles.Length} handles...");
        await context.Out.WriteLineAsync("Key: '.' = Deleted OK; 'x' = skip, handle missing/changed.");
        int released = 0, skipped = 0, errors = 0;
        foreach (var batch in handles.Chunk(MostAtOnce))
        {
            try
            {
                var deleted = await DeleteAsync(datastore, batch, cancellation);
                released += deleted;
                skipped += batch.Length - deleted;
                await context.Out.WriteAsync(new string('.', deleted) + new string('x', batch.Length - deleted));
            }
            catch (DatastoreException e)
            {
                errors += batch.Length;
                await context.Out.WriteLineAsync($"\nDeleting handle {batch[0].Id} and {batch.Length - 1} more failed: {e.Message}.");
            }
        }
        await context.Out.WriteLineAsync($"\nReleased {released} handles; {skipped} skipped; {errors} errors.");
    }

    // All at once; where some have changed, the others again without them.
    private static async Task<int> DeleteAsync(IDatastore datastore, IEnumerable<ReportedHandle> handles, CancellationToken cancellation)
    {
        var compares = handles.Where(h => h.Id.Length > 0 && long.TryParse(h.Revision, NumberStyles.None, CultureInfo.InvariantCulture, out var r) && r > 0)
            .Select(h => Compare.At(IpamKeys.Handle(h.Id), long.Parse(h.Revision, CultureInfo.InvariantCulture)))
            .DistinctBy(c => c.Key).ToImmutableArray();
        while (!compares.IsEmpty)
        {
            var result = await datastore.CommitAsync(new Transaction(compares, [.. compares.Select(c => Write.Delete(c.Key))]), cancellation);
            if (result.Succeeded)
                break;
            compares = [.. compares.Where((c, i) => result.Actual[i]?.ModRevision == c.ModRevision)];
        }
        return compares.Length;
    }
}

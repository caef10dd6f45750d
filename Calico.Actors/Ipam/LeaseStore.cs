using System.Collections.Immutable;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Actors.Ipam;

/// <summary>The lease's conversations with the datastore.</summary>
internal static class LeaseStore
{
    /// <summary>
    /// The blocks whose confirmed affinity names this node, read as they are now, and why others cannot be read: a
    /// damaged block is a matter for a person and takes nothing from the rest.
    /// </summary>
    public static async Task<(ImmutableArray<HeldBlock> Held, ImmutableArray<string> Unreadable)> LoadAsync(IDatastore datastore,
        string node, CancellationToken cancellation)
    {
        var held = ImmutableArray.CreateBuilder<HeldBlock>();
        var unreadable = ImmutableArray.CreateBuilder<string>();
        string? next = null;
        do
        {
            var page = await datastore.ListAsync(IpamKeys.AffinitiesOf(node), next, cancellation: cancellation);
            next = page.Next;
            foreach (var affinity in page.Items)
            {
                if (!IpamKeys.TryParseAffinity(affinity.Key, out _, out var cidr))
                    continue;
                try
                {
                    if (IpamJson.ParseAffinityState(affinity.Value) == "confirmed"
                        && await datastore.GetAsync(IpamKeys.Block(cidr), cancellation) is { } stored
                        && IpamJson.ParseBlock(stored.Value) is { } block && block.AffineHost == node)
                        held.Add(new HeldBlock(block, stored.ModRevision, affinity.ModRevision));
                }
                catch (FormatException e)
                {
                    unreadable.Add($"{cidr}: {e.Message}");
                }
            }
        }
        while (next is not null);
        return (held.ToImmutable(), unreadable.ToImmutable());
    }

    /// <summary>A block that was just granted; null if it is somebody else's again.</summary>
    public static async Task<HeldBlock?> FetchAsync(IDatastore datastore, BlockProtocol.BlockGranted granted, CancellationToken cancellation) =>
        await datastore.GetAsync(IpamKeys.Block(granted.Block), cancellation) is { } stored
        && IpamJson.ParseBlock(stored.Value) is { } block && block.AffineHost == granted.Node
            ? new HeldBlock(block, stored.ModRevision, granted.Epoch)
            : null;

    /// <summary>
    /// Carries the commit out. A handle that gains its first address is assumed to be new (the transaction finds out
    /// if not, and the careful one after it reads first); one that loses addresses is read first.
    /// </summary>
    public static async Task<TransactionResult> CommitAsync(IDatastore datastore, string node, LeaseCommit commit,
        IReadOnlyDictionary<Cidr, HeldBlock> held, CancellationToken cancellation)
    {
        var handles = new Dictionary<string, KeyValue?>(StringComparer.Ordinal);
        foreach (var (id, deltas) in commit.Batch.HandleDeltas)
        {
            if (commit.IsCareful || deltas.Values.Any(d => d < 0))
                handles[id] = await datastore.GetAsync(IpamKeys.Handle(id), cancellation);
        }
        var transaction = BlockTransactions.Commit(node, commit.Batch, held, handles, commit.Alongside);
        return await datastore.CommitAsync(transaction, cancellation);
    }
}

using System.Collections.Immutable;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Actors.Ipam;

/// <summary>The lease's conversations with the datastore.</summary>
internal static class LeaseStore
{
    /// <param name="Held">The blocks that are this node's, and the guests that were asked for.</param>
    /// <param name="Leaving">Blocks that it gives back, with the revision of the affinity that says so.</param>
    /// <param name="Unreadable">Why others cannot be read.</param>
    public sealed record View(ImmutableArray<HeldBlock> Held, ImmutableArray<(Cidr Block, long Revision)> Leaving, ImmutableArray<string> Unreadable);

    /// <summary>
    /// The blocks whose confirmed affinity names this node, read as they are now, and why others cannot be read: a
    /// damaged block is a matter for a person and takes nothing from the rest. And the blocks of others that were asked for.
    /// </summary>
    public static async Task<View> LoadAsync(IDatastore datastore,
        string node, IEnumerable<Cidr> guests, CancellationToken cancellation)
    {
        var held = ImmutableArray.CreateBuilder<HeldBlock>();
        var leaving = ImmutableArray.CreateBuilder<(Cidr, long)>();
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
                    var state = IpamJson.ParseAffinityState(affinity.Value);
                    if (state == IpamJson.PendingDeletion)
                        leaving.Add((cidr, affinity.ModRevision));
                    else if (state == "confirmed"
                        && await datastore.GetAsync(IpamKeys.Block(cidr), cancellation) is { } stored
                        && Parse(stored, cidr) is { } block && block.AffineHost == node)
                        held.Add(new HeldBlock(block, stored.ModRevision, affinity.ModRevision));
                }
                catch (FormatException e)
                {
                    unreadable.Add($"{cidr}: {e.Message}");
                }
            }
        }
        while (next is not null);
        foreach (var guest in guests)
        {
            try
            {
                if (await FetchGuestAsync(datastore, node, guest, cancellation) is { } block)
                    held.Add(block);
            }
            catch (FormatException e)
            {
                unreadable.Add($"{guest}: {e.Message}");
            }
        }
        return new View(held.ToImmutable(), leaving.ToImmutable(), unreadable.ToImmutable());
    }

    /// <summary>A block of another node, or of none; null if there is none or it is this node's.</summary>
    public static async Task<HeldBlock?> FetchGuestAsync(IDatastore datastore, string node, Cidr cidr, CancellationToken cancellation) =>
        await FetchAsync(datastore, cidr, cancellation) is { } found && found.Block.AffineHost != node ? found : null;

    private static async Task<HeldBlock?> FetchAsync(IDatastore datastore, Cidr cidr, CancellationToken cancellation)
    {
        if (await datastore.GetAsync(IpamKeys.Block(cidr), cancellation) is not { } stored)
            return null;
        var block = Parse(stored, cidr);
        var affinity = block.AffineHost is { } holder ? await datastore.GetAsync(IpamKeys.Affinity(holder, cidr), cancellation) : null;
        return new HeldBlock(block, stored.ModRevision, affinity?.ModRevision ?? 0) { IsGuest = true };
    }

    private static IpamBlock Parse(KeyValue stored, Cidr cidr)
    {
        var block = IpamJson.ParseBlock(stored.Value);
        return block.Cidr == cidr ? block : throw new FormatException($"{stored.Key} says that it is block {block.Cidr}");
    }

    /// <param name="Guests">Blocks of others, or of nobody.</param>
    /// <param name="Own">Those that are this node's, whether its lease knows of that or not.</param>
    /// <param name="Handle">The record that says so; null if there is none.</param>
    public sealed record Places(ImmutableArray<HeldBlock> Guests, ImmutableArray<Cidr> Own, KeyValue? Handle);

    /// <summary>The blocks in which the handle has addresses.</summary>
    public static async Task<Places> FindAsync(IDatastore datastore, string node, string handle, CancellationToken cancellation)
    {
        var guests = ImmutableArray.CreateBuilder<HeldBlock>();
        var own = ImmutableArray.CreateBuilder<Cidr>();
        KeyValue? record = null;
        try
        {
            record = await datastore.GetAsync(IpamKeys.Handle(handle), cancellation);
            if (record is null)
                return new Places([], [], null);
            foreach (var text in IpamJson.ParseHandle(record.Value).Keys)
            {
                if (!Cidr.TryParse(text, out var cidr) || await FetchAsync(datastore, cidr, cancellation) is not { } found)
                    continue;
                if (found.Block.AffineHost == node)
                    own.Add(cidr);
                else
                    guests.Add(found);
            }
        }
        catch (FormatException)
        {
            // A record that cannot be read is a matter for a person, and keeps nobody waiting.
        }
        return new Places(guests.ToImmutable(), own.ToImmutable(), record);
    }

    /// <summary>The doubts that are left when the blocks of other nodes have been asked, too.</summary>
    /// <param name="doubts">Those that memory has.</param>
    /// <param name="elsewhere">Those of them to look up, with the addresses of other nodes' blocks. While the datastore cannot tell they are not doubted.</param>
    public static async Task<LeaseProtocol.Doubts> WithoutElsewhereAsync(IDatastore datastore, string node,
        ImmutableArray<LeaseProtocol.Tenant> doubts, IReadOnlyDictionary<LeaseProtocol.Tenant, ImmutableArray<IpAddr>> elsewhere, CancellationToken cancellation)
    {
        var left = doubts.ToHashSet();
        foreach (var (tenant, addresses) in elsewhere)
        {
            try
            {
                var places = await FindAsync(datastore, node, tenant.HandleId, cancellation);
                if (addresses.All(a => places.Guests.Any(g => g.Block.OwnerOf(a) is { ReleasedAt: null } owner && owner.HandleId == tenant.HandleId)))
                    left.Remove(tenant);
            }
            catch (DatastoreException)
            {
                left.Remove(tenant);
            }
        }
        return new LeaseProtocol.Doubts(true, [.. doubts.Where(left.Contains)]);
    }

    /// <summary>A block that was just granted; null if it is somebody else's again.</summary>
    public static async Task<HeldBlock?> FetchAsync(IDatastore datastore, BlockProtocol.BlockGranted granted, CancellationToken cancellation) =>
        await datastore.GetAsync(IpamKeys.Block(granted.Block), cancellation) is { } stored
        && Parse(stored, granted.Block) is { } block && block.AffineHost == granted.Node
            ? new HeldBlock(block, stored.ModRevision, granted.Epoch)
            : null;

    /// <summary>The handles of these ids that exist, as they are now.</summary>
    public static async Task<Dictionary<string, KeyValue>> ReadHandlesAsync(IDatastore datastore, IEnumerable<string?> ids, CancellationToken cancellation)
    {
        var handles = new Dictionary<string, KeyValue>(StringComparer.Ordinal);
        foreach (var id in ids.OfType<string>().Distinct(StringComparer.Ordinal))
        {
            if (await datastore.GetAsync(IpamKeys.Handle(id), cancellation) is { } handle)
                handles[id] = handle;
        }
        return handles;
    }

    /// <summary>
    /// What carries the commit out. A handle that is not known and gains its first address is assumed to be new (the
    /// transaction finds out if not, and the careful one after it reads first); one that loses addresses is read.
    /// </summary>
    /// <param name="known">Handles as they are believed to be stored.</param>
    public static async Task<Transaction> PrepareAsync(IDatastore datastore, string node, LeaseCommit commit,
        IReadOnlyDictionary<Cidr, HeldBlock> held, Dictionary<string, KeyValue?> known, CancellationToken cancellation)
    {
        if (!commit.Fenced.IsEmpty)
            return BlockTransactions.Fence(node, commit.Fenced);
        var unknown = commit.Batch.HandleDeltas.Where(d => commit.IsCareful || (!known.ContainsKey(d.Key) && d.Value.Values.Any(n => n < 0)))
            .Select(d => d.Key).ToList();
        var read = await Task.WhenAll(unknown.Select(id => datastore.GetAsync(IpamKeys.Handle(id), cancellation)));
        for (var i = 0; i < read.Length; i++)
            known[unknown[i]] = read[i];
        return BlockTransactions.Commit(node, commit.Batch, held, known, commit.Also, commit.Alongside);
    }

    /// <summary>Carries the commit out, and says what it wrote if it succeeded.</summary>
    /// <inheritdoc cref="PrepareAsync"/>
    public static async Task<(Transaction Sent, TransactionResult Result)> CommitAsync(IDatastore datastore, string node, LeaseCommit commit,
        IReadOnlyDictionary<Cidr, HeldBlock> held, Dictionary<string, KeyValue?> known, CancellationToken cancellation)
    {
        var transaction = await PrepareAsync(datastore, node, commit, held, known, cancellation);
        return (transaction, MustLookUp(commit, held, known) ? new TransactionResult(false, 0, []) : await datastore.CommitAsync(transaction, cancellation));
    }

    /// <summary>
    /// Whether one who asks for its first address has one in a block that is not known here, by its handle's record: of an ADD
    /// whose answer got lost. It is marked, and the commit is as good as lost.
    /// </summary>
    public static bool MustLookUp(LeaseCommit commit, IReadOnlyDictionary<Cidr, HeldBlock> held, IReadOnlyDictionary<string, KeyValue?> handles)
    {
        var any = false;
        foreach (var request in commit.Entries.Select(e => e.Request).OfType<LeaseRequest.Allocate>().Where(r => r is { IsLookedUp: false, IsPromise: false }))
        {
            if (handles.GetValueOrDefault(request.Handle) is { } handle
                && BlockTransactions.CountsOf(handle).Keys.Any(b => !Cidr.TryParse(b, out var cidr) || !held.ContainsKey(cidr)))
                any = request.MustLookUp = true;
        }
        return any;
    }
}

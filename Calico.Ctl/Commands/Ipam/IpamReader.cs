using System.Collections.Immutable;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Ctl.Commands.Ipam;

/// <summary>
/// What the datastore holds for IPAM. All lists of one reader show one moment, where the store can look back; what
/// cannot be read is told and left out.
/// </summary>
internal sealed class IpamReader(IDatastore datastore, CtlContext context)
{
    private long _revision;

    /// <summary>The revision that the lists show; 0 while nothing has been read.</summary>
    public long Revision => _revision;

    /// <summary>False when the store could not look back, so that the lists are of several moments.</summary>
    public bool IsOneMoment { get; private set; } = true;

    /// <summary>How many stored values were left out; what they say is not known.</summary>
    public int Unreadable { get; private set; }

    /// <summary>All blocks in order of address, also those that cannot be read.</summary>
    public async Task<ImmutableArray<AuditedBlock>> AuditedBlocksAsync(CancellationToken cancellation)
    {
        var blocks = ImmutableArray.CreateBuilder<AuditedBlock>();
        foreach (var stored in await ListAsync(IpamKeys.BlockPrefix, cancellation))
        {
            if (IpamKeys.TryParseBlock(stored.Key, out var cidr))
                blocks.Add(BlockAudit.Read(cidr, stored.Value, context.Time.GetUtcNow()));
        }
        blocks.Sort((a, b) => a.Cidr.CompareTo(b.Cidr));
        return blocks.ToImmutable();
    }

    /// <summary>The blocks that can be read.</summary>
    public async Task<ImmutableArray<IpamBlock>> BlocksAsync(CancellationToken cancellation)
    {
        var blocks = ImmutableArray.CreateBuilder<IpamBlock>();
        foreach (var audited in await AuditedBlocksAsync(cancellation))
        {
            if (audited.Block is { } block)
                blocks.Add(block);
            else
                await NoteAsync($"block {audited.Cidr}: {audited.Fault}");
        }
        return blocks.ToImmutable();
    }

    public async Task<ImmutableArray<AffinityRecord>> AffinitiesAsync(CancellationToken cancellation)
    {
        var affinities = ImmutableArray.CreateBuilder<AffinityRecord>();
        foreach (var prefix in new[] { IpamKeys.HostPrefix, IpamKeys.VirtualPrefix })
        {
            foreach (var stored in await ListAsync(prefix, cancellation))
            {
                if (IpamKeys.TryParseOwner(stored.Key, out var owner, out var block))
                    affinities.Add(new AffinityRecord(owner, block, StateOf(stored)));
            }
        }
        return affinities.ToImmutable();
    }

    public async Task<ImmutableArray<HandleRecord>> HandlesAsync(CancellationToken cancellation) =>
        [.. (await ListAsync(IpamKeys.HandlePrefix, cancellation))
            .Select(h => new HandleRecord(h.Key[IpamKeys.HandlePrefix.Length..], h.ModRevision, BlocksOf(h)))];

    /// <summary>All resources of a kind in order of their keys.</summary>
    public async Task<ImmutableArray<T>> ResourcesAsync<T>(ResourceKind kind, CancellationToken cancellation)
        where T : Resource
    {
        var resources = ImmutableArray.CreateBuilder<T>();
        foreach (var stored in await ListAsync(ResourceKey.Prefix(kind), cancellation))
        {
            if (!ResourceKey.TryParse(stored.Key, out var key))
                continue;
            try
            {
                resources.Add((T)StoredResource.Read(key, stored.Value.Span, stored.ModRevision));
            }
            catch (InvalidResourceException e)
            {
                await NoteAsync(e.Message);
            }
        }
        return resources.ToImmutable();
    }

    /// <summary>The settings, with the revision that a change must compare; 0 while none are stored.</summary>
    public static async Task<(IpamConfig Config, long Revision)> ConfigAsync(IDatastore datastore, CancellationToken cancellation)
    {
        if (await datastore.GetAsync(IpamKeys.Config, cancellation) is not { } stored)
            return (IpamConfig.Default, 0);
        try
        {
            return (IpamJson.ParseConfig(stored.Value), stored.ModRevision);
        }
        catch (FormatException e)
        {
            throw new CtlException($"error: {IpamKeys.Config}: {e.Message}", e);
        }
    }

    /// <summary>The key of the block that an address of one of these pools would be in; null when no pool covers it.</summary>
    public static string? BlockKeyOf(IpAddr address, IEnumerable<IPPool> pools)
    {
        var pool = pools.FirstOrDefault(p => CidrOf(p) is { } cidr && cidr.Contains(address));
        if (pool is null)
            return null;
        var size = pool.Spec.BlockSize is > 0 and var given && given <= address.BitLength ? given
            : address.IsV4 ? IPPoolSpec.DefaultBlockSizeV4 : IPPoolSpec.DefaultBlockSizeV6;
        return IpamKeys.Block(BlockCandidates.Containing(address, size));
    }

    /// <summary>Null for a pool whose CIDR is none.</summary>
    public static Cidr? CidrOf(IPPool pool) => Cidr.TryParse(pool.Spec.Cidr, out var cidr) ? cidr.Network : null;

    public async Task NoteAsync(string what)
    {
        Unreadable++;
        await context.Error.WriteLineAsync($"note: a stored value was left out: {what}");
    }

    /// <summary>All keys below a prefix, of the same moment as everything else this reader gave.</summary>
    public async Task<List<KeyValue>> ListAsync(string prefix, CancellationToken cancellation)
    {
        try
        {
            return await ListAsync(prefix, _revision, cancellation);
        }
        catch (DatastoreException e) when (_revision != 0 && e.Fault is DatastoreFault.Compacted or DatastoreFault.Invalid)
        {
            // It cannot look back that far, or not at all: what is there now must do.
            IsOneMoment = false;
            return await ListAsync(prefix, 0, cancellation);
        }
    }

    private async Task<List<KeyValue>> ListAsync(string prefix, long revision, CancellationToken cancellation)
    {
        var items = new List<KeyValue>();
        string? next = null;
        do
        {
            var page = await datastore.ListAsync(prefix, next, revision, cancellation: cancellation);
            (next, revision) = (page.Next, page.Revision);
            items.AddRange(page.Items);
        }
        while (next is not null);
        _revision = revision;
        return items;
    }

    private static string StateOf(KeyValue affinity)
    {
        try
        {
            return IpamJson.ParseAffinityState(affinity.Value);
        }
        catch (FormatException)
        {
            return "unreadable";
        }
    }

    private static ImmutableArray<Cidr>? BlocksOf(KeyValue handle)
    {
        try
        {
            return [.. IpamJson.ParseHandle(handle.Value).Keys.Where(k => Cidr.TryParse(k, out _)).Select(k => Cidr.Parse(k))];
        }
        catch (FormatException)
        {
            return null;
        }
    }
}

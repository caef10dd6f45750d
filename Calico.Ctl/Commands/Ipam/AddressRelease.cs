using System.Collections.Immutable;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Selectors;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Ctl.Commands.Ipam;

/// <summary>What became of a release.</summary>
/// <param name="Released">Addresses that are free, or cool down, now.</param>
/// <param name="Unallocated">Addresses that nobody had.</param>
/// <param name="Error">The first block whose addresses could not be released, and why; the others are done.</param>
internal sealed record ReleaseResult(int Released, int Unallocated, string? Error);

/// <summary>
/// Takes addresses back: a block and the handles of what leaves it change together, if both are still what they were
/// read as. Otherwise all is read and judged again.
/// </summary>
internal sealed class AddressRelease(IDatastore datastore, CtlContext context)
{
    private const int Attempts = 100;

    /// <summary>A transaction takes 128 operations, and an address may cost one for its handle.</summary>
    private const int MostAtOnce = 100;

    private readonly IpamReader _reader = new(datastore, context);

    public async Task<ReleaseResult> ReleaseAsync(ImmutableArray<ReleaseRequest> requests, CancellationToken cancellation)
    {
        var pools = await _reader.ResourcesAsync<IPPool>(ResourceKind.IPPool, cancellation);
        var (config, _) = await IpamReader.ConfigAsync(datastore, cancellation);
        var byBlock = await BlocksOfAsync(requests, pools, cancellation);
        var result = new ReleaseResult(0, byBlock[""].Count(), null);
        foreach (var group in byBlock.Where(g => g.Key.Length > 0).OrderBy(g => g.Key, StringComparer.Ordinal))
        {
            var (released, unallocated, error) = await FromBlockAsync(group.Key, [.. group], pools, config, cancellation);
            result = new ReleaseResult(result.Released + released, result.Unallocated + unallocated, result.Error ?? error);
        }
        return result;
    }

    // The key of the block of each address; an empty one where there is none. Pools tell without a look at all blocks,
    // unless they were made anew with another block size.
    private async Task<ILookup<string, ReleaseRequest>> BlocksOfAsync(ImmutableArray<ReleaseRequest> requests, ImmutableArray<IPPool> pools,
        CancellationToken cancellation)
    {
        var keys = new Dictionary<IpAddr, string?>();
        foreach (var request in requests)
            keys[request.Address] = IpamReader.BlockKeyOf(request.Address, pools);
        foreach (var group in keys.Where(k => k.Value is not null).GroupBy(k => k.Value!, k => k.Key).ToList())
        {
            if (await datastore.GetAsync(group.Key, cancellation) is null)
            {
                foreach (var address in group)
                    keys[address] = null;
            }
        }
        if (keys.ContainsValue(null))
        {
            var blocks = await _reader.BlocksAsync(cancellation);
            foreach (var address in keys.Where(k => k.Value is null).Select(k => k.Key).ToList())
                keys[address] = blocks.FirstOrDefault(b => b.Cidr.Contains(address)) is { } block ? IpamKeys.Block(block.Cidr) : "";
        }
        return requests.ToLookup(r => keys[r.Address]!);
    }

    private async Task<ReleaseResult> FromBlockAsync(string key, ImmutableArray<ReleaseRequest> requests, ImmutableArray<IPPool> pools,
        IpamConfig config, CancellationToken cancellation)
    {
        int released = 0, unallocated = 0;
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            if (await datastore.GetAsync(key, cancellation) is not { } stored)
                return new ReleaseResult(released, unallocated + requests.Length, null);
            IpamBlock block;
            try
            {
                block = IpamJson.ParseBlock(stored.Value);
            }
            catch (FormatException e)
            {
                return new ReleaseResult(released, unallocated, $"{key}: {e.Message}");
            }
            var outcome = BlockRelease.Plan(block, requests, config.Cooldown, context.Time.GetUtcNow(), MostAtOnce);
            if (outcome is ReleaseOutcome.Conflict conflict)
                return new ReleaseResult(released, unallocated, $"update conflict: {conflict.Address}: {conflict.Reason}");
            var planned = (ReleaseOutcome.Planned)outcome;
            if (!planned.Released.IsEmpty && !await CommitAsync(stored, planned, pools, cancellation))
                continue;
            released += planned.Released.Length;
            unallocated += planned.Unallocated.Length;
            if (planned.IsComplete)
                return new ReleaseResult(released, unallocated, null);
            var done = planned.Released.Concat(planned.Unallocated).ToHashSet();
            requests = [.. requests.Where(r => !done.Contains(r.Address))];
            attempt = -1;
        }
        return new ReleaseResult(released, unallocated, $"{key}: Max retries hit - excessive concurrent IPAM requests");
    }

    private async Task<bool> CommitAsync(KeyValue stored, ReleaseOutcome.Planned planned, ImmutableArray<IPPool> pools, CancellationToken cancellation)
    {
        var compares = ImmutableArray.CreateBuilder<Compare>();
        var writes = ImmutableArray.CreateBuilder<Write>();
        compares.Add(Compare.At(stored.Key, stored.ModRevision));
        foreach (var (id, count) in planned.HandleCounts)
        {
            if (await datastore.GetAsync(IpamKeys.Handle(id), cancellation) is not { } handle)
                continue;
            compares.Add(Compare.At(handle.Key, handle.ModRevision));
            writes.Add(BlockRelease.HandleAfter(handle.Value, planned.Contents.Cidr, count) is { } left ? Write.Put(handle.Key, left) : Write.Delete(handle.Key));
        }
        var unwanted = await UnwantedAffinityAsync(planned.Contents, pools, cancellation);
        writes.Add(planned.IsUseless || unwanted is not null ? Write.Delete(stored.Key) : Write.Put(stored.Key, IpamJson.WriteBlock(planned.Contents)));
        if (unwanted is not null)
        {
            compares.Add(Compare.At(unwanted.Key, unwanted.ModRevision));
            writes.Add(Write.Delete(unwanted.Key));
        }
        return (await datastore.CommitAsync(new Transaction(compares.ToImmutable(), writes.ToImmutable()), cancellation)).Succeeded;
    }

    /// <summary>The affinity of a node for a block that got empty and whose pool does not select the node any more.</summary>
    private async Task<KeyValue?> UnwantedAffinityAsync(IpamBlock block, ImmutableArray<IPPool> pools, CancellationToken cancellation)
    {
        if (!block.IsEmpty || block.AffineHost is not { } host
            || pools.FirstOrDefault(p => IpamReader.CidrOf(p) is { } cidr && cidr.Contains(block.Cidr)) is not { Spec.NodeSelector: { Length: > 0 } text }
            || !Selector.TryParse(text, out var selector, out _))
            return null;
        var key = new ResourceKey(ResourceKind.Node, null, host);
        if (await datastore.GetAsync(key.Path, cancellation) is not { } node
            || selector.Evaluate(StoredResource.Read(key, node.Value.Span, node.ModRevision).Metadata.Labels))
            return null;
        return await datastore.GetAsync(IpamKeys.Affinity(host, block.Cidr), cancellation);
    }
}

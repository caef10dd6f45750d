using System.Globalization;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Model.Validation;
using Calico.Core.Net;
using Calico.Datastore;
using Calico.Datastore.Resources;

namespace Calico.Ctl.Commands.Ipam;

/// <summary>
/// Gives a pool another CIDR, in steps that each compare what they were decided from. The first writes the CIDR and notes the
/// old one on the pool, so that whoever comes after an interruption goes on where it broke off:
/// <code>
///   plan ─► CIDR and note ─► wait until every node has heard ─► plan again ─► empty blocks outside, one transaction each ─► note away
///                                                                  └─ something in use meanwhile: the old CIDR back, refused
/// </code>
/// </summary>
internal sealed class PoolResizing(CtlContext context, IDatastore datastore, string name, Cidr wanted)
{
    /// <summary>The CIDR of a pool before a change that is under way.</summary>
    public const string NoteAnnotation = "projectcalico.org/resized-from";

    private const int Attempts = 16;

    /// <summary>What a change would come to, or the one under way.</summary>
    public async Task<(PoolResizePlan Plan, IPPool Pool)> PlanAsync(CancellationToken cancellation)
    {
        var reader = new IpamReader(datastore, context);
        var (config, _) = await IpamReader.ConfigAsync(datastore, cancellation);
        var read = await CheckedRecords.ReadAsync(context, reader, null, cancellation);
        var pool = await PoolAsync(cancellation);
        if (reader.Unreadable > 0)
            throw new CtlException($"{reader.Unreadable} stored value(s) cannot be read, and what they use is not known; repair or delete them first");
        if (AddressUses.Of(pool) is not { } record)
            throw new CtlException($"the CIDR of pool {name} cannot be read: {pool.Spec.Cidr}");
        var from = pool.Metadata.Annotations.GetOrNull(NoteAnnotation) is { } note && Cidr.TryParse(note, out var noted) ? noted : record.Cidr;
        if (from != record.Cidr && record.Cidr != wanted)
            throw new CtlException($"pool {name} is being changed from {from} to {record.Cidr}: finish that first, with --cidr={record.Cidr}, or take it back, with --cidr={from}");
        var blockSize = ((IPPool)ResourceDefaults.Apply(pool)).Spec.BlockSize;
        var now = context.Time.GetUtcNow();
        return (PoolResize.Plan(record, from, wanted, blockSize, IpamAudit.Of(read.Records),
            owner => owner.ReleasedAt is { } released && now - released > config.Cooldown), pool);
    }

    /// <summary>Carries the change out, or goes on with it.</summary>
    /// <exception cref="CtlException">It is refused, or something was faster; the pool is as it was, or says what is to be done.</exception>
    public async Task RunAsync(TimeSpan settle, CancellationToken cancellation)
    {
        var (plan, pool) = await PlanAsync(cancellation);
        if (!plan.IsAllowed)
            throw Refused(plan);
        var isNoted = pool.Metadata.Annotations.ContainsKey(NoteAnnotation);
        if (plan.From == plan.To && !isNoted)
            return;
        if (!isNoted)
            await StoreAsync(pool, plan.To, plan.From, cancellation);
        // Nodes learn of pools through the mesh: until they have, one may still give out an address that is outside now.
        await Task.Delay(settle, context.Time, cancellation);
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            (plan, pool) = await PlanAsync(cancellation);
            if (!plan.IsAllowed)
            {
                await StoreAsync(pool, plan.From, null, cancellation);
                throw new CtlException($"something changed meanwhile, and pool {name} has its CIDR {plan.From} again. {Refused(plan).Message}");
            }
            var isDone = true;
            foreach (var block in plan.Going)
                isDone &= await TakeBackAsync(block, cancellation);
            if (isDone)
            {
                await StoreAsync(pool, plan.To, null, cancellation);
                return;
            }
        }
        throw new CtlException($"blocks of pool {name} change all the time: run the command again to finish");
    }

    private static CtlException Refused(PoolResizePlan plan) => new($"{plan.Summary}\n{string.Join('\n', plan.Refusals.Select(r => $"refused: {r}"))}");

    private async Task<IPPool> PoolAsync(CancellationToken cancellation) =>
        (IPPool)await new ResourceStore(datastore, context.Time).GetAsync(new ResourceKey(ResourceKind.IPPool, null, name), cancellation);

    // Not through the store: what it refuses to everybody is what has been planned here.
    private async Task StoreAsync(IPPool pool, Cidr cidr, Cidr? note, CancellationToken cancellation)
    {
        var changed = pool with
        {
            Metadata = pool.Metadata with { Annotations = pool.Metadata.Annotations.With(NoteAnnotation, note?.ToString()) },
            Spec = pool.Spec with { Cidr = cidr.ToString() },
        };
        try
        {
            ResourceValidator.Check(ResourceDefaults.Apply(changed));
        }
        catch (InvalidResourceException e)
        {
            throw new CtlException(e.Message, e);
        }
        var revision = long.Parse(pool.Metadata.ResourceVersion!, CultureInfo.InvariantCulture);
        var result = await datastore.CommitAsync(new Transaction([Compare.At(pool.Key.Path, revision)],
            [Write.Put(pool.Key.Path, StoredResource.Write(changed))]), cancellation);
        if (!result.Succeeded)
            throw new CtlException($"pool {name} was changed meanwhile: look at it and run the command again");
    }

    // False: somebody wrote it, or it is not empty any more.
    private async Task<bool> TakeBackAsync(Cidr cidr, CancellationToken cancellation)
    {
        if (await datastore.GetAsync(IpamKeys.Block(cidr), cancellation) is not { } stored)
            return true;
        var block = IpamJson.ParseBlock(stored.Value);
        if (block.Assigned().Any(a => a.Owner.ReleasedAt is null))
            return false;
        var transaction = new Transaction([Compare.At(stored.Key, stored.ModRevision)], [Write.Delete(stored.Key)]);
        if (block.AffineHost is { } host && await datastore.GetAsync(IpamKeys.Affinity(host, cidr), cancellation) is { } affinity)
        {
            transaction = new Transaction([.. transaction.Compares, Compare.At(affinity.Key, affinity.ModRevision)],
                [.. transaction.Writes, Write.Delete(affinity.Key)]);
        }
        return (await datastore.CommitAsync(transaction, cancellation)).Succeeded;
    }
}

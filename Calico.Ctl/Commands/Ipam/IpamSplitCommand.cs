using System.Collections.Immutable;
using System.CommandLine;
using System.Globalization;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Model.Validation;
using Calico.Core.Net;
using Calico.Datastore;
using Calico.Datastore.Resources;

namespace Calico.Ctl.Commands.Ipam;

/// <summary>ipam split: replaces a pool by several that together cover the same addresses. Blocks and addresses stay.</summary>
internal static class IpamSplitCommand
{
    /// <summary>Pools that one transaction makes; beside them it takes the old pool and the lock.</summary>
    private const int MostAtOnce = 100;

    public static Command Build(CtlContext context)
    {
        var number = new Argument<string>("NUMBER") { Description = "How many pools to make of it: a power of two." };
        var cidr = new Option<string?>("--cidr") { Description = "The pool with this CIDR." };
        var name = new Option<string?>("--name") { Description = "The pool of this name." };
        var config = CommonOptions.Config();
        var command = new ExampleCommand("split",
            "Split an IP pool into smaller ones of equal size, for example to give each zone its own. The datastore must be locked. Addresses that are assigned stay so.",
            "ipam split 4 --name=default-pool", "ipam split 2 --cidr=10.65.0.0/16") { number, cidr, name, config };
        command.SetAction((parsed, cancellation) =>
        {
            var given = parsed.GetValue(number)!;
            if (!int.TryParse(given, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var parts))
                throw new CtlException($"error reading number to split IP pools into. {given} is not a valid number");
            var (wantedName, wantedCidr) = (parsed.GetValue(name) ?? "", parsed.GetValue(cidr) ?? "");
            if (wantedName.Length == 0 && wantedCidr.Length == 0)
                throw new CtlException("no name or CIDR provided. Provide a name or CIDR to denote the IP pool to split");
            return context.WithStoreAsync(parsed.GetValue(config)!, async (datastore, store) =>
            {
                var cluster = await LockAsync(store, cancellation);
                var pool = await FindAsync(context, datastore, store, wantedName, wantedCidr, cancellation);
                var made = Parts(pool, parts, context.Time.GetUtcNow());
                await new PoolReplacement(datastore, cluster, pool).RunAsync(made, cancellation);
                await context.Out.WriteLineAsync($"IP Pool {pool.Name} was successfully split into {parts} smaller pools.");
                foreach (var part in made)
                    await context.Out.WriteLineAsync($"Created {part.Name} with CIDR {part.Spec.Cidr}.");
                await context.Out.WriteLineAsync("Please refer to the documentation for final steps.");
                return CommandLine.Success;
            });
        });
        return command;
    }

    private static async Task<ClusterInformation> LockAsync(ResourceStore store, CancellationToken cancellation)
    {
        try
        {
            var cluster = (ClusterInformation)await store.GetAsync(
                new ResourceKey(ResourceKind.ClusterInformation, null, ClusterInformation.DefaultName), cancellation);
            return cluster.Spec.DatastoreReady == false
                ? cluster
                : throw new CtlException("datastore is not locked. Run the `calicoctl datastore migrate lock` command in order split the IP pools");
        }
        catch (ResourceException e)
        {
            throw new CtlException($"error while checking if datastore was locked: error retrieving ClusterInformation: {e.Message}", e);
        }
    }

    private static async Task<IPPool> FindAsync(CtlContext context, IDatastore datastore, ResourceStore store, string name, string cidr, CancellationToken cancellation)
    {
        if (name.Length > 0)
        {
            try
            {
                return (IPPool)await store.GetAsync(new ResourceKey(ResourceKind.IPPool, null, name), cancellation);
            }
            catch (ResourceException e)
            {
                throw new CtlException($"unable to find IP pool with name {name}: {e.Message}", e);
            }
        }
        var wanted = Cidr.TryParse(cidr, out var parsed) ? parsed.Network : (Cidr?)null;
        var pools = await new IpamReader(datastore, context).ResourcesAsync<IPPool>(ResourceKind.IPPool, cancellation);
        return pools.FirstOrDefault(p => wanted is not null && IpamReader.CidrOf(p) == wanted)
            ?? throw new CtlException($"unable to find IP pool {name} covering the specified CIDR {cidr}");
    }

    /// <summary>The new pools, each like the old one but for its name and CIDR, and all of them right before one is stored.</summary>
    private static ImmutableArray<IPPool> Parts(IPPool pool, int parts, DateTimeOffset now)
    {
        if (IpamReader.CidrOf(pool) is not { } cidr)
            throw new CtlException($"error splitting the CIDR {pool.Spec.Cidr} into {parts} CIDRs: error reading CIDR {pool.Spec.Cidr} before attempting to split it");
        if (!PoolSplit.TryCut(cidr, parts, out var cut, out var error))
            throw new CtlException($"error splitting the CIDR {pool.Spec.Cidr} into {parts} CIDRs: {error}");
        return [.. cut.Select((c, i) => Part(pool, c, PoolSplit.NameOf(pool.Name, i), now))];
    }

    private static IPPool Part(IPPool pool, Cidr cidr, string name, DateTimeOffset now)
    {
        var part = (IPPool)ResourceDefaults.Apply(pool with
        {
            Metadata = new ObjectMeta
            {
                Name = name,
                Labels = pool.Metadata.Labels,
                Annotations = pool.Metadata.Annotations,
                Uid = Guid.NewGuid().ToString("D", CultureInfo.InvariantCulture),
                CreationTimestamp = DateTimeOffset.FromUnixTimeSeconds(now.ToUnixTimeSeconds()),
            },
            Spec = pool.Spec with { Cidr = cidr.ToString(), Disabled = false },
            Status = null,
        });
        try
        {
            ResourceValidator.Check(part);
            return part;
        }
        catch (InvalidResourceException e)
        {
            throw new CtlException($"error using unsafe create to make split pool with cidr {cidr}: {e.Message}", e);
        }
    }

    /// <summary>
    /// Puts the parts into the place of the pool. Where one transaction holds all, nobody ever sees something between.
    /// Otherwise the pool is disabled first and deleted last, and what was made of the parts when it broke off is taken
    /// over by the next try.
    /// </summary>
    private sealed class PoolReplacement(IDatastore datastore, ClusterInformation cluster, IPPool pool)
    {
        private long _revision = Revision(pool);

        public async Task RunAsync(ImmutableArray<IPPool> parts, CancellationToken cancellation)
        {
            var missing = new List<IPPool>();
            foreach (var part in parts)
            {
                if (!await ExistsAsync(part, cancellation))
                    missing.Add(part);
            }
            var batches = missing.Chunk(MostAtOnce).DefaultIfEmpty([]).ToList();
            for (var i = 0; i < batches.Count; i++)
                await CommitAsync(batches[i], isLast: i == batches.Count - 1, cancellation);
        }

        private async Task CommitAsync(IPPool[] parts, bool isLast, CancellationToken cancellation)
        {
            Compare[] unchanged = [Compare.At(pool.Key.Path, _revision), Compare.At(cluster.Key.Path, Revision(cluster))];
            var old = isLast ? Write.Delete(pool.Key.Path)
                : Write.Put(pool.Key.Path, StoredResource.Write(pool with { Spec = pool.Spec with { Disabled = true } }));
            var result = await datastore.CommitAsync(new Transaction(
                [.. unchanged, .. parts.Select(p => Compare.Absent(p.Key.Path))],
                [.. parts.Select(p => Write.Put(p.Key.Path, StoredResource.Write(p))), old]), cancellation);
            if (!result.Succeeded)
                throw new CtlException($"error splitting IP pool {pool.Name}: it, one of its parts or the lock of the datastore was changed meanwhile; try again");
            _revision = result.Revision;
        }

        private async Task<bool> ExistsAsync(IPPool part, CancellationToken cancellation)
        {
            if (await datastore.GetAsync(part.Key.Path, cancellation) is not { } stored)
                return false;
            var found = (IPPool)StoredResource.Read(part.Key, stored.Value.Span, stored.ModRevision);
            return found.Spec == part.Spec ? true
                : throw new CtlException($"error using unsafe create to make split pool with cidr {part.Spec.Cidr}: {ResourceException.AlreadyExists(part.Key).Message}");
        }

        private static long Revision(Resource resource) => long.Parse(resource.Metadata.ResourceVersion!, CultureInfo.InvariantCulture);
    }
}

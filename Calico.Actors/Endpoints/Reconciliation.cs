using System.Collections.Immutable;
using Akka.Actor;
using Akka.Event;
using Calico.Actors.Cluster;
using Calico.Actors.Cni;
using Calico.Actors.Ipam;
using Calico.Actors.Policy;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Actors.Endpoints;

/// <summary>Whom a reconciliation asks.</summary>
/// <param name="RegisterNode">Writes this node's Node resource if it is missing.</param>
public sealed record ReconcilerServices(string Node, IDatastore Datastore, IActorRef Lease, IActorRef Registry, IActorRef Enforcer,
    IActorRef Facts, TimeProvider Time, Func<CancellationToken, Task> RegisterNode)
{
    /// <summary>Longer than the lease lets a request wait.</summary>
    public TimeSpan StepTimeout { get; init; } = TimeSpan.FromSeconds(25);
}

/// <summary>What is not as it should be after a reconciliation; each names a workload and says why.</summary>
/// <param name="Pending">It will be tried again.</param>
/// <param name="Fenced">A person has to remove the workload.</param>
public sealed record ReconcileReport(ImmutableArray<string> Pending, ImmutableArray<string> Fenced)
{
    public static readonly ReconcileReport Clean = new([], []);
}

/// <summary>
/// One comparison of what the datastore says of this node with what is here, and what follows from it. A linear
/// conversation: who has an address without IPAM knowing takes it back, or is cut off if it is another's by now; a
/// missing WorkloadEndpoint is written, one of a container that is not here is deleted; the Node resource is written if
/// it is gone. Nothing that is right is written.
/// </summary>
internal sealed class Reconciliation(ReconcilerServices services, ILoggingAdapter log)
{
    /// <summary>Well below what the lease lets wait, so that calls of the runtime find room.</summary>
    private const int MaxAtOnce = 200;

    private long _lastRequest;

    /// <param name="stored">This node's endpoints as the feed knows them; null while it does not know all.</param>
    /// <param name="hasNode">Whether the Node resource exists.</param>
    public async Task<ReconcileReport> RunAsync(ImmutableDictionary<ResourceKey, StoredEndpoint>? stored, bool hasNode, CancellationToken cancellation)
    {
        if (stored is not null && !hasNode)
        {
            log.Warning("node {Node} has been deleted from the datastore while its agent runs; registering it again (to remove a node, stop its agent first)", services.Node);
            await services.RegisterNode(cancellation);
        }
        var here = await AskAsync<RegistryProtocol.All>(services.Registry, new RegistryProtocol.GetAll());
        var unsettled = await ReclaimAsync(here.Workloads, cancellation);
        if (stored is not null)
        {
            var settled = here.Workloads.Where(w => !unsettled.ContainsKey(w.Attachment) && w is { Addresses.Length: > 0, IsAddressOnly: false });
            foreach (var workload in settled.Where(w => !IsRight(stored, w)))
                await WriteEndpointAsync(workload, cancellation);
            var cutOff = here.Workloads.Where(w => unsettled.TryGetValue(w.Attachment, out var u) && u.IsFenced);
            await DeleteStaleAsync(stored.Values, here with { Workloads = [.. here.Workloads.Except(cutOff)] }, cancellation);
        }
        return new ReconcileReport(
            [.. unsettled.Values.Where(u => !u.IsFenced).Select(u => u.Text)], [.. unsettled.Values.Where(u => u.IsFenced).Select(u => u.Text)]);
    }

    // ---- addresses ---------------------------------------------------------------------------------------------------

    private sealed record Unsettled(string Text, bool IsFenced);

    private async Task<Dictionary<(string, string), Unsettled>> ReclaimAsync(ImmutableArray<Workload> workloads, CancellationToken cancellation)
    {
        var unsettled = new Dictionary<(string, string), Unsettled>();
        var tenants = workloads.Where(w => w is { Addresses.Length: > 0, HasForeignAddresses: false }).ToDictionary(w => new LeaseProtocol.Tenant(w.HandleId, [.. w.ParsedAddresses]));
        var doubts = await AskAsync<LeaseProtocol.Doubts>(services.Lease, new LeaseProtocol.Verify([.. tenants.Keys]));
        if (!doubts.Loaded)
        {
            foreach (var workload in tenants.Values)
                unsettled[workload.Attachment] = new Unsettled($"{workload.Id}: the blocks of this node have not been read", IsFenced: false);
            return unsettled;
        }
        foreach (var some in doubts.Tenants.Chunk(MaxAtOnce))
        {
            cancellation.ThrowIfCancellationRequested();
            foreach (var (workload, problem) in await Task.WhenAll(some.Select(async t => (tenants[t], await ReclaimAsync(tenants[t], t.Addresses)))))
            {
                if (problem is not null)
                    unsettled[workload.Attachment] = problem;
            }
        }
        foreach (var workload in tenants.Values.Where(w => w.IsFenced && !unsettled.ContainsKey(w.Attachment)))
            await UnfenceAsync(workload);
        return unsettled;
    }

    private async Task<Unsettled?> ReclaimAsync(Workload workload, ImmutableArray<IpAddr> addresses)
    {
        var pools = await AskAsync<FactsProtocol.Pools>(services.Facts, new FactsProtocol.GetPools(workload.Namespace));
        var request = new AllocationRequest(workload.HandleId, workload.AllocationAttributes(services.Node, services.Time.GetUtcNow()),
            [.. addresses.Select(a => a.Version).Distinct()], [], addresses);
        var answer = await services.Lease.Ask<object>(new LeaseProtocol.Allocate(NextId(), request, PoolChoice.All(pools.All), _ => [])
        { IsReclaim = true }, services.StepTimeout);
        var names = string.Join(", ", addresses);
        switch (answer)
        {
            case LeaseProtocol.Allocated:
                log.Warning("{Workload}: IPAM did not know that it has {Addresses}; they have been assigned to it again", workload.Id, names);
                return null;
            // Its holder may give it away at any moment and cannot be asked: until it says, nobody uses it.
            case LeaseProtocol.NotAllocated { IsTaken: true, Retryable: true } no:
                if (await FenceAsync(workload) && !workload.IsFenced)
                    log.Warning("{Workload} is cut off until it is known whose address {Addresses} is: {Cause}", workload.Id, names, no.Reason);
                return new Unsettled($"{workload.Id} is cut off until it is known whose address {names} is: {no.Reason}", IsFenced: false);
            case LeaseProtocol.NotAllocated { IsTaken: true } no:
                if (await FenceAsync(workload) && !workload.IsFenced)
                    log.Error("{Workload} is cut off: its address {Addresses} has been given to another while this node was taken for gone ({Cause}); delete the pod",
                        workload.Id, names, no.Reason);
                return new Unsettled($"{workload.Id} is cut off, because {names} belongs to another ({no.Reason}); delete the pod", IsFenced: true);
            case LeaseProtocol.NotAllocated no:
                return new Unsettled($"{workload.Id}: {names} cannot be assigned to it again yet: {no.Reason}", IsFenced: false);
            default:
                throw new InvalidOperationException($"the lease answered {answer}");
        }
    }

    // Rules first when it comes back, route first when it goes.
    private async Task<bool> FenceAsync(Workload workload)
    {
        var fenced = await AskAsync<RegistryProtocol.Fenced>(services.Registry, new RegistryProtocol.Fence(workload with { IsFenced = true }));
        if (fenced.Workload is not null)
            services.Enforcer.Tell(new EnforcerProtocol.RemoveEndpoint(workload.Id));
        return fenced.Workload is not null;
    }

    private async Task UnfenceAsync(Workload workload)
    {
        await AskAsync<EnforcerProtocol.Enforced>(services.Enforcer, new EnforcerProtocol.SetEndpoint(NextId(), workload.ToLocalEndpoint()));
        await AskAsync<RegistryProtocol.Fenced>(services.Registry, new RegistryProtocol.Fence(workload with { IsFenced = false }));
        log.Info("{Workload} has its addresses again and is connected", workload.Id);
    }

    // ---- workload endpoints ------------------------------------------------------------------------------------------

    private bool IsRight(ImmutableDictionary<ResourceKey, StoredEndpoint> stored, Workload workload) =>
        stored.TryGetValue(workload.EndpointKey(services.Node), out var endpoint) && Fits(workload, endpoint.ContainerId, endpoint.Networks);

    private static bool Fits(Workload workload, string? containerId, IEnumerable<string> networks) =>
        containerId == workload.ContainerId && networks.SequenceEqual(workload.ParsedAddresses.Select(a => Cidr.Host(a).ToString()));

    // The feed may be behind: what is stored now decides. What others added to the endpoint stays.
    private async Task WriteEndpointAsync(Workload workload, CancellationToken cancellation)
    {
        var key = workload.EndpointKey(services.Node);
        var now = await services.Datastore.GetAsync(key.Path, cancellation);
        var wanted = workload.ToResource(services.Node, services.Time.GetUtcNow());
        if (now is not null && Decode(key, now.Value) is { } endpoint)
        {
            if (Fits(workload, endpoint.Spec.ContainerID, endpoint.Spec.IpNetworks))
                return;
            wanted = wanted with { Metadata = endpoint.Metadata };
        }
        var result = await services.Datastore.CommitAsync(new Transaction(
            [now is null ? Compare.Absent(key.Path) : Compare.At(key.Path, now.ModRevision)], [Write.Put(key.Path, ResourceCodec.Encode(wanted))]), cancellation);
        if (result.Succeeded)
            log.Warning("{Key} was {What} and has been written again", key, now is null ? "missing" : "another container's");
    }

    private static WorkloadEndpoint? Decode(ResourceKey key, ReadOnlyMemory<byte> value)
    {
        try
        {
            return (WorkloadEndpoint)ResourceCodec.Decode(key.Kind, value.Span);
        }
        catch (InvalidResourceException)
        {
            return null;
        }
    }

    private async Task DeleteStaleAsync(IEnumerable<StoredEndpoint> stored, RegistryProtocol.All here, CancellationToken cancellation)
    {
        var containers = here.Workloads.Select(w => w.ContainerId).ToHashSet(StringComparer.Ordinal);
        var stale = stored.Where(e => !containers.Contains(e.ContainerId) && !here.UnderWay.Contains(e.ContainerId)).ToList();
        if (stale.Count == 0)
            return;
        var pools = PoolChoice.All((await AskAsync<FactsProtocol.Pools>(services.Facts, new FactsProtocol.GetPools(""))).All);
        // Pods that another program made on this node are not ours to judge while the kernel leads to them.
        var strangers = await AskAsync<RegistryProtocol.Strangers>(services.Registry, new RegistryProtocol.GetStrangers());
        foreach (var endpoint in stale.Where(e => !EndpointAddresses.Of(e.Networks).Any(strangers.Addresses.Contains)))
        {
            await FreeAsync(endpoint, pools, cancellation);
            // Whose ADD has begun since has written it since.
            var result = await services.Datastore.CommitAsync(
                new Transaction([Compare.At(endpoint.Key.Path, endpoint.Revision)], [Write.Delete(endpoint.Key.Path)]), cancellation);
            if (result.Succeeded)
                log.Info("{Key} deleted: its container {Container} is not on this node, or cut off", endpoint.Key, endpoint.ContainerId);
        }
    }

    // What such a container had in blocks held at the start the lease has given back; of other nodes' blocks, and of those that
    // became this node's since, only the endpoint tells.
    private async Task FreeAsync(StoredEndpoint endpoint, ImmutableArray<PoolRef> pools, CancellationToken cancellation)
    {
        var blocks = from address in EndpointAddresses.Of(endpoint.Networks)
                     from pool in pools
                     where pool.Cidr.Contains(address)
                     select BlockCandidates.Containing(address, pool.BlockSize);
        foreach (var block in blocks.Distinct())
        {
            var freed = await BorrowedAddresses.FreeAsync(services.Datastore, services.Node,
                new NodeProtocol.Borrowing(endpoint.Key.Path, endpoint.Revision, block), alsoOwn: true, cancellation);
            if (freed > 0)
                log.Info("{Key}: {Count} addresses that it had in {Block} are free again", endpoint.Key, freed, block);
        }
    }

    private long NextId() => Interlocked.Increment(ref _lastRequest);

    private async Task<T> AskAsync<T>(IActorRef actor, object message) => await actor.Ask<T>(message, services.StepTimeout);
}

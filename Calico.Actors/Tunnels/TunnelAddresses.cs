using System.Collections.Immutable;
using Akka.Actor;
using Akka.Event;
using Calico.Actors.Ipam;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore;
using Calico.Datastore.Resources;

namespace Calico.Actors.Tunnels;

/// <summary>Whom the tunnels' addresses are asked from.</summary>
public sealed record TunnelServices(string Node, IDatastore Datastore, IActorRef Lease, TimeProvider Time)
{
    /// <summary>Longer than the lease lets a request wait.</summary>
    public TimeSpan StepTimeout { get; init; } = TimeSpan.FromSeconds(25);
}

/// <summary>
/// One comparison of the tunnels that the pools ask for with the addresses that this node has for them, and what follows.
/// <code>
///   asked for, the Node names an address ─► is it ours?  yes ─► right
///                                             no, another's, or of a pool that is not asked for ─┐
///   asked for, the Node names none ────────────────────────────────────────────────────────────┴─► release the handle ─► allocate ─► name it
///   not asked for ─► name none ─► release the handle
/// </code>
/// Each step can be repeated, and after a crash between any two the next comparison goes on: what is allocated and not
/// named is released by its handle before another one is taken; what is named is released last.
/// </summary>
internal sealed class TunnelAddresses(TunnelServices services, ILoggingAdapter log)
{
    private readonly ResourceStore _store = new(services.Datastore, services.Time);
    private readonly HashSet<string> _released = new(StringComparer.Ordinal);
    private long _lastRequest;

    /// <param name="pools">Every pool there is.</param>
    /// <param name="cancellation">Stops asking.</param>
    /// <returns>Why an address could not be had yet, one sentence for each; empty when all is right.</returns>
    public async Task<ImmutableArray<string>> RunAsync(ImmutableArray<IPPool> pools, CancellationToken cancellation)
    {
        var problems = ImmutableArray.CreateBuilder<string>();
        foreach (var kind in TunnelKind.All)
        {
            // Read anew for each: the one before has changed it.
            if (await _store.FindAsync<NodeResource>(new ResourceKey(ResourceKind.Node, null, services.Node), cancellation) is not { } node)
                return [$"node {services.Node} is not registered"];
            var wanted = PoolsFor(kind, pools, node);
            if ((wanted.IsEmpty ? await DropAsync(kind, node, cancellation) : await HaveAsync(kind, node, wanted, cancellation)) is { } problem)
                problems.Add($"{kind.Name} tunnel: {problem}");
        }
        return problems.ToImmutable();
    }

    // A pool that gives addresses to pods only when they name it still gives one to its own tunnel.
    private static ImmutableArray<PoolRef> PoolsFor(TunnelKind kind, ImmutableArray<IPPool> pools, NodeResource node) => PoolChoice.For(
        pools.Where(p => kind.IsAskedForBy(p, node)).Select(p => p with { Spec = p.Spec with { AssignmentMode = null } }),
        [], node.Metadata.Labels, ImmutableDictionary<string, string>.Empty, out _, IPPoolUse.Tunnel);

    private async Task<string?> HaveAsync(TunnelKind kind, NodeResource node, ImmutableArray<PoolRef> pools, CancellationToken cancellation)
    {
        _released.Remove(kind.Name);
        if (kind.AddressOf(node) is { } named && IpAddr.TryParse(named, out var address) && pools.Any(p => p.Cidr.Contains(address)))
        {
            var (kept, refusal) = await AllocateAsync(kind, pools, [address]);
            if (kept is not null)
                return null;
            // The lease cannot say now: the address stays until it can.
            if (refusal!.Retryable)
                return refusal.Reason;
            log.Warning("tunnel {Kind}: address {Address} of node {Node} is replaced: {Cause}", kind.Name, address, services.Node, refusal.Reason);
        }
        if (await ReleaseAsync(kind) is { } problem)
            return problem;
        var (given, no) = await AllocateAsync(kind, pools, []);
        if (given is not { } fresh)
            return no!.Reason;
        await _store.UpdateAsync(kind.With(node, fresh.ToString()), cancellation);
        log.Info("tunnel {Kind}: node {Node} has address {Address}", kind.Name, services.Node, fresh);
        return null;
    }

    // Once nothing is named and the handle has been released, nothing is left to do until a pool asks again.
    private async Task<string?> DropAsync(TunnelKind kind, NodeResource node, CancellationToken cancellation)
    {
        if (kind.AddressOf(node) is { } address)
        {
            await _store.UpdateAsync(kind.With(node, null), cancellation);
            log.Info("tunnel {Kind}: no pool asks for one any more, node {Node} gives {Address} back", kind.Name, services.Node, address);
        }
        else if (_released.Contains(kind.Name))
        {
            return null;
        }
        if (await ReleaseAsync(kind) is { } problem)
            return problem;
        _released.Add(kind.Name);
        return null;
    }

    private async Task<(IpAddr? Address, LeaseProtocol.NotAllocated? Refusal)> AllocateAsync(TunnelKind kind, ImmutableArray<PoolRef> pools, ImmutableArray<IpAddr> wanted)
    {
        var attributes = ImmutableSortedDictionary<string, string>.Empty.Add("node", services.Node).Add("type", kind.Type);
        var answer = await services.Lease.Ask<object>(new LeaseProtocol.Allocate(++_lastRequest,
            new AllocationRequest(kind.HandleOf(services.Node), attributes, [kind.Family], [.. pools.Select(p => p.Cidr)], wanted), pools, _ => []), services.StepTimeout);
        return answer switch
        {
            LeaseProtocol.Allocated allocated => (allocated.Addresses[0], null),
            LeaseProtocol.NotAllocated refused => (null, refused),
            _ => throw new InvalidOperationException($"the lease answered {answer}"),
        };
    }

    private async Task<string?> ReleaseAsync(TunnelKind kind)
    {
        var answer = await services.Lease.Ask<object>(new LeaseProtocol.Release(++_lastRequest, kind.HandleOf(services.Node), [], []), services.StepTimeout);
        return answer is LeaseProtocol.NotReleased no ? no.Reason : null;
    }
}

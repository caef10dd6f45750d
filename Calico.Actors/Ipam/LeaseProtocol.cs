using System.Collections.Immutable;
using Akka.Actor;
using Calico.Actors.Protocol;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Actors.Ipam;

/// <summary>A pool that a request may draw from.</summary>
public readonly record struct PoolRef(string Name, Cidr Cidr, int BlockSize);

/// <summary>What the node's own actors ask of its lease. Local; every answer names the request.</summary>
public static class LeaseProtocol
{
    /// <summary>
    /// Addresses for a handle, durable before the answer. <paramref name="Alongside"/> gives further writes for the
    /// same transaction once the addresses are known (the workload endpoint): both are there or neither.
    /// </summary>
    public sealed record Allocate(long RequestId, AllocationRequest Request, ImmutableArray<PoolRef> Pools,
        Func<ImmutableArray<IpAddr>, ImmutableArray<Write>> Alongside) : ILocalMessage;

    public sealed record Allocated(long RequestId, ImmutableArray<IpAddr> Addresses) : ILocalMessage;

    /// <summary>Why there are no addresses; <paramref name="Retryable"/> says whether asking again later can help.</summary>
    public sealed record NotAllocated(long RequestId, string Reason, bool Retryable) : ILocalMessage;

    /// <summary>Every address of the handle goes back, and these keys with them.</summary>
    public sealed record Release(long RequestId, string HandleId, ImmutableArray<Write> Alongside) : ILocalMessage;

    public sealed record Released(long RequestId, ImmutableArray<IpAddr> Addresses) : ILocalMessage;

    public sealed record NotReleased(long RequestId, string Reason) : ILocalMessage;

    /// <summary>
    /// After a start: only these handles have a workload here, and these addresses are still routed to one; what else
    /// pods of this node hold is given back.
    /// </summary>
    public sealed record ReleaseAllBut(ImmutableHashSet<string> Handles, ImmutableHashSet<IpAddr> InUse) : ILocalMessage;

    /// <summary>Tell me which blocks are held, now and after each change.</summary>
    public sealed record Subscribe(IActorRef Subscriber) : ILocalMessage;

    /// <summary>The blocks held, each with its epoch. <paramref name="Loaded"/> false: not known yet, take nothing away.</summary>
    public sealed record HeldBlocks(ImmutableSortedDictionary<Cidr, long> Blocks, bool Loaded) : ILocalMessage;

    public sealed record GetStatus : ILocalMessage;

    public sealed record Status(bool Loaded, ImmutableArray<BlockStatus> Blocks, int Waiting) : ILocalMessage;

    public sealed record BlockStatus(Cidr Block, long Epoch, int Capacity, int Allocated);
}

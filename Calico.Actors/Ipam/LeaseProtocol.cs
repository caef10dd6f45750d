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
    /// Addresses for a handle. <paramref name="Alongside"/> gives further writes for the
    /// same transaction once the addresses are known (the workload endpoint): both are there or neither.
    /// </summary>
    public sealed record Allocate(long RequestId, AllocationRequest Request, ImmutableArray<PoolRef> Pools,
        Func<ImmutableArray<IpAddr>, ImmutableArray<Write>> Alongside) : ILocalMessage
    {
        /// <summary>
        /// A workload here uses the wanted addresses already: they are to be its again if the datastore says otherwise.
        /// Void once the handle has been released.
        /// </summary>
        public bool IsReclaim { get; init; }
    }

    /// <param name="Addresses">One of each family.</param>
    /// <param name="IsAway">The datastore is away: nobody but this node knows of it until it returns.</param>
    public sealed record Allocated(long RequestId, ImmutableArray<IpAddr> Addresses, bool IsAway = false) : ILocalMessage;

    /// <summary>Why there are no addresses.</summary>
    /// <param name="Retryable">Whether asking again later can help.</param>
    /// <param name="IsTaken">The wanted address is somebody else's, or in a block that another node holds, which may give it to anybody.</param>
    public sealed record NotAllocated(long RequestId, string Reason, bool Retryable, bool IsTaken = false) : ILocalMessage;

    /// <summary>Every address of the handle goes back, and these keys with them.</summary>
    /// <param name="Addresses">The addresses, where they are known: it saves a look at the datastore.</param>
    public sealed record Release(long RequestId, string HandleId, ImmutableArray<IpAddr> Addresses, ImmutableArray<Write> Alongside) : ILocalMessage;

    public sealed record Released(long RequestId, ImmutableArray<IpAddr> Addresses) : ILocalMessage;

    public sealed record NotReleased(long RequestId, string Reason) : ILocalMessage;

    /// <summary>
    /// After a start: only these handles have a workload here, and only these addresses are used by one, under the
    /// handle named or, if the journal does not know it, under any. What else pods of this node hold is given back.
    /// </summary>
    public sealed record ReleaseAllBut(ImmutableHashSet<string> Handles, ImmutableDictionary<IpAddr, string?> InUse) : ILocalMessage
    {
        /// <summary>
        /// Whether this address of that handle is nobody's any more. It may be in use by another workload whose own claim to
        /// it was not written before the start.
        /// </summary>
        public bool IsLeft(IpAddr address, string handle) => !Handles.Contains(handle)
            && (!InUse.TryGetValue(address, out var user) || (user is not null && Handles.Contains(user)));
    }

    /// <summary>
    /// Which of these workloads do not have their addresses? Answered with <see cref="Doubts"/>, from memory but for
    /// addresses of other nodes' blocks.
    /// </summary>
    public sealed record Verify(ImmutableArray<Tenant> Tenants) : ILocalMessage;

    /// <summary>A handle and the addresses that its workload uses.</summary>
    public sealed record Tenant(string HandleId, ImmutableArray<IpAddr> Addresses);

    /// <param name="Loaded">False: the blocks have not been read, nothing is known.</param>
    /// <param name="Tenants">Whose addresses are not theirs by what was read or written last.</param>
    public sealed record Doubts(bool Loaded, ImmutableArray<Tenant> Tenants) : ILocalMessage;

    /// <summary>Tell me which blocks are held, now and after each change.</summary>
    public sealed record Subscribe(IActorRef Subscriber) : ILocalMessage;

    /// <summary>The blocks held, each with its epoch. <paramref name="Loaded"/> false: not known yet, take nothing away.</summary>
    public sealed record HeldBlocks(ImmutableSortedDictionary<Cidr, long> Blocks, bool Loaded) : ILocalMessage;

    public sealed record GetStatus : ILocalMessage;

    /// <param name="Loaded">Whether the blocks have been read.</param>
    /// <param name="Blocks">What is held, as it was read or written last.</param>
    /// <param name="Waiting">Requests without an answer.</param>
    /// <param name="Promises">Requests that were answered and are not durable yet.</param>
    /// <param name="Trouble">Why the datastore cannot be reached; null when it can.</param>
    public sealed record Status(bool Loaded, ImmutableArray<BlockStatus> Blocks, int Waiting, int Promises, string? Trouble) : ILocalMessage
    {
        /// <summary>Blocks that it gives back and that are not gone yet.</summary>
        public ImmutableArray<LeavingBlock> Leaving { get; init; } = [];

        /// <summary>Why no block is given back for now; null while they are.</summary>
        public string? NothingLeaves { get; init; }
    }

    /// <param name="Revision">Of the affinity that says so; null while it is not known whether it does.</param>
    public readonly record struct LeavingBlock(Cidr Block, long? Revision);

    /// <param name="Allocated">Everything that is not free, what cools down included.</param>
    public sealed record BlockStatus(Cidr Block, long Epoch, int Capacity, int Allocated)
    {
        /// <summary>Addresses that were released and rest.</summary>
        public int Cooling { get; init; }
    }
}

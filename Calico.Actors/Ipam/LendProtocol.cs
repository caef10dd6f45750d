using System.Collections.Immutable;
using Calico.Actors.Protocol;
using Calico.Core.Net;

namespace Calico.Actors.Ipam;

/// <summary>Addressed to the lease of another node.</summary>
public interface IToNode : IWireMessage
{
    /// <summary>The node it is for.</summary>
    string To { get; }

    /// <summary>The node that says it.</summary>
    string From { get; }
}

/// <summary>
/// What the leases of two nodes say to each other when one has no block with room and may claim none: it borrows an
/// address of the other's. The holder keeps it free for a while, the borrower writes it into the holder's block, compared
/// with what the block was; the holder learns of it as of any other writer. Every message may be repeated or lost.
/// </summary>
public static class LendProtocol
{
    public enum Refusal : byte
    {
        /// <summary>No block of these pools that the node holds has a free address, or the one wanted is not free.</summary>
        NoRoom = 1,

        /// <summary>The node cannot say now: ask again later.</summary>
        Busy = 2,

        /// <summary>The node is no member that can be reached.</summary>
        OutOfReach = 3,
    }

    /// <param name="To">The holder.</param>
    /// <param name="From">The borrower.</param>
    /// <param name="RequestId">Names the answer.</param>
    /// <param name="Handle">Whom the address is for.</param>
    /// <param name="Pools">Where it may come from, all of one family.</param>
    /// <param name="Wanted">No other than this one.</param>
    public sealed record Borrow(string To, string From, long RequestId, string Handle, ImmutableArray<Cidr> Pools, IpAddr? Wanted) : IToNode;

    /// <summary>
    /// The address is kept free for the borrower, for <see cref="Lending.Term"/>, and only under this epoch of the holder's grant:
    /// one that starts again and has forgotten what it lent writes a new epoch before it decides anything.
    /// </summary>
    public sealed record Lent(string To, string From, long RequestId, Cidr Block, IpAddr Address, long Epoch) : IToNode;

    public sealed record NotLent(string To, string From, long RequestId, Refusal Reason) : IToNode;
}

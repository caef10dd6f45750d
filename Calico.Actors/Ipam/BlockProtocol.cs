using Calico.Actors.Cluster.Owners;
using Calico.Actors.Protocol;
using Calico.Core.Net;

namespace Calico.Actors.Ipam;

/// <summary>Addressed to the owner of a block.</summary>
public interface IWithBlock : IWithOwner
{
    Cidr Block { get; }

    string IWithOwner.Owner => Block.ToString();
}

/// <summary>
/// What a node and the owner of a block say to each other. The owner decides who holds the block; the datastore's
/// compare-and-swap makes the decision true. A grant is named by its epoch: the revision at which the affinity was
/// written. Every command may be repeated.
/// </summary>
public static class BlockProtocol
{
    /// <summary>Why a block was not granted.</summary>
    public enum Refusal : byte
    {
        /// <summary>Another node holds it: try the next candidate.</summary>
        HeldByAnother = 1,

        /// <summary>The datastore did not answer: try again later.</summary>
        DatastoreUnavailable = 2,

        /// <summary>What is stored is not a block: a person must look.</summary>
        Corrupt = 3,
    }

    /// <summary>A block and the node that holds it.</summary>
    public readonly record struct Holder(Cidr Block, string Node);

    /// <summary>A block and the epoch of the grant that made somebody its holder.</summary>
    public readonly record struct Holding(Cidr Block, long Epoch);

    public sealed record ClaimBlock(Cidr Block, string Node, long RequestId) : IWithBlock;

    /// <summary>
    /// The node gives an empty block back, to which its affinity is of this revision. One that is not empty any more stays where
    /// it is: an affinity in state pendingDeletion is confirmed again, which is a grant.
    /// </summary>
    public sealed record ReleaseBlock(Cidr Block, string Node, long Epoch) : IWithBlock;

    /// <summary>
    /// The node is gone for good: free its addresses and take the block from it. A grant later than the epoch, to a node
    /// that came back meanwhile, is not touched and not answered.
    /// </summary>
    public sealed record RetireHolder(Cidr Block, string Node, long Epoch) : IWithBlock;

    public sealed record BlockGranted(Cidr Block, string Node, long Epoch, long RequestId) : IWireMessage;

    public sealed record BlockRefused(Cidr Block, Refusal Reason, string? Holder, long RequestId) : IWireMessage;

    /// <summary>The block no longer belongs to the node.</summary>
    public sealed record HolderRetired(Cidr Block, string Node, int AddressesFreed) : IWireMessage;
}

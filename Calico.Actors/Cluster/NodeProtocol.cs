using System.Collections.Immutable;
using Calico.Actors.Cluster.Owners;
using Calico.Actors.Ipam;
using Calico.Actors.Protocol;
using Calico.Core.Net;

namespace Calico.Actors.Cluster;

/// <summary>Addressed to the owner of a node's facts.</summary>
public interface IWithNode : IWithOwner
{
    string Node { get; }

    string IWithOwner.Owner => Node;
}

/// <summary>What is known of a node, and what its owner answers.</summary>
public static class NodeProtocol
{
    /// <summary>
    /// Sent every few seconds for every node: whether it is a member now, whether its Node resource exists, at which
    /// address it can be probed, and what the datastore says it has: its blocks, and its workload endpoints
    /// (at most <see cref="MaxEndpoints"/>; the rest follow when these are gone), with the blocks of others that these have
    /// addresses in, which are told of nodes that are not members.
    /// </summary>
    public sealed record NodeObserved(string Node, bool IsMember, bool ResourceExists, IpAddr? Address,
        ImmutableArray<BlockProtocol.Holding> Blocks, ImmutableArray<Endpoint> Endpoints, ImmutableArray<Borrowing> Borrowed) : IWithNode;

    /// <summary>A workload endpoint and the revision of its key.</summary>
    public readonly record struct Endpoint(string Key, long Revision);

    /// <summary>An endpoint of the node, as of this revision, has an address in this block, which is not the node's.</summary>
    public readonly record struct Borrowing(string Endpoint, long Revision, Cidr Block);

    /// <summary>What fits into one transaction of the datastore.</summary>
    public const int MaxEndpoints = 100;

    public sealed record GetNode(string Node) : IWithNode;

    /// <summary>Where a node is in its life.</summary>
    public enum Phase : byte
    {
        /// <summary>Its agent is a member.</summary>
        Alive = 1,

        /// <summary>Its agent is away, its host may still be forwarding: nothing is taken from it.</summary>
        AgentDown = 2,

        /// <summary>Known to be gone: its blocks have been or are being taken back.</summary>
        Gone = 3,
    }

    public sealed record NodeStatus(string Node, Phase Phase, IpAddr? Address, ImmutableArray<BlockProtocol.Holding> Blocks) : IWireMessage;
}
